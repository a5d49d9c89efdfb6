"""The journal: an append-only file of events, a checksum on each line; read while another process writes it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from embcx_tui.store.files import reason_of, write_all
from embcx_tui.store.plain_files import open_plain
from embcx_tui.study.errors import StoreError
from embcx_tui.study.events import AnyEvent, LineDamaged, decode, encode
from embcx_tui.study.text import safe_text

_SUM_LENGTH = 16
# The longest line is an epoch of the largest cohort: 20,000 networks × 3 numbers of at most 25 characters.
MAX_LINE_BYTES = 4_000_000
# The epochs of 20,000 networks, 10,000 of them, would take more; reading so much takes a minute.
MAX_JOURNAL_BYTES = 16 << 30
READ_BYTES = 1 << 20


def checksum(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=_SUM_LENGTH // 2).hexdigest().encode()


def seal_line(event: AnyEvent) -> bytes:
    """Return the journal line of `event`: checksum, space, JSON, line break."""
    payload = encode(event)
    return checksum(payload) + b" " + payload + b"\n"


def open_line(line: bytes) -> AnyEvent | LineDamaged:
    """Return the event of a line without its line break; LineDamaged where the checksum or the event is wrong."""
    digest, _, payload = line.partition(b" ")
    if digest != checksum(payload):
        return LineDamaged(reason="its checksum is wrong")
    try:
        return decode(payload)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"][1:]))
        reason = f"{where}: {first['msg']}" if where else "of no known kind; perhaps a later version wrote it"
        return LineDamaged(reason=safe_text(reason, 100))


class JournalBatch(NamedTuple):
    """What one read returned: events, damaged lines in their place, and the position of the next read."""

    events: tuple[AnyEvent | LineDamaged, ...]
    position: int

    @property
    def damaged(self) -> int:
        """The number of damaged lines."""
        return sum(isinstance(event, LineDamaged) for event in self.events)


def read_journal(path: Path, position: int = 0) -> JournalBatch:
    """Return the events after byte `position`; an incomplete last line is read again next time.

    A missing file is an empty journal. A file shorter than `position` is read from its start (it was replaced).
    """
    events: list[AnyEvent | LineDamaged] = []
    try:
        fd = open_plain(path)
        try:
            size = os.fstat(fd).st_size
            if size > MAX_JOURNAL_BYTES:
                raise StoreError(f"{safe_text(path)}: {size:,} bytes are no journal")
            if size < position:
                position = 0
            for line, after in _lines(fd, position):
                events.append(LineDamaged(reason="it is too long") if line is None else open_line(line))
                position = after
        finally:
            os.close(fd)
    except FileNotFoundError:
        return JournalBatch((), 0)
    except OSError as error:
        raise StoreError(f"{safe_text(path)}: cannot be read ({reason_of(error)})") from None
    return JournalBatch(tuple(events), position)


def _lines(fd: int, position: int) -> Iterator[tuple[bytes | None, int]]:
    """Yield whole lines from byte `position` on, without their line break, each with the position after it.

    None stands for a line that is too long to be one of a journal: a damaged file must not fill the memory.
    """
    rest, end, overlong = b"", position, False
    while chunk := os.pread(fd, READ_BYTES, end):
        end += len(chunk)
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            position += len(line) + 1
            yield None if overlong else line, position
            overlong = False
        if len(rest) > MAX_LINE_BYTES:
            position, rest, overlong = end, b"", True


class JournalWriter:
    """Appends to a journal; only the holder of the study's lock may have one.

    Each line goes out in one write and is synced before `append` returns. After a failed append (a full disk) the torn
    line is cut, so that the next one does not glue to it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = open_plain(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
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
