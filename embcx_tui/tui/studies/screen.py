"""The first screen: the list of studies, the details of the one under the pointer, and the actions on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.events import Resize
from textual.reactive import reactive
from textual.timer import Timer
from textual.widgets import Static

from embcx_tui.store.paths import StudyPaths
from embcx_tui.study.text import safe_text
from embcx_tui.tui import keys
from embcx_tui.tui.messages import (
    CompareStudies,
    DeleteStudies,
    LabelStudy,
    Mode,
    MoveInQueue,
    OpenStudy,
    PrefetchStudy,
    ReuseStudy,
    Say,
    StartDemo,
    StartStudy,
    StopStudy,
)
from embcx_tui.tui.mode_screen import ModeScreen
from embcx_tui.tui.studies.details import StudyDetails
from embcx_tui.tui.studies.study_list import StudyTable
from embcx_tui.tui.study_actions import ask_to_delete
from embcx_tui.tui.study_row import StudyRow
from embcx_tui.tui.widgets.dialogs import AskText
from embcx_tui.tui.widgets.filter_line import StudiesFilter

if TYPE_CHECKING:  # numpy comes with these: not before the first frame
    from embcx_tui.figures.model import Figure
    from embcx_tui.tui.widgets.figure_view import FigureView

# So long must the pointer rest on a study: a held arrow key moves it faster.
_RESTS_AFTER_S = 0.15
# A picture of the study stands beside its details where the screen is as wide and high as these classes say.
_PICTURED = ("-wide", "-huge")
# As analysis.comparison.MOST_STUDIES, whose module brings numpy.
MOST_COMPARED = 6
KEY = "$footer-key-foreground bold"
EMPTY = Content.assemble(
    ("No studies yet", "bold $heading"),
    "\n\npress ",
    ("n", KEY),
    " to configure one,\nor ",
    ("T", KEY),
    " for the one-minute demo\n\n",
    ("A study trains a grid of small networks and measures\nhow hard each hidden layer is to embed.", "$text-muted"),
)
# The states of a study in which each action is shown and works.
_ALLOWED = {
    "reuse": ("queued", "running", "stopped", "complete", "failed", "lost"),
    "note": ("queued", "running", "stopped", "complete", "failed", "lost"),
    "rename": ("queued", "running", "stopped", "complete", "failed", "lost"),
}


class StudiesScreen(ModeScreen):
    """Shows `rows`, newest first; the application sets them."""

    CSS_PATH = "studies.tcss"
    MODE: ClassVar[Mode] = "studies"
    BINDINGS: ClassVar[list[BindingType]] = keys.STUDIES
    AUTO_FOCUS = "#list"

    rows: reactive[tuple[StudyRow, ...]] = reactive[tuple[StudyRow, ...]](())
    rows_complete: reactive[bool] = reactive(False)

    def __init__(self) -> None:
        super().__init__()
        self._rests_on: StudyRow | None = None
        self._resting: Timer | None = None
        self._canvas: FigureView | None = None

    def compose_body(self) -> ComposeResult:
        yield Static(Content.styled("looking for studies …", "$text-muted"), id="empty")
        with Container(id="body"):
            with Container(id="listed"):
                yield StudyTable(id="list")
                yield StudiesFilter()
            with Container(id="pane"), VerticalScroll(id="details", can_focus=False):
                yield StudyDetails()

    def watch_rows(self) -> None:
        self._show()

    def watch_rows_complete(self) -> None:
        self._show()

    def watch_paths(self) -> None:
        self._show()

    def _show(self) -> None:
        if not self.is_mounted:
            return
        self.query_one(StudyTable).show(self.rows, self.paths)
        self.set_class(bool(self.rows), "-some")
        if self.rows_complete and not self.rows:
            self.query_one("#empty", Static).update(EMPTY)
        self._show_details()

    @on(StudyTable.Chosen)
    def chosen(self) -> None:
        self._show_details()

    def _show_details(self) -> None:
        row = self._row
        pane = self.query_one("#pane")
        pane.border_title = Content(f" {row.name} ") if row else None
        details = self.query_one(StudyDetails)
        details.above = self._table.above
        details.row = row
        self._say_counts()
        self.refresh_bindings()
        self._rest_on(row if self.rows_complete and self.pointed else None)

    def _say_counts(self) -> None:
        """Say how many studies the filter leaves, and how many are marked."""
        table, words = self._table, []
        if table.words.strip():
            words.append(f"{len(table.items):,} of {table.total:,}" if table.items else "no study matches")
        if marked := len(table.marked):
            delete, compare = (keys.written(self.app, id) for id in ("studies.delete", "studies.compare"))
            them = f" · {compare} compares them · {delete} deletes them" if marked > 1 else f" · {delete} deletes it"
            words.append(f"{marked} marked{them}")
        self.query_one(StudiesFilter).say(" · ".join(words))

    @property
    def _table(self) -> StudyTable:
        return self.query_one(StudyTable)

    # The study that the pointer rests on

    def _rest_on(self, row: StudyRow | None) -> None:
        """Post a message once the pointer has rested on a study, and when that changes."""
        if row == self._rests_on:
            return
        moved = row is None or self._rests_on is None or row.paths != self._rests_on.paths
        self._rests_on = row
        if self._resting:
            self._resting.stop()
        if self._canvas and moved:
            self._canvas.show(None)
        if row:
            self._resting = self.set_timer(_RESTS_AFTER_S, self._rested)

    def _rested(self) -> None:
        if self._rests_on:
            picture = any(self.has_class(name) for name in _PICTURED)
            self.post_message(PrefetchStudy(self._rests_on.paths, picture))

    def on_resize(self, event: Resize) -> None:
        if self._rests_on and (self._canvas is None or self._canvas.figure is None):
            self._rested()

    def show_picture(self, paths: StudyPaths, figure: Figure | None) -> None:
        """Show the picture of a study, unless the pointer has left it meanwhile."""
        row = self._row
        if row is None or row.paths != paths:
            return
        if self._canvas is None:
            from embcx_tui.tui.widgets.figure_view import FigureView

            self._canvas = FigureView(id="picture")
            self._canvas.can_focus = False
            self.query_one("#pane").mount(self._canvas)
        self._canvas.show(figure, "" if figure else "nothing measured yet")

    @property
    def pointed(self) -> StudyPaths | None:
        """The study under the pointer; None where it cannot be opened."""
        row = self._row
        return row.paths if row and row.state != "unreadable" else None

    @property
    def _row(self) -> StudyRow | None:
        return self._table.current if self.is_mounted else None

    @property
    def _chosen_rows(self) -> tuple[StudyRow, ...]:
        """The marked studies, else the one under the pointer."""
        row = self._row
        return self._table.marked_rows or ((row,) if row else ())

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        allowed = _ALLOWED.get(action)
        row = self._row
        if action == "resume":
            return row is not None and row.resumable and not (row.place and row.waits)
        if action == "stop":
            return row is not None and (row.state == "running" or bool(row.place) or bool(row.job and row.job.waits))
        if action in ("start_now", "queue"):
            return row is not None and bool(row.place)
        if action == "compare":
            # Shown, but faint, while there are not two.
            return True if len(self._table.marked) > 1 else None if self.rows else False
        if action in ("delete", "copy", "copy_table", "filter"):
            return bool(self.rows) if action in ("filter", "delete") else row is not None
        return True if allowed is None else row is not None and row.state in allowed

    @on(StudyTable.Entered)
    def entered(self, event: StudyTable.Entered) -> None:
        if event.row.state == "unreadable":
            self.post_message(Say(event.row.reason, "error"))
        else:
            self.post_message(OpenStudy(event.row.paths))

    def action_filter(self) -> None:
        self.query_one(StudiesFilter).open()

    @on(StudiesFilter.Changed)
    def filtered(self) -> None:
        self._table.filter(self.query_one(StudiesFilter).words)
        self._show_details()

    @on(StudiesFilter.Left)
    def filter_left(self) -> None:
        self._table.focus()
        self._say_counts()

    def action_back(self) -> None:
        """Show all studies again, or forget the marks."""
        line = self.query_one(StudiesFilter)
        if line.words.strip():
            line.clear()
        else:
            self._table.clear_marks()

    async def action_new(self) -> None:
        await self.run_action("app.mode('configure')")

    def action_demo(self) -> None:
        self.post_message(StartDemo())

    def action_resume(self) -> None:
        if row := self._row:
            self.post_message(StartStudy(row.paths))

    def action_start_now(self) -> None:
        if row := self._row:
            self.post_message(StartStudy(row.paths, now=True))

    def action_queue(self, by: int) -> None:
        if row := self._row:
            self.post_message(MoveInQueue(row.paths, by))

    def action_stop(self) -> None:
        if row := self._row:
            self.post_message(StopStudy(row.paths))

    def action_reuse(self) -> None:
        if (row := self._row) is None or row.settings is None:
            return
        from embcx_tui.study.naming import is_measured  # pydantic, which came with the settings

        if is_measured(row.settings):
            words = "Networks that were trained elsewhere are no grid; begin again with: embcx-tui measure FILE…"
            self.post_message(Say(words, "warning"))
        else:
            self.post_message(ReuseStudy(row.settings))

    def action_copy(self) -> None:
        value = self._table.value
        self.app.copy_to_clipboard(value)
        self.post_message(Say(f"copied “{safe_text(value, 60)}”"))

    def action_copy_table(self) -> None:
        text = self._table.as_text()
        self.app.copy_to_clipboard(text)
        self.post_message(Say(f"copied {text.count(chr(10))} studies as a table with tabs"))

    def action_compare(self) -> None:
        rows = [row for row in self._table.marked_rows if row.settings]
        if not 2 <= len(rows) <= MOST_COMPARED:
            self.post_message(Say(f"2 to {MOST_COMPARED} studies can be compared, not {len(rows)}", "warning"))
        else:
            self.post_message(CompareStudies(tuple(row.paths for row in rows)))

    def action_rename(self) -> None:
        row = self._row
        if row is None:
            return
        paths, name = row.paths, row.name

        def answered(answer: str | None) -> None:
            if answer is not None and answer != name:
                self.post_message(LabelStudy(paths, name=answer))

        words = "What the study is called from now on. Its id and its study file stay; empty: the name in that file."
        self.app.push_screen(AskText("Rename the study", words, name, "Rename", empty=True), answered)

    def action_note(self) -> None:
        row = self._row
        if row is None:
            return
        paths, note = row.paths, row.note

        def answered(answer: str | None) -> None:
            if answer is not None and answer != note:
                self.post_message(LabelStudy(paths, note=answer))

        words = f"A note on “{row.name}”, found by the filter; empty: none."
        self.app.push_screen(AskText("Note", words, note, "Save", empty=True), answered)

    def action_delete(self) -> None:
        rows = self._chosen_rows
        running = tuple(row for row in rows if row.state == "running")
        rows = tuple(row for row in rows if row.state != "running")
        if not rows:
            if running:
                self.post_message(Say(f"“{running[0].name}” is running: stop it first (x)", "warning"))
            return

        def answered(answer: str | None) -> None:
            if answer == "delete":
                self.post_message(DeleteStudies(tuple(row.paths for row in rows)))

        self.app.push_screen(ask_to_delete(rows, running), answered)
