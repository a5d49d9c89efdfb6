"""Python's collector of cyclic garbage, kept away from the keys.

A full collection walks all that is alive, a large study's events too, and stops the program for 50 ms, or for 250 ms
while a study trains on the same machine. Left alone, Python begins one while a study is being opened or a key handled.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

from textual.events import Event, InputEvent

LOOK_EVERY_S = 5.0
"""How often `GcPause.collect_if_due` is to be called."""

# A collection waits until nothing has been pressed for so long.
_QUIET_S = 3.0
# Python's own measure of when a full collection is due: so many collections of the middle generation.
_MIDDLE_COLLECTIONS = 10
_NEVER = 1_000_000_000


def disable_full_collections() -> None:
    """Keep this process from beginning a full collection by itself; `GcPause` runs them between keys."""
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, _NEVER)


class GcPause:
    """Collects the garbage of the application while the user presses no keys. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pressed_at = 0.0

    def note(self, event: Event) -> None:
        """Note the time of a key, a click or a paste."""
        if isinstance(event, InputEvent):
            self._pressed_at = self._clock()

    @property
    def quiet_s(self) -> float:
        """Seconds since the last key, click or paste."""
        return self._clock() - self._pressed_at

    def collect_if_due(self) -> bool:
        """Collect where it is due and the user has been quiet; return whether it was."""
        due = gc.get_count()[2] >= _MIDDLE_COLLECTIONS and self.quiet_s > _QUIET_S
        if due:
            gc.collect()
        return due
