"""The presets to start from, and the sentence of the one under the cursor."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from embcx_tui.study.settings import load_preset, preset_names
from embcx_tui.tui.widgets.choices import Choices


class PresetRow(Widget):
    """One preset of all, or none once a field was changed; below them what it is."""

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield Static("start from", classes="label")
            yield Choices(preset_names(), single=True, id="presets")
        yield Static(id="about-preset")

    def on_mount(self) -> None:
        for name in ("chosen", "cursor", "has_focus"):
            self.watch(self.choices, name, self._say, init=False)

    @property
    def choices(self) -> Choices:
        """The presets themselves."""
        return self.query_one(Choices)

    def _say(self) -> None:
        """Show the sentence of the preset under the cursor, or of the chosen one where the cursor is elsewhere."""
        name = preset_names()[self.choices.cursor] if self.choices.has_focus else "".join(self.choices.chosen)
        self.query_one("#about-preset", Static).update(Content(load_preset(name).about if name else ""))
