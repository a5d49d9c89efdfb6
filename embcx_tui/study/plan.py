"""From settings to the exact list of cohorts, networks and layers, with their"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from embcx_tui.study.dataset_catalogue import facts
from embcx_tui.study.seeds import short_hash
from embcx_tui.study.settings import StudySettings


def dataset_key(dataset: str) -> str:
    """Return a name for `dataset` that is safe in file names: its own name, or `file-` and a hash of its path."""
    return f"file-{short_hash(dataset, length=6)}" if dataset.startswith("file:") else dataset


def network_id(dataset: str, depth: int, activation: str, run: int, control: str | None = None) -> str:
    """Return the id of one network, such as `mnist-d5-relu-r0` or `mnist-d5-relu-r0-untrained`."""
    return f"{dataset_key(dataset)}-d{depth}-{activation}-r{run}" + (f"-{control}" if control else "")


def layer_id(network: str, layer: int) -> str:
    """Return the id of a hidden layer of a network, such as `mnist-d5-relu-r0-l3`."""
    return f"{network}-l{layer}"


def input_id(dataset: str, run: int) -> str:
    """Return the id of layer 0, which all networks of a run share: they see the same sample."""
    return f"{dataset_key(dataset)}-r{run}-input"


def sample_id(dataset: str, run: int) -> str:
    """Return the id of the balanced sample of a run."""
    return f"{dataset_key(dataset)}-r{run}-sample"


class Architecture(NamedTuple):
    """What the runs of one network have in common; `control` is None for networks trained on the true labels."""

    dataset: str
    depth: int
    activation: str
    control: str | None


@dataclass(frozen=True, slots=True)
class Network:
    """One network: (dataset, depth, activation, run), or a control of it."""

    id: str
    dataset: str
    depth: int
    activation: str
    run: int
    control: str | None

    @property
    def architecture(self) -> Architecture:
        return Architecture(self.dataset, self.depth, self.activation, self.control)

    def layer_ids(self) -> tuple[str, ...]:
        """Return the ids of layers 0 … depth; layer 0 is shared by all networks of the run."""
        hidden = (layer_id(self.id, layer) for layer in range(1, self.depth + 1))
        return (input_id(self.dataset, self.run), *hidden)


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer to measure: the input of a run (`network` None, layer 0), or a hidden layer of a network."""

    id: str
    dataset: str
    run: int
    network: str | None
    layer: int


@dataclass(frozen=True, slots=True)
class Cohort:
    """Networks of one dataset trained together, in one batch of matrices, on one device.

    `networks` are those that are trained, controls with shuffled labels after those with true ones; `controls` are the
    untrained ones, which share their siblings' weights at the start.
    """

    id: str
    dataset: str
    networks: tuple[Network, ...]
    controls: tuple[Network, ...]

    @property
    def runs(self) -> tuple[int, ...]:
        return tuple(sorted({network.run for network in self.networks}))


@dataclass(frozen=True)
class Plan:
    """The whole study, spelled out."""

    settings: StudySettings
    cohorts: tuple[Cohort, ...]

    @cached_property
    def networks(self) -> tuple[Network, ...]:
        """All networks, controls after the trained ones of their dataset."""
        return tuple(network for cohort in self.cohorts for network in cohort.networks + cohort.controls)

    @cached_property
    def network_by_id(self) -> Mapping[str, Network]:
        return {network.id: network for network in self.networks}

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """Every layer to measure at the end: inputs of a run once, then hidden layers as they are measured."""
        return tuple(layer for cohort in self.cohorts for layer in cohort_layers(cohort))

    @cached_property
    def layer_by_id(self) -> Mapping[str, Layer]:
        return {layer.id: layer for layer in self.layers}

    @property
    def epochs(self) -> tuple[int, ...]:
        """The epochs before the last after which the hidden layers of networks with true labels are measured too.

        Epoch 0 is left out where untrained controls are measured: they are the same networks.
        """
        untrained = "untrained" in self.settings.measure.controls
        chosen = sorted(self.settings.measure.epochs)
        return tuple(e for e in chosen if e < self.settings.training.epochs and not (e == 0 and untrained))

    @cached_property
    def embeddings(self) -> int:
        """Number of embeddings to make: every method on every layer, and t-SNE again after the chosen epochs."""
        hidden = sum(n.depth for cohort in self.cohorts for n in cohort.networks if n.control is None)
        return len(self.layers) * len(self.settings.measure.methods) + hidden * len(self.epochs)

    @property
    def network_epochs(self) -> int:
        """Epochs summed over all trained networks."""
        return sum(len(cohort.networks) for cohort in self.cohorts) * self.settings.training.epochs

    def points(self, dataset: str) -> int | None:
        """Rows of a sample of `dataset`; None where the number of classes is known only once it is loaded."""
        known = facts(dataset)
        return len(known.classes) * self.settings.data.samples_per_class if known else None


def cohort_layers(cohort: Cohort) -> tuple[Layer, ...]:
    """Return what is measured of a cohort: the inputs of its runs, then its networks' hidden layers, controls last."""
    inputs = [Layer(input_id(cohort.dataset, run), cohort.dataset, run, None, 0) for run in cohort.runs]
    hidden = [
        Layer(layer_id(network.id, layer), network.dataset, network.run, network.id, layer)
        for network in cohort.networks + cohort.controls
        for layer in range(1, network.depth + 1)
    ]
    return (*inputs, *hidden)


def make_plan(settings: StudySettings) -> Plan:
    """Return the plan of `settings`, with one cohort per dataset.

    Networks are ordered deepest first, then by activation, then by run: so the networks of a cohort that have a layer l
    are a contiguous slice, and each activation is a slice of that.
    """
    return Plan(settings, tuple(_cohort(settings, dataset) for dataset in settings.data.datasets))


def _cohort(settings: StudySettings, dataset: str) -> Cohort:
    grid = settings.networks

    def networks(control: str | None) -> tuple[Network, ...]:
        return tuple(
            Network(network_id(dataset, depth, activation, run, control), dataset, depth, activation, run, control)
            for depth in sorted(grid.depths, reverse=True)
            for activation in grid.activations
            for run in range(grid.runs)
        )

    controls = settings.measure.controls
    trained = networks(None) + (networks("shuffled") if "shuffled" in controls else ())
    untrained = networks("untrained") if "untrained" in controls else ()
    return Cohort(dataset_key(dataset), dataset, trained, untrained)
