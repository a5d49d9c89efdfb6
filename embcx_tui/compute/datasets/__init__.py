"""Datasets by name: load, fetch, status, check. One module a kind of source; `fetch` alone writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from embcx_tui.compute.datasets.dataset import Dataset, make_dataset
from embcx_tui.compute.datasets.digits import load_digits
from embcx_tui.compute.datasets.idx import FileStatus, IdxSource
from embcx_tui.compute.datasets.mnist import MNIST
from embcx_tui.study.errors import DataError
from embcx_tui.study.text import safe_text

__all__ = ["DataStatus", "Dataset", "FileStatus", "check", "fetch", "load", "make_dataset", "status"]

_IDX: dict[str, IdxSource] = {source.name: source for source in (MNIST,)}


@dataclass(frozen=True, slots=True)
class DataStatus:
    """A dataset's state: embedded (comes with a library), present, incomplete, missing or damaged; and its files."""

    name: str
    state: Literal["embedded", "present", "incomplete", "missing", "damaged"]
    files: tuple[FileStatus, ...]


def load(name: str, data_dir: Path, *, train_limit: int = 0) -> Dataset:
    """Return the dataset called `name`, from `data_dir` where it is not embedded; `train_limit` 0: all of it.

    Reads only. Raises DataError, one line: unknown name, missing files (which, where they belong, how to get them),
    damaged files.
    """
    if name == "digits":
        return load_digits(train_limit)
    return _source(name).load(data_dir, train_limit)


def fetch(name: str, data_dir: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> None:
    """Download what is missing or damaged of `name` into `data_dir`; `progress` gets (bytes done, bytes in all).

    From torchvision's mirrors, in their order, each file checked and then renamed into place. Raises DataError, one
    line: no network (which files belong where), a wrong checksum from every mirror, a folder that cannot be written.
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
    if states & {"wrong checksum", "unreadable"}:
        return DataStatus(name, "damaged", files)
    if "missing" in states:
        return DataStatus(name, "missing" if states == {"missing"} else "incomplete", files)
    return DataStatus(name, "present", files)


def _source(name: str) -> IdxSource:
    source = _IDX.get(name)
    if source is None:
        raise DataError(f"{safe_text(name, 60)!r} is not a dataset (known: digits, {', '.join(_IDX)})")
    return source
