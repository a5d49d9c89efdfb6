"""The arrays of a study, read in a thread and kept: a layer that is shown again is not read again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from embcx_tui.store.files import read_arrays
from embcx_tui.store.paths import StudyPaths
from embcx_tui.study.errors import StoreError
from embcx_tui.study.events import SealedFile
from embcx_tui.tui.lru_cache import LruCache

Scalar = TypeVar("Scalar", bound=np.generic)
Arrays = Mapping[str, NDArray[Any]]

# 1,000 points with their neighbours are 28 kB, a sample of 32 × 32 colour images is 3 MB: room for all layers of a
# study and the samples of the runs that are being compared.
_KEPT_BYTES = 48 << 20


@dataclass(frozen=True)
class Sample:
    """The inputs that the layers of a run are measured on.

    `labels` [n] are classes, `index` [n] indices into the training or the test set (`Network.source`). The inputs
    themselves stay in the cache: they are large.
    """

    sha256: str
    labels: NDArray[np.int64]
    index: NDArray[np.int64]

    def row_of(self, index: int) -> int | None:
        """Return the row of the input of that index; None where this sample does not hold it."""
        rows = np.flatnonzero(self.index == index)
        return int(rows[0]) if rows.size else None


class ArrayCache:
    """The arrays of one study's files. A file that cannot be read is kept as the reason why, in one line."""

    def __init__(self, paths: StudyPaths) -> None:
        self._root = paths.root
        self._kept = LruCache[str, Arrays | str](size=_KEPT_BYTES, size_of=_size)

    def get(self, file: SealedFile) -> Arrays | str | None:
        """Return the arrays of a file, or the reason why there are none; None where it is not read yet."""
        return self._kept.get(file.sha256)

    async def fetch(self, files: Iterable[SealedFile]) -> bool:
        """Read the files that are not kept, in a thread; tell whether there were any."""
        missing = [file for file in files if file.sha256 not in self._kept]
        if missing:
            read = await asyncio.to_thread(lambda: [self._read(file) for file in missing])
            for file, arrays in zip(missing, read, strict=True):
                # Another request may have read it meanwhile; views of its arrays may be in use.
                if file.sha256 not in self._kept:
                    self._kept[file.sha256] = arrays
        return bool(missing)

    def _read(self, file: SealedFile) -> Arrays | str:
        try:
            return read_arrays(self._root, file)
        except StoreError as error:
            return str(error)

    def _array(self, file: SealedFile, name: str) -> NDArray[Any] | None:
        arrays = self.get(file)
        return None if arrays is None or isinstance(arrays, str) else arrays.get(name)

    def points(self, file: SealedFile) -> NDArray[np.float32] | str | None:
        """Return the points [n, 2] of a layer's file, or why there are none; None where it is not read yet."""
        arrays = self.get(file)
        if arrays is None or isinstance(arrays, str):
            return arrays
        points = arrays.get("points")
        if points is None or points.ndim != 2 or points.shape[1] != 2:
            return f"{file.name}: holds no points in the plane"
        return _cast(points, np.float32)

    def neighbours(self, file: SealedFile, n: int) -> NDArray[np.unsignedinteger[Any]] | None:
        """Return the rows [n, k] nearest to each of `n` rows in the layer; None where the file has no such array."""
        near = self._array(file, "neighbours")
        if near is None or near.ndim != 2 or len(near) != n or not np.issubdtype(near.dtype, np.unsignedinteger):
            return None
        return near if near.size and near.max() < n else None

    def point_kls(self, file: SealedFile, n: int) -> NDArray[np.float64] | None:
        """Return each point's share [n] of the layer's KL; None where the file has no such array."""
        shares = self._array(file, "kl")
        if shares is None or shares.shape != (n,) or not np.issubdtype(shares.dtype, np.floating):
            return None
        return shares.astype(np.float64) if np.isfinite(shares).all() else None

    def sample(self, file: SealedFile) -> Sample | str | None:
        """Return the sample in a file, or why it cannot be shown; None where it is not read yet."""
        arrays = self.get(file)
        if arrays is None or isinstance(arrays, str):
            return arrays
        labels, index = arrays.get("label"), arrays.get("index")
        if labels is None or labels.ndim != 1:
            return f"{file.name}: holds no classes"
        n = len(labels)
        if index is None or index.shape != (n,):
            index = np.arange(n)
        return Sample(file.sha256, _cast(labels, np.int64), _cast(index, np.int64))

    def inputs(self, file: SealedFile) -> NDArray[Any] | None:
        """Return the inputs [n, d] in a sample's file; None where it is not read (any more) or stores none."""
        inputs = self._array(file, "input")
        return inputs.reshape(len(inputs), -1) if inputs is not None and inputs.ndim > 1 else None

    def predicted(self, file: SealedFile, n: int) -> NDArray[np.int64] | None:
        """Return the classes [n] that a network predicts for its sample; None where they are not known."""
        predicted = self._array(file, "predicted")
        return None if predicted is None or predicted.shape != (n,) else _cast(predicted, np.int64)


def _cast(array: NDArray[Any], dtype: type[Scalar]) -> NDArray[Scalar]:
    """Return an array as another type; a warning of numbers that it does not hold would be painted over the screen."""
    with np.errstate(all="ignore"):
        return array.astype(dtype, copy=False)


def _size(arrays: Arrays | str) -> int:
    return 100 if isinstance(arrays, str) else 100 + sum(array.nbytes for array in arrays.values())
