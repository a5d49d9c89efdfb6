"""Datasets by name: load, fetch, status, check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from embcx_tui.compute.datasets.dataset import Dataset, make_dataset
from embcx_tui.compute.datasets.readers import load_digits, read_cifar10, read_mnist, read_svhn
from embcx_tui.compute.datasets.source import DAMAGED, FileStatus, Source
from embcx_tui.compute.datasets.user_file import load_user_file
from embcx_tui.study.dataset_catalogue import CATALOGUE, FILE_PREFIX
from embcx_tui.study.errors import DataError
from embcx_tui.study.text import safe_text

__all__ = ["DataStatus", "Dataset", "FileStatus", "check", "fetch", "load", "make_dataset", "status"]

SOURCES: dict[str, Source] = {
    name: Source(CATALOGUE[name], read)
    for name, read in (
        ("mnist", read_mnist),
        ("svhn", read_svhn),
        ("fashion-mnist", read_mnist),
        ("kmnist", read_mnist),
        ("cifar10", read_cifar10),
    )
}


@dataclass(frozen=True, slots=True)
class DataStatus:
    """The state of a dataset (`embedded`: it comes with a library) and of its files."""

    name: str
    state: Literal["embedded", "present", "incomplete", "missing", "damaged"]
    files: tuple[FileStatus, ...]


def load(name: str, data_dir: Path, cache_dir: Path, *, train_limit: int = 0) -> Dataset:
    """Load a dataset into memory.

    Parameters
    ----------
    name : a name in the catalogue, or `file:PATH.npz`.
    data_dir : folder of the named datasets, in torchvision's layout; it is only read.
    cache_dir : folder for unpacked files (55 MB per dataset of the MNIST family); it is created where it is needed, and
        what is in it can be deleted at any time.
    train_limit : how many training inputs are kept, the first ones; 0 keeps all.

    Raises
    ------
    DataError : one line: unknown name, missing files (which, where they belong, how to get them), damaged files, values
        that no network can learn from, a cache that cannot be written, a torchvision that cannot be imported.
    """
    if name == "digits":
        return load_digits(train_limit)
    if name.startswith(FILE_PREFIX):
        return load_user_file(name, train_limit)
    return _source(name).load(data_dir, cache_dir, train_limit)


def fetch(name: str, data_dir: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> None:
    """Download the missing and damaged files of `name` into `data_dir`; `progress` gets (bytes done, bytes in all).

    Each file's addresses are tried in order; a broken download is continued, and a file is checked before it is renamed
    into place. Raises DataError, one line that says what was tried, how it ended, and which files belong where.
    """
    if name != "digits":
        _source(name).fetch(data_dir, progress)


def status(name: str, data_dir: Path) -> DataStatus:
    """Return which files of `name` are there, without opening them."""
    return _status(name, data_dir, checked=False)


def check(name: str, data_dir: Path) -> DataStatus:
    """Return which files of `name` are there and whether they are intact: checksums are compared."""
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
    source = SOURCES.get(name)
    if source is None:
        raise DataError(
            f"{safe_text(name, 60)!r} is not a dataset in the data folder (known: digits, {', '.join(SOURCES)})"
        )
    return source
