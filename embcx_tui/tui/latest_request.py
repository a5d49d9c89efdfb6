"""Background work on the latest request only: a held key asks many times, and requests in between are dropped."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class LatestRequest(Generic[T]):
    """Handles one request at a time. While one is handled, a newer request replaces the one that waits.

    It starts no task itself, so it works under any event loop: where `submit` returns True, the caller runs `run` in a
    task of its own, as `Widget.run_worker` does.
    """

    def __init__(self, handle: Callable[[T], Awaitable[None]]) -> None:
        self._handle = handle
        self._waiting: tuple[T] | None = None  # a tuple, since None may be a request too
        self._current: tuple[T] | None = None

    @property
    def waiting(self) -> bool:
        """Whether a request waits, so that work on the current one may end early."""
        return self._waiting is not None

    @property
    def current(self) -> T | None:
        """The request that is being handled, or None."""
        return self._current[0] if self._current else None

    @property
    def ready(self) -> bool:
        """Whether a request waits and nothing is being handled: `run` has to be started."""
        return self._waiting is not None and self._current is None

    def submit(self, request: T) -> bool:
        """Let `request` be the next to be handled, in place of any that waits; return `ready`."""
        self._waiting = (request,)
        return self.ready

    def withdraw(self) -> None:
        """Drop the request that waits, if there is one."""
        self._waiting = None

    async def run(self) -> None:
        """Handle requests until none waits. A second `run` beside the first returns at once."""
        if self._current is not None:
            return
        try:
            while self._waiting is not None:
                self._current, self._waiting = self._waiting, None
                await self._handle(self._current[0])
        finally:
            self._current = None
