"""The panel of the chosen point: its image, what it is, what the network predicts, and what is near it."""

from __future__ import annotations

import textwrap

import numpy as np
from numpy.typing import NDArray

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

    def show(self, facts: PointFacts | None, words: str = NO_POINT) -> None:
        self._facts, self._words = facts, words
        self.repaint()

    def paint(self, width: int, height: int, ink: Ink) -> tuple[Row, ...]:
        if self._facts is None:
            first, *rest = self._words.splitlines() or [""]
            wrapped = [line for text in rest for line in textwrap.wrap(text, max(width, 8))]
            return ((span(fit(first, width)),), *((span(line, ink.muted),) for line in wrapped))
        facts = self._facts
        head, layer, tail = _text(facts, width, ink)
        room = height - len(head) - len(layer) - len(tail) - 1
        # The line that explains bold is worth a row of the image while the image stays recognisable.
        reserved = int(bool(layer) and room > _LEAST_IMAGE_ROWS)
        room -= reserved
        image = () if facts.image is None or room < 3 else (*half_blocks(facts.image, width, room, ink.look), ())
        # Neighbours get only what the point's own image leaves free.
        free = room + 1 - len(image)
        neighbours = _side_by_side(facts.neighbour_images, width, free, ink) if free >= _LEAST_NEIGHBOUR_ROWS else ()
        legend = ((span(fit(_BOLD, width), ink.muted),),) if layer and free + reserved > len(neighbours) else ()
        return (*image, *head, *layer, *neighbours, *tail, *legend)


def _side_by_side(images: tuple[NDArray[np.float64], ...], width: int, height: int, ink: Ink) -> tuple[Row, ...]:
    """Return as many images as have room beside each other, each large enough to be recognised."""
    across = max((width + 1) // _NEIGHBOUR_COLUMNS, 1)
    columns = (width + 1) // across - 1
    drawn = [half_blocks(image, columns, height, ink.look) for image in images[:across]]
    return tuple(tuple(span for row in rows for span in fit_row(row, columns + 1)) for rows in zip(*drawn, strict=True))


def _text(facts: PointFacts, width: int, ink: Ink) -> tuple[tuple[Row, ...], tuple[Row, ...], tuple[Row, ...]]:
    """Return the rows on the point itself, on its neighbours in the layer, and on its neighbours elsewhere."""
    glyphs = (*signs(facts.classes), "?")

    def name(label: int) -> str:
        return safe_text(facts.classes[label], 40) if 0 <= label < len(facts.classes) else "?"

    def class_row(word: str, label: int, sign: str = "", warn: bool = False) -> Row:
        mark = span("● ", ink.look.class_colour(label)) if ink.look.colours else span("")
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
        return ((span(fit(heading, width), ink.muted),), row)

    head: list[Row] = [class_row("label", facts.label)]
    if facts.predicted is None:
        head.append((span(fit("its predicted class is not known", width), ink.muted),))
    else:
        right = facts.predicted == facts.label
        head.append(class_row("predicted", facts.predicted, " ✓" if right else " ✗", not right))
    word = "training" if facts.source == "train" else "test"
    head.append((span(f"{word:<10}", ink.muted), span(f"sample {facts.index:,}")))
    if facts.image is None and facts.values:
        head.append((span(f"{'no image':<10}", ink.muted), span(f"{facts.values:,} values")))
    kept, shared = sum(both for _, both in facts.layer), sum(both for _, both in facts.similar)
    heading = f"neighbours in layer, {kept} of {len(facts.layer)} also in plane"
    return (
        (*head, *near("neighbours in plane", facts.plane)),
        near(heading if len(heading) <= width else f"in layer, {kept} also in plane", facts.layer),
        near(f"in input, {shared} also in layer", facts.similar),
    )


def _cells(shape: tuple[int, int], width: int, height: int) -> tuple[int, int]:
    """Return (columns, rows) of cells for an image of `shape` within `width` × `height` cells, its pixels square."""
    rows, columns = shape
    scale = min(width / columns, 2 * height / rows)
    if scale >= 1:
        scale = int(scale)  # whole pixels stay sharp
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
