"""Affinities: the joint probabilities P of t-SNE over all pairs, and what makes a layer degenerate. All float64."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from embcx_tui.compute.array_types import Float32Array, FloatArray
from embcx_tui.compute.jit.numba_cache import compiled
from embcx_tui.compute.timing import timed_part

ENTROPY_TOLERANCE = 1e-12  # nats; the paper's convention is 1e-5, float64 reaches this with one more Newton step
ENTROPY_ACCEPTED = 1e-8  # nats; a row further off after MAX_STEPS has no bandwidth of that perplexity
MAX_STEPS = 100  # Newton or bisection steps per row; 5 or 6 are usual
# Share of rows with an exact twin from which a layer is degenerate. A table with 5 % of its records repeated has up to
# 10 %, and scores like the same table without them (0.44 to 0.49 on digits); a layer that has collapsed has most.
MAX_DUPLICATES = 0.2
# Distances between nearest neighbours below this many float32 roundings of a row's length are rounding, not structure.
NEAR_IDENTICAL = 16 * float(np.finfo(np.float32).eps)


@dataclass(frozen=True, slots=True)
class AffinityInfo:
    """How far the affinities of a layer can be trusted."""

    reached: bool
    """Whether every row has a bandwidth of the requested perplexity; otherwise there is no P. A row has none where as
    many rows as the perplexity, or more, are equally near to it: identical rows, usually.
    """
    duplicates: int
    """Rows that equal another row exactly."""
    near_identical: bool
    """Whether half of the rows have a neighbour within the rounding of float32: the distances say little."""

    many_duplicates: bool
    """Whether MAX_DUPLICATES of the rows or more equal another."""

    @property
    def degenerate(self) -> bool:
        """Whether the layer must not be read as easy or hard: no P, near-identical rows, or many identical ones.

        A few repeated records do not make a layer degenerate: each has its twin as a neighbour, as it should.
        """
        return not self.reached or self.many_duplicates or self.near_identical


@dataclass(frozen=True, slots=True)
class Affinities(AffinityInfo):
    """The affinities of a layer."""

    joint: FloatArray | None
    """P [n, n], symmetric, zero diagonal, sum 1; None where the perplexity cannot be reached."""


def check_perplexity(perplexity: float, n: int) -> None:
    """Raise ValueError unless 1 < perplexity < n / 3 (van der Maaten's bound: a neighbourhood is much smaller than the
    set).
    """
    if not 1.0 < perplexity < n / 3.0:
        raise ValueError(f"perplexity {perplexity:g} does not fit {n} rows: it must be above 1 and below {n / 3.0:.1f}")


def finite_rows(activations: ArrayLike) -> Float32Array | FloatArray:
    """Return activations [n, d] as a float array; ValueError where they are not a matrix of finite numbers."""
    rows = np.asarray(activations)
    if rows.ndim != 2 or rows.shape[1] < 1:
        raise ValueError(f"activations must be a matrix [rows, units], not of shape {rows.shape}")
    if rows.dtype not in (np.float32, np.float64):
        rows = rows.astype(np.float64)
    if not np.isfinite(rows).all():
        bad = np.count_nonzero(~np.isfinite(rows))
        raise ValueError(f"activations hold {bad} numbers that are not finite (a diverged network?)")
    return rows


@timed_part("P")
def affinities(activations: ArrayLike, perplexity: float = 30.0) -> Affinities:
    """Return the `Affinities` of activations [n, d]; 1 < perplexity < n / 3, over all n - 1 neighbours of each row.

    van der Maaten & Hinton 2008, eq. 1 and section 3.1: p_j|i normalised per row, then p_ij = (p_j|i + p_i|j) / 2n.
    Distances are sums of squared differences, never |a|² + |b|² - 2ab: float32 differences are exact in float64, so
    rows that differ by one rounding (an untrained deep logsig network) keep their true distances, and only equal rows
    have distance 0. ValueError for a perplexity out of range and for numbers that are not finite.
    """
    rows = finite_rows(activations)
    n = rows.shape[0]
    check_perplexity(perplexity, n)
    squared = squared_distances(np.ascontiguousarray(rows.T, dtype=np.float64))
    nearest = nearest_squared(squared)
    info = affinity_info(rows, nearest, conditional_probabilities(squared, nearest, float(perplexity)))
    joint = symmetrise(squared) if info.reached else None
    return Affinities(info.reached, info.duplicates, info.near_identical, info.many_duplicates, joint)


def affinity_info(rows: NDArray[np.floating], nearest: FloatArray, reached: bool) -> AffinityInfo:
    """Return the `AffinityInfo` of rows [n, d], from each row's smallest squared distance to another, nearest [n]."""
    length = float(np.sqrt(np.mean(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))))
    near_identical = float(np.median(np.sqrt(nearest))) <= NEAR_IDENTICAL * length
    duplicates = int(np.count_nonzero(nearest == 0.0))
    return AffinityInfo(reached, duplicates, near_identical, duplicates >= MAX_DUPLICATES * len(rows))


@compiled(inline=True)
def _add_squares(total: FloatArray, a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray, i: int) -> None:
    """Add the squared differences to entry i of four units to total [n - i - 1], the entries after i: one load and
    store for four units.
    """
    a0, b0, c0, d0 = a[i], b[i], c[i], d[i]
    a1, b1, c1, d1 = a[i + 1 :], b[i + 1 :], c[i + 1 :], d[i + 1 :]
    for j in range(total.size):
        total[j] += ((a1[j] - a0) ** 2 + (b1[j] - b0) ** 2) + ((c1[j] - c0) ** 2 + (d1[j] - d0) ** 2)


@compiled(inline=True)
def _add_square(total: FloatArray, a: FloatArray, i: int) -> None:
    """Add the squared differences to entry i of one unit to total [n - i - 1]."""
    a0 = a[i]
    a1 = a[i + 1 :]
    for j in range(total.size):
        total[j] += (a1[j] - a0) ** 2


@compiled()
def squared_distances(units: FloatArray) -> FloatArray:
    """Return squared Euclidean distances [n, n] from units [d, n] (activations, transposed: the loop over rows is the
    contiguous one).
    """
    d, n = units.shape
    squared = np.zeros((n, n))
    for i in range(n):
        total = squared[i, i + 1 :]
        for k in range(0, d - 3, 4):
            _add_squares(total, units[k], units[k + 1], units[k + 2], units[k + 3], i)
        for k in range(d - d % 4, d):
            _add_square(total, units[k], i)
    tile = 32  # 32 × 32 float64 = 8 kB: both the source and the mirror image stay in the first-level cache
    for top in range(0, n, tile):
        for left in range(top, n, tile):
            for i in range(top, min(top + tile, n)):
                for j in range(max(left, i + 1), min(left + tile, n)):
                    squared[j, i] = squared[i, j]
    return squared


@compiled()
def nearest_squared(squared: FloatArray) -> FloatArray:
    """Return for each row its smallest squared distance to another row, [n], from squared [n, n]."""
    n = squared.shape[0]
    nearest = np.empty(n)
    for i in range(n):
        least = np.inf
        for j in range(n):
            if j != i:
                least = min(least, squared[i, j])
        nearest[i] = least
    return nearest


@compiled(inline=True)
def exp_of(value: float) -> float:
    """Return e^value to 1e-13 relative for value <= 0 (0 below -700), in a form that vectorises: numba's wheels have no
    vector exp.

    2^k times the Taylor polynomial of degree 11 on |r| <= ln 2 / 2.
    """
    bounded = max(value, -700.0)
    k = np.rint(bounded * 1.4426950408889634)
    r = (bounded - k * 0.6931471803691238) - k * 1.9082149292705877e-10
    high = 1 / 5040 + r * (1 / 40320 + r * (1 / 362880 + r * (1 / 3628800 + r * (1 / 39916800))))
    taylor = 1 + r * (1 + r * (1 / 2 + r * (1 / 6 + r * (1 / 24 + r * (1 / 120 + r * (1 / 720 + r * high))))))
    power = np.int64((np.int64(k) + 1023) << 52).view(np.float64)
    return float(taylor * power)


@compiled(inline=True)
def _moments(distance: FloatArray, beta: float) -> tuple[float, float, float]:
    """Return the sums of w, w·distance and w·distance² with w = exp(-beta·distance), over distance [n]."""
    s0 = 0.0
    s1 = 0.0
    s2 = 0.0
    for j in range(distance.size):
        d = distance[j]
        w = exp_of(-beta * d)
        s0 += w
        s1 += w * d
        s2 += w * d * d
    return s0, s1, s2


@compiled(inline=True)
def _weigh(distance: FloatArray, beta: float, scale: float) -> None:
    """Replace distance [n] by scale·exp(-beta·distance)."""
    for j in range(distance.size):
        distance[j] = scale * exp_of(-beta * distance[j])


@compiled(inline=True)
def row_bandwidth(
    row: FloatArray, nearest: float, perplexity: float, log_beta: float
) -> tuple[bool, float, float, float]:
    """Find the precision beta = 1 / 2σ² of one row, from its squared distances [n], which are taken less `nearest` in
    place: whether the perplexity is reached, ln beta, beta, and the sum of the other rows' weights.

    Newton's method on ln beta, as `conditional_probabilities` says; log_beta is where it starts, NaN: from the mean
    distance.
    """
    n = row.size
    target_entropy = np.log(perplexity)
    ties = -1
    total = 0.0
    for j in range(n):
        row[j] = max(row[j] - nearest, 0.0)
        total += row[j]
        ties += row[j] == 0.0
    # The row itself counts as a tie (its clipped distance is 0): its weight 1 is taken off every sum below.
    if ties >= perplexity or not total > 0.0:
        return False, log_beta, 0.0, 0.0
    if np.isnan(log_beta):
        log_beta = -np.log(total / n)
    low = -np.inf
    high = np.inf
    error = np.inf
    previous_step = np.inf
    beta = 0.0
    mass = 0.0
    for _ in range(MAX_STEPS):
        beta = np.exp(log_beta)
        s0, s1, s2 = _moments(row, beta)
        mass = s0 - 1.0
        mean = s1 / mass
        error = np.log(mass) + beta * mean - target_entropy
        if abs(error) < ENTROPY_TOLERANCE:
            break
        if error > 0.0:
            low = log_beta
        else:
            high = log_beta
        slope = beta * beta * max(s2 / mass - mean * mean, 0.0)
        step = error / slope if slope > 0.0 else np.inf
        bracketed = low > -np.inf and high < np.inf
        if not bracketed:
            step = min(max(step, -3.0), 3.0)
        elif not (low < log_beta + step < high and abs(step) <= 0.5 * abs(previous_step)):
            step = 0.5 * (low + high) - log_beta
        log_beta += step
        previous_step = step
    return bool(abs(error) < ENTROPY_ACCEPTED), log_beta, beta, mass


@compiled()
def conditional_probabilities(squared: FloatArray, nearest: FloatArray, perplexity: float) -> bool:
    """Replace squared distances [n, n] by conditional probabilities p_j|i (eq. 1), row by row; return False where a row
    cannot reach the perplexity.

    The perplexity search: each row's precision beta = 1 / 2σ² by Newton's method on ln beta, with
    dH / d ln beta = -beta² · variance of the squared distances; by bisection where a Newton step leaves the bracket or
    does not halve the step before. Distances are taken less the nearest neighbour's, so that the largest weight is 1
    for any beta. nearest [n] are from `nearest_squared`.
    """
    n = squared.shape[0]
    log_beta = np.nan
    for i in range(n):
        row = squared[i]
        reached, log_beta, beta, mass = row_bandwidth(row, nearest[i], perplexity, log_beta)
        if not reached:
            return False
        _weigh(row, beta, 1.0 / mass)
        row[i] = 0.0
    return True


@compiled()
def symmetrise(conditional: FloatArray) -> FloatArray:
    """Return the joint probabilities (p_j|i + p_i|j) / 2n in place of the conditional ones [n, n]."""
    n = conditional.shape[0]
    scale = 0.5 / n
    tile = 32  # as in `squared_distances`
    for top in range(0, n, tile):
        for left in range(top, n, tile):
            for i in range(top, min(top + tile, n)):
                for j in range(max(left, i), min(left + tile, n)):
                    joint = (conditional[i, j] + conditional[j, i]) * scale
                    conditional[i, j] = joint
                    conditional[j, i] = joint
    return conditional
