"""Load samples are bounded and never in the way."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from embcx_tui.store import machine_records
from embcx_tui.store.machine_records import Telemetry, TelemetryWriter, read_telemetry


def sample(at: float) -> Telemetry:
    return Telemetry(at, 50.0, 2**30, 2**34, "GPU", 99.0, 2**33, 2**36, 60.0, 300.5)


def test_samples_come_back_and_what_is_no_sample_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.jsonl"
    writer = TelemetryWriter(path)
    for at in range(5):
        writer.append(sample(at))
    with path.open("ab") as file:
        file.write(b'{"at": "x"}\n[1]\nnull\n{"at": 3')
    assert read_telemetry(path) == tuple(sample(at) for at in range(5))
    assert read_telemetry(path, seconds=6)[-1] == sample(4)
    assert read_telemetry(tmp_path / "missing") == ()


def test_the_file_stays_small_and_keeps_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_records, "KEEP_LINES", 10)
    path = tmp_path / "telemetry.jsonl"
    writer = TelemetryWriter(path)
    for at in range(500):
        writer.append(sample(at))
        assert path.stat().st_size <= 2 * 10 * 800 + 800
    kept = read_telemetry(path)
    assert [one.at for one in kept] == list(range(500))[-len(kept) :]
    assert len(kept) >= 10


def test_a_file_that_cannot_be_opened_again_closes_nobody_elses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_records, "KEEP_LINES", 1)
    writer = TelemetryWriter(tmp_path / "telemetry.jsonl")

    def refuse() -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch, pytest.raises(OSError, match="Too many open files"):
        patch.setattr(writer, "_open", refuse)
        for at in range(9):
            writer.append(sample(at))
    # What another thread opens meanwhile may get the number of a descriptor that was closed.
    other = os.open(tmp_path / "other", os.O_WRONLY | os.O_CREAT)
    writer.close()
    os.write(other, b"still open")
    os.close(other)
