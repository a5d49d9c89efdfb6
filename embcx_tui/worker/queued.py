"""A queued study's own process before its turn: it waits without numerics, and then computes the study."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from pathlib import Path

from embcx_tui.store import queue
from embcx_tui.store.lock import StudyLock
from embcx_tui.store.paths import StudyPaths
from embcx_tui.study.errors import StoreError
from embcx_tui.worker.process import COMPLETE, LOCKED, run_study

# How often a waiting process looks whether it is its turn; at 50 studies a look is some milliseconds.
_LOOK_S = 1.0


def wait_and_run(root: Path) -> int:
    """Wait for the turn of the study in `root`, compute it, and return the worker's exit code.

    Ends at once where the study is taken out of the queue or deleted, or where another process waits for it.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    paths = StudyPaths(root)
    place = StudyLock(paths.waiting)
    if not place.acquire():
        print("another process waits for this study's turn", file=sys.stderr)
        return LOCKED
    while queue.is_queued(paths):
        # Where another process decides for long, or the disk refuses, there is a next look.
        with contextlib.suppress(StoreError), queue.turn_lock() as turn:
            # One process at a time decides, and has the study's lock before the next one looks.
            if queue.has_turn(paths):

                def taken() -> None:
                    queue.remove_entry(paths)
                    turn.release()
                    place.release()

                return run_study(root, taken)
        time.sleep(_LOOK_S)
    return COMPLETE
