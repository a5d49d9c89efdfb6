"""One thread for every product of numpy's and scipy's BLAS, for as long as somebody in this process wants that."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import scipy.linalg
from threadpoolctl import threadpool_limits

# What limits libraries finds those that are loaded: these two bring numpy's BLAS and scipy's own.
LOADED = (np, scipy.linalg)


class _Limit:
    """The one limit of the process, and how many want it: limits of several threads would restore in any order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted = 0
        self._limits: threadpool_limits | None = None

    def take(self) -> None:
        with self._lock:
            self._wanted += 1
            if self._limits is None:
                self._limits = threadpool_limits(1, user_api="blas")

    def give(self) -> None:
        with self._lock:
            self._wanted -= 1
            if not self._wanted and self._limits is not None:
                self._limits.restore_original_limits()
                self._limits = None


_LIMIT = _Limit()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let every BLAS product in this process run on the thread that asks for it.

    Where the cores are busy with networks or layers of their own, more threads a product only wait for each other;
    and its sums do not depend on their number then. May be nested, and held by several threads at once.
    """
    _LIMIT.take()
    try:
        yield
    finally:
        _LIMIT.give()
