"""Which files outside a study's folder were written by a command: what is not among them is somebody's own.

`$EMBCX_HOME/written.json` has the SHA-256 of each, so that a file which was edited since then counts as its editor's.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable
from pathlib import Path

from embcx_tui.store.home_records import read_record, write_record
from embcx_tui.store.plain_files import read_plain

# Files named by newer commands push out the oldest: some 100 exports of the whole paper.
_MOST_FILES = 20_000
_MOST_BYTES = 50_000_000
_FILE = "written.json"


def not_ours(files: Iterable[Path]) -> list[Path]:
    """Return those of `files` (absolute) that exist and are not as a command wrote them."""
    known = _known()
    existing = [file for file in files if file.is_symlink() or file.exists()]
    return [file for file in existing if not (digest := _digest(file)) or known.get(_key(file)) != digest]


def remember(files: Iterable[Path]) -> None:
    """Record that a command has just written `files` (absolute); those that are not there are left out.

    Where the record cannot be written they count as somebody's own: the next command asks before it replaces them.
    """
    new = {_key(file): digest for file in files if (digest := _digest(file))}
    kept = {name: digest for name, digest in _known().items() if name not in new}
    newest = list({**kept, **new}.items())[-_MOST_FILES:]
    with contextlib.suppress(OSError):
        write_record(_FILE, dict(newest), indent=0)


def _known() -> dict[str, str]:
    return read_record(_FILE, _MOST_BYTES)


def _key(file: Path) -> str:
    """Return the path of a file without links on the way; one in its own place is not followed."""
    return str(file.parent.resolve() / file.name)


def _digest(file: Path) -> str:
    """Return the SHA-256 of a plain file, hexadecimal; empty where it is none."""
    try:
        return hashlib.sha256(read_plain(Path(_key(file)), _MOST_BYTES)).hexdigest()
    except OSError:
        return ""
