"""The machine that a benchmark runs on, peak memory, and the first call of a process with and without kept code."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch

from embcx_tui.compute.device import cores
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
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return int(psutil.Process().memory_info().rss)


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Return processor, cores, memory (bytes), present load (1, 5, 15 min), GPU with driver, and versions."""
    facts: dict[str, Any] = {
        "cpu": _cpu_model(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "memory": psutil.virtual_memory().total,
        "load": [round(one, 2) for one in os.getloadavg()],
        "device": str(device),
        "gpu": None,
        "driver": None,
        "system": f"{platform.system()} {platform.release()}",
        "versions": numeric_versions(),
    }
    if device.type == "cuda":
        facts["gpu"] = safe_text(torch.cuda.get_device_name(device), 80)
        facts["driver"] = _driver()
        facts["versions"]["cuda"] = torch.version.cuda
    return facts


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return safe_text(line.partition(":")[2].strip(), 80)
    except OSError:
        pass
    return safe_text(platform.processor() or platform.machine(), 80)


def _driver() -> str | None:
    import pynvml

    try:
        pynvml.nvmlInit()
        version = pynvml.nvmlSystemGetDriverVersion()
    except pynvml.NVMLError:
        return None
    return safe_text(version.decode() if isinstance(version, bytes) else version, 40)


def first_calls(what: str) -> dict[str, float]:
    """Return seconds of a process's first "embedding", or "training" of an epoch on the CPU: `compiling` with an empty
    cache, `cached` after that.
    """
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
