"""The study's log: it following while the end is shown, and does not move while the user reads further up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.cells import cell_len
from textual.binding import BindingType
from textual.content import Content
from textual.events import MouseDown, MouseMove, MouseUp, Resize

from embcx_tui.analysis import formatting
from embcx_tui.figures.palette import Rgb
from embcx_tui.figures.spans import Row
from embcx_tui.store.log import Level, LogLine
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.tui import keys
from embcx_tui.tui.widgets.line_widget import Ink, span
from embcx_tui.tui.widgets.scroll_list import ScrollList

# "09:00:38 ! " stands before a line's text; before the continuation of a long line it is blank.
_MARGIN = 11
_LEAST_TEXT = 20
# While the end is followed, the text moves up by this share of the panel at a time: one line at a time would send the
# whole panel with every line, 3 kB at 200×60.
_STEP = 0.25
LEVELS: tuple[tuple[Level, str], ...] = (("info", ""), ("warning", "warnings and errors"), ("error", "errors"))
_RANK: dict[Level, int] = {"info": 0, "warning": 1, "error": 2}


class LogPanel(ScrollList):
    """Shows the lines of a snapshot's log that hold every word of `words` and are of `level` or worse."""

    ALLOW_SELECT: ClassVar[bool] = False
    BINDINGS: ClassVar[list[BindingType]] = keys.LOG

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._study = ""
        self._lines: tuple[LogLine, ...] = ()
        self._shown: list[LogLine] = []  # the lines that pass the filter
        self._seen = 0  # how many of them there were when the end was last on the screen
        self._pieces: list[tuple[int, str, bool]] = []  # (index in _shown, piece of its text, whether it is the first)
        self._wrapped_for = 0
        self._selected: tuple[int, int] | None = None  # indices in _shown: where it began, where it ends now
        self.words = ""
        self.sought = ""
        self.level: Level = "info"
        self.following = True

    def show(self, snapshot: Snapshot | None) -> None:
        """Show the log of `snapshot`; the lines on the screen stay unless the end is followed."""
        study = snapshot.id if snapshot else ""
        lines = snapshot.log if snapshot else ()
        if study != self._study or len(lines) < len(self._lines):
            self._study, self.following, self._lines, self._selected = study, True, (), None
            self._shown, self._pieces, self._seen = [], [], 0
        new = lines[len(self._lines) :]
        grows = bool(self._lines and snapshot and snapshot.state == "running")
        self._lines = lines
        self._wrap(new)
        self._keep_position(grows)

    def _keep_position(self, grows: bool = False) -> None:
        if self.following:
            if self.top < self.last_top or self.top > self.last_top + (self._step if grows else 0):
                self.top = self.last_top + (self._step if grows else 0)
            self._seen = len(self._shown)
        self.repaint()

    @property
    def _step(self) -> int:
        """How many empty rows the end may have below it, to be filled by the next lines."""
        return int(self.body_height * _STEP) if self.line_count > self.body_height else 0

    @property
    def slack(self) -> int:
        return self._step if self.following else 0

    def _wrap(self, lines: Iterable[LogLine]) -> None:
        # The width is 0 while the panel is hidden: the lines are wrapped when it is shown.
        self._wrapped_for = self.content_size.width
        width = max(self._wrapped_for - 1 - _MARGIN, _LEAST_TEXT) if self._wrapped_for else None
        for line in lines:
            if self._passes(line):
                if width is None or _fits(line.text, width):
                    pieces = [line.text]
                else:
                    pieces = [str(piece).rstrip() for piece in Content(line.text).wrap(width)]
                for number, piece in enumerate(pieces):
                    self._pieces.append((len(self._shown), piece, number == 0))
                self._shown.append(line)

    def _wrap_again(self) -> None:
        self._pieces, self._shown = [], []
        self._wrap(self._lines)

    def _passes(self, line: LogLine) -> bool:
        return _RANK[line.level] >= _RANK[self.level] and (not self.words or _holds(line, self.words))

    # What is shown

    def filter(self, words: str) -> None:
        """Show only lines that hold each of `words` in text, time or level, in upper or lower case."""
        if words != self.words:
            self.words = words
            self._apply_filter()

    def next_level(self) -> None:
        """Change to the next level: all lines, warnings and errors, errors."""
        self.filter_level(LEVELS[(_RANK[self.level] + 1) % len(LEVELS)][0])

    def filter_level(self, level: Level) -> None:
        """Show only lines of `level` or worse."""
        self.level = level
        self._apply_filter()

    def _apply_filter(self) -> None:
        self._selected, self.following = None, True
        self._wrap_again()
        self._keep_position()

    def toggle_follow(self) -> None:
        self.following = not self.following
        self._keep_position()

    @property
    def line_count(self) -> int:
        return len(self._pieces)

    def scroll_lines(self, top: int) -> None:
        before = min(self.top, self.last_top)
        self.top = min(max(top, 0), self.last_top)
        # Scrolling up ends following the end, and scrolling down to the end begins it again.
        if self.top < before:
            self.following = False
        elif self.top == self.last_top and top > before:
            self.following = True
        self._keep_position()

    def action_move(self, by: int) -> None:
        # While lines are selected, the keys that scroll move the end of the selection.
        if self._selected:
            self.action_select_by(by)
        else:
            self.scroll_lines(min(self.top, self.last_top) + by)

    def on_resize(self, event: Resize) -> None:
        if self.content_size.width != self._wrapped_for and self._pieces:
            # The first line shown stays the first, and the end stays the end.
            at_end = self.top >= self.last_top
            kept = self._pieces[min(self.top, self.line_count - 1)][0]
            self._wrap_again()
            self.top = self.last_top if at_end else next(n for n, piece in enumerate(self._pieces) if piece[0] == kept)
        self._keep_position()

    # Finding

    def find(self, words: str, by: int = -1) -> bool:
        """Go to the next line with `words` below (`by` 1) or above (−1), wrapping at the ends; False if none."""
        self.sought = words
        matches = [
            index for index, line in enumerate(self._shown) if words and words.casefold() in line.text.casefold()
        ]
        if not matches:
            self.repaint()
            return False
        here = self._selected[1] if self._selected else len(self._shown)
        later = [index for index in matches if (index - here) * by > 0]
        self._select(*([(later or matches)[0 if by > 0 else -1]] * 2))
        return True

    # Selecting and copying

    def action_select(self) -> None:
        """Begin to select at the last line on the screen, or end it."""
        if self._selected or not self._shown:
            self.clear_selection()
        else:
            last = min(self.top + self.body_height, self.line_count) - 1
            self._select(*([self._pieces[last][0]] * 2))

    def action_select_by(self, by: int) -> None:
        if self._selected is None:
            self.action_select()
        else:
            start, end = self._selected
            self._select(start, end + by)

    def _select(self, start: int, end: int) -> None:
        end = min(max(end, 0), len(self._shown) - 1)
        self._selected, self.following = (start, end), False
        first = next(n for n, piece in enumerate(self._pieces) if piece[0] == end)
        top = min(self.top, self.last_top)
        self.top = min(max(top, first - self.body_height + 1), first)
        self.repaint()

    def clear_selection(self) -> None:
        self._selected, self.sought = None, ""
        self.repaint()

    @property
    def selecting(self) -> bool:
        return self._selected is not None

    def _index_at(self, y: int) -> int | None:
        number = self.top + y - self.head_height
        return self._pieces[number][0] if y >= self.head_height and number < self.line_count else None

    def on_mouse_down(self, event: MouseDown) -> None:
        offset = event.get_content_offset(self)
        index = self._index_at(offset.y) if offset else None
        if index is not None:
            self.capture_mouse()
            self._select(index, index)

    def on_mouse_move(self, event: MouseMove) -> None:
        offset = event.get_content_offset(self)
        index = self._index_at(offset.y) if offset and self._selected and event.button else None
        if index is not None and self._selected and index != self._selected[1]:
            self._select(self._selected[0], index)

    def on_mouse_up(self, event: MouseUp) -> None:
        self.release_mouse()

    def text_to_copy(self) -> tuple[str, int]:
        """Return the selected lines, else those on the screen, uncut; and their number."""
        if self._selected:
            first, last = sorted(self._selected)
        else:
            shown = self._pieces[self.top : self.top + self.body_height]
            first, last = (shown[0][0], shown[-1][0]) if shown else (0, -1)
        lines = self._shown[first : last + 1]
        return "\n".join(str(line) for line in lines), len(lines)

    # Painting

    def head(self, width: int, ink: Ink) -> tuple[Row, ...]:
        row: Row = (span("Log  ", bold=True),)
        words = [word for word in (dict(LEVELS)[self.level], f"with “{self.words}”" if self.words else "") if word]
        if words:
            of = f"{len(self._shown):,} of {formatting.several(len(self._lines), 'line')}"
            row = (*row, span(f"{', '.join(words)}: {of}  ", ink.warning))
        else:
            row = (*row, span(f"{formatting.several(len(self._shown), 'line')}  ", ink.muted))
        if self._selected:
            first, last = sorted(self._selected)
            return ((*row, span(f"{last - first + 1:,} selected: y copies, esc ends", ink.accent)),)
        if self.sought:
            return ((*row, span(f"“{self.sought}” is nowhere", ink.warning)),)
        if self.following:
            return ((*row, span("following", ink.muted)),)
        below = len(self._shown) - self._seen
        more = f", {below:,} new" if below > 0 else ""
        return ((*row, span(f"paused{more} (f follows)", ink.accent)),)

    def line(self, number: int, width: int, ink: Ink) -> Row:
        index, text, first = self._pieces[number]
        line = self._shown[index]
        colours: dict[str, Rgb] = {"info": ink.text, "warning": ink.warning, "error": ink.error}
        colour = colours[line.level]
        chosen = self._selected is not None and min(self._selected) <= index <= max(self._selected)
        ground = ink.cursor if chosen else None
        clock, mark = (str(line)[:8], str(line)[9]) if first else ("", "")
        # With a sign too: a background alone is nothing without colours.
        mark = "▸" if chosen and first and mark == " " else mark
        return (
            span(f"{clock:9}", ink.text if chosen else ink.muted, ground),
            span(f"{mark:2}", colour, ground, bold=True),
            span(text, colour, ground, bold=bool(self.sought) and chosen),
        )


def _fits(text: str, width: int) -> bool:
    return len(text) <= width if text.isascii() else cell_len(text) <= width


def _holds(line: LogLine, words: str) -> bool:
    text = f"{line.level} {line}".casefold()
    return all(word in text for word in words.casefold().split())
