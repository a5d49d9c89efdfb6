"""A widget that shows one figure, drawn in cells by `figures.cells`."""

from __future__ import annotations

from collections import OrderedDict
from typing import ClassVar

from rich.cells import cell_len
from textual.binding import BindingType
from textual.content import Content
from textual.events import Click, MouseMove, Resize
from textual.message import Message

from embcx_tui.figures.cells import (
    Value,
    bar_at,
    dot_cells,
    draw,
    heat_row,
    line_at,
    nearest_cell,
    next_value,
    part_at,
    value_words,
    values_of,
    words_of,
)
from embcx_tui.figures.model import Bars, Dots, Figure, Heat, Lines, Panels
from embcx_tui.figures.spans import Look, Row
from embcx_tui.tui import keys
from embcx_tui.tui.messages import Explain
from embcx_tui.tui.widgets.line_widget import Ink, LineWidget, ink_of, span

# Flipping back and forth between neighbouring layers finds both drawn; a picture of 200×60 is about 1 MB of spans.
_KEPT_PICTURES = 12

# A click this many columns beside a point still means it.
NEAR_CLICK = 4.0


class FigureView(LineWidget, can_focus=True):
    """Shows `figure`, or `words` where there is none; a drawn picture is kept by (figure, size, look).

    The bottom line says the value under the pointer, or under the cursor that a key puts on a value of the chart.
    """

    BINDINGS: ClassVar[list[BindingType]] = [*keys.CHART, keys.hidden("p", "leave_values")]

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
        self._cursor: tuple[int, int, int] | None = None
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
        if self._cursor and self._value is None:
            self.action_leave_values()
        self.repaint()
        self._explain_value()

    def paint(self, width: int, height: int, ink: Ink) -> tuple[Row, ...]:
        if self._figure is None:
            return _said(self._words, width, height, ink)
        if value := self._value:
            return draw(self._figure, width, height, ink.look, (value.column, value.row))
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
        self._explain_value()

    def _explain(self, words: str) -> None:
        if words != self._explained:
            self._explained = words
            self.post_message(Explain(words))

    # The cursor

    @property
    def _values(self) -> tuple[Value, ...]:
        return values_of(self._figure, *self.content_size, ink_of(self.app).look) if self._figure else ()

    @property
    def _value(self) -> Value | None:
        """The value that the cursor is on, as it is drawn now."""
        return next((value for value in self._values if value.key == self._cursor), None) if self._cursor else None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "walk_values":
            return self._cursor is None and bool(self._values)
        if action in ("step_value", "pick_value", "leave_values"):
            return self._cursor is not None
        return super().check_action(action, parameters)

    def action_walk_values(self) -> None:
        """Put the cursor on the value that the figure has marked, else on the first one."""
        if values := self._values:
            figure, panel = self._figure, 0
            if isinstance(figure, Panels):
                panel = figure.chosen or 0
                figure = figure.figures[panel]
            chosen = (panel, *one) if isinstance(one := getattr(figure, "chosen", None), tuple) else None
            self._put_cursor(next((value.key for value in values if value.key == chosen), values[0].key))

    def action_step_value(self, dx: int, dy: int) -> None:
        if self._figure and (here := self._value):
            self._put_cursor(next_value(self._figure, self._values, here, dx, dy).key)

    def action_pick_value(self) -> None:
        """Pick the value under the cursor as a click does."""
        if (value := self._value) and (found := self._picked_at(value.column, value.row, value)):
            self.post_message(found)

    def action_leave_values(self) -> None:
        self._put_cursor(None)

    def on_blur(self) -> None:
        self._put_cursor(None)

    def _put_cursor(self, key: tuple[int, int, int] | None) -> None:
        if key != self._cursor:
            self._cursor = key
            self.repaint()
            self.refresh_bindings()
            self._explain_value() if key else self._explain("")

    def _explain_value(self) -> None:
        if self._figure and (value := self._value):
            self._explain(words_of(self._figure, value))

    def on_click(self, event: Click) -> None:
        offset = event.get_content_offset(self)
        if offset is not None and (found := self._picked_at(offset.x, offset.y)):
            event.stop()
            self.post_message(found)

    def _picked_at(self, column: int, row: int, value: Value | None = None) -> Message | None:
        """Return what a click on a cell picks, or a `value` there; None where there is nothing to pick."""
        figure, (width, height) = self._figure, self.content_size
        at = (value.series, value.place) if value else None
        if isinstance(figure, Bars):
            bar = at or bar_at(figure, width, height, column, row)
            return self.BarPicked(*bar) if bar else None
        if isinstance(figure, Dots) and at:
            return self.DotPicked(*at)
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
            line = at or line_at(part.figure, part.width, part.height, *inside, look, part.legend)
            return self.LinePicked(part.place, *line) if line else None
        if not isinstance(part.figure, Heat):
            return None
        row_hit = heat_row(part.figure, part.width, part.height, *inside, ink_of(self.app).look)
        return None if row_hit is None else self.RowPicked(part.place, row_hit + part.figure.first)


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
