"""What is selected in the layer browser: a node of the tree, a layer; and what a person has set to see of it."""

from __future__ import annotations

from textual.reactive import reactive

from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.plan import Network
from embcx_tui.tui.layers.charts import Chart
from embcx_tui.tui.layers.tree_nodes import NodeKey
from embcx_tui.tui.layers.viewport import View
from embcx_tui.tui.mode_screen import ModeScreen


class LayersSelection(ModeScreen):
    """Holds the selection and shows nothing of it."""

    # A screen repainted for each of these would send all its cells again: 14 kB at 120×40.
    snapshot: reactive[Snapshot | None] = reactive[Snapshot | None](None, repaint=False)
    paths: reactive[StudyPaths | None] = reactive[StudyPaths | None](None, repaint=False)

    place: NodeKey | None = None
    """The selected node of the tree."""
    layer_wished: int | None = None
    """The layer that was gone to; a shallower network shows its last. None: the last of every network."""
    view = View()
    marked: tuple[Network, ...] = ()
    pointing = False
    """Whether arrows walk from point to point."""
    chart: Chart = "bars"
    exclude_chance = False
    """Whether networks at chance are left out of every mean."""

    def select_nothing(self) -> None:
        """Forget the selection and all that was set: another study is opened."""
        self.place = self.layer_wished = None
        self.view, self.marked, self.pointing = View(), (), False
        self.chart = "bars"
        self.exclude_chance = False

    @property
    def open_snapshot(self) -> Snapshot | None:
        """The snapshot, unless it is still that of the study open before."""
        return self.snapshot if self.snapshot and self.paths and self.snapshot.id == self.paths.id else None

    @property
    def network(self) -> Network | None:
        """The network whose layer is shown."""
        snapshot = self.open_snapshot
        return self.place.network(snapshot.plan) if snapshot and self.place else None

    @property
    def layer_shown(self) -> int:
        """The layer shown: the one wished for, or the last of a shallower network."""
        network = self.network
        if network is None:
            return 0
        return network.depth if self.layer_wished is None else min(self.layer_wished, network.depth)
