"""Short questions to the numerics process: datasets, and what this machine computes with."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from embcx_tui.store.paths import data_folder
from embcx_tui.study.dataset_catalogue import CATALOGUE
from embcx_tui.study.errors import DataError

# A progress line each so many seconds at most: the reader draws no faster.
_PROGRESS_S = 0.2


def data_check(*names: str) -> dict[str, Any]:
    """Return the state of each dataset and its files, checksums compared."""
    from embcx_tui.compute import datasets

    found = [datasets.check(name, data_folder()) for name in names or CATALOGUE]
    return {
        "folder": str(data_folder()),
        "datasets": [
            {
                "name": one.name,
                "state": one.state,
                "files": [{"path": str(file.path), "state": file.state} for file in one.files],
            }
            for one in found
        ],
    }


def data_fetch(name: str) -> dict[str, Any]:
    """Download what is missing of a dataset, printing progress lines; raises DataError."""
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
    """Return what computes here: the device that `auto` means, and versions that a report needs."""
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


def bench(what: str, *words: str) -> dict[str, Any]:
    """Return the result of `bench embed`, `train` or `paper`, printing what is measured now; raises RequestError.

    Words: `quick`, `large`, `device=…`.
    """
    from embcx_tui.bench import embed_bench, paper_bench, train_bench
    from embcx_tui.compute.device import choose_device
    from embcx_tui.worker.calibrate import calibrate

    device = next((word.partition("=")[2] for word in words if word.startswith("device=")), "auto")
    quick = "quick" in words

    def say(doing: str) -> None:
        print(json.dumps({"doing": doing}), flush=True)

    say("calibration")
    calibration = calibrate(choose_device(device))
    if what == "embed":
        result = embed_bench.bench_embed(quick, "large" in words, device, say)
    elif what == "train":
        result = train_bench.bench_train(quick, device, say)
    else:
        result = paper_bench.bench_paper(quick, "large" in words, device, calibration, say)
    return {"result": {**result, "calibration": asdict(calibration)}}


QUERIES: dict[str, Callable[..., dict[str, Any]]] = {
    "data-check": data_check,
    "data-fetch": data_fetch,
    "machine": machine,
    "bench": bench,
}
