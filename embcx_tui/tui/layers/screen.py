"""The layer browser: a tree of networks, complexity over layers, the points of one layer, and its numbers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar, get_args

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.content import Content
from textual.events import ScreenResume
from textual.timer import Timer
from textual.widgets import Static, Tree

from embcx_tui.analysis.selection import select
from embcx_tui.figures.model import Panels, Scatter
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.naming import figure_name, network_figure_name
from embcx_tui.study.plan import Network
from embcx_tui.tui import keys
from embcx_tui.tui.layers.charts import Chart
from embcx_tui.tui.layers.export_figures import Shown, chart_shown, grid_shown, points_shown
from embcx_tui.tui.layers.messages import NO_STUDY, READING, without_words
from embcx_tui.tui.layers.numbers_panel import Numbers, Subject
from embcx_tui.tui.layers.point_panel import PointPanel
from embcx_tui.tui.layers.point_selection import PointsWalking
from embcx_tui.tui.layers.statistics_cache import StudyStatistics
from embcx_tui.tui.layers.tree import LayersTree
from embcx_tui.tui.layers.tree_filter import FilterLine
from embcx_tui.tui.layers.tree_nodes import NodeKey, node_key_of
from embcx_tui.tui.layers.viewport import View
from embcx_tui.tui.layers.viewport_actions import PointsSeeing
from embcx_tui.tui.messages import Mode, Say
from embcx_tui.tui.mode_screen import ModeScreen
from embcx_tui.tui.widgets.canvas import Canvas, PointsCanvas

# Statistics over runs are begun once the keys rest so long: to import scipy is a second in which keys are slower.
_COUNT_AFTER_S = 0.4


class LayersScreen(PointsWalking, PointsSeeing):
    """Browses what `snapshot` has measured; the application sets `snapshot` and `paths`."""

    MODE: ClassVar[Mode] = "layers"
    CSS_PATH = "layers.tcss"
    AUTO_FOCUS = "#tree"

    BINDINGS: ClassVar[list[BindingType]] = [*keys.WALKING, keys.hidden("p", "leave"), *keys.LAYERS]

    def __init__(self) -> None:
        super().__init__()
        self._statistics = StudyStatistics(self._show_numbers)
        self._count_later: Timer | None = None

    def compose_body(self) -> ComposeResult:
        yield Canvas(NO_STUDY, id="nothing")
        with Container(id="panels"):
            yield PointPanel(id="point-left")
            yield LayersTree(id="tree")
            yield Canvas(id="bars")
            yield PointPanel(id="point")
            yield Numbers(id="numbers")
            yield PointsCanvas(id="scatter")
        yield Static(id="without")
        yield FilterLine(id="filter")

    # What comes down from the application

    def watch_paths(self, paths: StudyPaths | None) -> None:
        self.open_shelf(paths)
        self.select_nothing()
        if self.is_mounted:
            self.query_one(FilterLine).clear()
        self._update()

    def watch_snapshot(self) -> None:
        self._update()

    def on_screen_resume(self, event: ScreenResume) -> None:
        self._update()

    def on_mount(self) -> None:
        self._update()

    def _update(self) -> None:
        """Show the newest snapshot; while another screen is in front, that waits for `on_screen_resume`."""
        if not self.is_mounted or not self.is_current:
            return
        snapshot = self.open_snapshot
        nothing, tree = self.query_one("#nothing", Canvas), self.query_one(LayersTree)
        self.query_one("#panels").display = snapshot is not None
        nothing.display = snapshot is None
        nothing.show(None, READING if self.paths else NO_STUDY)
        if snapshot:
            self._update_tree(snapshot)
            if self.place is None and (first := tree.first_activation()):
                tree.select(first)
                self.place = first
        self.show_all()

    def _update_tree(self, snapshot: Snapshot) -> None:
        line = self.query_one(FilterLine)
        shown = self.query_one(LayersTree).update_from(snapshot, self.marked, line.words)
        line.tell(shown, len(snapshot.plan.networks))

    def show_all(self) -> None:
        super().show_all()
        self._show_numbers()

    def _show_numbers(self) -> None:
        """Show the numbers of the layer, and let those be counted that are not known yet."""
        snapshot, network = self.open_snapshot, self.network
        without, numbers = self.query_one("#without", Static), self.query_one(Numbers)
        without.display = self.exclude_chance and snapshot is not None
        if snapshot is None or network is None:
            numbers.show(None)
            return
        if self.exclude_chance:
            without.update(Content(without_words(select(snapshot, True))))
        counted = self._statistics.known(snapshot, self.exclude_chance)
        numbers.show(Subject(snapshot, network, self.layer_shown, self.view.method, self.exclude_chance, counted))
        if self._count_later:
            self._count_later.stop()
        if snapshot.measured and self._statistics.wish(snapshot, self.exclude_chance):
            self._count_later = self.set_timer(_COUNT_AFTER_S, self._count)

    def _count(self) -> None:
        if self._statistics.may_run:
            self.run_worker(self._statistics.run(), group="statistics")

    def action_chance(self) -> None:
        """Leave networks at chance out of everything that is a mean or a test, or take them in again."""
        self.exclude_chance = not self.exclude_chance
        self.show_soon()

    def remember(self) -> dict[str, Any]:
        """Return what should come back on the next start, as plain values."""
        network = self.network
        if network is None or self.place is None:
            return {}
        place = {name: value for name, value in asdict(self.place).items() if value is not None}
        layer = {} if self.layer_wished is None else {"layer": self.layer_wished}
        return {**place, **layer, "chart": self.chart, "without_chance": self.exclude_chance, **self.view.plain()}

    def recall(self, state: Mapping[str, Any]) -> None:
        """Take up what `remember` returned; what does not fit this study is left as it is."""
        given = {name: state.get(name) for name in ("dataset", "depth", "activation", "run", "control")}
        tree = self.query_one(LayersTree)
        place = tree.known_place(given)
        if place:
            tree.select(place)
            self.place = place
        layer = state.get("layer")
        self.layer_wished = layer if isinstance(layer, int) and layer >= 0 else None
        self.view = View.of_plain(state)
        self.exclude_chance = state.get("without_chance") is True
        self.chart = next((one for one in get_args(Chart) if one == state.get("chart")), "bars")
        self.show_soon()

    # What is selected

    def on_tree_node_highlighted(self, event: Tree.NodeHighlighted[NodeKey]) -> None:
        tree = self.query_one(LayersTree)
        # Of several nodes that were passed by, only where the cursor stands now counts.
        if not tree.is_here(event.node) or event.node is not tree.cursor_node:
            return
        if event.node.data != self.place:
            self.place = event.node.data
            self.show_soon()

    def on_tree_node_expanded(self, event: Tree.NodeExpanded[NodeKey]) -> None:
        self.query_one(LayersTree).name_anew(event.node)

    def on_tree_node_collapsed(self, event: Tree.NodeCollapsed[NodeKey]) -> None:
        self.query_one(LayersTree).name_anew(event.node)

    def action_flip(self, by: int) -> None:
        if network := self.network:
            self.layer_wished = min(max(self.layer_shown + by, 0), network.depth)
            self.show_soon()

    def action_walk(self, by: int) -> None:
        tree = self.query_one(LayersTree)
        if by < 0:
            tree.action_cursor_up()
        else:
            tree.action_cursor_down()

    def action_network(self, by: int) -> None:
        """Select the single network before or after the one shown, across the whole tree."""
        tree = self.query_one(LayersTree)
        leaves = list(tree.leaves())
        if (network := self.network) is None or node_key_of(network) not in leaves:
            return
        here = leaves.index(node_key_of(network))
        is_leaf = self.place is not None and self.place.run is not None
        tree.select(leaves[min(max(here + by, 0), len(leaves) - 1) if is_leaf else here])

    def action_mark(self) -> None:
        """Mark the network shown, or mark it no more."""
        if (network := self.network) is None:
            return
        kept = tuple(one for one in self.marked if one != network)
        self.marked = kept if network in self.marked else (*self.marked, network)
        self._update()

    # The filter

    def action_filter(self) -> None:
        if self.open_snapshot:
            self.query_one(FilterLine).open()

    @on(FilterLine.Changed)
    def filter_changed(self) -> None:
        if (snapshot := self.open_snapshot) is None:
            return
        self._update_tree(snapshot)
        tree, network = self.query_one(LayersTree), self.network
        leaves = list(tree.leaves())
        if leaves and (network is None or node_key_of(network) not in leaves):
            self.place = leaves[0]
            self.show_soon()
        if self.place:
            # Once it has been laid out: a tree planted anew puts its cursor on the line it had before.
            self.call_after_refresh(tree.select, self.place)

    @on(FilterLine.Left)
    def filter_left(self) -> None:
        self.query_one(LayersTree).focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        # While a filter is typed, no key of the screen can be meant.
        typing = self.is_mounted and self.focused is not None and self.query_one(FilterLine).typing
        if typing and hasattr(LayersScreen, f"action_{action}") and not hasattr(ModeScreen, f"action_{action}"):
            return False
        return super().check_action(action, parameters)

    def action_back(self) -> None:
        """Undo the outermost of what is set: full screen, grid, chosen point, marks, filter."""
        if self.has_class("-zoomed"):
            self.unzoom()
        elif not self.forget():
            self.query_one(FilterLine).clear()

    # Export

    async def action_export(self) -> None:
        """Ask how to save what is shown, the chart or the points, or a figure of the whole study."""
        snapshot, network = self.open_snapshot, self.network
        if snapshot is None or network is None or self.paths is None or not snapshot.measured:
            self.post_message(Say("No layer is measured yet: there is no figure to save", "warning"))
            return
        from embcx_tui.tui.export.dialog import ExportDialog

        chart_first = self.query_one("#bars").has_focus
        if chart_first:
            name = figure_name("complexity", network.dataset, depth=network.depth, control=network.control)
        else:
            name = network_figure_name("embedding", network)
        chart, points = self._chart_shown(snapshot, network), await self._points_shown(snapshot, network)
        shown = [("chart shown", chart), ("points shown", points)]
        ordered = shown if chart_first else shown[::-1]
        named = {what: one for what, one in ordered if one}
        self.app.push_screen(ExportDialog(self.paths, snapshot, name, named, self.exclude_chance))

    def _chart_shown(self, snapshot: Snapshot, network: Network) -> Shown | None:
        figure = self.query_one("#bars", Canvas).figure
        whole = self.place is not None and self.place.activation is None
        if figure is None:
            return None
        return chart_shown(figure, self.chart, snapshot, network, whole, self.marked, self.exclude_chance)

    async def _points_shown(self, snapshot: Snapshot, network: Network) -> Shown | None:
        figure, cloud = self.query_one("#scatter", PointsCanvas).target, self._cloud()
        layer, view = self.layer_shown, self.view
        if isinstance(figure, Scatter) and cloud:
            return await asyncio.to_thread(points_shown, figure, cloud, snapshot, network, layer, view)
        if isinstance(figure, Panels):
            whole, networks = await self.whole_grid(snapshot, network)
            return grid_shown(whole, snapshot, network, layer, view, networks) if whole else None
        return None
