"""Which process is which, whatever the clock and the host's name do: a pid alone is given again."""

from __future__ import annotations

import socket
from pathlib import Path

import psutil

from embcx_tui.study.events import WorkerStarted

# Workers of earlier versions recorded the time of their start alone: within so many seconds it is the same process.
_SAME_START_S = 2.0
# The field of /proc/PID/stat after the command's name that holds the start, in ticks since the boot.
_START_FIELD = 19


def boot_id() -> str:
    """Return an id of the current boot of this machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return f"{psutil.boot_time():.0f}"


def process_start(pid: int) -> str:
    """Return when process `pid` began, as an id that no step of the clock changes; empty where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[_START_FIELD].decode()
    except (OSError, IndexError):
        pass
    try:
        return f"{psutil.Process(pid).create_time():.2f}"
    except psutil.Error:
        return ""


def worker_process(worker: WorkerStarted) -> psutil.Process | None:
    """Return the running process of a worker on this machine and boot; None where it is gone or elsewhere."""
    if worker.boot_id != boot_id():
        return None
    try:
        process = psutil.Process(worker.pid)
        if worker.start:
            same = process_start(worker.pid) == worker.start
        else:
            near = abs(process.create_time() - worker.start_time) <= _SAME_START_S
            same = near and worker.host == socket.gethostname()
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None
