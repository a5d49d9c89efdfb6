"""The first screen: the list of studies, the details of the one under the pointer, and the actions on it."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.reactive import reactive
from textual.timer import Timer
from textual.widgets import Static

from embcx_tui.store.paths import StudyPaths
from embcx_tui.tui import keys
from embcx_tui.tui.messages import (
    DeleteStudy,
    Mode,
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

# So long must the pointer rest on a study: a held arrow key moves it faster.
_RESTS_AFTER_S = 0.15
KEY = "$footer-key-foreground bold"
EMPTY = Content.assemble(
    ("No studies yet", "bold $heading"),
    "\n\npress ",
    ("n", KEY),
    " to configure one,\nor ",
    ("d", KEY),
    " for the one-minute demo\n\n",
    ("A study trains a grid of small networks and measures\nhow hard each hidden layer is to embed.", "$text-muted"),
)
# The states of a study in which each action is shown and works.
_ALLOWED = {
    "stop": ("running",),
    "delete": ("queued", "stopped", "complete", "failed", "lost", "unreadable"),
    "reuse": ("queued", "running", "stopped", "complete", "failed", "lost"),
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
        self._rests_on: StudyPaths | None = None
        self._resting: Timer | None = None

    def compose_body(self) -> ComposeResult:
        yield Static(Content.styled("looking for studies …", "$text-muted"), id="empty")
        with Container(id="body"):
            yield StudyTable(id="list")
            with VerticalScroll(id="details", can_focus=False):
                yield StudyDetails()

    def watch_rows(self) -> None:
        self._show()

    def watch_rows_complete(self) -> None:
        self._show()

    def _show(self) -> None:
        if not self.is_mounted:
            return
        self.query_one(StudyTable).show(self.rows)
        self.set_class(bool(self.rows), "-some")
        if self.rows_complete and not self.rows:
            self.query_one("#empty", Static).update(EMPTY)
        self._show_details()

    @on(StudyTable.Chosen)
    def chosen(self) -> None:
        self._show_details()

    def _show_details(self) -> None:
        row = self._row
        pane = self.query_one("#details")
        pane.border_title = Content(f" {row.name} ") if row else None
        self.query_one(StudyDetails).row = row
        self.refresh_bindings()
        self._rest_on(self.pointed if self.rows_complete else None)

    def _rest_on(self, paths: StudyPaths | None) -> None:
        """Post a message once the pointer has rested on a study."""
        if paths == self._rests_on:
            return
        self._rests_on = paths
        if self._resting:
            self._resting.stop()
        if paths:
            self._resting = self.set_timer(_RESTS_AFTER_S, lambda: self.post_message(PrefetchStudy(paths)))

    @property
    def pointed(self) -> StudyPaths | None:
        """The study under the pointer; None where it cannot be opened."""
        row = self._row
        return row.paths if row and row.state != "unreadable" else None

    @property
    def _row(self) -> StudyRow | None:
        return self.query_one(StudyTable).current if self.is_mounted else None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        allowed = _ALLOWED.get(action)
        row = self._row
        if action == "demo":
            return True
        if action == "resume":
            return row is not None and row.resumable
        return True if allowed is None else row is not None and row.state in allowed

    @on(StudyTable.Entered)
    def entered(self, event: StudyTable.Entered) -> None:
        if event.row.state == "unreadable":
            self.post_message(Say(event.row.reason, "error"))
        else:
            self.post_message(OpenStudy(event.row.paths))

    async def action_new(self) -> None:
        await self.run_action("app.mode('configure')")

    def action_demo(self) -> None:
        self.post_message(StartDemo())

    def action_resume(self) -> None:
        if row := self._row:
            self.post_message(StartStudy(row.paths))

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

    def action_delete(self) -> None:
        row = self._row
        if row is None:
            return

        def answered(answer: str | None) -> None:
            if answer == "delete":
                self.post_message(DeleteStudy(row.paths))

        self.app.push_screen(ask_to_delete(row), answered)
