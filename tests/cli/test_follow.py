"""Following a study: Ctrl-C asks its worker to stop once, however long that takes."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner
from rich.console import Console

from embcx_tui.cli import INTERRUPTED, OK, PARTLY, cli, run
from embcx_tui.store.library import create_study
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import read_study
from embcx_tui.study.settings import load_preset
from embcx_tui.worker import launch
from tests.fake_studies import FakeState, make_study, settings_of

# Holds the lock as a worker does, and ends some time after it was asked to; says how often it was.
SLOW = """
import os, signal, sys, time
from pathlib import Path
import psutil
from embcx_tui.store.journal import JournalWriter
from embcx_tui.store.lock import StudyLock
from embcx_tui.store.processes import boot_id
from embcx_tui.study.events import WorkerEnded, WorkerStarted
import socket
root = Path(sys.argv[1])
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
lock = StudyLock(root / "lock")
assert lock.acquire()
journal = JournalWriter(root / "journal.jsonl")
started = psutil.Process().create_time()
journal.append(WorkerStarted(pid=os.getpid(), start_time=started, boot_id=boot_id(), host=socket.gethostname()))
print("held", flush=True)
while not asked:
    time.sleep(0.01)
end = time.monotonic() + 2.5
while time.monotonic() < end:
    time.sleep(0.01)
journal.append(WorkerEnded(outcome="stopped", reason=f"asked {len(asked)} times"))
"""


def test_ctrl_c_asks_once_and_waits() -> None:
    paths = create_study(load_preset("demo").settings)
    with subprocess.Popen([sys.executable, "-c", SLOW, str(paths.root)], stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None and worker.stdout.readline() == b"held\n"
        assert run.interrupted(paths, Console(stderr=True)) == INTERRUPTED
    ended = read_study(paths).ended
    assert ended and ended.reason == "asked 1 times"


@pytest.mark.parametrize(
    ("left", "code", "words"),
    [
        ({}, OK, ""),
        ({"diverged": ["digits-d3-relu-r1"]}, PARTLY, "numbers are missing: 1 network diverged"),
        ({"broken": ["digits-d3-tanh-r0-l2"]}, PARTLY, "numbers are missing: 1 layer could not be measured"),
    ],
)
def test_following_ends_with_what_became_of_the_study(
    left: dict[str, list[str]], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    study = make_study(settings_of(networks__runs=2, training__epochs=2), "complete", arrays=False, **left)  # type: ignore[arg-type]
    assert run.verdict(read_study(study.paths), Console(quiet=True)) == code
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("state", "code", "words"),
    [
        ("complete", 0, "complete: 7 embeddings"),
        ("stopped", 4, "stopped; go on with: embcx-tui resume"),
        ("failed", 1, "the disk is full; go on with: embcx-tui resume"),
        ("lost", 1, "the worker ended without a word; go on with: embcx-tui resume"),
    ],
)
def test_every_end_has_the_exit_code_of_the_readme(
    state: FakeState, code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_of(networks__activations=["relu"], networks__runs=1, training__epochs=2)
    study = make_study(settings, state, arrays=False, reason="the disk is full" if state == "failed" else "")
    assert run.verdict(read_study(study.paths), Console(stderr=True, width=200)) == code
    assert words in capsys.readouterr().err


def test_a_second_ctrl_c_leaves_it_to_stop_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def again(*_: object, **__: object) -> bool:
        raise KeyboardInterrupt

    paths = create_study(load_preset("demo").settings)
    monkeypatch.setattr(launch, "stop", again)
    assert run.interrupted(paths, Console(stderr=True)) == INTERRUPTED
    assert f"embcx-tui logs {paths.id}" in capsys.readouterr().err


def test_ctrl_c_while_a_resumed_study_is_accepted_stops_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def again(paths: StudyPaths) -> None:
        raise KeyboardInterrupt

    stopped: list[str] = []
    monkeypatch.setattr(launch, "start", lambda paths: 1)
    monkeypatch.setattr(launch, "await_acceptance", again)
    monkeypatch.setattr(launch, "stop", lambda paths, **_: stopped.append(paths.id))
    paths = create_study(load_preset("demo").settings)
    done = CliRunner().invoke(cli, ["resume", "last"])
    assert done.exit_code == INTERRUPTED and stopped == [paths.id]
    assert f"embcx-tui resume {paths.id}" in done.output
