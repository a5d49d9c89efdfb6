"""Reads study folders in threads and posts what has changed; the handlers of the messages own the state."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, NamedTuple

from textual.message import Message

from embcx_tui.store import lock
from embcx_tui.store.library import created_at, list_studies
from embcx_tui.store.machine_records import Telemetry, read_telemetry
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.plain_files import file_stamp
from embcx_tui.store.snapshot import Snapshot, StudyReader
from embcx_tui.study.dataset_catalogue import file_exists
from embcx_tui.study.errors import EmbcxError, error_line
from embcx_tui.study.text import safe_text
from embcx_tui.tui.lru_cache import LruCache
from embcx_tui.tui.messages import Say, StudiesRead, StudyPictured, StudyRead, StudyUnreadable, TelemetryRead
from embcx_tui.tui.queue_rows import with_queue
from embcx_tui.tui.study_row import StudyRow, row_of, unreadable_row

if TYPE_CHECKING:  # numpy comes with it, which the list does not wait for
    from embcx_tui.figures.model import Figure

# How often the open study is read: a worker writes one line per epoch, and users notice a second.
STUDY_EVERY_S = 1.0
# The list changes slowly, and looking at 50 finished studies takes some 5 ms of another thread.
STUDIES_EVERY_S = 2.0
# SLURM's controller serves a whole cluster: it is asked about studies that wait no more often than this.
JOBS_EVERY_S = 60.0
# While the list is read for the first time, the rows read so far are shown this often.
PARTIAL_EVERY_S = 0.15
# A folder counts as unreadable after this many failures in a row: network file systems fail now and then.
UNREADABLE_AFTER = 3
# The open study, the one before it, and the one under the cursor; the largest are some 10 MB each.
_KEPT_READERS = 3
# Pictures of studies in the list, each some kilobytes.
_KEPT_PICTURES = 64
# Of the studies read for the list, so many bytes of journals are kept: some 40 MB of memory.
LISTED_BYTES = 8 << 20


class _Fingerprint(NamedTuple):
    """Changes whenever a study changes: while it is the same, so is the study's row."""

    running: bool
    size: int
    modified: float
    settings_modified: float
    label: tuple[int, ...]
    job: tuple[int, ...]


def _fingerprint(paths: StudyPaths) -> _Fingerprint:
    size, modified = -1, 0.0
    running = lock.is_running(paths)
    with contextlib.suppress(OSError):
        stat = paths.journal.lstat()
        size, modified = stat.st_size, stat.st_mtime
    return _Fingerprint(running, size, modified, created_at(paths), file_stamp(paths.label), file_stamp(paths.job))


class SharedReader(StudyReader):
    """A reader that several threads may use."""

    def __init__(self, paths: StudyPaths) -> None:
        super().__init__(paths)
        self._lock = threading.RLock()

    def poll(self) -> Snapshot:
        with self._lock:
            return super().poll()

    @property
    def size(self) -> int:
        """Bytes of the journal read so far."""
        return self._position


class Readers:
    """Keeps the readers of the studies last opened or pointed at, and of the newest in the list; thread-safe.

    Reading 280 networks takes 0.15 s, and three times that while a study trains: each study is read once.
    """

    def __init__(self) -> None:
        self._opened: LruCache[str, SharedReader] = LruCache(_KEPT_READERS, dropped=self._put)
        self._listed: dict[str, SharedReader] = {}
        self._pictures: LruCache[str, tuple[Snapshot, Figure]] = LruCache(_KEPT_PICTURES)
        self._lock = threading.Lock()

    def open(self, paths: StudyPaths) -> StudyReader:
        """Return the reader of a study that is opened. Raises StoreError where there is no such study any more."""
        with self._lock:
            reader = self._opened.pop(paths.id) or self._listed.pop(paths.id, None)
            reader = reader if reader and file_exists(paths.study_file) else SharedReader(paths)
            self._opened[paths.id] = reader
            return reader

    def listed(self, paths: StudyPaths) -> StudyReader:
        """Return the reader of a study for its row in the list. Raises StoreError where there is no such study."""
        with self._lock:
            return self._opened.get(paths.id) or self._listed.get(paths.id) or SharedReader(paths)

    def keep(self, reader: StudyReader) -> None:
        """Keep a reader that `listed` returned and that has read its study, where there is room."""
        with self._lock:
            if isinstance(reader, SharedReader) and reader.paths.id not in self._opened:
                self._put(reader)

    def keep_only(self, ids: Collection[str]) -> None:
        """Drop the readers of studies that are no longer listed."""
        with self._lock:
            self._listed = {id: reader for id, reader in self._listed.items() if id in ids}

    def _put(self, reader: SharedReader) -> None:
        self._listed.pop(reader.paths.id, None)
        if sum(one.size for one in self._listed.values()) + reader.size <= LISTED_BYTES:
            self._listed[reader.paths.id] = reader

    def prefetch(self, paths: StudyPaths) -> Snapshot | None:
        """Read a study that may be opened next; its errors are reported when it is opened."""
        with contextlib.suppress(EmbcxError, OSError):
            snapshot = self.open(paths).poll()
            snapshot.networks  # noqa: B018  # computed here, and kept by the snapshot
            return snapshot
        return None

    def picture(self, paths: StudyPaths) -> Figure | None:
        """Return the picture of a study for the list; None where it cannot be read or has nothing measured yet."""
        from embcx_tui.figures.complexity_lines import study_lines

        snapshot = self.prefetch(paths)
        if snapshot is None or not snapshot.measured:
            return None
        with self._lock:
            kept = self._pictures.get(paths.id)
        if kept is None or kept[0] is not snapshot:
            kept = snapshot, study_lines(snapshot)
            with self._lock:
                self._pictures[paths.id] = kept
        return kept[1]


class StudiesReader:
    """The rows of all studies; a study is read again only when its journal or lock has changed."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self._rows_read: dict[str, tuple[_Fingerprint, StudyRow]] = {}
        self._running: dict[str, StudyReader] = {}

    def read(self) -> Iterator[tuple[tuple[StudyRow, ...], bool]]:
        """Yield the rows read so far with False, now and then, and at last all of them with True."""
        studies = list_studies()
        shown = time.monotonic()
        for paths in studies:
            self._look(paths)
            if time.monotonic() - shown > PARTIAL_EVERY_S:
                shown = time.monotonic()
                yield self._rows(studies), False
        listed = {paths.id for paths in studies}
        self._rows_read = {key: value for key, value in self._rows_read.items() if key in listed}
        self._running = {key: value for key, value in self._running.items() if key in listed}
        self._readers.keep_only(listed)
        yield self._rows(studies), True

    def _rows(self, studies: tuple[StudyPaths, ...]) -> tuple[StudyRow, ...]:
        return with_queue([self._rows_read[paths.id][1] for paths in studies if paths.id in self._rows_read])

    def _look(self, paths: StudyPaths) -> None:
        fingerprint = _fingerprint(paths)
        before = self._rows_read.get(paths.id)
        if before and before[0] == fingerprint:
            return
        created = created_at(paths)
        try:
            # A running study keeps its reader; a finished one is read once, and kept to be opened while there is room.
            reader = self._running.pop(paths.id, None) or self._readers.listed(paths)
            if fingerprint.running:
                self._running[paths.id] = reader
            row = row_of(paths, reader.poll(), created)
            self._readers.keep(reader)
        except (EmbcxError, OSError) as error:
            row = unreadable_row(paths, created, safe_text(error))
        self._rows_read[paths.id] = (fingerprint, row)


class StudyWatcher:
    """Follows the list of studies and the open study, and gives `post` a message for each change.

    `wake` makes it look at once; else it looks every second or two.
    """

    def __init__(self, post: Callable[[Message], object], wake: asyncio.Event) -> None:
        self._post, self._wake = post, wake
        self._readers = Readers()
        self._jobs_asked = float("-inf")

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)

    async def prefetch(self, paths: StudyPaths, picture: bool) -> None:
        """Read a study that may be opened next, and post a picture of it where one is wanted."""
        if picture:
            self._post(StudyPictured(paths, await asyncio.to_thread(self._readers.picture, paths)))
        else:
            await asyncio.to_thread(self._readers.prefetch, paths)

    async def follow_studies(self) -> None:
        """Post the list of studies until cancelled."""
        reader = StudiesReader(self._readers)
        last: tuple[StudyRow, ...] | None = None
        complete = False
        said = ""
        while True:
            self._wake.clear()
            steps = reader.read()
            try:
                while (step := await asyncio.to_thread(next, steps, None)) is not None:
                    rows, whole = step
                    # While it is read again, a half-read list must not replace a whole one.
                    if (whole or not complete) and (rows != last or whole != complete):
                        self._post(StudiesRead(rows, whole))
                        last, complete = rows, complete or whole
            except OSError as error:  # a folder that may not be entered
                if error_line(error) != said:
                    said = error_line(error)
                    self._post(Say(said, "error"))
            self._ask_for_jobs(last or ())
            await self._sleep(STUDIES_EVERY_S)

    def _ask_for_jobs(self, rows: Collection[StudyRow]) -> None:
        """Let SLURM be asked about the studies that wait for it, or were lost; what it says changes their records.

        In a daemon thread: neither the list nor leaving may wait for a controller that does not answer.
        """
        waiting = [row.paths for row in rows if row.state != "running" and file_stamp(row.paths.job)]
        if not waiting or time.monotonic() - self._jobs_asked < JOBS_EVERY_S:
            return
        self._jobs_asked = time.monotonic()
        from embcx_tui.worker.slurm import refresh

        threading.Thread(target=refresh, args=(waiting,), name="jobs", daemon=True).start()

    async def follow_study(self, paths: StudyPaths) -> None:
        """Post each change of one study, and its machine's telemetry while it runs, until cancelled."""
        reader: StudyReader | None = None
        telemetry: tuple[Telemetry, ...] | None = None
        failures = 0
        snapshot = None
        while True:
            self._wake.clear()
            try:
                if reader is None:
                    reader = await asyncio.to_thread(self._readers.open, paths)
                new = await asyncio.to_thread(reader.poll)
                failures = 0
            except EmbcxError as error:
                failures += 1
                if reader is None or failures >= UNREADABLE_AFTER:
                    self._post(StudyUnreadable(paths, safe_text(error)))
                    return
            else:
                if new is not snapshot:
                    snapshot = new
                    self._post(StudyRead(paths, snapshot))
                if snapshot.state == "running" or telemetry is None:
                    samples = await asyncio.to_thread(read_telemetry, paths.telemetry)
                    if samples != telemetry:
                        telemetry = samples
                        self._post(TelemetryRead(paths, samples))
            await self._sleep(STUDY_EVERY_S)
