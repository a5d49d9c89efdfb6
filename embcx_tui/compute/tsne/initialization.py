"""Embeddings before and after the descent: where the points start, and how the finished plane is turned."""

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.tsne import descent_cpu

Points = NDArray[np.float32]

# Standard deviation of the start's first axis: far below 1, where all pairs are near and no local order is given away.
START_SPREAD = 1e-4
POWER_ITERATIONS = 12  # brings the start to within some degrees of the principal plane: a start need not be nearer


def principal_start(activations: NDArray[np.floating]) -> Points:
    """Return a start [n, 2] for the descent: the rows' scores on (nearly) the two principal axes, scaled to
    START_SPREAD.

    Signs are fixed (each axis's largest load is positive), so equal activations give equal starts. A set without
    variance starts as `random_start` with seed 0; one with a single direction gets a zero second axis plus that same
    noise, 1 % of the spread.
    """
    rows = np.asarray(activations, dtype=np.float64)
    n, d = rows.shape
    centred = np.ascontiguousarray((rows - rows.mean(axis=0)).T)
    largest = float(np.abs(centred).max())
    if largest == 0.0:
        return random_start(n, 0)
    axes = np.random.default_rng(0).standard_normal((2, d))
    scores = descent_cpu.principal_axes(centred / largest, axes, POWER_ITERATIONS).T
    loads = axes[np.arange(2), np.abs(axes).argmax(axis=1)]
    scores *= np.where(loads < 0.0, -1.0, 1.0) * START_SPREAD / scores[:, 0].std()
    # Equal rows would move together for ever, and a line would never open into a plane.
    return (scores + 0.01 * random_start(n, 0)).astype(np.float32)


def random_start(n: int, seed: int) -> Points:
    """Return a start [n, 2]: normal numbers of standard deviation START_SPREAD from a generator keyed by `seed`."""
    return (np.random.default_rng(seed).standard_normal((n, 2)) * START_SPREAD).astype(np.float32)


def oriented(points: NDArray[np.floating]) -> Points:
    """Return points [n, 2] centred and turned to their own principal axes, the longer one first, each skewed to its
    positive side.

    Distances, and so the score, stay (to float32); equal shapes lie the same way, whatever turned them on the way.
    """
    centred = np.asarray(points, dtype=np.float64) - np.mean(points, axis=0, dtype=np.float64)
    xx, yy, xy = (float(np.mean(centred[:, a] * centred[:, b])) for a, b in ((0, 0), (1, 1), (0, 1)))
    angle = 0.5 * np.arctan2(2.0 * xy, xx - yy)
    c, s = np.cos(angle), np.sin(angle)
    turned = np.stack([c * centred[:, 0] + s * centred[:, 1], c * centred[:, 1] - s * centred[:, 0]], axis=1)
    turned *= np.where((turned**3).sum(axis=0) < 0.0, -1.0, 1.0)
    return turned.astype(np.float32)
