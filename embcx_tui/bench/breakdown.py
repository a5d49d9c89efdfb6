"""Where the time of a study goes: a real study, computed here by the worker's own code, with the time of each part."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from embcx_tui.compute.device import choose_device
from embcx_tui.compute.timing import record_parts, timed
from embcx_tui.compute.tsne.gradient_descent import never
from embcx_tui.store.library import create_study
from embcx_tui.store.machine_records import store_calibration, stored_calibration
from embcx_tui.store.paths import data_folder
from embcx_tui.study.settings import StudySettings
from embcx_tui.worker.journal import Journal
from embcx_tui.worker.run import compute_study

# The parts of a study, in the order of the table; the functions and blocks marked `timed_part` name them.
PARTS = (
    "load",
    "train",
    "test",
    "activations",
    "P",
    "descent and score",
    "metrics",
    "quality of the plane",
    "files and journal",
)


def breakdown(name: str, settings: StudySettings) -> dict[str, Any]:
    """Compute the study `settings` in a temporary folder; return its wall time and its parts.

    Parts run on several threads at once: their seconds add up to more than the wall time. `share` is of their sum.
    """
    device = str(choose_device(settings.machine.device))
    calibration = stored_calibration(device)
    with _temporary_home(), record_parts() as times:
        if calibration:  # or the study would measure this machine first
            store_calibration(device, calibration, device)
        paths = create_study(settings)
        _, timing = timed(lambda: compute_study(paths, Journal(paths), never))
    total = sum(times.seconds.values()) or 1.0
    return {
        "study": name,
        "wall": timing.seconds,
        "cpu_seconds": timing.cpu_seconds,
        "parts": [
            {
                "part": part,
                "seconds": times.seconds[part],
                "cpu_seconds": times.cpu_seconds[part],
                "share": times.seconds[part] / total,
            }
            for part in PARTS
        ],
    }


@contextmanager
def _temporary_home() -> Iterator[None]:
    """Give the program an empty home for its studies while the block runs; the datasets stay where they are."""
    before = {name: os.environ.get(name) for name in ("EMBCX_HOME", "EMBCX_DATA_DIR")}
    data = str(data_folder())
    with tempfile.TemporaryDirectory(prefix="embcx-bench-") as folder:
        os.environ.update(EMBCX_HOME=folder, EMBCX_DATA_DIR=data)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
