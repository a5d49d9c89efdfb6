"""A list of painted lines that can be longer than its widget: it scrolls by keys and wheel, with a bar at its edge."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import BindingType
from textual.events import MouseScrollDown, MouseScrollUp

from embcx_tui.figures.spans import Row
from embcx_tui.tui import keys
from embcx_tui.tui.widgets.line_widget import Ink, LineWidget, fit_row, span

_WHEEL_LINES = 3


class ScrollList(LineWidget, can_focus=True):
    """Shows `line(number)` for the lines from `top` on, below the rows of `head`, which do not scroll."""

    BINDINGS: ClassVar[list[BindingType]] = [
        keys.hidden("up,k", "move(-1)"),
        keys.hidden("down,j", "move(1)"),
        keys.hidden("pageup", "page(-1)"),
        keys.hidden("pagedown", "page(1)"),
        keys.hidden("home,g", "edge(False)"),
        keys.hidden("end,G", "edge(True)"),
    ]

    top = 0
    """The first line shown."""

    @property
    def line_count(self) -> int:
        """How many lines there are."""
        raise NotImplementedError

    def head(self, width: int, ink: Ink) -> tuple[Row, ...]:
        """Return the rows that do not scroll."""
        return ()

    def line(self, number: int, width: int, ink: Ink) -> Row:
        """Return one line, `number` 0 … line_count − 1."""
        raise NotImplementedError

    @property
    def head_height(self) -> int:
        return 1

    @property
    def body_height(self) -> int:
        """How many lines are shown at once."""
        return max(self.content_size.height - self.head_height, 1)

    @property
    def has_bar(self) -> bool:
        """Whether there is a scroll bar at the right edge."""
        return self.line_count > self.body_height

    @property
    def slack(self) -> int:
        """How many rows may stay empty below the last line."""
        return 0

    @property
    def last_top(self) -> int:
        return max(self.line_count - self.body_height, 0)

    def scroll_lines(self, top: int) -> None:
        """Show the lines from `top` on, as far as there are any."""
        self.top = min(max(top, 0), self.last_top)
        self.repaint()

    def action_move(self, by: int) -> None:
        self.scroll_lines(self.top + by)

    def action_page(self, by: int) -> None:
        self.action_move(by * max(self.body_height - 1, 1))

    def action_edge(self, end: bool) -> None:
        self.action_move(self.line_count if end else -self.line_count)

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        event.stop()
        self.scroll_lines(self.top + _WHEEL_LINES)

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        event.stop()
        self.scroll_lines(self.top - _WHEEL_LINES)

    def paint(self, width: int, height: int, ink: Ink) -> tuple[Row, ...]:
        self.top = min(self.top, self.last_top + self.slack)
        shown = range(self.top, min(self.top + self.body_height, self.line_count))
        if not self.has_bar:
            return (*self.head(width, ink), *(self.line(number, width, ink) for number in shown))
        thumb = max(round(self.body_height**2 / self.line_count), 1)
        start = round((self.body_height - thumb) * min(self.top / max(self.last_top, 1), 1))
        rows = []
        for index in range(self.body_height):
            bar = span("┃", ink.muted) if start <= index < start + thumb else span("│", ink.faint)
            row = self.line(shown[index], width - 1, ink) if index < len(shown) else ()
            rows.append((*fit_row(row, width - 1), bar))
        return (*self.head(width, ink), *rows)
