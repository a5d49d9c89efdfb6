"""How numeric kernels are compiled: `numba`, because its wheels carry the compiler, so that a user's machine needs
none.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

# What a sum may do to be vectorised. Not "nnan"/"ninf": a NaN stays a NaN and can be seen.
REASSOCIATE = frozenset({"reassoc", "contract", "nsz"})


def compiled(fastmath: bool | frozenset[str] = REASSOCIATE, inline: bool = False) -> Callable[[Kernel], Kernel]:
    """Return a decorator that compiles a kernel on its first call, without the interpreter lock, and keeps the machine
    code on disk.

    numba keeps it beside the module, or where that folder cannot be written in the user's cache folder
    (`NUMBA_CACHE_DIR` moves it); where neither can be written the kernel is compiled again by each process, which is
    slower and not an error. `error_model="numpy"`: a check for division by zero in the loop would stop LLVM from
    vectorising it (1.5 ms instead of 0.2 ms a pass).

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
        try:
            decorated: Kernel = numba.njit(cache=True, **options)(kernel)
        except RuntimeError:  # "no locator available": nowhere to keep the machine code
            decorated = numba.njit(**options)(kernel)
        return decorated

    return decorate
