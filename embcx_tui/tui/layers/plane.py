"""The part of the layer browser's state that is the plane's: what is in sight, after which epoch, the chosen point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.events import SealedFile
from embcx_tui.study.plan import Network
from embcx_tui.tui.layers.embeddings import AlignedEmbedding, embedding_files, epochs_of
from embcx_tui.tui.layers.point_facts import ChosenPoint, chosen_point
from embcx_tui.tui.layers.scatter_cache import ScatterCache, layer_grid
from embcx_tui.tui.layers.selection import LayerSelection, NetworkLayer
from embcx_tui.tui.layers.viewport import Viewport
from embcx_tui.tui.layers.wording import input_words


class ActivePoints(NamedTuple):
    """The points that keys act on: the panel they are shown in, their layer, and the row of the chosen point."""

    panel: int
    target: NetworkLayer
    embedding: AlignedEmbedding
    row: int | None


class PlaneController:
    """Holds the selection within one study and changes what of the plane is shown.

    `changed` is called whenever there is something else to show.
    """

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        self._changed = changed
        self.snapshot: Snapshot | None = None
        """The newest snapshot of the open study."""
        self.scatters: ScatterCache | None = None
        self.selection = LayerSelection()
        self.point_mode = False
        """Whether arrows move from point to point instead of through layers and networks."""
        self._first_panel = 0
        self._followed: tuple[str, ...] = ()
        self._dragged = Viewport()

    @property
    def shown(self) -> NetworkLayer | None:
        """The layer shown, with its network: the selected layer, or the nearest that the network has."""
        node, layer = self.selection.node, self.selection.layer
        network = node.network(self.snapshot.plan) if self.snapshot and node else None
        if network is None:
            return None
        wanted = network.depth if layer is None else min(layer, network.depth)
        return NetworkLayer(network, max(wanted, network.first_layer))

    @property
    def network(self) -> Network | None:
        """The network whose layer is shown."""
        return self.shown.network if self.shown else None

    def _set(self, selection: LayerSelection) -> None:
        self.selection = selection
        self._changed()

    def layer_of_panel(self, panel: int) -> NetworkLayer | None:
        """Return the layer that a panel shows; a scatter by itself is panel 0."""
        if self.snapshot is None or (shown := self.shown) is None:
            return None
        if self.selection.is_single:
            return shown
        layers = layer_grid(self.snapshot, shown, self.selection).layers
        index = panel + self._first_panel
        return layers[index] if index < len(layers) else None

    # The viewport

    def zoom(self, steps: int) -> None:
        """Zoom in or out, about the chosen point where there is one."""
        if active := self.active_points:
            centre = None if active.row is None else active.embedding.position(active.row)
            viewport = self.selection.viewport.zoom(steps, active.embedding.bounds, centre)
            self._set(replace(self.selection, viewport=viewport))

    def zoom_at(self, panel: int, at: tuple[float, float], steps: int) -> None:
        """Zoom in or out of a panel, while the point `at` of its plane stays where it is on the screen."""
        if (target := self.layer_of_panel(panel)) and (embedding := self.embedding(target)):
            self._set(replace(self.selection, viewport=self.selection.viewport.zoom_at(steps, embedding.bounds, at)))

    def pan(self, dx: int, dy: int) -> None:
        """Move the viewport to the right (`dx` 1) or up (`dy` 1)."""
        if active := self.active_points:
            self._set(replace(self.selection, viewport=self.selection.viewport.pan(dx, dy, active.embedding.bounds)))

    def drag(self, panel: int, by: tuple[float, float], begins: bool) -> None:
        """Move the points of a panel `by` (x, y), in units of its plane, from where they were when the drag began."""
        if begins:
            self._dragged = self.selection.viewport
        if (target := self.layer_of_panel(panel)) and (embedding := self.embedding(target)):
            self._set(replace(self.selection, viewport=self._dragged.drag(by, embedding.bounds)))

    def fit(self) -> None:
        """Show all points."""
        self._set(replace(self.selection, viewport=Viewport()))

    # Epochs

    def scrub(self, by: int) -> str:
        """Show the points after the next (1) or the previous (-1) epoch that was measured; return a notice if none was.

        Like the layer, the epoch stays while layers and networks change.
        """
        if self.snapshot is None or (shown := self.shown) is None:
            return ""
        epochs: list[int | None] = [*epochs_of(self.snapshot, *shown), None]
        if len(epochs) == 1:
            if self.snapshot.plan.is_measured:
                return "The input does not change" if self.snapshot.epochs else "Epochs are embcx_tui.Recorder's"
            asked = self.snapshot.plan.settings.measure.epochs
            what = (
                "The input does not change" if asked and not shown.layer else "This layer is measured at its end alone"
            )
            return what if asked else f"{what}; [measure] epochs asks for more"
        # An epoch after which this layer was not measured shows its end.
        present = epochs.index(self.selection.epoch) if self.selection.epoch in epochs else len(epochs) - 1
        self._set(replace(self.selection, epoch=epochs[min(max(present + by, 0), len(epochs) - 1)]))
        return ""

    # Points

    def embedding(self, target: NetworkLayer) -> AlignedEmbedding | None:
        """Return the points of a layer; None while there are none."""
        selection = self.selection
        files = embedding_files(self.snapshot, *target, selection.method, selection.epoch) if self.snapshot else None
        embedding = self.scatters.embeddings.embedding(files) if self.scatters and files else None
        return embedding if isinstance(embedding, AlignedEmbedding) else None

    @property
    def active_layer(self) -> tuple[int, NetworkLayer] | None:
        """The panel and layer that keys act on: of compared networks the one shown, otherwise the first."""
        compared, shown = self.selection.compared, self.shown
        if shown is None:
            return None
        if self.selection.grid or len(compared) < 2:
            return 0, shown
        index = compared.index(shown.network) if shown.network in compared else 0
        return index - self._first_panel, NetworkLayer(compared[index], min(shown.layer, compared[index].depth))

    @property
    def active_points(self) -> ActivePoints | None:
        """The points that keys act on; None while there are none."""
        if (active := self.active_layer) is None or (embedding := self.embedding(active[1])) is None:
            return None
        return ActivePoints(*active, embedding, self.selection.row(embedding, active[1].network.input_set))

    def enter_point_mode(self) -> bool:
        """Let arrows move from point to point; False where there are no points."""
        if self.active_points is None:
            return False
        self.point_mode = True
        self._set(replace(self.selection, grid=None))
        return True

    def leave_point_mode(self) -> None:
        """Let arrows move through layers and networks again; the point stays chosen."""
        self.point_mode = False
        self._changed()

    def choose_point(self, target: NetworkLayer, row: int) -> None:
        """Choose a point, which then is in sight."""
        if embedding := self.embedding(target):
            point = target.network.input_set, int(embedding.sample.index[row])
            viewport = self.selection.viewport.follow(*embedding.position(row))
            self._set(replace(self.selection, point=point, viewport=viewport))

    def follow_point(self) -> None:
        """Move the viewport to the chosen point where another layer is shown than before."""
        active = self.active_points
        if active is None or active.embedding.key == self._followed:
            return
        self._followed = active.embedding.key
        if active.row is not None and np.isfinite(active.embedding.points[active.row]).all():
            viewport = self.selection.viewport.follow(*active.embedding.position(active.row))
            self.selection = replace(self.selection, viewport=viewport)

    def point_words(self, panel: int, row: int | None) -> str:
        """Return what a point of a panel is, in one line: its number, its class, what it is taken for."""
        target = self.layer_of_panel(panel)
        embedding = self.embedding(target) if target and row is not None else None
        if self.snapshot is None or target is None or embedding is None or row is None or row >= len(embedding.points):
            return ""
        loaded = self.snapshot.datasets.get(target.network.dataset)
        return input_words(embedding, row, target.network.source, loaded.classes if loaded else ())

    def chosen_point(self) -> tuple[ChosenPoint | str | None, tuple[SealedFile, ...]]:
        """Return the chosen point of the active layer, as `point_facts.chosen_point` does."""
        if self.snapshot is None or self.scatters is None or (active := self.active_layer) is None:
            return None, ()
        return chosen_point(self.snapshot, self.scatters.embeddings, active[1], self.selection)
