"""What the benchmarks measure: a dataset at hand, a small network trained on it, and the activations of its layers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from embcx_tui.compute import datasets
from embcx_tui.compute.datasets import Dataset
from embcx_tui.compute.samples import run_sample
from embcx_tui.compute.training.network import Weights, initial_weights
from embcx_tui.store.paths import data_folder, unpacked_folder
from embcx_tui.study.plan import Network
from embcx_tui.study.settings import StudySettings
from embcx_tui.worker.calibrate import cohort, settings_for


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """One layer to embed: its name and its activations [n, d]."""

    name: str
    rows: NDArray[np.float32]


def choose_dataset(quick: bool, train_limit: int = 0) -> Dataset:
    """Return MNIST where it is at hand and `quick` is not asked for, else scikit-learn's digits."""
    if not quick and datasets.status("mnist", data_folder()).state == "present":
        return datasets.load("mnist", data_folder(), unpacked_folder(), train_limit=train_limit)
    return datasets.load("digits", data_folder(), unpacked_folder())


def start(network: Network, dataset: Dataset, settings: StudySettings) -> Weights:
    """Return the weights that `network` starts from in a study of these settings."""
    width, seed = settings.networks.width, settings.machine.seed
    return initial_weights(network, dataset.features, width, len(dataset.classes), seed)


class Trained:
    """A small relu network, trained here, whose layers are the material of every embedding that is timed."""

    def __init__(self, dataset: Dataset, quick: bool, device: torch.device) -> None:
        depth, width, self.epochs = (2, 20, 3) if quick else (5, 100, 4)
        settings = settings_for(
            dataset.name, depths=(depth,), activations=("relu",), runs=1, width=width, epochs=self.epochs
        )
        self.dataset = dataset
        self._training = cohort(dataset, settings, device)
        self._network = self._training.networks[0]
        for _ in range(self.epochs):
            self.test_accuracy = self._training.epoch().networks[0].test_accuracy

    @property
    def words(self) -> str:
        """What the layers are of, for the settings of a result."""
        sizes = f"{self._network.depth} layers, relu, {self.epochs} epochs on {len(self.dataset.x_train):,} inputs"
        return f"{self.dataset.name}, {sizes}, test accuracy {self.test_accuracy:.3f}"

    def subjects(self, per_class: int) -> tuple[Subject, ...]:
        """Return the input, every trained layer and every untrained one, for `per_class` training inputs per class.

        Raises DataError where the smallest class has fewer.
        """
        index = run_sample(self.dataset, per_class, 0, 0)
        raw = self.dataset.x_train[index]
        subjects = [Subject("input", self.dataset.inputs(index))]
        control: Network = replace(self._network, control="untrained")
        for words, network in (("trained", self._network), ("untrained", control)):
            hidden = self._training.forward(network, raw).activations()
            subjects += [Subject(f"{words} {layer}", rows) for layer, rows in enumerate(hidden, 1)]
        return tuple(subjects)
