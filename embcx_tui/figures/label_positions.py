"""Where the label of each class stands among its points: direct labels need no legend."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

# Fewer points have no label: it would hide them.
_LEAST_POINTS = 8


def label_positions(points: NDArray[np.generic], labels: NDArray[np.int64], classes: int) -> Iterator[tuple[int, int]]:
    """Yield (class, row): of `points` [n, 2], all finite, the one nearest to its class's median (a medoid).

    `labels` [n] are 0 … `classes` - 1; others have no name. A class of a few points yields nothing, nor does one that
    stands by itself: there is nothing to tell it from.
    """
    counts = np.bincount(labels[(labels >= 0) & (labels < classes)], minlength=classes)
    named = np.flatnonzero(counts >= _LEAST_POINTS)
    if len(named) < 2:
        return
    for index in named.tolist():
        rows = np.flatnonzero(labels == index)
        mine = points[rows].astype(np.float64)
        yield index, int(rows[np.abs(mine - np.median(mine, axis=0)).sum(axis=1).argmin()])
