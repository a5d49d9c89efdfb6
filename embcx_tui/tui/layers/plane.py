"""Hit testing: the point at a cell of the screen, and the next point in a direction."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def next_in_direction(cells: NDArray[np.int64], start: int, dx: int, dy: int) -> int | None:
    """Return the nearest point from point `start` in a direction; None where there is none.

    `cells` [n, 2] are (column, row) on the screen, below 0 where a point is not shown; a cell is twice as high as wide.
    Points within 45° of the direction count, and one off the axis is as far as its way there and back.
    """
    shown = cells[:, 0] >= 0
    offset = (cells - cells[start]).astype(np.float64) * np.array([1.0, 2.0])
    along = offset[:, 0] * dx + offset[:, 1] * dy
    across = np.abs(offset[:, 0] * dy - offset[:, 1] * dx)
    ahead = shown & (along > 0) & (across <= along)
    if not ahead.any():
        ahead = shown & (along > 0)
        if not ahead.any():
            return None
    cost = np.where(ahead, along + 2 * across, np.inf)
    return int(cost.argmin())


def nearest_cell(cells: NDArray[np.int64], column: int, row: int, within: float) -> int | None:
    """Return the point shown nearest to a cell, at most `within` columns away; None where there is none."""
    shown = cells[:, 0] >= 0
    if not shown.any():
        return None
    offset = (cells - np.array([column, row])).astype(np.float64) * np.array([1.0, 2.0])
    distance = np.where(shown, np.hypot(offset[:, 0], offset[:, 1]), np.inf)
    best = int(distance.argmin())
    return best if distance[best] <= within else None
