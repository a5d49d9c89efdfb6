"""Studies that wait for their turn: `queue.json` in the folder of each, and who of them is next.

There is no daemon. Each queued study has a process of its own that waits before it imports torch (worker.waiting) and
holds the lock on `waiting` in the study's folder meanwhile. A process that is killed lets go of it, and the others go
on without that study; its entry keeps its place for the next process (worker.launch.revive_queue). An entry names its
folder's inode: a folder that was copied here, a stranger's among them, queues nothing and starts nothing.
"""

from __future__ import annotations

import contextlib
import json
import math
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from embcx_tui.store import lock
from embcx_tui.store.files import make_folder, publish, reason_of
from embcx_tui.store.library import list_studies, read_settings
from embcx_tui.store.paths import StudyPaths, home
from embcx_tui.store.plain_files import read_plain
from embcx_tui.study.errors import EmbcxError, StoreError
from embcx_tui.study.text import safe_text

_MOST_BYTES = 4_096
_LOCK_PATIENCE_S = 10.0
# Orders are times; those of two studies are so far apart at least once one was moved.
_APART_S = 0.001


@dataclass(frozen=True, slots=True)
class Entry:
    """A study in the queue of a machine: `order` is its place among the others (lower: sooner), `waits` whether its
    process lives. `device` is that of its settings.
    """

    paths: StudyPaths
    order: float
    host: str
    device: str
    waits: bool


def write_entry(paths: StudyPaths, order: float | None = None) -> None:
    """Put a study into this machine's queue, at its end unless `order` says where; raises StoreError."""
    try:
        content = {
            "order": time.time() if order is None else order,
            "host": socket.gethostname(),
            "folder": paths.root.stat().st_ino,
        }
        publish(paths.queue, json.dumps(content).encode())
    except OSError as error:
        raise StoreError(f"study {paths.id} cannot be queued ({reason_of(error)})") from None


def remove_entry(paths: StudyPaths) -> bool:
    """Take a study out of the queue; its process ends by itself. Return whether it was in it."""
    try:
        paths.queue.unlink()
    except OSError:
        return False
    return True


def is_queued(paths: StudyPaths) -> bool:
    """Tell whether a study is in the queue of any machine."""
    return _read(paths) is not None


def _read(paths: StudyPaths) -> tuple[float, str] | None:
    try:
        content = json.loads(read_plain(paths.queue, _MOST_BYTES))
        order = float(content["order"])
        if content["folder"] != paths.root.stat().st_ino or not math.isfinite(order):
            return None
        return order, safe_text(content["host"], 80)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def entries(studies: Sequence[StudyPaths] | None = None, but: StudyPaths | None = None) -> tuple[Entry, ...]:
    """Return this machine's queue, the next study first.

    `but` is the study of the calling process, which waits: looking at its lock would let go of it.
    """
    found = []
    for paths in list_studies() if studies is None else studies:
        read = _read(paths)
        if read and read[1] == safe_text(socket.gethostname(), 80):
            waits = paths == but or lock.is_held(paths.waiting)
            with contextlib.suppress(EmbcxError):
                found.append(Entry(paths, read[0], read[1], read_settings(paths).machine.device, waits))
    return tuple(sorted(found, key=lambda entry: (entry.order, entry.paths.id)))


def share_a_device(one: str, other: str) -> bool:
    """Tell whether studies with these `machine.device` settings may compute on one device.

    `auto` may be any; `cuda` any GPU.
    """
    if "auto" in (one, other):
        return True
    if "cuda" in (one, other):
        return one.startswith("cuda") and other.startswith("cuda")
    return one == other


def busy_with(device: str, but: StudyPaths | None = None) -> tuple[StudyPaths, ...]:
    """Return the studies that run on this machine and may use `device`, which are not `but`."""
    from embcx_tui.store import pulse  # loads pydantic, which a list of unchanged studies does not wait for

    found = []
    for paths in list_studies():
        if paths != but and lock.is_running(paths):
            worker = pulse.read(paths)
            if worker and worker.host != socket.gethostname():
                continue
            with contextlib.suppress(EmbcxError):
                if share_a_device(device, read_settings(paths).machine.device):
                    found.append(paths)
    return tuple(found)


def is_taken(device: str, but: StudyPaths | None = None) -> bool:
    """Tell whether a study that starts on `device` now would compute beside another one, or before one that waits."""
    waiting = (entry for entry in entries() if entry.paths != but and entry.waits)
    return bool(busy_with(device, but)) or any(share_a_device(entry.device, device) for entry in waiting)


def has_turn(paths: StudyPaths) -> bool:
    """Tell whether a waiting study may begin: nothing runs on its device, and none that waits for it is before it."""
    queue = entries(but=paths)
    mine = next((entry for entry in queue if entry.paths == paths), None)
    if mine is None:
        return False
    before = queue[: queue.index(mine)]
    if any(entry.waits and share_a_device(entry.device, mine.device) for entry in before):
        return False
    return not busy_with(mine.device, but=paths)


def move(paths: StudyPaths, by: int) -> bool:
    """Move a queued study `by` one place (1: later, -1: sooner) among this machine's; tell whether it moved."""
    with turn_lock():
        queue = list(entries())
        orders = [entry.order for entry in queue]
        at = next((index for index, entry in enumerate(queue) if entry.paths == paths), None)
        if at is None or not 0 <= at + by < len(queue):
            return False
        queue.insert(at + by, queue.pop(at))
        last = float("-inf")
        for entry, order in zip(queue, orders, strict=True):
            # Equal orders, of studies queued at one moment, are told apart.
            last = max(order, last + _APART_S)
            if entry.order != last:
                write_entry(entry.paths, last)
        return True


@contextlib.contextmanager
def turn_lock() -> Iterator[lock.StudyLock]:
    """Let one process at a time decide whose turn it is; raises StoreError where that cannot be locked."""
    make_folder(home())
    held = lock.StudyLock(home() / "queue.lock")
    end = time.monotonic() + _LOCK_PATIENCE_S
    while not held.acquire():
        if time.monotonic() > end:
            raise StoreError("the queue is locked by another process; please try again in a moment")
    try:
        yield held
    finally:
        held.release()
