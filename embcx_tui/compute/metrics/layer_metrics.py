"""The metrics of a layer beside its complexity, chosen in `[measure] metrics`; docs/metrics.md describes them all."""

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from embcx_tui.compute.array_types import FloatArray, IntArray
from embcx_tui.compute.metrics import class_metrics, intrinsic_dimension
from embcx_tui.compute.metrics.neighbours import neighbour_accuracy
from embcx_tui.compute.tsne.affinities import finite_rows, squared_distances


class LayerRows:
    """The rows of one layer and their classes, as all metrics take them, and the distances that metrics share."""

    classes: IntArray
    """[n], 0 … K - 1, in the order of the labels' values."""
    rows: FloatArray
    """[n, d'], centred, scaled by a power of two to about 1, without the units that have no variance."""
    units: int
    """d, with the units that have no variance."""
    seed: int

    def __init__(self, activations: ArrayLike, labels: ArrayLike, seed: int) -> None:
        """Raise ValueError unless activations are a matrix [n, d] of finite numbers and labels n integers."""
        given = finite_rows(activations)
        labels = np.asarray(labels)
        n, self.units = given.shape
        if n == 0 or labels.shape != (n,) or not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(f"{n} rows of activations need as many integer labels, not {labels.dtype} {labels.shape}")
        # Samples are ordered by class: where rows are equally near, that order would favour a class.
        order = np.random.default_rng(seed % 2**63).permutation(n)
        self.seed = seed
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


_COMPUTED: dict[str, Callable[[LayerRows], float | None]] = {
    "knn": lambda layer: neighbour_accuracy(layer.squared, layer.classes),
    "probe": lambda layer: class_metrics.linear_accuracy(layer.rows, layer.classes, layer.seed),
    "separation": lambda layer: class_metrics.separation_fuzziness(layer.rows, layer.classes),
    "gdv": lambda layer: class_metrics.discrimination_value(layer.rows, layer.classes, layer.units),
    "twonn": lambda layer: intrinsic_dimension.twonn(layer.squared),
    "rank": lambda layer: intrinsic_dimension.effective_rank(layer.rows),
}

METRICS: tuple[str, ...] = tuple(_COMPUTED)
DEFAULT_METRICS: tuple[str, ...] = METRICS
"""All of them: together a fraction of what an embedding costs."""


def layer_metrics(
    activations: ArrayLike, labels: ArrayLike, names: Sequence[str] = DEFAULT_METRICS, seed: int = 0
) -> dict[str, float | None]:
    """Return the metrics `names` (of METRICS) of one layer's activations [n, d] with integer labels [n], in that order.

    None where a metric is undefined, never NaN: all of them for a layer whose rows are all equal, otherwise as the
    metric's function says (`neighbours`, `class_metrics`, `intrinsic_dimension`). Scale and offset of the whole layer
    do not matter. `seed` determines the folds of the probe and the order of equally near rows. One core, except for the
    BLAS. Raises ValueError for unknown names, for activations that are not finite, and for labels that do not fit them.
    """
    unknown = [name for name in names if name not in _COMPUTED]
    if unknown:
        raise ValueError(f"unknown metric {unknown[0]!r}; there are {', '.join(METRICS)}")
    layer = LayerRows(activations, labels, seed)
    if not layer.rows.any():
        return dict.fromkeys(names)
    return {name: _defined(_COMPUTED[name](layer)) for name in names}


def _defined(value: float | None) -> float | None:
    """Return a metric's value, None where it is undefined or beyond float64."""
    return value if value is not None and np.isfinite(value) else None
