"""Saving a figure: a small window that asks for the format and shows where the file is."""

from __future__ import annotations

import asyncio
import sys
from pathlib import PurePath
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from embcx_tui.store.paths import StudyPaths
from embcx_tui.study.text import safe_text
from embcx_tui.tui import keys

FORMATS = ("png", "svg", "pdf")
# A path longer than this is still a path; it is shown whole, since a person copies it.
_LONGEST_PATH = 4_000


def export_command(paths: StudyPaths, figure: str, kind: str) -> tuple[str, ...]:
    """Return the command that draws `figure` of a study into its exports folder and prints the file's path.

    Another process: matplotlib takes half a second to import and has no place in the application.
    """
    # -P: a file named like one of our modules in the current directory must not be imported instead.
    command = (sys.executable, "-P", "-m", "embcx_tui", "export", paths.id)
    return (*command, "--figure", figure, "--format", kind, "--out", str(paths.exports))


async def export(paths: StudyPaths, figure: str, kind: str) -> tuple[str, bool]:
    """Draw and write a figure; return the file's path and True, or what went wrong in one line and False."""
    process = await asyncio.create_subprocess_exec(
        *export_command(paths, figure, kind),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, errors = await process.communicate()
    except asyncio.CancelledError:
        # The window was closed while it was being drawn.
        process.kill()
        raise
    said = [line for line in out.decode(errors="replace").splitlines() if line.strip()]
    if process.returncode == 0 and said:
        return safe_text(said[-1], _LONGEST_PATH), True
    told = [line for line in errors.decode(errors="replace").splitlines() if line.strip()]
    return safe_text(told[-1] if told else f"the drawing ended without a word (code {process.returncode})"), False


class ExportDialog(ModalScreen[None]):
    """Asks for a format, draws `figure` (a name of `embcx-tui export`) and stays until its path has been read."""

    CSS_PATH: ClassVar[list[str | PurePath]] = ["dialogs.tcss", "export.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [
        *keys.DIALOG,
        keys.hidden("left", "app.focus_previous"),
        keys.hidden("right", "app.focus_next"),
    ]

    def __init__(self, paths: StudyPaths, figure: str, title: str) -> None:
        super().__init__()
        self._paths = paths
        self._figure = figure
        self._title = title

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Content("Save a figure"), classes="dialog-title")
            yield Static(Content(f"{self._title}, into this study's exports. Which format?"), classes="dialog-text")
            yield Static(id="outcome")
            with Horizontal(classes="dialog-answers"):
                for kind in FORMATS:
                    yield Button(kind.upper(), id=kind)
                yield Button("Cancel", id="close")

    def on_mount(self) -> None:
        self.query_one("#outcome").display = False

    @on(Button.Pressed)
    def pressed(self, event: Button.Pressed) -> None:
        if event.button.id in FORMATS:
            self._save(event.button.id)
        else:
            self.dismiss()

    def action_cancel(self) -> None:
        self.dismiss()

    def _say(self, text: str | Content) -> None:
        outcome = self.query_one("#outcome", Static)
        outcome.display = True
        outcome.update(Content(text) if isinstance(text, str) else text)

    @work(exclusive=True)
    async def _save(self, kind: str) -> None:
        for button in self.query(Button):
            button.disabled = button.id in FORMATS
        self._say(f"Drawing {kind.upper()} …")
        text, written = await export(self._paths, self._figure, kind)
        self.set_class(not written, "-failed")
        self._say(Content.assemble(("Saved: ", "$text-success"), text) if written else text)
        close = self.query_one("#close", Button)
        close.label = "Close"
        for button in self.query(Button):
            button.disabled = False
        close.focus()
