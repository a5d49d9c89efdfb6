"""What is known about each dataset before it is loaded: enough to plan, estimate and explain."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """Sizes of a named dataset: `n_train` inputs as trained on here, images of `shape` (rows, columns, channels)."""

    name: str
    title: str
    n_train: int
    n_test: int
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    source: str
    # Paths below the data folder, torchvision's layout; each may also be there gzipped. None: comes with a library.
    files: tuple[str, ...] = ()

    @property
    def features(self) -> int:
        rows, columns, channels = self.shape
        return rows * columns * channels


DIGITS = tuple("0123456789")


def _idx(folder: str) -> tuple[str, ...]:
    names = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    return tuple(f"{folder}/raw/{name}" for name in names)


CATALOGUE: dict[str, DatasetFacts] = {
    facts.name: facts
    for facts in (
        DatasetFacts("digits", "scikit-learn digits", 1437, 360, (8, 8, 1), DIGITS, "comes with scikit-learn"),
        DatasetFacts(
            "mnist", "MNIST", 50_000, 10_000, (28, 28, 1), DIGITS, "LeCun, Cortes, Burges 2010", _idx("MNIST")
        ),
    )
}


def facts(dataset: str) -> DatasetFacts | None:
    """Return the facts of a named dataset; None for a `file:` dataset, known only once it is loaded."""
    return CATALOGUE.get(dataset)


def missing_files(dataset: DatasetFacts, folder: Path) -> tuple[str, ...]:
    """Return which files of `dataset` are not in the data folder, neither plain nor gzipped; looks at names alone."""
    return tuple(
        name for name in dataset.files if not (folder / name).is_file() and not (folder / f"{name}.gz").is_file()
    )
