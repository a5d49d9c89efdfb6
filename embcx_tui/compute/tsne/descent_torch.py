"""The passes of exact t-SNE in plain torch: for a device without Triton, and the oracle of the Triton passes. One
restart at a time.
"""

import torch
from torch import Tensor

from embcx_tui.compute.tsne import gradient_descent

GAIN_UP = 0.2  # as `exact_cpu`
GAIN_DOWN = 0.8


def forces(points: Tensor, joint: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sums over j of (scale·p_ij - w_ij)·w_ij·(y_i - y_j), [2, n], and Z; points [2, n], joint [n, n]. As
    `exact_cpu.forces`.
    """
    dx, dy = points[:, :, None] - points[:, None, :]
    w = 1.0 / (1.0 + dx * dx + dy * dy)
    f = (scale * joint - w) * w
    return torch.stack([(f * dx).sum(dim=1), (f * dy).sum(dim=1)]), w.sum(dim=1).sum() - points.shape[1]


def descend(
    points: Tensor,
    velocity: Tensor,
    gain: Tensor,
    z: Tensor,
    joint: Tensor,
    which: Tensor,
    iterations: int,
    phase: gradient_descent.Phase,
    least_gain: float,
) -> None:
    """Advance points, velocity, gain [m, 2, n] and z [m] by `iterations`, in place; joint [b, n, n], which [m]."""
    rate = phase.rate * points.shape[2]
    for member, layer in enumerate(which.tolist()):
        moved, speed, own_gain, last = points[member], velocity[member], gain[member], z[member].clone()
        for _ in range(iterations):
            gradient, new = forces(moved, joint[layer], phase.exaggeration * last)
            onward = gradient * speed < 0.0
            own_gain.copy_(torch.where(onward, own_gain + GAIN_UP, own_gain * GAIN_DOWN).clamp_min(least_gain))
            speed.mul_(phase.momentum).sub_(own_gain * gradient * (rate / last))
            moved.add_(speed)
            last = new
        z[member] = last


def cross_entropy(points: Tensor, joint: Tensor, which: Tensor) -> Tensor:
    """Return -Σ p ln q in nats, [m] float64, of points [m, 2, n] for joint [b, n, n] float64, which [m]."""
    scores = torch.empty(len(points), dtype=torch.float64, device=points.device)
    for member, layer in enumerate(which.tolist()):
        x, y = points[member].double()
        d = 1.0 + (x[:, None] - x[None]).square() + (y[:, None] - y[None]).square()
        scores[member] = (joint[layer] * d.log()).sum() + (d.reciprocal().sum() - len(x)).log()
    return scores


def gradient_norms(points: Tensor, joint: Tensor, which: Tensor) -> Tensor:
    """Return the Euclidean norm of the KL's gradient, [m] float64, at points [m, 2, n] for joint [b, n, n] float32,
    which [m].
    """
    n = points.shape[2]
    norms = torch.empty(len(points), dtype=torch.float64, device=points.device)
    for member, layer in enumerate(which.tolist()):
        _, z = forces(points[member], joint[layer], torch.tensor(float(n) * (n - 1), device=points.device))
        gradient, z = forces(points[member], joint[layer], z)
        norms[member] = 4.0 / z.double() * gradient.double().norm()
    return norms
