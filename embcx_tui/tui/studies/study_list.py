"""The list of studies: one line each, columns laid out for the width there is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from embcx_tui.analysis import formatting
from embcx_tui.store.paths import StudyPaths
from embcx_tui.tui import keys
from embcx_tui.tui.study_row import AT_CHANCE_SIGN, DIVERGED_SIGN, STATE_STYLES, StudyRow, state_content

GAP = 2
POINTER = "▌"
# The list says "3 min ago": often enough looked at to be true.
REFRESH_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its title, its width in cells (0: what is left), one where there is room for more, and the least width
    of the list it is shown at.
    """

    title: str
    width: int
    draw: Callable[[StudyRow, int, float], Content]
    wide_width: int = 0
    least: int = 0
    right: bool = False


def _name(row: StudyRow, width: int, now: float) -> Content:
    counts = ((DIVERGED_SIGN, row.diverged, "$text-error"), (AT_CHANCE_SIGN, row.at_chance, "$text-warning"))
    signs = Content.assemble(*((f" {sign}{count}", colour) for sign, count, colour in counts if count))
    # The signs stay where the name is cut.
    name = Content.styled(row.name, "$heading").truncate(max(width - signs.cell_length, 1), ellipsis=True)
    return name + signs


def _state(row: StudyRow, width: int, now: float) -> Content:
    return state_content(row.state)


def _progress(row: StudyRow, width: int, now: float) -> Content:
    if row.state == "unreadable":
        return Content("")
    # What is done needs no attention.
    colour = "$text-disabled" if row.state == "complete" else STATE_STYLES[row.state].colour
    done, rest = formatting.progress_line(row.fraction, width - 5)
    return Content.assemble((done, colour), (rest, "$bar-rest"), formatting.percent(row.fraction).rjust(5))


def _when(row: StudyRow, width: int, now: float) -> Content:
    if row.state == "running":
        if row.seconds_left is None:
            return Content.styled("just begun", "$text-accent")
        if now - row.updated > formatting.QUIET_S:
            return Content.styled("no news", "$text-warning")
        return Content.styled(formatting.left(row.seconds_left, row.updated, now), "$text-accent")
    return Content.styled(formatting.ago(row.created, now), "$text-muted")


def _datasets(row: StudyRow, width: int, now: float) -> Content:
    if row.settings is None:
        return Content("")
    names = [name.rpartition("/")[2] for name in row.settings.data.datasets]
    text = ", ".join(names)
    return Content(text if len(text) <= width or len(names) == 1 else f"{len(names)} sets")


def _networks(row: StudyRow, width: int, now: float) -> Content:
    return Content(f"{row.networks:,}" if row.networks else "")


def _scores(row: StudyRow, width: int, now: float) -> Content:
    if not row.scores:
        return Content.styled("–", "$text-disabled")
    (best, low), (worst, high) = row.scores[0], row.scores[-1]
    if best == worst:
        return Content(f"{low:.2f}")
    if width < 24:
        return Content(f"{low:.2f}–{high:.2f}")
    return Content.assemble(
        f"{low:.2f}",
        (f" {best}", "$text-muted"),
        (" … ", "$text-disabled"),
        f"{high:.2f}",
        (f" {worst}", "$text-muted"),
    )


COLUMNS = (
    Column("State", 10, _state),
    Column("Name", 0, _name),
    Column("Data", 7, _datasets, wide_width=16, least=70),
    Column("Nets", 4, _networks, least=60, right=True),
    Column("Done", 10, _progress, wide_width=18, least=44),
    Column("Last KL", 9, _scores, wide_width=29, least=76),
    Column("When", 10, _when, right=True),
)
TITLES = {"Last KL": "Last layer's KL", "Data": "Datasets", "Done": "Progress"}
# Who gets more room first; before that the name has what the longest one here needs, up to the second number.
WIDENED = ("Data", "Last KL", "Done")
NAME_ROOM = 17, 40


def layout(width: int, longest: int = 0) -> list[tuple[Column, int]]:
    """Return the columns to show in `width` cells, with their widths; the name takes what is left.

    `longest` is the length of the longest name.
    """
    shown = [column for column in COLUMNS if width >= column.least]
    widths = {column.title: column.width for column in shown}
    left = width - sum(widths.values()) - GAP * (len(shown) - 1)
    least, most = NAME_ROOM
    name = min(max(longest, least), most)
    for column in sorted((one for one in shown if one.title in WIDENED), key=lambda one: WIDENED.index(one.title)):
        more = column.wide_width - column.width
        if left - more >= name:
            widths[column.title] += more
            left -= more
    return [(column, widths[column.title] or max(left, 4)) for column in shown]


def _fit(content: Content, width: int, right: bool) -> Content:
    content = content.truncate(width, ellipsis=True)
    blank = width - content.cell_length
    return content.pad_left(blank) if right else content.pad_right(blank)


def draw_row(row: StudyRow, columns: Sequence[tuple[Column, int]], now: float) -> Content:
    """Return a study as one line."""
    cells = [_fit(column.draw(row, width, now), width, column.right) for column, width in columns]
    return Content("  ") + Content(" " * GAP).join(cells)


def draw_titles(columns: Sequence[tuple[Column, int]]) -> Content:
    """Return the line of column titles."""
    cells = [
        _fit(Content(TITLES[column.title] if width == column.wide_width else column.title), width, column.right)
        for column, width in columns
    ]
    return Content("  ") + Content(" " * GAP).join(cells)


class StudyList(OptionList):
    """The lines themselves; they are drawn by `StudyTable`."""

    BINDINGS: ClassVar[list[BindingType]] = keys.STUDY_LIST
    COMPONENT_CLASSES: ClassVar[set[str]] = {"study-list--pointer"}

    # Moving the pointer paints the two lines it concerns, not the whole list: 0.6 kB a key instead of 15 over SSH.
    highlighted: reactive[int | None] = reactive[int | None](None, repaint=False)

    # Textual hands over both values to a watcher that takes two.
    def watch_highlighted(self, before: int | None, after: int | None) -> None:  # type: ignore[override]
        super().watch_highlighted(after)
        for line in (before, after):
            if line is not None:
                self.refresh_line(line)

    def render_line(self, y: int) -> Strip:
        strip = super().render_line(y)
        if y + self.scroll_offset.y != self.highlighted:
            return strip
        pointer = Segment(POINTER, self.get_component_rich_style("study-list--pointer"))
        return Strip.join([strip.crop(0, 1), Strip([pointer], 1), strip.crop(2)])

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer to open only where there is something."""
        return action != "select" or self.option_count > 0


class StudyTable(Vertical):
    """The studies, newest first; only lines that changed are drawn again."""

    class Chosen(Message):
        """The person moved to another study; None where the list is empty."""

        def __init__(self, row: StudyRow | None) -> None:
            self.row = row
            super().__init__()

    class Entered(Message):
        """The person pressed Enter on a study, or clicked it."""

        def __init__(self, row: StudyRow) -> None:
            self.row = row
            super().__init__()

    def __init__(self) -> None:
        super().__init__()
        self._rows: tuple[StudyRow, ...] = ()
        self._columns: list[tuple[Column, int]] = []
        self._chosen: StudyPaths | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="titles")
        yield StudyList(id="list", markup=False)

    def on_mount(self) -> None:
        self.set_interval(REFRESH_EVERY_S, self._redraw)

    @property
    def chosen(self) -> StudyRow | None:
        """The row the pointer is on."""
        return next((row for row in self._rows if row.paths == self._chosen), None)

    def show(self, rows: tuple[StudyRow, ...]) -> None:
        """Show `rows`, the pointer staying on its study."""
        same = [row.paths for row in rows] == [row.paths for row in self._rows]
        before, self._rows = self.chosen, rows
        if self.size.width:
            self._lay_out(self.size.width)
        if same:
            self._redraw()
        else:
            self._rebuild()
        if self.chosen != before:
            self.post_message(self.Chosen(self.chosen))

    def on_resize(self, event: events.Resize) -> None:
        self._lay_out(event.size.width)
        self._redraw()

    def _lay_out(self, width: int) -> None:
        longest = max((cell_len(row.name) for row in self._rows), default=0)
        columns = layout(width - 4, longest)  # a blank at each side and the pointer
        if columns != self._columns:
            self._columns = columns
            self.query_one("#titles", Static).update(draw_titles(columns))

    def _rebuild(self) -> None:
        studies = self.query_one(StudyList)
        place = next((place for place, row in enumerate(self._rows) if row.paths == self._chosen), None)
        if place is None:
            # The chosen one has gone: the pointer stays where it was on the screen.
            place = min(studies.highlighted or 0, len(self._rows) - 1)
        self._chosen = self._rows[place].paths if self._rows else None
        now = formatting.now()
        with self.prevent(OptionList.OptionHighlighted):
            studies.clear_options()
            studies.add_options([Option(draw_row(row, self._columns, now), row.paths.id) for row in self._rows])
            studies.highlighted = place if self._rows else None

    def _redraw(self) -> None:
        studies = self.query_one(StudyList)
        if not self._columns or studies.option_count != len(self._rows):
            return
        now = formatting.now()
        for place, row in enumerate(self._rows):
            drawn = draw_row(row, self._columns, now)
            if not drawn.is_same(studies.get_option_at_index(place).prompt):  # type: ignore[arg-type]  # ours are Content
                studies.replace_option_prompt_at_index(place, drawn)

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        if event.option_index < len(self._rows):
            self._chosen = self._rows[event.option_index].paths
            self.post_message(self.Chosen(self.chosen))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.post_message(self.Entered(self._rows[event.option_index]))
