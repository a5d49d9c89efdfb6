"""Measuring the layers of a cohort: one sealed array file and one journal line per result."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.datasets import Dataset
from embcx_tui.compute.timing import timed_part
from embcx_tui.compute.training.cohort import CohortTraining
from embcx_tui.compute.tsne.result import Complexity, Measurement
from embcx_tui.store.files import read_arrays, write_arrays
from embcx_tui.store.paths import StudyPaths
from embcx_tui.study.events import LayerFailed, LayerMeasured, NetworkTrained, SealedFile
from embcx_tui.study.plan import Cohort, Network, sample_id
from embcx_tui.study.seeds import stream_seed
from embcx_tui.worker.background import BackgroundQueue
from embcx_tui.worker.embed import Activations, Job, Result, embed
from embcx_tui.worker.journal import Journal
from embcx_tui.worker.pending import Task, pending_tasks, unreported_networks

# Layers embedded in one batch: enough to keep every core or a GPU busy, 100 MB at 1,000 × 100.
_BATCH = 256
# Results that wait to be written; a disk that is slower than the device then slows it down instead of filling memory.
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
}


class Measuring:
    """Measures the pending layers of one cohort: while it trains (`meanwhile`, `after_epoch`) and after (`at_end`).

    Where `background` runs in a thread of its own, `meanwhile` and `at_end` return at once.
    """

    def __init__(
        self,
        paths: StudyPaths,
        journal: Journal,
        cohort: Cohort,
        dataset: Dataset,
        background: BackgroundQueue,
        stop: Callable[[], bool],
    ) -> None:
        self._paths = paths
        self._journal = journal
        self._cohort = cohort
        self._dataset = dataset
        self._background = background
        self._stop = stop
        # Descents fill the device and their threads the cores: one batch of tasks at a time.
        self._batch_lock = threading.Lock()
        self._settings = journal.snapshot.plan.settings
        self._samples: dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}

    def pending(self) -> tuple[Task, ...]:
        """Return the tasks of the cohort that have no sound result yet."""
        return pending_tasks(self._paths, self._journal.snapshot, self._cohort)

    def join(self) -> None:
        """Wait for the measurements in the background; raises the error of one that failed."""
        self._background.join()

    def meanwhile(self, training: CohortTraining) -> None:
        """Measure the inputs and untrained controls of `training`'s networks, where a second thread can do so."""
        if self._background.possible:
            self._background.submit(partial(self._measure_final, training, self._controls(training)))

    def after_epoch(self, training: CohortTraining) -> None:
        """Measure the hidden layers of `training`'s networks after its newest epoch, where the plan asks for it."""
        network_ids = {network.id for network in training.networks}
        tasks = [
            task for task in self.pending() if task.epoch == training.epochs_done and task.layer.network in network_ids
        ]
        self._measure(tasks, training)

    def at_end(self, training: CohortTraining) -> None:
        """Measure the layers of `training`'s trained networks, their runs' inputs and their untrained controls."""
        # No more than one trained cohort waits, so that memory holds two at most.
        self.join()
        trained = [network for network in training.networks if network.id not in self._journal.snapshot.diverged]
        self._background.submit(partial(self._measure_final, training, (*trained, *self._controls(training))))

    def _measure_final(self, training: CohortTraining, networks: tuple[Network, ...]) -> None:
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
        self._measure(tasks, training)

    def _controls(self, training: CohortTraining) -> tuple[Network, ...]:
        """Return the untrained controls that belong to this part of the cohort."""
        siblings = {(network.depth, network.activation, network.run) for network in training.networks}
        return tuple(
            control for control in self._cohort.controls if (control.depth, control.activation, control.run) in siblings
        )

    def _sample(self, run: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return indices and labels [n] of the run's sample, from the file that the screens read too."""
        if run not in self._samples:
            drawn = self._journal.snapshot.samples[sample_id(self._dataset.name, run)]
            arrays = read_arrays(self._paths.root, drawn.file)
            self._samples[run] = arrays["index"], arrays["label"]
        return self._samples[run]

    def _report_networks(self, networks: tuple[Network, ...], training: CohortTraining) -> None:
        """Record, for every network that has no record yet, the accuracies of its final weights and its predictions."""
        missing = {network.id for network in unreported_networks(self._paths, self._journal.snapshot, self._cohort)}
        new = [network for network in networks if network.id in missing]
        trained = {network.id for network in training.networks}
        train = training.train_accuracies() if any(network.id in trained for network in new) else {}
        test = training.test_accuracies() if train else {}
        # All controls are evaluated, even if only some are new: rounding depends on which networks share a batch, and
        # a resumed study must get the same numbers.
        control = (
            training.control_accuracies(self._controls(training)) if {network.id for network in new} - trained else {}
        )
        for network in new:
            is_trained = network.id in trained
            accuracies = (train[network.id], test[network.id]) if is_trained else control[network.id]
            predicted = training.measure(network, self._dataset.x_train[self._sample(network.run)[0]]).predictions
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
            return write_arrays(self._paths.arrays, name, arrays)

    def _measure(self, tasks: Sequence[Task], training: CohortTraining) -> None:
        settings = self._settings.measure
        measurement = Measurement(
            perplexity=settings.perplexity,
            engine=settings.engine,
            restarts=settings.restarts,
            device=str(training.device) if training.device.type == "cuda" else "cpu",
        )
        # Compressing, hashing and three fsyncs per result (some 5 ms) overlap with the next embeddings; a single
        # thread writes, so that lines stay in order.
        with self._batch_lock, ThreadPoolExecutor(1, thread_name_prefix="write") as writer:
            writes: deque[Future[None]] = deque()
            for batch in _batched(self._jobs(tasks, training)):
                for result, seconds in embed(batch, measurement, settings.metrics, self._stop):
                    writes.append(writer.submit(self._record, result, seconds))
                    while writes and (len(writes) > _MAX_PENDING_WRITES or writes[0].done()):
                        writes.popleft().result()  # a full disk is raised here
                if self._stop():
                    break
            while writes:
                writes.popleft().result()

    def _jobs(self, tasks: Sequence[Task], training: CohortTraining) -> Iterator[Job]:
        """Yield a job for every task; a network's activations are computed when its first task comes."""
        networks = {network.id: network for network in (*training.networks, *self._cohort.controls)}
        hidden: dict[str, tuple[Activations, ...]] = {}
        for task in tasks:
            layer = task.layer
            index, labels = self._sample(layer.run)
            if layer.network is None:
                rows = self._dataset.inputs(index)
            else:
                if layer.network not in hidden:
                    # Tasks come network by network: one network's activations are enough to keep.
                    forward_pass = training.measure(networks[layer.network], self._dataset.x_train[index])
                    hidden = {layer.network: forward_pass.activations()}
                rows = hidden[layer.network][layer.layer - 1]
            yield Job(task, rows, labels, self._seed(task))

    def _seed(self, task: Task) -> int:
        layer = task.layer
        purpose = f"embedding/{layer.id}/{task.method}"
        return stream_seed(self._settings.machine.seed, layer.dataset, layer.run, purpose, task.epoch or 0)

    def _record(self, result: Result, seconds: float) -> None:
        """Write a result: first its array file, then its journal line, so that a line never names a missing file."""
        task, rows = result.job.task, result.job.rows
        if result.points is None:
            self._record_failure(task, result.error)
            return
        arrays: dict[str, NDArray[Any]] = {"points": result.points}
        if task.epoch is None and result.neighbours is not None:
            arrays["neighbours"] = result.neighbours
        sealed = self._write(task.file, arrays)
        layer = task.layer
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

    def _record_failure(self, task: Task, reason: str) -> None:
        layer = task.layer
        self._journal.append(
            LayerFailed(
                layer_id=layer.id,
                network=layer.network,
                layer=layer.layer,
                method=task.method,
                reason=reason,
                epoch=task.epoch,
            )
        )


def _score_fields(complexity: Complexity | None) -> dict[str, Any]:
    """Return the fields of LayerMeasured that belong to the score; only t-SNE has a `complexity`."""
    return {name: getattr(complexity, name) for name in _WITHOUT_SCORE} if complexity else _WITHOUT_SCORE


def _batched(jobs: Iterable[Job]) -> Iterator[list[Job]]:
    iterator = iter(jobs)
    while batch := list(islice(iterator, _BATCH)):
        yield batch
