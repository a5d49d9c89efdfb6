"""The scatters of the layer browser: made from arrays that are read, and kept while nothing in them changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from embcx_tui.figures.builders import layer_scatter
from embcx_tui.figures.cells import locate
from embcx_tui.figures.model import Panels, Scatter
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.events import SealedFile
from embcx_tui.study.naming import full_layer_name, method_name, short_labels
from embcx_tui.study.plan import Network
from embcx_tui.study.settings import SCORE_METHOD
from embcx_tui.tui.latest_request import LatestRequest
from embcx_tui.tui.layers.array_cache import ArrayCache
from embcx_tui.tui.layers.by_class import class_table
from embcx_tui.tui.layers.embeddings import (
    NEIGHBOURS,
    AlignedEmbedding,
    EmbeddingCache,
    embedding_files,
    measured_at,
    nearest_to,
    neighbour_accuracy,
)
from embcx_tui.tui.layers.selection import LayerSelection, NetworkLayer, NodeKey, node_key_of
from embcx_tui.tui.layers.wording import (
    caption,
    layer_words,
    points_title,
    trouble_words,
    waiting_words,
)
from embcx_tui.tui.lru_cache import LruCache

_KEPT = 96
# In a smaller panel classes cannot be told apart.
_LEAST_PANEL = (20, 7)
# Characters of a layer's name above its panel, beside its score.
_NAME_IN_GRID = 9
_COUNTING = "10-NN acc. …"

AccuracyKey = tuple[tuple[str, ...], bytes]
"""An embedding's key, and the mask of the points that are visible, packed to bits."""


class AccuracyTask(NamedTuple):
    """An accuracy in the plane that is still to be computed, over the points of `mask` [n]."""

    key: AccuracyKey
    embedding: AlignedEmbedding
    mask: NDArray[np.bool_]

    def compute(self) -> float | None:
        """Return it; 12 ms for 1,000 points, 30 ms on a busy machine: not on the event loop."""
        return neighbour_accuracy(self.embedding.points[self.mask], self.embedding.sample.labels[self.mask])


@dataclass(frozen=True)
class ScatterResult:
    """A figure or the words in its place, and what is needed before it is complete.

    Parameters
    ----------
    missing : files that have to be read
    tasks : accuracies that have to be computed for its note
    first_panel : index of the first panel shown where there is not room for all
    """

    figure: Scatter | Panels | None = None
    words: str = ""
    missing: tuple[SealedFile, ...] = ()
    tasks: tuple[AccuracyTask, ...] = ()
    first_panel: int = 0


@dataclass(frozen=True)
class LayerGrid:
    """Several layers to show side by side, each under its caption."""

    title: str
    layers: tuple[NetworkLayer, ...]
    captions: tuple[str, ...]


def layer_grid(snapshot: Snapshot, shown: NetworkLayer, selection: LayerSelection) -> LayerGrid:
    """Return the layers that a grid or a comparison shows side by side."""
    network, layer = shown
    if selection.grid == "layers":
        layers = [NetworkLayer(network, number) for number in network.layers]
        names = [full_layer_name(network, number, _NAME_IN_GRID) for number in network.layers]
        control = f" {network.control}" if network.control else ""
        title = f"All layers · {network.activation}{control}, run {network.run}"
    elif selection.grid == "activations":
        same = replace(node_key_of(network), activation=None)
        layers = [NetworkLayer(other, layer) for other in snapshot.plan.networks if same.contains(other)]
        names = [target.network.activation for target in layers]
        title = f"Layer {layer} of {network.depth} · run {network.run}" if layer else f"Input · run {network.run}"
    elif selection.grid == "runs":
        same = replace(node_key_of(network), run=None)
        layers = [NetworkLayer(other, layer) for other in snapshot.plan.networks if same.contains(other)]
        names = [f"run {target.network.run}" for target in layers]
        control = f" {network.control}" if network.control else ""
        title = f"All runs · {network.activation}{control}, {layer_words(network, layer)}"
    else:
        layers = [NetworkLayer(other, min(layer, other.depth)) for other in selection.compared]
        names = list(short_labels(selection.compared))
        title = f"{f'Layer {layer}' if layer else 'Input'} · {len(layers)} marked"
    scored = (measured_at(snapshot, *target, epoch=selection.epoch) for target in layers)
    captions = (caption(name, measured) for name, measured in zip(names, scored, strict=True))
    return LayerGrid(title, tuple(layers), tuple(captions))


def adjacent_layers(snapshot: Snapshot, shown: NetworkLayer, nodes: Iterable[NodeKey]) -> tuple[NetworkLayer, ...]:
    """Return the layers before and after the one shown, and this layer of the networks of `nodes`."""
    network, layer = shown
    others = (node.network(snapshot.plan) for node in nodes)
    adjacent = [NetworkLayer(network, layer + 1), NetworkLayer(network, layer - 1)]
    adjacent += [NetworkLayer(other, min(layer, other.depth)) for other in others if other]
    return tuple(target for target in adjacent if target.layer in target.network.layers)


class ScatterCache:
    """Makes the scatters of one study, the same object again where nothing changed: the canvas keeps its drawing."""

    def __init__(self, paths: StudyPaths) -> None:
        self.embeddings = EmbeddingCache(ArrayCache(paths))
        self._figures = LruCache[tuple[object, ...], Scatter | Panels](_KEPT)
        self._accuracies = LruCache[AccuracyKey, float | None](_KEPT)

    async def compute(self, task: AccuracyTask) -> None:
        """Compute an accuracy in a thread and keep it."""
        self._accuracies[task.key] = await asyncio.to_thread(task.compute)

    def single(
        self,
        snapshot: Snapshot,
        target: NetworkLayer,
        selection: LayerSelection,
        size: tuple[int, int],
        hint: str = "",
    ) -> ScatterResult:
        """Return the points of one layer, with a note on what is visible of them at `size` (columns, rows)."""
        embedding = self._embedding(snapshot, target, selection)
        if isinstance(embedding, ScatterResult):
            return embedding
        network, layer = target
        title = points_title(network, layer)
        measured = measured_at(snapshot, *target, selection.method, selection.epoch)
        if measured and measured.epoch is not None:
            title = caption(title, measured)
        if selection.method != SCORE_METHOD:
            title += f" · {method_name(selection.method)}"
        mask = selection.mask(embedding)
        visible = np.ones(len(embedding.points), dtype=bool) if mask is None else mask
        if not visible.any():
            return ScatterResult(words=_nothing_left(selection))
        if selection.viewport.rect is not None:
            # The panel shows more than the rectangle where its sides are in another ratio.
            draft = self._scatter(snapshot, network, embedding, selection, title, _COUNTING)
            visible = visible & (locate(draft, *size)[:, 0] >= 0)
        key: AccuracyKey = (embedding.key, np.packbits(visible).tobytes())
        computed = key in self._accuracies
        accuracy = f"{100 * value:.1f} %" if (value := self._accuracies.get(key)) is not None else ""
        words = _COUNTING if not computed else f"10-NN acc. {accuracy}" if accuracy else ""
        note = " · ".join(filter(None, [hint, words, *_visible_words(embedding, selection, visible)]))
        figure = self._scatter(snapshot, network, embedding, selection, title, note)
        return ScatterResult(figure, tasks=() if computed else (AccuracyTask(key, embedding, visible),))

    def grid(
        self,
        snapshot: Snapshot,
        grid: LayerGrid,
        selection: LayerSelection,
        size: tuple[int, int],
        selected: NetworkLayer | None = None,
        hint: str = "",
    ) -> ScatterResult:
        """Return several layers side by side, the `selected` one marked and always among those shown.

        A panel that is not measured says so. Where not all fit `size`, the title says how many do not, followed by
        `hint`.
        """
        columns, fitting = _layout(len(grid.layers), *size)
        first, marked = 0, None
        if selected is not None and selected in grid.layers:
            index = grid.layers.index(selected)
            first = max(min(index - fitting // 2, len(grid.layers) - fitting), 0)
            marked = index - first
        missing: list[SealedFile] = []
        panels: list[Scatter] = []
        key: list[object] = [grid.title, columns, marked]
        for target, name in list(zip(grid.layers, grid.captions, strict=True))[first : first + fitting]:
            embedding = self._embedding(snapshot, target, selection)
            if isinstance(embedding, AlignedEmbedding):
                panels.append(self._scatter(snapshot, target.network, embedding, selection, name, ""))
                key.append(id(panels[-1]))
                continue
            missing.extend(embedding.missing)
            words = embedding.words.partition("\n")[2] or embedding.words or "reading …"
            loaded = snapshot.datasets.get(target.network.dataset)
            classes = loaded.classes if loaded else ()
            empty = np.empty((0, 2), dtype=np.float32)
            panels.append(layer_scatter(empty, np.empty(0), classes, title=name, note=words))
            key += [name, words]
        title, left_out = grid.title, len(grid.layers) - fitting
        if left_out:
            title += f" · {left_out} of {len(grid.layers)} do not fit{hint}"
        figure = self._figures.get(tuple(key))
        if figure is None:
            figure = self._figures[tuple(key)] = Panels(title, tuple(panels), columns, chosen=marked)
        return ScatterResult(figure, missing=tuple(missing), first_panel=first)

    def _embedding(
        self, snapshot: Snapshot, target: NetworkLayer, selection: LayerSelection
    ) -> AlignedEmbedding | ScatterResult:
        """Return the points of a layer, or the words and missing files that stand for them."""
        (network, layer), method = target, selection.method
        files = embedding_files(snapshot, network, layer, method, selection.epoch)
        if files is None:
            words = trouble_words(snapshot, network, layer) or waiting_words(snapshot, network)
            if method != SCORE_METHOD and embedding_files(snapshot, network, layer):
                words = f"not measured by {method_name(method)}; t shows another method"
            what = layer_words(network, layer)
            return ScatterResult(words=f"{what[0].upper()}{what[1:]}\n{words}")
        embedding = self.embeddings.embedding(files)
        if embedding is None:
            return ScatterResult(missing=files.all)
        if isinstance(embedding, str):
            return ScatterResult(words=f"These points cannot be shown.\n{embedding}")
        return embedding

    def _scatter(
        self,
        snapshot: Snapshot,
        network: Network,
        embedding: AlignedEmbedding,
        selection: LayerSelection,
        title: str,
        note: str,
    ) -> Scatter:
        row = selection.row(embedding, network.input_set)
        key = (
            *(embedding.key, selection.class_index, selection.misclassified, selection.viewport.rect, row, title, note),
            *(selection.grid is None, selection.is_single),
        )
        if isinstance(kept := self._figures.get(key), Scatter):
            return kept
        labels, loaded = embedding.sample.labels, snapshot.datasets.get(network.dataset)
        classes = loaded.classes if loaded else tuple(str(one) for one in range(int(labels.max(initial=0)) + 1))
        mask = selection.mask(embedding)
        figure = layer_scatter(
            embedding.points,
            labels,
            classes,
            title=title,
            note=note,
            chosen=row,
            shown=mask,
            view=selection.viewport.rect,
            key=embedding.sample.sha256,
        )
        figure = replace(figure, context=mask is not None, taken=_taken(embedding, mask))
        if selection.is_single:
            heads, table = class_table(embedding, len(classes))
            figure = replace(figure, heads=heads, table=table)
        if row is not None and selection.grid is None:
            near = () if embedding.neighbours is None else embedding.neighbours[row].tolist()
            plane = nearest_to(embedding.points, row, NEIGHBOURS)
            figure = replace(figure, near_layer=tuple(near), near_plane=plane)
        self._figures[key] = figure
        return figure


@dataclass(frozen=True, eq=False)
class LoadRequest:
    """What to read and compute for the scatter on the screen, and then for the `adjacent` layers.

    `size` is that of the panel, (columns, rows).
    """

    snapshot: Snapshot
    selection: LayerSelection
    missing: tuple[SealedFile, ...]
    tasks: tuple[AccuracyTask, ...]
    adjacent: tuple[NetworkLayer, ...]
    size: tuple[int, int]


class ScatterLoader:
    """Reads and computes in threads what scatters need; `loaded` is called when the one on the screen has changed.

    The adjacent layers are what one key reaches. They have their turn while nothing else is requested.
    """

    def __init__(self, scatters: ScatterCache, loaded: Callable[[], None]) -> None:
        self._scatters, self._loaded = scatters, loaded
        self._latest = LatestRequest(self._load)
        self.submit = self._latest.submit
        self.run = self._latest.run

    async def _load(self, request: LoadRequest) -> None:
        arrays = self._scatters.embeddings.arrays
        if await arrays.fetch(request.missing):
            self._loaded()
        elif request.tasks:
            for task in request.tasks:
                await self._scatters.compute(task)
            self._loaded()
        else:
            await self._load_adjacent(request)

    async def _load_adjacent(self, request: LoadRequest) -> None:
        snapshot, selection = request.snapshot, request.selection
        files = (embedding_files(snapshot, *target, selection.method, selection.epoch) for target in request.adjacent)
        await self._scatters.embeddings.arrays.fetch([file for one in files if one for file in one.all])
        # In a grid no accuracies are shown, and those of a part depend on the part.
        if self._latest.waiting or not selection.is_single or selection.viewport.rect:
            return
        results = [self._scatters.single(snapshot, target, selection, request.size) for target in request.adjacent]
        for task in (task for result in results for task in result.tasks):
            if not self._latest.waiting:
                await self._scatters.compute(task)


def _taken(embedding: AlignedEmbedding, mask: NDArray[np.bool_] | None) -> NDArray[np.int64] | None:
    """Return what each misclassified point that is not dimmed is taken for [n], -1: a dot; None: none is dimmed."""
    if mask is None or embedding.misclassified is None or embedding.predicted is None:
        return None
    return np.where(embedding.misclassified & mask, embedding.predicted, -1)


def _nothing_left(selection: LayerSelection) -> str:
    what = "misclassified point" if selection.misclassified else "point"
    where = f"class {selection.class_index} of the legend" if selection.class_index is not None else "this sample"
    return f"No {what} is left.\nThere is none in {where}; a shows all."


def _visible_words(embedding: AlignedEmbedding, selection: LayerSelection, visible: NDArray[np.bool_]) -> list[str]:
    """Return the parts of a note on which points are visible."""
    parts = []
    n = int(visible.sum())
    if selection.misclassified and embedding.misclassified is None:
        parts.append("this network's predictions are not known")
    elif selection.misclassified:
        parts.append(f"{n:,} misclassified")
    elif n < len(visible):
        parts.append(f"{n:,} of {len(visible):,} points")
    if selection.viewport.rect is not None:
        parts.append(f"zoom ×{selection.viewport.magnification(embedding.bounds):.1f}")
    return parts


def _layout(count: int, width: int, height: int) -> tuple[int, int]:
    """Return (columns, how many fit) for `count` panels: as large as they can be, none too small to read."""
    width, height = max(width, 1), max(height - 2, 1)
    most_across, most_down = max(width // _LEAST_PANEL[0], 1), max(height // _LEAST_PANEL[1], 1)
    fitting = min(count, most_across * most_down)

    def size(columns: int) -> float:
        rows = -(-fitting // columns)
        # Points fill a square, and a cell is twice as high as wide.
        return min(width / columns, 2 * (height / rows)) if rows <= most_down else 0.0

    columns = max(range(1, min(most_across, fitting) + 1), key=lambda c: (size(c), -c))
    return columns, fitting
