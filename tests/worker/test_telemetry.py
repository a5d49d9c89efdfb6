"""Host load while a study is computed: right numbers, and whatever happens to its file ends nothing."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from embcx_tui.store.machine_records import Telemetry, TelemetryWriter, read_telemetry
from embcx_tui.worker import telemetry as module
from embcx_tui.worker.telemetry import telemetry

# Far beyond any wait on a crowded machine.
PATIENCE_S = 60.0
GIB = 1 << 30


@pytest.fixture(autouse=True)
def died(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Sample fast, and note every thread that dies."""
    found: list[str] = []
    monkeypatch.setattr(module, "INTERVAL_S", 0.02)
    monkeypatch.setattr(threading, "excepthook", lambda arguments: found.append(str(arguments.exc_value)))
    return found


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "this never came true"
        time.sleep(0.01)


def sampling() -> bool:
    return any(thread.name == "telemetry" for thread in threading.enumerate())


def test_the_hosts_load_is_what_the_system_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, died: list[str]
) -> None:
    path = tmp_path / "telemetry.jsonl"
    monkeypatch.setattr(psutil, "cpu_percent", lambda: 37.5)
    # Cached files count as free, since the system gives them back: 8 GiB, of which 3 can be had.
    monkeypatch.setattr(
        psutil, "virtual_memory", lambda: SimpleNamespace(total=8 * GIB, available=3 * GIB, used=4 * GIB, free=GIB)
    )
    begun = time.time()
    with telemetry(path, None):
        until(lambda: len(read_telemetry(path)) >= 3)
    samples = read_telemetry(path)
    assert {(one.cpu_percent, one.memory_used, one.memory_total) for one in samples} == {(37.5, 5 * GIB, 8 * GIB)}
    assert begun <= samples[0].at <= samples[-1].at <= time.time()
    # Without a GPU nothing is said of one.
    assert {(one.gpu_name, one.gpu_percent, one.gpu_index, one.gpu_count) for one in samples} == {(None,) * 4}
    # After the block nothing is written any more.
    assert not sampling() and died == []


def test_a_full_disk_ends_the_sampling_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, died: list[str]
) -> None:
    written: list[Telemetry] = []
    closed: list[None] = []

    def append(self: TelemetryWriter, sample: Telemetry) -> None:
        if len(written) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(sample)

    close = TelemetryWriter.close

    def note_close(self: TelemetryWriter) -> None:
        closed.append(None)
        close(self)

    monkeypatch.setattr(TelemetryWriter, "append", append)
    monkeypatch.setattr(TelemetryWriter, "close", note_close)
    done = False
    with telemetry(tmp_path / "telemetry.jsonl", None):
        until(lambda: not sampling())
        done = True
    assert done and len(written) == 2 and len(closed) == 1 and died == []


@pytest.mark.parametrize("place", ["a folder", "nowhere"])
def test_a_file_that_cannot_be_opened_ends_nothing(place: str, tmp_path: Path, died: list[str]) -> None:
    path = tmp_path / "telemetry.jsonl" if place == "a folder" else tmp_path / "missing" / "telemetry.jsonl"
    if place == "a folder":
        path.mkdir()
    with telemetry(path, None):
        until(lambda: not sampling())
    assert read_telemetry(path) == () and died == []


def test_an_error_of_the_study_goes_through_and_ends_the_sampling(tmp_path: Path) -> None:
    with pytest.raises(KeyError), telemetry(tmp_path / "telemetry.jsonl", None):
        raise KeyError("of the study")
    assert not sampling()
