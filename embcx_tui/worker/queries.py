"""Queries that `worker.launch.ask` sends to the numerics process: datasets, and the hardware and libraries."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from embcx_tui.store.paths import data_folder
from embcx_tui.study.dataset_catalogue import CATALOGUE
from embcx_tui.study.errors import DataError, EmbcxError

# Least seconds between progress lines: the reader draws no faster.
_PROGRESS_S = 0.2


def data_check(*names: str) -> dict[str, Any]:
    """Return the state of each dataset and its files, checksums compared."""
    from embcx_tui.compute import datasets

    checked = [datasets.check(name, data_folder()) for name in names or CATALOGUE]
    return {
        "folder": str(data_folder()),
        "datasets": [
            {
                "name": dataset.name,
                "state": dataset.state,
                "files": [{"path": str(file.path), "state": file.state} for file in dataset.files],
            }
            for dataset in checked
        ],
    }


def data_fetch(name: str) -> dict[str, Any]:
    """Download the missing files of a dataset, printing progress lines; raises DataError."""
    from embcx_tui.compute import datasets

    last = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > _PROGRESS_S or done == total:
            last = time.monotonic()
            print(json.dumps({"bytes": done, "total": total}), flush=True)

    if name not in CATALOGUE:
        raise DataError(f"{name!r} is not a dataset that can be fetched (known: {', '.join(CATALOGUE)})")
    datasets.fetch(name, data_folder(), progress)
    return {"name": name, "folder": str(data_folder())}


def machine() -> dict[str, Any]:
    """Return the device that `auto` means here, and the versions that a report needs."""
    try:
        import torch
    except (ImportError, OSError) as error:
        return {"error": f"torch cannot be imported ({error}); install torch and torchvision together"}
    answer: dict[str, Any] = {
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cuda_available": torch.cuda.is_available(),
        "threads": torch.get_num_threads(),
        "python": sys.version.split()[0],
    }
    try:
        import torchvision
    except (ImportError, RuntimeError, OSError) as error:
        answer["torchvision_error"] = str(error).splitlines()[0]
    else:
        answer["torchvision"] = torchvision.__version__
    from embcx_tui.compute.device import choose_device, describe

    facts = describe(choose_device("auto"))
    return {**answer, "device": facts.device, "device_name": facts.name, "memory": facts.memory_bytes}


QUERIES: dict[str, Callable[..., dict[str, Any]]] = {
    "data-check": data_check,
    "data-fetch": data_fetch,
    "machine": machine,
}


def respond(query: Callable[..., dict[str, Any]], *arguments: str) -> int:
    """Print the answer of `query`, or its error, as the last JSON line of this process; return the exit code."""
    try:
        answer = query(*arguments)
    except EmbcxError as error:
        answer = {"error": str(error)}
    print(json.dumps({**answer, "done": True}), flush=True)
    return 2 if "error" in answer else 0
