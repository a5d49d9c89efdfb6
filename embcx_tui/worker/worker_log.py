"""The output of a study's own processes, `worker.log`, which says why one ended where the journal does not."""

from __future__ import annotations

import contextlib
import os
import shutil

from embcx_tui.store.files import make_folder, reason_of
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.plain_files import open_plain
from embcx_tui.study.errors import StoreError
from embcx_tui.study.text import safe_text

# The last line of a worker's output is sought in so many bytes.
_LOG_BYTES = 65_536
# Less than a block or two: a line finds no room.
_ROOM_BYTES = 16_384


def open_output(paths: StudyPaths) -> int:
    """Return a descriptor that appends to a study's worker.log, its folders made; raises StoreError."""
    for folder in (paths.arrays, paths.checkpoints):
        make_folder(folder)
    try:
        return open_plain(paths.worker_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    except OSError as error:
        raise StoreError(f"{safe_text(paths.worker_log)}: cannot be written ({reason_of(error)})") from None


def last_line(paths: StudyPaths) -> str:
    """Return the last line of a worker's own output, safe to show; empty where there is none."""
    try:
        with os.fdopen(open_plain(paths.worker_log), "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LOG_BYTES))
            lines = file.read(_LOG_BYTES).decode(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return safe_text(lines[-1], 200) if lines else ""


def last_words(paths: StudyPaths) -> str:
    """Return the last line of a worker's own output, or why it may have none."""
    if line := last_line(paths):
        return line
    with contextlib.suppress(OSError):
        if shutil.disk_usage(paths.root).free < _ROOM_BYTES:
            return "its log is empty, for the disk is full"
    return "its log is empty (was it out of memory?)"
