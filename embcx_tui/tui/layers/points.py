"""The half of the layer browser that shows figures: the chart, the points, the chosen point."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
from textual import on, work
from textual.timer import Timer

from embcx_tui.figures.model import Figure, Panels
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.events import SealedFile
from embcx_tui.study.naming import short_labels
from embcx_tui.study.plan import Network
from embcx_tui.tui.layers.array_cache import ArrayCache
from embcx_tui.tui.layers.charts import (
    charts_of,
    compared_bars,
    fitted,
    node_bars,
    slow_chart,
)
from embcx_tui.tui.layers.embeddings import AlignedEmbedding, EmbeddingCache, files_of
from embcx_tui.tui.layers.loader import Reading
from embcx_tui.tui.layers.messages import caption, nothing_yet
from embcx_tui.tui.layers.panels import LayersPanels
from embcx_tui.tui.layers.plane import nearest_to
from embcx_tui.tui.layers.point_panel import NEIGHBOURS, PointFacts, PointPanel, facts_of
from embcx_tui.tui.layers.scatter_cache import Count, Picture, Pictures, Shot
from embcx_tui.tui.layers.selection import LayersSelection
from embcx_tui.tui.layers.tree import LayersTree
from embcx_tui.tui.layers.tree_nodes import NodeKey
from embcx_tui.tui.layers.viewport import extent
from embcx_tui.tui.widgets.canvas import Canvas, PointsCanvas

# A picture stays while the next one's points are read, unless that takes longer than a person notices.
_READING_SHOWN_AFTER_S = 0.3
_MARGIN = 4  # cells of the screen that are beside points on the whole of it
_ROOM_FOR_ALL = (10_000, 10_000)  # cells: more than any grid takes


class PointsBrowsing(LayersSelection, LayersPanels):
    """Shows what is selected; who derives from it composes the widgets and calls `show_all`."""

    _pictures: Pictures | None = None
    _reading: Reading | None = None
    _slow: Timer | None = None
    _soon = False
    _charted: tuple[tuple[object, ...], Snapshot, Figure] | None = None
    _marked_chart: tuple[Figure, tuple[object, ...], Figure] | None = None
    _alike: tuple[tuple[str, int], tuple[int, ...]] | None = None
    _followed: tuple[str, ...] = ()
    _first_panel = 0  # of several layers that do not all fit: the place of the first that is shown

    def open_shelf(self, paths: StudyPaths | None) -> None:
        """Read arrays of this study from now on."""
        self._pictures = Pictures(EmbeddingCache(ArrayCache(paths))) if paths else None
        self._reading = Reading(self._pictures, self._arrived) if self._pictures else None
        self._charted = self._alike = None

    # Showing

    def show_soon(self) -> None:
        """Show what is selected once the keys that are waiting have been taken: a held key never queues up."""
        if not self._soon:
            self._soon = True
            self.call_later(self._show_now)

    def go(self, place: NodeKey | None, layer: int) -> None:
        """Select a node of the tree (None: the same) and a layer."""
        self.layer_wished = layer
        if place and place != self.place:
            self.place = place
            self.query_one(LayersTree).select(place)
        self.show_soon()

    def _show_now(self) -> None:
        self._soon = False
        self.show_all()

    def show_all(self) -> None:
        """Show what is selected."""
        snapshot, network = self.open_snapshot, self.network
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
            key = (self.chart, network.dataset, network.depth, self.exclude_chance)
            if self._charted and self._charted[0] == key and self._charted[1] is snapshot:
                canvas.show(self._fitted(self._charted[2], network, canvas.content_size))
            else:
                if not (self._charted and self._charted[0] == key):
                    canvas.show(None, "Counting …")
                self._count_chart(key, snapshot, network)
        elif len(self.marked) > 1:
            canvas.show(compared_bars(snapshot, self.marked, network, self.layer_shown))
        else:
            canvas.show(node_bars(snapshot, self.place, network, self.layer_shown, self.exclude_chance))

    def _fitted(self, figure: Figure, network: Network, size: tuple[int, int]) -> Figure:
        """Return a counted chart for this size with what is selected marked; the same again while that is the same."""
        wanted, known = (network, self.layer_shown, size), self._marked_chart
        if known is None or known[0] is not figure or known[1] != wanted:
            known = self._marked_chart = (figure, wanted, fitted(figure, network, self.layer_shown, *size))
        return known[2]

    @work(exclusive=True, group="chart")
    async def _count_chart(self, key: tuple[object, ...], snapshot: Snapshot, network: Network) -> None:
        figure = await asyncio.to_thread(slow_chart, self.chart, snapshot, network, self.exclude_chance)
        self._charted = (key, snapshot, figure)
        if self.open_snapshot is snapshot and self.network:
            self._show_chart(snapshot, self.network)

    def _show_points(self, snapshot: Snapshot, network: Network) -> None:
        canvas = self.query_one("#scatter", PointsCanvas)
        if self._slow:
            self._slow.stop()
        if self._pictures is None:
            return
        self._follow(network)
        picture = self._picture(self._pictures, snapshot, network, *canvas.content_size)
        if picture.figure:
            canvas.fly(picture.figure)
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

    def keys_changed(self) -> None:
        """Show the keys that work now, and what they work on."""
        self.refresh_bindings()
        self.show_soon()

    @on(Canvas.Sized)
    def sized(self) -> None:
        """A grid, the zoom and a chart of the whole study depend on the room there is."""
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
        if self._is_single:
            hint = "1 marked: space on another compares" if self.marked else ""
            return pictures.single(snapshot, network, self.layer_shown, self.view, (width, height), hint)
        title, shots = self._grid(snapshot, network)
        here = (network, self.layer_shown)
        chosen = next((place for place, (shot, _) in enumerate(shots) if shot == here), None)
        # A grid on a narrow screen has all of it already.
        more = ": z shows more" if width < self.size.width - _MARGIN else ""
        picture = pictures.several(snapshot, shots, self.view, title, width, height, chosen, more)
        self._first_panel = picture.first
        return picture

    def _grid(self, snapshot: Snapshot, network: Network) -> tuple[str, list[tuple[Shot, str]]]:
        """Return the title of several layers side by side, and each with its caption."""
        layer = self.layer_shown
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
            names = short_labels(self.marked)
            named = [((one, min(layer, one.depth)), name) for one, name in zip(self.marked, names, strict=True)]
            title = f"Layer {layer} · {len(self.marked)} marked" if layer else f"Input · {len(self.marked)} marked"
        return title, [((one, at), caption(snapshot, one, at, name)) for (one, at), name in named]

    def shot_at(self, place: int) -> Shot | None:
        """Return the layer that the panel at `place` shows; a picture by itself has place 0."""
        snapshot, network = self.open_snapshot, self.network
        if snapshot is None or network is None:
            return None
        if self._is_single:
            return network, self.layer_shown
        shots = self._grid(snapshot, network)[1]
        place += self._first_panel
        return shots[place][0] if place < len(shots) else None

    async def whole_grid(self, snapshot: Snapshot, network: Network) -> tuple[Panels | None, tuple[Network, ...]]:
        """Return all panels side by side, also those for which there is no room, and whose they are."""
        title, shots = self._grid(snapshot, network)
        if self._pictures is None:
            return None, ()
        for _ in range(2):  # what is not on the screen may have to be read first
            picture = self._pictures.several(snapshot, shots, self.view, title, *_ROOM_FOR_ALL)
            if not await self._pictures.clouds.shelf.fetch(picture.wanted):
                break
        networks = dict.fromkeys(one for (one, _), _ in shots)
        return picture.figure if isinstance(picture.figure, Panels) else None, tuple(networks)

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

    def walked(self, network: Network) -> tuple[int, Shot]:
        """Return the layer whose points are walked, and its place among the panels: of marked networks the shown one's,
        else the first one's.
        """
        if self.view.grid or len(self.marked) < 2:
            return 0, (network, self.layer_shown)
        place = self.marked.index(network) if network in self.marked else 0
        return place - self._first_panel, (self.marked[place], min(self.layer_shown, self.marked[place].depth))

    def cloud_of(self, shot: Shot) -> AlignedEmbedding | None:
        """Return the points of a layer; None while there are none."""
        snapshot = self.open_snapshot
        if snapshot is None or self._pictures is None:
            return None
        files = files_of(snapshot, *shot, self.view.method)
        cloud = self._pictures.clouds.cloud(files) if files else None
        return cloud if isinstance(cloud, AlignedEmbedding) else None

    def _cloud(self) -> AlignedEmbedding | None:
        """Return the points of the layer shown; None while there are none."""
        return self.cloud_of((self.network, self.layer_shown)) if self.network else None

    def _follow(self, network: Network) -> None:
        """Move the part of the plane that is seen to where the chosen point is in a layer just gone to."""
        _, shot = self.walked(network)
        cloud = self.cloud_of(shot)
        if cloud is None or cloud.key == self._followed:
            return
        self._followed = cloud.key
        row = self.view.row(cloud, network.dataset)
        if row is not None and np.isfinite(cloud.points[row]).all():
            x, y = cloud.points[row].tolist()
            self.view = self.view.hold(x, y, extent(cloud))

    def _show_point(self, snapshot: Snapshot, network: Network) -> tuple[SealedFile, ...]:
        """Show the chosen point's panel; return the files it still needs."""
        self.set_class(self.pointing, "-pointing")
        self.set_class(self.view.grid is not None, "-grid")
        if not self.pointing or self._pictures is None:
            return ()
        _, (network, layer) = self.walked(network)
        files, sample = files_of(snapshot, network, layer, self.view.method), snapshot.sample(network)
        found = self._pictures.clouds.cloud(files) if files else ""
        if found is None:
            return ()  # being read: the panel stays as it is until then
        cloud = found if isinstance(found, AlignedEmbedding) else None
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
            told = layer == 0 and cloud.neighbours is not None
            alike = self._alike[1] if given is not None and self._alike and not told else ()
            classes, shape = (loaded.classes, loaded.shape) if loaded else ((), None)
            facts = facts_of(cloud, row, classes, given, shape, alike)
        for panel in self.query(PointPanel):
            panel.show(facts, words)
        return needed
