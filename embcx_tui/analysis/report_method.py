"""The parts of a report that say what is measured, how and on which machines, and what differs from the paper."""

from __future__ import annotations

from embcx_tui.analysis.formatting import width_words
from embcx_tui.analysis.markdown import escaped, table
from embcx_tui.analysis.selection import Selection
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.events import DatasetLoaded, MachineDescribed
from embcx_tui.study.measured import MeasuredSettings
from embcx_tui.study.naming import full_title, layer_tick
from embcx_tui.study.sample_sizes import PACKED
from embcx_tui.study.settings import ACTIVATIONS, StudySettings

_SAMPLES = {
    "train": "training inputs",
    "test": "test inputs, on which nothing was trained,",
    "both": "training inputs, and for the held-out controls as many test inputs,",
}
_ENGINES = {
    "exact": "the built-in exact engine (all pairs, no approximation)",
    "opentsne": "openTSNE (its points, scored by the same exact sum)",
}

# What the paper leaves open and this program decides; tests/cli/test_report.py holds it to the code.
_CHOICES = (
    "Inputs are standardised: less the mean and divided by the standard deviation over all values of the training "
    "inputs. Initial weights are uniform within ± gain · √(6 / (inputs + units)) (Glorot & Bengio 2010), the gain "
    "being 4 for logsig, 1 for tanh and softsign, √2 for relu and 1 for the output layer; biases start at 0. No weight "
    "decay, no dropout, a constant learning rate; the last minibatch of an epoch may be smaller."
)

_ANNEALED = (
    "Points start at a standard deviation of 1e-4, the first start on the two principal components, the others "
    "random. They descend in float32 with momentum and gains (Jacobs 1988) while P is multiplied by 3.5, 2.8, 2.3, "
    "1.9, 1.6, 1.4, 1.2 and 1.1, 40 iterations each. Of four starts the two with the lowest exact KL after 160 "
    "iterations go on; the one whose KL is lower 50 iterations after the last factor then descends until its exact "
    "KL changes by less than 1e-4 (relative) over 50 iterations, 5,000 iterations in all at most."
)

_DESCENTS = {
    "thorough": (
        f"{_ANNEALED} The input of a run, which all its networks share, has 24 starts instead: the 8 with the lowest "
        "exact KL after 120 iterations go on, of these the 4 lowest after 320, and all 4 descend until they have "
        "converged. The lowest of them is scaled to 0.5, with normal noise of 0.02 times its extent (root mean square "
        "distance from the mean) added before, and descends again: P multiplied by 1.6, 1.4 and 1.2, 40 iterations "
        "each, then until it has converged. The lower of the two counts."
    ),
    "annealed": _ANNEALED,
    "plain": (
        "Points start on the two principal components, scaled to a standard deviation of 1e-4, and descend in float32 "
        "with momentum and gains (Jacobs 1988): 75 iterations with P multiplied by 2, 50 with a higher step, then "
        "until the exact KL changes by less than 1e-4 (relative) over 50 iterations, 5,000 in all at most."
    ),
}

_PACKED = (
    "This is a large sample ({engine} in `layers.csv`): while points move, P has 16 bits per pair, one part in 256 of "
    "each entry, and they have converged where the KL changes by less than 3e-4; the KL that counts is that of the "
    "whole P in double precision, computed block by block. A score of `exact-packed` is higher than one of `exact` by "
    "what the tolerance leaves (about 1 %): the two are not to be compared."
)


def machine_rows(snapshot: Snapshot) -> list[tuple[str, str]]:
    """Return the rows of the machine; of a study that went on elsewhere those of all machines, numbered."""
    if snapshot.machine is None:
        return []
    several = len(snapshot.machines) > 1
    rows = [
        row
        for number, one in enumerate(snapshot.machines if several else (snapshot.machine,), 1)
        for row in _of_machine(one, f"{number}. " if several else "")
    ]
    if snapshot.hands:
        words = [f"{one.hand}: {escaped(one.device)} on {escaped(one.host)}" for one in snapshot.hands.values()]
        rows.append(("hands", "; ".join(words)))
    return rows


def _of_machine(machine: MachineDescribed, number: str) -> list[tuple[str, str]]:
    known = (
        ("capability", machine.capability),
        ("driver", machine.driver),
        ("UUID", machine.uuid),
        ("float32 products", machine.precision),
    )
    facts = "".join(f", {name} {escaped(value)}" for name, value in known if value)
    memory = f"{machine.memory / 2**30:.0f} GiB of memory"
    rows = [(f"{number}device", f"{escaped(machine.device)}, {machine.cores} cores, {memory}{facts}")]
    if machine.processor:
        rows.append((f"{number}processor", "; ".join(escaped(words) for words in machine.processor.values())))
    if machine.path:
        path = "; ".join(f"{escaped(part)}: {escaped(way)}" for part, way in machine.path.items())
        rows.append((f"{number}GPU path", path))
    rows.append((f"{number}versions", ", ".join(f"{escaped(k)} {escaped(v)}" for k, v in machine.versions.items())))
    return rows


def dataset_row(name: str, loaded: DatasetLoaded) -> tuple[str, str]:
    """Return the row of a dataset; what was handed over has rows, no training and test inputs."""
    if not loaded.n_test:
        text = (
            f"{escaped(full_title(name))}: {loaded.n_train:,} rows, {len(loaded.classes)} classes; checksum of labels"
        )
        return "dataset", f"{text} {loaded.digest or 'not recorded'}"
    return (
        "dataset",
        f"{escaped(full_title(name))}: {loaded.n_train:,} training and {loaded.n_test:,} test inputs of "
        f"{loaded.features:,} values, {len(loaded.classes)} classes; checksum of all inputs and labels "
        f"{loaded.digest or 'not recorded'}",
    )


def layers_of_models(selection: Selection) -> list[str]:
    """Return the layers of each network that was handed over, by number, name, units and pooling; once per model."""
    snapshot = selection.snapshot
    lines: list[str] = []
    models = {(one.dataset, one.activation): one for one in reversed(snapshot.plan.networks)}
    for network in reversed(models.values()) if snapshot.plan.is_measured else ():
        found = [(layer, one) for layer in network.layers if (one := snapshot.layer(network, layer))]
        rows = [(layer_tick(at), escaped(one.name), width_words(one), f"{one.points:,}") for at, one in found]
        title = f"Layers of {escaped(network.activation)}, {escaped(full_title(network.dataset))}"
        if rows:
            lines += [f"## {title}", "", *table(("layer", "name", "units", "points"), rows, left=3)]
    return lines


def how_measured(selection: Selection) -> list[str]:
    """Return the definitions a reader needs to judge the numbers."""
    settings = selection.snapshot.plan.settings
    points = sorted({one.points for one in selection.snapshot.measured.values()})
    counted = " or ".join(f"{count:,}" for count in points) or "not yet known"
    if isinstance(settings, MeasuredSettings):
        return ["## What is measured, and how", "", *_handed_over(settings, counted), *_definitions(selection)]
    measure, training = settings.measure, settings.training
    return [
        "## What is measured, and how",
        "",
        f"Fully connected networks of {settings.networks.width} units per hidden layer, one activation function "
        f"throughout, softmax output, cross-entropy, SGD with momentum {training.momentum:g}, learning rate "
        f"{training.learning_rate:g}, batches of {training.batch_size}, {training.epochs} epochs. A *run* is a "
        "repetition with its own initial weights, order of minibatches and sample; all networks of a run share the "
        "latter two.",
        "",
        _CHOICES,
        "",
        f"For each run {settings.data.samples_per_class} {_SAMPLES[settings.data.sample_from]} of every class are "
        f"drawn (N = {counted} points). Their activations in each layer (layer 0 is the input itself) are embedded in "
        f"two dimensions by t-SNE, perplexity {measure.perplexity:g}, with {_ENGINES[measure.engine]}; the best of "
        f"{measure.restarts} embedding{'s' * (measure.restarts != 1)} counts.",
        "",
        *_definitions(selection),
    ]  # fmt: skip


def _handed_over(settings: MeasuredSettings, counted: str) -> list[str]:
    """Return how the layers of networks that were trained elsewhere are measured."""
    measure, sample = settings.measure, settings.sample
    pool = {
        "flatten": "all units of a map or of all tokens count (flatten)",
        "mean": "of a map the mean of each channel counts, of tokens the mean over them",
        "max": "of a map the maximum of each channel counts, of tokens the maximum over them",
        "first": "of tokens the first counts",
        "last": "of tokens the last counts",
    }[sample.pool]
    return [
        "Networks that were trained elsewhere: their activations come from "
        f"{'files' if settings.source.origin == 'files' else 'a recorder in the training program'}. A *run* is one "
        "network of several of the same layers.",
        "",
        f"For each run a balanced sample of rows is drawn (N = {counted} points; all rows where there are no more). In "
        f"each layer {pool}. A layer of more than 4,096 units and more units than rows is reduced to as many "
        "coordinates as rows, with the same distances. Rows are embedded in two dimensions by t-SNE, perplexity "
        f"{measure.perplexity:g}, with {_ENGINES[measure.engine]}; the best of {measure.restarts} "
        f"embedding{'s' * (measure.restarts != 1)} counts.",
        "",
    ]


def _definitions(selection: Selection) -> list[str]:
    """Return what the numbers and the words beside them mean."""
    settings = selection.snapshot.plan.settings
    measure = settings.measure
    engines = {one.engine for one in selection.snapshot.measured.values()}
    return [
        *([_DESCENTS[measure.search], ""] if measure.engine == "exact" else []),
        *([_PACKED.format(engine=f"`{PACKED}`"), ""] if PACKED in engines else []),
        "**Complexity** is the Kullback–Leibler divergence of that embedding, in nats: "
        "KL = Σ over i ≠ j of p_ij · ln(p_ij / q_ij), with p_(j|i) ∝ exp(−‖a_i − a_j‖² / 2σ_i²) over all N − 1 "
        "neighbours, σ_i such that each row has the perplexity asked for, p_ij = (p_(j|i) + p_(i|j)) / 2N, and "
        "q_ij ∝ (1 + ‖y_i − y_j‖²)⁻¹ (van der Maaten & Hinton 2008). It is evaluated once on the final points in "
        "double precision, without truncation and without exaggeration, whatever placed the points. Scores of "
        "different N or perplexity cannot be compared; `explained` in `layers.csv`, 1 − KL / KL(P‖uniform), depends on "
        "them less, but does.",
        "",
        "A layer is *degenerate* where a fifth of its rows or more equal another, where rows lie closer than float32 "
        "tells apart, or where equal rows leave no bandwidth of the perplexity; its network enters no mean. A network "
        "whose loss or weights are no longer finite has *diverged* and is not measured. A network is *at chance* where "
        "its test accuracy is within three standard errors of the share of the largest class: it *did not train* where "
        "its training accuracy is too, else it *does not generalise*; "
        + (f"here {selection.how_excluded}." if selection.exclude_chance else "it is included here."),
        "",
        "Controls: *untrained*: the same networks with their initial weights; *shuffled*: trained on labels in random "
        "order; *held-out*: the trained networks again, measured on a sample of test inputs. "
        + (f"This study has {', '.join(settings.controls)}." if settings.controls else "This study has none."),
        "",
        "Statistics: mean, sample standard deviation (n − 1) and 95 % t-interval over runs. The run is the unit: the "
        "change per layer is the mean over runs of each run's least-squares slope, its p an exact sign test of the "
        "runs' rank correlations with the order of layers. Differences between layers and from controls are taken "
        "within runs. Intervals are for one layer at a time. Page's test (1963) with Holm's correction (1979) within "
        "the trained networks and within each control stands beside them; its null, that all orders of a network's "
        "layers are equally likely, is not one that layers computed from each other can meet. Complexity against "
        "accuracy: Spearman's ρ over all trained networks of a dataset; its interval is a bootstrap that resamples "
        "architectures and, crossed with them, runs (Owen 2007), because the runs of an architecture are alike and the "
        "networks of a run share sample and minibatches.",
        "",
    ]  # fmt: skip


def differences(settings: StudySettings, datasets: dict[str, str]) -> list[str]:
    """Return what differs from Kuzma & Farkaš 2019; `datasets` are the study's, with their titles.

    Nothing of networks that were trained elsewhere: all of it does.
    """
    if isinstance(settings, MeasuredSettings):
        return []
    grid, training = settings.networks, settings.training
    lines = [
        "## What differs from the paper",
        "",
        "Kuzma & Farkaš, *Embedding Complexity of Learned Representations in Neural Networks*, ICANN 2019. The paper "
        "states networks of 1 to 7 hidden layers of 100 units, four activation functions, MNIST (50,000 training "
        "inputs) and SVHN, five runs, up to 100 epochs, 100 inputs per class, t-SNE. It does not state perplexity, "
        "implementation, iterations, batch size, learning rate, initialisation or preprocessing: those here are ours.",
        "",
    ]
    here = []
    others = [title for name, title in datasets.items() if name not in ("mnist", "svhn")]
    if others:
        here.append(f"not the paper's datasets: {', '.join(escaped(title) for title in others)}")
    if grid.width != 100:
        here.append(f"{grid.width} units per layer instead of 100")
    if max(grid.depths) > 7:
        here.append("more than 7 hidden layers")
    if grid.runs != 5:
        here.append(f"{grid.runs} run{'s' * (grid.runs != 1)} instead of five")
    if training.epochs != 100:
        here.append(f"{training.epochs} epochs; the paper: up to 100")
    if settings.data.samples_per_class != 100:
        here.append(f"{settings.data.samples_per_class} inputs per class instead of 100")
    if settings.data.train_limit:
        here.append(f"trained on {settings.data.train_limit:,} inputs at most")
    if set(grid.activations) != set(ACTIVATIONS):
        here.append(f"activation functions: {', '.join(grid.activations)} alone")
    lines += [f"- In this study: {one}." for one in here] + [""] * bool(here)
    lines += [
        "Three small corrections, with respect: t-SNE's objective is not convex, so restarts can differ; t-SNE "
        "normalises the affinities of each point and then symmetrises, where the paper's formula normalises over "
        "all pairs; MNIST's training set has 60,000 images, of which the paper's 50,000 remain after a validation "
        "split (we take the first 50,000).",
        "",
        "The abstract promises the relation between complexity and accuracy; the paper does not show it. It is below.",
        "",
    ]
    return lines
