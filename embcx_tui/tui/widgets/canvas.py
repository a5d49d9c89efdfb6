"""A widget that shows one figure, drawn in cells by `figures.cells`."""

from __future__ import annotations

from collections import OrderedDict

from rich.cells import cell_len
from textual.content import Content
from textual.events import Click, MouseMove, Resize
from textual.message import Message

from embcx_tui.figures.cells import (
    bar_at,
    dot_cells,
    draw,
    heat_row,
    line_at,
    nearest_cell,
    part_at,
    value_words,
)
from embcx_tui.figures.model import Bars, Dots, Figure, Heat, Lines
from embcx_tui.figures.spans import Look, Row
from embcx_tui.tui.messages import Explain
from embcx_tui.tui.widgets.line_widget import Ink, LineWidget, ink_of, span

# Flipping back and forth between neighbouring layers finds both drawn; a picture of 200×60 is about 1 MB of spans.
_KEPT_PICTURES = 12

# A click this many columns beside a point still means it.
NEAR_CLICK = 4.0


class Canvas(LineWidget, can_focus=True):
    """Shows `figure`, or `words` where there is none; a drawn picture is kept by (figure, size, look)."""

    class BarPicked(Message):
        """A bar was clicked: its places in the figure."""

        def __init__(self, group: int, bar: int) -> None:
            self.group, self.bar = group, bar
            super().__init__()

    class LinePicked(Message):
        """A value on a line was clicked: the panel it is in (0 where there is one figure), its group and layer."""

        def __init__(self, place: int, group: int, layer: int) -> None:
            self.place, self.group, self.layer = place, group, layer
            super().__init__()

    class Sized(Message):
        """The canvas has another size."""

    class RowPicked(Message):
        """A row of a heat map was clicked: the map's place among several (else 0), and the row."""

        def __init__(self, place: int, row: int) -> None:
            self.place, self.row = place, row
            super().__init__()

    class DotPicked(Message):
        """A dot was clicked: its places in the figure."""

        def __init__(self, group: int, dot: int) -> None:
            self.group, self.dot = group, dot
            super().__init__()

    def __init__(self, words: str = "", *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._figure: Figure | None = None
        self._words = words
        self._explained = ""
        # The figure stands in the value too: while it does, no other object can have its id.
        self._drawn: OrderedDict[tuple[int, int, int, Look], tuple[Figure, tuple[Row, ...]]] = OrderedDict()

    def on_resize(self, event: Resize) -> None:
        # What LineWidget does then, Textual calls by itself.
        self.post_message(self.Sized())

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

    def on_mouse_move(self, event: MouseMove) -> None:
        """Let the bottom line say the value under the pointer."""
        offset, figure = event.get_content_offset(self), self._figure
        words = ""
        if offset is not None and figure:
            words = value_words(figure, *self.content_size, offset.x, offset.y, ink_of(self.app).look)
        self._explain(words)

    def on_leave(self) -> None:
        self._explain("")

    def _explain(self, words: str) -> None:
        if words != self._explained:
            self._explained = words
            self.post_message(Explain(words))

    def on_click(self, event: Click) -> None:
        offset = event.get_content_offset(self)
        if offset is not None and (found := self._picked_at(offset.x, offset.y)):
            event.stop()
            self.post_message(found)

    def _picked_at(self, column: int, row: int) -> Message | None:
        """Return what a click on a cell picks; None where there is nothing to pick."""
        figure, (width, height) = self._figure, self.content_size
        if isinstance(figure, Bars):
            bar = bar_at(figure, width, height, column, row)
            return self.BarPicked(*bar) if bar else None
        if isinstance(figure, Dots):
            cells, owners = dot_cells(figure, width, height)
            near = nearest_cell(cells, column, row, NEAR_CLICK)
            return None if near is None else self.DotPicked(*owners[near])
        part = part_at(figure, width, height, column, row) if figure else None
        if part is None:
            return None
        inside = column - part.column, row - part.row
        if isinstance(part.figure, Lines):
            look = ink_of(self.app).look
            value = line_at(part.figure, part.width, part.height, *inside, look, part.legend)
            return self.LinePicked(part.place, *value) if value else None
        if not isinstance(part.figure, Heat):
            return None
        line = heat_row(part.figure, part.width, part.height, *inside, ink_of(self.app).look)
        return None if line is None else self.RowPicked(part.place, line + part.figure.first)


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
