"""Nearest neighbours of each row: the accuracy of a vote among them, and their ranks."""

import numpy as np

from embcx_tui.compute.array_types import FloatArray, IntArray
from embcx_tui.compute.kernels.numba_cache import compiled

NEIGHBOURS = 10  # rows that vote, and that trustworthiness and continuity look at: the usual choice at 1,000 rows


@compiled()
def nearest_rows(squared: FloatArray, k: int) -> IntArray:
    """Return for each row its k nearest other rows, nearest first, [n, k], from squared distances [n, n]; 0 < k < n.

    Of rows equally near the one of the lower index is nearer: shuffle the rows first where their order means something.
    """
    n = squared.shape[0]
    nearest = np.empty((n, k), dtype=np.int64)
    distance = np.empty(k)
    for i in range(n):
        distance[:] = np.inf
        for j in range(n):
            d = squared[i, j]
            if d < distance[k - 1] and j != i:
                rank = k - 1
                while rank > 0 and d < distance[rank - 1]:
                    distance[rank] = distance[rank - 1]
                    nearest[i, rank] = nearest[i, rank - 1]
                    rank -= 1
                distance[rank] = d
                nearest[i, rank] = j
    return nearest


@compiled()
def _rank(distances: FloatArray, i: int, j: int) -> int:
    """Return the rank, from 1, of row j among the neighbours of row i: by distances [n] from row i, then by index."""
    d = distances[j]
    before = 0
    for other in range(j):
        before += distances[other] <= d
    for other in range(j + 1, distances.size):
        before += distances[other] < d
    # Row i itself, at distance 0, was counted unless it stands behind j and ties with it.
    return before + 1 - (i < j or d > 0.0)


@compiled()
def intrusion(squared: FloatArray, nearest: IntArray) -> float:
    """Return Σ_i Σ_j max(0, r(i, j) - k) over the k rows j of nearest [n, k], with r their ranks by squared [n, n]: the
    penalty of Venna & Kaski 2001 for rows that are neighbours in one space only.
    """
    n, k = nearest.shape
    total = 0.0
    for i in range(n):
        for rank in range(k):
            total += max(0, _rank(squared[i], i, nearest[i, rank]) - k)
    return total


def vote_accuracy(nearest: IntArray, classes: IntArray) -> float:
    """Return the fraction (0 … 1) of rows whose class, of classes [n] from 0, wins the vote of their neighbours,
    nearest [n, k].

    Of classes with equally many votes the one with the nearest voter wins.
    """
    n, k = nearest.shape
    votes = np.zeros((n, int(classes.max()) + 1))
    rows = np.arange(n)
    for rank in range(k):
        # The excess over 1 sums to less than one vote, and each excess is more than all after it: the nearest voter
        # decides.
        votes[rows, classes[nearest[:, rank]]] += 1.0 + 2.0 ** -(rank + 1)
    return float(np.mean(votes.argmax(axis=1) == classes))


def neighbour_accuracy(squared: FloatArray, classes: IntArray, k: int = NEIGHBOURS) -> float | None:
    """Return the leave-one-out k-nearest-neighbour accuracy, 0 … 1, larger is better, of rows with squared distances
    [n, n] and classes [n] (0 … K - 1).

    Each row is given the class that most of its k nearest other rows have (Cover & Hart 1967; Euclidean distances,
    equal weights). Rows equally near: the one of the lower index first. Classes with equally many votes: the one with
    the nearest voter. A class with one row is always missed. None for a single class and for n <= k.
    """
    n = classes.size
    if n <= k or classes.max() == 0:
        return None
    return vote_accuracy(nearest_rows(squared, k), classes)
