"""What is copied in the layer browser: what is under the cursor, and the table of numbers in three formats."""

from __future__ import annotations

from typing import NamedTuple

from textual.app import App
from textual.widget import Widget

from embcx_tui.analysis.formatting import several
from embcx_tui.analysis.layer_table import FORMATS, LayerTable, table_text
from embcx_tui.study.text import safe_text
from embcx_tui.tui.layers.controller import LayersController
from embcx_tui.tui.layers.numbers_table import NumbersTable
from embcx_tui.tui.messages import Say
from embcx_tui.tui.widgets.dialogs import Answer, Ask
from embcx_tui.tui.widgets.line_widget import LineWidget

# What the panels are called in a message, by their ids.
_PANELS = {"bars": "the chart", "scatter": "the points", "numbers": "the numbers"}


class Copied(NamedTuple):
    """A text for the clipboard, and what it is in words."""

    text: str
    words: str


def text_under_cursor(focused: Widget | None, controller: LayersController) -> Copied | None:
    """Return the table's cell, what another panel shows, or the id of the network that the tree has selected."""
    if isinstance(focused, NumbersTable):
        return Copied(focused.cell.text, f"“{focused.cell.text}”") if focused.cell else None
    if isinstance(focused, LineWidget):
        return Copied(focused.shown_text, _PANELS.get(focused.id or "", "the panel"))
    if network := controller.network:
        return Copied(network.id, safe_text(network.id))
    return None


def ask_to_copy_table(app: App[object], table: LayerTable) -> None:
    """Ask in which format, and copy the whole table."""

    def copy(format: str | None) -> None:
        if format:
            app.copy_to_clipboard(table_text(table, format))
            app.screen.post_message(Say(f"Copied {several(len(table.rows), 'row')} as {format}"))

    answers = [Answer(name, name) for name in FORMATS]
    words = f"{several(len(table.rows), 'row')} of {len(table.columns)} columns, as ordered here"
    app.push_screen(Ask("Copy the table of numbers", words, answers), copy)
