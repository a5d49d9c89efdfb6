"""Reads study folders off the loop and posts what it found; the handlers own the state."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from textual.message import Message

from embcx_tui.store import lock
from embcx_tui.store.library import list_studies
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.reader import StudyReader
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.store.telemetry import Telemetry, read_telemetry
from embcx_tui.study.errors import EmbcxError
from embcx_tui.study.text import safe_text
from embcx_tui.tui.messages import StudiesRead, StudyRead, StudyUnreadable, TelemetryRead
from embcx_tui.tui.study_row import StudyRow, row_of, unreadable_row

# How often the open study is read: a worker writes a line an epoch, a person notices a second.
STUDY_EVERY_S = 1.0
# The list changes slowly, and a look at 50 finished studies costs some 5 ms of another thread.
STUDIES_EVERY_S = 2.0
# While the list is read for the first time, what is known so far is shown this often.
PARTIAL_EVERY_S = 0.15
# A closed folder is counted as unreadable only after this many looks in a row: NFS hiccups.
UNREADABLE_AFTER = 3
# The open study, the one before it, and the one under the cursor; the largest are some 10 MB each.
_KEPT_READERS = 3
# Of those that were read for the list as many stay as have journals of so many bytes: some 40 MB of memory.
_LISTED_BYTES = 8 << 20

Post = Callable[[Message], object]


class _Sign(NamedTuple):
    """What changes when a study changes: as long as it is the same, its row is."""

    held: bool
    size: int
    modified: float


def _sign(paths: StudyPaths) -> _Sign:
    held = lock.is_held(paths.lock)
    try:
        stat = paths.journal.stat()
    except OSError:
        return _Sign(held, -1, 0.0)
    return _Sign(held, stat.st_size, stat.st_mtime)


class _Shared(StudyReader):
    """A reader that several threads may ask, one after the other."""

    def __init__(self, paths: StudyPaths) -> None:
        super().__init__(paths)
        self._turn = threading.RLock()

    def poll(self) -> Snapshot:
        with self._turn:
            return super().poll()

    @property
    def size(self) -> int:
        """How many bytes of the journal it holds."""
        return self._position


class Readers:
    """The readers of the studies last looked at, and of the newest of the list.

    To read 280 networks is 0.15 s of computing, three times that beside a study that trains: once is enough.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _Shared] = OrderedDict()
        self._listed: dict[str, _Shared] = {}
        self._turn = threading.Lock()

    def open(self, paths: StudyPaths) -> StudyReader:
        """Return the reader of a study. Raises StoreError where it is none, or has gone."""
        with self._turn:
            reader = self._kept.pop(paths.id, None) or self._listed.pop(paths.id, None)
            reader = reader if reader and paths.study_file.exists() else _Shared(paths)
            self._kept[paths.id] = reader
            if len(self._kept) > _KEPT_READERS:
                self._put(self._kept.popitem(last=False)[1])
            return reader

    def listed(self, paths: StudyPaths) -> StudyReader:
        """Return the reader of a study whose line of the list is wanted. Raises StoreError where it is none."""
        with self._turn:
            return self._kept.get(paths.id) or self._listed.get(paths.id) or _Shared(paths)

    def keep(self, reader: StudyReader) -> None:
        """Keep a reader that `listed` returned, now that it has read, where there is room."""
        with self._turn:
            if isinstance(reader, _Shared) and reader.paths.id not in self._kept:
                self._put(reader)

    def keep_only(self, ids: Collection[str]) -> None:
        """Forget the studies that are listed no more."""
        with self._turn:
            self._listed = {id: reader for id, reader in self._listed.items() if id in ids}

    def _put(self, reader: _Shared) -> None:
        self._listed.pop(reader.paths.id, None)
        if sum(one.size for one in self._listed.values()) + reader.size <= _LISTED_BYTES:
            self._listed[reader.paths.id] = reader

    def look_ahead(self, paths: StudyPaths) -> None:
        """Read a study that may be opened next; what is wrong with it is said when it is."""
        with contextlib.suppress(EmbcxError, OSError):
            self.open(paths).poll().networks  # noqa: B018  # counted here, and kept by the snapshot


class StudiesReader:
    """The rows of all studies; a study is read again only when its journal or lock has changed."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self._known: dict[str, tuple[_Sign, StudyRow]] = {}
        self._running: dict[str, StudyReader] = {}

    def read(self) -> Iterator[tuple[tuple[StudyRow, ...], bool]]:
        """Yield the rows known so far, and at last all of them with True."""
        studies = list_studies()
        shown = time.monotonic()
        for paths in studies:
            self._look(paths)
            if time.monotonic() - shown > PARTIAL_EVERY_S:
                shown = time.monotonic()
                yield self._rows(studies), False
        listed = {paths.id for paths in studies}
        self._known = {key: value for key, value in self._known.items() if key in listed}
        self._running = {key: value for key, value in self._running.items() if key in listed}
        self._readers.keep_only(listed)
        yield self._rows(studies), True

    def _rows(self, studies: tuple[StudyPaths, ...]) -> tuple[StudyRow, ...]:
        return tuple(self._known[paths.id][1] for paths in studies if paths.id in self._known)

    def _look(self, paths: StudyPaths) -> None:
        sign = _sign(paths)
        before = self._known.get(paths.id)
        if before and before[0] == sign:
            return
        created = 0.0
        try:
            created = paths.study_file.stat().st_mtime
            # A running study keeps its reader; a finished one is read once, and kept to be opened while there is room.
            reader = self._running.pop(paths.id, None) or self._readers.listed(paths)
            if sign.held:
                self._running[paths.id] = reader
            row = row_of(paths, reader.poll(), created)
            self._readers.keep(reader)
        except (EmbcxError, OSError) as error:
            row = unreadable_row(paths, created, safe_text(error))
        self._known[paths.id] = (sign, row)


async def follow_studies(post: Post, wake: asyncio.Event, readers: Readers) -> None:
    """Post the list of studies for ever: every few seconds, and at once when `wake` is set."""
    reader = StudiesReader(readers)
    last: tuple[StudyRow, ...] | None = None
    complete = False
    while True:
        wake.clear()
        steps = await asyncio.to_thread(reader.read)
        while (step := await asyncio.to_thread(next, steps, None)) is not None:
            rows, whole = step
            # While it is read again, a half-read list must not replace a whole one.
            if (whole or not complete) and (rows != last or whole != complete):
                post(StudiesRead(rows, whole))
                last, complete = rows, complete or whole
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(wake.wait(), STUDIES_EVERY_S)


async def follow_study(paths: StudyPaths, post: Post, wake: asyncio.Event, readers: Readers) -> None:
    """Post each change of one study, and its machine's telemetry while it runs, until cancelled."""
    reader: StudyReader | None = None
    telemetry: tuple[Telemetry, ...] | None = None
    failures = 0
    snapshot = None
    while True:
        wake.clear()
        try:
            if reader is None:
                reader = await asyncio.to_thread(readers.open, paths)
            new = await asyncio.to_thread(reader.poll)
            failures = 0
        except EmbcxError as error:
            failures += 1
            if reader is None or failures >= UNREADABLE_AFTER:
                post(StudyUnreadable(paths, safe_text(error)))
                return
        else:
            if new is not snapshot:
                snapshot = new
                post(StudyRead(paths, snapshot))
            if snapshot.state == "running" or telemetry is None:
                samples = await asyncio.to_thread(read_telemetry, paths.telemetry)
                if samples != telemetry:
                    telemetry = samples
                    post(TelemetryRead(paths, samples))
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(wake.wait(), STUDY_EVERY_S)
