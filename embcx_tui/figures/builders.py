"""Builds figures from a snapshot, with notes on what a figure lacks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcx_tui.analysis.selection import Exclusion, Selection, flaw_counts, select
from embcx_tui.figures.alignment import turned
from embcx_tui.figures.model import Bar, BarGroup, Bars, Curve, Curves, Panels, Scatter
from embcx_tui.store.history import Quantity
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.errors import StoreError
from embcx_tui.study.events import SealedFile
from embcx_tui.study.naming import (
    activation_index,
    dataset_title,
    full_layer_name,
    hidden_layers,
    layer_tick,
    method_name,
    network_labels,
    network_name,
    printed_name,
    title_of,
)
from embcx_tui.study.plan import Network
from embcx_tui.study.settings import SCORE_METHOD
from embcx_tui.study.text import safe_text

Load = Callable[[SealedFile], Mapping[str, NDArray[Any]]]

COMPLEXITY = "embedding complexity (KL, nats)"
# Name and unit of each; its axis shows the unit.
QUANTITIES: dict[Quantity, tuple[str, str]] = {
    "loss": ("loss", "cross-entropy, nats"),
    "train_accuracy": ("training accuracy", "share correct"),
    "test_accuracy": ("test accuracy", "share correct"),
}
# More curves than this are coloured by activation, not each in its own colour: the palette has ten.
_MOST_CURVES = 10
_PANEL_COLUMNS = 3
# Under a figure at most this many of what is missing are named; the command that draws it names all.
_MOST_NAMED = 4
TURNED = "turned onto the layer before (Procrustes)"


def networks_at(
    snapshot: Snapshot, dataset: str, depth: int, activation: str | None = None, control: str | None = None
) -> list[Network]:
    """Return the networks of a dataset and depth, by activation and run."""
    found = [
        network
        for network in snapshot.plan.networks
        if network.dataset == dataset
        and network.depth == depth
        and network.control == control
        and activation in (None, network.activation)
    ]
    settings = snapshot.plan.settings
    return sorted(found, key=lambda network: (activation_index(network.activation, settings), network.run))


def architecture_bars(
    selection: Selection,
    networks: Sequence[Network],
    depth: int,
    label: str,
    activation: str,
    method: str = SCORE_METHOD,
) -> BarGroup:
    """Return the input and every hidden layer of one architecture as a group of bars with one value per run.

    A value is NaN if the layer is not measured or its network is left out.
    """
    runs = selection.snapshot.plan.settings.networks.runs
    bars = []
    for layer in range(depth + 1):
        values, flagged = [float("nan")] * runs, [False] * runs
        for network in networks:
            measured = selection.layer(network, layer, method)
            if measured and network.run < runs:
                values[network.run] = float("nan") if measured.kl is None else measured.kl
                flagged[network.run] = not selection.enters(network)
        # Where the input is not known its place stays empty: layers keep their numbers.
        name = layer_tick(layer) if layer or not networks or networks[0].has_input else ""
        bars.append(Bar(name, tuple(values), tuple(flagged)))
    colour = activation_index(activation, selection.snapshot.plan.settings)
    return BarGroup(safe_text(label, 40), tuple(bars), colour)


def measure_note(
    selection: Selection, dataset: str, networks: Sequence[Network], method: str = SCORE_METHOD, *, runs: bool = True
) -> str:
    """Return how the values were measured (with `runs`: in how many runs) and what is missing, in words."""
    how = how_words(selection, networks, method, runs=runs)
    if not how:
        return "nothing measured yet" if networks else f"not in this study: {dataset_title(dataset)}"
    # The names come last, since a line that is too long is cut at its end.
    gone = missing(selection, networks, method)
    return " · ".join([how, *chance_words(selection, networks), *missing_words(gone)])


def chance_words(selection: Selection, networks: Sequence[Network]) -> list[str]:
    """Return sentences on the networks at chance among these: those left out, and those included."""
    parts = []
    for begin, end, chosen in (
        ("without", " at chance", selection.excluded),
        ("at chance, included:", "", set(selection.at_chance) - set(selection.excluded)),
    ):
        flaws = [selection.snapshot.networks[one.id].flaw for one in networks if one.id in chosen]
        if flaws:
            parts.append(f"{begin} {len(flaws)} of {len(networks)} networks{end} ({flaw_counts(flaws)})")
    return parts


def how_words(
    selection: Selection, networks: Sequence[Network], method: str = SCORE_METHOD, *, runs: bool = True
) -> str:
    """Return how the layers of these networks were measured, in words; empty before the first is measured.

    With `runs` it also says how many runs the study has, which does not suit a figure of one run.
    """
    snapshot = selection.snapshot
    layers = [layer for network in networks for layer in network.layer_ids()]
    measured = [found for layer in layers if (found := snapshot.measured.get((layer, method)))]
    if not measured:
        return ""
    one = measured[0]
    points = points_words(found.points for found in measured)
    # Numbers of different pooling are different numbers.
    pools = " and ".join(sorted({found.pool for found in measured} - {""}))
    points += f", pooling {pools}" if pools else ""
    count = snapshot.plan.settings.networks.runs
    # The other methods have no perplexity.
    how = f", perplexity {one.perplexity:g}" if one.method == SCORE_METHOD else ""
    words = f"{method_name(one.method)}{how}, {points}"
    return f"{words}, {count} run{'s' * (count != 1)}" if runs else words


def points_words(counts: Iterable[int]) -> str:
    """Return how many points layers have; where they differ, that their scores cannot be compared."""
    different = sorted(set(counts))
    words = " and ".join(f"{count:,}" for count in different)
    return f"{words} points" + (", whose scores cannot be compared" if len(different) > 1 else "")


def layer_bars(
    snapshot: Snapshot,
    dataset: str,
    depth: int,
    activation: str,
    control: str | None = None,
    *,
    method: str = SCORE_METHOD,
    highlight: int | None = None,
    chosen_layer: int | None = None,
    exclude_chance: Exclusion = False,
) -> Bars:
    """Return the complexity of the input and every hidden layer of one architecture, one value per run.

    `highlight` is a run, `chosen_layer` the selected layer (0: the input).
    """
    selection = select(snapshot, exclude_chance)
    networks = networks_at(snapshot, dataset, depth, activation, control)
    group = architecture_bars(selection, networks, depth, activation, activation, method)
    return Bars(
        title_of(dataset, hidden_layers(depth, measured=snapshot.plan.is_measured), activation, control),
        COMPLEXITY,
        (group,),
        "layer",
        highlight,
        None if chosen_layer is None else (0, chosen_layer),
        measure_note(selection, dataset, networks, method),
    )


def activation_bars(
    snapshot: Snapshot,
    dataset: str,
    depth: int,
    control: str | None = None,
    *,
    exclude_chance: Exclusion = False,
) -> Bars:
    """Return the complexity of all layers for every activation side by side, as in the paper's figures 2 and 4."""
    selection = select(snapshot, exclude_chance)
    groups = tuple(
        architecture_bars(
            selection, networks_at(snapshot, dataset, depth, activation, control), depth, activation, activation
        )
        for activation in snapshot.plan.activations_at(dataset, depth, control)
    )
    note = measure_note(selection, dataset, networks_at(snapshot, dataset, depth, None, control))
    title = title_of(dataset, hidden_layers(depth, measured=snapshot.plan.is_measured), control)
    return Bars(title, COMPLEXITY, groups, "layer", note=note)


def layer_scatter(
    points: NDArray[Any],
    labels: NDArray[Any],
    classes: Sequence[str],
    *,
    title: str,
    note: str = "",
    chosen: int | None = None,
    shown: NDArray[np.bool_] | None = None,
    view: tuple[float, float, float, float] | None = None,
    key: str = "",
) -> Scatter:
    """Return an embedding: `points` [n, 2], `labels` [n] into `classes`; `shown` [n] isolates, `view` zooms."""
    with np.errstate(all="ignore"):  # of a file that was edited
        points, labels = np.asarray(points, dtype=np.float32), np.asarray(labels, dtype=np.int64)
    return Scatter(
        safe_text(title),
        points.reshape(-1, 2),
        labels.reshape(-1),
        tuple(safe_text(name, 40) for name in classes),
        safe_text(note),
        chosen,
        shown,
        view,
        key,
    )


def training_curves(snapshot: Snapshot, network_ids: Iterable[str], quantity: Quantity) -> Curves:
    """Return `quantity` over epochs of these networks, NaN where unknown; more than ten are coloured by activation."""
    wanted = set(network_ids)
    histories = {network: history for history in snapshot.histories.values() for network in history.networks}
    chosen = [network for network in snapshot.plan.networks if network.id in wanted]
    known = [network for network in chosen if network.id in histories and histories[network.id].last]
    labels = network_labels(known)
    lines = []
    for place, network in enumerate(known):
        y = histories[network.id].curve(network.id, quantity)
        x = np.arange(1, len(y) + 1, dtype=np.float64)
        by_activation = len(known) > _MOST_CURVES
        label = safe_text(network.activation, 40) if by_activation else labels[place]
        colour = activation_index(network.activation, snapshot.plan.settings) if by_activation else place
        lines.append(Curve(label, x, y, colour, safe_text(network_name(network), 200)))
    missing = len(chosen) - len(known)
    note = (
        "no epoch trained yet"
        if not known
        else f"{missing} of {len(chosen)} networks not trained yet"
        if missing
        else ""
    )
    datasets = list(dict.fromkeys(printed_name(network.dataset) for network in chosen))
    title = " · ".join([", ".join(datasets) or "no network", QUANTITIES[quantity][0]])
    return Curves(title, "epoch", QUANTITIES[quantity][1], tuple(lines), note)


def network_embeddings(snapshot: Snapshot, network: Network, load: Load, method: str = SCORE_METHOD) -> Panels:
    """Return the embeddings of all layers of one network as panels; a missing or damaged one says so."""
    figures = layers_turned([embedding(snapshot, network, layer, load, method) for layer in network.layers])
    title = title_of(
        network.dataset, hidden_layers(network.depth), network.activation, f"run {network.run}", network.control
    )
    note = measure_note(select(snapshot), network.dataset, [network], method, runs=False)
    return Panels(title, figures, _PANEL_COLUMNS, " · ".join([note, TURNED]))


def layers_turned(layers: Sequence[Scatter]) -> tuple[Scatter, ...]:
    """Return embeddings of a network's layers, each rotated or mirrored onto the one before it."""
    found: list[Scatter] = []
    before: Scatter | None = None
    for one in layers:
        if before is not None and len(one.points) and np.array_equal(before.labels, one.labels):
            one = replace(one, points=turned(one.points, before.points))
        before = one if len(one.points) else before
        found.append(one)
    return tuple(found)


def embedding(
    snapshot: Snapshot, network: Network, layer: int, load: Load, method: str = SCORE_METHOD, name: str | None = None
) -> Scatter:
    """Return the embedding of one layer, titled by `name` (None: the layer's name) and KL; a missing one says why."""
    loaded = snapshot.datasets.get(network.dataset)
    classes = loaded.classes if loaded else ()
    name = full_layer_name(network, layer) if name is None else name
    measured = snapshot.layer(network, layer, method)
    empty = np.empty((0, 2), dtype=np.float32)
    if measured is None:
        failed = snapshot.failed.get((network.layer_ids()[layer], method))
        note = failed.reason if failed else "nothing measured yet"
        return layer_scatter(empty, np.empty(0), classes, title=name, note=note)
    score = None if measured.kl is None else f"KL {measured.kl:.3f}"
    title = " · ".join(filter(None, [name, score, "degenerate" * measured.degenerate]))
    try:
        points = np.asarray(load(measured.file)["points"])
        if points.ndim != 2 or points.shape[1] != 2:
            raise StoreError(f"{measured.file.name}: holds no points in the plane")
    except (StoreError, KeyError) as error:
        return layer_scatter(empty, np.empty(0), classes, title=title, note=safe_text(error, 200))
    labels = _sample_labels(snapshot, network, load)
    known = labels if labels is not None and len(labels) == len(points) else np.full(len(points), -1)
    return layer_scatter(points, known, classes, title=title, note="degenerate layer" if measured.degenerate else "")


def _sample_labels(snapshot: Snapshot, network: Network, load: Load) -> NDArray[np.int64] | None:
    sample = snapshot.sample(network)
    if sample is None:
        return None
    try:
        with np.errstate(all="ignore"):
            return np.asarray(load(sample.file)["label"], dtype=np.int64)
    except (StoreError, KeyError):
        return None


def missing(
    selection: Selection, networks: Sequence[Network], method: str = SCORE_METHOD, layers: Iterable[int] | None = None
) -> tuple[str, ...]:
    """Return what is missing of these networks, each with its reason.

    `relu run 1 layers 4, 5 (not measured)`, `relu run 2 (diverged)`. `layers` None: all from the input on. Names hold
    only what tells these networks apart, and always the run.
    """
    found = []
    for network, name in zip(networks, network_labels(networks, always_run=True), strict=True):
        if network.id in selection.diverged:
            found.append(f"{name} (diverged)")
        elif network.id in selection.left_out:
            found.append(f"{name} (at chance, left out)")
        else:
            found += [f"{name} {what}" for what in _layers(selection, network, method, layers)]
    return tuple(found)


def _layers(selection: Selection, network: Network, method: str, layers: Iterable[int] | None) -> list[str]:
    reasons: dict[str, list[int]] = {}
    wanted = network.layers if layers is None else list(layers)
    names = network.layer_ids()
    for layer in wanted:
        measured = selection.layer(network, layer, method)
        if measured and measured.degenerate and measured.kl is None and method == SCORE_METHOD:
            reasons.setdefault("degenerate, no score", []).append(layer)
        elif measured is None:
            failed = selection.snapshot.failed.get((names[layer], method))
            reasons.setdefault(safe_text(failed.reason, 80) if failed else "not measured", []).append(layer)
    return [
        f"({reason})" if len(places) == len(list(wanted)) else f"{_places(places)} ({reason})"
        for reason, places in reasons.items()
    ]


def _places(layers: Sequence[int]) -> str:
    if list(layers) == [0]:
        return "input"
    words = ", ".join("input" if layer == 0 else str(layer) for layer in layers)
    return f"layer{'s' * (len(layers) > 1)} {words}"


def missing_words(gone: Sequence[str]) -> list[str]:
    """Return the first few of what is missing and how many more there are, as a list of one sentence or none."""
    if not gone:
        return []
    more = len(gone) - _MOST_NAMED
    shown = gone if more <= 1 else gone[:_MOST_NAMED]
    return [f"missing: {'; '.join(shown)}" + (f"; and {more} more" if more > 1 else "")]
