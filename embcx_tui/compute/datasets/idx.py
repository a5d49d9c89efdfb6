"""Datasets in MNIST's own format (IDX files in torchvision's layout, unpacked or gzipped)."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.datasets.dataset import Dataset, make_dataset
from embcx_tui.compute.datasets.download import download, md5_of
from embcx_tui.study.errors import DataError
from embcx_tui.study.text import safe_text

_MAGIC_UINT8 = 0x0800  # the type byte of an IDX file of unsigned bytes; the lowest byte is the number of dimensions

FileState = Literal["missing", "present", "ok", "wrong checksum", "unreadable"]


@dataclass(frozen=True, slots=True)
class IdxFile:
    """One file: its name without `.gz`, the shape inside, size and MD5 as distributed (`.gz`), MD5 unpacked."""

    name: str
    shape: tuple[int, ...]
    gz_bytes: int
    gz_md5: str
    raw_md5: str


@dataclass(frozen=True, slots=True)
class FileStatus:
    """One file of a dataset: where it is, or where it belongs (its `.gz`), and its state."""

    path: Path
    state: FileState


@dataclass(frozen=True, slots=True)
class IdxSource:
    """A dataset of four IDX files: training images, training labels, test images, test labels.

    `folder` is torchvision's, below the data directory; `n_train` of the training images are used, from the first;
    `mirrors` returns the addresses to try, in order.
    """

    name: str
    folder: str
    files: tuple[IdxFile, IdxFile, IdxFile, IdxFile]
    n_train: int
    classes: tuple[str, ...]
    mirrors: Callable[[], tuple[str, ...]]

    def directory(self, data_dir: Path) -> Path:
        return data_dir / self.folder / "raw"

    def status(self, data_dir: Path) -> tuple[FileStatus, ...]:
        """Return which files are there; only their names are looked at."""
        return tuple(
            FileStatus(path or self.directory(data_dir) / f"{file.name}.gz", "present" if path else "missing")
            for file in self.files
            for path in (self._find(data_dir, file),)
        )

    def check(self, data_dir: Path) -> tuple[FileStatus, ...]:
        """Return the state of each file, its checksum compared (0.1 s for MNIST)."""
        return tuple(
            FileStatus(status.path, self._compare(status.path, file)) if status.state == "present" else status
            for status, file in zip(self.status(data_dir), self.files, strict=True)
        )

    def load(self, data_dir: Path, train_limit: int = 0) -> Dataset:
        """Return the dataset; nothing is written. Raises DataError where files are missing or damaged."""
        missing = [status.path for status in self.status(data_dir) if status.state == "missing"]
        if missing:
            raise DataError(
                f"{self.name} is not complete: {self._belong(missing)}; get it with: embcx-tui data fetch {self.name}"
            )
        x_train, y_train, x_test, y_test = (self._read(data_dir, file) for file in self.files)
        rows, columns = self.files[0].shape[1:]
        return make_dataset(
            self.name,
            (x_train.reshape(len(x_train), -1)[: self.n_train], y_train[: self.n_train]),
            (x_test.reshape(len(x_test), -1), y_test),
            self.classes,
            (rows, columns, 1),
            train_limit,
        )

    def fetch(self, data_dir: Path, progress: Callable[[int, int], None]) -> None:
        """Download what is missing or damaged; `progress` gets (bytes done, bytes in all) over all files.

        Raises DataError: without a network, it says which files belong where.
        """
        wanted = [
            file
            for status, file in zip(self.check(data_dir), self.files, strict=True)
            if status.state in ("missing", "wrong checksum")
        ]
        directory = self.directory(data_dir)
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{safe_text(directory)} cannot be made ({error.strerror})") from None
        total = sum(file.gz_bytes for file in wanted)
        done = 0
        for position, file in enumerate(wanted):
            target = directory / f"{file.name}.gz"
            urls = [f"{mirror}{target.name}" for mirror in self.mirrors()]
            try:
                download(urls, target, file.gz_md5, file.gz_bytes, partial(_progress, progress, done, total))
                # A damaged unpacked file would hide the good .gz.
                (directory / file.name).unlink(missing_ok=True)
            except DataError as error:
                rest = [directory / f"{each.name}.gz" for each in wanted[position:]]
                raise DataError(f"{self.name} could not be fetched ({error}); {self._belong(rest)}") from None
            except OSError as error:
                raise DataError(f"{safe_text(directory)} cannot be written ({error.strerror})") from None
            done += file.gz_bytes

    def _find(self, data_dir: Path, file: IdxFile) -> Path | None:
        for name in (file.name, f"{file.name}.gz"):
            path = self.directory(data_dir) / name
            try:
                if path.is_file():
                    return path
            except OSError:  # a folder that may not be entered holds nothing for us
                pass
        return None

    def _compare(self, path: Path, file: IdxFile) -> FileState:
        try:
            return "ok" if md5_of(path) == (file.gz_md5 if path.suffix == ".gz" else file.raw_md5) else "wrong checksum"
        except OSError:
            return "unreadable"

    def _belong(self, paths: list[Path]) -> str:
        names = ", ".join(path.name for path in paths)
        return f"{names} {'belongs' if len(paths) == 1 else 'belong'} in {safe_text(paths[0].parent)}"

    def _read(self, data_dir: Path, file: IdxFile) -> NDArray[np.uint8]:
        path = self._find(data_dir, file)
        if path is None:
            raise DataError(f"{self.name}: {file.name} went away while it was read")
        try:
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
                return read_idx(stream, file.shape)
        except (OSError, EOFError, zlib.error, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(
                f"{safe_text(path)} is damaged ({safe_text(reason, 120)});"
                f" delete it and get it again with: embcx-tui data fetch {self.name}"
            ) from None


def _progress(progress: Callable[[int, int], None], before: int, total: int, now: int) -> None:
    progress(before + now, total)


def read_idx(stream: BinaryIO | gzip.GzipFile, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the unsigned bytes of an IDX stream that must have `shape`.

    Reads no more than that, so that a crafted file cannot fill the memory. Raises ValueError, and what the stream
    raises.
    """
    header = stream.read(4 + 4 * len(shape))
    if len(header) < 4 + 4 * len(shape):
        raise ValueError("it ends inside its header")
    magic, *sizes = struct.unpack(f">{1 + len(shape)}I", header)
    if magic != _MAGIC_UINT8 | len(shape):
        raise ValueError(f"not an IDX file of {len(shape)} dimensions: it begins with {magic:#010x}")
    if tuple(sizes) != shape:
        raise ValueError(f"it says {'×'.join(map(str, sizes))} where {'×'.join(map(str, shape))} is expected")
    size = int(np.prod(shape))
    values = np.empty(size, np.uint8)  # read into, not np.frombuffer: torch wants memory that may be written
    done = 0
    while done < size:
        chunk = stream.read(min(size - done, 1 << 20))
        if not chunk:
            raise ValueError(f"it ends after {done:,} of {size:,} values")
        values[done : done + len(chunk)] = np.frombuffer(chunk, np.uint8)
        done += len(chunk)
    if stream.read(1):  # also makes gzip compare its checksum
        raise ValueError(f"it goes on after {size:,} values")
    return values.reshape(shape)
