"""The list of studies: one line per study, in columns for the width there is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from textual.binding import BindingType
from textual.events import Leave, MouseMove
from textual.message import Message

from embcx_tui.analysis import formatting
from embcx_tui.figures.spans import Row, Span
from embcx_tui.store.paths import StudyPaths
from embcx_tui.tui import keys
from embcx_tui.tui.study_row import AT_CHANCE_SIGN, DIVERGED_SIGN, STATE_STYLES, StudyRow
from embcx_tui.tui.widgets.line_widget import Ink, fit
from embcx_tui.tui.widgets.table import Column, Table, fit_columns

_POINTER = "▌"
# "3 min ago" changes with time alone.
_REFRESH_EVERY_S = 10.0
# The name has as many cells as the longest one needs, within these, before another column is widened.
_LEAST_NAME, _MOST_NAME = 17, 40


def _name(row: StudyRow, width: int, ink: Ink) -> Row:
    counts = ((DIVERGED_SIGN, row.diverged, ink.error), (AT_CHANCE_SIGN, row.at_chance, ink.warning))
    signs = tuple(Span(f" {sign}{count}", colour) for sign, count, colour in counts if count)
    # The signs stay where the name is cut.
    room = max(width - sum(cell_len(sign.text) for sign in signs), 1)
    name = row.name if cell_len(row.name) <= room else fit(row.name, room)
    return Span(name, ink.colour("heading")), *signs


def _state(row: StudyRow, width: int, ink: Ink) -> Row:
    style = STATE_STYLES["unreadable" if row.damage else row.state]
    return (Span(f"{style.sign} {style.word}", ink.colour(style.colour)),)


def _progress(row: StudyRow, width: int, ink: Ink) -> Row:
    if row.state == "unreadable":
        return ()
    # A complete study needs no attention.
    colour = ink.colour("text-disabled" if row.state == "complete" else STATE_STYLES[row.state].colour)
    done, rest = formatting.progress_line(row.fraction, width - 5)
    return Span(done, colour), Span(rest, ink.colour("bar-rest")), Span(formatting.percent(row.fraction).rjust(5))


def _when(row: StudyRow, width: int, ink: Ink) -> Row:
    now = formatting.now()
    if row.state != "running":
        return (Span(formatting.ago(row.created, now), ink.colour("text-muted")),)
    if row.seconds_left is None:
        return (Span("just begun", ink.colour("text-accent")),)
    if now - row.updated > formatting.QUIET_S:
        return (Span("no news", ink.warning),)
    return (Span(formatting.left(row.seconds_left, row.updated, now), ink.colour("text-accent")),)


def _datasets(row: StudyRow, width: int, ink: Ink) -> Row:
    if row.settings is None:
        return ()
    names = [name.rpartition("/")[2] for name in row.settings.data.datasets]
    text = ", ".join(names)
    return (Span(text if len(text) <= width or len(names) == 1 else f"{len(names)} sets"),)


def _networks(row: StudyRow, width: int, ink: Ink) -> Row:
    return (Span(f"{row.networks:,}" if row.networks else ""),)


def _scores(row: StudyRow, width: int, ink: Ink) -> Row:
    faint, muted = ink.colour("text-disabled"), ink.colour("text-muted")
    if not row.scores:
        return (Span("–", faint),)
    (best, low), (worst, high) = row.scores[0], row.scores[-1]
    if best == worst:
        return (Span(f"{low:.2f}"),)
    if width < 24:
        return (Span(f"{low:.2f}–{high:.2f}"),)
    return (
        Span(f"{low:.2f}"),
        Span(f" {best}", muted),
        Span(" … ", faint),
        Span(f"{high:.2f}"),
        Span(f" {worst}", muted),
    )


COLUMNS: tuple[Column[StudyRow], ...] = (
    Column("State", 10, _state),
    Column("Name", 4, _name, stretches=True),
    Column("Data", 7, _datasets, least=73, wide=16, widen=1, wide_title="Datasets"),
    Column("Nets", 4, _networks, least=63, right=True),
    Column("Done", 10, _progress, least=47, wide=18, widen=3, wide_title="Progress"),
    Column("Last KL", 9, _scores, least=79, wide=29, widen=2, wide_title="Last layer's KL"),
    Column("When", 10, _when, right=True),
)


class StudyTable(Table[StudyRow]):
    """The studies, newest first."""

    BINDINGS: ClassVar[list[BindingType]] = keys.STUDY_LIST

    @dataclass
    class Entered(Message):
        """The user pressed Enter on a study, or clicked it."""

        row: StudyRow

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._hovered: int | None = None

    def on_mount(self) -> None:
        self.set_interval(_REFRESH_EVERY_S, self.redraw)

    def show(self, rows: tuple[StudyRow, ...]) -> None:
        """Show `rows`; the pointer stays on its study."""
        same = [row.paths for row in rows] == [row.paths for row in self.items]
        self.set_items(rows)
        if not same:
            self.scroll_to_pointer()

    # Keys and mouse

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer to open only where there is something."""
        return action != "select" or bool(self.items)

    def action_select(self) -> None:
        if self.current:
            self.post_message(self.Entered(self.current))

    def action_move(self, by: int) -> None:
        # One step up from the first study leads to the last, and back.
        index = self.pointer + by
        self.go_to(index % max(len(self.items), 1) if abs(by) == 1 else index)

    def clicked(self, index: int) -> None:
        super().clicked(index)
        self.action_select()

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
        return fit_columns(COLUMNS, width, self.gap, lead=3, room=min(max(longest, _LEAST_NAME), _MOST_NAME))

    def lead(self, item: StudyRow | None, here: bool, ink: Ink) -> Row:
        return Span(" "), Span(_POINTER, ink.colour("text-primary")) if here else Span(" "), Span(" ")

    def line_style(self, item: StudyRow, here: bool, ink: Ink) -> Span:
        hovered = self._hovered is not None and self._hovered < len(self.items) and item is self.items[self._hovered]
        ground = "chosen" if here else "block-hover-background" if hovered else ""
        return Span("", None, ink.colour(ground) if ground else None)

    def title_style(self, ink: Ink) -> Span:
        return Span("", ink.colour("text-muted"), ink.colour("surface"))
