"""A dataset in memory: training and test inputs with labels, checked once, wherever they were read from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embcx_tui.study.errors import DataError
from embcx_tui.study.plan import Source
from embcx_tui.study.text import safe_text

Inputs = NDArray[np.uint8] | NDArray[np.float32]
Labels = NDArray[np.int64]

# Beyond these a float32 (up to 3e38) has no room left for the difference from the mean, or for 1 / std.
_MIN_STD = 1e-30
_MAX_STD = 1e30
# The largest accepted error of rounding to float32, as a share of the inputs' spread. Distances are then off by less
# than a thousandth.
_MAX_ROUNDING = 1e-3
_PIECE_VALUES = 1 << 22


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """A dataset in memory.

    `x_train` [n_train, features] and `x_test` [n_test, features] hold raw values (uint8 or float32), an image as its
    rows, columns, channels in that order (`shape`); `y_train`, `y_test` are class numbers 0 … len(classes)-1, int64.
    `mean` and `std` are two numbers over all values of `x_train`: one scale for all pixels, so that layer 0 keeps the
    geometry of the pixels. `stream_key` names the data in every random stream's seed: the dataset's own name, or for a
    user's file what its content says (`content_key`), so that the same file elsewhere gives the same numbers.
    """

    name: str
    x_train: Inputs
    y_train: Labels
    x_test: Inputs
    y_test: Labels
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    mean: float
    std: float
    stream_key: str

    @property
    def features(self) -> int:
        return int(self.x_train.shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes of all inputs and labels."""
        return sum(part.nbytes for part in (self.x_train, self.y_train, self.x_test, self.y_test))

    def standardised(self, x: Inputs) -> NDArray[np.float32]:
        """Return (x - mean) / std as float32, computed as training does it."""
        centred = x.astype(np.float32)
        centred -= np.float32(self.mean)
        centred *= np.float32(1.0 / self.std)
        return centred

    def inputs(self, indices: NDArray[np.int64], source: Source = "train") -> NDArray[np.float32]:
        """Return the standardised inputs [len(indices), features] of `source`: layer 0 of a sample."""
        return self.standardised(self.labelled(source)[0][indices])

    def labelled(self, source: Source) -> tuple[Inputs, Labels]:
        """Return the training inputs or the test inputs, raw, with their labels."""
        return (self.x_train, self.y_train) if source == "train" else (self.x_test, self.y_test)


def reason_of(error: object, limit: int = 120) -> str:
    """Return what an exception says in one harmless line of at most `limit` characters."""
    return safe_text(getattr(error, "strerror", None) or error, limit) or type(error).__name__


def make_dataset(
    name: str,
    train: tuple[Inputs, NDArray[np.integer]],
    test: tuple[Inputs, NDArray[np.integer]],
    classes: tuple[str, ...],
    shape: tuple[int, int, int],
    train_limit: int = 0,
    rounding: float = 0.0,
) -> Dataset:
    """Check the arrays and return the Dataset that they make.

    Parameters
    ----------
    name : the dataset's name, also the beginning of every error.
    train, test : inputs [n, features], uint8 or float32, and labels [n], integers from 0 to len(classes) - 1.
    classes : the classes' names.
    shape : rows, columns, channels of an input.
    train_limit : how many training inputs are kept, the first ones; 0 keeps all.
    rounding : root mean square of the error that converting the training inputs to float32 made.

    Raises
    ------
    DataError : shapes that do not fit, values that are not finite, labels outside the classes, inputs that are all the
        same, or inputs that lie so close together, for their size, that float32 cannot tell them apart.
    """
    x_train, y_train = _checked(name, "training", train, classes, shape)
    x_test, y_test = _checked(name, "test", test, classes, shape)
    if train_limit:
        x_train, y_train = x_train[:train_limit], y_train[:train_limit]
    mean, std = _mean_std(x_train)
    if x_train.dtype != np.uint8:
        _check_rounding(name, x_train, mean, rounding)
    if not std > 0:
        raise DataError(f"{safe_text(name)}: all training inputs are the same")
    # Training computes (x - mean) / std in float32.
    if not (std > _MIN_STD and std < _MAX_STD and abs(mean) < _MAX_STD):
        raise DataError(
            f"{safe_text(name)}: training inputs of mean {mean:.3g} ± {std:.3g} are out of range;"
            f" rescale them: subtract {mean:.3g} and divide by {std:.3g}, test inputs likewise"
        )
    return Dataset(name, x_train, y_train, x_test, y_test, classes, shape, mean, std, stream_key=name)


def _checked(
    name: str,
    part: str,
    pair: tuple[Inputs, NDArray[np.integer]],
    classes: tuple[str, ...],
    shape: tuple[int, int, int],
) -> tuple[Inputs, Labels]:
    x, y = pair
    where = f"{safe_text(name)}: {part}"
    if x.dtype not in (np.uint8, np.float32):
        raise DataError(f"{where} inputs are {x.dtype}; uint8 or float32 is needed")
    if x.ndim != 2 or x.shape[1] != int(np.prod(shape)) or y.ndim != 1:
        raise DataError(f"{where} inputs {x.shape} and labels {y.shape} do not fit images of {shape}")
    if len(x) != len(y) or not len(x):
        raise DataError(f"{where} has {len(x):,} inputs and {len(y):,} labels")
    if x.dtype != np.uint8 and (fault := not_finite(x)):
        raise DataError(f"{where} inputs hold {fault}")
    if y.dtype.kind not in "iu" or int(y.min()) < 0 or int(y.max()) >= len(classes):
        raise DataError(f"{where} labels run from {y.min()} to {y.max()}; 0 to {len(classes) - 1} is needed")
    whole: Inputs = np.ascontiguousarray(x)  # type: ignore[assignment]  # numpy forgets the union
    return whole, y.astype(np.int64)


def not_finite(x: Inputs) -> str:
    """Return how many inputs of `x` [n, features] hold values that are not finite; empty where none does."""
    finite = np.concatenate([np.isfinite(rows).all(axis=1) for rows in _pieces(x)])
    if finite.all():
        return ""
    counts = f"{(~finite).sum():,} of {len(x):,} inputs, first in number {finite.argmin():,}"
    return f"values that are not finite (NaN, infinite) in {counts}"


def _mean_std(x: Inputs) -> tuple[float, float]:
    """Return mean and standard deviation over all values of `x`; exact for uint8, from its 256 counts."""
    if x.dtype != np.uint8:
        # Two passes in pieces: a float64 copy of everything would double the memory.
        mean = sum(float(rows.sum(dtype=np.float64)) for rows in _pieces(x)) / x.size
        square = sum(float(np.square(np.subtract(rows, mean, dtype=np.float64)).sum()) for rows in _pieces(x)) / x.size
        return mean, math.sqrt(square)
    # In pieces: bincount casts each byte to int64.
    counts = np.sum([np.bincount(rows.reshape(-1), minlength=256) for rows in _pieces(x)], axis=0).astype(np.float64)
    values = np.arange(256.0)
    mean = float(counts @ values / counts.sum())
    return mean, float(np.sqrt(counts @ (values - mean) ** 2 / counts.sum()))


def _check_rounding(name: str, x: Inputs, mean: float, rounding: float) -> None:
    """Refuse float32 inputs [n, features] whose spread about each feature's mean is lost in rounding errors: those of
    their conversion (`rounding`) and those of the standardisation, which subtracts one mean from all features.
    """
    means = sum(rows.sum(axis=0, dtype=np.float64) for rows in _pieces(x)) / len(x)
    spread = lost = 0.0
    # An error that is the same in all rows changes no distance.
    common = _lost(x[:1], mean)
    with np.errstate(over="ignore", invalid="ignore"):  # values that are out of range are refused by their own check
        for rows in _pieces(x):
            spread += float(np.square(np.subtract(rows, means, dtype=np.float64)).sum())
            lost += float(np.square(_lost(rows, mean) - common).sum())
    spread, off = math.sqrt(spread / x.size), math.hypot(rounding, math.sqrt(lost / x.size))
    if off > _MAX_ROUNDING * spread:
        raise DataError(
            f"{safe_text(name)}: float32 rounds the training inputs by {off:.3g}, too much for their spread of"
            f" {spread:.3g}; subtract each feature's mean from X and X_test"
        )


def _lost(rows: Inputs, mean: float) -> NDArray[np.float64]:
    """Return the rounding error of subtracting the mean from rows [n, features] in float32."""
    exact = np.subtract(rows, np.float32(mean), dtype=np.float64)
    return exact - np.subtract(rows, np.float32(mean))


def _pieces(x: Inputs) -> Iterator[Inputs]:
    """Yield the rows of `x` in pieces of about 4 million values."""
    step = max(_PIECE_VALUES // x.shape[1], 1)
    for start in range(0, len(x), step):
        yield x[start : start + step]
