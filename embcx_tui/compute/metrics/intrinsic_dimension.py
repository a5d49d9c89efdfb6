"""The dimension of a layer: locally (TwoNN) and as a whole (effective rank). All float64."""

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.array_types import FloatArray
from embcx_tui.compute.kernels.numba_cache import compiled

DISCARDED = 0.1  # share of the largest ratios left out of the fit, as in the paper: they deviate most from the line
LEAST_ROWS = 10  # distinct rows: with fewer no ratio would be left out, and the fit would mean nothing


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
