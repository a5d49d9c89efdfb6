"""Starting and stopping workers, and asking the numerics process short questions; imports no numerics itself."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from embcx_tui.store import lock
from embcx_tui.store.files import FILE_MODE
from embcx_tui.store.library import create_study, delete_study
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.reader import StudyReader, read_study, worker_process
from embcx_tui.study.errors import EmbcxError, RequestError, StoreError
from embcx_tui.study.settings import StudySettings
from embcx_tui.study.text import safe_text
from embcx_tui.worker.pending import is_whole

# The worker takes the lock before it imports torch: 0.2 s on a quiet machine, some seconds on a crowded one.
START_PATIENCE_S = 30.0
_POLL_S = 0.02

# By study folder; kept so that an ended worker is reaped and leaves no zombie while the application runs.
_started: dict[Path, subprocess.Popen[bytes]] = {}


def _command(*words: str) -> list[str]:
    # -P: a file named like one of our modules in the current directory must not be imported instead.
    return [sys.executable, "-P", "-m", "embcx_tui.worker", *words]


def begin(settings: StudySettings, created: Callable[[StudyPaths], None] = lambda paths: None) -> StudyPaths:
    """Create a study, start its worker, and return once device and data are accepted and the work has begun.

    `created` is told of the study as soon as there is one: its worker needs some seconds to import torch. Raises
    RequestError or StoreError with the reason where it cannot begin; nothing of the study is left then, nor where
    Ctrl-C ends the wait.
    """
    paths = create_study(settings)
    try:
        created(paths)
        start(paths)
        await_acceptance(paths)
    except (EmbcxError, KeyboardInterrupt):
        _abandon(paths)
        with contextlib.suppress(EmbcxError):
            delete_study(paths)
        raise
    return paths


def _abandon(paths: StudyPaths) -> None:
    """End the worker that this process started for a study, if it has not ended."""
    process = _started.pop(paths.root, None)
    if process:
        process.kill()
        process.wait()


def await_acceptance(paths: StudyPaths) -> None:
    """Wait until a study's worker has accepted it; raises RequestError with the worker's reason where it does not.

    Importing torch takes 2 s on a quiet machine and reading the data another; a worker that ends or is stopped
    meanwhile ends the wait.
    """
    reader = StudyReader(paths)
    while True:
        snapshot = reader.poll()
        if snapshot.accepted or (snapshot.ended and snapshot.ended.outcome != "failed"):
            return
        # Its last word comes before it lets go of the lock: only then can the study be deleted.
        if snapshot.state != "running":
            if snapshot.ended:
                raise RequestError(snapshot.ended.reason)
            raise StoreError(f"the worker ended without a word; {_last_line(paths)}")
        time.sleep(_POLL_S)


def _last_line(paths: StudyPaths) -> str:
    """Return the last line of a worker's own output: what killed it, if it had time to say."""
    try:
        lines = paths.worker_log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return safe_text(lines[-1], 200) if lines else "its log is empty (was it out of memory?)"


def start(paths: StudyPaths) -> int:
    """Start (or resume) a study's worker in its own session and return its pid once it has written its first line.

    Raises RequestError where the study runs already or is complete, StoreError where the worker cannot start.
    """
    if lock.is_held(paths.lock):
        raise RequestError(f"study {paths.id} is running already; follow it with: embcx-tui logs {paths.id} -f")
    if is_whole(paths, read_study(paths)):
        raise RequestError(f"study {paths.id} is complete; there is nothing left to do")
    try:
        log = os.open(paths.worker_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, FILE_MODE)
    except OSError as error:
        raise StoreError(f"{safe_text(paths.worker_log)}: cannot be written ({error.strerror})") from None
    try:
        process = subprocess.Popen(
            _command("study", str(paths.root)),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=paths.root,
            start_new_session=True,
        )
    except OSError as error:
        raise StoreError(f"the worker of study {paths.id} cannot be started ({error.strerror})") from None
    finally:
        os.close(log)
    for root in [root for root, one in _started.items() if one.poll() is not None]:
        del _started[root]
    _started[paths.root] = process
    give_up = time.monotonic() + START_PATIENCE_S
    reader = StudyReader(paths)
    while time.monotonic() < give_up:
        ended = process.poll() is not None
        # Its first line, and not the lock alone: what the journal says of an earlier worker is over only then.
        worker = reader.poll().worker
        if worker and worker.pid == process.pid:
            return process.pid
        if ended:
            raise StoreError(f"the worker of study {paths.id} cannot start; {_last_line(paths)}")
        time.sleep(_POLL_S)
    _abandon(paths)  # or it would begin after all, unnoticed
    raise StoreError(f"the worker of study {paths.id} has not begun within {START_PATIENCE_S:.0f} s")


def stop(paths: StudyPaths, *, at_once: bool = False, wait_s: float = 0.0) -> bool:
    """Ask a study's worker to finish its epoch, save and end; with `at_once` end it without.

    Returns True once the worker is gone, False where it still works after `wait_s` seconds. Raises RequestError where
    no worker of the study runs on this machine.
    """
    process = _process(paths)
    if process is None:
        if not lock.is_held(paths.lock):
            raise RequestError(f"study {paths.id} is not running")
        worker = read_study(paths).worker
        where = f" on {safe_text(worker.host, 60)}" if worker else ""
        raise RequestError(f"study {paths.id} runs{where}, not on this machine; stop it there")
    try:
        if at_once:
            process.kill()
        else:
            process.terminate()
    except psutil.NoSuchProcess:
        return True
    except psutil.Error as error:
        raise RequestError(f"study {paths.id}: its worker cannot be stopped ({safe_text(error, 100)})") from None
    give_up = time.monotonic() + wait_s
    while lock.is_held(paths.lock):
        if time.monotonic() >= give_up:
            return False
        time.sleep(_POLL_S)
    return True


def _process(paths: StudyPaths) -> psutil.Process | None:
    if not lock.is_held(paths.lock):
        return None
    worker = read_study(paths).worker
    return worker_process(worker) if worker else None


def ask(*words: str, on_line: Callable[[dict[str, Any]], None] | None = None) -> dict[str, Any]:
    """Run one short command of the numerics process and return its answer, the last JSON object it prints.

    Earlier objects (progress) go to `on_line`. Raises RequestError with the process's own one-line error.
    """
    answer: dict[str, Any] = {}
    # A file takes any number of warnings; a pipe that nobody reads meanwhile would stop the process.
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(_command(*words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if found := _object(line):
                    answer = found
                    if on_line and not answer.get("done"):
                        on_line(answer)
            process.wait()
        except BaseException:
            process.kill()
            raise
        said.seek(0)
        errors = said.read().decode(errors="replace").strip().splitlines()
    if "error" in answer:
        raise RequestError(safe_text(answer["error"]))
    if process.returncode:
        raise RequestError(safe_text(errors[-1]) if errors else f"{words[0]} failed (code {process.returncode})")
    return answer


def _object(line: bytes) -> dict[str, Any] | None:
    """Return the JSON object of a line; None for what a library prints."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
