"""Downloading one file: addresses are tried in turn, a broken download is continued, only a whole file appears."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import http.client
import io
import os
import re
import shutil
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from embcx_tui.compute.datasets.dataset import reason_of
from embcx_tui.study.errors import DataError
from embcx_tui.study.text import safe_text

# A server that sends nothing for this long is given up.
TIMEOUT_SECONDS = 30.0
# Pauses before an address is tried again; when bytes arrive the list starts over.
PAUSES_SECONDS = (1.0, 4.0)
# A server that keeps sending a little and breaking off is given up after this many connections.
MAX_CONNECTIONS = 100
_CHUNK_BYTES = 1 << 16
# The catalogue's sizes are for display, and the checksum decides. No real file is this much larger than its entry.
SPARE_BYTES = 1 << 20
_RANGE = re.compile(r"bytes (\d{1,15})-\d{1,15}/(\d{1,15}|\*)")


@dataclass(frozen=True, slots=True)
class _Try:
    """How one connection ended: `reason` is empty where the whole length arrived; `again`: another try may help."""

    reason: str = ""
    again: bool = False


def download(
    urls: Sequence[str],
    target: Path,
    md5: str,
    size: int,
    progress: Callable[[int], None] = lambda done: None,
    pauses: Sequence[float] = PAUSES_SECONDS,
) -> None:
    """Download a file to `target` from the first address that has it.

    What arrives before a connection breaks is kept beside it as `.NAME.part` and continued (HTTP Range) by the next
    connection, address or call.

    Parameters
    ----------
    urls : addresses in the order in which they are tried.
    target : path of the file; it appears there whole and with the right checksum, or not at all.
    md5 : checksum, hexadecimal.
    size : about how many bytes it has.
    progress : called with the number of bytes of this file so far.
    pauses : seconds before an address is tried again.

    Raises
    ------
    DataError : how each address answered, or what is wrong with the disk.
    """
    part = target.with_name(f".{target.name}.part")
    try:
        _need_space(part, size)
        with _opened(part) as file:
            answers = []
            for url in urls:
                reason = _from_address(url, file, md5, size, progress, pauses)
                if not reason:
                    os.fsync(file.fileno())
                    part.replace(target)
                    _sync_folder(target.parent)
                    return
                answers.append(f"{safe_text(url, 120)}: {reason}")
            kept = _length(file)
            if not kept:
                part.unlink(missing_ok=True)
    except OSError as error:  # of the disk: errors of the network are answers
        if error.errno == errno.ENOSPC:
            part.unlink(missing_ok=True)
        raise DataError(f"{safe_text(target.parent)} cannot be written ({error.strerror})") from None
    rest = f"; {kept:,} bytes are kept, the next fetch goes on there" if kept else ""
    raise DataError("; ".join(answers) + rest)


def _from_address(
    url: str, file: io.FileIO, md5: str, size: int, progress: Callable[[int], None], pauses: Sequence[float]
) -> str:
    """Complete `file` from `url`; return why that failed, empty where it did not."""
    resumed = _length(file) > 0
    waits = list(pauses)
    connections = 0
    while True:
        before = _length(file)
        connections += 1
        result = _connect(url, file, size, progress)
        if not result.reason:
            if _md5(file) == md5:
                return ""
            file.truncate(0)
            if not resumed:
                return "sent a file with the wrong checksum"
            resumed = False  # the part that was kept may have been another file's
            continue
        if _length(file) > before:
            waits = list(pauses)
        if not result.again or not waits or connections >= MAX_CONNECTIONS:
            return result.reason + (f", {connections} tries" if connections > 1 else "")
        time.sleep(waits.pop(0))


def _connect(url: str, file: io.FileIO, size: int, progress: Callable[[int], None]) -> _Try:
    """Append to `file` what one connection sends; the server's length says where it ends, else `size`."""
    have = _length(file)
    headers = {"User-Agent": "embcx-tui", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        with error:
            if have and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                file.truncate(0)  # the part that was kept is longer than the file
                return _Try("refused to go on", again=True)
            again = error.code >= 500 or error.code == http.client.TOO_MANY_REQUESTS
            return _Try(safe_text(f"{error.code} {error.reason}", 80), again)
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        # An unknown host or a closed port will not answer some seconds later either.
        again = not isinstance(reason, (socket.gaierror, ConnectionRefusedError, ValueError))
        return _Try(reason_of(reason, 80), again)
    with answer:
        span = _begin(answer, file, have, size)
        if span is None:
            return _Try("went on at another place than asked", again=True)
        have, end = span
        file.seek(have)
        while True:
            try:
                chunk = answer.read(_CHUNK_BYTES)
            except (OSError, http.client.HTTPException) as error:
                return _Try(f"broke off after {have:,} of {end:,} bytes ({reason_of(error, 80)})", again=True)
            if not chunk:
                break
            have += len(chunk)
            if have > 2 * size + SPARE_BYTES:
                file.truncate(0)
                return _Try(f"sent more than twice the {size:,} bytes of the file")
            _write(file, chunk)
            progress(have)
    return _Try(f"broke off after {have:,} of {end:,} bytes", again=True) if have < end else _Try()


def _begin(answer: http.client.HTTPResponse, file: io.FileIO, have: int, size: int) -> tuple[int, int] | None:
    """Return the offsets in `file` at which the answer begins and ends; None where it does not continue the file.

    Empties `file` where the answer starts over.
    """
    span = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    if answer.status == http.client.PARTIAL_CONTENT and span and int(span[1]) == have:
        return have, int(span[2]) if span[2] != "*" else size
    file.truncate(0)
    if answer.status == http.client.PARTIAL_CONTENT:
        return None
    length = answer.headers.get("Content-Length", "")
    return 0, int(length) if re.fullmatch(r"\d{1,15}", length) else size


def _opened(part: Path) -> io.FileIO:
    """Open the partial file, locked, and create it if there is none; raises DataError where another process has it."""
    while True:
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        file = io.FileIO(descriptor, "r+b")
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise DataError(f"{safe_text(part.parent)}: another process is fetching the same file") from None
            raise
        with suppress(OSError):
            if part.stat().st_ino == os.fstat(descriptor).st_ino:
                return file
        file.close()  # another process renamed it between our opening and locking


def _need_space(part: Path, size: int) -> None:
    with suppress(FileNotFoundError):
        size -= part.stat().st_size
    free = shutil.disk_usage(part.parent).free
    if size > free:
        raise DataError(f"{size:,} bytes are needed in {safe_text(part.parent)}, {free:,} are free")


def _write(file: io.FileIO, chunk: bytes) -> None:
    """Write all of `chunk`: a disk that is nearly full accepts a part of it before it refuses."""
    left = memoryview(chunk)
    while left:
        left = left[file.write(left) :]


def _length(file: io.FileIO) -> int:
    return os.fstat(file.fileno()).st_size


def _md5(file: io.FileIO) -> str:
    file.seek(0)
    return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _sync_folder(folder: Path) -> None:
    """Make the rename durable (as `store.files.sync_folder` does, which compute may not import)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
