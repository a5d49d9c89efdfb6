"""Foreign formats are read in a process of their own: one that dies costs a layer, never the study."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embcx_tui.store.library import list_studies
from embcx_tui.store.snapshot import read_study
from embcx_tui.study.errors import DataError, RequestError
from embcx_tui.worker.isolated_reader import IsolatedReader
from embcx_tui.worker.measure_request import MeasureRequest, ModelFiles, look_into
from tests.activations import labels, layers_of, write_hdf5, write_npz, write_parquet

# Lets the library die, as one does on foreign bytes, in the processes whose command ends with a word.
DIES = """
import os, signal, sys
if sys.orig_argv[{place}:][:1] == ["{command}"]:
    from embcx_tui.compute.activation_files import hdf5_file
    def die():
        os.kill(os.getpid(), signal.SIGSEGV)
    pieces, opened = hdf5_file.Hdf5.pieces, hdf5_file.Hdf5.__init__
    if "{at}" == "open":
        hdf5_file.Hdf5.__init__ = lambda self, path: die()
    else:
        hdf5_file.Hdf5.pieces = lambda self, name, index: die() if name == "{at}" else pieces(self, name, index)
"""
READER = -1, "read"
INSPECTION = -2, "activations"


@pytest.fixture
def acts(tmp_path: Path) -> Path:
    return write_hdf5(tmp_path / "acts.h5", {**layers_of(3), "y": labels()})


def dying(folder: Path, process: tuple[int, str], at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the library die in every such process from now on, when a file is opened or its array `at` is read."""
    site = folder / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(DIES.format(place=process[0], command=process[1], at=at))
    path = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH", ""))))
    monkeypatch.setenv("PYTHONPATH", path)


def measure(path: Path) -> subprocess.CompletedProcess[str]:
    quick = ("--set", "measure.perplexity=10", "--set", "measure.metrics=knn")
    command = [sys.executable, "-P", "-m", "embcx_tui", "measure", str(path), *quick, "--json"]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_layer_on_which_the_library_crashes_fails_alone(
    acts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying(tmp_path, READER, "l2", monkeypatch)
    ended = measure(acts)
    assert ended.returncode == 3, ended.stderr
    (network,) = json.loads(ended.stdout)["networks"]
    assert [layer["name"] for layer in network["layers"]] == ["l1", "l3"]
    (paths,) = list_studies()
    study = read_study(paths)
    assert study.state == "complete"
    assert [one.reason for one in study.failed.values()] == [f"{acts}: the reader crashed (signal 11)"]


def test_a_file_on_which_the_library_crashes_at_once_is_refused_in_one_line(
    acts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying(tmp_path, READER, "open", monkeypatch)
    ended = measure(acts)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"embcx-tui: {acts}: the reader crashed (signal 11)\n"
    assert not list_studies()


def test_a_first_look_that_crashes_names_the_file(acts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dying(tmp_path, INSPECTION, "open", monkeypatch)
    sound = write_npz(tmp_path / "sound.npz", {**layers_of(3), "y": labels()})
    with pytest.raises(RequestError, match=r"acts\.h5: the reader crashed \(signal 11\)"):
        look_into(MeasureRequest((ModelFiles("", (sound, acts)),)))


@pytest.mark.parametrize("write", [write_hdf5, write_parquet])
def test_rows_and_labels_come_as_they_are_kept(write: object, tmp_path: Path) -> None:
    names = np.array(["cat", "Ünïcode", ""] * 20)
    arrays: dict[str, Any] = {**layers_of(2, units=300), "y": labels()}
    assert callable(write)
    ending = "h5" if write is write_hdf5 else "parquet"
    path = write(tmp_path / f"acts.{ending}", arrays)
    index = np.array([0, 1, 7, 8, 30, 59])
    reader = IsolatedReader()
    with reader.open(path) as file:
        assert {one.name: one.shape for one in file.arrays} == {"l1": (60, 300), "l2": (60, 300), "y": (60,)}
        assert np.array_equal(np.concatenate(list(file.pieces("l2", index))), arrays["l2"][index])
        assert np.array_equal(file.values("y"), labels())
        with pytest.raises(DataError, match="there is no array nothing in it"):
            list(file.pieces("nothing", index))
    if ending == "parquet":
        text = write(tmp_path / "text.parquet", {"label": names})
        with reader.open(text) as file:
            assert list(file.values("label")) == list(names)
    for piece in reader.open(path).pieces("l1", index):
        assert len(piece)
        break  # the rest is never asked for: what comes next is another answer
    assert np.array_equal(np.concatenate(list(reader.open(path).pieces("l1", index))), arrays["l1"][index])
    reader.close()


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import sys; sys.exit(3)", r"the reader ended without an answer \(code 3\)"),
        ("print('no JSON'); input(); input()", "the reader answers no more"),
        ("""print('{"dtype": "O", "shape": [60]}', flush=True)""", "the reader ended without an answer"),
    ],
)  # fmt: skip
def test_a_reader_that_makes_no_sense_is_one_line(
    program: str, words: str, acts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embcx_tui.worker.isolated_reader.COMMAND", (sys.executable, "-c", program))
    monkeypatch.setattr("embcx_tui.worker.isolated_reader._PATIENCE_S", 0.5)
    with pytest.raises(DataError, match=f"acts.h5: {words}"):
        IsolatedReader().open(acts)
