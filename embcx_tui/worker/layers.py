"""Measuring the layers of a trained cohort: one sealed array file and one journal line a layer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.complexity import Complexity, Measurement, measure
from embcx_tui.compute.datasets import Dataset
from embcx_tui.compute.training import CohortTraining
from embcx_tui.store.arrays import is_intact, read_arrays, write_arrays
from embcx_tui.store.paths import StudyPaths
from embcx_tui.study import ids
from embcx_tui.study.errors import MeasureError
from embcx_tui.study.events import LayerFailed, LayerMeasured, NetworkTrained
from embcx_tui.study.plan import Cohort, Layer, Network, cohort_layers
from embcx_tui.study.text import safe_text
from embcx_tui.worker.study import Journal

Activations = NDArray[np.float32]
METHOD = "tsne"
# Activations handed over at a time: enough to keep every core or a GPU busy, 100 MB at 1,000 × 100.
_BATCH = 256


def unmeasured(paths: StudyPaths, journal: Journal, cohort: Cohort) -> tuple[Layer, ...]:
    """Return the layers of `cohort` that still have no sound result; a diverged network's layers never get one."""
    snapshot = journal.snapshot

    def missing(layer: Layer) -> bool:
        if layer.network in snapshot.diverged:
            return False
        known = snapshot.measured.get((layer.id, METHOD))
        return known is None or not is_intact(paths.root, known.file)

    return tuple(layer for layer in cohort_layers(cohort) if missing(layer))


def measure_layers(
    paths: StudyPaths,
    journal: Journal,
    cohort: Cohort,
    training: CohortTraining,
    dataset: Dataset,
    stop: Callable[[], bool],
) -> None:
    """Measure what is left of the layers of `training`'s networks, their runs' inputs and their controls."""
    _Measuring(paths, journal, cohort, training, dataset, stop).run()


class _Measuring:
    def __init__(
        self,
        paths: StudyPaths,
        journal: Journal,
        cohort: Cohort,
        training: CohortTraining,
        dataset: Dataset,
        stop: Callable[[], bool],
    ) -> None:
        self._paths = paths
        self._journal = journal
        self._cohort = cohort
        self._training = training
        self._dataset = dataset
        self._stop = stop
        self._settings = journal.snapshot.plan.settings
        self._samples: dict[int, NDArray[np.int64]] = {}

    def run(self) -> None:
        networks = self._networks()
        self._tell_trained(networks)
        wanted = {network.id for network in networks}
        runs = {network.run for network in networks}
        todo = [
            layer
            for layer in unmeasured(self._paths, self._journal, self._cohort)
            if (layer.network in wanted) or (layer.network is None and layer.run in runs)
        ]
        for batch in self._batches(todo, {network.id: network for network in networks}):
            if self._stop():
                return
            self._measure(batch)

    def _networks(self) -> tuple[Network, ...]:
        """Return the trained networks that can be measured, and the controls that belong to this part of the cohort."""
        trained = [one for one in self._training.networks if one.id not in self._journal.snapshot.diverged]
        siblings = {(one.depth, one.activation, one.run) for one in self._training.networks}
        controls = [one for one in self._cohort.controls if (one.depth, one.activation, one.run) in siblings]
        return (*trained, *controls)

    def _index(self, run: int) -> NDArray[np.int64]:
        """Return the run's sample, from the file that the screens read too."""
        if run not in self._samples:
            drawn = self._journal.snapshot.samples[ids.sample_id(self._dataset.name, run)]
            self._samples[run] = read_arrays(self._paths.root, drawn.file)["index"]
        return self._samples[run]

    def _tell_trained(self, networks: tuple[Network, ...]) -> None:
        """Tell of every network that is ready: accuracies of its final weights, predictions on its sample."""
        known = self._journal.snapshot.trained
        new = [one for one in networks if one.id not in known or not is_intact(self._paths.root, known[one.id].file)]
        if not new:
            return
        trained = {network.id for network in self._training.networks}
        train = self._training.train_accuracies() if any(one.id in trained for one in new) else {}
        test = self._training.test_accuracies() if train else {}
        for network in new:
            if network.id in trained:
                accuracies = train[network.id], test[network.id]
            else:
                accuracies = self._training.accuracies(network)
            predicted = self._training.measure(network, self._dataset.x_train[self._index(network.run)]).predictions
            sealed = write_arrays(self._paths.arrays, f"{network.id}.npz", {"predicted": predicted})
            self._journal.tell(
                NetworkTrained(
                    network=network.id,
                    epochs=self._training.epochs_done if network.id in trained else 0,
                    train_accuracy=accuracies[0],
                    test_accuracy=accuracies[1],
                    file=sealed,
                )
            )

    def _batches(self, todo: list[Layer], networks: dict[str, Network]) -> Iterator[list[tuple[Layer, Activations]]]:
        """Yield (layer, activations) in batches; a network's activations are computed when its turn comes."""
        batch: list[tuple[Layer, Activations]] = []
        hidden: dict[str, tuple[Activations, ...]] = {}
        for layer in todo:
            index = self._index(layer.run)
            if layer.network is None:
                rows = self._dataset.inputs(index)
            else:
                if layer.network not in hidden:
                    # Layers come network by network: one network's activations are enough to keep.
                    network = networks[layer.network]
                    hidden = {
                        layer.network: self._training.measure(network, self._dataset.x_train[index]).activations()
                    }
                rows = hidden[layer.network][layer.layer - 1]
            if not np.isfinite(rows).all():
                self._fail(layer, "its activations are not finite")
                continue
            batch.append((layer, rows))
            if len(batch) == _BATCH:
                yield batch
                batch = []
        if batch:
            yield batch

    def _measure(self, batch: list[tuple[Layer, Activations]]) -> None:
        """Measure a batch; where a layer brings it down, the rest one by one, so that only that layer fails."""
        left = dict(enumerate(batch))
        try:
            self._measure_together(left)
        except MemoryError:
            raise
        except (ValueError, RuntimeError, ArithmeticError, MeasureError):
            for place, one in list(left.items()):
                if self._stop():
                    return
                try:
                    self._measure_together({place: one})
                except (ValueError, RuntimeError, ArithmeticError, MeasureError) as error:
                    self._fail(one[0], safe_text(error, 200))

    def _measure_together(self, left: dict[int, tuple[Layer, Activations]]) -> None:
        places = list(left)
        settings = self._settings
        device = self._training.device
        measurement = Measurement(
            perplexity=settings.measure.perplexity,
            engine=settings.measure.engine,
            restarts=settings.measure.restarts,
            device=str(device) if device.type == "cuda" else "cpu",
        )
        seeds = [self._seed(left[place][0]) for place in places]
        begun = time.perf_counter()
        found = measure([left[place][1] for place in places], seeds, measurement, should_stop=self._stop)
        for number, complexity in found:
            layer, rows = left.pop(places[number])
            now = time.perf_counter()
            # Many are measured at once: what one cost is the time since the last one came out.
            self._tell_measured(layer, rows, complexity, seeds[number], now - begun)
            begun = now

    def _seed(self, layer: Layer) -> int:
        return ids.seed(self._settings.machine.seed, layer.dataset, layer.run, f"embedding/{layer.id}/{METHOD}")

    def _tell_measured(self, layer: Layer, rows: Activations, found: Complexity, seed: int, seconds: float) -> None:
        sealed = write_arrays(self._paths.arrays, f"{layer.id}.npz", {"points": found.points})
        self._journal.tell(
            LayerMeasured(
                layer_id=layer.id,
                network=layer.network,
                dataset=layer.dataset,
                run=layer.run,
                layer=layer.layer,
                units=rows.shape[1],
                method=METHOD,
                engine=found.engine,
                perplexity=self._settings.measure.perplexity,
                points=rows.shape[0],
                seed=seed,
                kl=found.kl,
                explained=found.explained,
                degenerate=found.degenerate,
                duplicates=found.duplicates,
                converged=found.converged,
                iterations=found.iterations,
                gradient_norm=found.gradient_norm,
                relative_change=found.relative_change,
                restart_kls=found.restart_kls,
                seconds=seconds,
                file=sealed,
            )
        )

    def _fail(self, layer: Layer, reason: str) -> None:
        self._journal.tell(
            LayerFailed(layer_id=layer.id, network=layer.network, layer=layer.layer, method=METHOD, reason=reason)
        )
