"""The passes of exact t-SNE in plain torch, one restart at a time: for a device without Triton, and as the reference of
the Triton kernels.
"""

import torch
from torch import Tensor

from embcx_tui.compute.tsne.gradient_descent import GAIN_DECAY, GAIN_INCREASE, Phase


def forces(points: Tensor, joint: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Return Σ_j (scale·p_ij - w_ij)·w_ij·(y_i - y_j), [2, n], and Z, for points [2, n] and joint [n, n]; as
    `descent_cpu.forces`.
    """
    dx, dy = points[:, :, None] - points[:, None, :]
    w = 1.0 / (1.0 + dx * dx + dy * dy)
    f = (scale * joint - w) * w
    return torch.stack([(f * dx).sum(dim=1), (f * dy).sum(dim=1)]), w.sum(dim=1).sum() - points.shape[1]


def iterate(
    points: Tensor,
    velocity: Tensor,
    gain: Tensor,
    z: Tensor,
    joint: Tensor,
    p_index: Tensor,
    iterations: int,
    phase: Phase,
    min_gain: float,
) -> None:
    """Advance points, velocity, gain [m, 2, n] and z [m] by `iterations`, in place; joint [b, n, n], p_index [m]."""
    learning_rate = phase.learning_rate * points.shape[2]
    for restart, layer in enumerate(p_index.tolist()):
        y, v, gains, last_z = points[restart], velocity[restart], gain[restart], z[restart].clone()
        for _ in range(iterations):
            gradient, new_z = forces(y, joint[layer], phase.exaggeration * last_z)
            keeps_direction = gradient * v < 0.0
            gains.copy_(torch.where(keeps_direction, gains + GAIN_INCREASE, gains * GAIN_DECAY).clamp_min(min_gain))
            v.mul_(phase.momentum).sub_(gains * gradient * (learning_rate / last_z))
            y.add_(v)
            last_z = new_z
        z[restart] = last_z


def cross_entropy(points: Tensor, joint: Tensor, p_index: Tensor) -> Tensor:
    """Return -Σ p ln q in nats, [m] float64, of points [m, 2, n] for joint [b, n, n] float64, p_index [m]."""
    values = torch.empty(len(points), dtype=torch.float64, device=points.device)
    for restart, layer in enumerate(p_index.tolist()):
        x, y = points[restart].double()
        d = 1.0 + (x[:, None] - x[None]).square() + (y[:, None] - y[None]).square()
        values[restart] = (joint[layer] * d.log()).sum() + (d.reciprocal().sum() - len(x)).log()
    return values


def gradient_norms(points: Tensor, joint: Tensor, p_index: Tensor) -> Tensor:
    """Return the Euclidean norms of the gradient of the KL divergence, [m] float64, at points [m, 2, n] for joint [b,
    n, n] float32, p_index [m].
    """
    n = points.shape[2]
    norms = torch.empty(len(points), dtype=torch.float64, device=points.device)
    for restart, layer in enumerate(p_index.tolist()):
        _, z = forces(points[restart], joint[layer], torch.tensor(float(n) * (n - 1), device=points.device))
        gradient, z = forces(points[restart], joint[layer], z)
        norms[restart] = 4.0 / z.double() * gradient.double().norm()
    return norms
