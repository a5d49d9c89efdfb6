"""The window of the command palette: Textual's, without what would print while nothing happens."""

from __future__ import annotations

from textual.command import CommandInput, CommandList, CommandPalette
from textual.events import Resize

from embcx_tui.tui.minimum_size import too_small

# Delay of a new layout after a resize: a window that is being dragged sends many sizes.
_SETTLED_S = 0.2


class Palette(CommandPalette):
    """Textual's palette with a cursor that does not blink: that printed 1 kB per second while nothing happened."""

    def on_mount(self) -> None:
        self._small = too_small(self.size)
        self.query_one(CommandInput).cursor_blink = False

    def on_resize(self, event: Resize) -> None:
        small, self._small = self._small, too_small(event.size)
        if small and not self._small:
            self.set_timer(_SETTLED_S, self._lay_out)

    def _lay_out(self) -> None:
        """Lay out the list once more: its height, counted without a width, can stay 0."""
        for commands in self.query(CommandList):
            commands.refresh(layout=True)
