"""From settings to the exact list of cohorts, networks and layers, with their ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from embcx_tui.study.dataset_catalogue import FILE_PREFIX, facts
from embcx_tui.study.measured import MeasuredSettings, ModelSettings
from embcx_tui.study.seeds import short_hash
from embcx_tui.study.settings import HELD_OUT, StudySettings

Source = Literal["train", "test"]


def dataset_key(dataset: str) -> str:
    """Return a name for `dataset` that is safe in file names: a known one's own, else `file-` or `data-` and a hash.

    `file-` begins that of a path; `data-` what a user called the data of a measured study.
    """
    if facts(dataset):
        return dataset
    return f"{'file' if dataset.startswith(FILE_PREFIX) else 'data'}-{short_hash(dataset, length=6)}"


def network_id(dataset: str, depth: int, activation: str, run: int, control: str | None = None) -> str:
    """Return the id of one network, such as `mnist-d5-relu-r0` or `mnist-d5-relu-r0-untrained`."""
    return f"{dataset_key(dataset)}-d{depth}-{activation}-r{run}" + (f"-{control}" if control else "")


def layer_id(network: str, layer: int) -> str:
    """Return the id of a hidden layer of a network, such as `mnist-d5-relu-r0-l3`."""
    return f"{network}-l{layer}"


def input_id(dataset: str, run: int, control: str | None = None) -> str:
    """Return the id of layer 0, which networks of a run share: they see the same sample, but for held-out controls."""
    return f"{dataset_key(dataset)}-r{run}-input" + (f"-{control}" if control == HELD_OUT else "")


def sample_id(dataset: str, run: int, source: Source = "train") -> str:
    """Return the id of the balanced sample of a run, drawn from the inputs of `source`."""
    return f"{dataset_key(dataset)}-r{run}-sample" + ("-test" if source == "test" else "")


class Architecture(NamedTuple):
    """What the runs of one network have in common; `control` is None for networks trained on the true labels.

    In a measured study `activation` holds the name of the model, and `depth` the number of its layers.
    """

    dataset: str
    depth: int
    activation: str
    control: str | None


@dataclass(frozen=True, slots=True)
class Network:
    """One network: (dataset, depth, activation, run), or a control of it. Its sample is drawn from `source`.

    In a measured study `activation` holds the name of the model, `depth` the number of its layers and `names` what they
    are called, from layer 1 on: text from outside, harmless. Its input may be unknown: it has no layer 0 then.
    """

    id: str
    dataset: str
    depth: int
    activation: str
    run: int
    control: str | None
    source: Source = "train"
    names: tuple[str, ...] = ()
    has_input: bool = True

    @property
    def trained_id(self) -> str:
        """The id of the network whose final weights this one has: a held-out control's sibling, else itself."""
        return self.id.removesuffix(f"-{HELD_OUT}") if self.control == HELD_OUT else self.id

    @property
    def sample_id(self) -> str:
        return sample_id(self.dataset, self.run, self.source)

    @property
    def input_set(self) -> str:
        """What the indices of its sample count in: the dataset's name, with ` test` where they are test inputs."""
        return self.dataset + (" test" if self.source == "test" else "")

    @property
    def architecture(self) -> Architecture:
        return Architecture(self.dataset, self.depth, self.activation, self.control)

    def layer_ids(self) -> tuple[str, ...]:
        """Return the ids of layers 0 … depth; layer 0 is shared by all networks of the run."""
        hidden = (layer_id(self.id, layer) for layer in range(1, self.depth + 1))
        return (input_id(self.dataset, self.run, self.control), *hidden)

    @property
    def first_layer(self) -> int:
        """The first layer that is measured: 0, the input, or 1 where the input is not known."""
        return 0 if self.has_input else 1

    @property
    def layers(self) -> range:
        """The layers that are measured."""
        return range(self.first_layer, self.depth + 1)

    def layer_name(self, layer: int) -> str:
        """Return what a layer of a measured network is called; empty for those of a grid, which have numbers alone."""
        return self.names[layer - 1] if 1 <= layer <= len(self.names) else ""


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer to measure: the input of a run (`network` None, layer 0), or a hidden layer of a network."""

    id: str
    dataset: str
    run: int
    network: str | None
    layer: int
    source: Source = "train"

    @property
    def sample_id(self) -> str:
        return sample_id(self.dataset, self.run, self.source)

    @property
    def seed_id(self) -> str:
        """What its seeds are derived from: held-out inputs start as those of a study with test inputs alone."""
        return self.id.replace(f"-{HELD_OUT}", "")


@dataclass(frozen=True, slots=True)
class Cohort:
    """Networks of one dataset trained together, in one batch of matrices, on one device.

    `networks` are those that are trained, controls with shuffled labels after those with true ones. `controls` are
    not trained: the untrained ones have their siblings' weights at the start, the held-out ones those at the end.
    """

    id: str
    dataset: str
    networks: tuple[Network, ...]
    controls: tuple[Network, ...]
    inputs_elsewhere: frozenset[tuple[int, Source]] = frozenset()
    """The (run, source) of inputs that another part of the same cohort measures (study.parts)."""

    @property
    def runs(self) -> tuple[int, ...]:
        return tuple(sorted({network.run for network in self.networks}))

    @property
    def held_out(self) -> tuple[Network, ...]:
        """The controls that are trained networks measured on test inputs."""
        return tuple(network for network in self.controls if network.control == HELD_OUT)

    @property
    def samples(self) -> tuple[tuple[int, Source], ...]:
        """The (run, source) of every sample that its networks are measured on."""
        return tuple(sorted({(network.run, network.source) for network in self.networks + self.controls}))


@dataclass(frozen=True)
class Plan:
    """The whole study, spelled out."""

    settings: StudySettings
    cohorts: tuple[Cohort, ...]

    @property
    def is_measured(self) -> bool:
        """True where the networks were trained elsewhere and are measured alone: there are no epochs and accuracies."""
        return isinstance(self.settings, MeasuredSettings)

    @cached_property
    def networks(self) -> tuple[Network, ...]:
        """All networks, controls after the trained ones of their dataset."""
        return tuple(network for cohort in self.cohorts for network in cohort.networks + cohort.controls)

    def activations_at(self, dataset: str, depth: int, control: str | None = None) -> tuple[str, ...]:
        """Return the activation functions, in their order, of the networks of a dataset, depth and control.

        A grid has all of them everywhere; the models of a measured study have each its own depth and controls.
        """
        known: tuple[str, ...] = self.settings.networks.activations
        if not self.is_measured:
            return known
        here = {
            one.activation
            for one in self.networks
            if (one.dataset, one.depth, one.control) == (dataset, depth, control)
        }
        return tuple(activation for activation in known if activation in here)

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
        known = None if self.is_measured else facts(dataset)
        return len(known.classes) * self.settings.data.samples_per_class if known else None


def cohort_layers(cohort: Cohort) -> tuple[Layer, ...]:
    """Return what is measured of a cohort: the inputs of its runs, then its networks' hidden layers, controls last."""
    inputs = dict.fromkeys(
        Layer(network.layer_ids()[0], network.dataset, network.run, None, 0, network.source)
        for network in sorted(cohort.networks + cohort.controls, key=lambda one: (one.source == "test", one.run))
        if network.has_input and (network.run, network.source) not in cohort.inputs_elsewhere
    )
    hidden = [
        Layer(layer_id(network.id, layer), network.dataset, network.run, network.id, layer, network.source)
        for network in cohort.networks + cohort.controls
        for layer in range(1, network.depth + 1)
    ]
    return (*inputs, *hidden)


def make_plan(settings: StudySettings) -> Plan:
    """Return the plan of `settings`, with one cohort per dataset.

    Networks are ordered deepest first, then by activation, then by run: so the networks of a cohort that have a layer l
    are a contiguous slice, and each activation is a slice of that.
    """
    if isinstance(settings, MeasuredSettings):
        return Plan(settings, tuple(_measured_cohort(settings, dataset) for dataset in settings.data.datasets))
    return Plan(settings, tuple(_cohort(settings, dataset) for dataset in settings.data.datasets))


def measured_network(settings: MeasuredSettings, model: ModelSettings) -> Network:
    """Return the network of a model. Its id is that of no grid's, and holds nothing of a name from outside."""
    number = 1 + list(dict.fromkeys(one.key for one in settings.models)).index(model.key)
    ending = f"-{model.control}" if model.control else ""
    return Network(
        f"{short_hash(*model.key, length=6)}-m{number}-r{model.run}{ending}",
        model.dataset,
        len(model.layers),
        model.name,
        model.run,
        model.control or None,
        names=model.layers,
        has_input=bool(model.input),
    )


def _measured_cohort(settings: MeasuredSettings, dataset: str) -> Cohort:
    """Return the networks on one dataset, in the order of the study file; untrained ones are its controls."""
    found = tuple(measured_network(settings, model) for model in settings.models if model.dataset == dataset)
    return Cohort(
        dataset_key(dataset),
        dataset,
        tuple(network for network in found if network.control != "untrained"),
        tuple(network for network in found if network.control == "untrained"),
    )


def _cohort(settings: StudySettings, dataset: str) -> Cohort:
    grid = settings.networks

    def networks(control: str | None) -> tuple[Network, ...]:
        source: Source = "test" if control == HELD_OUT or settings.data.sample_from == "test" else "train"
        return tuple(
            Network(
                network_id(dataset, depth, activation, run, control), dataset, depth, activation, run, control, source
            )
            for depth in sorted(grid.depths, reverse=True)
            for activation in grid.activations
            for run in range(grid.runs)
        )

    controls = settings.controls
    trained = networks(None) + (networks("shuffled") if "shuffled" in controls else ())
    untrained = networks("untrained") if "untrained" in controls else ()
    held_out = networks(HELD_OUT) if HELD_OUT in controls else ()
    return Cohort(dataset_key(dataset), dataset, trained, untrained + held_out)
