"""Descents that run side by side on a torch device: their state, and what advances, scores and ends them.

`descent_gpu` and `start_search_gpu` say which descents run; these know nothing of layers, only which P a descent has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from embcx_tui.compute.tsne.schedule import MEASURE_Z, DescentResult, Phase, Schedule, Stopped


class DescentKernels(Protocol):
    """The passes of the descent over all pairs. Two implementations: `kernels_torch` and `descent_triton`.

    points, velocity, gain [m, 2, n] float32; joint [b, n, n]; p_index [m]: which P each of the m restarts has.
    """

    def iterate(
        self,
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
        """Advance points, velocity, gain and z [m] by `iterations`, in place; joint float32."""

    def cross_entropy(self, points: Tensor, joint: Tensor, p_index: Tensor) -> Tensor:
        """Return -Σ p ln q in nats, [m] float64; joint float64."""

    def gradient_norms(self, points: Tensor, joint: Tensor, p_index: Tensor) -> Tensor:
        """Return the Euclidean norms of the gradient of the KL divergence, [m] float64; joint float32."""


@dataclass(slots=True)
class Restarts:
    """The state of m descents that run side by side on a device."""

    index: list[int]
    """Their numbers in the batch, from 0."""
    p_index: Tensor
    entropy: Tensor
    points: Tensor
    velocity: Tensor
    gain: Tensor
    z: Tensor
    kl: Tensor

    @classmethod
    def begin(cls, start: Tensor, p_index: Tensor, entropy: Tensor) -> Restarts:
        """Return descents that begin at start [m, n, 2]."""
        points = start.transpose(1, 2).float().contiguous()
        n = points.shape[2]
        z = torch.full((len(points),), float(n) * (n - 1), device=points.device)
        still, ones = torch.zeros_like(points), torch.ones_like(points)
        return cls(
            list(range(len(points))), p_index, entropy, points, still, ones, z, torch.full_like(entropy, torch.inf)
        )

    def keep(self, positions: list[int]) -> None:
        """Take all but `positions` out."""
        kept = torch.tensor(positions, dtype=torch.int64, device=self.z.device)
        self.index = [self.index[position] for position in positions]
        self.p_index, self.entropy, self.kl = self.p_index[kept], self.entropy[kept], self.kl[kept]
        self.points, self.velocity, self.gain = self.points[kept], self.velocity[kept], self.gain[kept]
        self.z = self.z[kept]

    def replace(self, row: int, other: Restarts, position: int) -> None:
        """Put descent `position` of `other` in the place of `row`."""
        for name in ("points", "velocity", "gain", "z", "kl"):
            getattr(self, name)[row] = getattr(other, name)[position]


class Device:
    """Advances and scores descents: what they share is the P of their batch, the schedule and the kernels."""

    def __init__(
        self, joint: Tensor, schedule: Schedule, kernels: DescentKernels, should_stop: Callable[[], bool]
    ) -> None:
        self.joint, self.joint32, self.schedule = joint, joint.float(), schedule
        self._kernels, self._should_stop = kernels, should_stop

    def advance(self, state: Restarts, phase: Phase, iterations: int) -> None:
        """Take `iterations` steps with the settings of a phase; raises Stopped."""
        if self._should_stop():
            raise Stopped
        self._kernels.iterate(
            state.points, state.velocity, state.gain, state.z, self.joint32, state.p_index, iterations, phase,
            self.schedule.min_gain,
        )  # fmt: skip

    def find_z(self, state: Restarts) -> None:
        """Compute Z of starts that are not small, without a step."""
        self.advance(state, MEASURE_Z, 1)
        state.gain.fill_(1.0)

    def score(self, state: Restarts) -> Tensor:
        """Compute the exact KL divergences; return how far each is from the one before, relative [m]."""
        previous = state.kl
        state.kl = self._kernels.cross_entropy(state.points, self.joint, state.p_index) - state.entropy
        return (previous - state.kl).abs() / state.kl

    def norms(self, state: Restarts, rows: Tensor) -> Tensor:
        """Return the Euclidean norms of the gradient of descents `rows`."""
        return self._kernels.gradient_norms(state.points[rows], self.joint32, state.p_index[rows])

    def settle(self, state: Restarts, iterations: int) -> Iterator[tuple[int, DescentResult]]:
        """Go on in the last phase, window by window; yield (number, result) of descents as they converge."""
        schedule = self.schedule
        finished: list[tuple[int, DescentResult]] = []
        while state.index:
            count = min(schedule.window, schedule.max_iterations - iterations)
            try:
                self.advance(state, schedule.phases[-1], count)
            except Stopped:
                yield from finished
                raise
            iterations += count
            change = self.score(state)
            yield from finished
            finished = take_finished(self, state, change, iterations)
        yield from finished


def lowest(values: Sequence[float], size: int, count: int) -> list[int]:
    """Return the positions of the `count` lowest of every `size` consecutive values, in order."""
    groups = (range(first, first + size) for first in range(0, len(values), size))
    return [position for group in groups for position in sorted(group, key=values.__getitem__)[:count]]


def take_finished(device: Device, state: Restarts, change: Tensor, iterations: int) -> list[tuple[int, DescentResult]]:
    """Take the restarts that have converged or reached the cap out of `state`; return their numbers and results.

    change [m] is the relative change of the KL divergence over the last window.
    """
    schedule = device.schedule
    at_cap = iterations == schedule.max_iterations
    ends = [at_cap or value < schedule.tolerance for value in change.tolist()]
    ended = [position for position, has_ended in enumerate(ends) if has_ended]
    if not ended:
        return []
    numbers = [state.index[position] for position in ended]
    out = torch.tensor(ended, dtype=torch.int64, device=state.z.device)
    norms = device.norms(state, out)
    points = state.points[out].transpose(1, 2).cpu().numpy()
    values = torch.stack([state.kl[out], change[out], norms], dim=1).tolist()
    state.keep([position for position, has_ended in enumerate(ends) if not has_ended])
    return [
        (number, DescentResult(of_one, kl, iterations, moved, norm, moved < schedule.tolerance))
        for number, of_one, (kl, moved, norm) in zip(numbers, points, values, strict=True)
    ]
