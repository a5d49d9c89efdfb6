"""Writing so that a crash or a full disk at any point leaves the old file or the new one, never half of either.

Array files are sealed: `.npz` that anyone can open, with their SHA-256 in the journal.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import secrets
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embcx_tui.study.errors import StoreError
from embcx_tui.study.text import safe_text

if TYPE_CHECKING:  # what reads and writes arrays takes 0.3 s to load, which the first screen does not wait for
    from numpy.typing import NDArray

    from embcx_tui.study.events import SealedFile

FILE_MODE = 0o600
FOLDER_MODE = 0o700
_NO_ARRAYS = (ValueError, OSError, KeyError, EOFError, zipfile.BadZipFile)


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data`; short writes happen (signals, NFS, a disk that is nearly full)."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def sync_folder(folder: Path) -> None:
    """Make renames within `folder` durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folder(folder: Path) -> None:
    """Create `folder` and its parents, private to the user; raises StoreError with one line."""
    try:
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{safe_text(folder)}: cannot be created ({error.strerror})") from None


def publish(path: Path, data: bytes, *, replace: bool = True) -> str:
    """Write `data` to `path` atomically and durably; return the SHA-256 of it, hexadecimal.

    A reader sees the old file or the whole new one. With `replace=False` an existing file is an error
    (FileExistsError). OSError (a full disk, say) leaves nothing behind.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        try:
            write_all(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)
        if replace:
            temporary.replace(path)
        else:
            os.link(temporary, path)
            temporary.unlink()
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)
    return hashlib.sha256(data).hexdigest()


def remove_temporaries(folder: Path) -> None:
    """Remove what a killed writer left half-written in `folder`."""
    for path in folder.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            path.unlink()


def write_arrays(folder: Path, name: str, arrays: dict[str, NDArray[Any]]) -> SealedFile:
    """Publish `arrays` as `folder/name`; the same arrays give the same bytes.

    `numpy.savez` stamps no clock time, so the bytes depend on the arrays alone.
    """
    import numpy as np

    from embcx_tui.study.events import SealedFile

    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # its stub takes the names for its own flag
    return SealedFile(name=f"{folder.name}/{name}", sha256=publish(folder / name, buffer.getvalue()))


def read_arrays(study_folder: Path, sealed: SealedFile) -> dict[str, NDArray[Any]]:
    """Return the arrays of a sealed file; raises StoreError where it is missing or not what the journal announced."""
    import numpy as np

    path = study_folder / sealed.name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StoreError(f"{safe_text(path.name)}: cannot be read ({error.strerror})") from None
    if hashlib.sha256(data).hexdigest() != sealed.sha256:
        raise StoreError(f"{safe_text(path.name)}: damaged (not what the journal announced); resume makes it again")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}
    except _NO_ARRAYS as error:
        raise StoreError(f"{safe_text(path.name)}: no array file ({safe_text(error, 100)})") from None


def is_intact(study_folder: Path, sealed: SealedFile) -> bool:
    """Tell whether a sealed file is there with the bytes the journal announced."""
    try:
        return hashlib.sha256((study_folder / sealed.name).read_bytes()).hexdigest() == sealed.sha256
    except OSError:
        return False
