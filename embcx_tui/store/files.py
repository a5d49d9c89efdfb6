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
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embcx_tui.store.paths import studies_folder
from embcx_tui.store.plain_files import FILE_MODE, open_folder, read_plain
from embcx_tui.study.errors import StoreError
from embcx_tui.study.text import safe_text

if TYPE_CHECKING:  # what reads and writes arrays takes 0.3 s to load, which the first screen does not wait for
    from numpy.typing import NDArray

    from embcx_tui.study.events import SealedFile

FOLDER_MODE = 0o700
# Far above what a study writes: the checkpoints of 20,000 networks, and a sample of 50,000 colour images.
MAX_SEALED_BYTES = 64 << 30
MAX_ARRAY_BYTES = 8 << 30
# What numpy and zipfile raise on bytes that are no array file.
_NO_ARRAYS = (
    ValueError, OSError, LookupError, EOFError, ArithmeticError, TypeError, AttributeError, RuntimeError, MemoryError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


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
    """Create `folder` and its parents, durably and private to the user; raises StoreError with one line.

    A user's own links are followed; in the folder of a study, which may come from elsewhere, there must be none.
    """
    studies = studies_folder()
    for part in (folder, *folder.parents):
        if studies in part.parents and part.is_symlink():
            raise StoreError(f"{safe_text(part)}: a symbolic link in a study's folder is not followed; remove it")
    try:
        new = [part for part in (folder, *folder.parents) if not part.exists()]
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        for part in new:
            with contextlib.suppress(PermissionError):  # a folder that may be written to and not listed
                sync_folder(part.parent)
    except OSError as error:
        raise StoreError(f"{safe_text(folder)}: cannot be created ({error.strerror})") from None


def publish(path: Path, data: bytes, *, replace: bool = True, follow: bool = False) -> str:
    """Write `data` to `path` atomically and durably; return the SHA-256 of it, hexadecimal.

    A reader sees the old file or the whole new one. With `replace=False` an existing file is an error
    (FileExistsError). OSError (a full disk, say) leaves nothing behind. The folder is not reached through a symbolic
    link unless `follow`; a link in the place of the file is replaced.
    """
    temporary = f".{path.name}.{secrets.token_hex(6)}.tmp"
    folder = open_folder(path.parent, follow=follow)
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE, dir_fd=folder)
        try:
            write_all(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)
        if replace:
            os.replace(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        else:
            os.link(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)
            os.unlink(temporary, dir_fd=folder)
        os.fsync(folder)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        if isinstance(error, OSError):
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        os.close(folder)
    return hashlib.sha256(data).hexdigest()


def remove_temporaries(folder: Path) -> None:
    """Remove what a killed writer left half-written in `folder`; raises OSError where that is a link or missing."""
    fd = open_folder(folder)
    try:
        for name in os.listdir(fd):  # noqa: PTH208  # a path could lead elsewhere by now
            if name.startswith(".") and name.endswith(".tmp"):
                with contextlib.suppress(OSError):
                    os.unlink(name, dir_fd=fd)
    finally:
        os.close(fd)


def write_arrays(folder: Path, name: str, arrays: dict[str, NDArray[Any]]) -> SealedFile:
    """Publish `arrays` as `folder/name`; the same arrays give the same bytes."""
    from embcx_tui.study.events import SealedFile

    return SealedFile(name=f"{folder.name}/{name}", sha256=publish(folder / name, pack_arrays(arrays)))


def pack_arrays(arrays: dict[str, NDArray[Any]]) -> bytes:
    """Return the bytes of an array file.

    `numpy.savez` stamps no clock time, so the bytes depend on the arrays alone.
    """
    import numpy as np

    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # its stub takes the names for its own flag
    return buffer.getvalue()


def read_arrays(study_folder: Path, sealed: SealedFile) -> dict[str, NDArray[Any]]:
    """Return the arrays of a sealed file; raises StoreError where it is missing or not what the journal announced."""
    return unpack_arrays(read_sealed(study_folder, sealed), sealed)


def unpack_arrays(data: bytes, sealed: SealedFile) -> dict[str, NDArray[Any]]:
    """Return the arrays in the bytes of a sealed file; raises StoreError where they are none."""
    import numpy as np

    name = safe_text(Path(sealed.name).name)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as members:
            if sum(info.file_size for info in members.infolist()) > MAX_ARRAY_BYTES:
                raise StoreError(f"{name}: its arrays are larger than any of a study")
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
    except _NO_ARRAYS as error:
        raise StoreError(f"{name}: no array file ({safe_text(error, 100)})") from None
    if any(array.dtype.kind not in "biuf" for array in arrays.values()):
        raise StoreError(f"{name}: holds something else than numbers")
    return arrays


def read_sealed(study_folder: Path, sealed: SealedFile) -> bytes:
    """Return the bytes of a sealed file; raises StoreError where it is missing or not what the journal announced."""
    name = safe_text(Path(sealed.name).name)
    try:
        data = read_plain(study_folder / sealed.name, MAX_SEALED_BYTES)
    except (OSError, MemoryError) as error:
        raise StoreError(f"{name}: cannot be read ({reason_of(error)})") from None
    if hashlib.sha256(data).hexdigest() != sealed.sha256:
        raise StoreError(f"{name}: damaged (not what the journal announced); resume makes it again")
    return data


def is_intact(study_folder: Path, sealed: SealedFile) -> bool:
    """Tell whether a sealed file is there with the bytes the journal announced."""
    try:
        read_sealed(study_folder, sealed)
    except StoreError:
        return False
    return True


def reason_of(error: OSError | MemoryError) -> str:
    """Return why a file cannot be read or written, as part of a sentence."""
    return "out of memory" if isinstance(error, MemoryError) else safe_text(error.strerror or error, 100)
