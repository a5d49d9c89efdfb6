"""The row of each study in the list, kept in `$EMBCX_HOME/list.json` so that a study which did not change is not read
again.

A row is kept with a hash of what it was read from, study.toml, the whole journal and the label, and of this program: a
damaged byte is noticed as it was without. Reading and hashing takes a hundredth of the time of understanding, and loads
no pydantic. Imports neither settings nor events.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import embcx_tui
from embcx_tui.store import lock
from embcx_tui.store.home_records import read_record, write_record
from embcx_tui.store.name_and_note import LONGEST_NOTE, read_label
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.plain_files import read_plain
from embcx_tui.study.errors import StoreError
from embcx_tui.study.text import safe_text
from embcx_tui.study.times import MOST_TIME

_FILE = "list.json"
_MOST_BYTES = 8_000_000
# A larger journal is read as without rows kept: hashing more takes longer than a person waits for a list.
_MOST_JOURNAL_BYTES = 256_000_000
_MOST_STATE = 20
_MOST_NAME = 200
# What a row is made by.
_PARTS = ("study", "store", "analysis")


@dataclass(frozen=True, slots=True)
class ListRow:
    """What the list says of a study: when it was `created` in seconds since 1970, its `progress` 0 … 1, and the damage
    to it in words, empty where there is none; `partly` whether it is complete with something missing, and its `note`.
    """

    name: str
    state: str
    created: float
    progress: float
    damage: str = ""
    partly: bool = False
    note: str = ""


class StudyListCache:
    """The rows that are kept; `save` writes them where they have changed."""

    def __init__(self) -> None:
        self._code = _code_key()
        record = read_record(_FILE, _MOST_BYTES) if self._code else {}
        rows = record.get("rows") if record.get("code") == self._code else None
        self._before: dict[str, Any] = rows if isinstance(rows, dict) else {}
        self._now: dict[str, Any] = {}

    def row(self, paths: StudyPaths, read: Callable[[StudyPaths], ListRow]) -> ListRow:
        """Return the row of a study, by `read` where it is not kept; raises what `read` raises.

        Rows of damaged studies are not kept, nor of one that runs: its state does not stand in its files.
        """
        key = _content_key(paths) if self._code else ""
        entry = self._before.get(paths.id)
        if key and isinstance(entry, dict) and entry.get("of") == key and (kept := _row(entry)):
            self._now[paths.id] = entry
            return kept
        row = read(paths)
        if key and not row.damage and key == _content_key(paths):
            self._now[paths.id] = {"of": key, **asdict(row)}
        return row

    def save(self) -> None:
        """Write the rows of the studies asked for, if there is anything new; a disk that refuses costs time alone."""
        if self._code and self._now != self._before:
            with suppress(OSError, StoreError):
                write_record(_FILE, {"code": self._code, "rows": self._now})


def _row(entry: dict[str, Any]) -> ListRow | None:
    """Return a kept row; None where somebody has edited it into what no row is."""
    try:
        row = ListRow(**{field.name: entry[field.name] for field in fields(ListRow)})
        texts = row.name == safe_text(row.name, _MOST_NAME) and row.state == safe_text(row.state, _MOST_STATE)
        texts = texts and row.note == safe_text(row.note, LONGEST_NOTE) and isinstance(row.partly, bool)
        return row if texts and not row.damage and 0 <= row.progress <= 1 and 0 < row.created <= MOST_TIME else None
    except (KeyError, TypeError, AttributeError):
        return None


def _content_key(paths: StudyPaths) -> str:
    """Return a hash of what a study's row depends on; empty where a worker runs or a file is not as it should be."""
    if paths.root.is_symlink() or os.path.lexists(paths.pulse) or lock.is_held(paths.lock):
        return ""
    hasher = hashlib.blake2b(digest_size=16)
    try:
        for file in (paths.study_file, paths.journal):
            data = read_plain(file, _MOST_JOURNAL_BYTES)
            hasher.update(len(data).to_bytes(8, "big") + data)
        label = read_label(paths)
        hasher.update(repr((label.name, label.note)).encode())
    except (OSError, MemoryError):
        return ""
    return hasher.hexdigest()


def _code_key() -> str:
    """Return what tells this program from another version or an edited one; empty where its files cannot be asked."""
    folder = Path(embcx_tui.__file__).parent
    try:
        files = [(path, path.stat()) for part in _PARTS for path in sorted((folder / part).glob("*.py"))]
    except OSError:
        files = []
    if not files:
        return ""
    stamps = [embcx_tui.__version__, *(f"{path} {status.st_mtime_ns} {status.st_size}" for path, status in files)]
    return hashlib.blake2b("\n".join(stamps).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
