"""The pulse of a worker: a small file that it replaces every 10 s, which says who works on the study.

The lock is the first witness. Where a disk is shared the file system may refuse locks, or keep them within one machine:
then the pulse tells. On the worker's own machine its process is looked for; from another one its count must change. The
clocks of two machines are never compared: who watches goes by the time that passes here, who looks once by the clock
that stamps the files.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

from embcx_tui.store.files import publish
from embcx_tui.store.jobs import read_job
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.plain_files import read_plain
from embcx_tui.store.processes import boot_id, worker_process
from embcx_tui.study.events import WorkerStarted
from embcx_tui.study.text import safe_text

PULSE_S = 10.0
# How long another machine's pulse is watched, by the watcher's own clock, before a study is started or deleted.
WATCH_S = 25.0
# Who looks again and again believes another machine's pulse for so long after it has changed, and a list, which looks
# once, for so long after the file's time.
BELIEVED_S = 45.0
# Nor is one watched that is so old by any clock: a machine that was switched off left it.
_SILENT_S = 3_600.0
# Two workers that find no pulse at the same moment, and no locks, have both written theirs by then.
_SETTLED_S = 1.0
_MOST_BYTES = 10_000


class _Seen(NamedTuple):
    """What this process saw last of another machine's pulse: when it was first seen like this, and whether it changed
    then or was the first one seen.
    """

    content: bytes
    since: float
    changed: bool


_seen: dict[Path, _Seen] = {}


def lives(paths: StudyPaths, *, sure: bool = False) -> bool:
    """Tell whether the pulse of a study is that of a worker which runs; with `sure` wait for that where needed."""
    worker = read(paths)
    if worker is None:
        return False
    if worker.boot_id == boot_id():
        return worker_process(worker) is not None
    watched = _watched(paths)
    if watched is not None and not sure:
        return watched
    age = _clock(paths) - _changed(paths)
    if not sure or age > _SILENT_S:
        return abs(age) < BELIEVED_S
    first = _changed(paths)
    give_up = time.monotonic() + WATCH_S
    while time.monotonic() < give_up:
        time.sleep(0.5)
        if _changed(paths) != first:
            return read(paths) is not None
    return False


def _watched(paths: StudyPaths) -> bool | None:
    """Return whether another machine's pulse lives by what this process saw of it; None where that is too little."""
    content, now = _content(paths), time.monotonic()
    before = _seen.get(paths.root)
    if before is None or before.content != content:
        _seen[paths.root] = _Seen(content, now, before is not None)
        return True if before else None
    if now - before.since >= BELIEVED_S:
        return False
    return True if before.changed else None


def read(paths: StudyPaths) -> WorkerStarted | None:
    """Return the worker whose pulse lies in a study's folder; None where there is none, or no sound one."""
    try:
        return WorkerStarted.model_validate_json(_content(paths))
    except ValueError:
        return None


def whereabouts(paths: StudyPaths) -> str:
    """Return where a study runs, ` on node17 (SLURM job 123)`; without the host where that is this one, or unknown."""
    worker, job = read(paths), read_job(paths)
    host = f" on {safe_text(worker.host, 60)}" if worker and worker.boot_id != boot_id() else ""
    return host + (f" ({job.words})" if job and job.state == "running" else "")


def _content(paths: StudyPaths) -> bytes:
    try:
        return read_plain(paths.pulse, _MOST_BYTES)
    except OSError:
        return b""


def _changed(paths: StudyPaths) -> float:
    try:
        return paths.pulse.lstat().st_mtime
    except OSError:
        return 0.0


def _clock(paths: StudyPaths) -> float:
    """Return the time, in seconds since 1970, by the clock that stamps files beside a study, perhaps a server's."""
    try:
        with tempfile.TemporaryFile(dir=paths.root.parent) as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:  # a folder that may only be read
        return time.time()


class Pulse:
    """Writes the pulse of `worker`, which has the lock, or was refused one, until `end`."""

    def __init__(self, paths: StudyPaths, worker: WorkerStarted) -> None:
        self._paths, self._worker = paths, worker
        self._count = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="pulse", daemon=True)

    def begin(self, *, alone: bool) -> bool:
        """Begin; False where another worker's pulse lives. `alone`: no lock keeps a second worker away."""
        before = _content(self._paths) if os.path.lexists(self._paths.pulse) else None
        if lives(self._paths, sure=True) or not self._claim(before, alone):
            return False
        if alone:
            time.sleep(_SETTLED_S)
            if read(self._paths) != self._worker:
                return False
        self._thread.start()
        return True

    def _claim(self, before: bytes | None, alone: bool) -> bool:
        """Write the first pulse in the place of `before`, that of a worker which is gone, if any; False where another
        worker did so first. A lock that was given may be one of this machine alone.
        """
        if before is not None:
            if _content(self._paths) != before:
                return False
            self._remove()
        try:
            self._write(replace=False)
        except FileExistsError:
            return not alone and read(self._paths) is None  # a folder of that name, say
        except OSError:  # a file system without hard links; a full disk, of which the study says so itself
            with contextlib.nullcontext() if alone else contextlib.suppress(OSError):
                self._write()
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
