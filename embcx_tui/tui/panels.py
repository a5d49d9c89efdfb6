"""The panels of a screen: tab goes from one to the next, and each can take the whole screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.screen import Screen
from textual.widget import Widget


class Panels:
    """The panels of a screen, in the order of the tab key.

    While one of them has the whole screen, the screen has the class `-zoomed` and the panel the class `-alone`; the
    rest is up to the style sheet.

    Parameters
    ----------
    ids : the panels' ids
    container : returns the widget that is shown or hidden for a panel; the panel itself unless told
    """

    def __init__(
        self,
        screen: Screen[object],
        ids: Sequence[str],
        container: Callable[[Widget], Widget] = lambda panel: panel,
    ) -> None:
        self._screen, self._ids, self._container = screen, ids, container

    @property
    def all(self) -> list[Widget]:
        return [self._screen.query_one(f"#{id}") for id in self._ids]

    def next(self, by: int, among: Sequence[Widget] | None = None) -> Widget:
        """Return the panel `by` panels after the focused one; with no panel focused, counted from before the first."""
        panels = self.all if among is None else among
        focused = next((index for index, panel in enumerate(panels) if panel.has_focus), -1)
        return panels[(focused + by) % len(panels)]

    @property
    def zoomed(self) -> bool:
        """Whether one panel has the whole screen."""
        return self._screen.has_class("-zoomed")

    def zoom(self, panel: Widget) -> None:
        """Give a panel the whole screen."""
        for other in self.all:
            self._container(other).set_class(other is panel, "-alone")
        self._screen.add_class("-zoomed")

    def unzoom(self) -> None:
        self._screen.remove_class("-zoomed")
