"""Datasets by name: load, fetch, status, check. One module a format; `download` alone writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from embcx_tui.compute.datasets.cifar10 import read_cifar10
from embcx_tui.compute.datasets.dataset import Dataset, make_dataset
from embcx_tui.compute.datasets.digits import load_digits
from embcx_tui.compute.datasets.fileset import load_fileset
from embcx_tui.compute.datasets.idx import read_idx
from embcx_tui.compute.datasets.source import DAMAGED, FileStatus, Source
from embcx_tui.compute.datasets.svhn import read_svhn
from embcx_tui.study.dataset_catalogue import CATALOGUE, FILE_PREFIX
from embcx_tui.study.errors import DataError
from embcx_tui.study.text import safe_text

__all__ = ["DataStatus", "Dataset", "FileStatus", "check", "fetch", "load", "make_dataset", "status"]

_SOURCES: dict[str, Source] = {
    name: Source(CATALOGUE[name], read)
    for name, read in (
        ("mnist", read_idx),
        ("svhn", read_svhn),
        ("fashion-mnist", read_idx),
        ("kmnist", read_idx),
        ("cifar10", read_cifar10),
    )
}


@dataclass(frozen=True, slots=True)
class DataStatus:
    """A dataset's state: embedded (comes with a library), present, incomplete, missing or damaged; and its files."""

    name: str
    state: Literal["embedded", "present", "incomplete", "missing", "damaged"]
    files: tuple[FileStatus, ...]


def load(name: str, data_dir: Path, *, train_limit: int = 0) -> Dataset:
    """Return the dataset called `name`, from `data_dir` or from the file it names; `train_limit` 0: all of it.

    Reads only. Raises DataError, one line: unknown name, missing files (which, where they belong, how to get them),
    damaged files, values that no network can learn from.
    """
    if name == "digits":
        return load_digits(train_limit)
    if name.startswith(FILE_PREFIX):
        return load_fileset(name, train_limit)
    return _source(name).load(data_dir, train_limit)


def fetch(name: str, data_dir: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> None:
    """Download what is missing or damaged of `name` into `data_dir`; `progress` gets (bytes done, bytes in all).

    From each file's addresses in their order, checked and then renamed into place; what a broken connection left is
    continued. Raises DataError, one line: what was tried and how it ended, which files belong where.
    """
    if name != "digits":
        _source(name).fetch(data_dir, progress)


def status(name: str, data_dir: Path) -> DataStatus:
    """Return what is there of `name`, by its files' names alone."""
    return _status(name, data_dir, checked=False)


def check(name: str, data_dir: Path) -> DataStatus:
    """Return what is there of `name`, checksums compared."""
    return _status(name, data_dir, checked=True)


def _status(name: str, data_dir: Path, checked: bool) -> DataStatus:
    if name == "digits":
        return DataStatus(name, "embedded", ())
    source = _source(name)
    files = source.check(data_dir) if checked else source.status(data_dir)
    states = {file.state for file in files}
    if states & DAMAGED:
        return DataStatus(name, "damaged", files)
    if "missing" in states:
        return DataStatus(name, "missing" if states == {"missing"} else "incomplete", files)
    return DataStatus(name, "present", files)


def _source(name: str) -> Source:
    source = _SOURCES.get(name)
    if source is None:
        raise DataError(
            f"{safe_text(name, 60)!r} is not a dataset in the data folder (known: digits, {', '.join(_SOURCES)})"
        )
    return source
