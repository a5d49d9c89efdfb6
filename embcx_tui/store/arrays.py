"""Sealed array files: `.npz` that anyone can open, with their SHA-256 in the journal."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcx_tui.store.files import publish
from embcx_tui.study.errors import StoreError
from embcx_tui.study.events import SealedFile
from embcx_tui.study.text import safe_text

_UNREADABLE = (ValueError, OSError, KeyError, EOFError, zipfile.BadZipFile)


def write_arrays(folder: Path, name: str, arrays: dict[str, NDArray[Any]]) -> SealedFile:
    """Publish `arrays` as `folder/name`; the same arrays give the same bytes.

    `numpy.savez` stamps no clock time, so the bytes depend on the arrays alone.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # its stub takes the names for its own flag
    return SealedFile(name=f"{folder.name}/{name}", sha256=publish(folder / name, buffer.getvalue()))


def read_arrays(study_folder: Path, sealed: SealedFile) -> dict[str, NDArray[Any]]:
    """Return the arrays of a sealed file; raises StoreError where it is missing or not what the journal announced."""
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
    except _UNREADABLE as error:
        raise StoreError(f"{safe_text(path.name)}: no array file ({safe_text(error, 100)})") from None


def is_intact(study_folder: Path, sealed: SealedFile) -> bool:
    """Tell whether a sealed file is there with the bytes the journal announced."""
    try:
        return hashlib.sha256((study_folder / sealed.name).read_bytes()).hexdigest() == sealed.sha256
    except OSError:
        return False
