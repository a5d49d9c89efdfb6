"""From a snapshot to what is drawn. Text from outside becomes harmless here; what is missing is named in a note."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcx_tui.figures.values import Bar, BarGroup, Bars, Curve, Curves, Figure, Panels, Scatter
from embcx_tui.store.snapshot import Quantity, Snapshot
from embcx_tui.study import ids
from embcx_tui.study.errors import StoreError
from embcx_tui.study.events import LayerMeasured, SealedFile
from embcx_tui.study.plan import Network
from embcx_tui.study.settings import ACTIVATIONS
from embcx_tui.study.text import safe_text

Load = Callable[[SealedFile], Mapping[str, NDArray[Any]]]

COMPLEXITY = "embedding complexity (KL, nats)"
# Title and y axis of each.
QUANTITIES: dict[Quantity, tuple[str, str]] = {
    "loss": ("loss", "cross-entropy (nats)"),
    "train_accuracy": ("training accuracy", "share correct"),
    "test_accuracy": ("test accuracy", "share correct"),
}
# More curves than this are told apart by activation, not one by one: the palette has ten colours.
_MOST_CURVES = 10
_PANEL_COLUMNS = 3


def activation_place(activation: str) -> int:
    """Return the place (colour) of an activation, the same in every figure."""
    return ACTIVATIONS.index(activation) if activation in ACTIVATIONS else len(ACTIVATIONS)


def dataset_title(dataset: str) -> str:
    """Return what a person calls a dataset, harmless: a file by its name without the folders."""
    return safe_text(dataset.rsplit("/", 1)[-1] if dataset.startswith("file:") else dataset, 60)


def _layers(count: int) -> str:
    return f"{count} hidden layer" if count == 1 else f"{count} hidden layers"


def _title(dataset: str, *parts: str | None) -> str:
    return " · ".join([dataset_title(dataset), *(safe_text(part, 60) for part in parts if part)])


def _networks(
    snapshot: Snapshot, dataset: str, depth: int, activation: str | None, control: str | None
) -> list[Network]:
    """Return the networks of one place of the grid, by run."""
    found = [
        network
        for network in snapshot.plan.networks
        if network.dataset == dataset
        and network.depth == depth
        and network.control == control
        and activation in (None, network.activation)
    ]
    return sorted(found, key=lambda network: (activation_place(network.activation), network.run))


def _bar(snapshot: Snapshot, networks: Sequence[Network], layer: int, method: str) -> Bar:
    """Return one layer over runs: NaN where it is not measured."""
    runs = snapshot.plan.settings.networks.runs
    values, flagged = [float("nan")] * runs, [False] * runs
    for network in networks:
        measured = snapshot.layer(network, layer, method)
        if measured and network.run < runs:
            values[network.run] = float("nan") if measured.kl is None else measured.kl
            flagged[network.run] = measured.degenerate
    return Bar("input" if layer == 0 else str(layer), tuple(values), tuple(flagged))


def _group(snapshot: Snapshot, dataset: str, depth: int, activation: str, control: str | None, method: str) -> BarGroup:
    networks = _networks(snapshot, dataset, depth, activation, control)
    bars = tuple(_bar(snapshot, networks, layer, method) for layer in range(depth + 1))
    return BarGroup(safe_text(activation, 40), bars, activation_place(activation))


def _measure_note(snapshot: Snapshot, dataset: str, networks: Sequence[Network], method: str) -> str:
    """Return how the values were measured and what is missing, in words."""
    # By id: all networks of a run share their input.
    wanted = {layer for network in networks for layer in network.layer_ids()}
    done = [one for layer in sorted(wanted) if (one := snapshot.measured.get((layer, method)))]
    parts = [_how(done, snapshot)] if done else []
    diverged = sum(network.id in snapshot.diverged for network in networks)
    if done and len(done) < len(wanted):
        parts.append(f"{len(wanted) - len(done)} of {len(wanted)} layers not measured")
    elif not done:
        parts.append("nothing measured yet" if networks else f"not in this study: {dataset_title(dataset)}")
    if diverged:
        parts.append(f"{diverged} of {len(networks)} networks diverged")
    return " · ".join(parts)


def _how(done: Sequence[LayerMeasured], snapshot: Snapshot) -> str:
    one = done[0]
    runs = snapshot.plan.settings.networks.runs
    name = "t-SNE" if one.method == "tsne" else safe_text(one.method, 20)
    return f"{name}, perplexity {one.perplexity:g}, {one.points:,} points, {runs} run{'s' * (runs != 1)}"


def layer_bars(
    snapshot: Snapshot,
    dataset: str,
    depth: int,
    activation: str,
    control: str | None = None,
    *,
    method: str = "tsne",
    highlight: int | None = None,
    chosen_layer: int | None = None,
) -> Bars:
    """Return the complexity of the input and every hidden layer of one architecture, every run a value.

    `highlight` is a run, `chosen_layer` the selected layer (0: the input).
    """
    group = _group(snapshot, dataset, depth, activation, control, method)
    networks = _networks(snapshot, dataset, depth, activation, control)
    return Bars(
        _title(dataset, _layers(depth), activation, control),
        COMPLEXITY,
        (group,),
        "layer",
        highlight,
        None if chosen_layer is None else (0, chosen_layer),
        _measure_note(snapshot, dataset, networks, method),
    )


def activation_bars(snapshot: Snapshot, dataset: str, depth: int, control: str | None = None) -> Bars:
    """Return the complexity of all layers for every activation side by side: the paper's figures 2 and 4."""
    groups = tuple(
        _group(snapshot, dataset, depth, activation, control, "tsne")
        for activation in snapshot.plan.settings.networks.activations
    )
    networks = _networks(snapshot, dataset, depth, None, control)
    note = _measure_note(snapshot, dataset, networks, "tsne")
    return Bars(_title(dataset, _layers(depth), control), COMPLEXITY, groups, "layer", note=note)


def layer_scatter(
    points: NDArray[Any],
    labels: NDArray[Any],
    classes: Sequence[str],
    *,
    title: str,
    note: str = "",
    chosen: int | None = None,
    shown: NDArray[np.bool_] | None = None,
) -> Scatter:
    """Return an embedding: `points` [n, 2], `labels` [n] into `classes`; `shown` [n] isolates classes."""
    return Scatter(
        safe_text(title),
        np.asarray(points, dtype=np.float32).reshape(-1, 2),
        np.asarray(labels, dtype=np.int64).reshape(-1),
        tuple(safe_text(name, 40) for name in classes),
        safe_text(note),
        chosen,
        shown,
    )


def training_curves(snapshot: Snapshot, network_ids: Iterable[str], quantity: Quantity) -> Curves:
    """Return `quantity` over epochs of these networks, NaN where unknown; more than ten are coloured by activation."""
    wanted = set(network_ids)
    histories = {network: history for history in snapshot.histories.values() for network in history.networks}
    chosen = [network for network in snapshot.plan.networks if network.id in wanted]
    known = [network for network in chosen if network.id in histories and histories[network.id].last]
    labels = _labels(known)
    lines = []
    for place, network in enumerate(known):
        y = histories[network.id].curve(network.id, quantity)
        x = np.arange(1, len(y) + 1, dtype=np.float64)
        by_activation = len(known) > _MOST_CURVES
        label = safe_text(network.activation, 40) if by_activation else labels[place]
        lines.append(Curve(label, x, y, activation_place(network.activation) if by_activation else place))
    missing = len(chosen) - len(known)
    note = (
        "no epoch trained yet"
        if not known
        else f"{missing} of {len(chosen)} networks not trained yet"
        if missing
        else ""
    )
    datasets = list(dict.fromkeys(dataset_title(network.dataset) for network in chosen))
    title = " · ".join([", ".join(datasets) or "no network", QUANTITIES[quantity][0]])
    return Curves(title, "epoch", QUANTITIES[quantity][1], tuple(lines), note)


def _labels(networks: Sequence[Network]) -> list[str]:
    """Return what tells these networks apart: only the parts that differ."""
    parts = [
        (dataset_title(n.dataset), f"{n.depth} layers", n.activation, f"run {n.run}", n.control or "trained")
        for n in networks
    ]
    differ = [place for place in range(5) if len({part[place] for part in parts}) > 1] or [2, 3]
    return [" ".join(part[place] for place in differ) for part in parts]


def network_embeddings(snapshot: Snapshot, network: Network, load: Load, method: str = "tsne") -> Panels:
    """Return the embeddings of all layers of one network as panels; what is not measured or damaged says so."""
    classes = _classes(snapshot, network.dataset)
    labels = _sample_labels(snapshot, network, load)
    figures = tuple(
        _panel(snapshot, network, layer, labels, classes, load, method) for layer in range(network.depth + 1)
    )
    title = _title(network.dataset, _layers(network.depth), network.activation, f"run {network.run}", network.control)
    return Panels(title, figures, _PANEL_COLUMNS, _measure_note(snapshot, network.dataset, [network], method))


def _panel(
    snapshot: Snapshot,
    network: Network,
    layer: int,
    labels: NDArray[np.int64] | None,
    classes: tuple[str, ...],
    load: Load,
    method: str,
) -> Scatter:
    name = "input" if layer == 0 else f"layer {layer}"
    measured = snapshot.layer(network, layer, method)
    empty = np.empty((0, 2), dtype=np.float32)
    if measured is None:
        failed = snapshot.failed.get((network.layer_ids()[layer], method))
        note = failed.reason if failed else "nothing measured yet"
        return layer_scatter(empty, np.empty(0), classes, title=name, note=note)
    title = name if measured.kl is None else f"{name} · KL {measured.kl:.3f}"
    try:
        points = np.asarray(load(measured.file)["points"])
    except (StoreError, KeyError) as error:
        return layer_scatter(empty, np.empty(0), classes, title=title, note=safe_text(error, 200))
    known = labels if labels is not None and len(labels) == len(points) else np.full(len(points), -1)
    return layer_scatter(points, known, classes, title=title, note="degenerate layer" if measured.degenerate else "")


def _classes(snapshot: Snapshot, dataset: str) -> tuple[str, ...]:
    loaded = snapshot.datasets.get(dataset)
    return loaded.classes if loaded else ()


def _sample_labels(snapshot: Snapshot, network: Network, load: Load) -> NDArray[np.int64] | None:
    sample = snapshot.sample(network)
    if sample is None:
        return None
    try:
        return np.asarray(load(sample.file)["label"], dtype=np.int64)
    except (StoreError, KeyError):
        return None


def study_figures(snapshot: Snapshot, load: Load) -> dict[str, Callable[[], Figure]]:
    """Return the figures this study can serve now, by name; each is built when called.

    `fig2` (where the study holds MNIST with five hidden layers), then for each dataset and depth
    `complexity-DATASET-DEPTH[-CONTROL]`, `training-DATASET`, and for each network
    `embedding-DATASET-DEPTH-ACTIVATION-runRUN[-CONTROL]`.
    """
    figures: dict[str, Callable[[], Figure]] = {}
    grid = snapshot.plan.settings.networks
    measured = {(one.network, one.layer) for one in snapshot.measured.values()}
    hidden = {network for network, _ in measured if network}
    for dataset in snapshot.plan.settings.data.datasets:
        key = ids.dataset_key(dataset)
        for depth in grid.depths:
            for control in (None, *snapshot.plan.settings.measure.controls):
                if any(network.id in hidden for network in _networks(snapshot, dataset, depth, None, control)):
                    name = f"complexity-{key}-{depth}" + (f"-{control}" if control else "")
                    figures[name] = _Later(activation_bars, snapshot, dataset, depth, control)
        trained = [n.id for n in snapshot.plan.networks if n.dataset == dataset and n.control is None]
        if any(history.last and set(history.networks) & set(trained) for history in snapshot.histories.values()):
            figures[f"training-{key}"] = _Later(_training, snapshot, dataset, trained)
        for network in snapshot.plan.networks:
            if network.dataset == dataset and network.id in hidden:
                name = f"embedding-{key}-{network.depth}-{network.activation}-run{network.run}"
                name += f"-{network.control}" if network.control else ""
                figures[name] = _Later(network_embeddings, snapshot, network, load)
    if "complexity-mnist-5" in figures:
        figures = {"fig2": figures["complexity-mnist-5"], **figures}
    return figures


class _Later:
    """A figure to be built when it is called."""

    def __init__(self, build: Callable[..., Figure], *arguments: object) -> None:
        self._build, self._arguments = build, arguments

    def __call__(self) -> Figure:
        return self._build(*self._arguments)


def _training(snapshot: Snapshot, dataset: str, networks: Sequence[str]) -> Panels:
    quantities: tuple[Quantity, ...] = ("loss", "test_accuracy")
    panels = tuple(
        replace(training_curves(snapshot, networks, quantity), title=QUANTITIES[quantity][0]) for quantity in quantities
    )
    return Panels(_title(dataset, "training"), panels, 1, "")
