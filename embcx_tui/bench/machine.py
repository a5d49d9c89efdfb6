"""The machine that a benchmark runs on, peak memory, and the first call of a process with and without kept code."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

import psutil
import torch

from embcx_tui.bench.results import Clock, FirstCall, Machine
from embcx_tui.compute import gpus
from embcx_tui.compute.device import cores, cpu_model
from embcx_tui.compute.timing import Timing, Value
from embcx_tui.store.machine_records import numeric_versions
from embcx_tui.study.text import safe_text

# Reports progress: one line about what is measured now.
Say = Callable[[str], None]
# First calls with some milliseconds of work: the rest is importing, compiling or loading.
_SCRIPTS = {
    "embedding": """
import time
import numpy as np
from embcx_tui.compute.tsne.complexity import measure
rows = np.random.default_rng(0).standard_normal((120, 10)).astype(np.float32)
begun = time.perf_counter()
list(measure([rows], [0]))
print(time.perf_counter() - begun)
""",
    "training": """
import time
import torch
from embcx_tui.worker.calibrate import cohort, noise_dataset, settings_for
data, settings = noise_dataset("digits", 200, 100), settings_for("digits", depths=(2,), runs=1)
begun = time.perf_counter()
cohort(data, settings, torch.device("cpu")).epoch()
print(time.perf_counter() - begun)
""",
}


def clock(timing: Timing) -> Clock:
    return {"seconds": timing.seconds, "cpu_seconds": timing.cpu_seconds}


def mean_time(timings: Sequence[Timing]) -> Timing:
    return Timing(fmean(one.seconds for one in timings), fmean(one.cpu_seconds for one in timings))


def idle_ratio(theirs: Timing, their_threads: int, ours: Timing, our_threads: int) -> float:
    """Return the ratio that processor time would give on an idle machine, every thread with a core of its own.

    Computed, not measured: where other programs share the cores, wall times say how many they leave to each.
    """
    return (theirs.cpu_seconds / their_threads) / (ours.cpu_seconds / our_threads)


def with_peak(work: Callable[[], Value]) -> tuple[Value, int]:
    """Return what `work` returns and the largest resident memory of this process meanwhile, in bytes.

    Linux forgets an earlier peak when asked; elsewhere the process's highest so far is given.
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    value = work()
    return value, _peak()


def _peak() -> int:
    line = _line_of("/proc/self/status", "VmHWM:")
    return int(line.split()[1]) * 1024 if line else int(psutil.Process().memory_info().rss)


def _line_of(file: str, start: str) -> str:
    """Return the first line of `file` with that start; empty without one, or without such a file (not on Linux)."""
    try:
        lines = Path(file).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line for line in lines if line.startswith(start)), "")


def describe_machine(device: torch.device) -> Machine:
    """Return the machine as it is now, with the GPU where `device` is one."""
    versions: dict[str, str | None] = {**numeric_versions()}
    gpu = driver = None
    if device.type == "cuda":
        gpu = safe_text(torch.cuda.get_device_name(device), 80)
        driver = gpus.nvml_driver_version() or None
        versions["cuda"] = torch.version.cuda
    return {
        "cpu": cpu_model(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "memory": psutil.virtual_memory().total,
        "load": load_average(),
        "device": str(device),
        "gpu": gpu,
        "driver": driver,
        "system": f"{platform.system()} {platform.release()}",
        "versions": versions,
    }


def load_average() -> list[float]:
    """Return the load of the last 1, 5 and 15 minutes."""
    return [round(one, 2) for one in os.getloadavg()]


def first_calls(what: str, say: Say) -> FirstCall:
    """Return seconds of a process's first "embedding", or "training" of an epoch, on the CPU."""
    say("first call: compiling, then from the cache")
    with tempfile.TemporaryDirectory(prefix="embcx-bench-") as cache:
        environment = os.environ | {"NUMBA_CACHE_DIR": cache}
        times = [_first_call(_SCRIPTS[what], environment) for _ in range(2)]
    return {"compiling": times[0], "cached": times[1]}


def _first_call(script: str, environment: dict[str, str]) -> float:
    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)
