"""A line of tabs for panels of which only one fits on the screen."""

from __future__ import annotations

from dataclasses import dataclass

from textual.events import Click
from textual.message import Message

from embcx_tui.figures.cells import Row
from embcx_tui.tui.widgets.line_widget import Ink, LineWidget, row_width, span


class PanelTabs(LineWidget):
    """One row with the names of panels; a click on one brings it to the front."""

    @dataclass
    class Picked(Message):
        """A name was clicked."""

        name: str

    def __init__(self, names: tuple[str, ...], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._names = names
        self._front = names[0]

    def show(self, front: str) -> None:
        self._front = front
        self.repaint()

    def paint(self, width: int, height: int, ink: Ink) -> tuple[Row, ...]:
        row: Row = ()
        for name in self._names:
            here = name == self._front
            title = f"╴{name.capitalize()}╶" if here else f" {name.capitalize()} "
            row = (*row, span(title, ink.text if here else ink.muted, bold=here), span("─", ink.faint))
        return ((*row, span("─" * (width - row_width(row)), ink.faint)),)

    def on_click(self, event: Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None:
            return
        at = offset.x
        for name in self._names:
            if at < len(name) + 3:
                self.post_message(self.Picked(name))
                return
            at -= len(name) + 3
