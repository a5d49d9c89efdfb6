"""Measuring the layers of a cohort: embedded many at once, then one sealed array file and one journal line per result.

Results are recorded as they finish, and a layer on which a method fails is a result too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.datasets import Dataset
from embcx_tui.compute.timing import timed_part
from embcx_tui.compute.training.cohort import CohortTraining
from embcx_tui.compute.training.network import Pass
from embcx_tui.compute.tsne.gradient_descent import DEFAULT_SCHEDULE, PLAIN_SCHEDULE
from embcx_tui.compute.tsne.result import Complexity, Measurement
from embcx_tui.store.files import read_arrays, write_arrays
from embcx_tui.study.events import LayerFailed, LayerMeasured, NetworkTrained, SealedFile
from embcx_tui.study.plan import Cohort, Network, dataset_key
from embcx_tui.study.seeds import stream_seed
from embcx_tui.study.settings import HELD_OUT
from embcx_tui.worker.background import BackgroundQueue, ThreadQueue
from embcx_tui.worker.embed import Job, Result, embed
from embcx_tui.worker.journal import Journal
from embcx_tui.worker.pending import Task, pending_tasks, unreported_networks

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


def _score_fields(complexity: Complexity | None) -> dict[str, Any]:
    """Return the fields of LayerMeasured that belong to the score; only t-SNE has a `complexity`."""
    return {name: getattr(complexity, name) for name in _WITHOUT_SCORE} if complexity else _WITHOUT_SCORE
