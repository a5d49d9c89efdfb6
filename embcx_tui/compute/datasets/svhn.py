"""SVHN's cropped digits: two MATLAB files, `X` [32, 32, 3, n] and `y` [n, 1] in which 10 means the digit 0.

Netzer, Wang, Coates, Bissacco, Wu, Ng 2011, http://ufldl.stanford.edu/housenumbers/.
"""

from __future__ import annotations

import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.datasets.mat import MatArray, numeric_arrays
from embcx_tui.compute.datasets.source import DamagedError, Pair
from embcx_tui.study.dataset_catalogue import DatasetFacts

_LABEL_OF_ZERO = 10
_IMAGES_AT_ONCE = 1_000


def read_svhn(facts: DatasetFacts, forms: tuple[tuple[Path, ...], ...]) -> tuple[Pair, Pair]:
    """Return training and test pairs from two .mat files; raises DamagedError."""
    (train,), (test,) = forms
    return read_mat(train, facts.n_stored, facts.shape), read_mat(test, facts.n_test, facts.shape)


def read_mat(path: Path, count: int, shape: tuple[int, int, int]) -> Pair:
    """Return inputs [count, features] and labels 0 … 9 [count] of a file of SVHN's form; raises DamagedError."""
    x: NDArray[np.uint8] | None = None
    y: NDArray[np.int64] | None = None
    try:
        with path.open("rb") as file:
            for array in numeric_arrays(file):
                if array.name == "X":
                    _expect(array, (*shape, count))
                    x = _images(array, count, shape)
                elif array.name == "y":
                    _expect(array, (count, 1))
                    y = _labels(array, count)
        if x is None or y is None:
            raise ValueError("there is no X, or no y, in it")
    except (OSError, ValueError, zlib.error) as error:
        raise DamagedError(path, error) from None
    return x, y


def _expect(array: MatArray, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(
            f"its {array.name} is {'×'.join(map(str, array.shape))} where {'×'.join(map(str, shape))} is expected"
        )


def _images(array: MatArray, count: int, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Turn images one after the other, so that they never stand in memory twice."""
    if array.dtype != np.uint8:
        raise ValueError(f"its X is {array.dtype} where uint8 is expected")
    found = np.empty((count, *shape), np.uint8)
    for start in range(0, count, _IMAGES_AT_ONCE):
        some = found[start : start + _IMAGES_AT_ONCE]
        # The first index runs fastest: each image comes as channels of columns.
        turned = array.values(len(some) * math.prod(shape)).reshape(len(some), *shape[::-1])
        some[:] = turned.transpose(0, 3, 2, 1)
    array.finish()
    return found.reshape(count, -1)


def _labels(array: MatArray, count: int) -> NDArray[np.int64]:
    values = array.values(count)
    array.finish()
    with np.errstate(invalid="ignore"):
        labels = values.astype(np.int64)
    if (labels != values).any():
        raise ValueError("its labels are not whole numbers")
    labels[labels == _LABEL_OF_ZERO] = 0
    return labels
