"""What is known of each dataset before it is loaded: its sizes, its files, and where they come from (datasets.toml)."""

from __future__ import annotations

import tomllib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE_PREFIX = "file:"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file on disk: its `path` in the data folder, `size` in bytes, and MD5 (None where none is published)."""

    path: str
    size: int
    md5: str | None = None

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    def at(self, folder: Path) -> Path:
        """Return where the file lies in the data folder: under its own name where it has no other.

        MNIST's files are also passed on with a dot (`train-images.idx3-ubyte`), and a browser may unpack one and leave
        it the name of the packed file, which its size then tells.
        """
        own = folder / self.path
        if file_exists(own) or "-idx" not in self.name:
            return own
        dotted = folder / self.path.replace("-idx", ".idx")
        unpacked = () if own.suffix == ".gz" else (Path(f"{own}.gz"), Path(f"{dotted}.gz"))
        found = (dotted, *(path for path in unpacked if file_exists(path) and path.stat().st_size == self.size))
        return next((path for path in found if file_exists(path)), own)


@dataclass(frozen=True, slots=True)
class DatasetFile:
    """A file that a dataset consists of, which may be stored in several forms (plain, compressed, unpacked).

    Each of `forms` is one or several stored files; the first form that is complete is read. `distributed` is the file
    that can be downloaded from `urls`, and is one of the forms by itself.
    """

    forms: tuple[tuple[StoredFile, ...], ...]
    distributed: StoredFile
    urls: tuple[str, ...]

    def locate(self, folder: Path) -> tuple[tuple[StoredFile, bool], ...]:
        """Return the stored files of the form to use, and whether each exists; contents are not read.

        That is the first complete form, else the first of which a file exists, else the distributed file.
        """
        forms = [tuple((file, file_exists(file.at(folder))) for file in form) for form in self.forms]
        for enough in (all, any):
            for form in forms:
                if enough(exists for _, exists in form):
                    return form
        return ((self.distributed, False),)

    def complete_form(self, folder: Path) -> tuple[StoredFile, ...] | None:
        """Return the files of the first complete form, None where there is none."""
        located = self.locate(folder)
        return tuple(file for file, _ in located) if all(exists for _, exists in located) else None

    def missing(self, folder: Path) -> tuple[StoredFile, ...]:
        """Return the files that the form to use lacks; none where a form is complete."""
        return tuple(file for file, exists in self.locate(folder) if not exists)


def file_exists(path: Path) -> bool:
    """Tell whether `path` is a regular file; False in a folder that cannot be entered."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def absolute_dataset(name: str, base: Path) -> str:
    """Return `name` with the path of a `file:` dataset made absolute from `base`; other names as they are.

    The worker runs in another folder than the user's shell, where a relative path would mean another file.
    """
    if not name.startswith(FILE_PREFIX):
        return name
    path = Path(name.removeprefix(FILE_PREFIX))
    with suppress(RuntimeError):  # "~nobody/": there is no such user
        path = path.expanduser()
    with suppress(OSError):  # the current folder is gone: a path that is not whole is refused later
        path = base.absolute() / path
    return FILE_PREFIX + str(path)


def with_absolute_datasets(values: dict[str, Any], base: Path) -> dict[str, Any]:
    """Return the `values` of a study file with the paths of its `file:` datasets made absolute from `base`."""
    data = values.get("data")
    names = data.get("datasets") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(names, (str, list)):
        return values  # validation says what is wrong with it
    listed = [names] if isinstance(names, str) else names
    absolute = [absolute_dataset(name, base) if isinstance(name, str) else name for name in listed]
    return {**values, "data": {**data, "datasets": absolute}}


# Datasets whose share of nonzero pixels is below this are trained with sparse products on a CPU
# (compute.training.sparse_inputs), and forecasts count them so. On one core of an EPYC (Zen 4) sparse and dense
# products take equally long at 0.44.
MOSTLY_ZERO = 0.4


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """What is known of a named dataset: `n_train` training inputs, images of `shape` (rows, columns, channels).

    Its files hold `n_stored` training inputs, of which the first `n_train` are used; `smallest_class` is the number of
    training inputs of the rarest class among those, `nonzero` the share of their pixels that are not zero (1 where it
    has not been counted). `printed` is its name in print. A dataset without `files` comes with a library.
    """

    name: str
    title: str
    n_train: int
    n_test: int
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    smallest_class: int
    source: str
    files: tuple[DatasetFile, ...] = ()
    n_stored: int = 0
    nonzero: float = 1.0
    printed: str = ""

    @property
    def features(self) -> int:
        rows, columns, channels = self.shape
        return rows * columns * channels


def _read_catalogue() -> dict[str, DatasetFacts]:
    tables = tomllib.loads(Path(__file__).with_name("datasets.toml").read_text(encoding="utf-8"))
    for name, table in tables.items():
        mirrors, distributed = table.pop("mirrors", ()), table.pop("distributed", 0)
        files = []
        for forms in table.pop("files", ()):
            stored = tuple(tuple(StoredFile(**file) for file in form) for form in forms)
            (file,) = stored[distributed]
            files.append(DatasetFile(stored, file, tuple(f"{mirror}{file.name}" for mirror in mirrors)))
        table.update(name=name, files=tuple(files), shape=tuple(table["shape"]), classes=tuple(table["classes"]))
    return {name: DatasetFacts(**table) for name, table in tables.items()}


CATALOGUE = _read_catalogue()


def facts(dataset: str) -> DatasetFacts | None:
    """Return the facts of a named dataset; None for a `file:` dataset, which is known only once it is loaded."""
    return CATALOGUE.get(dataset)


def bytes_to_fetch(dataset: DatasetFacts, folder: Path) -> int:
    """Return how many bytes are still to be fetched for `dataset`; 0 where it is whole. Contents are not read.

    What an interrupted fetch has kept of a file counts as fetched.
    """
    wanted = [file.distributed for file in dataset.files if file.complete_form(folder) is None]
    return sum(max(file.size - _part_size(folder / file.path), 1) for file in wanted)


def _part_size(target: Path) -> int:
    """Return how much of a file has arrived (compute.datasets.download keeps it beside the file)."""
    try:
        return target.with_name(f".{target.name}.part").stat().st_size
    except OSError:
        return 0


def missing_files(dataset: DatasetFacts, folder: Path) -> tuple[str, ...]:
    """Return the paths in the data folder of the files that `dataset` lacks; contents are not read."""
    return tuple(stored.path for file in dataset.files for stored in file.missing(folder))
