"""A table whose lines are items, one of them under the pointer, in columns that are laid out for the width there is.

It is painted by hand so that only changed cells are sent: Textual's DataTable and OptionList repaint every line they
show, 8 kB for 100×30 cells, whenever one value changes. Over SSH a key that moves the pointer costs 0.6 kB here.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import ClassVar, Generic, TypeVar

from textual.events import Click, MouseDown, MouseEvent, MouseMove, MouseUp
from textual.message import Message

from embcx_tui.figures.palette import READABLE, Rgb, contrast, ink_on
from embcx_tui.figures.spans import Row, Span
from embcx_tui.tui.widgets.line_widget import Ink, fit_row, row_width
from embcx_tui.tui.widgets.scroll_list import ScrollList

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Column(Generic[Item]):
    """A column of a table.

    Parameters
    ----------
    title, wide_title : what stands above the column, and above a widened one
    width : in cells; the least of a column that stretches
    draw : returns an item's cell for this width; spans without a colour take that of the line
    right : whether cells are aligned right
    stretches : whether the column takes what the others leave
    least : width in cells of the narrowest table that has the column
    drop : where not all columns fit, those with the lowest number are left out first; 0 for those that stay
    wide, widen : the width where there is room for more, and in which order columns get it; 0 for those that do not
    """

    title: str
    width: int
    draw: Callable[[Item, int, Ink], Row]
    right: bool = False
    stretches: bool = False
    least: int = 0
    drop: int = 0
    wide: int = 0
    widen: int = 0
    wide_title: str = ""


def fit_columns(
    columns: Sequence[Column[Item]], width: int, gap: int, lead: int, room: int = 0
) -> tuple[Column[Item], ...]:
    """Return those `columns` that fit in a table, in the widths they get.

    Parameters
    ----------
    width : of the table in cells, without its scroll bar
    gap, lead : blanks between columns, and cells before the first one
    room : cells that the column that stretches has before any other one is widened
    """
    shown = [column for column in columns if width >= column.least]

    def left() -> int:
        return width - lead - sum(column.width for column in shown) - gap * (len(shown) - 1)

    for number in sorted(column.drop for column in shown if column.drop):
        if left() >= 0:
            break
        shown = [column for column in shown if column.drop != number]
    least = sum(column.width for column in shown if column.stretches)
    for column in sorted((column for column in shown if column.widen), key=lambda column: column.widen):
        if least + left() - (column.wide - column.width) >= room:
            wide = replace(column, width=column.wide, title=column.wide_title or column.title)
            shown[shown.index(column)] = wide
    rest = max(left(), 0)
    return tuple(replace(column, width=column.width + rest) if column.stretches else column for column in shown)


class Table(ScrollList, Generic[Item]):
    """Shows `items` as lines; keys, wheel, clicks and the scroll bar move the pointer or the lines."""

    ALLOW_SELECT: ClassVar[bool] = False

    gap = 2
    """Blanks between columns."""

    class Chosen(Message):
        """The pointer moved, or the marks changed."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.items: tuple[Item, ...] = ()
        self.pointer = 0
        self._columns: tuple[Column[Item], ...] = ()
        self._laid_out_for: int | None = None
        self._lines: dict[int, tuple[tuple[object, ...], Row]] = {}
        self._dragging = False

    # What a table must say

    def identity(self, item: Item) -> Hashable:
        """Return what stays the same while an item changes: the pointer stays with it."""
        raise NotImplementedError

    def fit_columns(self, width: int) -> tuple[Column[Item], ...]:
        """Return the columns of a table of `width` cells, its scroll bar not counted."""
        raise NotImplementedError

    def lead(self, item: Item | None, here: bool, ink: Ink) -> Row:
        """Return what stands before the columns: the pointer and marks; blank for None."""
        raise NotImplementedError

    def line_style(self, item: Item, here: bool, ink: Ink) -> Span:
        """Return the style of an item's line, as a span without text; `here`: the pointer is on it."""
        raise NotImplementedError

    def title_style(self, ink: Ink) -> Span:
        """Return the style of the titles, as a span without text."""
        return Span("", ink.muted)

    def title(self, column: Column[Item]) -> str:
        """Return the title of a column."""
        return column.title

    def has_pointer(self, index: int) -> bool:
        """Return whether the pointer is shown on an item."""
        return index == self.pointer

    # Items and pointer

    @property
    def line_count(self) -> int:
        return len(self.items)

    @property
    def current(self) -> Item | None:
        """The item under the pointer."""
        return self.items[self.pointer] if self.pointer < len(self.items) else None

    def set_items(self, items: tuple[Item, ...], *, follow: bool = True) -> None:
        """Show `items`; the pointer stays on its item (`follow`), or on its line where that has gone."""
        before, self.items = self.current, items
        self.pointer = min(self.pointer, max(len(items) - 1, 0))
        if before is not None and follow:
            identity = self.identity(before)
            same = (index for index, item in enumerate(items) if self.identity(item) == identity)
            self.pointer = next(same, self.pointer)
        self.redraw()

    def redraw(self) -> None:
        """Lay the columns out and draw all lines again, as when the items or the time have changed."""
        self._laid_out_for = None
        self.repaint()

    def go_to(self, index: int) -> None:
        """Move the pointer to an item, the first or the last one where there are not so many."""
        if self.items:
            self.pointer = min(max(index, 0), len(self.items) - 1)
            self.scroll_to_pointer()
            self.post_message(self.Chosen())

    def scroll_to_pointer(self) -> None:
        self.scroll_lines(max(min(self.top, self.pointer), self.pointer - self.body_height + 1))

    def action_move(self, by: int) -> None:
        self.go_to(self.pointer + by)

    # Mouse

    def _index_at(self, event: MouseEvent) -> int | None:
        """Return the index of the item under the mouse; None beside the lines and on the scroll bar."""
        offset = event.get_content_offset(self)
        if offset is None or offset.y < self.head_height or self._on_bar(event):
            return None
        index = self.top + offset.y - self.head_height
        return index if index < len(self.items) else None

    def _on_bar(self, event: MouseEvent) -> bool:
        offset = event.get_content_offset(self)
        return offset is not None and self.has_bar and offset.x == self.content_size.width - 1

    def clicked(self, index: int) -> None:
        """Act on a click on an item."""
        self.go_to(index)

    def on_click(self, event: Click) -> None:
        index = self._index_at(event)
        # A drag of the scroll bar may end beside it.
        if index is not None and not self._dragging:
            self.clicked(index)
        self._dragging = False

    def on_mouse_down(self, event: MouseDown) -> None:
        self._dragging = self._on_bar(event)
        if self._dragging:
            self.capture_mouse()
            self._drag(event)

    def on_mouse_move(self, event: MouseMove) -> None:
        if self._dragging and event.button:
            self._drag(event)

    def on_mouse_up(self, event: MouseUp) -> None:
        self.release_mouse()

    def _drag(self, event: MouseEvent) -> None:
        line = event.get_content_offset_capture(self).y - self.head_height
        self.scroll_lines(round(line / max(self.body_height - 1, 1) * self.last_top))

    # Painting

    def paint(self, width: int, height: int, ink: Ink) -> tuple[Row, ...]:
        if width != self._laid_out_for:
            self._laid_out_for = width
            # One cell less than there is: columns must not move when the scroll bar comes.
            self._columns = self.fit_columns(width - 1)
            self._lines.clear()
        return super().paint(width, height, ink)

    def head(self, width: int, ink: Ink) -> tuple[Row, ...]:
        if not self.items:
            return ((),)
        style = self.title_style(ink)
        titles = [(Span(self.title(column)),) for column in self._columns]
        return (fit_row(self._join(self.lead(None, False, ink), titles, style, width), width, style.bg),)

    def line(self, number: int, width: int, ink: Ink) -> Row:
        item, here = self.items[number], self.has_pointer(number)
        lead, style = self.lead(item, here, ink), self.line_style(item, here, ink)
        # A key that moves the pointer draws two lines of 26, which takes 1 ms, not 6.
        key = lead, style, width, ink
        if number not in self._lines or self._lines[number][0] != key:
            cells = [column.draw(item, column.width, ink) for column in self._columns]
            self._lines[number] = key, self._join(lead, cells, style, width)
        return self._lines[number][1]

    def _join(self, lead: Row, cells: Sequence[Row], style: Span, width: int) -> Row:
        """Return cells as one row; what has no colour of its own takes `style`."""
        spans = list(lead)
        last = len(cells) - 1
        for index, (column, cell) in enumerate(zip(self._columns, cells, strict=True)):
            if index:
                spans.append(Span(" " * self.gap))
            # The last column may go on to the edge where there is no scroll bar.
            size = max(width - row_width(tuple(spans)), 0) if column.stretches and index == last else column.width
            if column.right:
                spans.append(Span(" " * max(size - row_width(cell), 0)))
                size = min(size, row_width(cell))
            spans += fit_row(cell, size)

        def look(span: Span) -> tuple[Rgb | None, Rgb | None, bool]:
            fg, bg = span.fg or style.fg, span.bg or style.bg
            # On the cursor's line a muted or coloured text may be hard to read: there it is black or white.
            if fg and bg and contrast(fg, bg) < READABLE:
                fg = ink_on(bg)
            return fg, bg, span.bold or (style.bold and span.fg is None)

        # Neighbours in one style become one span.
        runs = groupby(spans, look)
        return tuple(Span("".join(span.text for span in run), fg, bg, bold) for (fg, bg, bold), run in runs)
