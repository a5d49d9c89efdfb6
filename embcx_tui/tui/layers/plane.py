"""What is near in the plane: neighbours of a point, the next point in a direction, the accuracy of a vote."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

VOTERS = 10
"""How many nearest points vote, as in compute.quality's knn_2d."""


def neighbour_accuracy(points: NDArray[np.floating], labels: NDArray[np.int64]) -> float | None:
    """Return how often (0 … 1) the 10 nearest other points of a point [n, 2] vote for its own label [n].

    Leave one out, equal weights; between classes with equally many votes the nearest voter's wins. None for 10 points
    or fewer and for a single class: there is nothing to tell apart. 12 ms for 1,000 points.
    """
    plane = np.asarray(points, dtype=np.float32)
    finite = np.isfinite(plane).all(axis=1)
    plane, kinds = plane[finite], np.unique(labels[finite], return_inverse=True)[1]
    if len(plane) <= VOTERS or kinds.max() == 0:
        return None
    votes = kinds[_nearest(plane, VOTERS)]
    counts = (votes[:, :, None] == votes[:, None, :]).sum(axis=2)
    # Voters stand nearest first, and argmax takes the first of equals.
    winner = votes[np.arange(len(votes)), counts.argmax(axis=1)]
    return float((winner == kinds).mean())


def _nearest(plane: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Return the rows [n, k] of the nearest others of each point, nearest first."""
    squares = (plane**2).sum(axis=1)
    distances = squares[:, None] + squares[None, :] - 2 * (plane @ plane.T)
    np.fill_diagonal(distances, np.inf)
    near = np.argpartition(distances, k - 1, axis=1)[:, :k]
    order = np.argsort(np.take_along_axis(distances, near, axis=1), axis=1, kind="stable")
    return np.take_along_axis(near, order, axis=1)


def nearest_to(rows: NDArray[np.generic], row: int, k: int) -> tuple[int, ...]:
    """Return the `k` rows nearest to `row` among `rows` [n, d], nearest first, without itself."""
    # No copy of all rows in between: colour images are 3 MB, and this is done at every step from point to point.
    offsets = np.subtract(rows, rows[row], dtype=np.float32)
    distances = np.einsum("ij,ij->i", offsets, offsets)
    distances[row] = np.inf
    order = np.argsort(np.where(np.isfinite(distances), distances, np.inf), kind="stable")
    return tuple(int(one) for one in order[:k] if np.isfinite(distances[one]))


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
