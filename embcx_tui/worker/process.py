"""One worker, one study: the lock, the signals, the first and the last word in the journal."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import psutil

from embcx_tui.store.files import remove_temporaries
from embcx_tui.store.journal import JournalWriter, read_journal
from embcx_tui.store.library import read_settings
from embcx_tui.store.lock import StudyLock
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.reader import boot_id
from embcx_tui.store.snapshot import Snapshot, fold
from embcx_tui.study.errors import EmbcxError
from embcx_tui.study.events import AnyEvent, WorkerEnded, WorkerStarted
from embcx_tui.study.plan import make_plan
from embcx_tui.study.text import safe_text

# Exit codes of a worker; the journal says the same in words.
COMPLETE, FAILED, REFUSED, STOPPED, LOCKED = 0, 1, 2, 3, 4


class StopFlag:
    """Set by SIGTERM, once or more often: finish the epoch, save, end."""

    def __init__(self) -> None:
        self._asked = False

    def __call__(self) -> bool:
        return self._asked

    def handle(self, number: int, frame: FrameType | None) -> None:
        self._asked = True


class Journal:
    """The study's journal and what it says so far; the worker's only way to tell anyone anything, from any thread."""

    def __init__(self, paths: StudyPaths) -> None:
        self._writer = JournalWriter(paths.journal)
        self._lock = threading.Lock()
        start = Snapshot(paths.id, make_plan(read_settings(paths)))
        self.snapshot = fold(start, read_journal(paths.journal).events)

    def tell(self, event: AnyEvent) -> None:
        """Write `event`, stamped with the time; it is durable when this returns."""
        with self._lock:
            event = event.model_copy(update={"at": time.time()})
            self._writer.append(event)
            self.snapshot = fold(self.snapshot, (event,))


def run_study(root: Path) -> int:
    """Do what is left of the study in `root`; returns the worker's exit code."""
    os.umask(0o077)
    stop = StopFlag()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, stop.handle)
    paths = StudyPaths(root)
    lock = StudyLock(paths.lock)
    if not lock.acquire():
        print("another worker holds this study's lock", file=sys.stderr)
        return LOCKED
    for folder in (paths.root, paths.arrays, paths.checkpoints):
        remove_temporaries(folder)
    journal = Journal(paths)
    journal.tell(
        WorkerStarted(
            pid=os.getpid(),
            start_time=psutil.Process().create_time(),
            boot_id=boot_id(),
            host=socket.gethostname(),
        )
    )
    with _last_word(journal) as outcome:
        from embcx_tui.worker.run import work

        outcome.extend(work(paths, journal, stop))
    code = {"complete": COMPLETE, "stopped": STOPPED}.get(outcome[0], FAILED)
    return REFUSED if code == FAILED and not journal.snapshot.accepted else code


@contextmanager
def _last_word(journal: Journal) -> Iterator[list[str]]:
    """Write how the worker ended, whatever happened; the yielded list becomes [outcome, reason]."""
    outcome: list[str] = []
    try:
        yield outcome
    except EmbcxError as error:
        outcome[:] = ["failed", str(error)]
    except OSError as error:
        traceback.print_exc()
        what = f" ({Path(error.filename).name})" if isinstance(error.filename, str) else ""
        outcome[:] = ["failed", f"{error.strerror or error}{what}; resume goes on from the last checkpoint"]
    except MemoryError:
        traceback.print_exc()
        outcome[:] = ["failed", "out of memory; resume goes on from the last checkpoint"]
    except Exception as error:  # the edge of the process: recorded whole in worker.log, told in one line
        traceback.print_exc()
        outcome[:] = ["failed", f"a defect of embcx-tui ({type(error).__name__}); worker.log has the details"]
    kind = outcome[0]
    assert kind in ("complete", "stopped", "failed")
    journal.tell(WorkerEnded(outcome=kind, reason=safe_text(outcome[1])))  # type: ignore[arg-type]  # checked above
