"""The pulse of a worker: a small file that it replaces every 10 s, which says who works on the study.

The lock is the first witness. Where a disk is shared the file system may refuse locks, or keep them within one machine:
then the pulse tells. On the worker's own machine its process is looked for; from another one the file must change.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time

from embcx_tui.store.files import publish
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.plain_files import read_plain
from embcx_tui.store.processes import boot_id, worker_process
from embcx_tui.study.events import WorkerStarted

PULSE_S = 10.0
# How long another machine's pulse is watched, by the watcher's own clock, before a study is started or deleted.
WATCH_S = 25.0
# A list cannot watch: another machine's pulse is believed for so long after the file's time.
_BELIEVED_S = 45.0
# Nor is one watched that is so old by any clock: a machine that was switched off left it.
_SILENT_S = 3_600.0
# Two workers that find no pulse at the same moment, and no locks, have both written theirs by then.
_SETTLED_S = 1.0
_MOST_BYTES = 10_000


def lives(paths: StudyPaths, *, sure: bool = False) -> bool:
    """Tell whether the pulse of a study is that of a worker which runs; with `sure` wait for that where needed."""
    worker = read(paths)
    if worker is None:
        return False
    if worker.boot_id == boot_id():
        return worker_process(worker) is not None
    age = time.time() - _changed(paths)
    if not sure or age > _SILENT_S:
        return age < _BELIEVED_S
    first = _changed(paths)
    give_up = time.monotonic() + WATCH_S
    while time.monotonic() < give_up:
        time.sleep(0.5)
        if _changed(paths) != first:
            return read(paths) is not None
    return False


def read(paths: StudyPaths) -> WorkerStarted | None:
    """Return the worker whose pulse lies in a study's folder; None where there is none, or no sound one."""
    try:
        return WorkerStarted.model_validate_json(read_plain(paths.pulse, _MOST_BYTES))
    except (OSError, ValueError):
        return None


def _changed(paths: StudyPaths) -> float:
    try:
        return paths.pulse.lstat().st_mtime
    except OSError:
        return 0.0


class Pulse:
    """Writes the pulse of `worker`, which has the lock, or was refused one, until `end`."""

    def __init__(self, paths: StudyPaths, worker: WorkerStarted) -> None:
        self._paths, self._worker = paths, worker
        self._count = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="pulse", daemon=True)

    def begin(self, *, alone: bool) -> bool:
        """Begin; False where another worker's pulse lives. `alone`: no lock keeps a second worker away."""
        if lives(self._paths, sure=True):
            return False
        if alone:
            self._remove()  # that of a worker which is gone
            try:
                self._write(replace=False)
            except FileExistsError:
                return False
            except OSError:  # a file system without hard links
                self._write()
            time.sleep(_SETTLED_S)
            if read(self._paths) != self._worker:
                return False
        else:
            with contextlib.suppress(OSError):
                self._write()
        self._thread.start()
        return True

    def _beat(self) -> None:
        while not self._end.wait(PULSE_S):
            with contextlib.suppress(OSError):  # a full disk: the study says so itself
                self._write()

    def _write(self, *, replace: bool = True) -> None:
        self._count += 1
        content = json.dumps({**self._worker.model_dump(mode="json"), "count": self._count})
        publish(self._paths.pulse, content.encode(), replace=replace)

    def end(self) -> None:
        """End, and remove the file: nobody works on the study any more."""
        self._end.set()
        self._thread.join()
        self._remove()

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            self._paths.pulse.unlink(missing_ok=True)
