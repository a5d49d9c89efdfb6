"""Three studies queued, with real processes: one runs, one is killed while it waits, one is put before the others."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from embcx_tui.store import lock, queue
from embcx_tui.store.library import find_study
from embcx_tui.store.snapshot import read_study
from tests.terminal import Terminal
from tests.test_journeys import PROGRAM, studies

_PATIENCE_S = 240.0
SMALL = """
[data]
datasets = ["digits"]
[networks]
runs = 1
activations = ["relu"]
depths = [1]
[machine]
device = "cpu"
"""
LONG = f"{SMALL}[training]\nepochs = 10_000\nbatch_size = 5\n"
SHORT = f"{SMALL}[training]\nepochs = 2\n"


def until(holds: Callable[[], bool], complaint: str) -> None:
    end = time.monotonic() + _PATIENCE_S
    while not holds():
        assert time.monotonic() < end, complaint
        time.sleep(0.1)


def enqueue(folder: Path, name: str, settings: str) -> None:
    path = folder / f"{name}.toml"
    path.write_text(settings)
    subprocess.run([*PROGRAM, "run", str(path), "--queue"], check=True, capture_output=True)


def state(name: str) -> str:
    return next(str(row["state"]) for row in studies() if row["name"] == name)


def places() -> dict[str, int | None]:
    return {row["name"]: row["queue"] for row in studies()}


@pytest.fixture
def no_process_left() -> Iterator[None]:
    yield
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "embcx_tui.worker" in words and any(str(row["id"]) in words[-1] for row in studies()):
            process.kill()


def test_three_queued_one_killed(home: Path, tmp_path: Path, no_process_left: None) -> None:
    enqueue(tmp_path, "long", LONG)
    until(lambda: state("long") == "running", "the first study does not start")
    for name in ("killed", "short", "last"):
        enqueue(tmp_path, name, SHORT)
    assert places() == {"long": None, "killed": 1, "short": 2, "last": 3}
    killed = find_study("killed")
    (process,) = [
        one
        for one in psutil.process_iter(["cmdline"])
        if "wait" in (one.info["cmdline"] or []) and (one.info["cmdline"] or [])[-1] == str(killed.root)
    ]
    process.kill()
    until(lambda: not lock.is_held(killed.waiting), "a killed process holds its place")
    listed = subprocess.run([*PROGRAM, "list"], check=True, capture_output=True, text=True).stdout
    assert "queued, next, its process is gone" in listed and "queued, 3rd" in listed
    with Terminal(PROGRAM, 120, 40) as terminal:
        terminal.expect("killed")
        # On its start the application lets the killed one wait again.
        until(lambda: lock.is_held(killed.waiting), "the killed one does not wait again")
        terminal.expect("3rd")
        terminal.press("/", *"last", "enter")
        terminal.expect("1 of 4")
        terminal.press("\x1b[1;2A")  # shift+up: before “short”
        until(lambda: places()["last"] == 2, "it was not moved")
        terminal.press("x")  # out of the queue
        until(lambda: places()["last"] is None, "it is still queued")
        terminal.press("q")
        terminal.expect("Detach")
        terminal.press("enter")
        assert terminal.wait() == 0
    # The application is closed: each waiting process decides for itself.
    subprocess.run([*PROGRAM, "stop", "long"], check=True, capture_output=True)
    until(lambda: state("killed") == state("short") == "complete", "the queue does not go on")
    first, second = (read_study(find_study(name)) for name in ("killed", "short"))
    assert first.worker and first.ended and second.worker
    assert second.worker.at >= first.ended.at, "one at a time, in the order of the queue"
    assert state("long") == "stopped" and state("last") == "queued" and queue.entries() == ()


def of_file(path: Path) -> str:
    return SHORT.replace('["digits"]', f'["file:{path}"]')


def write_data(path: Path) -> None:
    rng = np.random.default_rng(1)
    y = np.arange(1_200) % 10
    np.savez(path, X=rng.normal(size=(len(y), 6)) + y[:, None], y=y)


def test_a_study_whose_data_are_missing_or_damaged_is_not_queued(home: Path, tmp_path: Path) -> None:
    for name, words in (("gone", "gone.npz"), ("torn", "torn.npz")):
        data = tmp_path / f"{name}.npz"
        write_data(data)
        path = tmp_path / f"{name}.toml"
        path.write_text(of_file(data))
        if name == "gone":
            data.unlink()
        else:
            data.write_bytes(data.read_bytes()[:2_000])
        done = subprocess.run([*PROGRAM, "run", str(path), "--queue"], capture_output=True, text=True)
        assert done.returncode in (1, 2) and done.stdout == "", done
        assert words in done.stderr and done.stderr.count("\n") == 1, "one line says which file it is"
    assert studies() == [], "what was refused leaves nothing"


def test_the_next_study_has_its_turn_where_the_first_fails(home: Path, tmp_path: Path, no_process_left: None) -> None:
    data = tmp_path / "data.npz"
    write_data(data)
    enqueue(tmp_path, "long", LONG)
    until(lambda: state("long") == "running", "the first study does not start")
    enqueue(tmp_path, "fails", of_file(data))
    enqueue(tmp_path, "next", SHORT)
    assert places() == {"long": None, "fails": 1, "next": 2}
    data.unlink()
    subprocess.run([*PROGRAM, "stop", "long"], check=True, capture_output=True)
    until(lambda: state("next") == "complete", "the study behind one that failed does not start")
    assert state("fails") == "failed" and not queue.is_queued(find_study("fails"))
    ended = read_study(find_study("fails")).ended
    assert ended and "data.npz" in ended.reason
    until(lambda: queue.entries() == (), "something still waits")
