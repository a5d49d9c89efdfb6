"""Measuring the layers of a cohort: embedded many at once, then one sealed array file and one journal line per result.

Results are recorded as they finish, and a layer on which a method fails is a result too.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute import methods
from embcx_tui.compute.datasets import Dataset
from embcx_tui.compute.device import cores, one_blas_thread
from embcx_tui.compute.device_errors import device_guard, without_frames
from embcx_tui.compute.gpu_path import EMBEDDING_PARTS, plain_after
from embcx_tui.compute.metrics.embedding_quality import Neighbours, embedding_quality
from embcx_tui.compute.metrics.layer_metrics import layer_metrics
from embcx_tui.compute.timing import timed_part
from embcx_tui.compute.training.cohort import CohortTraining
from embcx_tui.compute.training.network import Pass
from embcx_tui.compute.tsne.audit import audit, impossible, is_audited
from embcx_tui.compute.tsne.complexity import measure
from embcx_tui.compute.tsne.gradient_descent import DEFAULT_SCHEDULE, PLAIN_SCHEDULE
from embcx_tui.compute.tsne.result import Complexity, Measurement
from embcx_tui.store.files import read_arrays, write_arrays
from embcx_tui.study.errors import DeviceFailed, MeasureError
from embcx_tui.study.events import LayerFailed, LayerMeasured, NetworkTrained, SealedFile
from embcx_tui.study.plan import Cohort, Network, dataset_key
from embcx_tui.study.seeds import stream_seed
from embcx_tui.study.settings import HELD_OUT, SCORE_METHOD
from embcx_tui.study.text import safe_text
from embcx_tui.worker.background import BackgroundQueue, ThreadQueue
from embcx_tui.worker.journal import Journal
from embcx_tui.worker.pending import Task, pending_tasks, unreported_networks

# What a library may raise because of a layer; anything else is a defect of ours and ends the worker with a traceback.
_FAILURES = (ValueError, RuntimeError, ArithmeticError, np.linalg.LinAlgError, MeasureError)
# Layers embedded in one batch: enough to keep every core or a GPU busy, 100 MB at 1,000 × 100.
_BATCH = 256
# Results that wait to be written.
_MAX_PENDING_WRITES = 64
# The fields of LayerMeasured that t-SNE fills from a Complexity, under the same names, and their values for the other
# methods.
_WITHOUT_SCORE: dict[str, Any] = {
    "engine": "scikit-learn",
    "kl": None,
    "explained": None,
    "degenerate": False,
    "duplicates": 0,
    "converged": True,
    "iterations": 0,
    "gradient_norm": None,
    "relative_change": None,
    "restart_kls": (),
    "starts": 0,
    "start_kls": (),
}


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A task with its data: `rows` [n, d] of activations, `labels` [n], and the seed of the embedding."""

    task: Task
    rows: NDArray[np.float32]
    labels: NDArray[np.int64]
    seed: int


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
    error: str = ""


class Measuring:
    """Measures the pending layers of one cohort: while it trains (`meanwhile`, `after_epoch`) and after (`at_end`).

    Where `background` runs in a thread of its own, `meanwhile` and `at_end` return at once.
    """

    def __init__(
        self,
        journal: Journal,
        cohort: Cohort,
        dataset: Dataset,
        background: BackgroundQueue,
        stop: Callable[[], bool],
    ) -> None:
        self._journal = journal
        self._cohort = cohort
        self._dataset = dataset
        self._background = background
        self._stop = stop
        # Descents fill the device and their threads the cores: one batch of tasks at a time.
        self._batch_lock = threading.Lock()
        self._settings = journal.snapshot.plan.settings
        self._samples: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}

    def pending(self) -> tuple[Task, ...]:
        """Return the tasks of the cohort that have no sound result yet."""
        return pending_tasks(self._journal.paths, self._journal.snapshot, self._cohort)

    def join(self) -> None:
        """Wait for the measurements in the background; raises the error of one that failed."""
        self._background.join()

    def meanwhile(self, training: CohortTraining) -> None:
        """Measure the inputs and untrained controls of `training`'s networks, where a second thread can do so."""
        if self._background.possible:
            self._background.submit(partial(self._final_layers, training, self._untrained(training)))

    def after_epoch(self, training: CohortTraining) -> None:
        """Measure the hidden layers of `training`'s networks after its newest epoch, where the plan asks for it."""
        network_ids = {network.id for network in training.networks}
        tasks = [
            task for task in self.pending() if task.epoch == training.epochs_done and task.layer.network in network_ids
        ]
        self._run(tasks, training)

    def at_end(self, training: CohortTraining) -> None:
        """Measure the layers of `training`'s trained networks, their runs' inputs and their controls."""
        # No more than one trained cohort waits, so that memory holds two at most.
        self.join()
        trained = [network for network in training.networks if network.id not in self._journal.snapshot.diverged]
        measurable = {network.id for network in trained}
        held_out = tuple(one for one in self._cohort.held_out if one.trained_id in measurable)
        networks = (*trained, *self._untrained(training), *held_out)
        self._background.submit(partial(self._final_layers, training, networks))

    def _final_layers(self, training: CohortTraining, networks: tuple[Network, ...]) -> None:
        """Measure `networks`, with their final weights, and the inputs of `training`'s runs."""
        self._report_networks(networks, training)
        network_ids = {network.id for network in networks}
        runs = {network.run for network in training.networks}
        tasks = [
            task
            for task in self.pending()
            if task.epoch is None
            and (task.layer.network in network_ids or (task.layer.network is None and task.layer.run in runs))
        ]
        self._run(tasks, training)

    def _untrained(self, training: CohortTraining) -> tuple[Network, ...]:
        """Return the untrained controls that belong to this part of the cohort."""
        siblings = {(network.depth, network.activation, network.run) for network in training.networks}
        return tuple(
            control
            for control in self._cohort.controls
            if control.control == "untrained" and (control.depth, control.activation, control.run) in siblings
        )

    def _sample(self, sample_id: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return indices and labels [n] of a run's sample, from the file that the screens read too."""
        if sample_id not in self._samples:
            arrays = read_arrays(self._journal.paths.root, self._journal.snapshot.samples[sample_id].file)
            self._samples[sample_id] = arrays["index"], arrays["label"]
        return self._samples[sample_id]

    def _forward(self, training: CohortTraining, network: Network) -> Pass:
        """Return activations and predictions of `network` on its sample."""
        inputs = self._dataset.labelled(network.source)[0][self._sample(network.sample_id)[0]]
        weights_of = replace(network, id=network.trained_id, control=None) if network.control == HELD_OUT else network
        return training.forward(weights_of, inputs)

    def _report_networks(self, networks: tuple[Network, ...], training: CohortTraining) -> None:
        """Record, for every network that has no record yet, the accuracies of its final weights and its predictions."""
        missing = set(unreported_networks(self._journal.paths, self._journal.snapshot, self._cohort))
        new = [network for network in networks if network in missing]
        trained = {network.id for network in training.networks}
        train = training.train_accuracies() if any(network.trained_id in trained for network in new) else {}
        test = training.test_accuracies() if train else {}
        # All controls are evaluated, even if only some are new: rounding depends on which networks share a batch, and
        # a resumed study must get the same numbers.
        control = (
            training.control_accuracies(self._untrained(training))
            if any(network.trained_id not in trained for network in new)
            else {}
        )
        for network in new:
            name = network.trained_id
            is_trained = name in trained
            accuracies = (train[name], test[name]) if is_trained else control[name]
            predicted = self._forward(training, network).predictions
            sealed = self._write(f"{network.id}.npz", {"predicted": predicted})
            self._journal.append(
                NetworkTrained(
                    network=network.id,
                    epochs=training.epochs_done if is_trained else 0,
                    train_accuracy=accuracies[0],
                    test_accuracy=accuracies[1],
                    file=sealed,
                )
            )

    def _write(self, name: str, arrays: dict[str, NDArray[Any]]) -> SealedFile:
        with timed_part("files and journal"):
            return write_arrays(self._journal.paths.arrays, name, arrays)

    def _run(self, tasks: Sequence[Task], training: CohortTraining) -> None:
        settings = self._settings.measure
        measurement = Measurement(
            perplexity=settings.perplexity,
            engine=settings.engine,
            restarts=settings.restarts,
            schedule=DEFAULT_SCHEDULE if settings.search == "annealed" else PLAIN_SCHEDULE,
            device=str(training.device),
        )
        # Compressing, hashing and three fsyncs per result (some 5 ms) overlap with the next embeddings; a single
        # thread writes, so that lines stay in order. A full disk is raised by a later submit or the join.
        with self._batch_lock, ThreadQueue("write", _MAX_PENDING_WRITES) as writes:
            jobs = self._jobs(tasks, training)
            while batch := list(islice(jobs, _BATCH)):
                previous = time.perf_counter()
                for result in embed(batch, measurement, settings.metrics, self._stop):
                    now = time.perf_counter()
                    writes.submit(partial(self._record, result, now - previous))
                    previous = now
                if self._stop():
                    break
            writes.join()

    def _jobs(self, tasks: Sequence[Task], training: CohortTraining) -> Iterator[Job]:
        """Yield a job for every task; a network's activations are computed when its first task comes."""
        networks = {network.id: network for network in (*training.networks, *self._cohort.controls)}
        hidden: dict[str, tuple[NDArray[np.float32], ...]] = {}
        for task in tasks:
            layer = task.layer
            index, labels = self._sample(layer.sample_id)
            if layer.network is None:
                rows = self._dataset.inputs(index, layer.source)
            else:
                if layer.network not in hidden:
                    # Tasks come network by network: one network's activations are enough to keep.
                    hidden = {layer.network: self._forward(training, networks[layer.network]).activations()}
                rows = hidden[layer.network][layer.layer - 1]
            yield Job(task, rows, labels, self._seed(task))

    def _seed(self, task: Task) -> int:
        layer = task.layer
        key = self._dataset.stream_key
        # Ids of a user's file hold a hash of its path, which must not tell where the content is the same.
        name = layer.seed_id if key == layer.dataset else layer.seed_id.removeprefix(dataset_key(layer.dataset))
        purpose = f"embedding/{name}/{task.method}"
        return stream_seed(self._settings.machine.seed, key, layer.run, purpose, task.epoch or 0)

    def _record(self, result: Result, seconds: float) -> None:
        """Write a result: first its array file, then its journal line, so that a line never names a missing file."""
        task, layer, rows = result.job.task, result.job.task.layer, result.job.rows
        if result.points is None:
            self._journal.append(
                LayerFailed(
                    layer_id=layer.id,
                    network=layer.network,
                    layer=layer.layer,
                    method=task.method,
                    reason=result.error,
                    epoch=task.epoch,
                )
            )
            return
        arrays: dict[str, NDArray[Any]] = {"points": result.points}
        if task.epoch is None and result.neighbours is not None:
            arrays["neighbours"] = result.neighbours
        sealed = self._write(task.file, arrays)
        self._journal.append(
            LayerMeasured(
                layer_id=layer.id,
                network=layer.network,
                dataset=layer.dataset,
                run=layer.run,
                layer=layer.layer,
                units=rows.shape[1],
                method=task.method,
                perplexity=self._settings.measure.perplexity,
                points=rows.shape[0],
                seed=result.job.seed,
                metrics=result.metrics,
                quality=result.quality,
                seconds=seconds,
                file=sealed,
                epoch=task.epoch,
                **_score_fields(result.complexity),
            )
        )


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
        if not np.isfinite(job.rows).all():
            yield Result(job, error="its activations are not finite")
        elif job.task.method == SCORE_METHOD:
            scored.append(job)
        else:
            others.append(job)
    threads = cores()
    running: deque[Future[Result]] = deque()
    # One BLAS thread per layer: the cores are busy with other layers, and sums then do not depend on the thread count.
    with one_blas_thread(), ThreadPoolExecutor(threads, "embed", one_blas_thread) as pool:
        # The metrics of a measured layer are computed beside the descents of the next layers. Results leave in order:
        # none does before the audits of those before it are passed.
        for position, result in enumerate(_score(scored, measurement, stop)):
            if result.complexity is None:
                yield result
            else:
                audited = measurement if measurement.device != "cpu" and is_audited(position) else None
                running.append(pool.submit(_describe, result, metrics, audited))
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
    with device_guard(measurement.device, "embedding layers"):
        for index, complexity in measure([job.rows for job in jobs], [job.seed for job in jobs], measurement, stop):
            if reason := impossible(complexity, of_descent=not is_cpu):
                if not is_cpu:
                    raise DeviceFailed(f"{measurement.device} computes wrong numbers: {reason}")
                yield Result(jobs[index], error=f"it gets {reason}")
            else:
                yield Result(jobs[index], complexity.points, complexity)


def _describe(result: Result, metrics: Sequence[str], audited: Measurement | None) -> Result:
    """Return a scored result with the metrics of its layer and the quality of its embedding; with a measurement to
    be `audited`, raise DeviceFailed where a CPU core scores it otherwise.
    """
    job = result.job
    assert result.points is not None and result.complexity is not None
    if audited:
        audit(job.rows, result.complexity, audited)
    quality: dict[str, float | None] = {}
    neighbours: Neighbours | None = None
    if result.complexity.kl is not None:
        quality, neighbours = _quality(job, result.points)
    layer_numbers: dict[str, float | None] = {}
    if metrics:
        with timed_part("metrics"):
            layer_numbers = layer_metrics(job.rows, job.labels, metrics, job.seed)
    return replace(result, metrics=layer_numbers, quality=quality, neighbours=neighbours)


def _embed_unscored(job: Job) -> Result:
    try:
        points = methods.embed(job.task.method, job.rows, job.seed)
    except _FAILURES as error:
        return Result(job, error=safe_text(error, 200))
    return Result(job, points, quality=_quality(job, points)[0])


@timed_part("quality of the plane")
def _quality(job: Job, points: NDArray[np.float32]) -> tuple[dict[str, float | None], Neighbours | None]:
    return embedding_quality(job.rows, points, job.labels)


def _score_fields(complexity: Complexity | None) -> dict[str, Any]:
    """Return the fields of LayerMeasured that belong to the score; only t-SNE has a `complexity`."""
    return {name: getattr(complexity, name) for name in _WITHOUT_SCORE} if complexity else _WITHOUT_SCORE
