"""Samples GPU and host load once a second while a study is computed."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import torch

from embcx_tui.store.machine_records import Telemetry, TelemetryWriter
from embcx_tui.study.text import safe_text

_INTERVAL_S = 1.0


@contextlib.contextmanager
def telemetry(path: Path, device: torch.device) -> Iterator[None]:
    """Write a sample per second to `path` while the block runs, with the load of `device` where it is a GPU."""
    gpu = device.index or 0 if device.type == "cuda" else None
    stop = threading.Event()
    thread = threading.Thread(target=_watch, args=(path, gpu, stop), name="telemetry", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=5)


def _watch(path: Path, gpu: int | None, stop: threading.Event) -> None:
    try:
        writer = TelemetryWriter(path)
    except OSError:
        return  # load is a comfort: a study goes on without it
    read_gpu = _gpu_reader(gpu)
    psutil.cpu_percent()  # the first call only sets the starting point
    try:
        while not stop.wait(_INTERVAL_S):
            memory = psutil.virtual_memory()
            used = memory.total - memory.available
            writer.append(Telemetry(time.time(), psutil.cpu_percent(), used, memory.total, **read_gpu()))
    except OSError:
        return  # a full disk: the study will say so itself
    finally:
        writer.close()


def _gpu_reader(gpu: int | None) -> Callable[[], dict[str, Any]]:
    """Return a function that reads the GPU's state; one that reads nothing without NVIDIA's driver."""
    if gpu is None:
        return dict
    import pynvml

    try:
        pynvml.nvmlInit()
        handle = _handle(pynvml, gpu)
        name = pynvml.nvmlDeviceGetName(handle)
    except pynvml.NVMLError:
        return dict
    name = safe_text(name.decode() if isinstance(name, bytes) else name, 80)

    def read() -> dict[str, Any]:
        values: dict[str, Any] = {"gpu_name": name}
        # Each on its own: a card without a power sensor still has a temperature.
        for key, get in (
            ("gpu_percent", lambda: float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)),
            ("gpu_memory_used", lambda: int(pynvml.nvmlDeviceGetMemoryInfo(handle).used)),
            ("gpu_memory_total", lambda: int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)),
            ("gpu_temperature", lambda: float(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU))),
            ("gpu_power", lambda: pynvml.nvmlDeviceGetPowerUsage(handle) / 1000),
        ):
            with contextlib.suppress(pynvml.NVMLError):
                values[key] = get()
        return values

    return read


def _handle(pynvml: Any, gpu: int) -> Any:
    """Return NVML's handle of torch's device `gpu`, by UUID: torch counts only what CUDA_VISIBLE_DEVICES shows."""
    uuid = getattr(torch.cuda.get_device_properties(gpu), "uuid", None)  # torch 2.6 and later
    if uuid is not None:
        with contextlib.suppress(pynvml.NVMLError):
            return pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}".encode())
    return pynvml.nvmlDeviceGetHandleByIndex(gpu)
