"""Reading a study while its worker writes it: journal, lock and process identity become one snapshot."""

from __future__ import annotations

import socket
from dataclasses import replace

import psutil

from embcx_tui.store import lock
from embcx_tui.store.journal import read_journal
from embcx_tui.store.library import read_settings
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import Snapshot, State, fold
from embcx_tui.study.events import WorkerStarted
from embcx_tui.study.plan import make_plan

# A pid whose process started within this many seconds of the time in the journal is the same process.
_SAME_START_S = 2.0


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


class StudyReader:
    """Follows one study; `poll` returns the newest snapshot, the same object while nothing changed."""

    def __init__(self, paths: StudyPaths) -> None:
        self.paths = paths
        self._position = 0
        self._snapshot = Snapshot(paths.id, make_plan(read_settings(paths)))

    def poll(self) -> Snapshot:
        """Read what is new. Raises StoreError where the journal cannot be read."""
        # The lock first: a worker that ends between the two reads wrote its last line before it released the lock.
        held = lock.is_held(self.paths.lock)
        batch = read_journal(self.paths.journal, self._position)
        if batch.position < self._position:
            return self._again()
        self._position = batch.position
        snapshot = fold(self._snapshot, batch.events)
        state = _state(snapshot, held)
        if state != snapshot.state or batch.damaged:
            snapshot = replace(snapshot, state=state, damaged=snapshot.damaged + batch.damaged)
        self._snapshot = snapshot
        return snapshot

    def _again(self) -> Snapshot:
        """Start over: the journal is shorter than what was read (its worker cut a torn tail, or it was replaced)."""
        self._position = 0
        self._snapshot = Snapshot(self.paths.id, self._snapshot.plan)
        return self.poll()


def _state(snapshot: Snapshot, held: bool) -> State:
    if held:
        return "running"
    if snapshot.worker is None:
        return "queued"
    if snapshot.ended is None:
        return "lost"
    if snapshot.ended.outcome == "complete":
        return "complete"
    return "stopped" if snapshot.ended.outcome == "stopped" else "failed"


def read_study(paths: StudyPaths) -> Snapshot:
    """Return the snapshot of a study as it is now."""
    return StudyReader(paths).poll()
