"""What the upper panel of the layer browser can show: bars over layers, a heat map over epochs, accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from embcx_tui.figures.builders import COMPLEXITY, activation_bars, layer_bars
from embcx_tui.figures.cells import parts
from embcx_tui.figures.model import Bar, BarGroup, Bars, Dots, Figure, Heat, Panels
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.naming import activation_index, layer_tick, network_name, short_labels
from embcx_tui.study.plan import Network
from embcx_tui.tui.layers.tree_nodes import NodeKey

Chart = Literal["bars", "epochs", "accuracy"]
# Cells that a value of a heat map takes with its number, and rows that are no values: the title, the epochs.
_LEAST_BLOCK = 5
_BESIDE_ROWS = 2
NO_MEAN = "one run each: no mean, no spread"
# From this size on a chart of dots has words at both axes, below it its title says what they are.
_AXES_NAMED = (70, 11)
NARROW_TITLE = "test accuracy against last layer's KL"


def charts_of(snapshot: Snapshot, network: Network) -> tuple[Chart, ...]:
    """Return the charts this study can show now of a network's architecture."""
    found: list[Chart] = ["bars"]
    if any(event.dataset == network.dataset for event in snapshot.earlier.values()):
        found.append("epochs")
    if any(one.dataset == network.dataset and one.layer for one in snapshot.measured.values()):
        found.append("accuracy")
    return tuple(found)


def node_bars(
    snapshot: Snapshot, place: NodeKey | None, network: Network, layer: int, exclude_chance: bool = False
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
    names = short_labels(networks)
    distinct = len({one.activation for one in networks}) == len(networks)
    groups = []
    for place, network in enumerate(networks):
        bars = []
        for number in range(network.depth + 1):
            measured = snapshot.layer(network, number)
            value = float("nan") if measured is None or measured.kl is None else measured.kl
            bars.append(Bar(layer_tick(number), (value,), (bool(measured and measured.degenerate),)))
        groups.append(BarGroup(names[place], tuple(bars), activation_index(network.activation) if distinct else place))
    chosen = (networks.index(shown), min(layer, shown.depth)) if shown in networks else None
    title = f"{len(networks)} marked networks"
    note = " · ".join([*flaws(snapshot, networks), NO_MEAN, "esc forgets the marks"])
    return Bars(title, COMPLEXITY, tuple(groups), "layer", chosen=chosen, note=note)


def flaws(snapshot: Snapshot, networks: Sequence[Network]) -> list[str]:
    """Return which of the networks of a comparison are at chance and which diverged, in words."""
    names, states = short_labels(networks), [snapshot.networks[one.id] for one in networks]
    found = (
        ("at chance", [one.at_chance for one in states]),
        ("diverged", [one.status == "diverged" for one in states]),
    )
    named = ((words, [name for name, holds in zip(names, flags, strict=True) if holds]) for words, flags in found)
    return [f"{words}: {', '.join(some)}" for words, some in named if some]


def slow_chart(chart: Chart, snapshot: Snapshot, network: Network, exclude_chance: bool = False) -> Figure:
    """Return a chart that is counted over the whole study (up to 1 s: not on the loop)."""
    from embcx_tui.analysis.formatting import signed
    from embcx_tui.analysis.selection import select
    from embcx_tui.analysis.statistics import relations
    from embcx_tui.figures.extra_figures import accuracy_dots, epoch_heat

    if chart == "epochs":
        return epoch_heat(snapshot, network.dataset, network.depth, exclude_chance)
    dots = accuracy_dots(snapshot, network.dataset, exclude_chance)
    found = [one.rho for one in relations(select(snapshot, exclude_chance)) if one.dataset == network.dataset]
    # In the title too: the note is left out where there is little room.
    rho = f" · ρ = {signed(found[0])}" if found and found[0] is not None else ""
    return replace(dots, title=dots.title + rho)


def fitted(figure: Figure, network: Network, layer: int, width: int, height: int) -> Figure:
    """Return a chart of the whole study for a panel of this size, what is selected marked in it.

    Where the heat maps of all activations cannot be read, that of the selected one stands alone.
    """
    if isinstance(figure, Dots):
        places = (
            (place, number)
            for place, group in enumerate(figure.groups)
            for number, name in enumerate(group.names)
            if name == network_name(network)
        )
        chosen = next(places, None)
        if width >= _AXES_NAMED[0] and height >= _AXES_NAMED[1]:
            return replace(figure, chosen=chosen)
        rho = figure.title.partition(" · ρ")
        return replace(figure, chosen=chosen, title="".join((NARROW_TITLE, *rho[1:])), y_label="")
    if not isinstance(figure, Panels):
        return figure
    place = next((at for at, one in enumerate(figure.figures) if one.title == network.activation), None)
    # Only trained networks are measured before their end.
    row = layer if network.control is None else None
    heats = tuple(
        replace(one, chosen=row) if at == place and isinstance(one, Heat) else one
        for at, one in enumerate(figure.figures)
    )
    if _readable(figure, width, height) or place is None:
        return replace(figure, figures=heats, chosen=None if row is None else place)
    title = f"{figure.title} · {network.activation}"
    if len(title) > width:
        # The tree says the rest.
        title = f"{figure.title.rpartition(' · ')[2]} · {network.activation}"
    return Panels(title, (replace(heats[place], title=""),), 1, figure.note)


def _readable(heats: Panels, width: int, height: int) -> bool:
    """Tell whether all of `heats` fit, every value with its number."""
    shown = parts(heats, width, height)
    return len(shown) == len(heats.figures) and all(
        part.height >= len(part.figure.rows) + _BESIDE_ROWS
        and part.width >= len(part.figure.columns) * _LEAST_BLOCK + max(len(name) for name in part.figure.rows) + 1
        for part in shown
        if isinstance(part.figure, Heat)
    )
