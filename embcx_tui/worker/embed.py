"""Embedding the layers of a batch: t-SNE with its score, the layer's numbers beside it, and the other methods.

A layer that a method cannot embed is a result; a device that fails is not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute import methods
from embcx_tui.compute.device import one_blas_thread
from embcx_tui.compute.device_errors import device_guard, without_frames
from embcx_tui.compute.gpu_path import EMBEDDING_PARTS, plain_after
from embcx_tui.compute.memory import cpu_layers_at_once
from embcx_tui.compute.metrics.embedding_quality import Neighbours, embedding_quality
from embcx_tui.compute.metrics.layer_metrics import layer_metrics
from embcx_tui.compute.timing import timed_part
from embcx_tui.compute.tsne.affinities import affinities
from embcx_tui.compute.tsne.audit import audit, impossible, is_audited
from embcx_tui.compute.tsne.complexity import measure
from embcx_tui.compute.tsne.kl_divergence import point_kls
from embcx_tui.compute.tsne.result import Complexity, Measurement
from embcx_tui.study.errors import DeviceFailed, MeasureError
from embcx_tui.study.settings import SCORE_METHOD
from embcx_tui.study.text import safe_text
from embcx_tui.worker.pending import Task

# Of a layer that a GPU scored P is computed again on a core: 22 ms for 1,000 rows; for more than these it is left out.
_MOST_ON_CPU = 2_000
# What a library may raise because of a layer; anything else is a defect of ours and ends the worker with a traceback.
_FAILURES = (ValueError, RuntimeError, ArithmeticError, np.linalg.LinAlgError, MeasureError)


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A task with its data: `rows` [n, d] of activations, `labels` [n], and the seed of the embedding.

    Of a measured study: the layer's name, how it was pooled, its units before they were reduced, and how many of those
    varied (worker/row_source.py).
    """

    task: Task
    rows: NDArray[np.floating]
    labels: NDArray[np.int64]
    seed: int
    name: str = ""
    pool: str = ""
    width: int = 0
    varying: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """The outcome of a job: `points` [n, 2], or `error` as one line. Only t-SNE has a `complexity`."""

    job: Job
    points: NDArray[np.float32] | None = None
    complexity: Complexity | None = None
    metrics: dict[str, float | None] = field(default_factory=dict)
    quality: dict[str, float | None] = field(default_factory=dict)
    neighbours: Neighbours | None = None
    """The 10 nearest rows in the layer of each row, [n, 10]; from t-SNE jobs, where they are defined."""
    point_kls: NDArray[np.float64] | None = None
    """Each point's share [n] of the layer's KL; from t-SNE jobs, unless P would have to be computed for too many."""
    error: str = ""


def embed(
    jobs: Sequence[Job], measurement: Measurement, metrics: Sequence[str], stop: Callable[[], bool]
) -> Iterator[Result]:
    """Yield the result of each job, in the order in which they finish; ends early where stop() is true.

    Layers of t-SNE jobs get the chosen `metrics` too; every embedding gets its quality numbers. Where the device fails,
    the jobs without a result are computed once more on its plain path; DeviceFailed where that fails too.
    """
    waiting = list(jobs)
    failure: DeviceFailed | None = None
    try:
        for result in _embed(jobs, measurement, metrics, stop):
            waiting.remove(result.job)
            yield result
    except DeviceFailed as error:
        failure = without_frames(error)
    if failure is None or stop():
        return
    with plain_after(failure, EMBEDDING_PARTS):
        yield from _embed(waiting, measurement, metrics, stop)


def _embed(
    jobs: Sequence[Job], measurement: Measurement, metrics: Sequence[str], stop: Callable[[], bool]
) -> Iterator[Result]:
    """As `embed`, in one attempt."""
    scored: list[Job] = []
    others: list[Job] = []
    for job in jobs:
        if bad := len(job.rows) - int(np.isfinite(job.rows).all(axis=1).sum()):
            yield Result(job, error=f"{bad:,} of {len(job.rows):,} rows are not finite")
        elif job.task.method == SCORE_METHOD:
            scored.append(job)
        else:
            others.append(job)
    # Metrics of large layers take up to 24 bytes per pair of rows: fewer at a time where memory is short.
    threads = cpu_layers_at_once(max((len(job.rows) for job in jobs), default=1))
    running: deque[Future[Result]] = deque()
    # One BLAS thread per layer: the cores are busy with other layers, and sums then do not depend on the thread count.
    with one_blas_thread(), ThreadPoolExecutor(threads, "embed", one_blas_thread) as pool:
        # The metrics of a measured layer are computed beside the descents of the next layers. Results leave in order:
        # none does before the audits of those before it are passed.
        for position, result in enumerate(_score(scored, measurement, stop)):
            if result.complexity is None:
                yield result
            else:
                on_gpu = measurement.device != "cpu" and not measurement.is_packed(len(result.job.rows))
                audited = on_gpu and is_audited(position)
                running.append(pool.submit(_describe, result, metrics, measurement, audited))
            while running and running[0].done():
                yield running.popleft().result()
        for job in others:
            if stop():
                break
            running.append(pool.submit(_embed_unscored, job))
            # No more jobs than cores are under way, so that a stop waits for few.
            while len(running) > threads or (running and running[0].done()):
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


def _score(jobs: Sequence[Job], measurement: Measurement, stop: Callable[[], bool]) -> Iterator[Result]:
    """Yield the complexity of every t-SNE job; where a job makes its batch fail, the rest are measured one by one."""
    remaining = list(jobs)
    try:
        for result in _score_batch(jobs, measurement, stop):
            remaining.remove(result.job)
            yield result
    except _FAILURES:
        for job in remaining:
            if stop():
                return
            try:
                yield from _score_batch((job,), measurement, stop)
            except _FAILURES as error:
                yield Result(job, error=safe_text(error, 200))


def _score_batch(jobs: Sequence[Job], measurement: Measurement, stop: Callable[[], bool]) -> Iterator[Result]:
    is_cpu = measurement.device == "cpu"
    rows, seeds = [job.rows for job in jobs], [job.seed for job in jobs]
    inputs = frozenset(index for index, job in enumerate(jobs) if job.task.layer.layer == 0)
    with device_guard(measurement.device, "embedding layers"):
        for index, complexity in measure(rows, seeds, measurement, stop, inputs):
            if reason := impossible(complexity, of_descent=not is_cpu):
                if not is_cpu:
                    raise DeviceFailed(f"{measurement.device} computes wrong numbers: {reason}")
                yield Result(jobs[index], error=f"it gets {reason}")
            else:
                yield Result(jobs[index], complexity.points, complexity)


def _describe(result: Result, metrics: Sequence[str], measurement: Measurement, audited: bool) -> Result:
    """Return a scored result with the metrics of its layer, the quality of its embedding and each point's share of the
    KL; of an `audited` one raise DeviceFailed where a CPU core scores it otherwise.
    """
    job = result.job
    assert result.points is not None and result.complexity is not None
    if audited:
        audit(job.rows, result.complexity, measurement)
    quality: dict[str, float | None] = {}
    neighbours: Neighbours | None = None
    if result.complexity.kl is not None:
        quality, neighbours = _quality(job, result.points)
    layer_numbers: dict[str, float | None] = {}
    if metrics:
        with timed_part("metrics"):
            layer_numbers = layer_metrics(job.rows, job.labels, metrics, job.seed, job.varying or None)
    shares = _point_kls(result, measurement)
    return replace(result, metrics=layer_numbers, quality=quality, neighbours=neighbours, point_kls=shares)


def _point_kls(result: Result, measurement: Measurement) -> NDArray[np.float64] | None:
    """Return each point's share of the KL of a scored layer, which a GPU does not compute, at the last epoch."""
    complexity, job = result.complexity, result.job
    if complexity is None or complexity.kl is None or job.task.epoch is not None:
        return None
    if complexity.point_kls is not None or len(job.rows) > _MOST_ON_CPU:
        return complexity.point_kls
    with timed_part("shares of points"):
        joint = affinities(job.rows, measurement.perplexity).joint
        return None if joint is None else point_kls(joint, complexity.points)


def _embed_unscored(job: Job) -> Result:
    try:
        points = methods.embed(job.task.method, job.rows, job.seed)
    except _FAILURES as error:
        return Result(job, error=safe_text(error, 200))
    return Result(job, points, quality=_quality(job, points)[0])


@timed_part("quality of the plane")
def _quality(job: Job, points: NDArray[np.float32]) -> tuple[dict[str, float | None], Neighbours | None]:
    return embedding_quality(job.rows, points, job.labels)
