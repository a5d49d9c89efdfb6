"""Where the time of a study goes: a real study, computed here by the worker's own code, with a clock at each part."""

from __future__ import annotations

import functools
import os
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from embcx_tui.bench.timing import timed
from embcx_tui.compute import datasets
from embcx_tui.compute.device import choose_device
from embcx_tui.compute.training.cohort import CohortTraining
from embcx_tui.compute.training.trainer_cpu import NetworkTrainer
from embcx_tui.compute.training.trainer_gpu import CohortTrainer
from embcx_tui.compute.tsne import complexity, descent_cpu
from embcx_tui.compute.tsne.gradient_descent import never
from embcx_tui.store.calibration import remember, stored
from embcx_tui.store.library import create_study
from embcx_tui.store.paths import data_folder
from embcx_tui.study.settings import StudySettings
from embcx_tui.worker import embed, measure, run, train
from embcx_tui.worker.process import Journal

# Part, and the functions whose own time it is: what they call that is listed too counts there.
_PARTS: tuple[tuple[str, object, str], ...] = (
    ("load", datasets, "load"),
    ("train", CohortTrainer, "train"),
    ("train", NetworkTrainer, "train"),
    ("test", CohortTrainer, "evaluate"),
    ("test", NetworkTrainer, "evaluate"),
    ("activations", CohortTraining, "measure"),
    ("P", complexity, "affinities"),
    ("descent and score", descent_cpu, "descend"),
    ("metrics", embed, "layer_metrics"),
    ("quality of the plane", embed, "quality_and_neighbours"),
    ("files and journal", measure, "write_arrays"),
    ("files and journal", run, "write_arrays"),
    ("files and journal", train, "publish"),
    ("files and journal", Journal, "tell"),
)
ORDER = tuple(dict.fromkeys(part for part, _, _ in _PARTS))


class Clocks:
    """Own time of parts, of all threads: wall seconds within a part, and processor seconds of its thread."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.cpu_seconds: dict[str, float] = defaultdict(float)
        self._local = threading.local()
        self._lock = threading.Lock()

    def around(self, part: str, run: Callable[..., Any]) -> Callable[..., Any]:
        """Return `work` with a clock around it."""

        @functools.wraps(run)
        def clocked(*values: Any, **named: Any) -> Any:
            stack: list[list[float]] = self._local.__dict__.setdefault("stack", [])
            inner = [0.0, 0.0]
            stack.append(inner)
            wall, cpu = time.perf_counter(), time.thread_time()
            try:
                return run(*values, **named)
            finally:
                wall, cpu = time.perf_counter() - wall, time.thread_time() - cpu
                stack.pop()
                if stack:
                    stack[-1][0] += wall
                    stack[-1][1] += cpu
                with self._lock:
                    self.seconds[part] += wall - inner[0]
                    self.cpu_seconds[part] += cpu - inner[1]

        return clocked


@contextmanager
def clocks() -> Iterator[Clocks]:
    """Put a clock around every part for as long as the block runs."""
    found = Clocks()
    before = [(owner, name, vars(owner)[name]) for _, owner, name in _PARTS]
    try:
        for part, owner, name in _PARTS:
            setattr(owner, name, found.around(part, getattr(owner, name)))
        yield found
    finally:
        for owner, name, kept in before:
            setattr(owner, name, kept)


def breakdown(name: str, settings: StudySettings) -> dict[str, Any]:
    """Compute the study `settings` in a folder that is thrown away; return its wall time and its parts.

    Parts run on several threads at once: their seconds add up to more than the wall time. `share` is of all of them.
    """
    device = str(choose_device(settings.machine.device))
    known = stored(device)
    with _home(), clocks() as found:
        if known:  # or the study would measure this machine first
            remember(device, known, device)
        paths = create_study(settings)
        _, timing = timed(lambda: run.work(paths, Journal(paths), never))
    whole = sum(found.seconds.values()) or 1.0
    return {
        "study": name,
        "wall": timing.seconds,
        "cpu_seconds": timing.cpu_seconds,
        "parts": [
            {
                "part": part,
                "seconds": found.seconds[part],
                "cpu_seconds": found.cpu_seconds[part],
                "share": found.seconds[part] / whole,
            }
            for part in ORDER
        ],
    }


@contextmanager
def _home() -> Iterator[None]:
    """Point the program at an empty home for its studies, and at the datasets where they are."""
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
