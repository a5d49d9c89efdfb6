"""Statistics over runs: intervals, tests and correlations, as plain functions of numbers.

scipy is imported where it is used: it costs a second, which no command pays that needs none of this.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
# Percentile intervals move in the second to third decimal from seed to seed at this number; 0.5 s for 280 networks.
RESAMPLES = 2_000


def t_interval(mean: float | None, sd: float | None, n: int) -> tuple[float, float] | None:
    """Return the two-sided 95 % interval of a mean: mean ± t(0.975, n − 1) · sd / √n; None below two values.

    Student 1908: for independent, about normal values; here the runs of one architecture. `sd` has n − 1 below it.
    """
    if mean is None or sd is None or n < 2:
        return None
    from scipy.special import stdtrit

    half = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * sd / math.sqrt(n)
    return mean - half, mean + half


def sign_test(values: Sequence[float] | NDArray[np.float64]) -> float | None:
    """Return the one-sided exact p that so many of `values` are negative, if each sign were a fair coin.

    Zeros do not count (Conover 1999, section 3.4); None where nothing else is left. The least p of m values is 2⁻ᵐ.
    """
    negative, positive = (int(np.sum(np.sign(values) == sign)) for sign in (-1, 1))
    n = negative + positive
    return sum(math.comb(n, k) for k in range(negative, n + 1)) / 2**n if n else None


def page(matrix: NDArray[np.float64]) -> tuple[float, float, float, str]:
    """Return Page's L of `matrix` [runs, layers] for a decrease, its one-sided p, that of an increase, and the method.

    Page 1963: with ranks R within each run (average ranks for ties) and the predicted rank of layer j being
    k − j (the input has the highest complexity), L = Σ_j (k − j) Σ_i R_ij. p is exact (the distribution of L when
    every order within a run is equally likely) up to 8 layers and 12 runs (3 layers: 20), else from the normal
    approximation. Layers of one network are not exchangeable, so this p is smaller than the runs support.
    """
    from scipy.stats import page_trend_test

    layers = matrix.shape[1]
    falling = page_trend_test(matrix, predicted_ranks=np.arange(layers, 0, -1))
    rising = page_trend_test(matrix, predicted_ranks=np.arange(1, layers + 1))
    return float(falling.statistic), float(falling.pvalue), float(rising.pvalue), str(falling.method)


def page_effect(statistic: float, runs: int, layers: int) -> float:
    """Return Page's L rescaled to −1 … 1: 12 L / (m k (k² − 1)) − 3 (k + 1) / (k − 1), m runs, k layers.

    Page 1963: the average of the runs' Spearman correlations with the predicted order (exactly so without
    ties). 1: every run falls at every layer; 0: no trend; −1: every run rises at every layer.
    """
    return 12 * statistic / (runs * layers * (layers**2 - 1)) - 3 * (layers + 1) / (layers - 1)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values corrected for their number, None staying None: Holm 1979, step-down, monotone, at most 1."""
    known = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, index) in enumerate(known):
        highest = max(highest, min((len(known) - rank) * p, 1.0))
        adjusted[index] = highest
    return adjusted


def slopes(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the least-squares slope of each row of `matrix` [rows, k] over the column's number, per column."""
    x = np.arange(matrix.shape[1]) - (matrix.shape[1] - 1) / 2
    slope: NDArray[np.float64] = matrix @ x / (x @ x)
    return slope


def spearman(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Spearman's ρ [rows] of the rows of `x` and `y` [rows, n]; NaN where one is constant.

    Spearman 1904: Pearson's r of the ranks, average ranks for ties.
    """
    from scipy.stats import rankdata

    a, b = (rankdata(values, axis=-1) - (values.shape[-1] + 1) / 2 for values in (x, y))
    norm = np.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        rho: NDArray[np.float64] = np.where(norm > 0, (a * b).sum(-1) / norm, np.nan)
    return np.clip(rho, -1.0, 1.0)


def bootstrap_rho(
    x: NDArray[np.float64], y: NDArray[np.float64], groups: Sequence[NDArray[np.int64]], seed: int
) -> tuple[float, float]:
    """Return the 95 % percentile interval of ρ of `x`, `y` [n] (Efron & Tibshirani 1993, chapter 13).

    Each of `groups` [n] numbers the values of one factor, 0 … k − 1. A resample draws the values of every factor with
    replacement and takes each row as often as the product of its values' counts: one factor is a cluster bootstrap,
    two crossed ones are Owen's pigeonhole bootstrap (2007), which never takes values that share one for independent.
    Resamples in which a variable is constant, or that are empty, have no ρ and are left out.
    """
    rng = np.random.default_rng(seed)
    counts = np.ones((RESAMPLES, len(x)), dtype=np.int64)
    for group in groups:
        k = int(group.max()) + 1
        drawn = rng.integers(0, k, (RESAMPLES, k))
        counts *= np.apply_along_axis(np.bincount, 1, drawn, minlength=k)[:, group]
    # Resamples of one size at once: a call each takes forty times as long.
    sizes = counts.sum(axis=1)
    rhos = []
    for size in np.unique(sizes[sizes > 1]):
        rows = np.array([np.repeat(np.arange(len(x)), count) for count in counts[sizes == size]])
        rhos.append(spearman(x[rows], y[rows]))
    low, high = np.nanquantile(np.concatenate(rhos), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def welch_interval(a: Sequence[float], b: Sequence[float]) -> tuple[float, float] | None:
    """Return the two-sided 95 % interval of mean(b) − mean(a) of independent values; None where one has fewer than two.

    Welch 1947: their variances may differ; the degrees of freedom are Satterthwaite's. Without any spread the interval
    is the difference itself.
    """
    if min(len(a), len(b)) < 2:
        return None
    from scipy.special import stdtrit

    difference = float(np.mean(b) - np.mean(a))
    parts = [float(np.var(values, ddof=1)) / len(values) for values in (a, b)]
    if not sum(parts):
        return difference, difference
    freedom = sum(parts) ** 2 / sum(part**2 / (len(values) - 1) for part, values in zip(parts, (a, b), strict=True))
    half = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * math.sqrt(sum(parts))
    return difference - half, difference + half
