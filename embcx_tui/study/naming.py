"""What datasets, networks, layers, methods and figures are called: the only module that decides it.

Pure functions of ids and settings. A figure's name is also the name of its file (without the format) and what
`embcx-tui export --figure` takes; `figure_name` makes it and `figure_kind` reads it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from embcx_tui.study.dataset_catalogue import facts
from embcx_tui.study.measured import MeasuredSettings
from embcx_tui.study.plan import Architecture, Network, dataset_key
from embcx_tui.study.seeds import short_hash
from embcx_tui.study.settings import ACTIVATIONS, Method, StudySettings
from embcx_tui.study.text import safe_text

METHOD_NAMES: dict[Method, str] = {"tsne": "t-SNE", "pca": "PCA", "lle": "LLE", "mds": "MDS", "isomap": "Isomap"}
# More network ids than this make a file name too long to read.
_MAX_IDS_IN_NAME = 3
_LONGEST_WORD = 32


def dataset_title(dataset: str) -> str:
    """Return the short name of a dataset, as in a study file; a file's own name without its folders."""
    return safe_text(dataset.rsplit("/", 1)[-1] if dataset.startswith("file:") else dataset, 60)


def printed_name(dataset: str) -> str:
    """Return what a dataset is called in print: `Fashion-MNIST`."""
    known = facts(dataset)
    return known.printed if known and known.printed else dataset_title(dataset)


def full_title(dataset: str) -> str:
    """Return the catalogue's title of a dataset: `SVHN, cropped digits`; for a file its name, not made harmless."""
    known = facts(dataset)
    return known.title if known else dataset.rsplit("/", 1)[-1]


def method_name(method: str) -> str:
    """Return the name of an embedding method in print: `t-SNE`."""
    return next((name for known, name in METHOD_NAMES.items() if known == method), safe_text(method, 20))


def activation_index(activation: str, settings: StudySettings | None = None) -> int:
    """Return the position of an activation function, which is its colour in every figure; of a model that was handed
    over its place among those of its study.
    """
    known: tuple[str, ...] = ACTIVATIONS
    if settings and is_measured(settings):
        known = settings.networks.activations
    return known.index(activation) if activation in known else len(known)


def is_measured(settings: StudySettings) -> bool:
    """Return whether a study measures networks that were trained elsewhere."""
    return isinstance(settings, MeasuredSettings)


def sample_size_words(settings: StudySettings) -> str:
    """Return how many inputs a sample has, as far as settings know: `100 inputs per class`, `at most 1,000 points`."""
    if isinstance(settings, MeasuredSettings):
        sample = settings.sample
        return f"{sample.per_class:,} rows per class" if sample.per_class else f"at most {sample.points:,} points"
    return f"{settings.data.samples_per_class} {sample_words(settings)} per class"


def layer_name(layer: int) -> str:
    """Return `input` for layer 0, else `layer 3`."""
    return "input" if layer == 0 else f"layer {layer}"


def full_layer_name(network: Network, layer: int, most: int = 24) -> str:
    """Return `input`, `layer 3`, or in a measured study `3 · layer2.1`, a long name shortened in its middle."""
    name = network.layer_name(layer)
    return f"{layer} · {shortened(name, most)}" if name else layer_name(layer)


def shortened(name: str, most: int = 24) -> str:
    """Return a name of a layer in at most so many characters: what is in its middle says the least."""
    if len(name) <= most:
        return name
    kept = most - 1
    return f"{name[: kept // 2]}…{name[-(kept - kept // 2) :]}"


def layer_tick(layer: int) -> str:
    """Return how an axis marks a layer: `input`, `1`, `2`, …"""
    return "input" if layer == 0 else str(layer)


def hidden_layers(count: int, *, measured: bool = False) -> str:
    """Return `1 hidden layer`, `5 hidden layers`; of `measured` models, whose output may be among them, `5 layers`."""
    return f"{count} {'' if measured else 'hidden '}layer{'s' * (count != 1)}"


def sample_words(settings: StudySettings) -> str:
    """Return which inputs a study's samples hold, so many of which are drawn per class: `test inputs`."""
    return {"train": "inputs", "test": "test inputs", "both": "training and test inputs"}[settings.data.sample_from]


def title_of(dataset: str, *parts: str | None) -> str:
    """Return a title: the dataset in print, then the parts that are not empty."""
    return " · ".join([printed_name(dataset), *(safe_text(part, 60) for part in parts if part)])


def network_name(network: Network) -> str:
    """Return the full name of a network: `mnist · 5 layers · relu · run 0`."""
    layers = "layer" if network.depth == 1 else "layers"
    name = f"{network.dataset} · {network.depth} {layers} · {network.activation} · run {network.run}"
    return f"{name} · {network.control}" if network.control else name


def run_name(network: Network) -> str:
    """Return the name of a network among those of one dataset and depth: `relu run 0`, `relu run 0 untrained`."""
    return f"{network.activation} run {network.run}" + (f" {network.control}" if network.control else "")


def architecture_name(architecture: Architecture, width: int, times: str = "x") -> str:
    """Return the name of an architecture without its dataset, layers of `width` units: `5x100 relu untrained`; of a
    model that was handed over, whose layers differ in width (0), its name.
    """
    control = f" {architecture.control}" if architecture.control else ""
    if not width:
        return f"{safe_text(architecture.activation, 60)}{control}"
    return f"{architecture.depth}{times}{width} {architecture.activation}{control}"


def network_labels(networks: Sequence[Network], *, always_run: bool = False) -> tuple[str, ...]:
    """Return what tells these networks apart: the parts in which they differ, and with `always_run` the run.

    Networks that do not differ are named by activation and run.
    """
    parts = [
        (dataset_title(n.dataset), f"{n.depth} layers", n.activation, f"run {n.run}", n.control or "trained")
        for n in networks
    ]
    differing = _differing(parts)
    chosen = sorted({*differing, 3}) if always_run else differing or [2, 3]
    return tuple(" ".join(part[index] for index in chosen) for part in parts)


def short_labels(networks: Sequence[Network]) -> tuple[str, ...]:
    """Return what tells these networks apart, in as few words as possible: `5L relu`."""
    parts = [
        (dataset_title(n.dataset), f"{n.depth} layers", n.activation, n.control or "", f"run {n.run}") for n in networks
    ]
    differing = _differing(parts) or [2, 4]
    if len(differing) > 1:
        parts = [(part[0], part[1].replace(" layers", "L"), *part[2:]) for part in parts]
    return tuple(" ".join(filter(None, (part[index] for index in differing))) or "trained" for part in parts)


def common_title(networks: Sequence[Network]) -> str:
    """Return what all these networks have in common, which `short_labels` leaves out."""
    parts = [
        (printed_name(n.dataset), hidden_layers(n.depth), n.activation, n.control or "", f"run {n.run}")
        for n in networks
    ]
    shared = (values[0] for values in zip(*parts, strict=True) if len(set(values)) == 1)
    return " · ".join(filter(None, shared)) or f"{len(networks)} networks"


def _differing(parts: Sequence[tuple[str, ...]]) -> list[int]:
    return [index for index, values in enumerate(zip(*parts, strict=True)) if len(set(values)) > 1]


def series_key(activation: str) -> str:
    """Return a name for an activation function, or a model that was handed over, that is safe in file names."""
    return activation if activation in ACTIVATIONS else f"model-{short_hash(activation, length=6)}"


def figure_name(
    kind: str,
    dataset: str,
    *,
    depth: int | None = None,
    activation: str | None = None,
    run: int | None = None,
    control: str | None = None,
    endings: Sequence[str] = (),
) -> str:
    """Return the name of a figure: `KIND-DATASET[-DEPTH][-ACTIVATION][-runRUN][-CONTROL][-ENDING …]`."""
    parts = [
        kind,
        dataset_key(dataset),
        "" if depth is None else str(depth),
        series_key(activation) if activation else "",
        "" if run is None else f"run{run}",
        control or "",
        *endings,
    ]
    return "-".join(filter(None, parts))


def network_figure_name(kind: str, network: Network, *endings: str) -> str:
    """Return the name of a figure of one network."""
    return figure_name(
        kind,
        network.dataset,
        depth=network.depth,
        activation=network.activation,
        run=network.run,
        control=network.control,
        endings=endings,
    )


def comparison_name(kind: str, networks: Sequence[Network], *endings: str) -> str:
    """Return the name of a figure that compares single networks: the first three ids, or how many more there are."""
    names = [network.id for network in networks]
    if len(names) <= _MAX_IDS_IN_NAME:
        joined = "_".join(names)
    else:
        joined = f"{names[0]}-and-{len(names) - 1}-more-{short_hash(*names, length=4)}"
    return "-".join([kind, joined, *endings])


def compared_name(names: Sequence[str], *where: str) -> str:
    """Return the name of the figure of studies or groups that are compared: `compare-relu_tanh-mnist-5`."""
    shown = [_file_word(name) for name in names[:_MAX_IDS_IN_NAME]]
    more = f"-and-{len(names) - len(shown)}-more-{short_hash(*names, length=4)}" if len(names) > len(shown) else ""
    return "-".join(filter(None, ["compare", "_".join(shown) + more, *map(_file_word, where)]))


def _file_word(text: str) -> str:
    """Return a text as part of a file's name, with a hash where that would be one with another's."""
    word = re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.")[:_LONGEST_WORD]
    lost = word.replace("-", "") != re.sub(r"[ /_·-]", "", text)
    return "-".join(filter(None, [word, short_hash(text, length=4)])) if lost else word


def figure_kind(name: str) -> str:
    """Return the kind of figure that a figure's name begins with: `fig2`, `embedding`, `complexity`, …"""
    return name.partition("-")[0]
