"""Writing so that a crash at any point leaves the old file or the new one, never half of either."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from pathlib import Path

from embcx_tui.study.errors import StoreError
from embcx_tui.study.text import safe_text

FILE_MODE = 0o600
FOLDER_MODE = 0o700


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data`; short writes happen (signals, NFS, a disk that is nearly full)."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def sync_folder(folder: Path) -> None:
    """Make renames within `folder` durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folder(folder: Path) -> None:
    """Create `folder` and its parents, private to the user; raises StoreError with one line."""
    try:
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{safe_text(folder)}: cannot be created ({error.strerror})") from None


def publish(path: Path, data: bytes, *, replace: bool = True) -> str:
    """Write `data` to `path` atomically and durably; return the SHA-256 of it, hexadecimal.

    A reader sees the old file or the whole new one. With `replace=False` an existing file is an error
    (FileExistsError). OSError (a full disk, say) leaves nothing behind.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        try:
            write_all(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)
        if replace:
            temporary.replace(path)
        else:
            os.link(temporary, path)
            temporary.unlink()
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)
    return hashlib.sha256(data).hexdigest()


def remove_temporaries(folder: Path) -> None:
    """Remove what a killed writer left half-written in `folder`."""
    for path in folder.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            path.unlink()
