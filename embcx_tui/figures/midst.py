"""Where the midst of each class is, so that its name can stand there: direct labels need no legend."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

# Fewer points have no midst, and a name would hide them.
_LEAST_POINTS = 8


def midsts(points: NDArray[np.generic], labels: NDArray[np.int64], classes: int) -> Iterator[tuple[int, int]]:
    """Yield (class, row): of `points` [n, 2], all finite, the one nearest to the median of its class.

    `labels` [n] are 0 … `classes` - 1; others have no name. A class of a few points yields nothing, nor does one that
    stands by itself: there is nothing to tell it from.
    """
    counts = np.bincount(labels[(labels >= 0) & (labels < classes)], minlength=classes)
    named = np.flatnonzero(counts >= _LEAST_POINTS)
    if len(named) < 2:
        return
    for place in named.tolist():
        rows = np.flatnonzero(labels == place)
        mine = points[rows].astype(np.float64)
        yield place, int(rows[np.abs(mine - np.median(mine, axis=0)).sum(axis=1).argmin()])
