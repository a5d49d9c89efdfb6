"""The points of measured layers, read off the loop and kept: a layer looked at twice is read once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcx_tui.store.arrays import read_arrays
from embcx_tui.store.paths import StudyPaths
from embcx_tui.study.errors import StoreError
from embcx_tui.study.events import SealedFile

# 1,000 points are 8 kB: the layers of ten networks of seven.
_KEPT_LAYERS = 96
_KEPT_SAMPLES = 16


@dataclass(frozen=True)
class Points:
    """An embedding [n, 2] and the class of each row [n]."""

    points: NDArray[np.float32]
    labels: NDArray[np.int64]


class PointsShelf:
    """Embeddings of one study by their files; one that cannot be read is kept as its one-line reason."""

    def __init__(self, paths: StudyPaths) -> None:
        self._root = paths.root
        self._layers: OrderedDict[tuple[str, str], Points | str] = OrderedDict()
        self._labels: OrderedDict[str, NDArray[np.int64]] = OrderedDict()

    def known(self, layer: SealedFile, sample: SealedFile) -> Points | str | None:
        """Return what has been read: the points, the reason why not, or None where it has not been tried."""
        key = (layer.sha256, sample.sha256)
        if key in self._layers:
            self._layers.move_to_end(key)
        return self._layers.get(key)

    async def fetch(self, layer: SealedFile, sample: SealedFile) -> Points | str:
        """Return the points of a layer, read in a thread where they are not known yet."""
        known = self.known(layer, sample)
        if known is not None:
            return known
        try:
            labels = self._labels.get(sample.sha256)
            if labels is None:
                labels = await asyncio.to_thread(_read_labels, self._root, sample)
                _keep(self._labels, sample.sha256, labels, _KEPT_SAMPLES)
            points = await asyncio.to_thread(_read_points, self._root, layer)
            read: Points | str = Points(points, labels)
            if len(points) != len(labels):
                read = f"{layer.name}: {len(points)} points for a sample of {len(labels)}"
        except StoreError as error:
            read = str(error)
        _keep(self._layers, (layer.sha256, sample.sha256), read, _KEPT_LAYERS)
        return read


def _keep(shelf: OrderedDict[Any, Any], key: object, value: object, most: int) -> None:
    shelf[key] = value
    if len(shelf) > most:
        shelf.popitem(last=False)


def _read_labels(root: Any, sample: SealedFile) -> NDArray[np.int64]:
    labels = read_arrays(root, sample).get("label")
    if labels is None or labels.ndim != 1:
        raise StoreError(f"{sample.name}: holds no classes")
    return labels.astype(np.int64)


def _read_points(root: Any, layer: SealedFile) -> NDArray[np.float32]:
    points = read_arrays(root, layer).get("points")
    if points is None or points.ndim != 2 or points.shape[1] != 2:
        raise StoreError(f"{layer.name}: holds no points in the plane")
    return points.astype(np.float32)
