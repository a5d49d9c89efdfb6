"""Three studies queued, with real processes: one runs, one is killed while it waits, one is put before the others."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

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
