"""Fetching datasets from inside the application: one after the other, each in the numerics process."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from textual.message import Message

from embcx_tui.study.errors import EmbcxError
from embcx_tui.study.text import safe_text
from embcx_tui.tui.fetch_progress import Fetch
from embcx_tui.tui.messages import FetchChanged, Say

# The speed is that of the last so many seconds.
_SPEED_S = 5.0


class _Cancelled(Exception):
    """The user has stopped the fetching."""


class DataFetches:
    """Fetches datasets in a thread, the next when one is done; `post` gets a message with each change.

    What has arrived of a file when that ends, by the user or by the network, is kept, and the next fetch goes on there.
    """

    def __init__(self, post: Callable[[Message], object]) -> None:
        self._post = post
        self._waiting: deque[str] = deque()
        self._current = ""
        self._cancelled = False
        self._lock = threading.Lock()

    @property
    def active(self) -> bool:
        """Whether a dataset is being fetched."""
        return bool(self._current)

    def fetch(self, names: Sequence[str]) -> None:
        """Fetch datasets, after those that are asked for already."""
        with self._lock:
            self._cancelled = False
            self._waiting.extend(name for name in names if name not in self._waiting and name != self._current)
            if self._current or not self._waiting:
                return
            self._current = self._waiting.popleft()
        # A thread of its own, not of a pool: leaving must not wait for the network.
        threading.Thread(target=self._run, name="data-fetch", daemon=True).start()

    def cancel(self) -> None:
        """Stop fetching; what has arrived is kept."""
        with self._lock:
            self._waiting.clear()
            self._cancelled = True

    def _run(self) -> None:
        while self._current:
            self._fetch_one(self._current)
            with self._lock:
                self._current = self._waiting.popleft() if self._waiting else ""
        self._post(FetchChanged(None))

    def _fetch_one(self, name: str) -> None:
        from embcx_tui.worker import launch

        began: deque[tuple[float, int]] = deque()

        def moved(line: dict[str, object]) -> None:
            if self._cancelled:
                raise _Cancelled
            done, total = line.get("bytes"), line.get("total")
            if isinstance(done, int) and isinstance(total, int):
                now = time.monotonic()
                began.append((now, done))
                while now - began[0][0] > _SPEED_S:
                    began.popleft()
                seconds = now - began[0][0]
                self._post(FetchChanged(Fetch(name, done, total, (done - began[0][1]) / seconds if seconds else 0.0)))

        self._post(FetchChanged(Fetch(name)))
        try:
            launch.ask("data-fetch", name, on_line=moved)
        except _Cancelled:
            self._post(Say(f"{name}: stopped; what has arrived is kept, the next fetch goes on there"))
        except (EmbcxError, OSError) as error:
            self._post(Say(safe_text(error, 600), "error"))
        else:
            self._post(Say(f"{name} is here"))
