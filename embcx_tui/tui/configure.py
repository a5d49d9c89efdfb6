"""The form over a study file."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Static

from embcx_tui.tui import keys
from embcx_tui.tui.frame import ModeScreen


class ConfigureScreen(ModeScreen):
    MODE = "configure"
    BINDINGS = keys.CONFIGURE

    def compose_body(self) -> ComposeResult:
        yield Static("form")
