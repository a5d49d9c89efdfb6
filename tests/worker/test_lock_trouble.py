"""Disks that several machines share: locks refused, unknown, or granted to everybody, and a worker seen from elsewhere.

A `sitecustomize` on PYTHONPATH gives each process the trouble, and another boot and name where it is on "the other
machine". The pulse beats faster than in earnest, so that a test is short.
"""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from embcx_tui.store import jobs, pulse
from embcx_tui.store.library import create_study
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import read_study
from embcx_tui.worker.process import LOCKED
from tests.worker.test_foreign import tiny

TROUBLE = """
import errno, fcntl, os, pathlib, socket
kind = os.environ["TROUBLE"]
def lockf(*_):
    if kind != "granted":
        raise OSError(getattr(errno, kind), os.strerror(getattr(errno, kind)))
fcntl.lockf = lockf
if host := os.environ.get("ELSEWHERE"):
    whole = pathlib.Path.read_text
    def read_text(self, *rest, **more):
        return host if self.name == "boot_id" else whole(self, *rest, **more)
    pathlib.Path.read_text = read_text
    socket.gethostname = lambda: host
from embcx_tui.store import pulse
pulse.PULSE_S, pulse.WATCH_S, pulse.BELIEVED_S = 0.2, float(os.environ.get("WATCH", "20")), 3.0
"""
# Begins as a worker does, and then computes nothing until it is killed: no test waits for torch.
IDLE = """
import sys, time
from pathlib import Path
from embcx_tui.worker import process
process.prepare_environment = lambda: time.sleep(1000)
sys.exit(process.run_study(Path(sys.argv[1])))
"""
STATE = "import sys; from pathlib import Path; from embcx_tui.store.paths import StudyPaths; "
STATE += "from embcx_tui.store.snapshot import read_study; print(read_study(StudyPaths(Path(sys.argv[1]))).state)"
PATIENCE_S = 300.0


class Machine:
    """One of two machines with the same trouble: `name` is empty for the one that runs the tests."""

    def __init__(self, folder: Path, kind: str, name: str) -> None:
        places = f"{folder}:{os.environ.get('PYTHONPATH', '')}"
        self.environment = {**os.environ, "PYTHONPATH": places, "TROUBLE": kind, "ELSEWHERE": name}

    def start(self, paths: StudyPaths) -> subprocess.Popen[str]:
        command = [sys.executable, "-P", "-c", IDLE, str(paths.root)]
        return subprocess.Popen(command, env=self.environment, stderr=subprocess.PIPE, text=True)

    def state(self, paths: StudyPaths) -> str:
        if not self.environment["ELSEWHERE"]:
            return read_study(paths).state
        command = [sys.executable, "-P", "-c", STATE, str(paths.root)]
        return subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(params=["ENOLCK", "ENOSYS", "granted"])
def machines(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Machine, Machine]:
    (tmp_path / "sitecustomize.py").write_text(TROUBLE)

    def lockf(*_: object) -> None:
        if request.param != "granted":
            raise OSError(getattr(errno, request.param), os.strerror(getattr(errno, request.param)))

    monkeypatch.setattr(fcntl, "lockf", lockf)
    monkeypatch.setattr(pulse, "BELIEVED_S", 3.0)
    return Machine(tmp_path, request.param, ""), Machine(tmp_path, request.param, "node17")


@pytest.fixture
def killed() -> Iterator[list[subprocess.Popen[str]]]:
    begun: list[subprocess.Popen[str]] = []
    yield begun
    for process in begun:
        process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()


def until_begun(paths: StudyPaths, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + PATIENCE_S
    while b"worker-started" not in paths.journal.read_bytes():
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.02)


def test_a_worker_is_seen_from_both_machines_and_a_second_one_is_refused_on_both(
    machines: tuple[Machine, Machine], killed: list[subprocess.Popen[str]]
) -> None:
    here, there = machines
    paths = create_study(tiny())
    first = there.start(paths)
    killed.append(first)
    until_begun(paths, first)
    jobs.write_job(paths, jobs.Job("123", state="running"))
    assert {machine.state(paths) for machine in machines} == {"running"}
    for machine in machines:
        second = machine.start(paths)
        killed.append(second)
        _, said = second.communicate(timeout=PATIENCE_S)
        assert second.returncode == LOCKED
        where = "" if machine is there else " on node17"
        assert f"study {paths.id} runs{where} (SLURM job 123), as its pulse.json tells; stop it there" in said
    assert first.poll() is None
    first.kill()
    first.communicate()
    assert there.state(paths) == "lost", "its own machine knows at once"
    end = time.monotonic() + PATIENCE_S
    while here.state(paths) != "lost":
        assert time.monotonic() < end
        time.sleep(0.1)
    here.environment["WATCH"] = "1"
    third = here.start(paths)
    killed.append(third)
    end = time.monotonic() + PATIENCE_S
    while there.state(paths) != "running":
        assert third.poll() is None and time.monotonic() < end
    assert ("this file system has no locks" in paths.journal.read_text()) == (here.environment["TROUBLE"] != "granted")


def test_of_two_machines_that_begin_at_once_one_works(
    machines: tuple[Machine, Machine], killed: list[subprocess.Popen[str]]
) -> None:
    paths = create_study(tiny())
    both = [machine.start(paths) for machine in machines]
    killed += both
    end = time.monotonic() + PATIENCE_S
    while sum(process.poll() is None for process in both) > 1:
        assert time.monotonic() < end, "both work"
        time.sleep(0.05)
    (refused,) = [process for process in both if process.poll() is not None]
    assert refused.returncode == LOCKED
    until_begun(paths, next(process for process in both if process.poll() is None))
    assert paths.journal.read_bytes().count(b"worker-started") == 1
