"""The keys and clicks of the layer browser that do nothing but change what is selected, by way of its controller."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from textual import on

from embcx_tui.figures.model import Dots, Lines, Panels
from embcx_tui.tui.layers.controller import LayersController
from embcx_tui.tui.layers.numbers_table import NumbersTable
from embcx_tui.tui.layers.selection import NodeKey
from embcx_tui.tui.layers.tree import LayersTree
from embcx_tui.tui.messages import CompareGroups, Explain, Say
from embcx_tui.tui.mode_screen import ModeScreen
from embcx_tui.tui.widgets.figure_view import FigureView
from embcx_tui.tui.widgets.points_canvas import PointsCanvas


def _controller_action(method: Callable[..., None]) -> Callable[..., None]:
    """Return an action of the screen that is a method of its controller."""

    # With the signature of the method: Textual passes as many parameters as that has.
    @wraps(method)
    def action(screen: SelectingScreen, *parameters: Any) -> None:
        method(screen.controller, *parameters)

    return action


class SelectingScreen(ModeScreen):
    """A screen with the tree and the chart of the layer browser, whose tree follows what is picked in the chart."""

    controller: LayersController

    @property
    def _tree(self) -> LayersTree:
        return self.query_one(LayersTree)

    @property
    def _chart(self) -> FigureView:
        return self.query_one("#bars", FigureView)

    def _move_cursor(self, node: NodeKey | None) -> None:
        if node:
            self._tree.select(node)

    def _update(self) -> None:
        """Show the newest snapshot, and the tree as it is marked."""
        raise NotImplementedError

    def action_mark(self) -> None:
        self.controller.toggle_compared()
        self._update()
        self.refresh_bindings()  # from two on the footer has the key that compares them

    def action_compare(self) -> None:
        """Compare the marked nodes as groups of networks: of one kind, or a line says that they are not."""
        selection = self.controller.selection
        if self.paths:
            groups = tuple(node.group for node in selection.marked)
            self.post_message(CompareGroups(self.paths, groups, selection.exclude_chance))

    action_flip = _controller_action(LayersController.move_layer)
    action_turn = action_flip  # the keys of point mode, in which the arrows move from point to point
    action_chance = _controller_action(LayersController.toggle_chance)
    action_chart = _controller_action(LayersController.next_chart)
    action_grid = _controller_action(LayersController.next_grid)
    action_isolate = _controller_action(LayersController.isolate_class)
    action_missed = _controller_action(LayersController.toggle_misclassified)
    action_all = _controller_action(LayersController.show_all_points)
    action_magnify = _controller_action(LayersController.zoom)
    action_pan = _controller_action(LayersController.pan)

    def action_scrub(self, by: int) -> None:
        if notice := self.controller.scrub(by):
            self.post_message(Say(notice))

    action_fit = _controller_action(LayersController.fit)

    @on(FigureView.BarPicked)
    def _bar_picked(self, event: FigureView.BarPicked) -> None:
        self._move_cursor(self.controller.pick_bar(event.group, event.bar))

    @on(FigureView.LinePicked)
    def _line_picked(self, event: FigureView.LinePicked) -> None:
        figure = self._chart.figure
        panel = event.place if isinstance(figure, Panels) else None
        lines = figure.figures[event.place] if isinstance(figure, Panels) else figure
        if isinstance(lines, Lines):
            self._move_cursor(self.controller.pick_line(lines.groups[event.group], event.group, event.layer, panel))

    @on(FigureView.RowPicked)
    def _row_picked(self, event: FigureView.RowPicked) -> None:
        figure = self._chart.figure
        several = isinstance(figure, Panels) and len(figure.figures) > 1
        self._move_cursor(self.controller.pick_heat_row(event.row, event.place if several else None))

    @on(FigureView.DotPicked)
    def _dot_picked(self, event: FigureView.DotPicked) -> None:
        if isinstance(figure := self._chart.figure, Dots):
            self._move_cursor(self.controller.pick_dot(figure.groups[event.group].names[event.dot]))

    @on(PointsCanvas.Wheeled)
    def _wheeled(self, event: PointsCanvas.Wheeled) -> None:
        self.controller.zoom_at(event.place, event.at, event.steps)

    @on(PointsCanvas.Dragged)
    def _dragged(self, event: PointsCanvas.Dragged) -> None:
        self.controller.drag(event.place, event.by, event.pressed)

    @on(PointsCanvas.Pointed)
    def _pointed(self, event: PointsCanvas.Pointed) -> None:
        self.post_message(Explain(self.controller.point_words(event.place, event.row)))

    @on(NumbersTable.Picked)
    def _cell_picked(self, event: NumbersTable.Picked) -> None:
        dataset, depth, activation, control = event.architecture
        self._move_cursor(self.controller.select(NodeKey(dataset, depth, activation, control=control), event.layer))
