"""The files a dataset consists of: where they may lie, how to know them, where they come from."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE_PREFIX = "file:"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file: its `path` below the data folder, `size` in bytes, MD5 (None where nobody publishes one)."""

    path: str
    size: int
    md5: str | None = None

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Part:
    """One thing a dataset needs, in any of several forms.

    Each of `forms` is one or several files that together will do; the first that is there whole is read.
    `distributed` is the file that `urls` give, one of the forms by itself.
    """

    forms: tuple[tuple[StoredFile, ...], ...]
    distributed: StoredFile
    urls: tuple[str, ...]

    def found(self, folder: Path) -> tuple[tuple[StoredFile, bool], ...]:
        """Return the files that matter, and whether each is there; looks at names alone.

        They are those of the first form that is whole, else of one that is there in part, else the distributed file.
        """
        looked_at = [tuple((file, is_there(folder / file.path)) for file in form) for form in self.forms]
        for enough in (all, any):
            for form in looked_at:
                if enough(there for _, there in form):
                    return form
        return ((self.distributed, False),)

    def present(self, folder: Path) -> tuple[StoredFile, ...] | None:
        """Return the files of the form that is read, None where no form is whole."""
        found = self.found(folder)
        return tuple(file for file, _ in found) if all(there for _, there in found) else None

    def missing(self, folder: Path) -> tuple[StoredFile, ...]:
        """Return what to put there: nothing, the rest of a form that is there in part, or the distributed file."""
        return tuple(file for file, there in self.found(folder) if not there)


def is_there(path: Path) -> bool:
    """Tell whether `path` is a regular file; False in a folder that may not be entered."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def absolute_dataset(name: str, base: Path) -> str:
    """Return `name` with the path of a `file:` dataset made absolute from `base`; other names as they are.

    The worker computes in another folder than the person who asks: a relative path means something to the latter only.
    """
    if not name.startswith(FILE_PREFIX):
        return name
    path = Path(name.removeprefix(FILE_PREFIX))
    with suppress(RuntimeError):  # "~nobody/": no such person
        path = path.expanduser()
    return FILE_PREFIX + str(base.absolute() / path)


def with_absolute_datasets(values: dict[str, Any], base: Path) -> dict[str, Any]:
    """Return the `values` of a study file with the paths of its `file:` datasets made absolute from `base`."""
    data = values.get("data")
    names = data.get("datasets") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(names, (str, list)):
        return values  # validation says what is wrong with it
    listed = [names] if isinstance(names, str) else names
    found = [absolute_dataset(name, base) if isinstance(name, str) else name for name in listed]
    return {**values, "data": {**data, "datasets": found}}
