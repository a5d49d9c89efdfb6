"""The worker's journal: what the study says so far, and the only way to add to it, from any thread."""

from __future__ import annotations

import threading
import time

from embcx_tui.compute.timing import timed_part
from embcx_tui.store.journal import JournalWriter, read_journal
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import empty_snapshot, fold
from embcx_tui.study.events import AnyEvent


class Journal:
    """The journal of the study at `paths`, opened for writing by the holder of its lock; `snapshot` sums its events."""

    def __init__(self, paths: StudyPaths) -> None:
        self.paths = paths
        self._lock = threading.Lock()
        start = empty_snapshot(paths)
        self._writer = JournalWriter(paths.journal)
        self.snapshot = fold(start, read_journal(paths.journal).events)

    @timed_part("files and journal")
    def append(self, event: AnyEvent) -> None:
        """Write `event`, stamped with the time unless it has one; it is durable when this returns. Raises OSError."""
        with self._lock:
            event = event.model_copy(update={"at": event.at or time.time()})
            self._writer.append(event)
            self.snapshot = fold(self.snapshot, (event,))
