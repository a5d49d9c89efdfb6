"""Samples GPU and host load once a second while a study is computed."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import torch

from embcx_tui.compute import gpus, nvml
from embcx_tui.store.machine_records import Telemetry, TelemetryWriter
from embcx_tui.study.text import safe_text
from embcx_tui.worker.hand_loads import HandLoads

INTERVAL_S = 1.0
# Readings older than this many intervals are not the load of now: the driver hangs.
_STALE = 5


@contextlib.contextmanager
def telemetry(path: Path, gpu: int | None, hands: HandLoads | None = None) -> Iterator[None]:
    """Write a sample per second to `path` while the block runs, with the load of torch's GPU number `gpu`, or that of
    the `hands` of this machine, if any.
    """
    stop = threading.Event()
    thread = threading.Thread(target=_watch, args=(path, gpu, hands, stop), name="telemetry", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=5)


def _watch(path: Path, gpu: int | None, hands: HandLoads | None, stop: threading.Event) -> None:
    try:
        writer = TelemetryWriter(path)
    except OSError:
        return  # load is a comfort: a study goes on without it
    readings = hands if gpu is None else GpuReadings(gpu, stop)
    psutil.cpu_percent()  # the first call only sets the starting point
    try:
        while not stop.wait(INTERVAL_S):
            memory = psutil.virtual_memory()
            used = memory.total - memory.available
            newest = readings.newest() if readings else {}
            writer.append(Telemetry(time.time(), psutil.cpu_percent(), used, memory.total, **newest))
    except OSError:
        return  # a full disk: the study will say so itself
    finally:
        writer.close()


class GpuReadings:
    """Reads a GPU's load in a thread of its own: a driver that hangs holds up nothing, the host's load least of all."""

    def __init__(self, gpu: int, stop: threading.Event) -> None:
        self._gpu = gpu
        self._stop = stop
        self._at = 0.0
        self._card: dict[str, Any] = {}
        self._load: dict[str, Any] = {}
        self.thread = threading.Thread(target=self._read, name="gpu-telemetry", daemon=True)
        self.thread.start()

    def newest(self) -> dict[str, Any]:
        """Return the newest readings as fields of `Telemetry`; without the load where the driver hangs."""
        fresh = time.monotonic() - self._at <= _STALE * INTERVAL_S
        return {**self._card, **(self._load if fresh else {})}

    def _read(self) -> None:
        self._card = {"gpu_name": _name(self._gpu)}
        if nvml.connect():
            return
        handle = nvml.handle_of(gpus.uuid_of(self._gpu))
        # A slice is named as such by the driver, as the whole card by torch.
        self._card = {
            "gpu_name": (nvml.name_of(handle) if handle else "") or _name(self._gpu),
            "gpu_index": nvml.index_of(handle),
            "gpu_count": nvml.count() or None,
        }
        while handle is not None:
            load = nvml.load_of(handle)
            self._load = {
                "gpu_percent": load.percent,
                "gpu_memory_used": load.memory_used,
                "gpu_memory_total": load.memory_total,
                "gpu_temperature": load.temperature,
                "gpu_power": load.power,
                "gpus": nvml.all_loads(),
            }
            self._at = time.monotonic()
            if self._stop.wait(INTERVAL_S):
                return


def _name(gpu: int) -> str:
    """Return torch's name of its GPU; its number where it gives none."""
    with contextlib.suppress(RuntimeError):
        return safe_text(torch.cuda.get_device_properties(gpu).name, 80) or f"cuda:{gpu}"
    return f"cuda:{gpu}"
