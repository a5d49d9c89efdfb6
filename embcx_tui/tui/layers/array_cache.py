"""The arrays of a study, read off the loop and kept: a layer looked at twice is read once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcx_tui.store.arrays import read_arrays
from embcx_tui.store.paths import StudyPaths
from embcx_tui.study.errors import StoreError
from embcx_tui.study.events import SealedFile

Arrays = Mapping[str, NDArray[Any]]

# 1,000 points with their neighbours are 28 kB, a sample of 32 × 32 colour images is 3 MB: all layers of a study, and
# the runs one looks at.
_KEPT_BYTES = 48 << 20


@dataclass(frozen=True)
class Sample:
    """What the layers of a run are measured on: rows of the training set.

    `labels` [n] are classes, `index` [n] places in the training set. The inputs themselves are the shelf's: they are
    large.
    """

    sha256: str
    labels: NDArray[np.int64]
    index: NDArray[np.int64]

    def row_of(self, index: int) -> int | None:
        """Return the row of an input of the training set; None where this sample does not hold it."""
        found = np.flatnonzero(self.index == index)
        return int(found[0]) if found.size else None


class ArrayCache:
    """Arrays of one study by their files; one that cannot be read is kept as its one-line reason."""

    def __init__(self, paths: StudyPaths) -> None:
        self._root = paths.root
        self._kept: OrderedDict[str, Arrays | str] = OrderedDict()
        self._bytes = 0

    def known(self, file: SealedFile) -> Arrays | str | None:
        """Return what has been read: the arrays, the reason why not, or None where it has not been tried."""
        if file.sha256 in self._kept:
            self._kept.move_to_end(file.sha256)
        return self._kept.get(file.sha256)

    async def fetch(self, files: Iterable[SealedFile]) -> bool:
        """Read those files that are not known, in a thread; tell whether there were any."""
        missing = [file for file in files if file.sha256 not in self._kept]
        if missing:
            read = await asyncio.to_thread(lambda: [_read(self._root, file) for file in missing])
            for file, arrays in zip(missing, read, strict=True):
                self._keep(file.sha256, arrays)
        return bool(missing)

    def _keep(self, key: str, arrays: Arrays | str) -> None:
        if key in self._kept:
            return
        self._kept[key] = arrays
        self._bytes += _size(arrays)
        while self._bytes > _KEPT_BYTES and len(self._kept) > 1:
            self._bytes -= _size(self._kept.popitem(last=False)[1])

    def points(self, file: SealedFile) -> NDArray[np.float32] | str | None:
        """Return the points [n, 2] of a layer's file, or why there are none; None: not read yet."""
        arrays = self.known(file)
        if arrays is None or isinstance(arrays, str):
            return arrays
        points = arrays.get("points")
        if points is None or points.ndim != 2 or points.shape[1] != 2:
            return f"{file.name}: holds no points in the plane"
        return points.astype(np.float32, copy=False)

    def neighbours(self, file: SealedFile, n: int) -> NDArray[np.unsignedinteger[Any]] | None:
        """Return the rows [n, k] nearest in the layer to each of `n` rows; None where a file does not tell."""
        arrays = self.known(file)
        near = None if arrays is None or isinstance(arrays, str) else arrays.get("neighbours")
        if near is None or near.ndim != 2 or len(near) != n or not np.issubdtype(near.dtype, np.unsignedinteger):
            return None
        return near if near.size and near.max() < n else None

    def sample(self, file: SealedFile) -> Sample | str | None:
        """Return the sample in a file, or why it cannot be shown; None: not read yet."""
        arrays = self.known(file)
        if arrays is None or isinstance(arrays, str):
            return arrays
        labels, index = arrays.get("label"), arrays.get("index")
        if labels is None or labels.ndim != 1:
            return f"{file.name}: holds no classes"
        n = len(labels)
        if index is None or index.shape != (n,):
            index = np.arange(n)
        return Sample(file.sha256, labels.astype(np.int64), index.astype(np.int64))

    def inputs(self, file: SealedFile) -> NDArray[Any] | str | None:
        """Return what the networks are shown [n, d], or why there is nothing; None: not read (any more)."""
        arrays = self.known(file)
        if arrays is None or isinstance(arrays, str):
            return arrays
        inputs = arrays.get("input")
        return inputs.reshape(len(inputs), -1) if inputs is not None and inputs.ndim > 1 else "no inputs are stored"

    def predicted(self, file: SealedFile, n: int) -> NDArray[np.int64] | None:
        """Return a network's classes [n] of its sample; None where they are not known."""
        arrays = self.known(file)
        if arrays is None or isinstance(arrays, str):
            return None
        predicted = arrays.get("predicted")
        return None if predicted is None or predicted.shape != (n,) else predicted.astype(np.int64)


def _read(root: Path, file: SealedFile) -> Arrays | str:
    try:
        return read_arrays(root, file)
    except StoreError as error:
        return str(error)


def _size(arrays: Arrays | str) -> int:
    return 100 if isinstance(arrays, str) else 100 + sum(one.nbytes for one in arrays.values())
