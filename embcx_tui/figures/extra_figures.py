"""Figures that the paper does not have: accuracy, controls, epochs, methods."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from embcx_tui.analysis.correlation import Relation, points, relations
from embcx_tui.analysis.formatting import signed
from embcx_tui.analysis.selection import Exclusion, Selection, earlier, select
from embcx_tui.analysis.summary import quality_means
from embcx_tui.figures import builders
from embcx_tui.figures.builders import missing, missing_words
from embcx_tui.figures.model import Curve, Curves, DotGroup, Dots, Heat, Panels
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.naming import METHOD_NAMES, activation_index, hidden_layers, layer_tick, network_name, title_of
from embcx_tui.study.plan import Network
from embcx_tui.study.settings import CONTROLS, HELD_OUT, METHODS, SCORE_METHOD

# Colours of the controls, which no activation has.
_CONTROL_COLOURS = {control: 5 + 2 * index for index, control in enumerate((*CONTROLS, HELD_OUT))}
_QUALITY_NAMES = {"knn_2d": "k-NN accuracy in 2-D"}


def accuracy_dots(snapshot: Snapshot, dataset: str, exclude_chance: Exclusion = False) -> Dots:
    """Return the last hidden layer's complexity against test accuracy, one dot per trained network of `dataset`."""
    selection = select(snapshot, exclude_chance)
    found = points(selection, dataset)
    settings = snapshot.plan.settings
    keys = sorted({(activation_index(p.network.activation, settings), p.network.depth) for p in found})
    groups = []
    for place, depth in keys:
        mine = [
            p for p in found if (activation_index(p.network.activation, settings), p.network.depth) == (place, depth)
        ]  # fmt: skip
        groups.append(
            DotGroup(
                mine[0].network.activation,
                depth,
                np.array([p.complexity for p in mine]),
                np.array([p.accuracy for p in mine]),
                place,
                tuple(network_name(p.network) for p in mine),
            )
        )
    one = next((relation for relation in relations(selection) if relation.dataset == dataset), None)
    networks = [n for n in snapshot.plan.networks if n.dataset == dataset and n.control is None]
    parts = [relation_note(one)] if one else []
    parts += ["CI: bootstrap of architectures and runs"] if one and one.rho_low is not None else []
    asked_out = sum(one.id in selection.excluded for one in networks)
    without = len(networks) - asked_out - len(found)
    parts += [f"{without} of {len(networks)} networks without a sound score"] if without else []
    parts += builders.chance_words(selection, networks)
    parts += [builders.how_words(selection, networks)]
    title = title_of(dataset, "complexity against accuracy")
    x_label = "last hidden layer's complexity (KL, nats)"
    return Dots(title, x_label, "test accuracy", tuple(groups), "hidden layers", " · ".join(filter(None, parts)))


def relation_note(one: Relation) -> str:
    """Return ρ with its interval, or why there is none, in words that fit a terminal."""
    if one.rho is None:
        return f"no correlation: {one.reason}"
    # The interval stands next to its number: a note that is too long loses its end.
    interval = one.interval_reason or f"95 % CI: {signed(one.rho_low)} to {signed(one.rho_high)}"
    within = f", within architectures ρ = {signed(one.rho_within)}" if one.rho_within is not None else ""
    counts = f"{one.n} networks, {one.architectures} architectures"
    return f"Spearman's ρ = {signed(one.rho)}; {interval} ({counts}{within})"


def control_curves(snapshot: Snapshot, dataset: str, depth: int, exclude_chance: Exclusion = False) -> Panels:
    """Return complexity over layers, trained networks against controls: a line per run, a panel per activation."""
    selection = select(snapshot, exclude_chance)
    controls = snapshot.plan.settings.controls
    panels = []
    every: list[Network] = []
    for activation in snapshot.plan.activations_at(dataset, depth):
        lines = []
        for control in (None, *controls):
            networks = builders.networks_at(snapshot, dataset, depth, activation, control)
            every += networks
            place = _CONTROL_COLOURS[control] if control else activation_index(activation, snapshot.plan.settings)
            x = np.arange(depth + 1, dtype=np.float64)
            lines += [
                Curve(control or "trained", x, y, place, network_name(one))
                for one in networks
                if np.isfinite(y := _scores(selection, one)).any()
            ]
        names = tuple(map(layer_tick, range(depth + 1)))
        panels.append(Curves(activation, "layer", "KL (nats)", tuple(lines), "", zero=True, x_names=names))
    gone = missing(selection, every)
    how = builders.how_words(selection, every)
    parts = [f"{how}, a line each" if how else "", *missing_words(gone), *builders.chance_words(selection, every)]
    title = title_of(dataset, hidden_layers(depth, measured=snapshot.plan.is_measured), "trained against controls")
    return Panels(title, tuple(panels), 2 if len(panels) > 1 else 1, " · ".join(filter(None, parts)))


def _scores(selection: Selection, network: Network) -> NDArray[np.float64]:
    """Return the sound scores of a network's layers [depth + 1], NaN where there is none."""
    found = (selection.score(network, layer) for layer in range(network.depth + 1))
    return np.array([np.nan if score is None else score for score in found], dtype=np.float64)


def has_epochs(snapshot: Snapshot, dataset: str, depth: int) -> bool:
    """Tell whether a trained network was measured before its last epoch."""
    return any(earlier(snapshot, one) for one in builders.networks_at(snapshot, dataset, depth))


def epoch_heat(snapshot: Snapshot, dataset: str, depth: int, exclude_chance: Exclusion = False) -> Panels:
    """Return complexity over layer × epoch, the mean over runs: one panel per activation, all with one scale.

    Epoch 0 is the untrained control where that was measured (the same weights), the last epoch the final score; of a
    recorder's study each epoch is what was handed over after it. The input does not change.
    """
    selection = select(snapshot, exclude_chance)
    settings = snapshot.plan.settings
    maps = {
        activation: _over_epochs(selection, builders.networks_at(snapshot, dataset, depth, activation), depth)
        for activation in snapshot.plan.activations_at(dataset, depth)
    }
    finite = np.concatenate([values[np.isfinite(values)] for _, values in maps.values()])
    scale = (float(finite.min()), float(finite.max())) if finite.size else None
    names = tuple(map(layer_tick, range(depth + 1)))
    panels = tuple(
        Heat(
            activation,
            "epoch",
            "layer",
            tuple(str(epoch) for epoch in epochs),
            names,
            values,
            scale,
            note="" if np.isfinite(values).any() else _why_empty(selection, dataset, depth, activation),
        )
        for activation, (epochs, values) in maps.items()
    )
    every = builders.networks_at(snapshot, dataset, depth)
    gone = [words for a in settings.networks.activations for words in _epochs_missing(selection, dataset, depth, a)]
    parts = [f"mean KL (nats) over runs; {builders.how_words(selection, every)}"]
    parts += missing_words(gone) + builders.chance_words(selection, every)
    title = title_of(dataset, hidden_layers(depth, measured=snapshot.plan.is_measured), "complexity over training")
    return Panels(title, panels, 2 if len(panels) > 1 else 1, " · ".join(parts))


def _why_empty(selection: Selection, dataset: str, depth: int, activation: str) -> str:
    """Return why a heat map shows nothing, in words; empty where nothing is measured yet."""
    networks = builders.networks_at(selection.snapshot, dataset, depth, activation)
    diverged = sum(one.id in selection.diverged for one in networks)
    chance = sum(one.id in selection.left_out for one in networks) - diverged
    if any(map(selection.enters, networks)) or not networks:
        return ""
    degenerate = sum(one.id in selection.degenerate for one in networks)
    counts = (
        (diverged, "diverged"), (chance, "at chance, left out as asked"), (degenerate, "with a degenerate layer")
    )  # fmt: skip
    return ", ".join(f"{count} of {len(networks)} runs {words}" for count, words in counts if count)


def _epochs_of(snapshot: Snapshot) -> list[int]:
    """Return the epochs after which layers are measured; of a recorder's study, all that were handed over."""
    plan = snapshot.plan
    return list(snapshot.epochs) if plan.is_measured else [*plan.epochs, plan.settings.training.epochs]


def _over_epochs(
    selection: Selection, networks: Sequence[Network], depth: int
) -> tuple[list[int], NDArray[np.float64]]:
    """Return epochs and the mean scores [depth + 1, epochs] over the networks that enter."""
    snapshot = selection.snapshot
    is_measured = snapshot.plan.is_measured
    epochs = _epochs_of(snapshot)
    start = not is_measured and "untrained" in snapshot.plan.settings.measure.controls
    if start:
        epochs.insert(0, 0)
    entering = list(filter(selection.enters, networks))
    scores = np.full((len(entering), depth + 1, len(epochs)), np.nan)
    for row, network in enumerate(entering):
        last = _scores(selection, network)
        scores[row, 0, :] = last[0]
        if not is_measured:
            scores[row, 1:, -1] = last[1:]
        for epoch, layer, one in earlier(snapshot, network):
            if one.kl is not None and not one.degenerate:
                scores[row, layer, epochs.index(epoch)] = one.kl
        if start:
            controls = builders.networks_at(snapshot, network.dataset, depth, network.activation, "untrained")
            control = next((one for one in controls if one.run == network.run), None)
            if control:
                scores[row, 1:, 0] = _scores(selection, control)[1:]
    known = np.isfinite(scores)
    counts = known.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(counts > 0, np.where(known, scores, 0.0).sum(0) / counts, np.nan)
    return epochs, means


def _epochs_missing(selection: Selection, dataset: str, depth: int, activation: str) -> list[str]:
    """Name the runs that are left out and the layers that lack a score after some epoch."""
    snapshot = selection.snapshot
    found = []
    for network in builders.networks_at(snapshot, dataset, depth, activation):
        name = f"{activation} run {network.run}"
        if network.id in selection.left_out:
            found.append(f"{name} ({'diverged' if network.id in selection.diverged else 'at chance, left out'})")
            continue
        known = {(epoch, layer) for epoch, layer, _ in earlier(snapshot, network)}
        if not snapshot.plan.is_measured:
            last = snapshot.plan.settings.training.epochs
            known |= {(last, layer) for layer in range(1, depth + 1) if snapshot.layer(network, layer)}
        for layer in range(1, depth + 1):
            lacking = [str(epoch) for epoch in _epochs_of(snapshot) if (epoch, layer) not in known]
            if lacking:
                found.append(f"{name} layer {layer} (epoch{'s' * (len(lacking) > 1)} {', '.join(lacking)})")
    return found


def has_methods(snapshot: Snapshot, dataset: str, depth: int, activation: str) -> bool:
    """Tell whether embeddings of a trained network have quality numbers by a method beside t-SNE."""
    return any(
        measured is not None and bool(measured.quality)
        for network in builders.networks_at(snapshot, dataset, depth, activation)
        for layer in range(depth + 1)
        for method in snapshot.plan.settings.measure.methods
        if method != SCORE_METHOD
        for measured in (snapshot.layer(network, layer, method),)
    )


def method_tables(
    snapshot: Snapshot, dataset: str, depth: int, activation: str, exclude_chance: Exclusion = False
) -> Panels:
    """Return the quality of the embeddings as tables, methods × layers, mean over runs: a panel per measure."""
    selection = select(snapshot, exclude_chance)
    methods = [method for method in METHODS if method in snapshot.plan.settings.measure.methods]
    every = builders.networks_at(snapshot, dataset, depth, activation)
    layers = tuple(map(layer_tick, range(depth + 1)))
    rows = tuple(METHOD_NAMES[method] for method in methods)
    panels = []
    for name, cells in quality_means(selection, tuple(every)).items():
        values = np.array(
            [[cells.get((method, layer), np.nan) for layer in range(depth + 1)] for method in methods]
        )  # fmt: skip
        panels.append(Heat(_QUALITY_NAMES.get(name, name), "layer", "", layers, rows, values))
    gone = [f"{METHOD_NAMES[m]} {words}" for m in methods for words in missing(selection, every, m)]
    how = (builders.how_words(selection, every, method) for method in methods)
    parts = ["mean over runs; 1 is best", next(filter(None, how), ""), *missing_words(gone)]
    scored = (selection.layer(network, layer) for network in every for layer in range(depth + 1))
    flawed = any(one is not None and one.degenerate for one in scored)
    parts += ["networks with a degenerate layer left out"] if flawed else []
    parts += builders.chance_words(selection, every)
    title = title_of(dataset, hidden_layers(depth, measured=snapshot.plan.is_measured), activation, "embedding methods")
    return Panels(title, tuple(panels), 1, " · ".join(parts))
