"""The list of studies, with the details of the one that is chosen."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.reactive import reactive
from textual.widgets import Static

from embcx_tui.tui import keys
from embcx_tui.tui.frame import ModeScreen
from embcx_tui.tui.rows import StudyRow


class StudiesScreen(ModeScreen):
    MODE = "studies"
    BINDINGS = keys.STUDIES
    rows: reactive[tuple[StudyRow, ...]] = reactive(())
    rows_complete = reactive(False)

    def compose_body(self) -> ComposeResult:
        yield Static("studies", id="x")

    def watch_rows(self, rows):
        self.query_one("#x", Static).update(str(len(rows)))
