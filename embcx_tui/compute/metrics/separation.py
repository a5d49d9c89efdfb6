"""How far the classes of a layer lie apart, as a number of its class means and distances. All float64."""

import numpy as np

from embcx_tui.compute.array_types import FloatArray, IntArray

# Eigenvalues of S_b, relative to the largest, that count as 0: numpy's own for a pseudo-inverse.
RANK_TOLERANCE = 1e-15


def one_hot(classes: IntArray) -> FloatArray:
    """Return classes [n], 0 … K - 1, as columns of 0 and 1, [n, K]."""
    return np.eye(int(classes.max()) + 1)[classes]


def fuzziness(rows: FloatArray, classes: IntArray) -> float | None:
    """Return the separation fuzziness Tr(S_w S_b⁺) of rows [n, d] with classes [n] (0 … K - 1); from 0, smaller is more
    separated.

    S_b = Σ_k n_k/n (m_k - m)(m_k - m)ᵀ and S_w = 1/n Σ_k Σ_{i in k} (x_i - m_k)(x_i - m_k)ᵀ, with m_k the class means,
    m the mean; ⁺ is the Moore-Penrose inverse. No unit: scale and rotation of the rows do not matter.
    He & Su 2023, PNAS 120 (36), e2221704120. A class with one row has no spread of its own and counts in S_b alone.
    None for a single class, for one row a class, and where all class means are equal.
    """
    belongs = one_hot(classes)
    n, count = belongs.shape
    if count < 2 or n <= count:
        return None
    size = belongs.sum(axis=0)
    centred = rows - rows.mean(axis=0)
    means = (belongs.T @ centred) / size[:, None]
    # S_b = BᵀB of rank K - 1 at most: its pseudo-inverse and the trace need the K right singular vectors of B alone.
    _, singular, axes = np.linalg.svd(np.sqrt(size / n)[:, None] * means, full_matrices=False)
    between = singular[: count - 1] ** 2
    # Below the first bound the means differ by the rounding of their sums alone.
    floor = max((1e-14 * float(np.abs(centred).max())) ** 2, RANK_TOLERANCE * float(between[0]))
    kept = between > floor
    if not kept.any():
        return None
    within = (centred - means[classes]) @ axes[: count - 1][kept].T
    return float((np.mean(within**2, axis=0) / between[kept]).sum())


def discrimination(rows: FloatArray, classes: IntArray, units: int | None = None) -> float | None:
    """Return the generalised discrimination value of rows [n, d] with classes [n] (0 … K - 1): -1 is perfect
    separation, about 0 none.

    GDV = 1/√D (mean over classes of the mean distance within a class - mean over pairs of classes of the mean distance
    between them), Euclidean distances of s = (x - mean) / 2σ, z-scored for each unit over all rows (σ with 1/n) and
    halved. No unit: shift and scale of each unit do not matter. Schilling, Maier, Gerum, Metzner & Krauss 2021, Neural
    Networks 139, 278-293. A unit without variance is 0 throughout and counts in D, as in the authors' program.
    units: D, where units without variance were left out of rows; None: d. None for a single class, a class with one
    row, and rows without any variance.
    """
    belongs = one_hot(classes)
    size = belongs.sum(axis=0)
    count = size.size
    if count < 2 or size.min() < 2:
        return None
    deviation = rows.std(axis=0)
    # A constant unit's mean may be off by a rounding, and its deviation with it.
    varies = (rows.max(axis=0) > rows.min(axis=0)) & (deviation > 0.0)
    if not varies.any():
        return None
    halved = (rows[:, varies] - rows[:, varies].mean(axis=0)) / (2.0 * deviation[varies])
    sums = belongs.T @ _distances(halved) @ belongs
    within = float(np.mean(np.diag(sums) / (size * (size - 1.0))))
    upper = np.triu_indices(count, k=1)
    between = float(np.mean((sums / np.outer(size, size))[upper]))
    return (within - between) / float(np.sqrt(units or rows.shape[1]))


def _distances(rows: FloatArray) -> FloatArray:
    """Return Euclidean distances [n, n] of z-scored rows [n, d], from inner products: 3 to 20 times as fast as from
    differences.

    What cancels is 1e-8 of a typical distance, in each of equal rows: nothing in a mean over thousands of pairs.
    """
    lengths = np.einsum("ij,ij->i", rows, rows)
    squared = rows @ rows.T
    squared *= -2.0
    squared += lengths[:, None]
    squared += lengths
    np.maximum(squared, 0.0, out=squared)
    np.fill_diagonal(squared, 0.0)
    return np.sqrt(squared, out=squared)
