"""What `run` asks for: a preset or a study file, then --set, then --name, each above the one before."""

from __future__ import annotations

from pathlib import Path

import pytest

from embcx_tui.cli.run import requested_settings
from embcx_tui.study.errors import RequestError
from embcx_tui.study.settings import load_preset


def test_the_name_is_the_users_then_the_files_then_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "overnight.toml"
    path.write_text("[networks]\nruns = 2\n")
    assert requested_settings(str(path), (), None).name == "overnight"
    path.write_text('name = "deep ladder"\n')
    assert requested_settings(str(path), (), None).name == "deep ladder"
    assert requested_settings(str(path), ("name=wide",), None).name == "wide"
    assert requested_settings(str(path), ("name=wide",), "mine").name == "mine"
    assert requested_settings("demo", (), None).name == load_preset("demo").settings.name


def test_a_set_key_is_above_the_file_and_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text('[networks]\nruns = 2\ndepths = [1, 3]\n[training]\nepochs = 4\n[data]\ndatasets = ["digits"]\n')
    asked = requested_settings(str(path), ("networks.runs=3", "networks.depths=2,5"), None)
    assert (asked.networks.runs, asked.networks.depths, asked.training.epochs) == (3, (2, 5), 4)


def test_paths_in_a_file_begin_at_its_folder_and_typed_ones_where_the_user_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "studies").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    path = tmp_path / "studies" / "own.toml"
    path.write_text('[data]\ndatasets = ["file:own.npz"]\n')
    for typed in (str(path), "../studies/own.toml"):
        (found,) = requested_settings(typed, (), None).data.datasets
        assert Path(found.removeprefix("file:")).resolve() == tmp_path / "studies" / "own.npz"
    (found,) = requested_settings(str(path), ("data.datasets=file:other.npz",), None).data.datasets
    assert found == f"file:{tmp_path / 'here' / 'other.npz'}"


def test_what_is_neither_preset_nor_file_names_the_presets() -> None:
    with pytest.raises(RequestError, match=r"'demmo' is no preset \(demo, .*\) and no file"):
        requested_settings("demmo", (), None)
