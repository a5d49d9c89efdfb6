"""Exact t-SNE of one set after another on a CPU: gradient descent with momentum and gains, stopped by certificate."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.timing import timed_part
from embcx_tui.compute.tsne import descent_cpu
from embcx_tui.compute.tsne.initialization import Points


class Stopped(Exception):
    """The caller's `should_stop` said so, between two windows of the descent."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of the descent with one setting."""

    iterations: int
    exaggeration: float
    """What P is multiplied by: above 1, groups gather before they spread."""
    rate: float
    """Step for a quarter of the gradient, in units of n (openTSNE's "auto" is 1, with the same quarter)."""
    momentum: float


@dataclass(frozen=True, slots=True)
class Descent:
    """How the points of one set were found; docs/embedding-engine.md says how these numbers were chosen."""

    phases: tuple[Phase, ...] = (Phase(75, 2.0, 0.5, 0.8), Phase(50, 1.0, 1.0, 0.8), Phase(4875, 1.0, 0.5, 0.93))
    """One after another; the first ones run to their end, the last until the certificate or its iterations, the cap."""
    least_gain: float = 0.5
    window: int = 50
    """Iterations between two exact scores."""
    tolerance: float = 1e-4
    """The certificate: the relative change of the exact KL over one window is below this."""


DESCENT = Descent()


@dataclass(frozen=True, slots=True)
class DescentResult:
    """Where a descent came to rest."""

    points: Points
    """[n, 2]"""
    kl: float
    """Exact KL in nats, float64, of exactly these points."""
    iterations: int
    relative_change: float
    """|change of KL| / KL over the last window."""
    gradient_norm: float
    """Euclidean norm of the KL's gradient over all 2n coordinates."""
    converged: bool
    """relative_change < tolerance; False: the cap stopped it."""


def never() -> bool:
    """Return False: the default `should_stop`."""
    return False


@timed_part("descent and score")
def descend(
    joint: NDArray[np.float64],
    start: Points,
    descent: Descent = DESCENT,
    entropy: float | None = None,
    should_stop: Callable[[], bool] = never,
) -> DescentResult:
    """Return where points [n, 2] from `start` come to rest under t-SNE's objective for joint probabilities P [n, n].

    One core; the result depends on P, start and descent alone. `entropy` is P's, where it is known. Stopped where
    should_stop() is true between two windows (50 iterations of 1,000 points are 7 ms).
    """
    n = joint.shape[0]
    joint32 = descent_cpu.pad_matrix(joint)
    entropy = descent_cpu.entropy(joint) if entropy is None else entropy
    points = descent_cpu.pad_points(start.T)
    velocity = np.zeros((2, n), np.float32)
    gain = np.ones_like(velocity)
    z = float(n) * (n - 1)  # all w are 1 at the start's scale
    iterations = 0
    kl = change = np.inf
    for position, phase in enumerate(descent.phases):
        final = position == len(descent.phases) - 1
        left = phase.iterations
        while left > 0:
            if should_stop():
                raise Stopped
            stretch = min(left, descent.window) if final else left
            z = float(
                descent_cpu.descend(
                    points, velocity, gain, joint32, np.float32(z), stretch, np.float32(phase.exaggeration),
                    np.float32(phase.rate * n), np.float32(phase.momentum), np.float32(descent.least_gain),
                )
            )  # fmt: skip
            iterations += stretch
            left -= stretch
            if final:
                before, kl = kl, score(joint, points[:, :n].T, entropy)
                change = abs(before - kl) / kl
                if change < descent.tolerance:
                    left = 0
    norm = _gradient_norm(joint32, points, n)
    return DescentResult(points[:, :n].T.copy(), kl, iterations, change, norm, change < descent.tolerance)


def score(joint: NDArray[np.float64], points: NDArray[np.floating], entropy: float) -> float:
    """Return the exact KL(P‖Q) in nats, float64, of points [n, 2] for P [n, n] of known entropy (nats)."""
    x, y = np.ascontiguousarray(points.T, dtype=np.float64)
    return descent_cpu.cross_entropy(x, y, joint) - entropy


def gradient_norm(joint: NDArray[np.floating], points: NDArray[np.floating]) -> float:
    """Return the Euclidean norm of the KL's gradient (not a quarter of it) at points [2, n], in float32."""
    return _gradient_norm(descent_cpu.pad_matrix(joint), descent_cpu.pad_points(points), points.shape[1])


def _gradient_norm(joint: NDArray[np.float32], points: NDArray[np.float32], n: int) -> float:
    gradient = np.empty_like(points)
    z = descent_cpu.forces(points, joint, np.float32(n * (n - 1)), gradient)
    z = descent_cpu.forces(points, joint, np.float32(z), gradient)
    return float(4.0 / z * np.linalg.norm(gradient[:, :n].astype(np.float64)))
