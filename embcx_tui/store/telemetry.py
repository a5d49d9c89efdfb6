"""GPU and host load of a training machine: a bounded file, one JSON object per second."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from embcx_tui.store.files import FILE_MODE, publish, write_all

# An hour at 1 Hz; at twice that the older half is dropped, so the file stays below 2 MB.
KEEP_LINES = 3_600
_LINE_BYTES = 400


@dataclass(frozen=True, slots=True)
class Telemetry:
    """One sample. Percentages 0 … 100, memory in bytes, temperature in °C, power in W; None where unknown."""

    at: float
    cpu_percent: float
    memory_used: int
    memory_total: int
    gpu_name: str | None = None
    gpu_percent: float | None = None
    gpu_memory_used: int | None = None
    gpu_memory_total: int | None = None
    gpu_temperature: float | None = None
    gpu_power: float | None = None


_NAMES = tuple(field.name for field in fields(Telemetry))


class TelemetryWriter:
    """Appends samples; nothing is synced, since a lost sample does not matter."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = self._open()

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, FILE_MODE)

    def append(self, sample: Telemetry) -> None:
        write_all(self._fd, json.dumps(asdict(sample)).encode() + b"\n")
        if os.fstat(self._fd).st_size > 2 * KEEP_LINES * _LINE_BYTES:
            kept = self._path.read_bytes()[-KEEP_LINES * _LINE_BYTES :]
            publish(self._path, kept.partition(b"\n")[2])
            # The new one is opened first: where that fails, the old one stays open.
            old, self._fd = self._fd, self._open()
            os.close(old)

    def close(self) -> None:
        os.close(self._fd)


def read_telemetry(path: Path, seconds: int = 600) -> tuple[Telemetry, ...]:
    """Return the newest `seconds` samples; unreadable lines are left out."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - seconds * _LINE_BYTES))
            lines = file.read().splitlines()[-seconds:]
    except OSError:
        return ()
    return tuple(sample for line in lines if (sample := _sample(line)))


def _sample(line: bytes) -> Telemetry | None:
    try:
        values: Any = json.loads(line)
        sample = Telemetry(**{name: values.get(name) for name in _NAMES})
        return sample if all(isinstance(value, (int, float)) for value in (sample.at, sample.cpu_percent)) else None
    except (ValueError, TypeError, AttributeError):
        return None
