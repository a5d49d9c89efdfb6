"""The layer browser: a tree of networks, complexity over layers, the points of one layer, and its numbers."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import ClassVar

import numpy as np
from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.events import ScreenResume
from textual.reactive import reactive
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Tree

from embcx_tui.figures.build import activation_bars, layer_bars, layer_scatter
from embcx_tui.figures.values import Bars, Scatter
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study import ids
from embcx_tui.study.events import SealedFile
from embcx_tui.study.plan import Network
from embcx_tui.tui import keys
from embcx_tui.tui.canvas import Canvas
from embcx_tui.tui.frame import ModeScreen
from embcx_tui.tui.layers_numbers import Numbers
from embcx_tui.tui.layers_tree import LayersTree
from embcx_tui.tui.layers_words import (
    NO_STUDY,
    READING,
    layer_words,
    nothing_yet,
    points_title,
    trouble_words,
    waiting_words,
)
from embcx_tui.tui.messages import Mode, Say
from embcx_tui.tui.places import Place, place_of
from embcx_tui.tui.points import Points, PointsShelf

# A picture stays while the next one's points are read, unless that takes longer than a person notices.
_READING_SHOWN_AFTER_S = 0.3
_KEPT_SCATTERS = 24


class LayersScreen(ModeScreen):
    """Browses what `snapshot` has measured; the application sets `snapshot` and `paths`."""

    MODE: ClassVar[Mode] = "layers"
    CSS_PATH = "layers.tcss"
    AUTO_FOCUS = "#tree"

    BINDINGS: ClassVar[list[BindingType]] = keys.LAYERS

    # A screen repainted for each of these would send all its cells again: 14 kB at 120×40.
    snapshot: reactive[Snapshot | None] = reactive[Snapshot | None](None, repaint=False)
    paths: reactive[StudyPaths | None] = reactive[StudyPaths | None](None, repaint=False)

    def __init__(self) -> None:
        super().__init__()
        self._layer: int | None = None  # as wished for; a shallower network shows its last
        self._isolated: int | None = None
        self._shelf: PointsShelf | None = None
        self._scatters: OrderedDict[tuple[object, ...], Scatter] = OrderedDict()
        self._slow: Timer | None = None
        self._shown_place: Place | None = None

    def compose_body(self) -> ComposeResult:
        yield Canvas(NO_STUDY, id="nothing")
        with Container(id="panels"):
            yield LayersTree(id="tree")
            yield Canvas(id="bars")
            yield Numbers(id="numbers")
            yield Canvas(id="scatter")

    # What comes down from the application

    def watch_paths(self, paths: StudyPaths | None) -> None:
        self._shelf = PointsShelf(paths) if paths else None
        self._scatters.clear()
        self._layer = self._isolated = self._shown_place = None
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
        snapshot = self._open_snapshot
        nothing, tree = self.query_one("#nothing", Canvas), self.query_one(LayersTree)
        self.query_one("#panels").display = snapshot is not None
        nothing.display = snapshot is None
        nothing.show(None, READING if self.paths else NO_STUDY)
        if snapshot:
            tree.update_from(snapshot)
            if self._shown_place is None and (first := tree.first_activation()):
                tree.select(first)
                self._shown_place = first
        self._show()

    @property
    def _open_snapshot(self) -> Snapshot | None:
        """The snapshot, unless it is still that of the study open before."""
        return self.snapshot if self.snapshot and self.paths and self.snapshot.id == self.paths.id else None

    # What is selected

    @property
    def network(self) -> Network | None:
        """The network whose layer is shown."""
        snapshot = self._open_snapshot
        return self._shown_place.network(snapshot.plan) if snapshot and self._shown_place else None

    @property
    def layer_shown(self) -> int:
        """The layer shown: the one wished for, or the last of a shallower network."""
        network = self.network
        if network is None:
            return 0
        return network.depth if self._layer is None else min(self._layer, network.depth)

    def on_tree_node_highlighted(self, event: Tree.NodeHighlighted[Place]) -> None:
        if event.node.data is not None and event.node.data != self._shown_place:
            self._shown_place = event.node.data
            self._show()

    def action_flip(self, by: int) -> None:
        if network := self.network:
            self._layer = min(max(self.layer_shown + by, 0), network.depth)
            self._show()

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
        if (network := self.network) is None or not leaves:
            return
        here = leaves.index(place_of(network))
        is_leaf = self._shown_place is not None and self._shown_place.run is not None
        tree.select(leaves[min(max(here + by, 0), len(leaves) - 1) if is_leaf else here])

    def action_isolate(self, place: int) -> None:
        self._isolated = None if place < 0 or place == self._isolated else place
        self._show()

    # Panels

    @property
    def _panels(self) -> list[Widget]:
        return [self.query_one(f"#{name}") for name in ("tree", "bars", "scatter", "numbers")]

    def action_panel(self, by: int) -> None:
        zoomed = self.has_class("-zoomed")
        panels = [one for one in self._panels if (isinstance(one, Canvas) if zoomed else one.display)]
        at = panels.index(self.focused) if self.focused in panels else -1
        panel = panels[(at + by) % len(panels)]
        if zoomed:
            self._zoom(panel)
        panel.focus()

    def action_zoom(self) -> None:
        if self.has_class("-zoomed"):
            self.action_unzoom()
            return
        panel = self.focused if isinstance(self.focused, Canvas) else self.query_one("#scatter", Canvas)
        self._zoom(panel)
        panel.focus()

    def action_unzoom(self) -> None:
        self.remove_class("-zoomed")

    def _zoom(self, panel: Widget) -> None:
        for one in self._panels:
            one.set_class(one is panel, "-front")
        self.add_class("-zoomed")

    # What is shown

    def _show(self) -> None:
        snapshot, network = self._open_snapshot, self.network
        bars, scatter = self.query_one("#bars", Canvas), self.query_one("#scatter", Canvas)
        self.query_one(Numbers).show(snapshot, network, self.layer_shown)
        if snapshot is None or network is None:
            bars.show(None)
            scatter.show(None)
            return
        if snapshot.measured:
            bars.show(self._bars(snapshot, network))
        else:
            bars.show(None, nothing_yet(snapshot))
        self._show_scatter(snapshot, network)

    def _bars(self, snapshot: Snapshot, network: Network) -> Bars:
        place = self._shown_place
        if place and place.activation is None:
            bars = activation_bars(snapshot, network.dataset, network.depth, place.control)
            activations = snapshot.plan.settings.networks.activations
            return replace(bars, chosen=(activations.index(network.activation), self.layer_shown))
        return layer_bars(
            snapshot,
            network.dataset,
            network.depth,
            network.activation,
            network.control,
            highlight=place.run if place else None,
            chosen_layer=self.layer_shown,
        )

    def _files(self, snapshot: Snapshot, network: Network, layer: int) -> tuple[SealedFile, SealedFile] | None:
        measured, sample = snapshot.layer(network, layer), snapshot.sample(network)
        return (measured.file, sample.file) if measured and sample else None

    def _show_scatter(self, snapshot: Snapshot, network: Network) -> None:
        canvas = self.query_one("#scatter", Canvas)
        if self._slow:
            self._slow.stop()
        files = self._files(snapshot, network, self.layer_shown)
        if files is None or self._shelf is None:
            words = trouble_words(snapshot, network, self.layer_shown) or waiting_words(snapshot, network)
            canvas.show(None, f"{layer_words(network, self.layer_shown).capitalize()}\n{words}")
            return
        known = self._shelf.known(*files)
        if known is None:
            self._slow = self.set_timer(_READING_SHOWN_AFTER_S, lambda: canvas.show(None, "Reading the points …"))
        elif isinstance(known, str):
            canvas.show(None, f"These points cannot be shown.\n{known}")
        else:
            canvas.show(self._scatter(snapshot, network, files, known))
        self._fetch(self._wanted(snapshot, network))

    def _wanted(self, snapshot: Snapshot, network: Network) -> list[tuple[SealedFile, SealedFile]]:
        """Return the files of the layer shown and of those one key away."""
        near = [(network, self.layer_shown), (network, self.layer_shown + 1), (network, self.layer_shown - 1)]
        tree = self.query_one(LayersTree)
        for line in (tree.cursor_line + 1, tree.cursor_line - 1):
            node = tree.get_node_at_line(line)
            if node and node.data and (other := node.data.network(snapshot.plan)):
                near.append((other, min(self.layer_shown, other.depth)))
        found = [self._files(snapshot, one, layer) for one, layer in near if 0 <= layer <= one.depth]
        return [files for files in found if files]

    @work(exclusive=True, group="points")
    async def _fetch(self, wanted: list[tuple[SealedFile, SealedFile]]) -> None:
        shelf = self._shelf
        for files in wanted:
            if shelf is None or shelf.known(*files) is not None:
                continue
            await shelf.fetch(*files)
            snapshot, network = self._open_snapshot, self.network
            if (
                files is wanted[0]
                and snapshot
                and network
                and self._files(snapshot, network, self.layer_shown) == files
            ):
                self.call_next(self._show_scatter, snapshot, network)
                return

    def _scatter(
        self, snapshot: Snapshot, network: Network, files: tuple[SealedFile, SealedFile], known: Points
    ) -> Scatter:
        """Return the picture of the points, the same object while nothing in it changes: its drawing is kept by it."""
        key = (network.id, self.layer_shown, files[0].sha256, self._isolated)
        if key not in self._scatters:
            loaded = snapshot.datasets.get(network.dataset)
            classes = loaded.classes if loaded else tuple(str(one) for one in range(int(known.labels.max()) + 1))
            shown = None if self._isolated is None else np.asarray(known.labels == self._isolated)
            self._scatters[key] = layer_scatter(
                known.points,
                known.labels,
                classes,
                title=points_title(network, self.layer_shown),
                shown=shown,
            )
            if len(self._scatters) > _KEPT_SCATTERS:
                self._scatters.popitem(last=False)
        self._scatters.move_to_end(key)
        return self._scatters[key]

    # Export

    def action_export(self) -> None:
        """Ask how to save the focused figure: the bars, or the points of this network's layers."""
        snapshot, network = self._open_snapshot, self.network
        if snapshot is None or network is None or self.paths is None or not snapshot.measured:
            self.post_message(Say("No layer is measured yet: there is no figure to save", "warning"))
            return
        from embcx_tui.tui.export import ExportDialog

        key = ids.dataset_key(network.dataset)
        control = f"-{network.control}" if network.control else ""
        if self.query_one("#bars").has_focus:
            name = f"complexity-{key}-{network.depth}{control}"
            title = "The complexity of all layers"
        else:
            name = f"embedding-{key}-{network.depth}-{network.activation}-run{network.run}{control}"
            title = f"The points of all layers of {network.activation}, run {network.run}"
        self.app.push_screen(ExportDialog(self.paths, name, title))
