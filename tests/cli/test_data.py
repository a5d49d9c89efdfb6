"""`data list` and `data fetch --offline`: what a person without a network reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from embcx_tui.cli.data import data_command


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EMBCX_DATA_DIR", str(tmp_path))
    return tmp_path


def data(*words: str) -> Result:
    return CliRunner().invoke(data_command, words)


def test_offline_says_what_is_missing_where_it_belongs_and_where_it_comes_from(folder: Path) -> None:
    (folder / "test_32x32.mat").touch()
    result = data("fetch", "svhn", "--offline")
    assert result.exit_code == 3
    first, second = result.output.splitlines()
    assert first.startswith(f"{folder / 'train_32x32.mat'} is missing (182,040,794 bytes, MD5 e26dedcc")
    assert second.split() == ["from", "http://ufldl.stanford.edu/housenumbers/train_32x32.mat"]
    (folder / "train_32x32.mat").touch()
    result = data("fetch", "svhn", "--offline")
    assert (result.exit_code, result.output) == (0, f"svhn: nothing is missing in {folder}\n")
    assert data("fetch", "digits", "--offline").output == "digits: nothing is missing\n"


def test_the_list_names_every_dataset_with_its_state(folder: Path) -> None:
    (folder / "cifar-10-binary.tar.gz").touch()
    rows = {row["name"]: row for row in json.loads(data("list", "--json").output)["datasets"]}
    assert {name: row["state"] for name, row in rows.items()} == {
        "digits": "embedded",
        "mnist": "missing",
        "svhn": "missing",
        "fashion-mnist": "missing",
        "kmnist": "missing",
        "cifar10": "present",
    }
    assert len(rows["kmnist"]["missing"]) == 4 and rows["svhn"]["n_train"] == 73_257
    lines = data("list").output
    assert "missing 4 files of KMNIST/raw: embcx-tui data fetch kmnist" in lines and "file:PATH.npz" in lines
    assert max(map(len, lines.splitlines())) < 140
