"""The panel of the chosen point: its image, what it is, what the network takes it for, what is near it."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcx_tui.figures.cells import Row
from embcx_tui.figures.palette import colour, signs
from embcx_tui.study.text import safe_text
from embcx_tui.tui.layers.embeddings import AlignedEmbedding
from embcx_tui.tui.layers.plane import nearest_to
from embcx_tui.tui.layers.thumbnails import half_blocks, image_of
from embcx_tui.tui.widgets.line_widget import Ink, LineWidget, fit, fit_row, span

NEIGHBOURS = 10
# Below 9 columns and 4 rows digits are no longer recognised; wider panels show larger images, not more.
_BESIDE_COLUMNS, _LEAST_BESIDE, _MOST_BESIDE = 10, 4, 4
_LEAST_IMAGE = 8
_BOLD = "bold: near in both"
NO_POINT = "No point is chosen.\np chooses one; so does a click on it."


Near = tuple[tuple[int, bool], ...]
"""Near points, nearest first: the class of each, and whether it is also near where it is compared with."""


@dataclass(frozen=True)
class PointFacts:
    """What is known of one point."""

    index: int
    label: int
    predicted: int | None
    classes: tuple[str, ...]
    plane: Near
    """The nearest in the plane; which of them are near in the layer too (all, where that is not known)."""
    layer: Near
    """The nearest among the layer's activations, and which of them the plane keeps near; empty: not known."""
    alike: Near
    """The nearest as inputs, and which of them are near in the plane too; empty: not known, or told by `layer`."""
    image: NDArray[np.float64] | None
    beside: tuple[NDArray[np.float64], ...]
    """Images of the first of `layer`."""
    values: int
    """How many numbers the input is made of."""


def facts_of(
    cloud: AlignedEmbedding,
    row: int,
    classes: tuple[str, ...],
    inputs: NDArray[Any] | None,
    shape: tuple[int, int, int] | None,
    alike: tuple[int, ...] = (),
) -> PointFacts:
    """Return what the panel shows of point `row`; `alike` are the rows nearest to it as `inputs` [n, d] of `shape`."""
    labels = cloud.sample.labels
    plane = nearest_to(cloud.points, row, NEIGHBOURS)
    layer = () if cloud.neighbours is None else tuple(int(one) for one in cloud.neighbours[row])

    def near(rows: tuple[int, ...], others: tuple[int, ...]) -> Near:
        return tuple((int(labels[one]), one in others) for one in rows)

    pictured = () if inputs is None else (image_of(inputs, one, shape) for one in layer[:_MOST_BESIDE])
    return PointFacts(
        int(cloud.sample.index[row]),
        int(labels[row]),
        None if cloud.predicted is None else int(cloud.predicted[row]),
        classes,
        near(plane, layer or plane),
        near(layer, plane),
        near(alike, plane),
        None if inputs is None else image_of(inputs, row, shape),
        tuple(image for image in pictured if image is not None),
        0 if inputs is None else inputs.shape[1],
    )


class PointPanel(LineWidget):
    """Shows one point, or `words` where none can be shown."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._facts: PointFacts | None = None
        self._words = NO_POINT

    def show(self, facts: PointFacts | None, words: str = NO_POINT) -> None:
        self._facts, self._words = facts, words
        self.repaint()

    def paint(self, width: int, height: int, ink: Ink) -> tuple[Row, ...]:
        if self._facts is None:
            first, *rest = self._words.splitlines() or [""]
            wrapped = [line for text in rest for line in textwrap.wrap(text, max(width, 8))]
            return ((span(fit(first, width)),), *((span(line, ink.muted),) for line in wrapped))
        facts = self._facts
        head, layer, tail = _words(facts, width, ink)
        room = height - len(head) - len(layer) - len(tail) - 1
        # What bold means is worth a row of the image where that stays recognisable.
        kept = int(bool(layer) and room > _LEAST_IMAGE)
        room -= kept
        image = () if facts.image is None or room < 3 else (*half_blocks(facts.image, width, room, ink.look), ())
        left = room + 1 - len(image)
        # Only what the point's own image leaves free.
        beside = _side_by_side(facts.beside, width, left, ink) if left >= _LEAST_BESIDE else ()
        told = ((span(fit(_BOLD, width), ink.muted),),) if layer and left + kept > len(beside) else ()
        return (*image, *head, *layer, *beside, *tail, *told)


def _side_by_side(images: tuple[NDArray[np.float64], ...], width: int, height: int, ink: Ink) -> tuple[Row, ...]:
    """Return as many images as can be recognised beside each other."""
    across = max((width + 1) // _BESIDE_COLUMNS, 1)
    each = (width + 1) // across - 1
    drawn = [half_blocks(image, each, height, ink.look) for image in images[:across]]
    return tuple(tuple(one for part in parts for one in fit_row(part, each + 1)) for parts in zip(*drawn, strict=True))


def _words(facts: PointFacts, width: int, ink: Ink) -> tuple[tuple[Row, ...], tuple[Row, ...], tuple[Row, ...]]:
    """Return what is said of a point, of what is near it in the layer, and of what is near it elsewhere."""
    glyphs = (*signs(facts.classes), "?")

    def name(label: int) -> str:
        return safe_text(facts.classes[label], 40) if 0 <= label < len(facts.classes) else "?"

    def class_row(word: str, label: int, sign: str = "", warn: bool = False) -> Row:
        mark = span("● ", colour(label)) if ink.look.colours else span("")
        text = fit(name(label), max(width - 12 - len(sign), 1)).rstrip()
        return (
            span(f"{word:<10}", ink.muted),
            mark,
            span(text, bold=True),
            span(sign, ink.error if warn else ink.success),
        )

    def near(heading: str, points: Near) -> tuple[Row, ...]:
        if not points:
            return ()
        shown = [(one if 0 <= one < len(facts.classes) else -1, both) for one, both in points[: (width + 1) // 2]]
        row = tuple(
            span(f"{glyphs[one]} ", colour(one) if both else ink.muted, bold=both, dim=not (both or ink.look.colours))
            for one, both in shown
        )
        return ((span(fit(heading, width), ink.muted),), row)

    head: list[Row] = [class_row("is", facts.label)]
    if facts.predicted is None:
        head.append((span(fit("what the network takes it for is not known", width), ink.muted),))
    else:
        right = facts.predicted == facts.label
        head.append(class_row("taken for", facts.predicted, " ✓" if right else " ✗", not right))
    head.append((span(f"{'training':<10}", ink.muted), span(f"input {facts.index:,}")))
    if facts.image is None and facts.values:
        head.append((span(f"{'no image':<10}", ink.muted), span(f"{facts.values:,} values")))
    kept, shared = sum(both for _, both in facts.layer), sum(both for _, both in facts.alike)
    whole = f"near in the layer, {kept} of {len(facts.layer)} kept"
    return (
        (*head, *near("near in the plane", facts.plane)),
        near(whole if len(whole) <= width else f"near in the layer, {kept} kept", facts.layer),
        near(f"near as inputs, {shared} shared", facts.alike),
    )
