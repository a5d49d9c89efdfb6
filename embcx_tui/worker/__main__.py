"""The numerics process: `python -m embcx_tui.worker COMMAND …`, started by `worker.launch`.

`study FOLDER` computes a study, `wait FOLDER` one that is queued, when its turn has come, `job FOLDER` one within a
SLURM job, whose script starts it. For its worker, which starts them, `hand …` computes parts of a study, `ray …` lets
hands compute on a cluster, and `read` reads files of foreign formats. The other commands answer a query of
`worker.launch.ask`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from embcx_tui.store.paths import data_folder
from embcx_tui.study.dataset_catalogue import CATALOGUE
from embcx_tui.study.errors import DataError
from embcx_tui.worker import machine_check
from embcx_tui.worker.launch import respond

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


def activations(request: str) -> dict[str, Any]:
    """Return what would be measured of files of activations; raises DataError."""
    from embcx_tui.worker.inspect_files import look

    return look(request, lambda where: print(json.dumps({"file": where}), flush=True))


def cluster(device: str, devices: str) -> dict[str, Any]:
    """Return how many hands the Ray cluster that runs has room for; raises RequestError."""
    from embcx_tui.worker.cluster import require_ray

    require_ray()
    from embcx_tui.worker.ray_bridge import look

    return look(device, devices)


def could_begin(folder: str) -> dict[str, Any]:
    """Return nothing where a study's data are there and fit; raises DataError."""
    from embcx_tui.worker import preflight

    return preflight.could_begin(folder)


QUERIES: dict[str, Callable[..., dict[str, Any]]] = {
    "data-check": data_check,
    "data-fetch": data_fetch,
    "machine-check": machine_check.check,
    "gpu": machine_check.gpu,
    "gpus": machine_check.gpus,
    "activations": activations,
    "cluster": cluster,
    "could-begin": could_begin,
}


def main(command: str, *arguments: str) -> int:
    if command == "study":
        from embcx_tui.worker.process import run_study

        return run_study(Path(arguments[0]))
    if command == "wait":
        from embcx_tui.worker.queued import wait_and_run

        return wait_and_run(Path(arguments[0]))
    if command == "job":
        from embcx_tui.worker.slurm_job import run_job

        return run_job(Path(arguments[0]))
    if command == "ray":
        from embcx_tui.worker.ray_bridge import run_bridge

        return run_bridge(*arguments)
    if command == "read":
        from embcx_tui.worker.isolated_reader import serve

        return serve()
    if command == "hand":
        from embcx_tui.worker.hand import run_hand

        return run_hand(*arguments)
    return respond(QUERIES[command], *arguments)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
