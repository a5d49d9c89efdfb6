"""The panel of the chosen point: its image, what it is, what the network predicts, and what is near it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from embcx_tui.figures.cells.scatter import ring
from embcx_tui.figures.palette import signs
from embcx_tui.figures.spans import Look, Row, Span
from embcx_tui.study.text import safe_text
from embcx_tui.tui.layers.point_facts import Near, PointFacts
from embcx_tui.tui.widgets.line_widget import Ink, LineWidget, fit, fit_row, span

# An image of a neighbour takes this many columns with its gap; digits cannot be recognised in fewer than 9 by 4 rows.
_NEIGHBOUR_COLUMNS, _LEAST_NEIGHBOUR_ROWS = 10, 4
_LEAST_IMAGE_ROWS = 8
# So many greys has an image where few colours are wanted: digits and street numbers stay recognisable.
_GREYS = 8
_WORD_COLUMNS = 10
# The label, the predicted class and the sample's number, where they stand beside the image, and their rows.
_TEXT_COLUMNS, _HEAD_ROWS = 13, 3
_BOLD = "bold: near in both"
NO_POINT = "No point is chosen.\np chooses one; so does a click on it."
_SHADES = " ░▒▓█"
_ASCII_SHADES = " .:*#"


class PointPanel(LineWidget):
    """Shows one point, or `words` where none can be shown."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._facts: PointFacts | None = None
        self._words = NO_POINT
        self._with_mean = False

    def show(self, facts: PointFacts | None, words: str = NO_POINT, *, with_mean: bool = False) -> None:
        """Show a point; `with_mean`: the mean image of its class beside its own, whatever else there is room for."""
        self._facts, self._words, self._with_mean = facts, words, with_mean
        self.repaint()

    def paint(self, width: int, height: int, ink: Ink) -> tuple[Row, ...]:
        if self._facts is None:
            first, *rest = self._words.splitlines() or [""]
            wrapped = [line for text in rest for line in textwrap.wrap(text, max(width, 8))]
            return ((span(fit(first, width)),), *((span(line, ink.muted),) for line in wrapped))
        facts = self._facts
        plane, layer, tail = _neighbours(facts, width, ink)
        room = height - len(plane) - len(layer) - len(tail)
        # The line that explains bold is worth a row of the image while the image stays recognisable.
        legend = int(bool(layer) and room - _HEAD_ROWS - 1 > _LEAST_IMAGE_ROWS)
        groups = [images for images in (facts.plane_images, facts.layer_images) if images]
        top = _top(facts, width, room - legend, _LEAST_NEIGHBOUR_ROWS * len(groups), self._with_mean, ink)
        # Neighbours get only what the point itself leaves free.
        free = room - legend - len(top)
        rows = free // len(groups) if groups else 0
        of_plane, of_layer = (
            _side_by_side(images, width, rows, ink) for images in (facts.plane_images, facts.layer_images)
        )
        free -= len(of_plane) + len(of_layer)
        means = _means(facts, width, free, ink) if not self._with_mean else ()
        free += legend - len(means)
        explained = ((span(fit(_BOLD, width), ink.muted),),) if layer and free else ()
        return (*top, *plane, *of_plane, *layer, *of_layer, *tail, *means, *explained)


def _top(facts: PointFacts, width: int, room: int, wanted: int, with_mean: bool, ink: Ink) -> tuple[Row, ...]:
    """Return the point's own image and what it is: beside each other where that leaves `wanted` rows and else nothing
    would.
    """
    head = _head(facts, width, ink)
    if facts.image is None or room - len(head) < 4:
        return head
    if with_mean and facts.means and width >= 2 * _NEIGHBOUR_COLUMNS:
        label, mean = facts.means[0]
        columns = (width - 1) // 2
        both = [half_blocks(image, columns, room - len(head) - 2, ink.look) for image in (facts.image, mean)]
        names = (
            span(fit("this one", columns + 1), ink.muted),
            span(fit(f"mean of {_name(facts, label)}", columns), ink.muted),
        )
        return (*_beside(both, columns), names, (), *head)
    image = half_blocks(facts.image, width, room - len(head) - 1, ink.look)
    beside = width - _TEXT_COLUMNS - 1
    if beside >= _NEIGHBOUR_COLUMNS and room - len(image) - 1 - len(head) < wanted <= room - beside // 2 - 1:
        image = half_blocks(facts.image, beside, beside // 2, ink.look)
        text = _narrow_head(facts, ink)
        rows = max(len(image), len(text))
        image, text = ((*part, *[()] * (rows - len(part))) for part in (image, text))
        return (*((*fit_row(one, beside + 1), *other) for one, other in zip(image, text, strict=True)), ())
    return (*image, (), *head)


def _means(facts: PointFacts, width: int, free: int, ink: Ink) -> tuple[Row, ...]:
    """Return the mean images of the point's class and of the one that it is taken for, where there is room."""
    if not facts.means or free <= _LEAST_NEIGHBOUR_ROWS:
        return ()
    names = ", ".join(_name(facts, label) for label, _ in facts.means)
    images = _side_by_side(tuple(image for _, image in facts.means), width, free - 1, ink)
    return ((span(fit(f"mean of class {names}", width), ink.muted),), *images)


def _side_by_side(images: tuple[NDArray[np.float64], ...], width: int, height: int, ink: Ink) -> tuple[Row, ...]:
    """Return as many images as have room beside and below each other, each large enough to be recognised."""
    if not images or height < _LEAST_NEIGHBOUR_ROWS:
        return ()
    across = max((width + 1) // _NEIGHBOUR_COLUMNS, 1)
    columns = (width + 1) // across - 1
    rows: list[Row] = []
    for first in range(0, len(images), across):
        if height - len(rows) < _LEAST_NEIGHBOUR_ROWS:
            break
        drawn = [half_blocks(image, columns, height - len(rows), ink.look) for image in images[first : first + across]]
        if first and len(drawn[0]) < _LEAST_NEIGHBOUR_ROWS:
            break
        rows += _beside(drawn, columns)
    return tuple(rows)


def _beside(images: Sequence[tuple[Row, ...]], columns: int) -> tuple[Row, ...]:
    """Return drawn images of equal height beside each other, `columns` and a blank for each."""
    last = len(images) - 1
    return tuple(
        tuple(span for place, row in enumerate(rows) for span in fit_row(row, columns + (place < last)))
        for rows in zip(*images, strict=True)
    )


def _name(facts: PointFacts, label: int) -> str:
    return safe_text(facts.classes[label], 40) if 0 <= label < len(facts.classes) else "?"


def _head(facts: PointFacts, width: int, ink: Ink) -> tuple[Row, ...]:
    """Return the rows on the point itself."""

    def class_row(word: str, label: int, sign: str = "", warn: bool = False) -> Row:
        mark = span("● ", ink.look.class_colour(label)) if ink.look.colours else span("")
        text = fit(_name(facts, label), max(width - _WORD_COLUMNS - 2 - len(sign), 1)).rstrip()
        return (
            span(f"{word:<{_WORD_COLUMNS}}", ink.muted),
            mark,
            span(text, bold=True),
            span(sign, ink.error if warn else ink.success),
        )

    head: list[Row] = [class_row("label", facts.label)]
    if facts.predicted is None:
        head.append((span(f"{'predicted':<{_WORD_COLUMNS}}", ink.muted), span("unknown")))
    else:
        right = facts.predicted == facts.label
        head.append(class_row("predicted", facts.predicted, " ✓" if right else " ✗", not right))
    word = "training" if facts.source == "train" else "test"
    head.append((span(f"{word:<{_WORD_COLUMNS}}", ink.muted), span(f"sample {facts.index:,}")))
    if facts.image is None and facts.values:
        head.append((span(f"{'no image':<{_WORD_COLUMNS}}", ink.muted), span(f"{facts.values:,} values")))
    return tuple(head)


def _narrow_head(facts: PointFacts, ink: Ink) -> tuple[Row, ...]:
    """Return the rows on the point itself beside its image: each word above what it is."""
    rows: list[Row] = []
    for word, *rest in _head(facts, _TEXT_COLUMNS + _WORD_COLUMNS, ink):
        rows.append((span(fit(word.text.rstrip(), _TEXT_COLUMNS), ink.muted),))
        rows += [fit_row(tuple(rest), _TEXT_COLUMNS)] if rest else []
    return tuple(rows)


def _neighbours(facts: PointFacts, width: int, ink: Ink) -> tuple[tuple[Row, ...], tuple[Row, ...], tuple[Row, ...]]:
    """Return the rows on the neighbours in the plane, in the layer and as inputs: a heading and their classes."""
    glyphs = (*signs(facts.classes), "?")

    def near(heading: str, points: Near, mark: str = "") -> tuple[Row, ...]:
        if not points:
            return ()
        signs_of = [(label if 0 <= label < len(facts.classes) else -1, both) for label, both in points]
        row = tuple(
            span(
                f"{glyphs[sign]} ",
                ink.look.class_colour(sign) if both else ink.muted,
                bold=both,
                dim=not (both or ink.look.colours),
            )
            for sign, both in signs_of[: (width + 1) // 2]
        )
        return ((span(fit(f"{heading}{mark}", width), ink.muted),), row)

    kept, shared = sum(both for _, both in facts.layer), sum(both for _, both in facts.similar)
    short = f"in layer, {kept} in plane"
    headings = (
        f"neighbours in layer, {kept} of {len(facts.layer)} also in plane",
        f"in layer, {kept} also in plane",
    )
    heading = next((words for words in headings if len(words) <= width - 3), short)
    unicode = ink.look.unicode
    return (
        near("neighbours in plane", facts.plane, f"  {ring((False, True), unicode)}"),
        near(
            heading,
            facts.layer,
            f"  {ring((True, False), unicode)}",
        ),
        near(f"in input, {shared} also in layer", facts.similar),
    )


def _cells(shape: tuple[int, int], width: int, height: int) -> tuple[int, int]:
    """Return (columns, rows) of cells for an image of `shape` within `width` × `height` cells, its pixels square."""
    rows, columns = shape
    scale = min(width / columns, 2 * height / rows)
    if scale >= 1:
        # Whole pixels stay sharp; an image of few is better seen in one and a half.
        scale = int(scale) if scale >= 2 else int(2 * scale) / 2
    return max(round(columns * scale), 1), max(-(-round(rows * scale) // 2), 1)


def half_blocks(image: NDArray[np.float64], width: int, height: int, look: Look) -> tuple[Row, ...]:
    """Return `image` [rows, columns, channels] of 0 … 1 as cells of two pixels each, as large as fits.

    Where few colours are wanted it is in greys; where there are none, a ramp of shades shows the brightness.
    """
    if width < 1 or height < 1:
        return ()
    rows, columns, channels = image.shape
    across, down = _cells((rows, columns), width, height)
    pixels = _resized(image, across, 2 * down)
    if not look.colours:
        shades = _SHADES if look.unicode else _ASCII_SHADES
        light = pixels.mean(axis=2).reshape(down, 2, across).mean(axis=1)
        levels = np.clip((light * len(shades)).astype(int), 0, len(shades) - 1)
        return tuple((Span("".join(shades[level] for level in line)),) for line in levels)
    if look.few:
        # Neighbours of one grey are one piece of text: a third of the bytes of an image in colours.
        pixels = np.round(pixels.mean(axis=2, keepdims=True) * (_GREYS - 1)) / (_GREYS - 1)
        channels = 1
    colours = np.round(255 * (pixels if channels == 3 else pixels.repeat(3, axis=2))).astype(int)
    return tuple(_line(colours[2 * row], colours[2 * row + 1], look) for row in range(down))


def _line(upper: NDArray[np.int64], lower: NDArray[np.int64], look: Look) -> Row:
    glyph = "▀" if look.unicode else " "
    spans: list[Span] = []
    for top, bottom in zip(upper.tolist(), lower.tolist(), strict=True):
        fg, bg = (top[0], top[1], top[2]), (bottom[0], bottom[1], bottom[2])
        if spans and (spans[-1].fg, spans[-1].bg) == (fg, bg):
            spans[-1] = Span(spans[-1].text + glyph, fg, bg)
        else:
            spans.append(Span(glyph, fg, bg))
    return tuple(spans)


def _resized(image: NDArray[np.float64], width: int, height: int) -> NDArray[np.float64]:
    """Return `image` at `width` × `height` pixels, each the mean over the area it covers."""
    # One axis after the other: both at once is 25 ms for a colour image.
    lower = np.tensordot(_weights(height, image.shape[0]), image, axes=(1, 0))  # [rows, old columns, channels]
    return np.tensordot(_weights(width, image.shape[1]), lower, axes=(1, 1)).transpose(1, 0, 2)


def _weights(new: int, old: int) -> NDArray[np.float64]:
    """Return how much of each old pixel [new, old] a new one covers, its row's sum 1."""
    edges = np.linspace(0, old, new + 1)
    pixels = np.arange(old)
    cover = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    cover = np.clip(cover, 0, None)
    return np.asarray(cover / cover.sum(axis=1, keepdims=True))
