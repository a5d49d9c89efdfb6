"""A named dataset's files: which are there, whether they are intact, how they are fetched and read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.datasets.dataset import Dataset, make_dataset, reason_of
from embcx_tui.compute.datasets.download import download
from embcx_tui.study.dataset_catalogue import DatasetFacts, DatasetFile, StoredFile
from embcx_tui.study.errors import DataError
from embcx_tui.study.text import safe_text

# `no checksum`: the size is right, and no checksum of the file is published.
FileState = Literal["missing", "present", "ok", "no checksum", "wrong checksum", "wrong size", "unreadable"]
DAMAGED: frozenset[FileState] = frozenset(("wrong checksum", "wrong size", "unreadable"))

Pair = tuple[NDArray[np.uint8], NDArray[np.integer]]
# From the facts, the paths of each part's files and a folder for unpacked files to the training and the test pair:
# inputs [n, features], labels [n]. Raises DamagedError, or DataError where no file is at fault.
Reader = Callable[[DatasetFacts, tuple[tuple[Path, ...], ...], Path], tuple[Pair, Pair]]
Progress = Callable[[int, int], None]


class DamagedError(Exception):
    """A file cannot be read as what it should be: its path and the reason."""

    def __init__(self, path: Path, reason: object) -> None:
        self.path = path
        self.reason = reason_of(reason)
        super().__init__(self.reason)


@dataclass(frozen=True, slots=True)
class FileStatus:
    """One file of a dataset: its path (where it belongs, if it is missing) and its state."""

    path: Path
    state: FileState


@dataclass(frozen=True, slots=True)
class Source:
    """A dataset that is stored in files: its facts, and `read`, which knows their format."""

    facts: DatasetFacts
    read: Reader

    @property
    def name(self) -> str:
        return self.facts.name

    def status(self, data_dir: Path) -> tuple[FileStatus, ...]:
        """Return which files are there, without opening them."""
        return tuple(FileStatus(path, state) for path, state, _ in self._files(data_dir))

    def check(self, data_dir: Path) -> tuple[FileStatus, ...]:
        """Return the state of each file, its size and checksum compared (0.1 s for MNIST, 0.5 s for SVHN)."""
        return tuple(
            FileStatus(path, compare(path, file) if state == "present" else state)
            for path, state, file in self._files(data_dir)
        )

    def load(self, data_dir: Path, cache_dir: Path, train_limit: int = 0) -> Dataset:
        """Return the dataset; `data_dir` is not written, files are unpacked into `cache_dir`.

        Raises DataError where files are missing or damaged, `cache_dir` cannot be written, or torchvision is broken.
        """
        present = [part.complete_form(data_dir) for part in self.facts.files]
        forms = tuple(tuple(file.at(data_dir) for file in form) for form in present if form)
        if len(forms) < len(present):
            missing = [file for part in self.facts.files for file in part.missing(data_dir)]
            raise DataError(
                f"{self.name} is not complete: {belong(missing, data_dir)};"
                f" get it with: embcx-tui data fetch {self.name}{self._hint(data_dir)}"
            )
        try:
            for status in self.check(data_dir):
                if status.state in DAMAGED:
                    raise DamagedError(status.path, status.state)
            (x_train, y_train), test = self.read(self.facts, forms, cache_dir)
        except DamagedError as error:
            raise DataError(
                f"{safe_text(error.path)} is damaged ({error.reason});"
                f" delete it and get it again with: embcx-tui data fetch {self.name}"
            ) from None
        train = x_train[: self.facts.n_train], y_train[: self.facts.n_train]
        return make_dataset(self.name, train, test, self.facts.classes, self.facts.shape, train_limit)

    def fetch(self, data_dir: Path, progress: Progress) -> None:
        """Download the missing and damaged files; `progress` is called with (bytes done, bytes in all) of all of them.

        Raises DataError that says which addresses were tried and which files belong where.
        """
        wanted = [part for part in self.facts.files if self._wanted(part, data_dir)]
        total = sum(part.distributed.size for part in wanted)
        done = 0
        for position, part in enumerate(wanted):
            file = part.distributed
            target = data_dir / file.path
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise DataError(f"{safe_text(target.parent)} cannot be made ({error.strerror})") from None
            try:
                download(part.urls, target, file.md5 or "", file.size, partial(_progress, progress, done, total))
                self._uncover(part, data_dir)
            except DataError as error:
                rest = [each.distributed for each in wanted[position:]]
                raise DataError(f"{self.name} could not be fetched ({error}); {belong(rest, data_dir)}") from None
            except OSError as error:
                raise DataError(f"{safe_text(target.parent)} cannot be written ({error.strerror})") from None
            done += file.size

    def _files(self, data_dir: Path) -> list[tuple[Path, FileState, StoredFile]]:
        """Return path, state and description of the files that are read and of those that are missing."""
        return [
            (file.at(data_dir), "present" if there else "missing", file)
            for part in self.facts.files
            for file, there in part.locate(data_dir)
        ]

    def _wanted(self, part: DatasetFile, data_dir: Path) -> bool:
        form = part.complete_form(data_dir)
        return form is None or any(compare(file.at(data_dir), file) in DAMAGED for file in form)

    def _uncover(self, part: DatasetFile, data_dir: Path) -> None:
        """Remove damaged files that would be read instead of the one just fetched."""
        form = part.complete_form(data_dir)
        while form and part.distributed not in form:
            for file in form:
                file.at(data_dir).unlink(missing_ok=True)
            form = part.complete_form(data_dir)

    def _hint(self, data_dir: Path) -> str:
        """Say why the version of CIFAR-10 that torchvision downloads is not read."""
        if self.name == "cifar10" and (data_dir / "cifar-10-batches-py").exists():
            return " (cifar-10-batches-py is Python pickle, which could run code and is never opened here)"
        return ""


def compare(path: Path, file: StoredFile) -> FileState:
    """Return the state of the file at `path`, compared with its description `file`."""
    try:
        if not file.md5:
            return "no checksum" if path.stat().st_size == file.size else "wrong size"
        with path.open("rb") as stream:
            # MD5 is what the publishers list; it protects against damage, not against malice.
            digest = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False))
        return "ok" if digest.hexdigest() == file.md5 else "wrong checksum"
    except OSError:
        return "unreadable"


def belong(files: list[StoredFile], data_dir: Path) -> str:
    """Return "a, b belong in FOLDER"."""
    names = ", ".join(dict.fromkeys(file.name for file in files))
    return f"{names} {'belongs' if len(files) == 1 else 'belong'} in {safe_text((data_dir / files[0].path).parent)}"


def _progress(progress: Progress, before: int, total: int, now: int) -> None:
    progress(before + now, total)
