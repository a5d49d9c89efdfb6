"""The layer browser: a tree of networks, a chart over layers, the points of one layer, and its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.content import Content
from textual.events import ScreenResume
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static, Tree

from embcx_tui.analysis.selection import select
from embcx_tui.store.paths import StudyPaths
from embcx_tui.study.events import SealedFile
from embcx_tui.tui import keys
from embcx_tui.tui.export.dialog import ExportDialog
from embcx_tui.tui.layers.charts import ChartRequest, StudyCharts
from embcx_tui.tui.layers.controller import LayersController
from embcx_tui.tui.layers.copying import ask_to_copy_table, text_under_cursor
from embcx_tui.tui.layers.export_figures import figures_shown, nearest_figure
from embcx_tui.tui.layers.numbers_panel import LayerNumbers, NumbersPanel
from embcx_tui.tui.layers.numbers_table import NumbersTable
from embcx_tui.tui.layers.point_facts import PointFacts, point_facts
from embcx_tui.tui.layers.point_panel import PointPanel
from embcx_tui.tui.layers.scatter_cache import ScatterLoader
from embcx_tui.tui.layers.selection import NodeKey
from embcx_tui.tui.layers.selection_actions import SelectingScreen
from embcx_tui.tui.layers.statistics_cache import StudyStatistics
from embcx_tui.tui.layers.tree import LayersTree
from embcx_tui.tui.layers.wording import chance_words, nothing_yet
from embcx_tui.tui.messages import Mode, Say, ShowMode
from embcx_tui.tui.mode_screen import NO_STUDY, READING_STUDY, KeyBar, ModeScreen, ScreenPanels
from embcx_tui.tui.widgets.figure_view import FigureView
from embcx_tui.tui.widgets.filter_line import NetworksFilter
from embcx_tui.tui.widgets.points_canvas import PointsCanvas

# Statistics over runs wait until no key was pressed for so long: importing scipy takes a second in which keys are slow.
_STATISTICS_AFTER_S = 0.4
# A scatter stays while the next one's points are read, unless that takes so long that a user notices.
_READING_SHOWN_AFTER_S = 0.3
# The panels that can have the whole screen.
_ZOOMED = (FigureView, NumbersTable, NumbersPanel)
_POINT_MODE_ACTIONS = ("step", "turn", "leave")


class LayersScreen(SelectingScreen):
    """Shows what `controller` has selected of the open study; the application sets `snapshot` and `paths`."""

    MODE: ClassVar[Mode] = "layers"
    CSS_PATH = "layers.tcss"
    AUTO_FOCUS = "#tree"
    BINDINGS: ClassVar[list[BindingType]] = [*keys.WALKING, keys.hidden("p", "leave"), *keys.MARKED, *keys.LAYERS]

    def __init__(self) -> None:
        super().__init__()
        self.controller = LayersController(self._controller_changed)
        self._panels = ScreenPanels(self, ("tree", "bars", "table", "scatter", "numbers"))
        self._charts = StudyCharts(self._show_chart)
        self._statistics = StudyStatistics(self._show_statistics)
        self._loader: ScatterLoader | None = None
        self._statistics_timer: Timer | None = None
        self._reading_timer: Timer | None = None
        self._show_pending = False
        self._point_mode_shown = False

    def compose_body(self) -> ComposeResult:
        yield FigureView(NO_STUDY, id="nothing")
        with Container(id="panels"):
            yield PointPanel(id="point-left")
            yield LayersTree(id="tree")
            yield FigureView(id="bars")
            yield NumbersTable(id="table")
            yield PointPanel(id="point")
            yield NumbersPanel(id="numbers")
            yield PointsCanvas(id="scatter")
        yield Static(id="without")
        yield NetworksFilter(id="filter")

    @property
    def _table(self) -> NumbersTable:
        return self.query_one(NumbersTable)

    @property
    def _scatter(self) -> PointsCanvas:
        return self.query_one("#scatter", PointsCanvas)

    # What the application sets

    def watch_paths(self, paths: StudyPaths | None) -> None:
        self.controller.open(paths, self.open_snapshot)
        self._loader = ScatterLoader(scatters, self._loaded) if (scatters := self.controller.scatters) else None
        if self.is_mounted:
            self.query_one(NetworksFilter).clear()
        self._update()

    def watch_snapshot(self) -> None:
        self.controller.snapshot = self.open_snapshot
        self._update()

    def on_screen_resume(self, event: ScreenResume) -> None:
        self._update()

    def on_mount(self) -> None:
        self._update()

    def remember(self) -> dict[str, Any]:
        return self.controller.remember()

    def recall(self, state: Mapping[str, Any]) -> None:
        self._move_cursor(self.controller.recall(state))

    # Showing

    def _update(self) -> None:
        """Show the newest snapshot; while another screen is in front, that waits for `on_screen_resume`."""
        if not self.is_mounted or not self.is_current:
            return
        snapshot = self.controller.snapshot
        nothing = self.query_one("#nothing", FigureView)
        self.query_one("#panels").display = snapshot is not None
        nothing.display = snapshot is None
        nothing.show(None, READING_STUDY if self.paths else NO_STUDY)
        self._update_tree()
        self._move_cursor(self.controller.select_first())
        self._show()

    def _update_tree(self) -> None:
        if (snapshot := self.controller.snapshot) and (tree := self.controller.tree):
            self._tree.show(tree, snapshot, self.controller.selection.marked)
            self.query_one(NetworksFilter).show_count(len(tree.leaves), len(snapshot.plan.networks))

    def _controller_changed(self) -> None:
        if self.controller.point_mode != self._point_mode_shown:
            self._point_mode_shown = self.controller.point_mode
            self.refresh_bindings()
        self._show_soon()

    # Grids, the zoom and charts of the whole study depend on the size of their panel.
    @on(FigureView.Sized)
    def _show_soon(self) -> None:
        """Show the selection once the keys that are waiting have been handled: a held key never queues up."""
        if not self._show_pending:
            self._show_pending = True
            self.call_later(self._show)

    def _show(self) -> None:
        self._show_pending = False
        if self.controller.shown is None:
            self._chart.show(None)
            self._scatter.show(None)
        else:
            self._show_chart()
            self._show_scatter()
        self._show_numbers()

    def _show_chart(self) -> None:
        canvas, snapshot, shown = self._chart, self.controller.snapshot, self.controller.shown
        if snapshot is None or shown is None or (chart := self.controller.chart()) is None:
            return
        selection = self.controller.selection
        self._swap(selection.chart == "table" and bool(snapshot.measured))
        if self.has_class("-table"):
            statistics = self._statistics.get(snapshot, selection.exclude_chance)
            self._table.show_selection(snapshot, selection, shown, statistics.trends if statistics else None)
        elif not snapshot.measured:
            canvas.show(None, nothing_yet(snapshot))
        elif not isinstance(chart, ChartRequest):
            canvas.show(chart)
        else:
            figure = self._charts.get(chart, shown, canvas.content_size)
            canvas.show(figure, "" if figure else "Computing …")
            if self._charts.submit(chart):
                self.run_worker(self._charts.run(), group="chart")

    def _swap(self, table: bool) -> None:
        """Let the table take the chart's place, its focus and the whole screen if it has that, or the other way."""
        if table == self.has_class("-table"):
            return
        self.set_class(table, "-table")
        new, old = (self._table, self._chart) if table else (self._chart, self._table)
        if self._panels.zoomed and old.has_class("-alone"):
            self._panels.zoom(new)
        if old.has_focus:
            new.focus()

    def _show_scatter(self) -> None:
        canvas = self._scatter
        if self._reading_timer:
            self._reading_timer.stop()
        self.controller.follow_point()
        scatter = self.controller.scatter(canvas.content_size, self.size.width)
        if scatter is None:
            return
        if scatter.figure:
            canvas.fly(scatter.figure)
        elif scatter.words:
            canvas.show(None, scatter.words)
        else:
            words = "Reading the points …"
            self._reading_timer = self.set_timer(_READING_SHOWN_AFTER_S, lambda: canvas.show(None, words))
        missing = self._show_point()
        request = self.controller.load_request(scatter, missing, self._tree.adjacent(), canvas.content_size)
        if request and self._loader and self._loader.submit(request):
            self.run_worker(self._loader.run(), group="points")

    def _show_point(self) -> tuple[SealedFile, ...]:
        """Show the chosen point's panel; return the files that it still needs."""
        self.set_class(self.controller.point_mode, "-pointing")
        self.set_class(self.controller.selection.grid is not None, "-grid")
        if not self.controller.point_mode:
            return ()
        point, missing = self.controller.chosen_point()
        if point is not None:
            words = point if isinstance(point, str) else ""
            facts: PointFacts | None = None if isinstance(point, str) else point_facts(point)
            for panel in self.query(PointPanel):
                panel.show(facts, words, with_mean=self.controller.selection.class_index is not None)
        return missing

    def _loaded(self) -> None:
        """Show what has just been read or computed."""
        if self.is_current and self.controller.shown:
            if self.controller.selection.chart == "confusion":
                self._show_chart()
            self._show_scatter()

    def _show_numbers(self) -> None:
        """Show the numbers of the layer, and let the statistics be computed that are missing."""
        snapshot, shown, selection = self.controller.snapshot, self.controller.shown, self.controller.selection
        without, numbers = self.query_one("#without", Static), self.query_one(NumbersPanel)
        without.display = selection.exclude_chance and snapshot is not None
        if snapshot is None or shown is None:
            numbers.show(None)
            return
        if selection.exclude_chance:
            without.update(Content(chance_words(select(snapshot, True))))
        statistics = self._statistics.get(snapshot, selection.exclude_chance)
        numbers.show(LayerNumbers(snapshot, *shown, selection.method, selection.exclude_chance, statistics))
        if self._statistics_timer:
            self._statistics_timer.stop()
        if snapshot.measured and self._statistics.submit(snapshot, selection.exclude_chance):
            self._statistics_timer = self.set_timer(_STATISTICS_AFTER_S, self._compute_statistics)

    def _show_statistics(self) -> None:
        """Show what has just been computed."""
        self._show_numbers()
        if self.has_class("-table"):
            self._show_chart()

    def _compute_statistics(self) -> None:
        if self._statistics.ready:
            self.run_worker(self._statistics.run(), group="statistics")

    # Selecting

    def on_tree_node_highlighted(self, event: Tree.NodeHighlighted[NodeKey]) -> None:
        # Of several nodes that the cursor has passed, only the one where it stands now counts.
        if not self._tree.contains(event.node) or event.node is not self._tree.cursor_node:
            return
        if event.node.data != self.controller.selection.node:
            self.controller.select(event.node.data)

    def action_walk(self, by: int) -> None:
        if by < 0:
            self._tree.action_cursor_up()
        else:
            self._tree.action_cursor_down()

    def action_network(self, by: int) -> None:
        self._move_cursor(self.controller.adjacent_network(by))

    def action_method(self) -> None:
        if notice := self.controller.next_method():
            self.post_message(Say(notice))

    def action_back(self) -> None:
        """Undo the outermost of what is set: full screen, grid, chosen point, comparison, filter."""
        if self._panels.zoomed:
            self._panels.unzoom()
        elif self.controller.undo():
            self._update_tree()
        elif self.query_one(NetworksFilter).words:
            self.query_one(NetworksFilter).clear()
        else:
            self.post_message(ShowMode("studies"))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        # While a filter is typed, no key of the screen can be meant.
        typing = self.is_mounted and self.focused is not None and self.query_one(NetworksFilter).has_keys
        if typing and hasattr(LayersScreen, f"action_{action}") and not hasattr(ModeScreen, f"action_{action}"):
            return False
        if action in (*_POINT_MODE_ACTIONS, "point"):
            return self.controller.point_mode is (action != "point")
        if action == "compare":
            return len(self.controller.selection.marked) > 1
        return super().check_action(action, parameters)

    # The filter

    def action_filter(self) -> None:
        if self.controller.snapshot:
            self.query_one(NetworksFilter).open()

    @on(NetworksFilter.Changed)
    def _filter_changed(self) -> None:
        node = self.controller.filter(self.query_one(NetworksFilter).words)
        self._update_tree()
        if node and self.controller.snapshot:
            # After the layout, because a tree that is rebuilt puts its cursor on the line it had before.
            self.call_after_refresh(self._tree.select, node)

    @on(NetworksFilter.Left)
    def _filter_left(self) -> None:
        self._tree.focus()

    # Panels

    def action_panel(self, by: int) -> None:
        zoomed = self._panels.zoomed
        hidden = self._chart if self.has_class("-table") else self._table
        panels = (panel for panel in self._panels.all if panel is not hidden)
        among = [panel for panel in panels if (isinstance(panel, _ZOOMED) if zoomed else panel.display)]
        self._focus(self._panels.next(by, among))

    def action_zoom(self) -> None:
        if self._panels.zoomed:
            self._panels.unzoom()
            return
        panel = self.focused if isinstance(self.focused, _ZOOMED) else self._scatter
        self._panels.zoom(panel)
        panel.focus()

    def _focus(self, panel: Widget) -> None:
        """Focus a panel; while another has the whole screen, it takes its place."""
        if self._panels.zoomed:
            self._panels.zoom(panel)
        panel.focus()

    # What the number under the cursor is

    @on(NumbersPanel.Explains)
    def _explains(self, event: NumbersPanel.Explains) -> None:
        self.query_one(KeyBar).explain(event.sentence)

    @on(NumbersTable.Chosen)
    def _table_moved(self) -> None:
        self.query_one(KeyBar).explain(self._table.explained)

    # Points

    def action_point(self) -> None:
        """Let the arrows move from point to point, and choose a point where none is chosen."""
        if not self.controller.enter_point_mode():
            self.post_message(Say("There are no points here yet", "warning"))
            return
        self._focus(self._scatter)
        active = self.controller.active_points
        if active and active.row is None and (first := self._scatter.first(active.panel)) is not None:
            self.controller.choose_point(active.target, first)

    def action_step(self, dx: int, dy: int) -> None:
        if active := self.controller.active_points:
            row, canvas, panel = active.row, self._scatter, active.panel
            following = canvas.first(panel) if row is None else canvas.step(row, dx, dy, panel)
            if following is not None:
                self.controller.choose_point(active.target, following)

    def action_leave(self) -> None:
        self.controller.leave_point_mode()
        if not self._panels.zoomed:
            # At once, since a tree that is hidden cannot take the focus.
            self.set_class(False, "-pointing")
            self._tree.focus()

    @on(PointsCanvas.Picked)
    def _point_picked(self, event: PointsCanvas.Picked) -> None:
        self._move_cursor(self.controller.pick_point(event.place, event.row))
        if self.controller.point_mode:
            self._focus(self._scatter)

    # Copying and export

    def action_copy(self) -> None:
        """Copy what is under the cursor; the terminal puts it into the clipboard (OSC 52), over SSH too."""
        if copied := text_under_cursor(self.focused, self.controller):
            self.app.copy_to_clipboard(copied.text)
            self.post_message(Say(f"Copied {copied.words}"))

    def action_copy_table(self) -> None:
        snapshot, shown, selection = self.controller.snapshot, self.controller.shown, self.controller.selection
        if snapshot is None or shown is None or not snapshot.measured:
            self.post_message(Say("No layer is measured yet: there is no table to copy", "warning"))
            return
        statistics = self._statistics.get(snapshot, selection.exclude_chance)
        trends = statistics.trends if statistics else None
        ask_to_copy_table(self.app, self._table.table_of(snapshot, selection, shown, trends))

    async def action_export(self) -> None:
        """Ask how to save what is shown, the chart or the points, or a figure of the whole study."""
        snapshot, network = self.controller.snapshot, self.controller.network
        if snapshot is None or network is None or self.paths is None or not snapshot.measured:
            self.post_message(Say("No layer is measured yet: there is no figure to save", "warning"))
            return
        chart_first, chart = self._chart.has_focus, None if self.has_class("-table") else self._chart.figure
        figures = await figures_shown(self.controller, chart, self._scatter.target, chart_first)
        selection = self.controller.selection
        name, exclude_chance = (
            nearest_figure(network, selection.chart if chart_first else None),
            selection.exclude_chance,
        )
        self.app.push_screen(ExportDialog(self.paths, snapshot, name, figures, exclude_chance))
