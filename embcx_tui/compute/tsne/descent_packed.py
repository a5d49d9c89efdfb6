"""Gradient descent of exact t-SNE for one large layer on several cores: `descent_cpu`'s, with P packed
(`packed_affinities`) and never held whole.

A pass is made of PARTS parts, whose sums are added in order: any number of threads gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.array_types import Float32Array, FloatArray, Points, Real
from embcx_tui.compute.jit.numba_cache import compiled
from embcx_tui.compute.timing import timed_part
from embcx_tui.compute.tsne.affinities_blocks import BLOCK, RowAffinities
from embcx_tui.compute.tsne.descent_cpu import Descent, move, pad_points
from embcx_tui.compute.tsne.kl_divergence import row_sums
from embcx_tui.compute.tsne.packed_affinities import LANES, PARTS, PackedAffinities, block_entropy, packed_score
from embcx_tui.compute.tsne.packed_pass import add_parts, part_forces
from embcx_tui.compute.tsne.schedule import Phase, Schedule
from embcx_tui.compute.tsne.team import Team


class PackedLayer:
    """What the descents of one large layer share."""

    def __init__(
        self,
        affinities: RowAffinities,
        packed: PackedAffinities,
        team: Team,
        schedule: Schedule,
        should_stop: Callable[[], bool],
    ) -> None:
        self.affinities, self.packed, self.team = affinities, packed, team
        self.schedule, self.should_stop = schedule, should_stop
        self.entropy = packed.entropy
        self.spent = 0

    def begin(self, start: Points) -> PackedDescent:
        """Return a descent from start [n, 2]."""
        return PackedDescent(self, start)


class PackedDescent(Descent):
    """One descent of a large layer; its `kl` on the way is that of the packed P, the one that it ends with is exact."""

    def __init__(self, layer: PackedLayer, start: Points) -> None:
        super().__init__(layer, start)
        self._large = layer
        self._gradient = np.empty_like(self._points)
        self._parts = np.empty((PARTS, *self._points.shape), np.float32)

    def _iterate(self, phase: Phase, iterations: int) -> float:
        z = np.float32(self._z)
        for _ in range(iterations):
            rate = np.float32(phase.learning_rate * self._n) / z
            z = np.float32(
                _forces(self._large, self._points, np.float32(phase.exaggeration) * z, self._parts, self._gradient)
            )
            _move(
                self._points, self._velocity, self._gain, self._gradient, rate, np.float32(phase.momentum),
                np.float32(self._large.schedule.min_gain),
            )  # fmt: skip
        return float(z)

    def _score(self) -> float:
        packed = self._large.packed
        x, y = self._points.astype(np.float64)
        sums = np.empty((PARTS, 2))

        def part(number: int) -> None:
            first, last = packed.parts[number : number + 2]
            sums[number] = packed_score(packed.words, packed.starts, LANES, x, y, first, last, packed.n)

        self._large.team.run(part, PARTS)
        cross, total = sums.sum(axis=0)
        # Rounding leaves the entries a sum that is not quite 1.
        return float(cross / packed.mass + np.log(2.0 * total)) - packed.entropy

    def _final(self) -> tuple[float, float]:
        """Return the exact KL divergence (nats) and the norm of its gradient."""
        layer = self._large
        kl = exact_kl_in_blocks(layer.affinities, self._points[:, : self._n].T, layer.team)
        return kl, _norm(layer, self._points, self._n)


def _forces(
    layer: PackedLayer, points: Float32Array, scale: Real, parts: Float32Array, gradient: Float32Array
) -> float:
    """Compute the gradient as `descent_cpu.forces`, in parts; return Z."""
    packed = layer.packed
    totals = np.empty(PARTS)

    def part(number: int) -> None:
        first, last = packed.parts[number : number + 2]
        totals[number] = part_forces(
            points, packed.words, first, last, packed.starts[first // 4], scale, parts[number]
        )  # fmt: skip

    layer.team.run(part, PARTS)
    add_parts(parts, packed.parts[:-1], gradient)
    return float(2.0 * totals.sum())


def _norm(layer: PackedLayer, points: Float32Array, n: int) -> float:
    gradient = np.empty_like(points)
    parts = np.empty((PARTS, *points.shape), np.float32)
    z = _forces(layer, points, np.float32(n * (n - 1)), parts, gradient)
    z = _forces(layer, points, np.float32(z), parts, gradient)
    return float(4.0 / z * np.linalg.norm(gradient[:, :n].astype(np.float64)))


@compiled(fastmath=True)
def _move(
    points: Float32Array, velocity: Float32Array, gain: Float32Array, gradient: Float32Array,
    rate: Real, momentum: Real, min_gain: Real,
) -> None:  # fmt: skip
    n = velocity.shape[1]
    for axis in range(2):
        move(points[axis, :n], velocity[axis], gain[axis], gradient[axis, :n], rate, momentum, min_gain)


@compiled()
def _block_score(joint: FloatArray, x: FloatArray, y: FloatArray, first: int) -> tuple[float, float]:
    """Return the sums of p·ln(1 + distance²) and of 1 / (1 + distance²) over the pairs i < j of a block of P."""
    cross = 0.0
    total = 0.0
    for r in range(joint.shape[0]):
        i = first + r
        row_cross, row_total = row_sums(x[i + 1 :], y[i + 1 :], joint[r, r + 1 :], x[i], y[i])
        cross += row_cross
        total += row_total
    return cross, total


@timed_part("descent and score")
def exact_kl_in_blocks(affinities: RowAffinities, points: NDArray[np.floating], team: Team) -> float:
    """Return KL(P‖Q) in nats for points [n, 2], as `exact_kl`: all of P in float64, computed again block by block."""
    x, y = np.ascontiguousarray(np.asarray(points).T, dtype=np.float64)
    blocks = -(-affinities.n // BLOCK)
    sums = np.empty((blocks, 3))

    def score(number: int) -> None:
        joint = affinities.block(number * BLOCK, BLOCK)
        sums[number] = *_block_score(joint, x, y, number * BLOCK), block_entropy(joint)

    team.run(score, blocks)
    cross, total, entropy = sums.sum(axis=0)
    return float(2.0 * cross + np.log(2.0 * total)) - float(entropy)


def packed_gradient_norm(layer: PackedLayer, points: NDArray[np.floating]) -> float:
    """Return the Euclidean norm of the gradient of KL(P‖Q) at points [n, 2], as `descent_cpu.gradient_norm`."""
    return _norm(layer, pad_points(points.T), len(points))
