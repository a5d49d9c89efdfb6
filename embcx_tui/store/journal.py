"""The journal: an append-only file of events, a checksum on each line; read while another process writes it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from embcx_tui.store.files import FILE_MODE, write_all
from embcx_tui.study.errors import StoreError
from embcx_tui.study.events import AnyEvent, decode, encode
from embcx_tui.study.text import safe_text

_SUM_LENGTH = 16
# The longest line is an epoch of the largest cohort: 20,000 networks × 3 numbers of at most 25 characters.
MAX_LINE_BYTES = 4_000_000
READ_BYTES = 1 << 20


def _checksum(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=_SUM_LENGTH // 2).hexdigest().encode()


def seal_line(event: AnyEvent) -> bytes:
    """Return the journal line of `event`: checksum, space, JSON, line break."""
    payload = encode(event)
    return _checksum(payload) + b" " + payload + b"\n"


def open_line(line: bytes) -> AnyEvent | None:
    """Return the event of a line without its line break; None where the checksum or the event is wrong."""
    digest, _, payload = line.partition(b" ")
    if digest != _checksum(payload):
        return None
    try:
        return decode(payload)
    except ValueError:
        return None  # written by a later version


class JournalBatch(NamedTuple):
    """What one read returned: events, the position of the next read, and the number of damaged lines."""

    events: tuple[AnyEvent, ...]
    position: int
    damaged: int


def read_journal(path: Path, position: int = 0) -> JournalBatch:
    """Return the events after byte `position`; an incomplete last line is read again next time.

    A missing file is an empty journal. A file shorter than `position` is read from its start (it was replaced).
    """
    events: list[AnyEvent] = []
    damaged = 0
    try:
        with path.open("rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size < position:
                position = 0
            for line in _lines(file.fileno(), position):
                event = open_line(line)
                position += len(line) + 1
                if event is None:
                    damaged += 1
                else:
                    events.append(event)
    except FileNotFoundError:
        return JournalBatch((), 0, 0)
    except OSError as error:
        raise StoreError(f"{safe_text(path)}: cannot be read ({error.strerror})") from None
    return JournalBatch(tuple(events), position, damaged)


def _lines(fd: int, position: int) -> Iterator[bytes]:
    """Yield whole lines, without their line break, from byte `position` on."""
    rest = b""
    while chunk := os.pread(fd, READ_BYTES, position):
        position += len(chunk)
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
        if len(rest) > MAX_LINE_BYTES:
            return  # not a line of a journal: a damaged file must not fill the memory


class JournalWriter:
    """Appends to a journal; only the holder of the study's lock may have one.

    Each line goes out in one write and is synced before `append` returns. After a failed append (a full disk) the torn
    line is cut, so that the next one does not glue to it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, FILE_MODE)
        self._end = self._cut_torn_tail()

    def _cut_torn_tail(self) -> int:
        end = os.fstat(self._fd).st_size
        position, tail = end, b""
        while position and b"\n" not in tail:
            start = max(0, position - READ_BYTES)
            tail = os.pread(self._fd, position - start, start)
            position = start
        whole = position + tail.rfind(b"\n") + 1
        if whole != end:
            os.ftruncate(self._fd, whole)
            os.fsync(self._fd)
        return whole

    def append(self, event: AnyEvent) -> None:
        """Write `event` durably; raises OSError (nothing is left of it then)."""
        line = seal_line(event)
        try:
            write_all(self._fd, line)
            os.fsync(self._fd)
        except OSError:
            os.ftruncate(self._fd, self._end)
            raise
        self._end += len(line)

    def close(self) -> None:
        os.close(self._fd)
