"""The pictures of the layer browser, made from what is known and kept while nothing in them changes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from embcx_tui.figures.builders import layer_scatter
from embcx_tui.figures.cells import locate
from embcx_tui.figures.model import Panels, Scatter
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.events import SealedFile
from embcx_tui.study.naming import method_name
from embcx_tui.study.plan import Network
from embcx_tui.study.settings import SCORE_METHOD
from embcx_tui.tui.layers.embeddings import AlignedEmbedding, EmbeddingCache, files_of
from embcx_tui.tui.layers.messages import layer_words, points_title, trouble_words, waiting_words
from embcx_tui.tui.layers.plane import neighbour_accuracy
from embcx_tui.tui.layers.viewport import View, extent

_KEPT = 96
# Below this a panel's classes cannot be told apart.
_LEAST_PANEL = (20, 7)
_COUNTING = "10-NN acc. …"

Shot = tuple[Network, int]
"""A layer of a network."""
Vote = tuple[tuple[str, ...], bytes]
"""What an accuracy in the plane was counted over: the points, and which of them."""
Count = tuple[Vote, AlignedEmbedding, NDArray[np.bool_]]


@dataclass(frozen=True)
class Picture:
    """A figure, or `words` in its place; `wanted` are files to read before it is whole, `votes` are still to count."""

    figure: Scatter | Panels | None = None
    words: str = ""
    wanted: tuple[SealedFile, ...] = ()
    votes: tuple[Count, ...] = ()
    first: int = 0
    """Of several layers for which there is not room enough: the place of the first one shown."""


class Pictures:
    """Makes the pictures of one study; the same object again where nothing changed, since its drawing is kept by it."""

    def __init__(self, clouds: EmbeddingCache) -> None:
        self.clouds = clouds
        self._kept: OrderedDict[tuple[object, ...], Scatter | Panels] = OrderedDict()
        self._accuracies: OrderedDict[Vote, float | None] = OrderedDict()

    def count(self, vote: Vote, cloud: AlignedEmbedding, shown: NDArray[np.bool_]) -> None:
        """Count how often neighbours in the plane agree (30 ms for 1,000 points: not on the loop)."""
        self._accuracies[vote] = neighbour_accuracy(cloud.points[shown], cloud.sample.labels[shown])
        if len(self._accuracies) > _KEPT:
            self._accuracies.popitem(last=False)

    def single(
        self, snapshot: Snapshot, network: Network, layer: int, view: View, size: tuple[int, int], hint: str = ""
    ) -> Picture:
        """Return the points of one layer with a note on what is seen of them at this size."""
        found = self._cloud(snapshot, (network, layer), view.method)
        if isinstance(found, Picture):
            return found
        title = points_title(network, layer)
        if view.method != SCORE_METHOD:
            title += f" · {method_name(view.method)}"
        seen = view.shown(found)
        seen = np.ones(len(found.points), dtype=bool) if seen is None else seen
        if not seen.any():
            return Picture(words=_nothing_left(view))
        if view.rect is not None:
            # What lies beside the rectangle but within the panel is seen too.
            draft = self._scatter(snapshot, network, found, view, title, _COUNTING)
            seen = seen & (locate(draft, *size)[:, 0] >= 0)
        vote: Vote = (found.key, np.packbits(seen).tobytes())
        known = vote in self._accuracies
        note = _note(found, view, seen, self._accuracies.get(vote) if known else None, known)
        note = " · ".join(filter(None, [hint, note]))
        picture = self._scatter(snapshot, network, found, view, title, note)
        return Picture(picture, votes=() if known else ((vote, found, seen),))

    def several(
        self,
        snapshot: Snapshot,
        shots: Sequence[tuple[Shot, str]],
        view: View,
        title: str,
        width: int,
        height: int,
        chosen: int | None = None,
        more: str = "",
    ) -> Picture:
        """Return several layers as a grid, each under its name, the one at place `chosen` marked and always shown.

        What is not measured says so; where not all fit, the title says how many, and `more` what helps.
        """
        columns, fitting = _columns(len(shots), width, height)
        first = 0 if chosen is None else max(min(chosen - fitting // 2, len(shots) - fitting), 0)
        chosen = None if chosen is None else chosen - first
        wanted: list[SealedFile] = []
        figures: list[Scatter] = []
        key: list[object] = [title, columns, chosen]
        for (network, layer), name in shots[first : first + fitting]:
            found = self._cloud(snapshot, (network, layer), view.method)
            if isinstance(found, AlignedEmbedding):
                figures.append(self._scatter(snapshot, network, found, view, name, ""))
                key.append(id(figures[-1]))
                continue
            wanted.extend(found.wanted)
            words = found.words.partition("\n")[2] or found.words or "reading …"
            loaded = snapshot.datasets.get(network.dataset)
            empty = np.empty((0, 2), dtype=np.float32)
            classes = loaded.classes if loaded else ()
            figures.append(layer_scatter(empty, np.empty(0), classes, title=name, note=words))
            key += [name, words]
        left_out = len(shots) - fitting
        if left_out:
            title += f" · {left_out} of {len(shots)} do not fit{more}"
        known = self._kept.get(tuple(key))
        panels = known or self._keep(tuple(key), Panels(title, tuple(figures), columns, chosen=chosen))
        return Picture(panels, wanted=tuple(wanted), first=first)

    def _cloud(self, snapshot: Snapshot, shot: Shot, method: str) -> AlignedEmbedding | Picture:
        network, layer = shot
        files = files_of(snapshot, network, layer, method)
        if files is None:
            words = trouble_words(snapshot, network, layer) or waiting_words(snapshot, network)
            if method != SCORE_METHOD and files_of(snapshot, network, layer):
                words = f"not measured by {method_name(method)}; t shows another method"
            return Picture(words=f"{layer_words(network, layer).capitalize()}\n{words}")
        found = self.clouds.cloud(files)
        if found is None:
            return Picture(wanted=files.all)
        if isinstance(found, str):
            return Picture(words=f"These points cannot be shown.\n{found}")
        return found

    def _scatter(
        self, snapshot: Snapshot, network: Network, cloud: AlignedEmbedding, view: View, title: str, note: str
    ) -> Scatter:
        row = view.row(cloud, network.dataset)
        key = (cloud.key, view.isolated, view.missed, view.rect, row, title, note)
        known = self._kept.get(key)
        if isinstance(known, Scatter):
            self._kept.move_to_end(key)
            return known
        loaded = snapshot.datasets.get(network.dataset)
        highest = int(cloud.sample.labels.max(initial=0))
        classes = loaded.classes if loaded else tuple(str(one) for one in range(highest + 1))
        made = layer_scatter(
            cloud.points,
            cloud.sample.labels,
            classes,
            title=title,
            note=note,
            chosen=row,
            shown=view.shown(cloud),
            view=view.rect,
        )
        # The very arrays, not their copies: a flight knows by them what has changed.
        made = replace(made, points=cloud.points, labels=cloud.sample.labels)
        self._keep(key, made)
        return made

    def _keep(self, key: tuple[object, ...], made: Scatter | Panels) -> Scatter | Panels:
        self._kept[key] = made
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return made


def _nothing_left(view: View) -> str:
    what = "misclassified point" if view.missed else "point"
    where = f"class {view.isolated} of the legend" if view.isolated is not None else "this sample"
    return f"No {what} is left.\nThere is none in {where}; a shows all."


def _note(cloud: AlignedEmbedding, view: View, seen: NDArray[np.bool_], accuracy: float | None, counted: bool) -> str:
    """Return what is seen, in words: how well neighbours in the plane agree, and what has been left out."""
    parts = [_COUNTING if not counted else f"10-NN acc. {100 * accuracy:.1f} %" if accuracy is not None else ""]
    n = int(seen.sum())
    if view.missed and cloud.missed is None:
        parts.append("this network's answers are not known")
    elif view.missed:
        parts.append(f"{n:,} misclassified")
    elif n < len(seen):
        parts.append(f"{n:,} of {len(seen):,} points")
    if view.rect is not None:
        parts.append(f"zoom ×{view.magnification(extent(cloud)):.1f}")
    return " · ".join(filter(None, parts))


def _columns(count: int, width: int, height: int) -> tuple[int, int]:
    """Return (columns, how many fit) for `count` panels: as large as they can be, none too small to read."""
    width, height = max(width, 1), max(height - 2, 1)
    most_across, most_down = max(width // _LEAST_PANEL[0], 1), max(height // _LEAST_PANEL[1], 1)
    fitting = min(count, most_across * most_down)

    def size(columns: int) -> float:
        rows = -(-fitting // columns)
        # Points fill a square: a cell is twice as high as wide.
        return min(width / columns, 2 * (height / rows)) if rows <= most_down else 0.0

    columns = max(range(1, min(most_across, fitting) + 1), key=lambda c: (size(c), -c))
    return columns, fitting
