"""Where locks are refused or local a worker's pulse tells that it runs, whatever clock and host name say."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import subprocess
import sys
import threading
import time

import psutil
import pytest

from embcx_tui.store import lock, pulse
from embcx_tui.store.library import create_study, delete_study
from embcx_tui.store.lock import StudyLock
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.processes import boot_id, process_start, worker_process
from embcx_tui.store.snapshot import read_study
from embcx_tui.study.errors import RequestError
from embcx_tui.study.events import WorkerStarted
from embcx_tui.study.settings import load_preset


def worker_of(pid: int, **changes: object) -> WorkerStarted:
    known = {
        "pid": pid,
        "start_time": psutil.Process(pid).create_time(),
        "start": process_start(pid),
        "boot_id": boot_id(),
        "host": socket.gethostname(),
    }
    return WorkerStarted.model_validate({**known, **changes})


@pytest.fixture
def paths() -> StudyPaths:
    return create_study(load_preset("demo").settings)


def beat(paths: StudyPaths, worker: WorkerStarted) -> None:
    paths.pulse.write_text(json.dumps(worker.model_dump(mode="json")))


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "lockf", refuse)


@pytest.mark.usefixtures("no_locks")
def test_without_locks_the_pulse_of_a_process_here_tells(paths: StudyPaths) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        beat(paths, worker_of(process.pid))
        assert lock.is_running(paths) and read_study(paths).state == "running"
        with pytest.raises(RequestError, match="is running"):
            delete_study(paths)
        second = StudyLock(paths.lock)
        assert second.acquire() and second.refused
        assert not pulse.Pulse(paths, worker_of(os.getpid())).begin(alone=True), "nor does a second worker start"
        process.kill()
        process.wait()
    assert not lock.is_running(paths)
    delete_study(paths)


@pytest.mark.usefixtures("no_locks")
@pytest.mark.parametrize("links", [True, False])
def test_of_two_workers_that_begin_at_once_the_one_whose_pulse_is_replaced_leaves(
    links: bool, paths: StudyPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some file systems have neither locks nor hard links: both have then found no pulse, and written theirs."""
    if not links:

        def refuse(*_: object, **__: object) -> None:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

        monkeypatch.setattr(os, "link", refuse)
    ours, parent = worker_of(os.getpid()), worker_of(os.getppid())
    with monkeypatch.context() as patch:
        patch.setattr(time, "sleep", lambda seconds: beat(paths, parent))
        assert not pulse.Pulse(paths, ours).begin(alone=True)
    assert pulse.read(paths) == parent, "that of the worker that goes on"
    paths.pulse.unlink()
    alone = pulse.Pulse(paths, ours)
    assert alone.begin(alone=True) and pulse.read(paths) == ours
    alone.end()


def test_neither_the_clock_nor_the_name_of_the_host_make_a_worker_one_of_another_machine() -> None:
    here = worker_of(os.getpid())
    assert worker_process(here.model_copy(update={"host": "laptop-cafe"})) is not None
    assert worker_process(here.model_copy(update={"start_time": here.start_time + 5})) is not None
    assert worker_process(here.model_copy(update={"start": str(int(here.start) + 1)})) is None, "the pid was reused"
    assert worker_process(here.model_copy(update={"boot_id": "another"})) is None
    # Studies of earlier versions have the time alone.
    earlier = here.model_copy(update={"start": ""})
    assert worker_process(earlier) is not None
    assert worker_process(earlier.model_copy(update={"start_time": here.start_time + 5})) is None


def test_another_machines_pulse_is_believed_while_its_file_changes(
    paths: StudyPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "WATCH_S", 3.0)
    beat(paths, worker_of(os.getpid(), boot_id="another", host="node17"))
    assert lock.is_running(paths), "it was written just now"
    then = time.time() - 300  # a clock that goes wrong by minutes, or a worker that was killed
    os.utime(paths.pulse, (then, then))
    assert not lock.is_running(paths)
    assert not lock.is_running(paths, sure=True), "nothing changes while it is watched"
    beats = threading.Timer(0.7, os.utime, (paths.pulse, (then + 10, then + 10)))
    beats.start()
    assert lock.is_running(paths, sure=True), "a file that changes is written by somebody, whatever the clocks say"
    beats.join()


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b"x" * 20_000, b'{"pid": 1e300}'])
def test_a_damaged_pulse_is_none(paths: StudyPaths, content: bytes) -> None:
    paths.pulse.write_bytes(content)
    assert not lock.is_running(paths, sure=True)


def test_a_pulse_is_kept_up_and_removed_at_the_end(paths: StudyPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "PULSE_S", 0.05)
    beating = pulse.Pulse(paths, worker_of(os.getpid()))
    assert beating.begin(alone=True) and lock.is_running(paths)
    counts: set[int] = set()
    give_up = time.monotonic() + 60
    while len(counts) < 3 and time.monotonic() < give_up:
        counts.add(json.loads(paths.pulse.read_bytes())["count"])
    assert len(counts) >= 3
    beating.end()
    assert not paths.pulse.exists() and not lock.is_running(paths)


def test_who_looks_again_goes_by_what_changes_and_by_no_clock(
    paths: StudyPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    elsewhere = worker_of(os.getpid(), boot_id="another", host="node17").model_dump(mode="json")

    def beats(count: int, at: float) -> bool:
        paths.pulse.write_text(json.dumps({**elsewhere, "count": count}))
        os.utime(paths.pulse, (at, at))
        return lock.is_running(paths)

    wrong = time.time() - 7_200
    assert not beats(1, wrong), "looked at once, by the clock that stamps files here"
    now += 5
    assert beats(2, wrong) and lock.is_running(paths), "it changes"
    now += 46
    assert not lock.is_running(paths), "it has not changed for 46 s"
    assert beats(3, wrong)
    now += 46
    os.utime(paths.pulse)
    assert not lock.is_running(paths), "whatever the file's time is"


def test_a_pulse_of_the_future_is_watched_before_a_worker_begins(
    paths: StudyPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "WATCH_S", 30.0)
    beat(paths, worker_of(os.getpid(), boot_id="another", host="node17"))
    then = time.time() + 86_400
    os.utime(paths.pulse, (then, then))
    assert not lock.is_running(paths)
    beats = threading.Timer(0.7, os.utime, (paths.pulse, (then + 10, then + 10)))
    beats.start()
    assert lock.is_running(paths, sure=True)
    beats.join()


def test_where_a_lock_is_one_of_this_machine_alone_the_first_pulse_wins(
    paths: StudyPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have got the lock, and found no pulse; the other one has then written its own."""
    other = worker_of(os.getppid(), boot_id="another", host="node17")
    monkeypatch.setattr(pulse, "lives", lambda paths, sure: beat(paths, other))
    assert not pulse.Pulse(paths, worker_of(os.getpid())).begin(alone=False)
    assert pulse.read(paths) == other and pulse.whereabouts(paths) == " on node17"
