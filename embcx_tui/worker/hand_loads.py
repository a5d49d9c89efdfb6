"""What the hands of a study use of this machine, and which hands are on others: samples for the panel of Live."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import psutil

from embcx_tui.compute import nvml

_INTERVAL_S = 1.0
# Readings older than this are not the load of now: the driver hangs.
_STALE_S = 5.0

HandLoad = tuple[int, str, float | None, int | None, int | None, int | None, int | None, int | None]


class HandLoads:
    """Samples hands and their GPUs once a second, in a thread of its own: a driver that hangs holds up nothing."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._processes: dict[int, tuple[psutil.Process | None, str]] = {}
        self._parts: Callable[[], Mapping[int, str]] = dict
        self._at = 0.0
        self._newest: dict[str, Any] = {}
        self._thread = threading.Thread(target=self._watch, name="hand-loads", daemon=True)

    def begin(self, number: int, pid: int, uuid: str) -> None:
        """Watch the process of a hand from now on, and the GPU with CUDA's `uuid`, where it has one."""
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            process.cpu_percent()  # the first call only sets the starting point
            self._processes = {**self._processes, number: (process, uuid)}

    def begin_elsewhere(self, number: int) -> None:
        """Know of a hand on another machine, whose load nobody samples."""
        self._processes = {**self._processes, number: (None, "")}

    def follow(self, parts: Callable[[], Mapping[int, str]]) -> None:
        """Begin; `parts` returns which part each hand that is at work has."""
        self._parts = parts
        self._thread.start()

    def end(self) -> None:
        """Let the thread end."""
        self._stop.set()

    def newest(self) -> dict[str, Any]:
        """Return the newest readings as fields of `Telemetry`; none where they are old."""
        return self._newest if time.monotonic() - self._at <= _STALE_S else {}

    def _watch(self) -> None:
        connected = not nvml.connect()
        while not self._stop.wait(_INTERVAL_S):
            parts = self._parts()
            hands: list[HandLoad] = []
            loads: dict[str, tuple[Any, nvml.Load]] = {}
            for number, (process, uuid) in sorted(self._processes.items()):
                if process is None:
                    hands.append((number, parts.get(number, ""), None, None, None, None, None, None))
                    continue
                with suppress(psutil.Error):
                    handle = nvml.handle_of(uuid) if uuid and connected else None
                    load = nvml.load_of(handle)
                    if handle is not None:
                        loads[uuid] = handle, load
                    hands.append((number, parts.get(number, ""), *_of_process(process), *_of_gpu(handle, load)))
            self._newest = {"hands": tuple(hands), **_together(list(loads.values()))}
            self._at = time.monotonic()


def _of_process(process: psutil.Process) -> tuple[float, int]:
    """Return the load of a process in percent of a core, and its memory in MiB."""
    return process.cpu_percent(), process.memory_info().rss >> 20


def _of_gpu(handle: Any, load: nvml.Load) -> tuple[int | None, int | None, int | None, int | None]:
    """Return nvidia-smi's number of a GPU, its load in percent, and MiB used and in all."""
    used, total = (None if size is None else size >> 20 for size in (load.memory_used, load.memory_total))
    return nvml.index_of(handle), None if load.percent is None else round(load.percent), used, total


def _together(gpus: list[tuple[Any, nvml.Load]]) -> dict[str, Any]:
    """Return the fields of several GPUs as of one: the mean load, the hottest, the sum of memory and power."""
    if not gpus:
        return {}

    def known(name: str) -> list[float]:
        return [value for _, load in gpus if (value := getattr(load, name)) is not None]

    percents, temperatures = known("percent"), known("temperature")
    used, total, power = known("memory_used"), known("memory_total"), known("power")
    name = nvml.name_of(gpus[0][0]) or "NVIDIA GPU"
    return {
        "gpu_name": name if len(gpus) == 1 else f"{len(gpus)} × {name}",
        "gpu_percent": sum(percents) / len(percents) if percents else None,
        "gpu_memory_used": int(sum(used)) if used else None,
        "gpu_memory_total": int(sum(total)) if total else None,
        "gpu_temperature": max(temperatures, default=None),
        "gpu_power": sum(power) if power else None,
        "gpu_count": nvml.count() or None,
    }
