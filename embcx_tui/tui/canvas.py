"""A widget that shows one figure, drawn in cells by `figures.terminal`."""

from __future__ import annotations

from collections import OrderedDict

from rich.cells import cell_len
from textual.content import Content

from embcx_tui.figures.terminal import Look, Row, draw
from embcx_tui.figures.values import Figure
from embcx_tui.tui.painted import Ink, Painted, span

# Flipping back and forth between neighbouring layers finds both drawn; a picture of 200×60 is about 1 MB of spans.
_KEPT_PICTURES = 12


class Canvas(Painted, can_focus=True):
    """Shows `figure`, or `words` where there is none; a drawn picture is kept by (figure, size, look)."""

    def __init__(self, words: str = "", *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._figure: Figure | None = None
        self._words = words
        # The figure stands in the value too: while it does, no other object can have its id.
        self._drawn: OrderedDict[tuple[int, int, int, Look], tuple[Figure, tuple[Row, ...]]] = OrderedDict()

    @property
    def figure(self) -> Figure | None:
        return self._figure

    @property
    def words(self) -> str:
        return self._words

    def show(self, figure: Figure | None, words: str = "") -> None:
        """Show `figure`, or `words` in its place; nothing is drawn where neither changed."""
        # By identity: figures hold arrays, and the screens keep theirs while nothing in them changes.
        if figure is self._figure and words == self._words:
            return
        self._figure, self._words = figure, words
        self.repaint()

    def paint(self, width: int, height: int, ink: Ink) -> tuple[Row, ...]:
        if self._figure is None:
            return _said(self._words, width, height, ink)
        key = (id(self._figure), width, height, ink.look)
        known = self._drawn.get(key)
        if known:
            self._drawn.move_to_end(key)
            return known[1]
        rows = draw(self._figure, width, height, ink.look)
        self._drawn[key] = (self._figure, rows)
        if len(self._drawn) > _KEPT_PICTURES:
            self._drawn.popitem(last=False)
        return rows


def _said(words: str, width: int, height: int, ink: Ink) -> tuple[Row, ...]:
    """Return `words` (lines of plain text), wrapped and centred; the first line stands out."""
    lines = [
        (line.plain.strip(), number == 0)
        for number, text in enumerate(words.splitlines())
        for line in Content(text).wrap(max(width - 4, 1))
    ]
    above = max((height - len(lines)) // 2, 0)
    rows: list[Row] = [()] * above
    for text, first in lines:
        indent = " " * max((width - cell_len(text)) // 2, 0)
        rows.append((span(indent), span(text, ink.text if first else ink.muted)))
    return tuple(rows)
