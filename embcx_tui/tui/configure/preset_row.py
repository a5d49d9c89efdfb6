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
    """One preset of all, or none once a field was changed; below them what it is, in as many lines either way, so that
    a first change does not move the field that it is made in.
    """

    def __init__(self) -> None:
        super().__init__()
        self._otherwise = ""

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
        chosen = "".join(self.choices.chosen)
        if chosen:
            self._otherwise = f"{chosen}, with changes."
        name = preset_names()[self.choices.cursor] if self.choices.has_focus else chosen
        about = load_preset(name).about if name else self._otherwise
        self.query_one("#about-preset", Static).update(Content(about))

    def clear(self) -> None:
        """Choose none: the settings come from elsewhere, such as another study."""
        self.choices.chosen = ()
        self._otherwise = "Settings of another study, or of a file."
        self._say()
