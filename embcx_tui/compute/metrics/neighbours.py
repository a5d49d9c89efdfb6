"""The nearest rows of each row, by distance and then by row: accuracies of a vote among them, and ranks."""

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
                place = k - 1
                while place > 0 and d < distance[place - 1]:
                    distance[place] = distance[place - 1]
                    nearest[i, place] = nearest[i, place - 1]
                    place -= 1
                distance[place] = d
                nearest[i, place] = j
    return nearest


@compiled()
def _rank(distances: FloatArray, i: int, j: int) -> int:
    """Return the rank, from 1, of row j among the neighbours of row i, by distances [n] from row i and then by row."""
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
    penalty of Venna & Kaski 2001 for neighbours that are none in the other space.
    """
    n, k = nearest.shape
    total = 0.0
    for i in range(n):
        for place in range(k):
            total += max(0, _rank(squared[i], i, nearest[i, place]) - k)
    return total


def vote_accuracy(nearest: IntArray, classes: IntArray) -> float:
    """Return the fraction (0 … 1) of rows whose class, of classes [n] from 0, wins the vote of its rows in
    nearest [n, k].

    Of classes with equally many votes the one with the nearest voter wins.
    """
    n, k = nearest.shape
    votes = np.zeros((n, int(classes.max()) + 1))
    rows = np.arange(n)
    for place in range(k):
        # What is above 1 sums to less than a vote, and each of it to more than all after it: the nearest voter decides.
        votes[rows, classes[nearest[:, place]]] += 1.0 + 2.0 ** -(place + 1)
    return float(np.mean(votes.argmax(axis=1) == classes))
