"""The chosen point of the layer browser: walked to by keys, picked by the mouse, and what a click on a figure means."""

from __future__ import annotations

from dataclasses import replace

from textual import on

from embcx_tui.figures.model import Dots, Panels
from embcx_tui.study.naming import network_name
from embcx_tui.study.plan import Network
from embcx_tui.tui.layers.embeddings import AlignedEmbedding
from embcx_tui.tui.layers.points import PointsBrowsing
from embcx_tui.tui.layers.tree import LayersTree
from embcx_tui.tui.layers.tree_nodes import NodeKey, node_key_of
from embcx_tui.tui.layers.viewport import extent
from embcx_tui.tui.messages import Say
from embcx_tui.tui.widgets.canvas import Canvas, PointsCanvas

_WALKING = ("step", "turn", "leave")


class PointsWalking(PointsBrowsing):
    """Walks points while `pointing`: then arrows go from point to point, else from layer to layer."""

    def _choose(self, cloud: AlignedEmbedding, network: Network, row: int) -> None:
        x, y = (float(one) for one in cloud.points[row])
        view = replace(self.view, chosen=(network.dataset, int(cloud.sample.index[row])))
        self.view = view.hold(x, y, extent(cloud))
        self.show_soon()

    def action_point(self) -> None:
        """Walk points from now on; choose one where none is."""
        if self.network is None or self.cloud_of(self.walked(self.network)[1]) is None:
            self.post_message(Say("There are no points here yet", "warning"))
            return
        self.pointing = True
        self.view = replace(self.view, grid=None)
        self.keys_changed()
        canvas = self.query_one("#scatter", PointsCanvas)
        self.bring(canvas)
        place, (network, layer) = self.walked(self.network)
        cloud, first = self.cloud_of((network, layer)), canvas.first(place)
        if cloud and self.view.row(cloud, network.dataset) is None and first is not None:
            self._choose(cloud, network, first)

    def action_step(self, dx: int, dy: int) -> None:
        if self.network is None:
            return
        place, (network, layer) = self.walked(self.network)
        if (cloud := self.cloud_of((network, layer))) is None:
            return
        canvas = self.query_one("#scatter", PointsCanvas)
        row = self.view.row(cloud, network.dataset)
        following = canvas.first(place) if row is None else canvas.step(row, dx, dy, place)
        if following is not None:
            self._choose(cloud, network, following)

    def action_turn(self, by: int) -> None:
        self.run_worker(self.run_action(f"flip({by})"), group="turn")

    def action_leave(self) -> None:
        self.pointing = False
        self.keys_changed()
        if not self.has_class("-zoomed"):
            self.set_class(False, "-pointing")
            self.query_one(LayersTree).focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in _WALKING or action == "point":
            return self.pointing is (action != "point")
        return super().check_action(action, parameters)

    # The mouse

    @on(PointsCanvas.Picked)
    def picked(self, event: PointsCanvas.Picked) -> None:
        """Choose the point that was clicked; of several panels go to the one clicked, a grid then closes."""
        shot = self.shot_at(event.place)
        if shot is None:
            return
        network, layer = shot
        if self.view.grid:
            self.view = replace(self.view, grid=None)
            self.keys_changed()
            self.go(self._like(network) if network != self.network else None, layer)
            return
        if network != self.network:
            self.go(node_key_of(network), self.layer_shown)
        cloud = self.cloud_of(shot)
        if cloud and event.row is not None and event.row < len(cloud.points):
            self.pointing = True
            self.keys_changed()
            self.bring(self.query_one("#scatter"))
            self._choose(cloud, network, event.row)

    def _like(self, network: Network) -> NodeKey:
        """Return the node of a network: its own, or where no single run is selected that of its activation."""
        single = self.place is None or self.place.run is not None
        return replace(node_key_of(network), run=network.run if single else None)

    @on(Canvas.BarPicked)
    def bar_picked(self, event: Canvas.BarPicked) -> None:
        """Go to the layer whose bar was clicked, of the network or activation it belongs to."""
        snapshot, network, place = self.open_snapshot, self.network, self.place
        if snapshot is None or network is None or place is None:
            return
        owner: NodeKey | None = None
        if len(self.marked) > 1:
            clicked = self.marked[event.group]
            owner = node_key_of(clicked) if clicked != network else None
        elif place.activation is None:
            activation = snapshot.plan.settings.networks.activations[event.group]
            owner = NodeKey(network.dataset, network.depth, activation, control=place.control)
        self.go(owner, event.bar)

    @on(Canvas.RowPicked)
    def row_picked(self, event: Canvas.RowPicked) -> None:
        """Go to the layer whose row of a heat map was clicked, of the activation that the map is of."""
        snapshot, network = self.open_snapshot, self.network
        if snapshot is None or network is None:
            return
        heats = self.query_one("#bars", Canvas).figure
        owner: NodeKey | None = None
        if isinstance(heats, Panels) and len(heats.figures) > 1:
            activation = snapshot.plan.settings.networks.activations[event.place]
            if (activation, None) != (network.activation, network.control):
                owner = self._like(replace(network, activation=activation, control=None))
        self.go(owner, event.row)

    @on(Canvas.DotPicked)
    def dot_picked(self, event: Canvas.DotPicked) -> None:
        """Go to the network whose dot was clicked, to its last layer: the one the dot is of."""
        snapshot, dots = self.open_snapshot, self.query_one("#bars", Canvas).figure
        if snapshot is None or not isinstance(dots, Dots):
            return
        name = dots.groups[event.group].names[event.dot]
        if owner := next((one for one in snapshot.plan.networks if network_name(one) == name), None):
            self.go(node_key_of(owner), owner.depth)
