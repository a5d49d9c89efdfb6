"""The study's log: follows its end while one is at the end, and stays put while one reads further up."""

from __future__ import annotations

from textual.events import Resize

from embcx_tui.figures.terminal import Row
from embcx_tui.store.log import LogLine
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.tui import phrases
from embcx_tui.tui.painted import RGB, Ink, span
from embcx_tui.tui.scrolled import Scrolled


class LogPanel(Scrolled):
    """Shows the lines of a snapshot's log that hold every word of `words`."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._study = ""
        self._lines: tuple[LogLine, ...] = ()
        self._shown: list[LogLine] = []
        self._seen = 0
        self.words = ""
        self.following = True

    def show(self, snapshot: Snapshot | None) -> None:
        """Show the log of `snapshot`; what is on the screen stays there unless its end is being followed."""
        study = snapshot.id if snapshot else ""
        lines = snapshot.log if snapshot else ()
        if study != self._study or len(lines) < len(self._lines):
            self._study, self._shown, self._seen, self.following, self._lines = study, [], 0, True, ()
        new = lines[len(self._lines) :]
        self._lines = lines
        self._shown.extend(line for line in new if self._holds(line))
        if self.following:
            self.top = self.last_top
            self._seen = len(self._shown)
        self.repaint()

    def _holds(self, line: LogLine) -> bool:
        text = str(line).casefold()
        return all(word in text for word in self.words.casefold().split())

    def filter(self, words: str) -> None:
        """Show only lines with every one of `words`, wherever they stand and however they are written."""
        self.words = words
        self._shown = [line for line in self._lines if self._holds(line)]
        self._seen = len(self._shown)
        self.top = self.last_top
        self.following = True
        self.repaint()

    def toggle_follow(self) -> None:
        self.following = not self.following
        self.scroll_lines(self.last_top if self.following else self.top)

    @property
    def line_count(self) -> int:
        return len(self._shown)

    def scroll_lines(self, top: int) -> None:
        before = self.top
        self.top = min(max(top, 0), self.last_top)
        # Reading further up is enough to stay there; coming back to the end follows it again.
        self.following = self.top == self.last_top and (self.following or self.top > before or top >= self.last_top)
        if self.top == self.last_top:
            self._seen = len(self._shown)
        self.repaint()

    def on_resize(self, event: Resize) -> None:
        if self.following:
            self.top = self.last_top
        super().on_resize(event)

    def head(self, width: int, ink: Ink) -> tuple[Row, ...]:
        row: Row = (span("Log  ", bold=True),)
        count = len(self._shown)
        if self.words:
            of = f"{count:,} of {phrases.several(len(self._lines), 'line')}"
            row = (*row, span(f"with “{self.words}”: {of}  ", ink.warning))
        else:
            row = (*row, span(f"{phrases.several(count, 'line')}  ", ink.muted))
        if self.following:
            return ((*row, span("follows its end", ink.muted)),)
        below = count - self._seen
        more = f", {below:,} new below" if below > 0 else ""
        return ((*row, span(f"stays here{more}: f follows", ink.accent)),)

    def line(self, number: int, width: int, ink: Ink) -> Row:
        line = self._shown[number]
        colours: dict[str, RGB] = {"info": ink.text, "warning": ink.warning, "error": ink.error}
        clock, mark, text = str(line)[:8], str(line)[9], line.text
        colour = colours[line.level]
        return (span(f"{clock} ", ink.muted), span(f"{mark} ", colour, bold=True), span(text, colour))
