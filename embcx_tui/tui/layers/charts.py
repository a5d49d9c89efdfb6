"""What the upper panel of the layer browser can show: bars over layers, a heat map over epochs, accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from embcx_tui.figures.build import COMPLEXITY, activation_bars, activation_place, dataset_title, layer_bars
from embcx_tui.figures.values import Bar, BarGroup, Bars, Figure, Panels
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.plan import Network
from embcx_tui.tui.layers.places import Place

Chart = Literal["bars", "epochs", "accuracy"]
# Smaller than this, only the heat map of the activation that is selected is shown.
_ALL_HEATS = (100, 18)
_Y_LABEL = 70


def charts_of(snapshot: Snapshot, network: Network) -> tuple[Chart, ...]:
    """Return the charts this study can show now of a network's architecture."""
    found: list[Chart] = ["bars"]
    if any(event.dataset == network.dataset for event in snapshot.earlier.values()):
        found.append("epochs")
    if any(one.dataset == network.dataset and one.layer for one in snapshot.measured.values()):
        found.append("accuracy")
    return tuple(found)


def place_bars(
    snapshot: Snapshot, place: Place | None, network: Network, layer: int, exclude_chance: bool = False
) -> Bars:
    """Return the bars of the selected node: one architecture, or a depth's activations side by side."""
    if place and place.activation is None:
        bars = activation_bars(
            snapshot, network.dataset, network.depth, place.control, exclude_chance=exclude_chance
        )  # fmt: skip
        activations = snapshot.plan.settings.networks.activations
        return replace(bars, chosen=(activations.index(network.activation), layer))
    return layer_bars(
        snapshot,
        network.dataset,
        network.depth,
        network.activation,
        network.control,
        highlight=place.run if place else None,
        chosen_layer=layer,
        exclude_chance=exclude_chance,
    )


def compared_bars(snapshot: Snapshot, networks: Sequence[Network], shown: Network, layer: int) -> Bars:
    """Return the bars of single networks side by side, one group each."""
    names = short_names(networks)
    distinct = len({one.activation for one in networks}) == len(networks)
    groups = []
    for place, network in enumerate(networks):
        bars = []
        for number in range(network.depth + 1):
            measured = snapshot.layer(network, number)
            value = float("nan") if measured is None or measured.kl is None else measured.kl
            label = "input" if number == 0 else str(number)
            bars.append(Bar(label, (value,), (bool(measured and measured.degenerate),)))
        groups.append(BarGroup(names[place], tuple(bars), activation_place(network.activation) if distinct else place))
    chosen = (networks.index(shown), min(layer, shown.depth)) if shown in networks else None
    title = f"{len(networks)} marked networks"
    parts = ["one run each: no mean, no spread", "esc forgets the marks"]
    states = [snapshot.networks[one.id] for one in networks]
    for words, found in (
        ("diverged", [s.status == "diverged" for s in states]),
        ("at chance", [s.at_chance for s in states]),
    ):
        if named := ", ".join(name for name, holds in zip(names, found, strict=True) if holds):
            parts.insert(0, f"{words}: {named}")
    note = " · ".join(parts)
    return Bars(title, COMPLEXITY, tuple(groups), "layer", chosen=chosen, note=note)


def short_names(networks: Sequence[Network]) -> tuple[str, ...]:
    """Return what tells these networks apart, in as few words as do."""
    parts = [
        (dataset_title(one.dataset), f"{one.depth} layers", one.activation, one.control or "", f"run {one.run}")
        for one in networks
    ]
    differ = [place for place in range(5) if len({part[place] for part in parts}) > 1] or [2, 4]
    return tuple(" ".join(filter(None, (part[place] for place in differ))) or "trained" for part in parts)


def has_room(width: int, height: int) -> bool:
    """Tell whether the heat maps of all activations can be read at this size."""
    return width >= _ALL_HEATS[0] and height >= _ALL_HEATS[1]


def slow_chart(
    chart: Chart, snapshot: Snapshot, network: Network, width: int, height: int, exclude_chance: bool = False
) -> Figure:
    """Return a chart that is counted over the whole study (up to 1 s: not on the loop)."""
    from embcx_tui.analysis.selection import select
    from embcx_tui.analysis.statistics import relations
    from embcx_tui.analysis.wording import signed
    from embcx_tui.figures.beyond import accuracy_dots, epoch_heat

    if chart == "accuracy":
        dots = accuracy_dots(snapshot, network.dataset, exclude_chance)
        found = [one.rho for one in relations(select(snapshot, exclude_chance)) if one.dataset == network.dataset]
        # In the title too: the note is left out where there is little room.
        rho = f" · ρ = {signed(found[0])}" if found and found[0] is not None else ""
        y_label = dots.y_label if width >= _Y_LABEL else ""
        return replace(dots, title=dots.title + rho, y_label=y_label)
    heats = epoch_heat(snapshot, network.dataset, network.depth, exclude_chance)
    activations = snapshot.plan.settings.networks.activations
    if not has_room(width, height) and network.activation in activations:
        one = heats.figures[activations.index(network.activation)]
        return Panels(f"{heats.title} · {network.activation}", (replace(one, title=""),), 1, heats.note)
    return heats
