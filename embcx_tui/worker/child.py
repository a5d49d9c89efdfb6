"""What a process of the worker's own begins with, which speaks to it through standard input and output."""

from __future__ import annotations

import ctypes
import os
import signal
from contextlib import suppress

_KILLED_WITH_PARENT = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>


def begin_child() -> tuple[int, int] | None:
    """Let this process die with the one that started it and keep its files to its user; return what its standard input
    and output were, or None where its parent is gone already.
    """
    os.umask(0o077)
    parent = os.getppid()
    # The worker's death ends it even where it hangs. Elsewhere than on Linux the end of the pipe does.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_KILLED_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        return None
    # What a library prints must not get among the frames.
    incoming, outgoing = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    return incoming, outgoing
