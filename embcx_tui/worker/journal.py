"""The worker's journal: what the study says so far, and the only way to add to it, from any thread."""

from __future__ import annotations

import glob
import threading
import time

from embcx_tui.compute.timing import timed_part
from embcx_tui.store.files import is_intact, publish, read_sealed
from embcx_tui.store.journal import JournalWriter, read_journal
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import empty_snapshot, fold
from embcx_tui.study.events import AnyEvent, CheckpointSaved, SealedFile
from embcx_tui.worker.outlet import Folder


class Journal:
    """The journal of the study at `paths`, opened for writing by the holder of its lock; `snapshot` sums its events.

    It is the worker's own outlet (`worker.outlet.Outlet`): what is appended and published lies in the study's folder.
    """

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

    def publish(self, folder: Folder, name: str, data: bytes) -> SealedFile:
        """Write a file of the study, durably, in the place of an older one. Raises OSError."""
        with timed_part("files and journal"):
            return SealedFile(name=f"{folder}/{name}", sha256=publish(self.paths.root / folder / name, data))

    def read(self, file: SealedFile) -> bytes:
        """Return the bytes of a file; raises StoreError where it is missing or not what the journal announced."""
        return read_sealed(self.paths.root, file)

    def exists(self, file: SealedFile) -> bool:
        """Tell whether there is a file of that name."""
        return (self.paths.root / file.name).exists()

    def is_intact(self, file: SealedFile) -> bool:
        """Tell whether a file is there with the bytes that the journal announced."""
        return is_intact(self.paths.root, file)

    def keep_checkpoint(self, saved: CheckpointSaved) -> None:
        """Append the line of a published checkpoint, then remove the older ones of its cohort: whenever a crash comes,
        the file of the last line is whole.
        """
        path = self.paths.root / saved.file.name
        self.append(saved)
        for older in path.parent.glob(f"{glob.escape(saved.cohort)}.epoch*.safetensors"):
            if older != path:
                older.unlink(missing_ok=True)
