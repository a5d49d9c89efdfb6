"""The list of studies: one line per study, filtered and ordered, with a cursor on one value and marks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from rich.cells import cell_len
from textual.binding import BindingType
from textual.events import Click, Leave, MouseMove
from textual.message import Message

from embcx_tui.figures.spans import Row, Span
from embcx_tui.store.paths import StudyPaths
from embcx_tui.tui import keys
from embcx_tui.tui.studies.study_columns import StudyColumn, columns_of
from embcx_tui.tui.study_row import STATE_STYLES, StudyRow
from embcx_tui.tui.widgets.line_widget import Ink, fit_row
from embcx_tui.tui.widgets.table import Column, Table, fit_columns

_POINTER, _MARK, _OPEN = "▌", "◆", "▸"
_LEAD = 4
# "3 min ago" changes with time alone.
_REFRESH_EVERY_S = 10.0
# The name has as many cells as the longest one needs, within these, before another column is widened.
_LEAST_NAME, _ROOMY_NAME, _MOST_NAME = 17, 26, 40
# Tables this wide keep a roomy name beside other columns; narrower than this they have no room for any.
_ROOMY, _NARROW = 100, 60


class StudyTable(Table[StudyRow]):
    """The studies that pass the filter, newest first unless ordered."""

    BINDINGS: ClassVar[list[BindingType]] = [
        keys.hidden("left", "column(-1)"),
        keys.hidden("right", "column(1)"),
        *keys.STUDY_LIST,
    ]

    @dataclass
    class Entered(Message):
        """The user pressed Enter on a study, or clicked it."""

        row: StudyRow

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._hovered: int | None = None
        self._every: tuple[StudyRow, ...] = ()
        self._known: tuple[StudyColumn, ...] = ()
        self._order: tuple[str, bool] | None = None
        self._column = "name"
        self._laid_out: tuple[StudyColumn, ...] = ()
        self.words = ""
        """The filter's words."""
        self.marked: frozenset[StudyPaths] = frozenset()
        """The marked studies, whether the filter shows them or not."""
        self.opened: StudyPaths | None = None
        """The open study."""

    def on_mount(self) -> None:
        self.set_interval(_REFRESH_EVERY_S, self.redraw)

    # What is listed

    def show(self, rows: tuple[StudyRow, ...], opened: StudyPaths | None = None) -> None:
        """Show `rows`; the pointer stays on its study."""
        self._every, self.opened = rows, opened
        self.marked &= {row.paths for row in rows}
        self._list()

    def filter(self, words: str) -> None:
        """Show only the studies that hold each of `words` in name, note, state, datasets or `setting=value`."""
        self.words = words
        self._list()

    def _list(self) -> None:
        before = [row.paths for row in self.items]
        rows = tuple(row for row in self._every if matches(row, self.words))
        self._known = columns_of(rows)
        self.set_items(self._ordered(rows))
        if [row.paths for row in self.items] != before:
            self.scroll_to_pointer()

    def _ordered(self, rows: tuple[StudyRow, ...]) -> tuple[StudyRow, ...]:
        """Return the rows in the user's order; those without a value stand last either way."""
        column = self._column_called(self._order[0]) if self._order else None
        if self._order is None or column is None:
            return rows
        values = {row.paths: column.value(row) for row in rows}
        known = [row for row in rows if values[row.paths] is not None]
        # One column's values are all numbers or all texts.
        known.sort(key=lambda row: values[row.paths], reverse=self._order[1])  # type: ignore[arg-type, return-value]
        return (*known, *(row for row in rows if values[row.paths] is None))

    def _column_called(self, name: str) -> StudyColumn | None:
        return next((column for column in self._known if column.name == name), None)

    @property
    def marked_rows(self) -> tuple[StudyRow, ...]:
        """The marked studies in the order of the list, those that the filter hides last."""
        rows = (*self.items, *(row for row in self._every if row not in self.items))
        return tuple(row for row in rows if row.paths in self.marked)

    @property
    def total(self) -> int:
        """How many studies there are, filtered or not."""
        return len(self._every)

    @property
    def above(self) -> StudyRow | None:
        """The study on the line above the pointer's."""
        return self.items[self.pointer - 1] if 0 < self.pointer <= len(self.items) else None

    # What is copied

    @property
    def value(self) -> str:
        """The value under the cursor."""
        column = self._cursor_column()
        return column.text(self.current) if self.current and column else ""

    def as_text(self) -> str:
        """Return the marked studies, else all that are listed, as lines with tabs: every column, the id first."""
        columns = sorted(self._known, key=lambda column: column.name != "id")
        rows = self.marked_rows or self.items
        head = "\t".join(column.wide_title or column.title for column in columns)
        return "\n".join([head, *("\t".join(column.text(row) for column in columns) for row in rows)])

    # Keys and mouse

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer what needs a study only where there is one."""
        return action not in ("select", "order", "mark") or bool(self.items)

    def action_select(self) -> None:
        if self.current:
            self.post_message(self.Entered(self.current))

    def action_mark(self) -> None:
        """Mark the study under the pointer, or take its mark away, and go on to the next."""
        if self.current:
            self.marked ^= {self.current.paths}
            self.go_to(self.pointer + 1)

    def clear_marks(self) -> None:
        self.marked = frozenset()
        self.repaint()
        self.post_message(self.Chosen())

    def action_order(self) -> None:
        """Order the studies by the cursor's column; the second time the other way round, then newest first again."""
        if column := self._cursor_column():
            first, second = (column.name, False), (column.name, True)
            self._order = first if self._order not in (first, second) else second if self._order == first else None
            self._list()
            self.scroll_to_pointer()
            self.post_message(self.Chosen())

    def action_column(self, by: int) -> None:
        """Move the cursor to another column."""
        names = [column.name for column in self._laid_out]
        at = names.index(self._column) if self._column in names else 0
        self._column = names[min(max(at + by, 0), len(names) - 1)] if names else self._column
        self.redraw()

    def _cursor_column(self) -> StudyColumn | None:
        return next((one for one in self._laid_out if one.name == self._column), self._column_called("name"))

    def action_move(self, by: int) -> None:
        # One step up from the first study leads to the last, and back.
        index = self.pointer + by
        self.go_to(index % max(len(self.items), 1) if abs(by) == 1 else index)

    def clicked(self, index: int) -> None:
        super().clicked(index)
        self.action_select()

    def on_click(self, event: Click) -> None:
        offset = event.get_content_offset(self)
        if offset and offset.y < self.head_height:
            # Textual calls the table's own handler after this one.
            event.prevent_default()
            if column := self._column_at(offset.x):
                self._column = column.name
                self.action_order()

    def _column_at(self, x: int) -> StudyColumn | None:
        end = _LEAD
        for column in self._laid_out:
            end += column.width + self.gap
            if x < end:
                return column
        return None

    def on_mouse_move(self, event: MouseMove) -> None:
        self._hover(self._index_at(event))

    def on_leave(self, event: Leave) -> None:
        self._hover(None)

    def _hover(self, index: int | None) -> None:
        if index != self._hovered:
            self._hovered = index
            self.repaint()

    # Painting

    def identity(self, item: StudyRow) -> StudyPaths:
        return item.paths

    def fit_columns(self, width: int) -> tuple[Column[StudyRow], ...]:
        longest = max((cell_len(row.name) for row in self.items), default=0)
        least = _ROOMY_NAME if width >= _ROOMY else _LEAST_NAME
        # The name's own least is asked for first, so that other columns go before names are cut to a few letters.
        wanted = [
            replace(column, width=least) if column.name == "name" and width >= _NARROW else column
            for column in self._known
        ]
        room = min(max(longest, least), _MOST_NAME)
        shown = fit_columns(wanted, width, self.gap, lead=_LEAD, room=room)
        self._laid_out = tuple(column for column in shown if isinstance(column, StudyColumn))
        return shown

    def title(self, column: Column[StudyRow]) -> str:
        name = column.name if isinstance(column, StudyColumn) else ""
        if self._order is None or name != self._order[0]:
            return column.title
        # Where a title fills its column, the sign takes its last letter.
        return f"{'▾' if self._order[1] else '▴'}{column.title}"[: column.width]

    def lead(self, item: StudyRow | None, here: bool, ink: Ink) -> Row:
        pointer = Span(_POINTER, ink.colour("text-primary")) if here else Span(" ")
        marked = Span(_MARK, ink.accent, bold=True) if item and item.paths in self.marked else Span(" ")
        opened = Span(_OPEN, ink.accent, bold=True) if item and item.paths == self.opened else Span(" ")
        return pointer, marked, opened, Span(" ")

    def line_style(self, item: StudyRow, here: bool, ink: Ink) -> Span:
        hovered = self._hovered is not None and self._hovered < len(self.items) and item is self.items[self._hovered]
        ground = "chosen" if here else "block-hover-background" if hovered else ""
        return Span("", None, ink.colour(ground) if ground else None)

    def title_style(self, ink: Ink) -> Span:
        return Span("", ink.colour("text-muted"), ink.colour("surface"))

    def head(self, width: int, ink: Ink) -> tuple[Row, ...]:
        """Return the titles, that of the cursor's column emphasised."""
        (row,) = super().head(width, ink)
        at = _LEAD
        for column in self._laid_out:
            if column.name == self._column and self.has_focus and row:
                return (_emphasised(row, at, at + column.width, ink),)
            at += column.width + self.gap
        return (row,)


def _emphasised(row: Row, start: int, end: int, ink: Ink) -> Row:
    """Return a row whose cells from `start` to `end` are in the colours of a heading."""
    spans: list[Span] = []
    at = 0
    for span in row:
        width = cell_len(span.text)
        # Titles are ASCII, one cell per letter but for the sign of the order, which is one cell too.
        for low, high, inside in (
            (at, start, False),
            (max(at, start), min(at + width, end), True),
            (end, at + width, False),
        ):
            low, high = max(low, at), min(high, at + width)
            if low < high:
                text = span.text[low - at : high - at]
                spans.append(Span(text, ink.colour("heading") if inside else span.fg, span.bg, bold=inside))
        at += width
    return fit_row(tuple(spans), at)


def matches(row: StudyRow, words: str) -> bool:
    """Tell whether a study holds each of `words`, in upper or lower case."""
    wanted = words.casefold().split()
    return not wanted or all(word in _search_text(row) for word in wanted)


def _search_text(row: StudyRow) -> str:
    datasets = row.settings.data.datasets if row.settings else ()
    settings = [f"{key.rpartition('.')[2]}={text}" for key, text in row.values]
    # "lr" and "n" are what people write for these.
    short = [f"lr={text}" for key, text in row.values if key == "training.learning_rate"]
    state = STATE_STYLES[row.shown].word
    return " ".join([row.name, row.note, row.paths.id, state, row.state, *datasets, *settings, *short]).casefold()
