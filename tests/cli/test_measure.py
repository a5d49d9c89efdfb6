"""`measure`: what it lists, what it begins, what it refuses, and how it ends."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from embcx_tui.cli import OK, cli
from embcx_tui.cli.measure import _models
from embcx_tui.store.library import list_studies, read_settings
from embcx_tui.store.paths import StudyPaths
from embcx_tui.study.errors import EmbcxError
from embcx_tui.study.measured import MeasuredSettings
from embcx_tui.study.settings import StudySettings
from embcx_tui.worker import inspect_files, launch
from tests.activations import labels, layers_of, write_npz

QUICK = ("--set", "measure.perplexity=10", "--set", "measure.metrics=knn")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[StudySettings]:
    """Look into files in this process, and begin no study but keep its settings."""
    begun: list[StudySettings] = []

    def begin(settings: StudySettings) -> StudyPaths:
        begun.append(settings)
        return StudyPaths(Path("k7m2x9q4fa"))

    monkeypatch.setattr(launch, "ask", lambda command, request, on_line: inspect_files.look(request))
    monkeypatch.setattr(launch, "begin", begin)
    monkeypatch.setattr("embcx_tui.cli.run._print_warnings", lambda paths: None)
    return begun


def measure(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["measure", *map(str, arguments)])


def begun(here: list[StudySettings], *arguments: str | Path) -> MeasuredSettings:
    """Return the settings of the study that a command begins."""
    result = measure(*arguments, "--detach")
    assert (result.exit_code, result.output) == (OK, "k7m2x9q4fa\n"), result.output
    settings = here.pop()
    assert isinstance(settings, MeasuredSettings)
    return settings


def test_list_shows_every_layer_and_begins_nothing(tmp_path: Path, here: list[StudySettings]) -> None:
    maps = np.zeros((60, 3, 4, 4), np.float16)
    file = write_npz(tmp_path / "acts.npz", {"conv": maps, **layers_of(2), "y": labels(), "w": np.zeros((8, 8), "f4")})
    result = measure(file, "--list")
    assert result.exit_code == OK and not here
    head, _, *rows, skipped = result.output.splitlines()
    assert head == f"{file}: 60 rows, 3 classes (y), input: none"
    assert [row.split() for row in rows] == [
        ["1", "conv", "3", "×", "4", "×", "4", "float16", "48", "5,760"],
        ["2", "l1", "8", "float32", "8", "1,920"],
        ["3", "l2", "8", "float32", "8", "1,920"],
    ]
    assert skipped == "skipped: w (8 rows, not 60)"
    listed = json.loads(measure(file, "--list", "--json").output)["files"][0]
    assert [(layer["name"], layer["units"]) for layer in listed["layers"]] == [("conv", 48), ("l1", 8), ("l2", 8)]


def test_files_models_and_controls_stand_as_they_were_written(tmp_path: Path, here: list[StudySettings]) -> None:
    for name in ("a0", "a1", "a_init", "b0"):
        write_npz(tmp_path / f"{name}.npz", {**layers_of(2), "y": labels()})
    files = {path.stem: path for path in tmp_path.glob("*.npz")}
    settings = begun(
        here, "--model", "net a", files["a0"], files["a1"], "--untrained", files["a_init"],
        "--model=net b", files["b0"],
        "--name", "two", "--dataset", "photos", "--points", "600",
    )  # fmt: skip
    found = [(one.name, one.dataset, one.run, one.control, Path(one.file).stem) for one in settings.models]
    assert found == [
        ("net a", "photos", 0, "", "a0"),
        ("net a", "photos", 1, "", "a1"),
        ("net a", "photos", 0, "untrained", "a_init"),
        ("net b", "photos", 0, "", "b0"),
    ]
    assert settings.name == "two" and settings.sample.points == 600


def test_what_is_not_said_follows_from_the_file(tmp_path: Path, here: list[StudySettings]) -> None:
    write_npz(tmp_path / "resnet.v2.npz", {**layers_of(2), "labels": labels(), "X": np.zeros((60, 4))})
    (model,) = begun(here, tmp_path / "resnet.v2.npz").models
    assert (model.name, model.dataset, model.labels, model.input) == ("resnet.v2", "activations", "labels", "X")
    assert model.layers == ("l1", "l2")


def test_layers_come_in_the_order_of_their_patterns(tmp_path: Path, here: list[StudySettings]) -> None:
    file = write_npz(tmp_path / "acts.npz", {**layers_of(11), "y": labels()})
    (model,) = begun(here, file, "--layers", "l1?", "--layers", "l[29]").models
    assert model.layers == ("l10", "l11", "l2", "l9")


def test_labels_from_an_array_of_another_file(tmp_path: Path, here: list[StudySettings]) -> None:
    file = write_npz(tmp_path / "acts.npz", layers_of(1))
    other = write_npz(tmp_path / "meta:data.npz", {"fine": labels(), "coarse": labels() > 0})
    settings = begun(here, file, "--labels", f"{other}:coarse")
    assert (settings.source.labels, settings.source.labels_array) == (str(other), "coarse")
    assert "which array has the labels? Write FILE:NAME (it holds fine, coarse)" in _refusal(file, "--labels", other)


def _refusal(*arguments: str | Path) -> str:
    """Return the one line by which a command is refused, which `main` ends with exit code 2."""
    result = measure(*arguments)
    assert isinstance(result.exception, EmbcxError) or result.exit_code == 2, result.output
    return str(result.exception) if isinstance(result.exception, EmbcxError) else result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("a.npz", "--layers", "k*"), r"no layer matches 'k\*' \(there is l1, l2, conv\)"),
        (("a.npz", "b.npz"), r"b.npz: other layers than .*a.npz \(l3\); the runs of a model have the same layers"),
        (("a.npz", "--pool", "first", "--layers", "conv"), "first takes a token"),
        (("a.npz", "--model", "x"), "--model x has no FILE after it"),
        (("--untrained", "a.npz"), "no FILE of a trained network beside --untrained|Missing argument"),
        (("--model",), "--model needs a value"),
        (("a.npz", "--set", "networks.depths=3"), "networks.depths: unknown key"),
        (("a.npz", "--points", "12000"), "needs engine"),
        (("a.npz", "--labels", "short.npy"), r"59 labels, but 60 rows"),
        (("a.npz", "--classes", "two.txt"), "2 names of classes are for labels from 0 to 1; there are .* from 0 to 2"),
        (("--model", "a\x1b[2Jb", "a.npz"), "holds characters that cannot be shown"),
    ],
)  # fmt: skip
def test_what_is_refused_in_one_line(
    arguments: tuple[str, ...], words: str, tmp_path: Path, here: list[StudySettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    more: dict[str, Any] = {"conv": np.zeros((60, 2, 3, 3), np.float32), "y": labels()}
    write_npz(tmp_path / "a.npz", {**layers_of(2), **more})
    write_npz(tmp_path / "b.npz", {**layers_of(3), **more})
    np.save(tmp_path / "short.npy", labels()[:-1])
    (tmp_path / "two.txt").write_text("cat\ndog\n")
    assert re.search(words, _refusal(*arguments)), _refusal(*arguments)
    assert not here


def test_marks_are_no_files() -> None:
    (model,) = _models(("\0--model=m", "/a", "\0--untrained=/b"))
    assert (model.name, model.runs, model.untrained) == ("m", (Path("/a"),), (Path("/b"),))


def test_from_the_command_line_to_the_end(tmp_path: Path, home: Path) -> None:
    """In real processes: a layer that is not finite fails alone, exit 3; the rest is measured; a pickle is refused."""
    arrays = layers_of(2)
    arrays["l2"][3] = np.inf
    file = write_npz(tmp_path / "acts.npz", {**arrays, "y": labels()})
    command = [sys.executable, "-P", "-m", "embcx_tui", "measure"]
    environment = {**os.environ, "EMBCX_HOME": str(home)}
    ended = subprocess.run([*command, str(file), *QUICK, "--json"], capture_output=True, text=True, env=environment)
    assert ended.returncode == 3, ended.stderr
    shown = json.loads(ended.stdout)
    (network,) = shown["networks"]
    (layer,) = network["layers"]
    assert (layer["name"], layer["pool"], layer["width"], layer["points"]) == ("l1", "flatten", 8, 60)
    (paths,) = list_studies()
    assert read_settings(paths).name == "acts"
    (tmp_path / "acts.pt").write_bytes(b"")
    refused = subprocess.run([*command, str(tmp_path / "acts.pt")], capture_output=True, text=True, env=environment)
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1 and "torch.load" in refused.stderr
