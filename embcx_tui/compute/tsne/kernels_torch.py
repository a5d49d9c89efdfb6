"""The passes over all pairs in plain torch, those of P and those of the descent: for a device without Triton, and as
the reference of the Triton kernels.

Those of P take all layers of a batch at once, those of the descent one restart at a time; no sum runs across layers, so
no result depends on the composition of the batch.
"""

import math

import torch
from torch import Tensor

from embcx_tui.compute.tsne.affinities import ENTROPY_ACCEPTED, ENTROPY_TOLERANCE, MAX_STEPS
from embcx_tui.compute.tsne.schedule import GAIN_DECAY, GAIN_INCREASE, Phase

# Newton steps between two tests whether all rows have converged, each of which waits for the device; 5 or 6 are usual.
STEPS_PER_TEST = 8


def squared_distances(rows: Tensor, out: Tensor) -> None:
    """Write squared distances to out [b, n, n] from rows [b, n, d], both float64: sums of squared differences."""
    distances = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
    torch.mul(distances, distances, out=out)


def conditional_probabilities(squared: Tensor, perplexity: float) -> tuple[Tensor, Tensor]:
    """Replace squared distances [b, n, n] by p_j|i; return each row's nearest squared distance and whether it reached
    the perplexity, [b, n] each.

    `affinities.conditional_probabilities` with all rows at once: a converged row no longer changes, one without a
    bandwidth becomes 0.
    """
    n = squared.shape[1]
    diagonal = squared.diagonal(dim1=1, dim2=2)
    diagonal.fill_(torch.inf)
    nearest = squared.amin(dim=2)
    diagonal.copy_(nearest)
    distance = squared.sub_(nearest[:, :, None])
    # The row itself has distance 0 here: its weight 1 is taken off every sum.
    ties = (distance == 0.0).sum(dim=2) - 1
    total = distance.sum(dim=2)
    sound = (ties < perplexity) & (total > 0.0)
    target_entropy = math.log(perplexity)
    log_beta = torch.where(sound, -(total / n).log(), 0.0)
    low, high = torch.full_like(log_beta, -torch.inf), torch.full_like(log_beta, torch.inf)
    previous_step = high
    for taken in range(MAX_STEPS):
        beta = log_beta.exp()
        weight = torch.exp(-beta[:, :, None] * distance)
        mass = weight.sum(dim=2) - 1.0
        mean = weight.mul_(distance).sum(dim=2) / mass
        spread = weight.mul_(distance).sum(dim=2) / mass - mean.square()
        error = mass.log() + beta * mean - target_entropy
        done = ~sound | (error.abs() < ENTROPY_TOLERANCE)
        if taken % STEPS_PER_TEST == STEPS_PER_TEST - 1 and bool(done.all()):
            break
        low = torch.where(error > 0.0, log_beta, low)
        high = torch.where(error > 0.0, high, log_beta)
        slope = beta.square() * spread.clamp_min(0.0)
        step = torch.where(slope > 0.0, error / slope, torch.inf)
        bracketed = low.isfinite() & high.isfinite()
        inside = (log_beta + step > low) & (log_beta + step < high) & (step.abs() <= 0.5 * previous_step.abs())
        step = torch.where(bracketed, torch.where(inside, step, 0.5 * (low + high) - log_beta), step.clamp(-3.0, 3.0))
        log_beta = torch.where(done, log_beta, log_beta + step)
        previous_step = step
    reached = sound & (error.abs() < ENTROPY_ACCEPTED)
    distance.mul_(-beta[:, :, None]).exp_().div_(mass[:, :, None])
    diagonal.fill_(0.0)
    distance.masked_fill_(~reached[:, :, None], 0.0)
    return nearest, reached


def symmetrise(conditional: Tensor) -> Tensor:
    """Replace conditional probabilities [b, n, n] by joint ones, (p_j|i + p_i|j) / 2n; return their entropies [b] in
    nats.
    """
    conditional.copy_((conditional + conditional.transpose(1, 2)) * (0.5 / conditional.shape[1]))
    return torch.stack([-torch.xlogy(joint, joint).sum() for joint in conditional])


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
