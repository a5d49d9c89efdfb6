"""The study's log: follows its end while one is at the end, and stays put while one reads further up."""

from __future__ import annotations

from collections.abc import Iterable

from rich.cells import cell_len
from textual.content import Content
from textual.events import Resize

from embcx_tui.figures.terminal import Row
from embcx_tui.store.log import LogLine
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.tui import phrases
from embcx_tui.tui.painted import RGB, Ink, span
from embcx_tui.tui.scrolled import Scrolled

# "09:00:38 ! ": what stands before a line's text, and is left empty before the rest of a long one.
_MARGIN = 11
_LEAST_TEXT = 20


class LogPanel(Scrolled):
    """Shows the lines of a snapshot's log that hold every word of `words`; long ones go on below."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._study = ""
        self._lines: tuple[LogLine, ...] = ()
        self._shown = 0  # lines that the filter lets through
        self._seen = 0  # how many of them there were when the end was last on the screen
        self._pieces: list[tuple[LogLine, str, bool]] = []  # (line, piece of its text, whether it is the first)
        self._wrapped_for = 0
        self.words = ""
        self.following = True

    def show(self, snapshot: Snapshot | None) -> None:
        """Show the log of `snapshot`; what is on the screen stays there unless its end is being followed."""
        study = snapshot.id if snapshot else ""
        lines = snapshot.log if snapshot else ()
        if study != self._study or len(lines) < len(self._lines):
            self._study, self.following, self._lines = study, True, ()
            self._shown = self._seen = 0
            self._pieces = []
        new = lines[len(self._lines) :]
        self._lines = lines
        self._wrap(new)
        self._keep_place()

    def _keep_place(self) -> None:
        if self.following:
            self.top, self._seen = self.last_top, self._shown
        self.repaint()

    def _wrap(self, lines: Iterable[LogLine]) -> None:
        # Kept, since it is 0 while the panel is hidden: what is wrapped then is wrapped again when it shows.
        self._wrapped_for = self.content_size.width
        width = max(self._wrapped_for - 1 - _MARGIN, _LEAST_TEXT)
        for line in lines:
            if self._holds(line):
                self._shown += 1
                pieces = [line.text] if cell_len(line.text) <= width else Content(line.text).wrap(width)
                for place, piece in enumerate(pieces):
                    self._pieces.append((line, str(piece).rstrip(), place == 0))

    def _wrap_again(self) -> None:
        self._pieces, self._shown = [], 0
        self._wrap(self._lines)

    def _holds(self, line: LogLine) -> bool:
        text = f"{line.level} {line}".casefold()
        return all(word in text for word in self.words.casefold().split())

    def filter(self, words: str) -> None:
        """Show only lines with every one of `words` in text, time or level, however they are written."""
        if words != self.words:
            self.words = words
            self._wrap_again()
            self.following = True
            self._keep_place()

    def toggle_follow(self) -> None:
        self.following = not self.following
        self._keep_place()

    @property
    def line_count(self) -> int:
        return len(self._pieces)

    def scroll_lines(self, top: int) -> None:
        before = self.top
        self.top = min(max(top, 0), self.last_top)
        # Reading further up is enough to stay there; going down to the end is enough to follow it again.
        if self.top < before:
            self.following = False
        elif self.top == self.last_top and top > before:
            self.following = True
        self._keep_place()

    def on_resize(self, event: Resize) -> None:
        if self.content_size.width != self._wrapped_for:
            self._wrap_again()
        self._keep_place()

    def head(self, width: int, ink: Ink) -> tuple[Row, ...]:
        row: Row = (span("Log  ", bold=True),)
        if self.words:
            of = f"{self._shown:,} of {phrases.several(len(self._lines), 'line')}"
            row = (*row, span(f"with “{self.words}”: {of}  ", ink.warning))
        else:
            row = (*row, span(f"{phrases.several(self._shown, 'line')}  ", ink.muted))
        if self.following:
            return ((*row, span("follows its end", ink.muted)),)
        below = self._shown - self._seen
        more = f", {below:,} new below" if below > 0 else ""
        return ((*row, span(f"stays here{more}: f follows", ink.accent)),)

    def line(self, number: int, width: int, ink: Ink) -> Row:
        line, text, first = self._pieces[number]
        colours: dict[str, RGB] = {"info": ink.text, "warning": ink.warning, "error": ink.error}
        colour = colours[line.level]
        clock, mark = (str(line)[:8], str(line)[9]) if first else ("", "")
        return (span(f"{clock:9}", ink.muted), span(f"{mark:2}", colour, bold=True), span(text, colour))
