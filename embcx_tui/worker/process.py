"""The worker process of one study: its lock, its signals, the first and the last event in the journal."""

from __future__ import annotations

import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import psutil

from embcx_tui.compute.precision import clear_environment
from embcx_tui.store.files import remove_temporaries
from embcx_tui.store.library import created_at
from embcx_tui.store.lock import StudyLock
from embcx_tui.store.paths import StudyPaths, triton_cache
from embcx_tui.store.processes import boot_id, process_start
from embcx_tui.store.pulse import Pulse, whereabouts
from embcx_tui.study.errors import DeviceFailed, EmbcxError, import_failure
from embcx_tui.study.events import Noted, StudyCreated, WorkerEnded, WorkerStarted
from embcx_tui.study.text import safe_text
from embcx_tui.worker.journal import Journal

# Exit codes of a worker; the journal says the same in words.
COMPLETE, FAILED, REFUSED, STOPPED, LOCKED = 0, 1, 2, 3, 4


class StopFlag:
    """True once SIGTERM has come: the worker then finishes its epoch, saves and ends."""

    def __init__(self) -> None:
        self._set = False

    def __call__(self) -> bool:
        return self._set

    def handle(self, number: int, frame: FrameType | None) -> None:
        self._set = True


def run_study(root: Path, taken: Callable[[], None] = lambda: None) -> int:
    """Compute what is pending of the study in `root` and return the worker's exit code.

    `taken` is called once the worker has the lock of the study, or was refused it.
    """
    os.umask(0o077)
    stop = StopFlag()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, stop.handle)
    try:
        begun = _begin(StudyPaths(root), taken)
    except (OSError, EmbcxError) as error:  # no journal can say it yet: `start` shows the last line of worker.log
        with suppress(OSError):  # a full disk
            print(failure_reason(error), file=sys.stderr)
        return FAILED
    if begun is None:
        return LOCKED
    journal, pulse = begun
    with _record_end(journal, pulse) as outcome:
        prepare_environment()
        from embcx_tui.worker.run import compute_study

        outcome.extend(compute_study(journal, stop))
    pulse.end()
    code = {"complete": COMPLETE, "stopped": STOPPED}.get(outcome[0], FAILED)
    return REFUSED if code == FAILED and not journal.snapshot.accepted else code


def _begin(paths: StudyPaths, taken: Callable[[], None]) -> tuple[Journal, Pulse] | None:
    """Take the lock, begin the pulse and open the journal; None, with a line, where another worker is at work.

    Raises OSError or StoreError where the disk refuses.
    """
    lock = StudyLock(paths.lock)
    held = lock.acquire()
    taken()
    if not held:
        print("another worker holds this study's lock", file=sys.stderr)
        return None
    worker = WorkerStarted(
        pid=os.getpid(),
        start_time=psutil.Process().create_time(),
        start=process_start(os.getpid()),
        boot_id=boot_id(),
        host=socket.gethostname(),
    )
    pulse = Pulse(paths, worker)
    if not pulse.begin(alone=lock.refused):
        print(f"study {paths.id} runs{whereabouts(paths)}, as its pulse.json tells; stop it there", file=sys.stderr)
        return None
    try:
        for folder in (paths.root, paths.arrays, paths.checkpoints):
            remove_temporaries(folder)
        journal = Journal(paths)
        journal.append(worker.model_copy(update={"damaged": journal.snapshot.damaged}))
        if lock.refused:
            text = "this file system has no locks; the pulse of the worker stands in"
            journal.append(Noted(level="warning", text=text))
        if not journal.snapshot.created:  # its line was lost
            journal.append(StudyCreated(at=created_at(paths), id=paths.id, version="unknown"))
    except BaseException:
        pulse.end()
        raise
    return journal, pulse


def prepare_environment() -> None:
    """Set what libraries read from the environment, before they are loaded: float32 products, Triton's cache.

    A cache of our own: a home that cannot be written or executed from is common where GPUs are, the studies' folder is
    known to be good.
    """
    os.environ.setdefault("TRITON_CACHE_DIR", str(triton_cache()))
    clear_environment()


@contextmanager
def _record_end(journal: Journal, pulse: Pulse) -> Iterator[list[str]]:
    """Record how the worker ended, whatever happened; the block fills the yielded list with [outcome, reason]."""
    outcome: list[str] = []
    try:
        yield outcome
    except Exception as error:  # the edge of the process: worker.log has the traceback, the journal one line
        if not isinstance(error, EmbcxError) or error.__cause__:
            with suppress(OSError):  # the log is on the same full disk
                traceback.print_exc()
        outcome[:] = ["failed", failure_reason(error)]
    kind = outcome[0]
    assert kind in ("complete", "stopped", "failed")
    ended = WorkerEnded(outcome=kind, reason=safe_text(outcome[1]))  # type: ignore[arg-type]  # checked above
    try:
        journal.append(ended)
    except OSError:
        pulse.end()  # on a full disk the room of its file is enough for the line that says so
        journal.append(ended)


def failure_reason(error: Exception) -> str:
    """Return one line for the user on the error that ended a study: a library that cannot be imported, a full disk,
    exhausted memory, or a defect.

    An EmbcxError (no such device, changed data, a network that exhausts the device's memory alone) says it itself.
    """
    if isinstance(error, DeviceFailed):
        return f"{error}; resume goes on from what is saved"
    if isinstance(error, EmbcxError):
        return str(error)
    if broken := import_failure(error):
        return f"{broken}; worker.log has the details"
    if isinstance(error, OSError):
        file = f" ({Path(error.filename).name})" if isinstance(error.filename, str) else ""
        return f"{error.strerror or error}{file}; resume goes on from the last checkpoint"
    if isinstance(error, MemoryError):
        return "out of memory; resume goes on from the last checkpoint"
    from embcx_tui.compute.device_errors import device_failure, is_device_error  # imports torch

    if is_device_error(error):  # where no guard expected one: a lost device fails anywhere
        return failure_reason(device_failure("the device", "computing", error))
    return f"a defect of embcx-tui ({type(error).__name__}: {safe_text(error, 120)}); worker.log has the details"
