"""Gradient descent of exact t-SNE on one CPU core: points move in float32, the KL divergence is computed in float64.

One iteration, from the outside in: `search` or `descend` (starts, phases, convergence), `iterate` (gains, momentum,
the move), `forces` (the gradient, one pass over all pairs).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from embcx_tui.compute.array_types import Float32Array, FloatArray, Points, Real
from embcx_tui.compute.jit.llvm_builder import FLAGS, INDEX, VectorBuilder, has_avx512, unpack_arrays
from embcx_tui.compute.jit.numba_cache import compiled
from embcx_tui.compute.timing import timed_part
from embcx_tui.compute.tsne.kl_divergence import entropy, exact_kl
from embcx_tui.compute.tsne.schedule import (
    DEFAULT_SCHEDULE,
    GAIN_DECAY,
    GAIN_INCREASE,
    MEASURE_Z,
    DescentResult,
    Phase,
    Schedule,
    Stopped,
    never,
)

_TWO = np.float32(2)
_ZERO = np.float32(0)
_GAIN_INCREASE = np.float32(GAIN_INCREASE)
_GAIN_DECAY = np.float32(GAIN_DECAY)

# The number of points is padded to a multiple of this, so that a pass works on whole vectors only.
TILE = 16
# Where padding stands: w is 1e-12 and less there, which no float32 sum notices, and nothing underflows, which costs
# time. Points of an embedding lie within some hundreds.
_FAR = np.float32(1e6)
# Rows that `forces` takes at a time: the columns' points are then loaded and their gradients stored once for four
# pairs. The sums and coordinates of four rows take 17 registers.
_ROWS = 4


@timed_part("descent and score")
def descend(
    joint: FloatArray,
    start: Points,
    schedule: Schedule = DEFAULT_SCHEDULE,
    joint_entropy: float | None = None,
    should_stop: Callable[[], bool] = never,
) -> DescentResult:
    """Minimise KL(P‖Q) over the points of an embedding; the result depends on P, start and schedule alone.

    Parameters
    ----------
    joint: P [n, n], the joint probabilities: sum 1, symmetric, zero diagonal.
    start: the initial points [n, 2].
    schedule: phases, gains and the test of convergence; its `search` is not used.
    joint_entropy: the entropy of P in nats, where the caller has it.
    should_stop: asked before every stretch of the schedule (50 iterations of 1,000 points take 7 ms).

    Raises
    ------
    Stopped: should_stop() was true.
    """
    return descend_layer(WholeLayer(joint, schedule, joint_entropy, should_stop), start)


def descend_layer(layer: Layer, start: Points) -> DescentResult:
    """Descend from one start through all phases."""
    descent = layer.begin(start)
    for phase in layer.schedule.phases[:-1]:
        descent.advance(phase, phase.iterations)
    return descent.settle()


class Layer(Protocol):
    """What the descents of one layer share, besides its P."""

    schedule: Schedule
    should_stop: Callable[[], bool]
    spent: int
    """Iterations that all descents have taken together."""

    def begin(self, start: Points) -> Descent:
        """Return a descent from start [n, 2]."""


class WholeLayer:
    """A layer whose P is held whole."""

    def __init__(
        self,
        joint: FloatArray,
        schedule: Schedule,
        joint_entropy: float | None,
        should_stop: Callable[[], bool],
    ) -> None:
        self.joint, self.joint32 = joint, pad_matrix(joint)
        self.entropy = entropy(joint) if joint_entropy is None else joint_entropy
        self.schedule, self.should_stop = schedule, should_stop
        self.spent = 0

    def begin(self, start: Points) -> Descent:
        return WholeDescent(self, start)


class Descent(ABC):
    """One descent under way: its points, velocities and gains; `kl` is that of the last `score`, in nats."""

    def __init__(self, layer: Layer, start: Points) -> None:
        self._layer = layer
        self._n = n = len(start)
        self._points = pad_points(start.T)
        self._velocity = np.zeros((2, n), np.float32)
        self._gain = np.ones_like(self._velocity)
        self._z = float(n) * (n - 1)  # all w are 1 at the scale of the start
        self._iterations = 0
        self.kl = self._change = np.inf

    def advance(self, phase: Phase, iterations: int) -> None:
        """Take `iterations` steps with the settings of a phase; raises Stopped."""
        if self._layer.should_stop():
            raise Stopped
        self._z = self._iterate(phase, iterations)
        self._iterations += iterations
        self._layer.spent += iterations

    def find_z(self) -> None:
        """Compute Z of a start that is not small, without a step."""
        spent = self._layer.spent
        self.advance(MEASURE_Z, 1)
        self._gain[:] = 1.0
        self._iterations, self._layer.spent = 0, spent

    def score(self) -> None:
        """Compute the exact KL divergence, and how far it is from the one before."""
        previous, self.kl = self.kl, self._score()
        self._change = abs(previous - self.kl) / self.kl

    def settle(self) -> DescentResult:
        """Go on in the last phase, window by window, until the KL divergence has converged or the cap is reached."""
        schedule = self._layer.schedule
        while self._iterations < schedule.max_iterations:
            self.advance(schedule.phases[-1], min(schedule.window, schedule.max_iterations - self._iterations))
            self.score()
            if self._change < schedule.tolerance:
                break
        self.kl, norm = self._final()
        converged = self._change < schedule.tolerance
        points = self._points[:, : self._n].T.copy()
        return DescentResult(
            points, self.kl, self._iterations, self._change, norm, converged, spent=self._layer.spent
        )  # fmt: skip

    @abstractmethod
    def _iterate(self, phase: Phase, iterations: int) -> float:
        """Take `iterations` steps in place; return the last Z."""

    @abstractmethod
    def _score(self) -> float:
        """Return the KL divergence of the points in nats."""

    @abstractmethod
    def _final(self) -> tuple[float, float]:
        """Return the exact KL divergence of the points (nats), where they end, and the norm of its gradient."""


class WholeDescent(Descent):
    """A descent of a layer whose P is held whole."""

    def __init__(self, layer: WholeLayer, start: Points) -> None:
        super().__init__(layer, start)
        self._whole = layer

    def _iterate(self, phase: Phase, iterations: int) -> float:
        return float(
            iterate(
                self._points, self._velocity, self._gain, self._whole.joint32, np.float32(self._z), iterations,
                np.float32(phase.exaggeration), np.float32(phase.learning_rate * self._n), np.float32(phase.momentum),
                np.float32(self._whole.schedule.min_gain),
            )
        )  # fmt: skip

    def _score(self) -> float:
        return exact_kl(self._whole.joint, self._points[:, : self._n].T, self._whole.entropy)

    def _final(self) -> tuple[float, float]:
        return self.kl, _gradient_norm(self._whole.joint32, self._points, self._n)


def gradient_norm(joint: NDArray[np.floating], points: NDArray[np.floating]) -> float:
    """Return the Euclidean norm of the gradient of KL(P‖Q) (not a quarter of it) at points [2, n], in float32."""
    return _gradient_norm(pad_matrix(joint), pad_points(points), points.shape[1])


def _gradient_norm(joint: Float32Array, points: Float32Array, n: int) -> float:
    gradient = np.empty_like(points)
    z = forces(points, joint, np.float32(n * (n - 1)), gradient)
    z = forces(points, joint, np.float32(z), gradient)
    return float(4.0 / z * np.linalg.norm(gradient[:, :n].astype(np.float64)))


def pad_points(points: NDArray[np.floating]) -> Float32Array:
    """Return points [2, n] as float32 [2, m], m the next multiple of TILE; the padding stands far off, and apart."""
    n = points.shape[1]
    padded = np.empty((2, -(-n // TILE) * TILE), np.float32)
    padded[:, :n] = points
    padded[:, n:] = _FAR * np.arange(1, padded.shape[1] - n + 1, dtype=np.float32)
    return padded


def pad_matrix(joint: NDArray[np.floating]) -> Float32Array:
    """Return joint probabilities [n, n] as float32 [m, m], 0 in the padding."""
    n = len(joint)
    m = -(-n // TILE) * TILE
    padded = np.zeros((m, m), np.float32)
    padded[:n, :n] = joint
    return padded


@compiled(fastmath=True)
def iterate(
    points: Float32Array, velocity: Float32Array, gain: Float32Array, joint: Float32Array, z: Real,
    iterations: int, exaggeration: Real, learning_rate: Real, momentum: Real, min_gain: Real,
) -> Real:  # fmt: skip
    """Take `iterations` steps of gradient descent with momentum and gains, in place; return the last Z.

    Parameters
    ----------
    points: [2, m], from `pad_points`; the padding stays where it is.
    velocity, gain: [2, n], the state between calls.
    joint: [m, m], from `pad_matrix`.
    z: the last Z = Σ w, over ordered pairs.
    exaggeration: factor on P.
    learning_rate: factor on a quarter of the gradient.
    """
    n = velocity.shape[1]
    gradient = np.empty_like(points)
    for _ in range(iterations):
        rate = learning_rate / z
        z = forces(points, joint, exaggeration * z, gradient)
        for axis in range(2):
            move(
                points[axis, :n], velocity[axis], gain[axis], gradient[axis, :n], rate, momentum, min_gain
            )  # fmt: skip
    return z


@compiled(fastmath=True)
def move(
    position: Float32Array, velocity: Float32Array, gain: Float32Array, gradient: Float32Array,
    rate: Real, momentum: Real, min_gain: Real,
) -> None:  # fmt: skip
    """Move one coordinate of all points [n] by momentum and gains."""
    for i in range(position.size):
        keeps_direction = gradient[i] * velocity[i] < _ZERO
        gain[i] = max(gain[i] + _GAIN_INCREASE if keeps_direction else gain[i] * _GAIN_DECAY, min_gain)
        velocity[i] = momentum * velocity[i] - rate * gain[i] * gradient[i]
        position[i] += velocity[i]


@compiled()
def forces(points: Float32Array, joint: Float32Array, scale: Real, gradient: Float32Array) -> Real:
    """Compute the gradient in one pass over the pairs; return Z, the sum of w over ordered pairs.

    Writes Σ_j (scale·p_ij - w_ij)·w_ij·(y_i - y_j) to `gradient` [2, m], with w_ij = 1 / (1 + |y_i - y_j|²): attraction
    less repulsion. With scale = Z it is Z / 4 of the gradient of KL(P‖Q) (van der Maaten & Hinton 2008, eq. 5), and
    early exaggeration multiplies scale. `iterate` takes Z from the pass before, so that attraction and repulsion share
    one pass and two sums per point instead of four; the stationary points are the same.

    points [2, m] are from `pad_points`, joint [m, m] from `pad_matrix`.
    """
    gradient[:] = _ZERO
    total: Real = _pair_forces(points[0], points[1], joint, np.float32(scale), gradient[0], gradient[1])
    return _TWO * total


class _PairForces(VectorBuilder):
    """Writes the loop over pairs of `forces` in LLVM's own code, with explicit vectors of L = 16 or 8 float32:

        for i in 0, 4, 8, … m - 4:                     # four rows at a time
            for j in i - i % L, … m - L, step L:       # L columns at a time, each pair once
                for row in i … i + 3:
                    d = y[row] - y[j : j + L]
                    w = 1 / (1 + d·d), 0 where column <= row
                    f = (scale · p[row, j : j + L] - w) · w
                    row sums [row]   += f · d          # in registers, until the row ends
                    gradient[j : j + L] -= f · d       # loaded and stored once for four rows
                    total += w
            gradient[i … i + 3] += row sums

    numba's own code for these loops takes 0.124 ms for 1,000 points, this takes 0.104 (0.016 and 0.008 for 250): numba
    checks for overlapping arrays, adds up registers for each four rows, and takes columns that fill no vector one by
    one.
    """

    def __init__(self, builder: Any, x: Any, y: Any, joint: Any, scale: Any, gx: Any, gy: Any) -> None:
        super().__init__(builder)
        self._lanes = 16 if has_avx512() else 8
        self._count = builder.extract_value(x.shape, 0)
        self._x, self._y, self._joint, self._gx, self._gy = (array.data for array in (x, y, joint, gx, gy))
        self._scale = self.spread(scale, self._lanes)
        self._zero, self._one = (self.constant(self._lanes, value) for value in (0.0, 1.0))

    def write(self) -> Any:
        """Write the loop over the rows; return the sum of w, each pair once."""
        _, (total,) = self.loop(INDEX(0), _ROWS, self._count, [self._zero], self._four_rows)
        return self.sum(total)

    def _four_rows(self, i: Any, carried: list[Any]) -> list[Any]:
        """Write the loop over the columns of rows i … i + 3."""
        b, lanes = self.builder, self._lanes
        rows = [b.add(i, INDEX(number)) for number in range(_ROWS)]
        row_points = [[self.spread(self.at(axis, row), lanes) for row in rows] for axis in (self._x, self._y)]
        # In the vector that holds these rows themselves only the columns after a row count.
        first = b.and_(i, INDEX(-lanes))
        columns = self.numbered(lanes)
        masks = [b.icmp_signed(">", columns, self.spread(b.sub(row, first), lanes)) for row in rows]
        sums = self._pairs(rows, row_points, masks, first, [self._zero] * (2 * _ROWS) + carried)
        start = b.add(first, INDEX(lanes))
        _, sums = self.loop(
            start, lanes, self._count, sums, lambda j, sums: self._pairs(rows, row_points, [None] * _ROWS, j, sums)
        )
        for index, row_sum in enumerate(sums[:-1]):
            target = b.gep((self._gx, self._gy)[index // _ROWS], [rows[index % _ROWS]])
            b.store(b.fadd(b.load(target), self.sum(row_sum)), target)
        return sums[-1:]

    def _pairs(
        self, rows: list[Any], row_points: list[list[Any]], masks: list[Any], j: Any, sums: list[Any]
    ) -> list[Any]:
        """Write the pairs of four rows and the columns from j on; return the sums: four per axis, and that of w."""
        b, lanes = self.builder, self._lanes
        column_points = [self.load(axis, j, lanes) for axis in (self._x, self._y)]
        column_gradients = [self.load(axis, j, lanes) for axis in (self._gx, self._gy)]
        sums = list(sums)
        for number, row in enumerate(rows):
            dx, dy = (b.fsub(mine[number], column) for mine, column in zip(row_points, column_points, strict=True))
            # "fast" allows an estimate of 1 / d and one Newton step.
            d = self.add_product(self.add_product(self._one, dx, dx), dy, dy)
            w = b.fdiv(self._one, d, ("fast",))
            if masks[number] is not None:
                w = b.select(masks[number], w, self._zero)
            p = self.load(self._joint, b.add(b.mul(row, self._count), j), lanes)
            force = b.fmul(b.fsub(b.fmul(self._scale, p, FLAGS), w, FLAGS), w, FLAGS)
            for axis, delta in enumerate((dx, dy)):
                sums[axis * _ROWS + number] = self.add_product(sums[axis * _ROWS + number], force, delta)
                column_gradients[axis] = b.fsub(column_gradients[axis], b.fmul(force, delta, FLAGS), FLAGS)
            sums[-1] = b.fadd(sums[-1], w, FLAGS)
        for axis, value in zip((self._gx, self._gy), column_gradients, strict=True):
            self.store(value, axis, j)
        return sums


def _write_pair_forces(
    typing: Any, x: Any, y: Any, joint: Any, scale: Any, gx: Any, gy: Any
) -> tuple[Any, Callable[[Any, Any, Any, Any], Any]]:
    """Have numba put the code of `_PairForces` where `forces` calls this."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _PairForces(builder, *unpack_arrays(context, builder, signature, arguments)).write()

    return types.float32(x, y, joint, types.float32, gx, gy), generate


_pair_forces: Any = intrinsic(_write_pair_forces)  # called without `typing`, which numba adds
