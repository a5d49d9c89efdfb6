"""Keys in their turn: each goes to where the one before it has brought the focus.

Textual sends a key to the focused widget, from where it climbs to the application, which looks up what it is bound to.
Keys that arrive together, as from quick fingers over SSH, would all be sent before the first has done anything: of
`/abc` the letters would press keys of the screen instead of standing in the field that `/` opens.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from textual.events import Event, Key, Paste
from textual.message_pump import MessagePump
from textual.screen import Screen

from embcx_tui.tui.gc_pause import GcPauseApp

# A widget that is taken away with a key in its queue tells nobody: then the next key waits no longer than this.
_PATIENCE_S = 0.5


class KeyQueueApp(GcPauseApp):
    """An application that sends a key, or what is pasted, when the key before it has been dealt with.

    A key that is held down is sent at once: screens draw once for all its repetitions that wait.
    """

    def __init__(self) -> None:
        super().__init__()
        self._waiting: deque[Key | Paste] = deque()
        self._newest = ""  # the key sent last
        self._sent = 0  # how many were sent
        self._dealt_with = 0  # how many of them have been dealt with
        self._alarm: asyncio.TimerHandle | None = None

    async def on_event(self, event: Event) -> None:
        if isinstance(event, Key | Paste) and not event.is_forwarded:
            self._waiting.append(event)
            await self._send_waiting()
        else:
            await super().on_event(event)

    async def _send_waiting(self) -> None:
        while self._waiting and (self._dealt_with == self._sent or self._is_held(self._waiting[0])):
            event = self._waiting.popleft()
            self._newest = event.key if isinstance(event, Key) else ""
            self._sent += 1
            number, screen = self._sent, self.screen
            way: list[MessagePump] = [*(self.focused or screen).ancestors_with_self]
            # Before anything is awaited: whatever becomes of this key, the next one has its turn.
            self._wait_at_most(number)
            await super().on_event(event)
            # Twice: behind the key, then behind the messages of what it has set off, such as that a field is done.
            self._follow(way, partial(self._follow, way, partial(self._look, number, screen)))

    def _is_held(self, event: Key | Paste) -> bool:
        return isinstance(event, Key) and event.key == self._newest

    def _wait_at_most(self, number: int) -> None:
        if self._alarm:
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_later(_PATIENCE_S, self._end_turn, number)

    def _follow(self, way: Sequence[MessagePump], then: Callable[[], object]) -> None:
        """Go the way of a key through the queues of all it passes, behind it; those that are closing are passed by."""
        for place, pump in enumerate(way[:-1]):
            if pump.call_later(self._follow, way[place + 1 :], then):
                return
        # In the application's own queue, behind the key, and behind a focus that its action wished for.
        self.call_later(self.call_later, then)

    def _look(self, number: int, screen: Screen[object]) -> None:
        # A new screen has its focus when it has dealt with what is in its queue.
        if self.screen is screen or not self.screen.call_later(self._end_turn, number):
            self._end_turn(number)

    def _end_turn(self, number: int) -> None:
        self._dealt_with = max(self._dealt_with, number)
        if self._dealt_with == self._sent and self._alarm:
            self._alarm.cancel()
            self._alarm = None
        if self._waiting:
            self.call_later(self._send_waiting)
