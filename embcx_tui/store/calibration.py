"""How fast this machine computes, one entry per device, measured once: `$EMBCX_HOME/calibration.json`."""

from __future__ import annotations

import json
import math
import socket
from dataclasses import asdict, dataclass, fields
from typing import Any

from embcx_tui.store.files import make_folder, publish
from embcx_tui.store.paths import home
from embcx_tui.study.text import safe_text

_FILE = "calibration.json"
# Counted up when a number changes its meaning: entries of another version are measured again.
_VERSION = 3
_MAX_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Calibration:
    """The speed of one device in seconds; analysis.forecast says how they add up.

    A training step takes `operation` for each call, `work` for each floating-point operation (`sparse` for one on
    inputs that are mostly zero, the zeros left out) and `weight` for each weight. `embedding` is a t-SNE embedding of
    1,000 points among many, `metrics` the numbers beside it, on the CPU; `write` a result's file and journal line,
    `start` a worker until it computes.
    """

    operation: float
    work: float
    sparse: float
    weight: float
    embedding: float
    metrics: float
    write: float
    start: float


# Two cores of an AMD EPYC (Zen 4), busy with other work (load 3 to 6), by `embcx-tui bench`: assumed until this machine
# has been measured.
ROUGH = Calibration(
    operation=1.5e-5, work=1.5e-11, sparse=3.5e-11, weight=3e-10, embedding=0.25, metrics=0.15, write=0.005, start=5.0
)


def stored(device: str) -> Calibration | None:
    """Return the calibration of `device` ("auto", "cpu", "cuda", "cuda:1") on this host; None where there is none.

    "auto" is the device that it meant when something was last measured here.
    """
    here = _read().get(socket.gethostname())
    if not isinstance(here, dict):
        return None
    if device == "auto":
        device = str(here.get("auto", "cpu"))
    return from_values(here.get("cuda:0" if device == "cuda" else device))


def remember(device: str, calibration: Calibration, auto: str) -> None:
    """Store the calibration of `device`, and that "auto" means the device `auto` here.

    StoreError or OSError where it cannot be written.
    """
    known = _read()
    here = known.get(socket.gethostname())
    here = here if isinstance(here, dict) else {}
    known[socket.gethostname()] = {**here, device: asdict(calibration), "auto": auto}
    make_folder(home())
    publish(home() / _FILE, json.dumps({"version": _VERSION, "hosts": known}, indent=1).encode())


def _read() -> dict[str, Any]:
    """Return the entries by host; nothing where the file is missing, damaged or of another version."""
    path = home() / _FILE
    try:
        if path.stat().st_size > _MAX_BYTES:
            return {}
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(content, dict) or content.get("version") != _VERSION:
        return {}
    hosts = content.get("hosts")
    return {safe_text(host, 200): entry for host, entry in hosts.items()} if isinstance(hosts, dict) else {}


def from_values(values: Any) -> Calibration | None:
    """Return the calibration of these fields, of a file or a journal; None where some are missing or not numbers."""
    if not isinstance(values, dict):
        return None
    numbers = {field.name: values.get(field.name) for field in fields(Calibration)}
    if not all(isinstance(value, (int, float)) and math.isfinite(value) and value >= 0 for value in numbers.values()):
        return None
    return Calibration(**{name: float(value) for name, value in numbers.items() if value is not None})
