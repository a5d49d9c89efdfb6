"""Gradient descent of exact t-SNE in plain numpy, float64, all pairs at once: what the kernels are compared with."""

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.tsne.schedule import Phase


def plain_descent(
    joint: NDArray[np.float64], start: NDArray[np.floating], phases: tuple[Phase, ...], least_gain: float
) -> NDArray[np.float64]:
    """Return where points [n, 2] are after all iterations of `phases`: van der Maaten & Hinton 2008, with the gains of
    Jacobs 1988: 0.2 more while a step goes on downhill, 0.8 times where it turns.

    Attraction and the step are scaled by Z of the iteration before, which is all pairs' 1 at first.
    """
    n = len(start)
    points = start.astype(np.float64)
    velocity, gain, z = np.zeros((n, 2)), np.ones((n, 2)), n * (n - 1.0)
    for phase in phases:
        for _ in range(phase.iterations):
            apart = points[:, None] - points[None]
            w = 1.0 / (1.0 + (apart**2).sum(axis=2))
            np.fill_diagonal(w, 0.0)
            force = ((phase.exaggeration * z * joint - w) * w)[:, :, None] * apart
            downhill = force.sum(axis=1)
            goes_on = downhill * velocity < 0
            gain = np.maximum(np.where(goes_on, gain + 0.2, 0.8 * gain), least_gain)
            velocity = phase.momentum * velocity - phase.learning_rate * n / z * gain * downhill
            points = points + velocity
            z = w.sum()
    return points
