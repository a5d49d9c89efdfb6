"""The panels of the layer browser: which one has the keys, and which one the whole screen."""

from __future__ import annotations

from textual.widget import Widget

from embcx_tui.tui.mode_screen import ModeScreen
from embcx_tui.tui.widgets.canvas import Canvas


class LayersPanels(ModeScreen):
    """Moves between the tree, the chart, the points and the numbers."""

    @property
    def _panels(self) -> list[Widget]:
        return [self.query_one(f"#{name}") for name in ("tree", "bars", "scatter", "numbers")]

    def action_panel(self, by: int) -> None:
        zoomed = self.has_class("-zoomed")
        panels = [one for one in self._panels if (isinstance(one, Canvas) if zoomed else one.display)]
        at = panels.index(self.focused) if self.focused in panels else -1
        self.bring(panels[(at + by) % len(panels)])

    def action_zoom(self) -> None:
        if self.has_class("-zoomed"):
            self.unzoom()
            return
        panel = self.focused if isinstance(self.focused, Canvas) else self.query_one("#scatter", Canvas)
        self._zoom(panel)
        panel.focus()

    def bring(self, panel: Widget) -> None:
        """Focus a panel; while one has the whole screen, this one takes it."""
        if self.has_class("-zoomed"):
            self._zoom(panel)
        panel.focus()

    def unzoom(self) -> None:
        self.remove_class("-zoomed")

    def _zoom(self, panel: Widget) -> None:
        for one in self._panels:
            one.set_class(one is panel, "-front")
        self.add_class("-zoomed")
