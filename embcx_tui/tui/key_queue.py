"""A queue of keys: each goes to the widget that has the focus after the key before it has been handled.

Textual sends a key to the focused widget, from where it bubbles to the application, which looks up its binding. Keys
that arrive together, as from quick fingers over SSH, would all be sent before the first has done anything: of `/abc`
the letters would press keys of the screen instead of standing in the field that `/` opens.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from textual.app import App
from textual.events import Event, Key, Paste
from textual.message_pump import MessagePump
from textual.screen import Screen

# A widget that is removed with a key in its queue reports nothing: the next key waits no longer than this.
_PATIENCE_S = 0.5


class KeyQueue:
    """Holds back a key or a paste until the key before it has been handled, then gives it to `dispatch`.

    A key that is held down is dispatched at once: screens draw once for all its repetitions that wait.
    """

    def __init__(self, app: App[None], dispatch: Callable[[Event], Awaitable[None]]) -> None:
        self._app = app
        self._dispatch = dispatch
        self._waiting: deque[Key | Paste] = deque()
        self._newest = ""  # the key dispatched last
        self._dispatched = 0  # how many were dispatched
        self._handled = 0  # how many of them have been handled
        self._alarm: asyncio.TimerHandle | None = None

    async def handle(self, event: Event) -> None:
        """Dispatch `event`: a key or a paste in its turn, anything else now."""
        if isinstance(event, Key | Paste) and not event.is_forwarded:
            self._waiting.append(event)
            await self._dispatch_waiting()
        else:
            await self._dispatch(event)

    async def _dispatch_waiting(self) -> None:
        while self._waiting and (self._handled == self._dispatched or self._is_held(self._waiting[0])):
            event = self._waiting.popleft()
            self._newest = event.key if isinstance(event, Key) else ""
            self._dispatched += 1
            number, screen = self._dispatched, self._app.screen
            route: list[MessagePump] = [*(self._app.focused or screen).ancestors_with_self]
            # Before anything is awaited: whatever becomes of this key, the next one has its turn.
            self._set_alarm(number)
            await self._dispatch(event)
            # Twice: behind the key, then behind the messages that handling it has posted, such as that a field is done.
            self._follow(route, partial(self._follow, route, partial(self._await_new_screen, number, screen)))

    def _is_held(self, event: Key | Paste) -> bool:
        return isinstance(event, Key) and event.key == self._newest

    def _set_alarm(self, number: int) -> None:
        if self._alarm:
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_later(_PATIENCE_S, self._end_turn, number)

    def _follow(self, route: Sequence[MessagePump], then: Callable[[], object]) -> None:
        """Go through the queues of all widgets that a key bubbles through, behind it; those that close are skipped."""
        for index, pump in enumerate(route[:-1]):
            if pump.call_later(self._follow, route[index + 1 :], then):
                return
        # In the application's own queue: behind the key, and behind a change of focus that its action asked for.
        self._app.call_later(self._app.call_later, then)

    def _await_new_screen(self, number: int, screen: Screen[object]) -> None:
        # A new screen has its focus when it has worked off its queue.
        new = self._app.screen
        if new is screen or not new.call_later(self._end_turn, number):
            self._end_turn(number)

    def _end_turn(self, number: int) -> None:
        self._handled = max(self._handled, number)
        if self._handled == self._dispatched and self._alarm:
            self._alarm.cancel()
            self._alarm = None
        if self._waiting:
            self._app.call_later(self._dispatch_waiting)
