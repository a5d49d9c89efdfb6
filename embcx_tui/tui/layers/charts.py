"""The charts of the layer browser: lines and bars along the layers, heat maps over epochs, accuracy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from embcx_tui.figures.builders import COMPLEXITY, activation_bars, layer_bars, points_words
from embcx_tui.figures.cells import parts
from embcx_tui.figures.complexity_lines import dataset_lines, depth_lines
from embcx_tui.figures.model import Bar, BarGroup, Bars, Dots, Figure, Heat, Lines, Panels
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.naming import activation_index, layer_tick, network_name, short_labels
from embcx_tui.study.plan import Network
from embcx_tui.tui.latest_request import LatestRequest
from embcx_tui.tui.layers.selection import Chart, LayerSelection, NetworkLayer

# Columns that a value of a heat map takes with its number, and the rows without values: the title and the epochs.
_LEAST_VALUE_COLUMNS = 5
_OTHER_ROWS = 2
NO_MEAN = "one run each: no mean, no spread"
# A chart of dots of at least this size has labels at both axes; below it, its title says what the axes are.
_LABELLED_AXES = (70, 11)
NARROW_TITLE = "test accuracy against last layer's KL"


def available_charts(snapshot: Snapshot, network: Network) -> tuple[Chart, ...]:
    """Return the charts that this study has now for a network's architecture."""
    charts: list[Chart] = ["lines", "bars", "table"]
    trained = snapshot.trained.get(network.id)
    if trained and trained.file and snapshot.sample(network):
        charts.append("confusion")
    if any(event.dataset == network.dataset for event in snapshot.earlier.values()):
        charts.append("epochs")
    if any(event.dataset == network.dataset and event.layer for event in snapshot.measured.values()):
        charts.append("accuracy")
    return tuple(charts)


def node_bars(snapshot: Snapshot, selection: LayerSelection, shown: NetworkLayer) -> Bars:
    """Return the bars of the selected node: one architecture, or a depth's activations side by side."""
    node, (network, layer), exclude_chance = selection.node, shown, selection.exclude_chance
    if node and node.activation is None:
        bars = activation_bars(
            snapshot, network.dataset, network.depth, node.control, exclude_chance=exclude_chance
        )  # fmt: skip
        activations = snapshot.plan.activations_at(network.dataset, network.depth, node.control)
        return replace(bars, chosen=(activations.index(network.activation), layer))
    return layer_bars(
        snapshot,
        network.dataset,
        network.depth,
        network.activation,
        network.control,
        highlight=node.run if node else None,
        chosen_layer=layer,
        exclude_chance=exclude_chance,
    )


class SelectionCharts:
    """Builds the lines and bars of what is selected.

    Lines of one depth or dataset are kept for their snapshot, since keys select in them.
    """

    def __init__(self) -> None:
        self._kept: tuple[Snapshot, tuple[object, ...], Lines | Panels] | None = None

    def get(self, snapshot: Snapshot, selection: LayerSelection, shown: NetworkLayer) -> Bars | Lines | Panels:
        """Return the lines or bars of the compared networks, else of the selected node."""
        bars = selection.chart == "bars"
        if len(selection.compared) > 1:
            return (compared_bars if bars else compared_lines)(snapshot, selection.compared, shown)
        return node_bars(snapshot, selection, shown) if bars else self._node_lines(snapshot, selection, shown)

    def _node_lines(self, snapshot: Snapshot, selection: LayerSelection, shown: NetworkLayer) -> Lines | Panels:
        """Return all lines of the selected node's depth, or those of all depths where a dataset is selected."""
        network, node = shown.network, selection.node
        depths = sorted(snapshot.plan.settings.networks.depths)
        several = node is not None and node.depth is None and len(depths) > 1
        key = (network.dataset, None if several else network.depth, selection.exclude_chance)
        if self._kept is None or self._kept[0] is not snapshot or self._kept[1] != key:
            if several:
                figure: Lines | Panels = dataset_lines(snapshot, network.dataset, selection.exclude_chance)
            else:
                figure = depth_lines(snapshot, network.dataset, network.depth, selection.exclude_chance)
            self._kept = snapshot, key, figure
        figure = self._kept[2]
        if isinstance(figure, Lines):
            return _marked(figure, shown, node.run if node else None)
        at = depths.index(network.depth)
        panels = [one for one in figure.figures if isinstance(one, Lines)]
        panels[at] = _marked(panels[at], shown, None)
        return replace(figure, figures=tuple(panels), chosen=at)


def _marked(lines: Lines, shown: NetworkLayer, run: int | None) -> Lines:
    """Return lines with the selected network and layer marked, its `run` as a line of its own."""
    network, layer = shown
    names = [(group.label, group.control) for group in lines.groups]
    group = names.index((network.activation, network.control or ""))
    return replace(lines, chosen=(group, layer), highlight=None if run is None else (group, run))


def compared_lines(snapshot: Snapshot, networks: Sequence[Network], shown: NetworkLayer) -> Lines:
    """Return single networks as lines on one axis."""
    bars = compared_bars(snapshot, networks, shown)
    groups = zip(bars.groups, networks, strict=True)
    controls = tuple(replace(group, control=network.control or "") for group, network in groups)
    return Lines(bars.title, bars.y_label, controls, bars.x_label, chosen=bars.chosen, note=bars.note)


def compared_bars(snapshot: Snapshot, networks: Sequence[Network], shown: NetworkLayer) -> Bars:
    """Return the bars of single networks side by side, one group for each."""
    names = short_labels(networks)
    distinct = len({network.activation for network in networks}) == len(networks)
    groups = []
    for index, network in enumerate(networks):
        bars = []
        for number in range(network.depth + 1):
            measured = snapshot.layer(network, number)
            value = float("nan") if measured is None or measured.kl is None else measured.kl
            name = layer_tick(number) if number or network.has_input else ""
            bars.append(Bar(name, (value,), (bool(measured and measured.degenerate),)))
        colour = activation_index(network.activation, snapshot.plan.settings) if distinct else index
        groups.append(BarGroup(names[index], tuple(bars), colour))
    chosen = (networks.index(shown.network), shown.layer) if shown.network in networks else None
    title = f"{len(networks)} marked networks"
    scored = [one for network in networks for layer in network.layers if (one := snapshot.layer(network, layer))]
    points = {one.points for one in scored}
    different = [points_words(points)] if len(points) > 1 else []
    note = " · ".join([*different, *flaws(snapshot, networks), NO_MEAN, "esc forgets the marks"])
    return Bars(title, COMPLEXITY, tuple(groups), "layer", chosen=chosen, note=note)


def flaws(snapshot: Snapshot, networks: Sequence[Network]) -> list[str]:
    """Return words on which of the compared networks did not train, do not generalise or diverged."""
    named = list(zip(short_labels(networks), (snapshot.networks[network.id] for network in networks), strict=True))
    found: dict[str, list[str]] = {}
    for name, state in named:
        if flaw := "diverged" if state.status == "diverged" else state.flaw:
            found.setdefault(flaw, []).append(name)
    return [f"{flaw}: {', '.join(names)}" for flaw, names in found.items()]


@dataclass(frozen=True, eq=False)
class ChartRequest:
    """A chart of the whole study: heat maps over epochs, or accuracy, for the dataset and depth of `network`."""

    chart: Chart
    snapshot: Snapshot
    network: Network
    exclude_chance: bool = False

    @property
    def key(self) -> tuple[object, ...]:
        return self.snapshot.id, self.chart, self.network.dataset, self.network.depth, self.exclude_chance

    def is_like(self, other: ChartRequest | None) -> bool:
        """Tell whether the other request is for the same chart from the same snapshot."""
        return other is not None and self.key == other.key and self.snapshot is other.snapshot


class StudyCharts:
    """Draws charts of the whole study in a thread, the latest request first, and keeps the newest one."""

    def __init__(self, drawn: Callable[[], None]) -> None:
        self._drawn = drawn
        self._newest: tuple[ChartRequest, Figure] | None = None
        self._fitted: tuple[tuple[object, ...], Figure] | None = None
        self._latest = LatestRequest(self._draw)
        self.run = self._latest.run

    def get(self, request: ChartRequest, shown: NetworkLayer, size: tuple[int, int]) -> Figure | None:
        """Return the chart, perhaps of an earlier snapshot, for a panel of `size`; None where it was not drawn before.

        The same object while nothing changes, since the canvas keeps its drawing.
        """
        if self._newest is None or self._newest[0].key != request.key:
            return None
        figure = self._newest[1]
        key = (id(figure), shown, size)
        if self._fitted is None or self._fitted[0] != key:
            self._fitted = key, fit_chart(figure, shown, *size)
        return self._fitted[1]

    def submit(self, request: ChartRequest) -> bool:
        """Ask for a chart unless it is there; tell whether `run` has to be started."""
        self._latest.withdraw()
        done = request.is_like(self._newest[0] if self._newest else None) or request.is_like(self._latest.current)
        return not done and self._latest.submit(request)

    async def _draw(self, request: ChartRequest) -> None:
        self._newest = request, await asyncio.to_thread(study_chart, request)
        self._drawn()


def study_chart(request: ChartRequest) -> Figure:
    """Return a chart that is computed from the whole study; up to 1 s, so never on the event loop."""
    from embcx_tui.analysis.correlation import relations
    from embcx_tui.analysis.formatting import signed
    from embcx_tui.analysis.selection import select
    from embcx_tui.figures.extra_figures import accuracy_dots, epoch_heat

    snapshot, dataset, exclude_chance = request.snapshot, request.network.dataset, request.exclude_chance
    if request.chart == "epochs":
        return epoch_heat(snapshot, dataset, request.network.depth, exclude_chance)
    dots = accuracy_dots(snapshot, dataset, exclude_chance)
    rhos = [relation.rho for relation in relations(select(snapshot, exclude_chance)) if relation.dataset == dataset]
    # In the title too, since the note is left out where there is little room.
    rho = f" · ρ = {signed(rhos[0])}" if rhos and rhos[0] is not None else ""
    return replace(dots, title=dots.title + rho)


def fit_chart(figure: Figure, shown: NetworkLayer, width: int, height: int) -> Figure:
    """Return a chart of the whole study for a panel of this size, with the selection marked.

    Where the heat maps of all activations would be too small to read, the selected activation's is shown alone, and of
    that as many layers and epochs as there is room for.
    """
    network, layer = shown
    if isinstance(figure, Dots):
        dots = (
            (group_index, dot)
            for group_index, group in enumerate(figure.groups)
            for dot, name in enumerate(group.names)
            if name == network_name(network)
        )
        chosen = next(dots, None)
        if width >= _LABELLED_AXES[0] and height >= _LABELLED_AXES[1]:
            return replace(figure, chosen=chosen)
        rho = figure.title.partition(" · ρ")
        return replace(figure, chosen=chosen, title="".join((NARROW_TITLE, *rho[1:])), y_label="")
    if not isinstance(figure, Panels):
        return figure
    selected = next((index for index, heat in enumerate(figure.figures) if heat.title == network.activation), None)
    # Controls are not measured before the end of training, so no row is theirs.
    row = layer if network.control is None else None
    heats = tuple(
        replace(heat, chosen=row) if index == selected and isinstance(heat, Heat) else heat
        for index, heat in enumerate(figure.figures)
    )
    if _readable(figure, width, height) or selected is None:
        return replace(figure, figures=heats, chosen=None if row is None else selected)
    title = f"{figure.title} · {network.activation}"
    if len(title) > width:
        # The tree shows the rest.
        title = f"{figure.title.rpartition(' · ')[2]} · {network.activation}"
    alone = replace(heats[selected], title="")
    assert isinstance(alone, Heat)
    (part,) = parts(Panels(title, (alone,), 1, figure.note), width, height)
    heat, words = _part_of(alone, layer, part.width, part.height)
    return Panels(f"{title} · {words}" if words else title, (heat,), 1, figure.note)


def _part_of(heat: Heat, layer: int, width: int, height: int) -> tuple[Heat, str]:
    """Return a heat map with as many rows, about that of `layer`, and columns, evenly and with the last, as have room;
    and what of it is shown, in words, where that is not all.
    """
    count, rows = len(heat.rows), min(len(heat.rows), max(height - _OTHER_ROWS, 1))
    first = min(max(layer - rows // 2, 0), count - rows)
    room = max(width - max(map(len, heat.rows)) - 1, 1)
    every = -(-len(heat.columns) // room)
    kept = slice((len(heat.columns) - 1) % every, None, every)
    names = heat.rows[first : first + rows]
    words = [f"{names[0]} to {names[-1]} of {heat.rows[-1]}"] if rows < count else []
    words += [f"every {every} epochs"] if every > 1 else []
    chosen = None if heat.chosen is None else heat.chosen - first
    values = heat.values[first : first + rows, kept]
    cut = replace(heat, rows=names, columns=heat.columns[kept], values=values, chosen=chosen, first=first)
    return cut, ", ".join(words)


def _readable(heats: Panels, width: int, height: int) -> bool:
    """Tell whether all of `heats` fit with the number of every value."""
    shown = parts(heats, width, height)
    return len(shown) == len(heats.figures) and all(
        part.height >= len(part.figure.rows) + _OTHER_ROWS
        and part.width
        >= len(part.figure.columns) * _LEAST_VALUE_COLUMNS + max(len(name) for name in part.figure.rows) + 1
        for part in shown
        if isinstance(part.figure, Heat)
    )
