"""The quality of an embedding of a layer, by any method: trustworthiness, continuity, k-NN accuracy."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from embcx_tui.compute.array_types import FloatArray, IntArray
from embcx_tui.compute.jit.numba_cache import compiled
from embcx_tui.compute.metrics.layer_metrics import NEIGHBOURS, centred, knn_accuracy, nearest_rows
from embcx_tui.compute.tsne.affinities import finite_rows, squared_distances

Neighbours = NDArray[np.uint16] | NDArray[np.uint32]

QUALITIES = ("trustworthiness", "continuity", "knn_2d")


def embedding_quality(
    activations: ArrayLike, points: ArrayLike, labels: ArrayLike
) -> tuple[dict[str, float | None], Neighbours | None]:
    """Return how well `points` [n, 2] show `activations` [n, d] with integer labels [n], each number 0 … 1, larger is
    better; and the 10 nearest rows in the layer of each row, nearest first.

    - trustworthiness = 1 - 2 / (n k (2n - 3k - 1)) Σ_i Σ_{j in U_i} (r(i, j) - k), k = 10: U_i are the rows among the k
      nearest of i in the plane but not in the layer, r(i, j) the rank of j among i's neighbours in the layer, from 1.
      1: all that is near in the plane is near in the layer. Venna & Kaski 2001, ICANN, 485-491.
    - continuity: the same with plane and layer exchanged. 1: nothing that is near was torn apart. Venna & Kaski 2006,
      Neural Networks 19, 889-899.
    - knn_2d: the leave-one-out 10-nearest-neighbour accuracy in the plane, as `layer_metrics.knn_accuracy`.

    Equal distances are ordered by a fixed shuffle of the rows. None: the first two for n <= 20 (the scale is defined
    for k < n / 2), all where all points or (the first two) all activations are equal, knn_2d for a single class or
    n <= 10. ValueError where the shapes do not fit or a number is not finite.

    Neighbours [n, 10], without the row itself, by Euclidean distance, equal distances in the same fixed shuffle: those
    that continuity looks for in the plane, so they cost nothing more. None where continuity is.
    """
    rows, plane = finite_rows(activations), finite_rows(points)
    labels = np.asarray(labels)
    n = rows.shape[0]
    if n == 0 or plane.shape[0] != n or labels.shape != (n,):
        raise ValueError(f"{n} rows of activations need as many points and labels, not {plane.shape}, {labels.shape}")
    order = np.random.default_rng(0).permutation(n)
    classes = np.unique(labels[order], return_inverse=True)[1].astype(np.int64)
    high, low = centred(rows[order]), centred(plane[order])
    quality: dict[str, float | None] = dict.fromkeys(QUALITIES)
    if not low.any():
        return quality, None
    in_plane = squared_distances(np.ascontiguousarray(low.T))
    neighbours: Neighbours | None = None
    if high.any() and n > 2 * NEIGHBOURS:
        in_layer = squared_distances(np.ascontiguousarray(high.T))
        true = nearest_rows(in_layer, NEIGHBOURS)
        quality["trustworthiness"] = _preserved(in_layer, nearest_rows(in_plane, NEIGHBOURS))
        quality["continuity"] = _preserved(in_plane, true)
        neighbours = np.empty(true.shape, dtype=np.uint16 if n <= 1 << 16 else np.uint32)
        neighbours[order] = order[true]
    quality["knn_2d"] = knn_accuracy(in_plane, classes)
    return quality, neighbours


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
def _intrusion(squared: FloatArray, nearest: IntArray) -> float:
    """Return Σ_i Σ_j max(0, r(i, j) - k) over the k rows j of nearest [n, k], with r their ranks by squared [n, n]: the
    penalty of Venna & Kaski 2001 for rows that are neighbours in one space only.
    """
    n, k = nearest.shape
    total = 0.0
    for i in range(n):
        for rank in range(k):
            total += max(0, _rank(squared[i], i, nearest[i, rank]) - k)
    return total


def _preserved(squared: FloatArray, nearest: IntArray) -> float:
    """Return to which degree, 0 … 1, the nearest rows [n, k] of one space are near by squared distances [n, n] of the
    other.
    """
    n: int = nearest.shape[0]
    k: int = nearest.shape[1]
    return 1.0 - 2.0 / (n * k * (2.0 * n - 3.0 * k - 1.0)) * _intrusion(squared, nearest)
