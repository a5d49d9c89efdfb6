"""The half of the layer browser that shows figures: the chart, the points, the chosen point, and their keys."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from textual import on, work
from textual.screen import Screen
from textual.timer import Timer
from textual.widget import Widget

from embcx_tui.figures.values import Figure, Scatter
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.events import SealedFile
from embcx_tui.study.plan import Network
from embcx_tui.tui.canvas import Canvas, PointsCanvas
from embcx_tui.tui.layers_charts import Chart, charts_of, compared_bars, has_room, place_bars, short_names, slow_chart
from embcx_tui.tui.layers_clouds import Cloud, Clouds, files_of
from embcx_tui.tui.layers_numbers import Numbers
from embcx_tui.tui.layers_pictures import Count, Picture, Pictures, Shot
from embcx_tui.tui.layers_point import NEIGHBOURS, PointFacts, PointPanel, facts_of
from embcx_tui.tui.layers_reading import Reading
from embcx_tui.tui.layers_tree import LayersTree
from embcx_tui.tui.layers_view import View, extent
from embcx_tui.tui.layers_words import caption, method_words, nothing_yet
from embcx_tui.tui.messages import Say
from embcx_tui.tui.places import Place
from embcx_tui.tui.plane import nearest_to
from embcx_tui.tui.points import Shelf

# A picture stays while the next one's points are read, unless that takes longer than a person notices.
_READING_SHOWN_AFTER_S = 0.3
_WALKING = ("step", "turn", "leave")


class PointsBrowsing(Screen[None]):
    """Shows figures of what is selected; who derives from it selects, composes the widgets and calls `show_all`."""

    paths: StudyPaths | None
    view = View()
    marked: tuple[Network, ...] = ()
    pointing = False
    """Whether arrows walk from point to point."""
    chart: Chart = "bars"

    _pictures: Pictures | None = None
    _reading: Reading | None = None
    _slow: Timer | None = None
    _soon = False
    _charted: tuple[tuple[object, ...], Snapshot, Figure] | None = None
    _alike: tuple[tuple[str, int], tuple[int, ...]] | None = None

    @property
    def open_snapshot(self) -> Snapshot | None:
        """The snapshot, unless it is still that of the study open before."""
        raise NotImplementedError

    @property
    def place(self) -> Place | None:
        """The selected node of the tree."""
        raise NotImplementedError

    @property
    def network(self) -> Network | None:
        """The network whose layer is shown."""
        raise NotImplementedError

    @property
    def layer_shown(self) -> int:
        """The layer shown: the one wished for, or the last of a shallower network."""
        raise NotImplementedError

    def bring(self, panel: Widget) -> None:
        """Focus a panel; while one has the whole screen, this one takes it."""
        raise NotImplementedError

    def open_shelf(self, paths: StudyPaths | None) -> None:
        """Read arrays of this study from now on."""
        self._pictures = Pictures(Clouds(Shelf(paths))) if paths else None
        self._reading = Reading(self._pictures, self._arrived) if self._pictures else None
        self._charted = self._alike = None

    # Showing

    def show_soon(self) -> None:
        """Show what is selected once the keys that are waiting have been taken: a held key never queues up."""
        if not self._soon:
            self._soon = True
            self.call_later(self._show_now)

    def _show_now(self) -> None:
        self._soon = False
        self.show_all()

    def show_all(self) -> None:
        """Show what is selected."""
        snapshot, network = self.open_snapshot, self.network
        self.query_one(Numbers).show(snapshot, network, self.layer_shown, self.view.method)
        if snapshot is None or network is None:
            self.query_one("#bars", Canvas).show(None)
            self.query_one("#scatter", Canvas).show(None)
            return
        self._show_chart(snapshot, network)
        self._show_points(snapshot, network)

    def _show_chart(self, snapshot: Snapshot, network: Network) -> None:
        canvas = self.query_one("#bars", Canvas)
        if self.chart not in charts_of(snapshot, network):
            self.chart = "bars"
        if not snapshot.measured:
            canvas.show(None, nothing_yet(snapshot))
        elif self.chart != "bars":
            large = has_room(*canvas.content_size)
            key = (self.chart, network.dataset, network.depth, network.activation, large)
            if self._charted and self._charted[0] == key and self._charted[1] is snapshot:
                canvas.show(self._charted[2])
            else:
                if not (self._charted and self._charted[0] == key):
                    canvas.show(None, "Counting …")
                self._count_chart(key, snapshot, network, *canvas.content_size)
        elif len(self.marked) > 1:
            canvas.show(compared_bars(snapshot, self.marked, network, self.layer_shown))
        else:
            canvas.show(place_bars(snapshot, self.place, network, self.layer_shown))

    @work(exclusive=True, group="chart")
    async def _count_chart(
        self, key: tuple[object, ...], snapshot: Snapshot, network: Network, width: int, height: int
    ) -> None:
        figure = await asyncio.to_thread(slow_chart, self.chart, snapshot, network, width, height)
        self._charted = (key, snapshot, figure)
        if self.open_snapshot is snapshot and self.network:
            self._show_chart(snapshot, self.network)

    def _show_points(self, snapshot: Snapshot, network: Network) -> None:
        canvas = self.query_one("#scatter", PointsCanvas)
        if self._slow:
            self._slow.stop()
        if self._pictures is None:
            return
        picture = self._picture(self._pictures, snapshot, network, *canvas.content_size)
        if isinstance(picture.figure, Scatter):
            canvas.fly(picture.figure)
        elif picture.figure:
            canvas.show(picture.figure)
        elif picture.words:
            canvas.show(None, picture.words)
        else:
            self._slow = self.set_timer(_READING_SHOWN_AFTER_S, lambda: canvas.show(None, "Reading the points …"))
        wanted = picture.wanted + self._show_point(snapshot, network)
        near = self._near(snapshot, network)
        found = [files_of(snapshot, *shot, self.view.method) for shot in near]
        files = tuple(file for one in found if one for file in one.all)

        def ahead() -> tuple[Count, ...]:
            if self._pictures is None or not self._is_single or self.view.rect:
                return ()
            shown = (self._pictures.single(snapshot, *shot, self.view, canvas.content_size) for shot in near)
            return tuple(vote for one in shown for vote in one.votes)

        if self._reading and self._reading.wish(replace(picture, wanted=wanted), files, ahead):
            self.run_worker(self._reading.run(), group="points")

    @on(PointsCanvas.Sized)
    def sized(self) -> None:
        """A grid and the zoom depend on the room there is."""
        self.show_soon()

    def _arrived(self) -> None:
        """Show what has just been read or counted."""
        snapshot, network = self.open_snapshot, self.network
        if self.is_current and snapshot and network:
            self._show_points(snapshot, network)

    @property
    def _is_single(self) -> bool:
        return self.view.grid is None and len(self.marked) < 2

    def _picture(self, pictures: Pictures, snapshot: Snapshot, network: Network, width: int, height: int) -> Picture:
        layer = self.layer_shown
        if self._is_single:
            hint = "1 marked: space on another compares" if self.marked else ""
            return pictures.single(snapshot, network, layer, self.view, (width, height), hint)
        named: list[tuple[Shot, str]]
        if self.view.grid == "layers":
            named = [((network, one), f"layer {one}" if one else "input") for one in range(network.depth + 1)]
            control = f" {network.control}" if network.control else ""
            title = f"All layers · {network.activation}{control}, run {network.run}"
        elif self.view.grid == "activations":
            same = (network.dataset, network.depth, network.run, network.control)
            kin = [n for n in snapshot.plan.networks if (n.dataset, n.depth, n.run, n.control) == same]
            named = [((one, layer), one.activation) for one in kin]
            title = f"Layer {layer} of {network.depth} · run {network.run}" if layer else f"Input · run {network.run}"
        else:
            names = short_names(self.marked)
            named = [((one, min(layer, one.depth)), name) for one, name in zip(self.marked, names, strict=True)]
            title = f"Layer {layer} · {len(self.marked)} marked" if layer else f"Input · {len(self.marked)} marked"
        shots = [((one, at), caption(snapshot, one, at, name)) for (one, at), name in named]
        return pictures.several(snapshot, shots, self.view, title, width, height)

    def _near(self, snapshot: Snapshot, network: Network) -> list[Shot]:
        """Return what is one key away: the layers of this network, the lines above and below."""
        near = [(network, self.layer_shown + 1), (network, self.layer_shown - 1)]
        tree = self.query_one(LayersTree)
        for line in (tree.cursor_line + 1, tree.cursor_line - 1):
            node = tree.get_node_at_line(line)
            if node and node.data and (other := node.data.network(snapshot.plan)):
                near.append((other, min(self.layer_shown, other.depth)))
        return [(one, at) for one, at in near if 0 <= at <= one.depth]

    # The chosen point

    def _cloud(self) -> Cloud | None:
        """Return the points of the layer shown; None while there are none."""
        snapshot, network = self.open_snapshot, self.network
        if snapshot is None or network is None or self._pictures is None:
            return None
        files = files_of(snapshot, network, self.layer_shown, self.view.method)
        cloud = self._pictures.clouds.cloud(files) if files else None
        return cloud if isinstance(cloud, Cloud) else None

    def _show_point(self, snapshot: Snapshot, network: Network) -> tuple[SealedFile, ...]:
        """Show the chosen point's panel; return the files it still needs."""
        self.set_class(self.pointing, "-pointing")
        self.set_class(self.view.grid is not None, "-grid")
        if not self.pointing or self._pictures is None:
            return ()
        cloud, sample = self._cloud(), snapshot.sample(network)
        row = self.view.row(cloud, network.dataset) if cloud else None
        facts: PointFacts | None = None
        words = "No point is chosen.\nArrows choose one; so does a click."
        needed: tuple[SealedFile, ...] = ()
        if cloud is None:
            words = "No points here.\nThe point stays chosen: , and . go to other layers."
        elif row is None and self.view.chosen:
            words = f"Not in this sample.\nRun {network.run} is measured on other inputs; arrows choose one of them."
        elif row is not None and sample:
            inputs = self._pictures.clouds.shelf.inputs(sample.file)
            needed = (sample.file,) if inputs is None else ()
            loaded = snapshot.datasets.get(network.dataset)
            given = None if inputs is None or isinstance(inputs, str) else inputs
            if given is not None and (self._alike is None or self._alike[0] != (sample.file.sha256, row)):
                self._alike = ((sample.file.sha256, row), nearest_to(given, row, NEIGHBOURS))
            # The input's own layer tells what is near as inputs.
            told = self.layer_shown == 0 and cloud.neighbours is not None
            alike = self._alike[1] if given is not None and self._alike and not told else ()
            classes, shape = (loaded.classes, loaded.shape) if loaded else ((), None)
            facts = facts_of(cloud, row, classes, given, shape, alike)
        for panel in self.query(PointPanel):
            panel.show(facts, words)
        return needed

    def _choose(self, cloud: Cloud, network: Network, row: int) -> None:
        x, y = (float(one) for one in cloud.points[row])
        view = replace(self.view, chosen=(network.dataset, int(cloud.sample.index[row])))
        self.view = view.hold(x, y, extent(cloud))
        self.show_soon()

    def action_point(self) -> None:
        """Walk points from now on; choose one where none is."""
        cloud, network = self._cloud(), self.network
        if cloud is None or network is None:
            self.post_message(Say("There are no points here yet", "warning"))
            return
        self.pointing = True
        self.view = replace(self.view, grid=None)
        self._keys_changed()
        canvas = self.query_one("#scatter", PointsCanvas)
        self.bring(canvas)
        first = canvas.first()
        if self.view.row(cloud, network.dataset) is None and first is not None:
            self._choose(cloud, network, first)

    def action_step(self, dx: int, dy: int) -> None:
        cloud, network = self._cloud(), self.network
        if cloud is None or network is None:
            return
        canvas = self.query_one("#scatter", PointsCanvas)
        row = self.view.row(cloud, network.dataset)
        following = canvas.first() if row is None else canvas.step(row, dx, dy)
        if following is not None:
            self._choose(cloud, network, following)

    @on(PointsCanvas.Picked)
    def picked(self, event: PointsCanvas.Picked) -> None:
        cloud, network = self._cloud(), self.network
        if cloud and network and event.row < len(cloud.points):
            self.pointing = True
            self._keys_changed()
            self.bring(self.query_one("#scatter"))
            self._choose(cloud, network, event.row)

    def action_turn(self, by: int) -> None:
        self.run_worker(self.run_action(f"flip({by})"), group="turn")

    def action_leave(self) -> None:
        self.pointing = False
        self._keys_changed()
        if not self.has_class("-zoomed"):
            self.set_class(False, "-pointing")
            self.query_one(LayersTree).focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in _WALKING or action == "point":
            return self.pointing is (action != "point")
        return super().check_action(action, parameters)

    def _keys_changed(self) -> None:
        self.refresh_bindings()
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

    # What is seen of the points

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
        if (cloud := self._cloud()) and (network := self.network):
            row = self.view.row(cloud, network.dataset)
            about = None if row is None else (float(cloud.points[row, 0]), float(cloud.points[row, 1]))
            self._see(self.view.zoom(steps, extent(cloud), about))

    def action_pan(self, dx: int, dy: int) -> None:
        if cloud := self._cloud():
            self._see(self.view.pan(dx, dy, extent(cloud)))

    def action_fit(self) -> None:
        self._see(replace(self.view, rect=None))

    def action_grid(self) -> None:
        """All layers of the network, then this layer of every activation, then one layer again."""
        self.pointing = False
        following = {None: "layers", "layers": "activations", "activations": None}
        self.view = replace(self.view, grid=following[self.view.grid])  # type: ignore[arg-type]  # its own values
        self._keys_changed()

    def action_method(self) -> None:
        """Show the points by the next embedding method that measured this layer."""
        snapshot, network = self.open_snapshot, self.network
        if snapshot is None or network is None:
            return
        methods = snapshot.plan.settings.measure.methods
        known = [one for one in methods if snapshot.layer(network, self.layer_shown, one)]
        if len(known) < 2:
            only = method_words(known[0]) if known else "no method"
            self.post_message(Say(f"This layer is measured by {only} alone; [measure] methods asks for more"))
            if self.view.method == "tsne":
                return
        at = known.index(self.view.method) if self.view.method in known else -1
        self._see(replace(self.view, method=known[(at + 1) % len(known)] if known else "tsne"))

    def action_chart(self) -> None:
        """Show the next chart that this study can show."""
        snapshot, network = self.open_snapshot, self.network
        if snapshot and network:
            charts = charts_of(snapshot, network)
            self.chart = charts[(charts.index(self.chart) + 1) % len(charts)] if self.chart in charts else "bars"
            self.show_soon()
