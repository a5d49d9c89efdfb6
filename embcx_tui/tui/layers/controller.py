"""The state of the layer browser and all that changes it, without Textual: what is selected and how it is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from embcx_tui.figures.model import BarGroup, Bars, Heat, Lines, Panels
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.events import SealedFile
from embcx_tui.study.naming import method_name, network_name
from embcx_tui.study.plan import Network
from embcx_tui.study.settings import SCORE_METHOD
from embcx_tui.tui.layers.array_cache import Sample
from embcx_tui.tui.layers.by_class import confusion_heat
from embcx_tui.tui.layers.charts import ChartRequest, SelectionCharts, available_charts
from embcx_tui.tui.layers.plane import PlaneController
from embcx_tui.tui.layers.scatter_cache import LoadRequest, ScatterCache, ScatterResult, adjacent_layers, layer_grid
from embcx_tui.tui.layers.selection import Grid, LayerSelection, NodeKey, StudyTree, node_key_of

_NEXT_GRID: dict[Grid | None, Grid | None] = {
    None: "layers",
    "layers": "activations",
    "activations": "runs",
    "runs": None,
}
_MARGIN = 4  # columns of the screen that a scatter on the whole screen leaves free


Option = TypeVar("Option")


def _after(options: Sequence[Option], present: Option) -> Option:
    """Return the option after the present one, the first after the last and for one that is no option."""
    return options[(options.index(present) + 1) % len(options)] if present in options else options[0]


class LayersController(PlaneController):
    """Holds the selection within one study, changes it, and says what is shown of it.

    Methods that return a `NodeKey` have selected another node: the cursor of the tree has to follow. `changed` is
    called whenever there is something else to show.
    """

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        super().__init__(changed)
        self.filter_words: tuple[str, ...] = ()
        self._tree: StudyTree | None = None
        self._charts = SelectionCharts()
        self._confusion_kept: tuple[tuple[object, ...], Heat] | None = None

    # The study

    def open(self, paths: StudyPaths | None, snapshot: Snapshot | None) -> None:
        """Begin with another study: nothing is selected or filtered."""
        self.scatters = ScatterCache(paths) if paths else None
        self.snapshot = snapshot
        self.selection, self.point_mode, self.filter_words = LayerSelection(), False, ()

    @property
    def tree(self) -> StudyTree | None:
        """The networks whose names hold the filter's words; the same object while neither they nor the study change."""
        if self.snapshot is None:
            return None
        plan = self.snapshot.plan
        if self._tree is None or self._tree.words != self.filter_words or self._tree.settings != plan.settings:
            self._tree = StudyTree(plan, self.filter_words)
        return self._tree

    # Selecting

    def select_first(self) -> NodeKey | None:
        """Select the first activation where nothing is selected."""
        if self.selection.node or self.tree is None or self.tree.first_activation is None:
            return None
        self.selection = replace(self.selection, node=self.tree.first_activation)
        return self.selection.node

    def select(self, node: NodeKey | None, layer: int | None = None) -> NodeKey | None:
        """Select a node and a layer, None leaving either as it is."""
        present = self.selection
        layer = present.layer if layer is None else layer
        self._set(replace(present, node=node or present.node, layer=layer))
        return node if node != present.node else None

    def move_layer(self, by: int) -> None:
        """Go `by` layers toward the output, not beyond the input and the last layer."""
        if shown := self.shown:
            layers = shown.network.layers
            self._set(replace(self.selection, layer=min(max(shown.layer + by, layers[0]), layers[-1])))

    def adjacent_network(self, by: int) -> NodeKey | None:
        """Return the leaf `by` leaves below the network shown, or its own leaf where several runs are selected."""
        leaves = self.tree.leaves if self.tree else ()
        network, node = self.network, self.selection.node
        if network is None or node is None or node_key_of(network) not in leaves:
            return None
        index = leaves.index(node_key_of(network))
        return leaves[index if node.run is None else min(max(index + by, 0), len(leaves) - 1)]

    def toggle_compared(self) -> None:
        """Mark the selected node, a network or a group of them, for a comparison, or unmark it."""
        node, present = self.selection.node, self.selection.marked
        if self.snapshot and node and self.network:
            marked = tuple(other for other in present if other != node) if node in present else (*present, node)
            networks = dict.fromkeys(one.network(self.snapshot.plan) for one in marked)
            self._set(replace(self.selection, marked=marked, compared=tuple(filter(None, networks))))

    def filter(self, words: str) -> NodeKey | None:
        """Filter the tree; where the network shown is not in it any more, select the first that is."""
        self.filter_words = tuple(words.lower().split())
        leaves = self.tree.leaves if self.tree else ()
        network = self.network
        if leaves and (network is None or node_key_of(network) not in leaves):
            self._set(replace(self.selection, node=leaves[0]))
        return self.selection.node

    def toggle_chance(self) -> None:
        """Leave networks at chance out of every mean and test, or include them again."""
        self._set(replace(self.selection, exclude_chance=not self.selection.exclude_chance))

    def next_chart(self, by: int = 1) -> None:
        """Show the next chart that this study has, or with -1 the one before."""
        if self.snapshot and (network := self.network):
            charts = available_charts(self.snapshot, network)[::by]
            self._set(replace(self.selection, chart=_after(charts, self.selection.chart)))

    def next_grid(self) -> None:
        """Show all layers of the network, then this layer of every activation, of every run, then one layer again."""
        self.point_mode = False
        self._set(replace(self.selection, grid=_NEXT_GRID[self.selection.grid]))

    def next_method(self) -> str:
        """Show the next embedding method that measured this layer; return a notice where there is no other."""
        if self.snapshot is None or (shown := self.shown) is None:
            return ""
        methods = self.snapshot.plan.settings.measure.methods
        measured = [method for method in methods if self.snapshot.layer(*shown, method)]
        notice = ""
        if len(measured) < 2:
            only = method_name(measured[0]) if measured else "no method"
            notice = f"This layer is measured by {only} alone; [measure] methods asks for more"
            if self.selection.method == SCORE_METHOD:
                return notice
        following = _after(measured, self.selection.method) if measured else SCORE_METHOD
        self._set(replace(self.selection, method=following))
        return notice

    def isolate_class(self, index: int) -> None:
        """Show one class before the others, which are dimmed; the same class again: all alike."""
        self._set(replace(self.selection, class_index=None if index == self.selection.class_index else index))

    def toggle_misclassified(self) -> None:
        """Dim what the network classifies correctly, and show what the rest is taken for; again: all alike."""
        self._set(replace(self.selection, misclassified=not self.selection.misclassified))

    def show_all_points(self) -> None:
        """Show all classes, and what is classified correctly too."""
        self._set(replace(self.selection, misclassified=False, class_index=None))

    def undo(self) -> bool:
        """Undo the outermost of grid, chosen point, epoch and comparison; tell whether there was any."""
        if self.selection.grid:
            self._set(replace(self.selection, grid=None))
        elif self.selection.point:
            self._set(replace(self.selection, point=None))
        elif self.selection.epoch is not None:
            self._set(replace(self.selection, epoch=None))
        elif self.selection.marked:
            self._set(replace(self.selection, marked=(), compared=()))
        else:
            return False
        return True

    # Clicks

    def pick_point(self, panel: int, row: int | None) -> NodeKey | None:
        """Go to the layer of a panel that was clicked, and choose the point that was hit, if any; a grid closes."""
        if (target := self.layer_of_panel(panel)) is None:
            return None
        network, shown, node = target.network, self.shown, None
        here = shown is not None and network == shown.network
        if self.selection.grid:
            self.selection = replace(self.selection, grid=None)
            return self.select(None if here else self._node_like(network), target.layer)
        if shown and not here:
            node = self.select(node_key_of(network), shown.layer)
        embedding = self.embedding(target)
        if embedding and row is not None and row < len(embedding.points):
            self.point_mode = True
            self.choose_point(target, row)
        return node

    def _node_like(self, network: Network) -> NodeKey:
        """Return the node of a network as selective as the present one: its leaf, or all runs of its activation."""
        node = self.selection.node
        return replace(node_key_of(network), run=None if node and node.run is None else network.run)

    def pick_bar(self, group: int, layer: int) -> NodeKey | None:
        """Go to the layer whose bar was clicked, of the network or activation of that group of bars."""
        node, network, compared = self.selection.node, self.network, self.selection.compared
        if self.snapshot is None or network is None or node is None:
            return None
        other: NodeKey | None = None
        if len(compared) > 1:
            other = node_key_of(compared[group]) if compared[group] != network else None
        elif node.activation is None:
            activation = self.snapshot.plan.activations_at(network.dataset, network.depth, node.control)[group]
            other = NodeKey(network.dataset, network.depth, activation, control=node.control)
        return self.select(other, layer)

    def pick_line(self, group: BarGroup, place: int, layer: int, panel: int | None) -> NodeKey | None:
        """Go to the layer of the mean that was clicked: of `group`, at this `place` in its chart or depth's `panel`."""
        node, network, compared = self.selection.node, self.network, self.selection.compared
        if self.snapshot is None or network is None or node is None:
            return None
        if len(compared) > 1:
            return self.pick_bar(place, layer)
        depth = network.depth if panel is None else sorted(self.snapshot.plan.settings.networks.depths)[panel]
        control = group.control or None
        if (network.depth, network.activation, network.control) == (depth, group.label, control):
            return self.select(None, layer)
        return self.select(NodeKey(network.dataset, depth, group.label, control=control), layer)

    def pick_heat_row(self, layer: int, panel: int | None) -> NodeKey | None:
        """Go to the layer whose row of a heat map was clicked; `panel` is the map's index, None for a single map.

        A row of the confusion matrix is a class.
        """
        if self.snapshot is None or (network := self.network) is None:
            return None
        if self.selection.chart == "confusion":
            self.isolate_class(layer)
            return None
        other: NodeKey | None = None
        if panel is not None:
            activation = self.snapshot.plan.activations_at(network.dataset, network.depth)[panel]
            if (activation, None) != (network.activation, network.control):
                other = self._node_like(replace(network, activation=activation, control=None))
        return self.select(other, layer)

    def pick_dot(self, label: str) -> NodeKey | None:
        """Go to the last layer of the network whose dot was clicked, which is the layer that the dot shows."""
        networks = self.snapshot.plan.networks if self.snapshot else ()
        network = next((network for network in networks if network_name(network) == label), None)
        return self.select(node_key_of(network), network.depth) if network else None

    # What is shown

    def chart(self) -> Bars | Lines | Panels | Heat | ChartRequest | None:
        """Return the lines, bars or confusion matrix of what is selected, or a request for a chart of the study."""
        if self.snapshot is None or (shown := self.shown) is None:
            return None
        if self.selection.chart not in available_charts(self.snapshot, shown.network):
            self.selection = replace(self.selection, chart="lines")
        if self.selection.chart == "confusion":
            return self._confusion(self.snapshot, shown.network)
        if self.selection.chart not in ("lines", "bars", "table"):
            return ChartRequest(self.selection.chart, self.snapshot, shown.network, self.selection.exclude_chance)
        return self._charts.get(self.snapshot, self.selection, shown)

    def _confusion(self, snapshot: Snapshot, network: Network) -> Heat:
        """Return the confusion matrix of a network, the same object while nothing in it changes."""
        files = self._confusion_files
        arrays = self.scatters.embeddings.arrays if self.scatters else None
        known: tuple[NDArray[np.int64], NDArray[np.int64]] | str = "reading …"
        if arrays and len(files) == 2 and all(arrays.get(file) is not None for file in files):
            sample = arrays.sample(files[0])
            predicted = arrays.predicted(files[1], len(sample.labels)) if isinstance(sample, Sample) else None
            known = "its predictions cannot be read"
            if isinstance(sample, Sample) and predicted is not None:
                known = sample.labels, predicted
        key = (network.id, self.selection.class_index, *(file.sha256 for file in files), isinstance(known, str))
        if self._confusion_kept is None or self._confusion_kept[0] != key:
            self._confusion_kept = key, confusion_heat(snapshot, network, known, self.selection.class_index)
        return self._confusion_kept[1]

    @property
    def _confusion_files(self) -> tuple[SealedFile, ...]:
        """The sample and the predictions of the network shown; none where it has none."""
        network = self.network
        if self.snapshot is None or network is None:
            return ()
        sample, trained = self.snapshot.sample(network), self.snapshot.trained.get(network.id)
        return (sample.file, trained.file) if sample and trained and trained.file else ()

    def scatter(self, size: tuple[int, int], screen_width: int) -> ScatterResult | None:
        """Return the points of the selection for a panel of `size`; None where nothing is selected."""
        if self.snapshot is None or self.scatters is None or (shown := self.shown) is None:
            return None
        if self.selection.is_single:
            hint = "1 marked: space on another compares" if self.selection.compared else ""
            return self.scatters.single(self.snapshot, shown, self.selection, size, hint)
        # On a narrow screen a grid has the whole width already.
        hint = ": z shows more" if size[0] < screen_width - _MARGIN else ""
        grid = layer_grid(self.snapshot, shown, self.selection)
        result = self.scatters.grid(self.snapshot, grid, self.selection, size, shown, hint)
        self._first_panel = result.first_panel
        return result

    def load_request(
        self, scatter: ScatterResult, missing: tuple[SealedFile, ...], nodes: Iterable[NodeKey], size: tuple[int, int]
    ) -> LoadRequest | None:
        """Return what to read and compute for `scatter` and for what one key reaches, `nodes` of the tree included."""
        if self.snapshot is None or (shown := self.shown) is None:
            return None
        adjacent = adjacent_layers(self.snapshot, shown, nodes)
        missing = (*scatter.missing, *missing, *(self._confusion_files if self.selection.chart == "confusion" else ()))
        return LoadRequest(self.snapshot, self.selection, missing, scatter.tasks, adjacent, size)

    # Coming back

    def remember(self) -> dict[str, Any]:
        """Return what comes back on the next start, as plain values; nothing where nothing is selected."""
        return self.selection.to_values() if self.network else {}

    def recall(self, values: Mapping[str, Any]) -> NodeKey | None:
        """Take up what `remember` returned; a node that this study does not have leaves the present one selected."""
        if self.tree is None:
            return None
        selection = LayerSelection.from_values(values, self.tree)
        node, compared = selection.node or self.selection.node, self.selection.compared
        self._set(replace(selection, node=node, compared=compared))
        return selection.node
