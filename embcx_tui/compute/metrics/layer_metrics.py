"""The metrics of a layer beside its complexity, chosen in `[measure] metrics`; docs/metrics.md describes them all."""

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from embcx_tui.compute.array_types import FloatArray, IntArray
from embcx_tui.compute.jit.numba_cache import compiled
from embcx_tui.compute.metrics import class_metrics
from embcx_tui.compute.tsne.affinities import finite_rows, squared_distances

NEIGHBOURS = 10  # rows that vote, and that trustworthiness and continuity look at: the usual choice at 1,000 rows
DISCARDED = 0.1  # share of the largest ratios left out of the fit, as in the paper: they deviate most from the line
LEAST_ROWS = 10  # distinct rows: with fewer no ratio would be left out, and the fit would mean nothing


class LayerRows:
    """The rows of one layer and their classes, as all metrics take them, and the distances that metrics share."""

    classes: IntArray
    """[n], 0 … K - 1, in the order of the labels' values."""
    rows: FloatArray
    """[n, d'], centred, scaled by a power of two to about 1, without the units that have no variance."""
    units: int
    """d, with the units that have no variance."""
    reduced_from: int | None
    """The units with variance of the layer that rows are coordinates of; None: rows are the units themselves."""
    seed: int

    def __init__(self, activations: ArrayLike, labels: ArrayLike, seed: int, reduced_from: int | None = None) -> None:
        """Raise ValueError unless activations are a matrix [n, d] of finite numbers and labels n integers."""
        given = finite_rows(activations)
        labels = np.asarray(labels)
        n, self.units = given.shape
        if n == 0 or labels.shape != (n,) or not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(f"{n} rows of activations need as many integer labels, not {labels.dtype} {labels.shape}")
        # Samples are ordered by class: where rows are equally near, that order would favour a class.
        order = np.random.default_rng(seed % 2**63).permutation(n)
        self.seed = seed
        self.reduced_from = reduced_from
        self.classes = np.unique(labels[order], return_inverse=True)[1].astype(np.int64)
        self.rows = centred(given[order])

    @cached_property
    def squared(self) -> FloatArray:
        """Squared Euclidean distances [n, n], from sums of squared differences: nearly equal rows keep theirs."""
        return squared_distances(np.ascontiguousarray(self.rows.T))


def centred(rows: NDArray[np.floating]) -> FloatArray:
    """Return finite rows [n, d] in float64, centred, scaled by one power of two so that their largest number is about
    1, without the units that are the same in all rows: [n, d' <= d].
    """
    varying = rows[:, rows.max(axis=0) > rows.min(axis=0)].astype(np.float64)
    if not varying.size:
        return varying
    scaled = np.ldexp(varying, -int(np.frexp(np.abs(varying).max())[1]))
    # First the difference from a row, which is exact for nearly equal float32 rows: their mean is then, too.
    differences = scaled - scaled[0]
    return np.asarray(differences - differences.mean(axis=0))


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


def knn_accuracy(squared: FloatArray, classes: IntArray, k: int = NEIGHBOURS) -> float | None:
    """Return the leave-one-out k-nearest-neighbour accuracy, 0 … 1, larger is better, of rows with squared distances
    [n, n] and classes [n] (0 … K - 1).

    Each row is given the class that most of its k nearest other rows have (Cover & Hart 1967; Euclidean distances,
    equal weights). Rows equally near: the one of the lower index first. Classes with equally many votes: the one with
    the nearest voter. A class with one row is always missed. None for a single class and for n <= k.
    """
    n = classes.size
    if n <= k or classes.max() == 0:
        return None
    nearest = nearest_rows(squared, k)
    votes = np.zeros((n, int(classes.max()) + 1))
    rows = np.arange(n)
    for rank in range(k):
        # The excess over 1 sums to less than one vote, and each excess is more than all after it: the nearest voter
        # decides.
        votes[rows, classes[nearest[:, rank]]] += 1.0 + 2.0 ** -(rank + 1)
    return float(np.mean(votes.argmax(axis=1) == classes))


@compiled()
def _distinct(squared: FloatArray) -> NDArray[np.bool_]:
    """Return which rows have distance 0 to no earlier row, [n], from squared distances [n, n]."""
    n = squared.shape[0]
    distinct = np.ones(n, dtype=np.bool_)
    for i in range(n):
        for j in range(i):
            if squared[i, j] == 0.0:
                distinct[i] = False
                break
    return distinct


@compiled()
def _ratios(squared: FloatArray, rows: NDArray[np.int64]) -> FloatArray:
    """Return (r2 / r1)² of each of `rows` [m], its distances to the second and the first neighbour among them."""
    ratios = np.empty(rows.size)
    for k in range(rows.size):
        i = rows[k]
        first = np.inf
        second = np.inf
        for j in rows:
            d = squared[i, j]
            if j == i or d >= second:
                continue
            if d < first:
                second = first
                first = d
            else:
                second = d
        ratios[k] = second / first
    return ratios


def twonn(squared: FloatArray) -> float | None:
    """Return the TwoNN intrinsic dimension, in dimensions, > 0, of rows with squared distances [n, n]; neither
    direction is better.

    With μ_i = r2 / r1, the distances of a row to its second and first neighbour, sorted, -ln(1 - i/N) = d ln μ_i is a
    line through the origin: d is its least-squares slope over the smallest 90 % of the ratios. Facco, d'Errico,
    Rodriguez & Laio 2017, Scientific Reports 7, 12140 (the linear fit, not the maximum likelihood). Of equal rows one
    is kept, N counts those. It assumes a density that is even out to the second neighbour, and falls short of high
    dimensions. None with fewer than 10 different rows, and where every ratio of the fit is 1 (a lattice).
    """
    rows = np.flatnonzero(_distinct(squared))
    if rows.size < LEAST_ROWS:
        return None
    logs = np.sort(0.5 * np.log(_ratios(squared, rows)))[: int(rows.size * (1.0 - DISCARDED))]
    survival = -np.log1p(-np.arange(1, logs.size + 1) / rows.size)
    squares = float(logs @ logs)
    return float(logs @ survival) / squares if squares > 0.0 else None


def effective_rank(rows: FloatArray) -> float | None:
    """Return the effective rank of rows [n, d], in dimensions, 1 … min(n - 1, d); neither direction is better.

    exp(-Σ p_k ln p_k) with p_k = σ_k / Σ σ, the singular values of the centred rows. Roy & Vetterli 2007, EUSIPCO,
    606-610 (there of any matrix; centring is ours, so that an offset is no dimension). Singular values come from the
    smaller Gram matrix; those below about 4e-7 of the largest, where float32 activations say nothing, count 0.
    None without variance.
    """
    centred = rows - rows.mean(axis=0)
    gram = centred.T @ centred if centred.shape[1] <= centred.shape[0] else centred @ centred.T
    values = np.linalg.eigvalsh(gram)
    largest = float(values[-1])
    if not largest > 0.0:
        return None
    singular = np.sqrt(values[values > max(rows.shape) * np.finfo(np.float64).eps * largest] / largest)
    shares = singular / singular.sum()
    return float(np.exp(-np.sum(shares * np.log(shares))))


_COMPUTED: dict[str, Callable[[LayerRows], float | None]] = {
    "knn": lambda layer: knn_accuracy(layer.squared, layer.classes),
    "probe": lambda layer: class_metrics.linear_accuracy(layer.rows, layer.classes, layer.seed, layer.reduced_from),
    "separation": lambda layer: class_metrics.separation_fuzziness(layer.rows, layer.classes),
    "gdv": lambda layer: (
        class_metrics.discrimination_value(layer.rows, layer.classes, layer.units)
        if layer.reduced_from is None  # it scales each unit by itself, and those are gone
        else None
    ),
    "twonn": lambda layer: twonn(layer.squared),
    "rank": lambda layer: effective_rank(layer.rows),
}

METRICS: tuple[str, ...] = tuple(_COMPUTED)
DEFAULT_METRICS: tuple[str, ...] = METRICS
"""All of them: together a fraction of what an embedding costs."""


def layer_metrics(
    activations: ArrayLike,
    labels: ArrayLike,
    names: Sequence[str] = DEFAULT_METRICS,
    seed: int = 0,
    reduced_from: int | None = None,
) -> dict[str, float | None]:
    """Return the metrics `names` (of METRICS) of one layer's activations [n, d] with integer labels [n], in that order.

    None where a metric is undefined, never NaN: all of them for a layer whose rows are all equal, otherwise as the
    metric's function says. Scale and offset of the whole layer
    do not matter. `seed` determines the folds of the probe and the order of equally near rows. One core, except for the
    BLAS. `reduced_from`: the activations are the rows of a `reduction.Reduction` of so many varying units: the probe
    divides its penalty by them, gdv is None. Raises ValueError for unknown names, for activations that are not finite,
    and for labels that do not fit them.
    """
    unknown = [name for name in names if name not in _COMPUTED]
    if unknown:
        raise ValueError(f"unknown metric {unknown[0]!r}; there are {', '.join(METRICS)}")
    layer = LayerRows(activations, labels, seed, reduced_from)
    if not layer.rows.any():
        return dict.fromkeys(names)
    return {name: _defined(_COMPUTED[name](layer)) for name in names}


def _defined(value: float | None) -> float | None:
    """Return a metric's value, None where it is undefined or beyond float64."""
    return value if value is not None and np.isfinite(value) else None
