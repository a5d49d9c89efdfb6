"""One thread for every product of numpy's and scipy's BLAS."""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager

from threadpoolctl import ThreadpoolController


def one_blas_thread() -> AbstractContextManager[object]:
    """Let BLAS products run on the thread that asks for them: at once, and until the context that it returns is left.

    Where the cores are busy with networks or layers of their own, more threads a product only wait for each other;
    and its sums do not depend on their number then. OpenBLAS has one limit for all threads of a process (with its
    OpenMP variant, one for each thread), which the first thread that limits it owns: so the whole of a study is in such
    a context, in the main thread, and again what it calls in others.
    """
    limits: AbstractContextManager[object] = _libraries().limit(limits=1, user_api="blas")
    return limits


@functools.cache
def _libraries() -> ThreadpoolController:
    """Return the loaded libraries, numpy's BLAS and scipy's own among them; once: to find them takes some 5 ms."""
    import scipy.linalg  # noqa: F401  # its BLAS is found once it is loaded

    return ThreadpoolController()
