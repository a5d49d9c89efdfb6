"""At most one worker per study: an advisory lock on a file that is never unlinked, held while the worker lives.

`fcntl.lockf` and not `flock`: a lock of flock stays held by a forked child of a dead parent. The holder must not open
the lock file a second time, since closing any descriptor of a file releases a process's lockf locks on it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from pathlib import Path

from embcx_tui.store.files import reason_of
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.plain_files import open_plain
from embcx_tui.study.errors import StoreError
from embcx_tui.study.text import safe_text

# A viewer probes with a shared lock for some microseconds; the worker waits longer than that.
_PATIENCE_S = 2.0
_BUSY = (errno.EACCES, errno.EAGAIN)
# What file systems without locks answer.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)


class StudyLock:
    """The lock of one study, held until `release` or the end of the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None
        self.refused = False
        """Whether the file system has no locks: `acquire` then holds none, and the pulse alone tells of the worker."""

    def acquire(self) -> bool:
        """Take the lock; False where another process holds it. Raises StoreError where it cannot be opened."""
        try:
            fd = open_plain(self._path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise StoreError(f"{safe_text(self._path)}: cannot be opened ({reason_of(error)})") from None
        give_up = time.monotonic() + _PATIENCE_S
        while True:
            try:
                fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in _NO_LOCKS:
                    os.close(fd)
                    self.refused = True
                    return True
                if error.errno not in _BUSY:
                    os.close(fd)
                    raise StoreError(f"{safe_text(self._path)}: cannot be locked ({error.strerror})") from None
                if time.monotonic() > give_up:
                    os.close(fd)
                    return False
                time.sleep(0.02)
            else:
                self._fd = fd
                return True

    def release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def is_held(path: Path) -> bool:
    """Tell whether a worker holds the lock at `path`; False where the file is missing or unreadable.

    Never call it from the process that holds the lock: closing the file here would release it.
    """
    try:
        fd = open_plain(path)
    except OSError:
        return False
    try:
        fcntl.lockf(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _BUSY
    finally:
        os.close(fd)
    return False


def is_running(paths: StudyPaths, *, sure: bool = False) -> bool:
    """Tell whether a worker of a study runs, by its lock and its pulse.

    `sure` waits up to 25 s where only a file on a shared disk can tell: before a study is deleted.
    Never call it from the worker itself.
    """
    from embcx_tui.store import pulse  # loads pydantic, which a list of unchanged studies does not wait for

    return is_held(paths.lock) or pulse.lives(paths, sure=sure)
