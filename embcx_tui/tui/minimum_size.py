"""The smallest terminal that screens are laid out for, and the one line shown where the terminal is too small."""

from __future__ import annotations

from typing import Any

from textual.events import DescendantFocus, Resize
from textual.geometry import Size
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input

LEAST_WIDTH, LEAST_HEIGHT = 40, 12
# How to quit comes first: it can still be read where the line is cut.
TOO_SMALL = f"q quits · needs {LEAST_WIDTH}×{LEAST_HEIGHT} cells"


def too_small(size: Size) -> bool:
    """Return whether a terminal of this size, in cells, is too small for any screen."""
    return size.width < LEAST_WIDTH or size.height < LEAST_HEIGHT


class MinimumSizeScreen(Screen[Any]):
    """A screen that keeps its focus while the terminal is too small: Textual takes the focus from hidden widgets."""

    def __init__(self) -> None:
        super().__init__()
        self._small = False
        self._focused_before: Widget | None = None

    def on_resize(self, event: Resize) -> None:
        small = too_small(event.size)
        if small and not self._small:
            self._focused_before = self.focused
            # Hidden now, before Textual lays it out: it cannot wrap text to a width of 0.
            self.set_class(event.size.width < LEAST_WIDTH, "-tiny")
            self.set_class(event.size.height < LEAST_HEIGHT, "-flat")
            self.update_node_styles(animate=False)
        elif self._small and not small:
            self.call_after_refresh(self._restore_focus)
        self._small = small

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        # A blinking cursor prints half a kilobyte per second while nothing happens.
        if isinstance(event.widget, Input):
            event.widget.cursor_blink = False

    def _restore_focus(self) -> None:
        widget = self._focused_before
        if widget and not self._small:
            # Through the widget's own queue, which may still hold the message that the widget was hidden.
            widget.call_later(self._focus_again, widget)

    def _focus_again(self, widget: Widget) -> None:
        if self.focused is None and not self._small:
            self.set_focus(widget, scroll_visible=False)
