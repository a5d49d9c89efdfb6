"""Running the embedding methods over many layers at once: results come as they finish, failures as results."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute import methods
from embcx_tui.compute.device import cores, one_blas_thread
from embcx_tui.compute.metrics.embedding_quality import Neighbours, quality_and_neighbours
from embcx_tui.compute.metrics.layer_metrics import layer_metrics
from embcx_tui.compute.tsne.complexity import measure
from embcx_tui.compute.tsne.result import Complexity, Measurement
from embcx_tui.study.errors import MeasureError
from embcx_tui.study.plan import Layer
from embcx_tui.study.settings import SCORE_METHOD
from embcx_tui.study.text import safe_text

Activations = NDArray[np.float32]
# What a layer may bring a library to raise; anything else is a defect of ours and ends the worker with its traceback.
_FAILURES = (ValueError, RuntimeError, ArithmeticError, np.linalg.LinAlgError, MeasureError)


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One layer to embed by one method: `rows` [n, d] of its activations, `labels` [n], the seed of the embedding."""

    layer: Layer
    method: str
    rows: Activations
    labels: NDArray[np.int64]
    seed: int


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What became of a job: `points` [n, 2], or `error` in words. Only t-SNE has a `complexity`."""

    job: Job
    points: NDArray[np.float32] | None = None
    complexity: Complexity | None = None
    metrics: dict[str, float | None] = field(default_factory=dict)
    quality: dict[str, float | None] = field(default_factory=dict)
    neighbours: Neighbours | None = None
    """The 10 nearest rows in the layer of each row, [n, 10]; from t-SNE jobs, where they are defined."""
    error: str = ""


def embed(
    jobs: Sequence[Job], measurement: Measurement, metrics: Sequence[str], stop: Callable[[], bool]
) -> Iterator[tuple[Result, float]]:
    """Yield (result, seconds since the one before) for each job, in any order; early and without error where `stop`.

    Layers of t-SNE jobs get the chosen `metrics` too; every embedding its quality numbers.
    """
    begun = time.perf_counter()
    for result in _embed(jobs, measurement, metrics, stop):
        now = time.perf_counter()
        yield result, now - begun
        begun = now


def _embed(
    jobs: Sequence[Job], measurement: Measurement, metrics: Sequence[str], stop: Callable[[], bool]
) -> Iterator[Result]:
    sound = [job for job in jobs if np.isfinite(job.rows).all()]
    yield from (Result(job, error="its activations are not finite") for job in jobs if job not in sound)
    scored = [job for job in sound if job.method == SCORE_METHOD]
    others = [job for job in sound if job.method != SCORE_METHOD]
    threads = cores()
    running: deque[Future[Result]] = deque()
    # One BLAS thread a layer: cores are busy with other layers, and the sums do not depend on their number then.
    with one_blas_thread(), ThreadPoolExecutor(threads, "embed", one_blas_thread) as pool:
        # The metrics of a measured layer are computed beside the descents of the next ones.
        for found in _score(scored, measurement, stop):
            if found.complexity is None:
                yield found
            else:
                running.append(pool.submit(_describe, found, metrics))
            while running and running[0].done():
                yield running.popleft().result()
        for job in others:
            if stop():
                break
            running.append(pool.submit(_embed_otherwise, job))
            # No more than the cores can work on: a stop then waits for few.
            while len(running) > threads or (running and running[0].done()):
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


def _score(jobs: Sequence[Job], measurement: Measurement, stop: Callable[[], bool]) -> Iterator[Result]:
    """Yield the complexity of every t-SNE job; where one brings the batch down, the rest come one by one."""
    left = dict(enumerate(jobs))
    try:
        yield from _score_together(left, measurement, stop)
    except _FAILURES:
        for place, job in list(left.items()):
            if stop():
                return
            try:
                yield from _score_together({place: job}, measurement, stop)
            except _FAILURES as error:
                yield Result(job, error=safe_text(error, 200))


def _score_together(left: dict[int, Job], measurement: Measurement, stop: Callable[[], bool]) -> Iterator[Result]:
    places = list(left)
    jobs = [left[place] for place in places]
    for number, complexity in measure([job.rows for job in jobs], [job.seed for job in jobs], measurement, stop):
        yield Result(left.pop(places[number]), complexity.points, complexity)


def _describe(result: Result, metrics: Sequence[str]) -> Result:
    job = result.job
    assert result.points is not None and result.complexity is not None
    quality: dict[str, float | None] = {}
    near: Neighbours | None = None
    if result.complexity.kl is not None:
        quality, near = quality_and_neighbours(job.rows, result.points, job.labels)
    own = layer_metrics(job.rows, job.labels, metrics, job.seed) if metrics else {}
    return Result(job, result.points, result.complexity, own, quality, near)


def _embed_otherwise(job: Job) -> Result:
    try:
        points = methods.embed(job.method, job.rows, job.seed)
    except _FAILURES as error:
        return Result(job, error=safe_text(error, 200))
    return Result(job, points, quality=quality_and_neighbours(job.rows, points, job.labels)[0])
