"""Exact t-SNE of many layers at once on a torch device: the same algorithm as on a CPU, to the noise of float32.

A batch holds the layers' P and advances all their restarts together, window by window; what is done leaves it. Nothing
that is computed for a layer is summed across layers or depends on their number, so a result does not depend on its
company.
"""

import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from embcx_tui.compute import exact
from embcx_tui.compute.embedding import POWER_ITERATIONS, START_SPREAD, random_start
from embcx_tui.compute.neighbourhoods import (
    ENTROPY_ACCEPTED,
    ENTROPY_TOLERANCE,
    MAX_STEPS,
    NEAR_IDENTICAL,
    Neighbourhoods,
)

if TYPE_CHECKING:
    from embcx_tui.compute.complexity import Complexity, Measurement

log = logging.getLogger(__name__)


class Passes(Protocol):
    """The two passes over all pairs, of which there are two makes: `exact_torch` and `exact_triton`.

    points, velocity, gain [m, 2, n] float32; joint [b, n, n]; which [m] says which P belongs to each of the m restarts.
    """

    def descend(
        self,
        points: Tensor,
        velocity: Tensor,
        gain: Tensor,
        z: Tensor,
        joint: Tensor,
        which: Tensor,
        iterations: int,
        phase: exact.Phase,
        least_gain: float,
    ) -> None:
        """Advance points, velocity, gain and z [m] by `iterations`, in place; joint float32."""

    def cross_entropy(self, points: Tensor, joint: Tensor, which: Tensor) -> Tensor:
        """Return -Σ p ln q in nats, [m] float64; joint float64."""


def passes(device: torch.device) -> Passes:
    """Return the Triton passes where they compile and run on `device`, else the plain torch ones (some ten times
    slower).
    """
    from embcx_tui.compute import exact_torch

    if device.type != "cuda":
        return exact_torch
    try:
        from embcx_tui.compute import exact_triton

        exact_triton.cross_entropy(
            torch.zeros(1, 2, 8, device=device),
            torch.zeros(1, 8, 8, device=device, dtype=torch.float64),
            torch.zeros(1, device=device, dtype=torch.int64),
        )
    except (
        Exception
    ) as error:  # whatever a missing compiler, driver or package raises: the plain passes need none of them
        log.warning("Triton cannot be used here (%s: %s): plain torch instead", type(error).__name__, error)
        return exact_torch
    return exact_triton


def measure(
    layers: Sequence[NDArray[np.floating]],
    seeds: Sequence[int],
    measurement: "Measurement",
    should_stop: Callable[[], bool] = exact.never,
) -> "Generator[tuple[int, Complexity], None, None]":
    """Measure checked layers (see `complexity.measure`) in batches as large as the device's free memory allows.

    Layers of one number of rows share a batch. Out of memory all the same: the batch is halved, down to one layer.
    """
    device = torch.device(measurement.device)
    chosen = passes(device)
    for n in sorted({rows.shape[0] for rows in layers}):
        left = [index for index, rows in enumerate(layers) if rows.shape[0] == n]
        size = batch_size(device, n)
        while left:
            batch = left[:size]
            try:
                for index, complexity in _measure_batch(layers, seeds, batch, measurement, device, chosen, should_stop):
                    left.remove(index)
                    yield index, complexity
            except exact.Stopped:
                return
            except torch.OutOfMemoryError:
                if size == 1:
                    raise
                size = max(1, min(size, len(batch)) // 2)
                torch.cuda.empty_cache()
                log.warning("device memory is short: %d layers of %d rows at a time", size, n)


def batch_size(device: torch.device, n: int) -> int:
    """Return how many layers of n rows fit into half of the free memory: P in float64 and in float32 each, after 64
    bytes a pair for what comes and goes while one P is made.
    """
    from embcx_tui.compute.complexity import free_memory

    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_memory()
    return max(1, (free // 2 - 64 * n * n) // (12 * n * n))


def _measure_batch(
    layers: Sequence[NDArray[np.floating]],
    seeds: Sequence[int],
    batch: Sequence[int],
    measurement: "Measurement",
    device: torch.device,
    chosen: Passes,
    should_stop: Callable[[], bool],
) -> "Iterator[tuple[int, Complexity]]":
    """Yield (index, Complexity) of the layers named by `batch`, those without P first, then as they come to rest."""
    from embcx_tui.compute.complexity import assembled, unreachable

    indices: list[int] = []
    found: list[Neighbourhoods] = []
    entropies: list[float] = []
    joints: list[Tensor] = []
    begun: list[Tensor] = []
    for index in batch:
        if should_stop():
            raise exact.Stopped
        rows = torch.as_tensor(layers[index]).to(device=device, dtype=torch.float64)
        joint, facts = neighbourhoods(rows, measurement.perplexity)
        if joint is None:
            yield index, unreachable(facts, len(rows), "exact")
            continue
        indices.append(index)
        found.append(facts)
        joints.append(joint)
        entropies.append(-float(torch.xlogy(joint, joint).sum()))
        begun += [_start(rows, seeds[index], restart) for restart in range(measurement.restarts)]
    if not indices:
        return
    joint = torch.stack(joints)
    joints.clear()
    which = torch.arange(len(indices), device=device).repeat_interleave(measurement.restarts)
    rests: dict[int, dict[int, exact.Rest]] = {position: {} for position in range(len(indices))}
    entropy = torch.tensor(entropies, dtype=torch.float64, device=device)
    for member, rest in descend(joint, torch.stack(begun), which, entropy, measurement.descent, chosen, should_stop):
        position, restart = divmod(member, measurement.restarts)
        rests[position][restart] = rest
        if len(rests[position]) == measurement.restarts:
            done = [rest for _, rest in sorted(rests.pop(position).items())]
            yield indices[position], assembled(found[position], done, entropies[position], "exact")


def descend(
    joint: Tensor,
    starts: Tensor,
    which: Tensor,
    entropy: Tensor,
    descent: exact.Descent,
    chosen: Passes,
    should_stop: Callable[[], bool] = exact.never,
) -> Iterator[tuple[int, exact.Rest]]:
    """Yield (member, Rest) of m descents as they end; as `exact.descend`.

    joint [b, n, n] float64, starts [m, n, 2], which [m] (each member's P), entropy [b] float64 in nats.
    """
    n = joint.shape[1]
    joint32 = joint.float()
    points = starts.transpose(1, 2).float().contiguous()
    velocity = torch.zeros_like(points)
    gain = torch.ones_like(points)
    z = torch.full((len(points),), float(n) * (n - 1), device=points.device)
    members = torch.arange(len(points), device=points.device)
    kl = torch.full((len(points),), torch.inf, dtype=torch.float64, device=points.device)
    iterations = 0
    for position, phase in enumerate(descent.phases):
        final = position == len(descent.phases) - 1
        left = phase.iterations
        while left > 0 and len(members):
            if should_stop():
                raise exact.Stopped
            stretch = min(left, descent.window) if final else left
            chosen.descend(points, velocity, gain, z, joint32, which, stretch, phase, descent.least_gain)
            iterations += stretch
            left -= stretch
            if not final:
                continue
            before, kl = kl, chosen.cross_entropy(points, joint, which) - entropy[which]
            change = (before - kl).abs() / kl
            at_rest = (change < descent.tolerance) | (left == 0)
            if bool(at_rest.any()):
                ended = at_rest.nonzero()[:, 0]
                yield from _rests(members, points, kl, change, joint32, which, ended, iterations, descent.tolerance)
                moving = (~at_rest).nonzero()[:, 0]
                points, velocity, gain = points[moving], velocity[moving], gain[moving]
                z, kl, which, members = z[moving], kl[moving], which[moving], members[moving]


def _rests(
    members: Tensor,
    points: Tensor,
    kl: Tensor,
    change: Tensor,
    joint: Tensor,
    which: Tensor,
    ended: Tensor,
    iterations: int,
    tolerance: float,
) -> Iterator[tuple[int, exact.Rest]]:
    """Yield (member, Rest) for the entries `ended` of a batch."""
    for entry in ended.tolist():
        moved = float(change[entry])
        norm = gradient_norm(points[entry], joint[which[entry]])
        placed = points[entry].T.cpu().numpy().copy()
        yield int(members[entry]), exact.Rest(placed, float(kl[entry]), iterations, moved, norm, moved < tolerance)


def gradient_norm(points: Tensor, joint: Tensor) -> float:
    """Return the Euclidean norm of the KL's gradient at points [2, n] for joint [n, n] float32."""
    from embcx_tui.compute.exact_torch import forces

    n = points.shape[1]
    _, z = forces(points, joint, torch.tensor(float(n) * (n - 1), device=points.device))
    gradient, z = forces(points, joint, z)
    return float(4.0 / z * gradient.double().norm())


def _start(rows: Tensor, seed: int, restart: int) -> Tensor:
    """Return the start [n, 2] of a restart: `complexity.starts` on the device."""
    from embcx_tui.compute.complexity import restart_key

    if restart == 0:
        return principal_start(rows)
    return torch.from_numpy(random_start(len(rows), restart_key(seed, restart))).to(rows.device)


def principal_start(rows: Tensor) -> Tensor:
    """Return `embedding.principal_start` of rows [n, d] float64, to rounding, on their device; [n, 2] float32."""
    n, d = rows.shape
    centred = (rows - rows.mean(dim=0)).T
    largest = centred.abs().max()
    noise = torch.from_numpy(random_start(n, 0)).to(rows.device)
    if float(largest) == 0.0:
        return noise
    centred = centred / largest
    axes = torch.from_numpy(np.random.default_rng(0).standard_normal((2, d))).to(rows.device)
    for iteration in range(POWER_ITERATIONS + 1):
        first = axes[0] / axes[0].norm().clamp_min(1e-300)
        second = axes[1] - (axes[1] @ first) * first
        axes = torch.stack([first, second / second.norm().clamp_min(1e-300)])
        scores = axes @ centred
        if iteration < POWER_ITERATIONS:
            axes = scores @ centred.T
    loads = axes.gather(1, axes.abs().argmax(dim=1, keepdim=True))
    scores = scores * torch.where(loads < 0.0, -1.0, 1.0) * (START_SPREAD / scores[0].std(correction=0))
    return (scores.T + 0.01 * noise).float()


def neighbourhoods(rows: Tensor, perplexity: float) -> tuple[Tensor | None, Neighbourhoods]:
    """Return P [n, n] float64 on the device of rows [n, d] float64, and what `neighbourhoods.neighbourhoods` says but
    for P.

    Distances from differences, not from products, as there.
    """
    squared = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist").square()
    squared = 0.5 * (squared + squared.T)
    others = squared.clone()
    others.fill_diagonal_(torch.inf)
    nearest = others.amin(dim=1)
    length = rows.square().sum(dim=1).mean().sqrt()
    near_identical = bool(nearest.sqrt().median() <= NEAR_IDENTICAL * length)
    duplicates = int((nearest == 0.0).sum())
    conditional = calibrate((squared - nearest[:, None]).clamp_min(0.0), perplexity)
    joint = None if conditional is None else (conditional + conditional.T) / (2.0 * len(rows))
    placeholder: Any = None if joint is None else _ELSEWHERE
    return joint, Neighbourhoods(placeholder, duplicates, near_identical)


# Stands for a P that exists and lies on the device: `Neighbourhoods.degenerate` asks only whether there is one.
_ELSEWHERE: NDArray[np.float64] = np.empty((0, 0))


def calibrate(distance: Tensor, perplexity: float) -> Tensor | None:
    """Return p_j|i [n, n] from squared distances [n, n] less each row's nearest; None where a row cannot reach the
    perplexity.

    `neighbourhoods.calibrate` with all rows at once: Newton on ln beta inside a bracket; a row that is done stays as it
    is.
    """
    n = len(distance)
    ties = (distance == 0.0).sum(dim=1) - 1  # less the row itself
    if bool((ties >= perplexity).any()):
        return None
    wanted = float(np.log(perplexity))
    log_beta = -distance.mean(dim=1).log()
    low = torch.full_like(log_beta, -torch.inf)
    high = torch.full_like(log_beta, torch.inf)
    last = torch.full_like(log_beta, torch.inf)
    for _ in range(MAX_STEPS):
        beta = log_beta.exp()
        weight = torch.exp(-beta[:, None] * distance)
        mass = weight.sum(dim=1) - 1.0
        mean = (weight * distance).sum(dim=1) / mass
        spread = (weight * distance.square()).sum(dim=1) / mass - mean.square()
        error = mass.log() + beta * mean - wanted
        done = error.abs() < ENTROPY_TOLERANCE
        if bool(done.all()):
            break
        low = torch.where(error > 0.0, log_beta, low)
        high = torch.where(error > 0.0, high, log_beta)
        slope = beta.square() * spread.clamp_min(0.0)
        step = torch.nan_to_num(error / slope, nan=torch.inf)
        bracketed = low.isfinite() & high.isfinite()
        sound = (log_beta + step > low) & (log_beta + step < high) & (step.abs() <= 0.5 * last.abs())
        step = torch.where(bracketed, torch.where(sound, step, 0.5 * (low + high) - log_beta), step.clamp(-3.0, 3.0))
        log_beta = torch.where(done, log_beta, log_beta + step)
        last = step
    if not bool((error.abs() < ENTROPY_ACCEPTED).all()):
        return None
    conditional = weight / mass[:, None]
    return conditional.fill_diagonal_(0.0) if n else conditional
