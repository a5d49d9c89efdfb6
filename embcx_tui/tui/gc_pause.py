"""Python's collector of cyclic garbage, kept away from the keys.

A full collection walks all that is alive, a large study's events too, and stops the program for 50 ms, for 250 ms where
a study trains beside. By itself Python begins one in the midst of opening a study or of a key.
"""

from __future__ import annotations

import gc
import time

from textual.app import App
from textual.events import Event, InputEvent

# How often a moment for a full collection is looked for, and how long nothing must have been pressed.
_LOOK_EVERY_S = 5.0
_QUIET_S = 3.0
# Python's own measure of when it is time: so many collections of the younger objects.
_YOUNGER = 10
_NEVER = 1_000_000_000


def collect_when_quiet() -> None:
    """Let this process begin no full collection by itself; a `GcPauseApp` does so between keys."""
    younger, middle, _ = gc.get_threshold()
    gc.set_threshold(younger, middle, _NEVER)


class GcPauseApp(App[None]):
    """An application that collects its garbage when nobody presses keys."""

    _pressed_at = 0.0

    def on_mount(self) -> None:
        self.set_interval(_LOOK_EVERY_S, self.tidy)

    async def on_event(self, event: Event) -> None:
        if isinstance(event, InputEvent):
            self._pressed_at = time.monotonic()
        await super().on_event(event)

    @property
    def quiet_s(self) -> float:
        """For how long nothing was pressed, in seconds."""
        return time.monotonic() - self._pressed_at

    def tidy(self) -> bool:
        """Collect now where it is time and nothing was pressed lately; tell whether it was."""
        due = gc.get_count()[2] >= _YOUNGER and self.quiet_s > _QUIET_S
        if due:
            gc.collect()
        return due
