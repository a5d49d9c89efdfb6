"""What is stored of a machine: its speed (calibration), its load (telemetry), and the versions of its libraries."""

from __future__ import annotations

import json
import os
import platform
import re
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from embcx_tui import __version__
from embcx_tui.store.files import publish, write_all
from embcx_tui.store.home_records import read_by_host, write_by_host
from embcx_tui.store.plain_files import open_plain, read_plain
from embcx_tui.study.events import MachineDescribed, Time
from embcx_tui.study.text import safe_text

# Counted up when a number of a calibration changes its meaning: entries of another version are measured again.
_VERSION = 3
_MAX_BYTES = 1_000_000
_FILE = "calibration.json"
# "auto" names a device, which names a card, which has the numbers.
_MOST_NAMES = 3
# An hour of load at 1 Hz; at twice that the older half is dropped, so the file stays below 2 MB.
KEEP_LINES = 3_600
_LINE_BYTES = 800
_MOST_LOAD_BYTES = 8 * KEEP_LINES * _LINE_BYTES

NUMERIC_LIBRARIES = ("torch", "torchvision", "numpy", "openTSNE", "scikit-learn", "numba")

_Speed = Annotated[float, Field(ge=0, strict=True, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class Calibration:
    """The speed of one device in seconds; analysis.forecast says how they add up.

    A training step takes `operation` for each call, `work` for each floating-point operation (`sparse` for one on
    inputs that are mostly zero, the zeros left out) and `weight` for each weight. `embedding` is a t-SNE embedding of
    1,000 points among many, `metrics` the numbers beside it, on the CPU; `write` a result's file and journal line,
    `start` a worker until it computes.
    """

    operation: _Speed
    work: _Speed
    sparse: _Speed
    weight: _Speed
    embedding: _Speed
    metrics: _Speed
    write: _Speed
    start: _Speed


# Two cores of an AMD EPYC (Zen 4), busy with other work (load 3 to 6), by `embcx-tui bench`: assumed until this machine
# has been measured. `embedding` is 1.4 times what a plain descent took there, for the search.
ROUGH = Calibration(
    operation=1.5e-5, work=1.5e-11, sparse=3.5e-11, weight=3e-10, embedding=0.35, metrics=0.15, write=0.005, start=5.0
)


def stored_calibration(device: str) -> Calibration | None:
    """Return the calibration of `device` on this host; None where there is none.

    `device` is "cpu", a GPU in the words of `store_calibration`, or what a study file says: "auto", "cuda" and "cuda:1"
    are what they meant when something was last measured here.
    """
    here = _read_calibrations().get(socket.gethostname())
    if not isinstance(here, dict):
        return None
    entry: Any = "cuda:0" if device == "cuda" else device
    for _ in range(_MOST_NAMES):
        if not isinstance(entry, str):
            break
        entry = here.get(entry)
    return calibration_of(entry)


def store_calibration(device: str, calibration: Calibration, auto: str, card: str = "") -> None:
    """Store the calibration of `device`, and that "auto" means the device `auto` here: `$EMBCX_HOME/calibration.json`.

    `card` says in words what a GPU's speed depends on, such as its name and driver: the calibration is the card's, and
    `device` is its name today. StoreError or OSError where it cannot be written.
    """
    known = _read_calibrations()
    here = known.get(socket.gethostname())
    here = here if isinstance(here, dict) else {}
    entry = {card: asdict(calibration), device: card} if card else {device: asdict(calibration)}
    known[socket.gethostname()] = {**here, **entry, "auto": auto}
    write_by_host(_FILE, _VERSION, known)


def _read_calibrations() -> dict[str, Any]:
    """Return the entries by host."""
    return {safe_text(host, 200): entry for host, entry in read_by_host(_FILE, _VERSION, _MAX_BYTES).items()}


def calibration_of(values: Any) -> Calibration | None:
    """Return the calibration of these fields, of a file or a journal; None where some are missing or not numbers."""
    with suppress(ValidationError):
        return _CALIBRATION.validate_python(values)
    return None


def machine_differences(before: MachineDescribed, after: MachineDescribed) -> tuple[str, ...]:
    """Return in words what of two machines, or of their software, may change a number; empty where nothing does.

    Names, versions, processors and the path of a GPU count. Memory, the number of cores and the place of a GPU among
    its equals do not, nor does what one of the two does not say.
    """
    pairs = [
        ("device", _kind(before.device), _kind(after.device)),
        *((name, getattr(before, name), getattr(after, name)) for name in ("driver", "capability", "precision")),
        *((name, old, after.versions.get(name)) for name, old in before.versions.items()),
        *((name, old, after.processor.get(name)) for name, old in before.processor.items()),
        *((part, way, after.path.get(part)) for part, way in before.path.items()),
    ]
    return tuple(
        f"{name} {new} instead of {old}" for name, old, new in pairs if name != "python" and old and new and old != new
    )


def _kind(device: str) -> str:
    """Return what of a machine's `device` decides its numbers: `CPU`, or the name of the GPU."""
    return "CPU" if device.startswith("cpu") else re.sub(r"^cuda:\d+ \((.*)\)$", r"\1", device)


_Bytes = Annotated[int, Field(ge=0, lt=2**63)]
# Percentages of many cores, degrees and watts are far below; what is beyond comes from a file that was edited.
_Words = Annotated[str, Field(max_length=200)]
_Reading = Annotated[float, Field(ge=-1e6, le=1e6)]


@dataclass(frozen=True, slots=True)
class Telemetry:
    """One sample of the load. Percentages 0 … 100, memory in bytes, temperature in °C, power in W; None if unknown.

    `gpu_index` is nvidia-smi's number of the GPU, from 0, `gpu_count` how many this machine has. `gpus` are all of them
    where there are several: (number, percent, MiB used, MiB in all).

    `hands` are the processes that compute parts of the study, where there are several: number, part (empty: none), load
    in percent of a core and MiB of memory; of a GPU nvidia-smi's number, percent, MiB used, MiB in all. The GPU's
    readings are then those of all their GPUs: mean load, highest temperature, sums of memory and power.
    """

    at: Time
    cpu_percent: _Reading
    memory_used: _Bytes
    memory_total: _Bytes
    gpu_name: str | None = None
    gpu_percent: _Reading | None = None
    gpu_memory_used: _Bytes | None = None
    gpu_memory_total: _Bytes | None = None
    gpu_temperature: _Reading | None = None
    gpu_power: _Reading | None = None
    gpu_index: _Bytes | None = None
    gpu_count: _Bytes | None = None
    gpus: tuple[tuple[_Bytes, _Bytes | None, _Bytes | None, _Bytes | None], ...] = ()
    hands: tuple[
        tuple[
            _Bytes, _Words, _Reading | None, _Bytes | None, _Bytes | None, _Bytes | None, _Bytes | None, _Bytes | None
        ],
        ...,
    ] = ()


_CALIBRATION = TypeAdapter(Calibration)
_TELEMETRY = TypeAdapter(Telemetry)


class TelemetryWriter:
    """Appends samples to a bounded file, one JSON object per line; unsynced, since a lost sample does not matter."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = self._open()

    def _open(self) -> int:
        return open_plain(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def append(self, sample: Telemetry) -> None:
        write_all(self._fd, json.dumps(asdict(sample)).encode() + b"\n")
        if os.fstat(self._fd).st_size > 2 * KEEP_LINES * _LINE_BYTES:
            kept = read_plain(self._path, _MOST_LOAD_BYTES)[-KEEP_LINES * _LINE_BYTES :]
            publish(self._path, kept.partition(b"\n")[2])
            # The new one is opened first: where that fails, the old one stays open.
            old, self._fd = self._fd, self._open()
            os.close(old)

    def close(self) -> None:
        os.close(self._fd)


def read_telemetry(path: Path, seconds: int = 600) -> tuple[Telemetry, ...]:
    """Return the newest `seconds` samples; unreadable lines are left out."""
    try:
        with os.fdopen(open_plain(path), "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - seconds * _LINE_BYTES))
            lines = file.read(seconds * _LINE_BYTES).splitlines()[-seconds:]
    except OSError:
        return ()
    samples = []
    for line in lines:
        with suppress(ValidationError):
            samples.append(_TELEMETRY.validate_json(line, strict=True))
    return tuple(samples)


def library_versions(names: Iterable[str] = NUMERIC_LIBRARIES) -> dict[str, str]:
    """Return the installed version of each library, without importing any; "missing" where it is not installed."""
    versions = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "missing"
    return versions


def numeric_versions() -> dict[str, str]:
    """Return the versions that a study or a benchmark records: embcx-tui, Python and NUMERIC_LIBRARIES."""
    return {"embcx-tui": __version__, "python": platform.python_version(), **library_versions()}
