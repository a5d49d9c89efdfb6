"""Terminals too small for any layout: one line says so, `q` works, and everything comes back as it was."""

from __future__ import annotations

from typing import Any

from textual.events import Resize
from textual.geometry import Size
from textual.screen import Screen
from textual.widget import Widget

LEAST_WIDTH, LEAST_HEIGHT = 40, 12
# The way out comes first: it is still read where the line is cut.
TOO_SMALL = f"q quits · needs {LEAST_WIDTH}×{LEAST_HEIGHT} cells"


def too_small(size: Size) -> bool:
    """Return whether nothing can be laid out on so many cells."""
    return size.width < LEAST_WIDTH or size.height < LEAST_HEIGHT


class Steady(Screen[Any]):
    """A screen whose focus survives a terminal that becomes too small: what is hidden loses it."""

    def __init__(self) -> None:
        super().__init__()
        self._small = False
        self._focused_before: Widget | None = None

    def on_resize(self, event: Resize) -> None:
        small = too_small(event.size)
        if small and not self._small:
            self._focused_before = self.focused
            # Hidden before Textual lays it out, which it does first: text of no width at all cannot be wrapped.
            self.set_class(event.size.width < LEAST_WIDTH, "-tiny")
            self.set_class(event.size.height < LEAST_HEIGHT, "-flat")
            self.update_node_styles(animate=False)
        elif self._small and not small:
            self.call_after_refresh(self._restore_focus)
        self._small = small

    def _restore_focus(self) -> None:
        widget = self._focused_before
        if widget and not self._small:
            # Through the widget's own queue: in it may still be the message that it was hidden.
            widget.call_later(self._focus_again, widget)

    def _focus_again(self, widget: Widget) -> None:
        if self.focused is None and not self._small:
            self.set_focus(widget, scroll_visible=False)
