"""At most one worker per study: an advisory lock on a file that is never unlinked, held while the worker lives.

`fcntl.lockf` and not `flock`: a lock of flock stays held by a forked child of a dead parent. The holder must not open
the lock file a second time, since closing any descriptor of a file releases a process's lockf locks on it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from pathlib import Path

import psutil

from embcx_tui.store.files import FILE_MODE
from embcx_tui.study.errors import StoreError
from embcx_tui.study.events import WorkerStarted
from embcx_tui.study.text import safe_text

# A viewer probes with a shared lock for some microseconds; the worker waits longer than that.
_PATIENCE_S = 2.0
_BUSY = (errno.EACCES, errno.EAGAIN)
# A pid whose process started within this many seconds of the time in the journal is the same process.
_SAME_START_S = 2.0


class StudyLock:
    """The lock of one study, held until `release` or the end of the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def acquire(self) -> bool:
        """Take the lock; False where another process holds it."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        give_up = time.monotonic() + _PATIENCE_S
        while True:
            try:
                fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
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
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.lockf(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _BUSY
    finally:
        os.close(fd)
    return False


def boot_id() -> str:
    """Return an id of the current boot of this machine."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:  # noqa: PTH123  # not a project file
            return file.read().strip()
    except OSError:
        return f"{psutil.boot_time():.0f}"


def worker_process(worker: WorkerStarted) -> psutil.Process | None:
    """Return the running process of a worker on this machine and boot; None where it is gone or elsewhere."""
    if worker.host != socket.gethostname() or worker.boot_id != boot_id():
        return None
    try:
        process = psutil.Process(worker.pid)
        if abs(process.create_time() - worker.start_time) > _SAME_START_S or process.status() == psutil.STATUS_ZOMBIE:
            return None
    except psutil.Error:
        return None
    return process
