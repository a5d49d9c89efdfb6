"""Opening what may come from elsewhere: no link is followed out of a study's folder, and nothing but a file is opened.

Opening a FIFO would wait for its writer for ever, and reading a device may have no end.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

FILE_MODE = 0o600

T = TypeVar("T")


def open_folder(folder: Path, *, follow: bool = False) -> int:
    """Return a descriptor of `folder`; raises OSError, also where it is a symbolic link, unless `follow`."""
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
    except OSError:
        if not follow and folder.is_symlink():
            raise _link(folder) from None
        raise


def open_plain(path: Path, flags: int = os.O_RDONLY, *, follow: bool = False) -> int:
    """Return a descriptor of the plain file at `path`; raises OSError, at once, where it is none.

    A symbolic link in its place, or in that of its folder, is an error unless `follow`.
    """
    folder = open_folder(path.parent, follow=follow)
    try:
        flags |= os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
        fd = os.open(path.name, flags, FILE_MODE, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _link(path) from None
        if error.errno == errno.ENXIO:  # a FIFO without a reader, or a socket
            raise _not_plain(path) from None
        error.filename = str(path)
        raise
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise _not_plain(path)
    return fd


def read_plain(path: Path, most: int, *, follow: bool = False) -> bytes:
    """Return the bytes of the plain file at `path`, of which there may be `most`; raises OSError."""
    with os.fdopen(open_plain(path, follow=follow), "rb") as file:
        if os.fstat(file.fileno()).st_size > most:
            raise OSError(errno.EFBIG, f"longer than {most:,} bytes", str(path))
        return file.read()


def file_stamp(path: Path) -> tuple[int, ...]:
    """Return what changes whenever the file at `path` is replaced or written; empty where there is none."""
    try:
        status = path.lstat()
    except OSError:
        return ()
    return status.st_mtime_ns, status.st_size, status.st_ino


class RereadFile(Generic[T]):
    """What `read` makes of the file at `path`; it is called again only where that file has changed."""

    def __init__(self, path: Path, read: Callable[[], T]) -> None:
        self._path = path
        self._read = read
        self._stamp = file_stamp(path)
        self._value = read()

    def read(self) -> T:
        """Return what the file says now."""
        stamp = file_stamp(self._path)
        if stamp != self._stamp:
            self._stamp, self._value = stamp, self._read()
        return self._value


def _link(path: Path) -> OSError:
    return OSError(errno.ELOOP, "it is a symbolic link, which is not followed", str(path))


def _not_plain(path: Path) -> OSError:
    return OSError(errno.EINVAL, "it is not a plain file", str(path))
