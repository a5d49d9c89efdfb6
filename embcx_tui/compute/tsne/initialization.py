"""The initial points of a descent, and the orientation of the final ones."""

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.array_types import FloatArray, Points
from embcx_tui.compute.jit.numba_cache import compiled

# Standard deviation of the start's first axis: far below 1, so that all pairs are near and no local order is fixed.
START_SPREAD = 1e-4
POWER_ITERATIONS = 12  # to within some degrees of the principal plane: initial points need not be nearer


def initial_points(activations: NDArray[np.floating], seed: int, index: int) -> Points:
    """Return the initial points [n, 2] of start `index` of a layer: the principal plane for 0, else random points."""
    return random_start(len(activations), start_seed(seed, index)) if index else principal_start(activations)


def start_seed(seed: int, index: int) -> int:
    """Return the 32-bit seed of start `index`, derived from a layer's seed."""
    return int(np.random.SeedSequence([seed % 2**63, index]).generate_state(1)[0])


def principal_start(activations: NDArray[np.floating]) -> Points:
    """Return initial points [n, 2]: the rows' scores on (nearly) the two principal axes, scaled to START_SPREAD.

    Signs are fixed (each axis's largest loading is positive), so equal activations give equal points. Rows without
    variance give `random_start` with seed 0; rows along a single direction get a zero second axis plus that same noise,
    1 % of the spread.
    """
    rows = np.asarray(activations, dtype=np.float64)
    n, d = rows.shape
    centred = np.ascontiguousarray((rows - rows.mean(axis=0)).T)
    largest = float(np.abs(centred).max())
    if largest == 0.0:
        return random_start(n, 0)
    axes = np.random.default_rng(0).standard_normal((2, d))
    scores = _principal_scores(centred / largest, axes, POWER_ITERATIONS).T
    loadings = axes[np.arange(2), np.abs(axes).argmax(axis=1)]
    scores *= np.where(loadings < 0.0, -1.0, 1.0) * START_SPREAD / scores[:, 0].std()
    # Without noise equal rows would move together for ever, and a line would never open into a plane.
    return (scores + 0.01 * random_start(n, 0)).astype(np.float32)


@compiled()
def _principal_scores(units: FloatArray, axes: FloatArray, iterations: int) -> FloatArray:
    """Return the scores [2, n] of centred units [d, n] on two principal axes, by power iteration from axes [2, d]
    (changed in place).

    Sums run in one order whatever the number of threads, where a BLAS may not: initial points must be the same bit for
    bit.
    """
    d, n = units.shape
    scores = np.zeros((2, n))
    for iteration in range(iterations + 1):
        for c in range(2):
            for before in range(c):
                axes[c] -= np.sum(axes[c] * axes[before]) * axes[before]
            length = np.sqrt(np.sum(axes[c] * axes[c]))
            if length > 0.0:
                axes[c] /= length
        scores[:] = 0.0
        for k in range(d):
            for c in range(2):
                scores[c] += axes[c, k] * units[k]
        if iteration < iterations:
            for k in range(d):
                for c in range(2):
                    axes[c, k] = np.sum(units[k] * scores[c])
    return scores


def random_start(n: int, seed: int) -> Points:
    """Return initial points [n, 2]: normal numbers of standard deviation START_SPREAD from a generator seeded by
    `seed`.
    """
    return (np.random.default_rng(seed).standard_normal((n, 2)) * START_SPREAD).astype(np.float32)


def gathered(points: NDArray[np.floating], scale: float, jitter: float, noise: Points) -> Points:
    """Return points [n, 2] centred and drawn together by `scale`, with `jitter` times their root mean square distance
    from the mean times a random start (`noise` [n, 2], of START_SPREAD) added before.

    In float64 and in numpy's order of sums, so the same bits on every device.
    """
    centred = np.asarray(points, dtype=np.float64) - np.mean(points, axis=0, dtype=np.float64)
    extent = np.sqrt(np.mean((centred**2).sum(axis=1)))
    again: Points = (scale * (centred + jitter * extent / START_SPREAD * noise)).astype(np.float32)
    return again


def oriented(points: NDArray[np.floating]) -> Points:
    """Return points [n, 2] centred and rotated to their own principal axes, the longer one first, each skewed to its
    positive side.

    Distances, and so the KL divergence, stay (to float32); equal shapes are given the same orientation.
    """
    centred = np.asarray(points, dtype=np.float64) - np.mean(points, axis=0, dtype=np.float64)
    xx, yy, xy = (float(np.mean(centred[:, a] * centred[:, b])) for a, b in ((0, 0), (1, 1), (0, 1)))
    angle = 0.5 * np.arctan2(2.0 * xy, xx - yy)
    c, s = np.cos(angle), np.sin(angle)
    rotated = np.stack([c * centred[:, 0] + s * centred[:, 1], c * centred[:, 1] - s * centred[:, 0]], axis=1)
    rotated *= np.where((rotated**3).sum(axis=0) < 0.0, -1.0, 1.0)
    return rotated.astype(np.float32)
