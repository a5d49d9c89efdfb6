"""What the list of studies says of the queue: each waiting study's place, and in how long it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from embcx_tui.store import queue
from embcx_tui.tui.study_row import StudyRow

# What is left changes with every second; the list is drawn again only for changes of so many seconds.
_STEP_S = 15.0


def with_queue(rows: Sequence[StudyRow]) -> tuple[StudyRow, ...]:
    """Return `rows`, those of this machine's queue with their place and the estimate of what is before them."""
    waiting = queue.entries([row.paths for row in rows if row.state not in ("running", "unreadable")])
    if not waiting:
        return tuple(rows)
    by_paths = {row.paths: row for row in rows}
    # What is ahead, by the device it is computed on.
    ahead = [(_device(row), row.seconds_left) for row in rows if row.state == "running"]
    queued: dict[object, StudyRow] = {}
    for number, entry in enumerate(waiting, start=1):
        row = by_paths[entry.paths]
        before = [seconds for device, seconds in ahead if queue.share_a_device(device, entry.device)]
        known = [seconds for seconds in before if seconds is not None]
        starts = round(sum(known) / _STEP_S) * _STEP_S if len(known) == len(before) else None
        queued[entry.paths] = replace(row, place=number, starts_in=starts, waits=entry.waits)
        if entry.waits:
            ahead.append((entry.device, row.work))
    return tuple(queued.get(row.paths, row) for row in rows)


def seconds_ahead(rows: Sequence[StudyRow], device: str) -> float | None:
    """Return in about how many seconds a study that is queued now on `device` would start; None where at once."""
    before = [
        row.work if row.place else row.seconds_left or 0.0
        for row in rows
        if (row.state == "running" or (row.place and row.waits)) and queue.share_a_device(_device(row), device)
    ]
    return round(sum(before) / _STEP_S) * _STEP_S if before else None


def _device(row: StudyRow) -> str:
    return row.settings.machine.device if row.settings else "auto"
