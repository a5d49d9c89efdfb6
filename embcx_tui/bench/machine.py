"""The machine of a measurement: without it a time says nothing."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
import torch

from embcx_tui import __version__
from embcx_tui.compute.complexity import cores
from embcx_tui.study.text import safe_text

_LIBRARIES = ("torch", "numpy", "numba", "openTSNE", "scikit-learn")


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
        "versions": {
            "embcx-tui": __version__,
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in _LIBRARIES},
        },
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
