"""A study's folder that comes from elsewhere: its links lead nowhere, and a worker starts once or not at all."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from embcx_tui.store.journal import read_journal
from embcx_tui.store.library import create_study
from embcx_tui.store.snapshot import read_study
from embcx_tui.study.errors import EmbcxError
from embcx_tui.study.settings import StudySettings, validate
from embcx_tui.worker import launch
from embcx_tui.worker.process import COMPLETE, LOCKED
from tests.warm_process import run_script
from tests.worker.test_worker import run_to_the_end

WORKER = "import sys; from pathlib import Path; from embcx_tui.worker.process import run_study; "
RUN = "sys.exit(run_study(Path(sys.argv[1])))"
NO_LOCKS = """
import errno, fcntl
def refuse(*_): raise OSError(errno.ENOLCK, "No locks available")
fcntl.lockf = refuse
"""


def tiny() -> StudySettings:
    return validate(
        {
            "data": {"datasets": ["digits"], "samples_per_class": 5, "train_limit": 300},
            "networks": {"depths": [1], "activations": ["relu"], "runs": 1, "width": 4},
            "training": {"epochs": 1},
            "measure": {"perplexity": 5, "metrics": [], "controls": [], "search": "plain"},
            "machine": {"device": "cpu"},
        }
    )


def victim(folder: Path) -> dict[str, bytes]:
    """Fill a folder with what a person may have there; return its content."""
    folder.mkdir()
    (folder / "digits.weights.h5").write_bytes(b"mine")
    (folder / "digits.epoch1.safetensors").write_bytes(b"mine")
    (folder / ".draft.tmp").write_bytes(b"mine")
    (folder / "notes.txt").write_bytes(b"one line\nand one without a line break")
    return content(folder)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["checkpoints", "arrays", "journal.jsonl", "worker.log", "lock", "study.toml"])
def test_neither_resume_nor_a_worker_follows_a_link_out_of_the_folder(name: str, tmp_path: Path) -> None:
    paths = create_study(tiny())
    mine = victim(tmp_path / "mine")
    place = paths.root / name
    folder = place.is_dir()
    shutil.rmtree(place) if folder else place.unlink(missing_ok=True)
    place.symlink_to(tmp_path / "mine" if folder else tmp_path / "mine" / "notes.txt")
    with pytest.raises(EmbcxError) as caught:
        launch.start(paths)
    assert "\n" not in str(caught.value) and name in str(caught.value)
    if name != "worker.log":  # which is opened before the worker
        assert run_script(WORKER + RUN, paths.root) != 0
    assert content(tmp_path / "mine") == mine


def test_telemetry_and_pulse_do_not_write_through_links_and_the_study_goes_on(tmp_path: Path) -> None:
    paths = create_study(tiny())
    mine = victim(tmp_path / "mine")
    for place in (paths.telemetry, paths.pulse):
        place.symlink_to(tmp_path / "mine" / "notes.txt")
    assert run_to_the_end(paths).state == "complete"
    assert content(tmp_path / "mine") == mine


def test_a_fifo_or_folder_in_place_of_a_result_is_replaced_or_said(tmp_path: Path) -> None:
    paths = create_study(tiny())
    whole = run_to_the_end(paths)
    assert whole.state == "complete"
    one, *_ = whole.measured.values()
    (paths.root / one.file.name).unlink()
    os.mkfifo(paths.root / one.file.name)
    again = run_to_the_end(paths)
    assert again.state == "complete"
    assert {key: new.file for key, new in again.measured.items()} == {
        key: old.file for key, old in whole.measured.items()
    }
    assert (paths.root / one.file.name).is_file()
    (paths.root / one.file.name).unlink()
    (paths.root / one.file.name).mkdir()
    failed = run_to_the_end(paths)
    assert failed.state == "failed" and failed.ended and Path(one.file.name).name in failed.ended.reason


def test_a_study_whose_empty_folders_were_not_copied_resumes() -> None:
    paths = create_study(tiny())
    for folder in (paths.arrays, paths.checkpoints, paths.exports):
        folder.rmdir()
    assert run_to_the_end(paths).state == "complete"


def test_of_two_workers_without_locks_one_computes_and_the_other_leaves() -> None:
    paths = create_study(tiny())
    command = [sys.executable, "-c", NO_LOCKS + WORKER + RUN, str(paths.root)]
    workers = [subprocess.Popen(command) for _ in range(2)]
    # On a crowded machine the second may begin when the first is done: it then finds nothing to do.
    assert sorted(worker.wait(timeout=600) for worker in workers) in ([COMPLETE, LOCKED], [COMPLETE, COMPLETE])
    snapshot = read_study(paths)
    assert snapshot.state == "complete" and snapshot.damage == ""
    assert any("no locks" in line.text for line in snapshot.log)
    assert not paths.pulse.exists()
    kinds = [event.kind for event in read_journal(paths.journal).events]
    assert kinds.count("measured") == len(snapshot.plan.layers), "none is measured twice"
    ends = [kind for kind in kinds if kind in ("worker-started", "ended")]
    assert ends == ["worker-started", "ended"] * (len(ends) // 2), "they do not overlap"
