"""What a person sees of the points in the layer browser: classes, mistakes, a part of the plane, grids, methods."""

from __future__ import annotations

from dataclasses import replace

from textual import on

from embcx_tui.study.naming import method_name
from embcx_tui.study.settings import SCORE_METHOD
from embcx_tui.tui.layers.charts import charts_of
from embcx_tui.tui.layers.points import PointsBrowsing
from embcx_tui.tui.layers.tree import LayersTree
from embcx_tui.tui.layers.viewport import Grid, View, extent
from embcx_tui.tui.messages import Say
from embcx_tui.tui.widgets.canvas import PointsCanvas

_NEXT_GRID: dict[Grid | None, Grid | None] = {None: "layers", "layers": "activations", "activations": None}


class PointsSeeing(PointsBrowsing):
    """Changes the view, and nothing of what is selected."""

    def _see(self, view: View) -> None:
        self.view = view
        self.show_soon()

    def action_isolate(self, place: int) -> None:
        self._see(self.view.isolate(place))

    def action_missed(self) -> None:
        self._see(replace(self.view, missed=not self.view.missed))

    def action_all(self) -> None:
        self._see(replace(self.view, missed=False, isolated=None))

    def action_magnify(self, steps: int) -> None:
        if self.network is None:
            return
        network, layer = self.walked(self.network)[1]
        if cloud := self.cloud_of((network, layer)):
            row = self.view.row(cloud, network.dataset)
            about = None if row is None else (float(cloud.points[row, 0]), float(cloud.points[row, 1]))
            self._see(self.view.zoom(steps, extent(cloud), about))

    @on(PointsCanvas.Wheeled)
    def wheeled(self, event: PointsCanvas.Wheeled) -> None:
        """Zoom about the pointer: what it points at stays there."""
        shot = self.shot_at(event.place)
        if shot and (cloud := self.cloud_of(shot)):
            self._see(self.view.zoom_at(event.steps, extent(cloud), event.at))

    def action_pan(self, dx: int, dy: int) -> None:
        if self.network and (cloud := self.cloud_of(self.walked(self.network)[1])):
            self._see(self.view.pan(dx, dy, extent(cloud)))

    def action_fit(self) -> None:
        self._see(replace(self.view, rect=None))

    def action_grid(self) -> None:
        """All layers of the network, then this layer of every activation, then one layer again."""
        self.pointing = False
        self.view = replace(self.view, grid=_NEXT_GRID[self.view.grid])
        self.keys_changed()

    def action_method(self) -> None:
        """Show the points by the next embedding method that measured this layer."""
        snapshot, network = self.open_snapshot, self.network
        if snapshot is None or network is None:
            return
        methods = snapshot.plan.settings.measure.methods
        known = [one for one in methods if snapshot.layer(network, self.layer_shown, one)]
        if len(known) < 2:
            only = method_name(known[0]) if known else "no method"
            self.post_message(Say(f"This layer is measured by {only} alone; [measure] methods asks for more"))
            if self.view.method == SCORE_METHOD:
                return
        at = known.index(self.view.method) if self.view.method in known else -1
        self._see(replace(self.view, method=known[(at + 1) % len(known)] if known else SCORE_METHOD))

    def action_chart(self) -> None:
        """Show the next chart that this study can show."""
        snapshot, network = self.open_snapshot, self.network
        if snapshot and network:
            charts = charts_of(snapshot, network)
            self.chart = charts[(charts.index(self.chart) + 1) % len(charts)] if self.chart in charts else "bars"
            self.show_soon()

    def forget(self) -> bool:
        """Undo one of what is set: grid, chosen point, marks; tell whether there was anything."""
        if self.view.grid:
            self.view = replace(self.view, grid=None)
        elif self.view.chosen:
            self.view = replace(self.view, chosen=None)
        elif self.marked:
            self.marked = ()
            if snapshot := self.open_snapshot:
                self.query_one(LayersTree).update_from(snapshot)
        else:
            return False
        self.show_soon()
        return True
