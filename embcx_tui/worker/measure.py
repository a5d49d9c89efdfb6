"""Measuring layers: embedded many at once, then one sealed array file and one journal line per result.

Results are recorded as they finish, and a layer on which a method fails is a result too. `Measurer` measures the layers
of any source of rows, `Measuring` those of a cohort that is trained here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.datasets import Dataset
from embcx_tui.compute.timing import timed_part
from embcx_tui.compute.training.cohort import CohortTraining
from embcx_tui.compute.training.network import Pass
from embcx_tui.compute.tsne.result import Complexity, Measurement
from embcx_tui.compute.tsne.schedule import DEFAULT_SCHEDULE, PLAIN_SCHEDULE, THOROUGH_SCHEDULE
from embcx_tui.store.files import pack_arrays, unpack_arrays
from embcx_tui.study.errors import MeasureError
from embcx_tui.study.events import LayerFailed, LayerMeasured, NetworkTrained, SealedFile
from embcx_tui.study.plan import Cohort, Network, dataset_key
from embcx_tui.study.seeds import stream_seed
from embcx_tui.study.settings import HELD_OUT
from embcx_tui.worker.background import BackgroundQueue, ThreadQueue
from embcx_tui.worker.embed import Job, Result, embed
from embcx_tui.worker.outlet import Outlet
from embcx_tui.worker.pending import Task, pending_tasks, unreported_networks
from embcx_tui.worker.row_source import LayerRows, RowSource

# Layers embedded in one batch: enough to keep every core or a GPU busy, 100 MB at 1,000 × 100; and so many bytes of
# rows, of which wide layers have 50 MB each.
_BATCH = 256
_BATCH_BYTES = 256 << 20
# On a GPU four times as many: the metrics of a batch, on the processor, end before the next batch begins; only those
# of layers that end early overlap with descents.
_GPU_BATCHES = 4
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


def _alone(task: Task) -> Sequence[Task]:
    return ()


class Measurer:
    """Measures layers of a source of rows, and records each result."""

    def __init__(self, outlet: Outlet, stop: Callable[[], bool]) -> None:
        self._outlet = outlet
        self._stop = stop
        # Descents fill the device and their threads the cores: one batch of tasks at a time.
        self._batch_lock = threading.Lock()
        self._settings = outlet.snapshot.plan.settings

    def run(
        self,
        tasks: Iterable[Task],
        source: RowSource,
        device: str,
        also: Callable[[Task], Sequence[Task]] = _alone,
    ) -> None:
        """Measure `tasks`, whose rows come from `source`, on `device`; ends early, between results, once stopped.

        `also`: what else the result of a task is, such as that of an earlier epoch; recorded after it, in order.
        """
        settings = self._settings.measure
        measurement = Measurement(
            perplexity=settings.perplexity,
            engine=settings.engine,
            restarts=settings.restarts,
            schedule=PLAIN_SCHEDULE if settings.search == "plain" else DEFAULT_SCHEDULE,
            input_schedule=THOROUGH_SCHEDULE if settings.search == "thorough" else None,
            large=settings.large,
            device=device,
        )
        # Compressing, hashing and three fsyncs per result (some 5 ms) overlap with the next embeddings; a single
        # thread writes, so that lines stay in order. A full disk is raised by a later submit or the join.
        with self._batch_lock, ThreadQueue("write", _MAX_PENDING_WRITES) as writes:
            for batch in _batches(self._jobs(tasks, source, also), 1 if device == "cpu" else _GPU_BATCHES):
                previous = time.perf_counter()
                for result in embed(batch, measurement, settings.metrics, self._stop):
                    now = time.perf_counter()
                    for one in (result.job.task, *also(result.job.task)):
                        as_one = replace(result, job=replace(result.job, task=one))
                        writes.submit(partial(self._record, as_one, now - previous))
                    previous = now
                if self._stop():
                    break
            writes.join()

    def _jobs(self, tasks: Iterable[Task], source: RowSource, also: Callable[[Task], Sequence[Task]]) -> Iterator[Job]:
        """Yield a job for every task whose rows can be had; that one cannot be is recorded."""
        for task in tasks:
            if self._stop():
                return
            try:
                found = source.rows(task)
            except MeasureError as error:
                for one in (task, *also(task)):
                    self._record_failure(one, str(error))
            else:
                yield Job(
                    task, found.rows, found.labels, source.seed(task),
                    found.name, found.pool, found.width, found.varying,
                )  # fmt: skip

    def write(self, name: str, arrays: dict[str, NDArray[Any]]) -> SealedFile:
        """Write an array file of the study."""
        with timed_part("files and journal"):
            packed = pack_arrays(arrays)
        return self._outlet.publish("arrays", name, packed)

    def _record_failure(self, task: Task, reason: str) -> None:
        layer = task.layer
        self._outlet.append(
            LayerFailed(
                layer_id=layer.id,
                network=layer.network,
                layer=layer.layer,
                method=task.method,
                reason=reason,
                epoch=task.epoch,
            )
        )

    def _record(self, result: Result, seconds: float) -> None:
        """Write a result: first its array file, then its journal line, so that a line never names a missing file."""
        job, task, layer = result.job, result.job.task, result.job.task.layer
        if result.points is None:
            self._record_failure(task, result.error)
            return
        arrays: dict[str, NDArray[Any]] = {"points": result.points}
        if task.epoch is None and result.neighbours is not None:
            arrays["neighbours"] = result.neighbours
        if result.point_kls is not None:
            arrays["kl"] = result.point_kls.astype(np.float32)
        sealed = self.write(task.file, arrays)
        self._outlet.append(
            LayerMeasured(
                layer_id=layer.id,
                network=layer.network,
                dataset=layer.dataset,
                run=layer.run,
                layer=layer.layer,
                units=job.rows.shape[1],
                method=task.method,
                perplexity=self._settings.measure.perplexity,
                points=job.rows.shape[0],
                seed=job.seed,
                metrics=result.metrics,
                quality=result.quality,
                seconds=seconds,
                file=sealed,
                epoch=task.epoch,
                name=job.name,
                pool=job.pool,
                width=job.width,
                **_score_fields(result.complexity),
            )
        )


def _batches(jobs: Iterable[Job], times: int) -> Iterator[list[Job]]:
    """Yield the jobs in batches: of `times` so many, and of so many bytes of rows, one at least."""
    batch: list[Job] = []
    size = 0
    for job in jobs:
        if batch and (len(batch) == _BATCH * times or size + job.rows.nbytes > _BATCH_BYTES * times):
            yield batch
            batch, size = [], 0
        batch.append(job)
        size += job.rows.nbytes
    if batch:
        yield batch


# Indices and labels [n] of samples that have been read, by their ids.
Samples = dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]


class TrainedRows:
    """The rows of the layers of networks that were trained here."""

    def __init__(
        self, outlet: Outlet, cohort: Cohort, dataset: Dataset, training: CohortTraining, samples: Samples
    ) -> None:
        self._outlet = outlet
        self._dataset = dataset
        self._training = training
        self._networks = {network.id: network for network in (*training.networks, *cohort.controls)}
        self._samples = samples
        self._hidden: dict[str, tuple[NDArray[np.float32], ...]] = {}

    def rows(self, task: Task) -> LayerRows:
        """Return the rows of a layer; a network's activations are computed when its first layer is asked for."""
        layer = task.layer
        index, labels = self._sample(layer.sample_id)
        if layer.network is None:
            return LayerRows(self._dataset.inputs(index, layer.source), labels)
        if layer.network not in self._hidden:
            # Tasks come network by network: one network's activations are enough to keep.
            self._hidden = {layer.network: self.forward(self._networks[layer.network]).activations()}
        return LayerRows(self._hidden[layer.network][layer.layer - 1], labels)

    def seed(self, task: Task) -> int:
        """Return the seed of an embedding: the same for all layers, as for those from files (`FileRows`), so that equal
        rows get equal numbers; in studies begun with an earlier search, one per layer.
        """
        settings = self._outlet.snapshot.plan.settings
        if settings.measure.search == "thorough":
            return stream_seed(settings.machine.seed, "", 0, f"embedding/{task.method}")
        layer = task.layer
        key = self._dataset.stream_key
        # Ids of a user's file hold a hash of its path, which must not tell where the content is the same.
        name = layer.seed_id if key == layer.dataset else layer.seed_id.removeprefix(dataset_key(layer.dataset))
        purpose = f"embedding/{name}/{task.method}"
        return stream_seed(settings.machine.seed, key, layer.run, purpose, task.epoch or 0)

    def forward(self, network: Network) -> Pass:
        """Return activations and predictions of `network` on its sample."""
        inputs = self._dataset.labelled(network.source)[0][self._sample(network.sample_id)[0]]
        weights_of = replace(network, id=network.trained_id, control=None) if network.control == HELD_OUT else network
        return self._training.forward(weights_of, inputs)

    def _sample(self, sample_id: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return indices and labels [n] of a run's sample, from the file that the screens read too."""
        if sample_id not in self._samples:
            file = self._outlet.snapshot.samples[sample_id].file
            arrays = unpack_arrays(self._outlet.read(file), file)
            self._samples[sample_id] = arrays["index"], arrays["label"]
        return self._samples[sample_id]


class Measuring:
    """Measures the pending layers of one cohort: while it trains (`meanwhile`, `after_epoch`) and after (`at_end`).

    Where `background` runs in a thread of its own, `meanwhile` and `at_end` return at once.
    """

    def __init__(
        self,
        outlet: Outlet,
        cohort: Cohort,
        dataset: Dataset,
        background: BackgroundQueue,
        stop: Callable[[], bool],
    ) -> None:
        self._outlet = outlet
        self._cohort = cohort
        self._dataset = dataset
        self._background = background
        self._measurer = Measurer(outlet, stop)
        self._samples: Samples = {}

    def pending(self) -> tuple[Task, ...]:
        """Return the tasks of the cohort that have no sound result yet."""
        return pending_tasks(self._outlet.is_intact, self._outlet.snapshot, self._cohort)

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
        self._measurer.run(tasks, self._rows(training), str(training.device))

    def at_end(self, training: CohortTraining) -> None:
        """Measure the layers of `training`'s trained networks, their runs' inputs and their controls."""
        # No more than one trained cohort waits, so that memory holds two at most.
        self.join()
        trained = [network for network in training.networks if network.id not in self._outlet.snapshot.diverged]
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
        self._measurer.run(tasks, self._rows(training), str(training.device))

    def _untrained(self, training: CohortTraining) -> tuple[Network, ...]:
        """Return the untrained controls that belong to this part of the cohort."""
        siblings = {(network.depth, network.activation, network.run) for network in training.networks}
        return tuple(
            control
            for control in self._cohort.controls
            if control.control == "untrained" and (control.depth, control.activation, control.run) in siblings
        )

    def _rows(self, training: CohortTraining) -> TrainedRows:
        return TrainedRows(self._outlet, self._cohort, self._dataset, training, self._samples)

    def _report_networks(self, networks: tuple[Network, ...], training: CohortTraining) -> None:
        """Record, for every network that has no record yet, the accuracies of its final weights and its predictions."""
        missing = set(unreported_networks(self._outlet.is_intact, self._outlet.snapshot, self._cohort))
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
        rows = self._rows(training)
        for network in new:
            name = network.trained_id
            is_trained = name in trained
            accuracies = (train[name], test[name]) if is_trained else control[name]
            predicted = rows.forward(network).predictions
            sealed = self._measurer.write(f"{network.id}.npz", {"predicted": predicted})
            self._outlet.append(
                NetworkTrained(
                    network=network.id,
                    epochs=training.epochs_done if is_trained else 0,
                    train_accuracy=accuracies[0],
                    test_accuracy=accuracies[1],
                    file=sealed,
                )
            )


def _score_fields(complexity: Complexity | None) -> dict[str, Any]:
    """Return the fields of LayerMeasured that belong to the score; only t-SNE has a `complexity`."""
    return {name: getattr(complexity, name) for name in _WITHOUT_SCORE} if complexity else _WITHOUT_SCORE
