"""Measuring the layers of a cohort: what is left to do, and one sealed array file and one journal line a result."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.datasets import Dataset
from embcx_tui.compute.training.cohort import CohortTraining
from embcx_tui.compute.tsne.result import Measurement
from embcx_tui.store.arrays import read_arrays, write_arrays
from embcx_tui.store.paths import StudyPaths
from embcx_tui.study import ids
from embcx_tui.study.events import LayerFailed, LayerMeasured, NetworkTrained
from embcx_tui.study.plan import Cohort, Network
from embcx_tui.study.seeds import stream_seed
from embcx_tui.worker.background import BackgroundQueue
from embcx_tui.worker.embed import Activations, Job, Result, embed
from embcx_tui.worker.pending import Task, pending_tasks, unreported_networks
from embcx_tui.worker.process import Journal

# Activations handed over at a time: enough to keep every core or a GPU busy, 100 MB at 1,000 × 100.
_BATCH = 256
# Results that wait to be written; a disk that is slower than the device then slows it down instead of filling memory.
_MOST_UNWRITTEN = 64


class Measuring:
    """Measures what is left of one cohort: while it trains (`meanwhile`, `after_epoch`) and when it is (`at_end`).

    Where `beside` is possible, `meanwhile` and `at_end` return at once and the work goes on there.
    """

    def __init__(
        self,
        paths: StudyPaths,
        journal: Journal,
        cohort: Cohort,
        dataset: Dataset,
        beside: BackgroundQueue,
        stop: Callable[[], bool],
    ) -> None:
        self._paths = paths
        self._journal = journal
        self._cohort = cohort
        self._dataset = dataset
        self._beside = beside
        self._stop = stop
        # Descents fill the device and their threads the cores: one batch of tasks at a time.
        self._turn = threading.Lock()
        self._settings = journal.snapshot.plan.settings
        self._samples: dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}

    def left(self) -> tuple[Task, ...]:
        """Return what of the cohort still has no sound result."""
        return pending_tasks(self._paths, self._journal.snapshot, self._cohort)

    def settle(self) -> None:
        """Wait for all that goes on beside the caller; raises the error that it ended in."""
        self._beside.settle()

    def meanwhile(self, training: CohortTraining) -> None:
        """Measure the inputs and untrained controls of `training`'s networks, where that can go on beside it."""
        if self._beside.possible:
            self._beside.do(partial(self._measure_final, training, self._controls(training)))

    def after_epoch(self, training: CohortTraining) -> None:
        """Measure the hidden layers of `training`'s networks as they stand after its newest epoch, where asked for."""
        names = {network.id for network in training.networks}
        tasks = [task for task in self.left() if task.epoch == training.epochs_done and task.layer.network in names]
        self._measure(tasks, training)

    def at_end(self, training: CohortTraining) -> None:
        """Measure the layers of `training`'s trained networks, their runs' inputs and their untrained controls."""
        # No more than one trained cohort waits, so that memory holds two at most.
        self.settle()
        trained = [one for one in training.networks if one.id not in self._journal.snapshot.diverged]
        self._beside.do(partial(self._measure_final, training, (*trained, *self._controls(training))))

    def _measure_final(self, training: CohortTraining, networks: tuple[Network, ...]) -> None:
        """Measure `networks`, and the inputs of `training`'s runs, as they are to stay."""
        self._tell_ready(networks, training)
        names = {network.id for network in networks}
        runs = {network.run for network in training.networks}
        tasks = [
            task
            for task in self.left()
            if task.epoch is None
            and (task.layer.network in names or (task.layer.network is None and task.layer.run in runs))
        ]
        self._measure(tasks, training)

    def _controls(self, training: CohortTraining) -> tuple[Network, ...]:
        """Return the untrained controls that belong to this part of the cohort."""
        siblings = {(one.depth, one.activation, one.run) for one in training.networks}
        return tuple(one for one in self._cohort.controls if (one.depth, one.activation, one.run) in siblings)

    def _sample(self, run: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return indices and labels [n] of the run's sample, from the file that the screens read too."""
        if run not in self._samples:
            drawn = self._journal.snapshot.samples[ids.sample_id(self._dataset.name, run)]
            arrays = read_arrays(self._paths.root, drawn.file)
            self._samples[run] = arrays["index"], arrays["label"]
        return self._samples[run]

    def _tell_ready(self, networks: tuple[Network, ...], training: CohortTraining) -> None:
        """Tell of every network that is ready: accuracies of its final weights, predictions on its sample."""
        missing = {one.id for one in unreported_networks(self._paths, self._journal.snapshot, self._cohort)}
        new = [one for one in networks if one.id in missing]
        trained = {network.id for network in training.networks}
        train = training.train_accuracies() if any(one.id in trained for one in new) else {}
        test = training.test_accuracies() if train else {}
        # Of all controls, whichever are new: what rounds differently in other company would tell on a resumed study.
        control = training.control_accuracies(self._controls(training)) if {one.id for one in new} - trained else {}
        for network in new:
            own = network.id in trained
            accuracies = (train[network.id], test[network.id]) if own else control[network.id]
            predicted = training.measure(network, self._dataset.x_train[self._sample(network.run)[0]]).predictions
            sealed = write_arrays(self._paths.arrays, f"{network.id}.npz", {"predicted": predicted})
            self._journal.tell(
                NetworkTrained(
                    network=network.id,
                    epochs=training.epochs_done if own else 0,
                    train_accuracy=accuracies[0],
                    test_accuracy=accuracies[1],
                    file=sealed,
                )
            )

    def _measure(self, tasks: Sequence[Task], training: CohortTraining) -> None:
        settings = self._settings.measure
        measurement = Measurement(
            perplexity=settings.perplexity,
            engine=settings.engine,
            restarts=settings.restarts,
            device=str(training.device) if training.device.type == "cuda" else "cpu",
        )
        # Compressing, hashing and three fsyncs a result (some 5 ms) go on beside the next embeddings; one thread alone
        # writes, so that lines stay in order.
        with self._turn, ThreadPoolExecutor(1, thread_name_prefix="write") as writer:
            waiting: deque[Future[None]] = deque()
            for batch in self._batches(tasks, training):
                jobs = {id(job): task for task, job in batch}
                for result, seconds in embed([job for _, job in batch], measurement, settings.metrics, self._stop):
                    waiting.append(writer.submit(self._tell, jobs[id(result.job)], result, seconds))
                    while waiting and (len(waiting) > _MOST_UNWRITTEN or waiting[0].done()):
                        waiting.popleft().result()  # a full disk is raised here
                if self._stop():
                    break
            while waiting:
                waiting.popleft().result()

    def _batches(self, tasks: Sequence[Task], training: CohortTraining) -> Iterator[list[tuple[Task, Job]]]:
        """Yield tasks with their jobs in batches; a network's activations are computed when its turn comes."""
        networks = {network.id: network for network in (*training.networks, *self._cohort.controls)}
        batch: list[tuple[Task, Job]] = []
        hidden: dict[str, tuple[Activations, ...]] = {}
        for task in tasks:
            layer = task.layer
            index, labels = self._sample(layer.run)
            if layer.network is None:
                rows = self._dataset.inputs(index)
            else:
                if layer.network not in hidden:
                    # Tasks come network by network: one network's activations are enough to keep.
                    passed = training.measure(networks[layer.network], self._dataset.x_train[index])
                    hidden = {layer.network: passed.activations()}
                rows = hidden[layer.network][layer.layer - 1]
            batch.append((task, Job(layer, task.method, rows, labels, self._seed(task))))
            if len(batch) == _BATCH:
                yield batch
                batch = []
        if batch:
            yield batch

    def _seed(self, task: Task) -> int:
        layer = task.layer
        purpose = f"embedding/{layer.id}/{task.method}"
        return stream_seed(self._settings.machine.seed, layer.dataset, layer.run, purpose, task.epoch or 0)

    def _tell(self, task: Task, result: Result, seconds: float) -> None:
        """Write a result: its array file first, its journal line second, so that a line never points at nothing."""
        if result.points is None:
            self._fail(task, result.error)
            return
        layer, found = task.layer, result.complexity
        arrays: dict[str, NDArray[Any]] = {"points": result.points}
        if task.epoch is None and result.neighbours is not None:
            arrays["neighbours"] = result.neighbours
        sealed = write_arrays(self._paths.arrays, task.file, arrays)
        self._journal.tell(
            LayerMeasured(
                layer_id=layer.id,
                network=layer.network,
                dataset=layer.dataset,
                run=layer.run,
                layer=layer.layer,
                units=result.job.rows.shape[1],
                method=task.method,
                engine=found.engine if found else "scikit-learn",
                perplexity=self._settings.measure.perplexity,
                points=result.job.rows.shape[0],
                seed=result.job.seed,
                kl=found.kl if found else None,
                explained=found.explained if found else None,
                degenerate=found.degenerate if found else False,
                duplicates=found.duplicates if found else 0,
                converged=found.converged if found else True,
                iterations=found.iterations if found else 0,
                gradient_norm=found.gradient_norm if found else None,
                relative_change=found.relative_change if found else None,
                restart_kls=found.restart_kls if found else (),
                metrics=result.metrics,
                quality=result.quality,
                seconds=seconds,
                file=sealed,
                epoch=task.epoch,
            )
        )

    def _fail(self, task: Task, reason: str) -> None:
        layer = task.layer
        self._journal.tell(
            LayerFailed(
                layer_id=layer.id,
                network=layer.network,
                layer=layer.layer,
                method=task.method,
                reason=reason,
                epoch=task.epoch,
            )
        )
