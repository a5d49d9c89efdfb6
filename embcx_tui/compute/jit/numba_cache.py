"""Compiles numeric kernels by numba, whose wheels carry the compiler, and keeps the machine code on disk."""

import contextlib
import fcntl
import logging
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core import caching, config

log = logging.getLogger(__name__)

# Kernels work compiled alone: NUMBA_DISABLE_JIT would run them as Python, for hours.
config.DISABLE_JIT = 0  # type: ignore[attr-defined]  # made when numba is imported

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

# What a sum may do to be vectorised. Not "nnan"/"ninf": a NaN stays a NaN and can be seen.
REASSOCIATE = frozenset({"reassoc", "contract", "nsz"})
_LOCK = "kernels.lock"

_FunctionCache: Any = caching.FunctionCache  # numba gives it no types


def compiled(fastmath: bool | frozenset[str] = REASSOCIATE, inline: bool = False) -> Callable[[Kernel], Kernel]:
    """Return a decorator that compiles a kernel on its first call, without the interpreter lock, and keeps the machine
    code on disk.

    numba keeps it beside the module, or where that folder cannot be written in the user's cache folder
    (`NUMBA_CACHE_DIR` moves it; where the user's home cannot be written it is in `$EMBCX_HOME`); where neither can be
    written, is full or holds damaged files, the kernel is compiled again by each process, which is slower and not an
    error. `error_model="numpy"`: a check for division by zero in the loop would stop LLVM from vectorising it (1.5 ms
    instead of 0.2 ms per pass of a descent).

    `inline` is for helpers whose sums go into a result. A call would otherwise be bound to one of two machine codes,
    the helper's own or its caller's copy, by whether this process compiled or loaded them: P's last bit differed so.
    """

    def decorate(kernel: Kernel) -> Kernel:
        options: dict[str, Any] = {
            "nogil": True,
            "error_model": "numpy",
            "fastmath": fastmath or False,
            "forceinline": inline,
        }
        if isinstance(fastmath, frozenset):
            options["fastmath"] = set(fastmath)
        decorated: Any = numba.njit(**options)(kernel)
        with contextlib.suppress(RuntimeError):  # "no locator available": nowhere to keep the machine code
            decorated._cache = _KernelCache(kernel)
        result: Kernel = decorated
        return result

    return decorate


@cache
def _source_stamps() -> tuple[tuple[str, int, int], ...]:
    """Return path, time and size of every module of `compute`: a kernel may call kernels of any of them."""
    files = ((str(path), path.stat()) for path in sorted(Path(__file__).parents[1].rglob("*.py")))
    return tuple((path, status.st_mtime_ns, status.st_size) for path, status in files)


class _KernelCache(_FunctionCache):  # type: ignore[misc]  # of no type, for mypy
    """numba's cache of a kernel's machine code, for several processes at once and without errors of its own.

    numba writes an index and then the code that it names, without a lock: two processes that compile a kernel for two
    types could leave one type's code under the other's name. Where the disk is full or a file damaged, numba's error
    would end the first call. And numba checks whether the kernel's file has changed, not those of the kernels it calls.
    """

    def __init__(self, kernel: Any) -> None:
        super().__init__(kernel)
        self._cache_file._source_stamp = self._cache_file._source_stamp, _source_stamps()

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:  # whatever unpickling a damaged file raises
            self._log_failure(error)
            with contextlib.suppress(OSError), self._locked():
                self.flush()  # or the file would stay damaged for every later process
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            with self._locked():
                super().save_overload(sig, data)
        except Exception as error:  # a full disk, a folder that cannot be written after all, a damaged index
            self._log_failure(error)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock of the cache's folder. OSError where it cannot be written."""
        folder = Path(self.cache_path)
        folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _log_failure(self, error: Exception) -> None:
        log.info("%s: its machine code cannot be kept (%s: %s)", self._name, type(error).__name__, error)
