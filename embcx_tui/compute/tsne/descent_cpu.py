"""The inner loops of exact t-SNE on a CPU: one set, one core, one pass over the pairs an iteration. float32 moves,
float64 scores.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from embcx_tui.compute.kernels.llvm_builder import FLAGS, INDEX, Vectors, arrays, wide
from embcx_tui.compute.kernels.numba_cache import compiled

Float32Array: TypeAlias = NDArray[np.float32]
FloatArray: TypeAlias = NDArray[np.float64]
Real: TypeAlias = float | np.float32  # float32 where a kernel is called: it compiles for what it is given

_TWO = np.float32(2)
_ZERO = np.float32(0)
_GAIN_UP = np.float32(0.2)  # Jacobs 1988, as in van der Maaten's t-SNE: added while the step keeps its direction
_GAIN_DOWN = np.float32(0.8)  # multiplied when it turns


# Points of a pass come in tiles of so many; `pad_points` fills the last one.
TILE = 16
# Where a ghost stands: w is 1e-12 and less there, which no sum of float32 notices, and nothing underflows, which costs
# time. Points of an embedding lie within some hundreds.
_FAR = np.float32(1e6)
# Rows at a time: the points behind them are then loaded and their gradients stored once for four pairs. Their sums and
# coordinates take 17 registers.
_ROWS = 4


def pad_points(points: NDArray[np.floating]) -> Float32Array:
    """Return points [2, n] as float32 [2, m], m the next multiple of TILE; the ghosts stand far off, and apart."""
    n = points.shape[1]
    found = np.empty((2, -(-n // TILE) * TILE), np.float32)
    found[:, :n] = points
    found[:, n:] = _FAR * np.arange(1, found.shape[1] - n + 1, dtype=np.float32)
    return found


def pad_matrix(joint: NDArray[np.floating]) -> Float32Array:
    """Return joint probabilities [n, n] as float32 [m, m], 0 for ghosts."""
    n = len(joint)
    m = -(-n // TILE) * TILE
    found = np.zeros((m, m), np.float32)
    found[:n, :n] = joint
    return found


def _passing(
    typing: Any, x: Any, y: Any, joint: Any, scale: Any, gx: Any, gy: Any
) -> tuple[Any, Callable[[Any, Any, Any, Any], Any]]:
    """Add to (gx, gy) [m] what `forces` says, at (x, y) [m]; return the sum of w over pairs."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _Pass(builder, *arrays(context, builder, signature, arguments)).write()

    return types.float32(x, y, joint, types.float32, gx, gy), generate


_pass: Any = intrinsic(_passing)  # called without `typing`, which is numba's


class _Pass(Vectors):
    """The code of a pass: each pair once for both its points, four rows and a vector of columns at a time.

    numba's own takes 0.124 ms for 1,000 points where this takes 0.104 (0.016 and 0.008 for 250): it checks for overlaps
    and adds up registers for each four rows, and takes the columns that fill no vector one by one.
    """

    def __init__(self, builder: Any, x: Any, y: Any, joint: Any, scale: Any, gx: Any, gy: Any) -> None:
        super().__init__(builder)
        self._lanes = 16 if wide() else 8
        self._count = builder.extract_value(x.shape, 0)
        self._x, self._y, self._joint, self._gx, self._gy = (one.data for one in (x, y, joint, gx, gy))
        self._scale = self.spread(scale, self._lanes)
        self._zero, self._one = (self.constant(self._lanes, value) for value in (0.0, 1.0))

    def write(self) -> Any:
        _, (total,) = self.loop(INDEX(0), _ROWS, self._count, [self._zero], self._four_rows)
        return self.sum(total)

    def _four_rows(self, i: Any, carried: list[Any]) -> list[Any]:
        b, lanes = self.builder, self._lanes
        rows = [b.add(i, INDEX(number)) for number in range(_ROWS)]
        here = [[self.spread(self.at(axis, row), lanes) for row in rows] for axis in (self._x, self._y)]
        # The vector that holds these rows themselves: what is not after a row is left out.
        first = b.and_(i, INDEX(-lanes))
        places = self.numbered(lanes)
        after = [b.icmp_signed(">", places, self.spread(b.sub(row, first), lanes)) for row in rows]
        sums = self._columns(rows, here, after, first, [self._zero] * (2 * _ROWS) + carried)
        start = b.add(first, INDEX(lanes))
        _, sums = self.loop(
            start, lanes, self._count, sums, lambda j, now: self._columns(rows, here, [None] * _ROWS, j, now)
        )
        for place, one in enumerate(sums[:-1]):
            at = b.gep((self._gx, self._gy)[place // _ROWS], [rows[place % _ROWS]])
            b.store(b.fadd(b.load(at), self.sum(one)), at)
        return sums[-1:]

    def _columns(self, rows: list[Any], here: list[list[Any]], after: list[Any], j: Any, sums: list[Any]) -> list[Any]:
        """Write the pairs of four rows and the columns from j on; return their sums: four of each axis, and of w."""
        b, lanes = self.builder, self._lanes
        there = [self.load(axis, j, lanes) for axis in (self._x, self._y)]
        back = [self.load(axis, j, lanes) for axis in (self._gx, self._gy)]
        sums = list(sums)
        for number, row in enumerate(rows):
            dx, dy = (b.fsub(mine[number], other) for mine, other in zip(here, there, strict=True))
            # By an estimate of 1 / d and a step of Newton's, which "fast" allows.
            d = self.add_product(self.add_product(self._one, dx, dx), dy, dy)
            w = b.fdiv(self._one, d, ("fast",))
            if after[number] is not None:
                w = b.select(after[number], w, self._zero)
            p = self.load(self._joint, b.add(b.mul(row, self._count), j), lanes)
            force = b.fmul(b.fsub(b.fmul(self._scale, p, FLAGS), w, FLAGS), w, FLAGS)
            for axis, delta in enumerate((dx, dy)):
                sums[axis * _ROWS + number] = self.add_product(sums[axis * _ROWS + number], force, delta)
                back[axis] = b.fsub(back[axis], b.fmul(force, delta, FLAGS), FLAGS)
            sums[-1] = b.fadd(sums[-1], w, FLAGS)
        for axis, value in zip((self._gx, self._gy), back, strict=True):
            self.store(value, axis, j)
        return sums


@compiled()
def forces(points: Float32Array, joint: Float32Array, scale: Real, gradient: Float32Array) -> Real:
    """Write to `gradient` [2, m] the sums over j of (scale·p_ij - w_ij)·w_ij·(y_i - y_j) at `points` [2, m]; return Z,
    the sum of w = 1 / (1 + distance²) over ordered pairs.

    `points` are `pad_points`, `joint` [m, m] is `pad_matrix`. With scale = Z these are Z / 4 of the gradient (van der
    Maaten & Hinton 2008, eq. 5); early exaggeration multiplies scale. Where `scale` takes Z from the pass before, one
    pass and two sums a point are enough instead of four, and a resting point is the same.
    """
    gradient[:] = _ZERO
    total: Real = _pass(points[0], points[1], joint, np.float32(scale), gradient[0], gradient[1])
    return _TWO * total


@compiled(fastmath=True)
def _move(
    position: Float32Array, velocity: Float32Array, gain: Float32Array, gradient: Float32Array,
    rate: Real, momentum: Real, least_gain: Real,
) -> None:  # fmt: skip
    """Move one coordinate of all points [n]: momentum, and a gain for each that grows while its step keeps its
    direction.
    """
    for i in range(position.size):
        onward = gradient[i] * velocity[i] < _ZERO
        gain[i] = max(gain[i] + _GAIN_UP if onward else gain[i] * _GAIN_DOWN, least_gain)
        velocity[i] = momentum * velocity[i] - rate * gain[i] * gradient[i]
        position[i] += velocity[i]


@compiled(fastmath=True)
def descend(
    points: Float32Array, velocity: Float32Array, gain: Float32Array, joint: Float32Array, z: Real,
    iterations: int, exaggeration: Real, rate: Real, momentum: Real, least_gain: Real,
) -> Real:  # fmt: skip
    """Move points [2, m] by `iterations` steps, in place; velocity and gain [2, n] are the state between calls, z the
    last Z.

    `points` are `pad_points`, which stay; `joint` [m, m] is `pad_matrix`. rate multiplies a quarter of the gradient,
    exaggeration P. Returns the last Z.
    """
    n = velocity.shape[1]
    gradient = np.empty_like(points)
    for _ in range(iterations):
        step = rate / z
        z = forces(points, joint, exaggeration * z, gradient)
        for axis in range(2):
            _move(
                points[axis, :n], velocity[axis], gain[axis], gradient[axis, :n], step, momentum, least_gain
            )  # fmt: skip
    return z


@compiled(inline=True)
def _log(value: float) -> float:
    """Return ln(value) to 4e-15 absolute for a normal positive value, in a form that vectorises: numba's wheels have no
    vector log.

    value = 2^e·m with m in [√½, √2); ln m = 2 artanh s with s = (m - 1) / (m + 1), |s| <= 0.172, as its odd series to
    s^19.
    """
    bits = np.float64(value).view(np.int64)
    e = (bits - 0x3FE6A09E667F3BCD) >> 52
    m = np.int64(bits - (e << 52)).view(np.float64)
    s = (m - 1.0) / (m + 1.0)
    t = s * s
    high = 1 / 11 + t * (1 / 13 + t * (1 / 15 + t * (1 / 17 + t * (1 / 19))))
    return float(
        2.0 * s * (1.0 + t * (1 / 3 + t * (1 / 5 + t * (1 / 7 + t * (1 / 9 + t * high))))) + e * 0.6931471805599453
    )


@compiled(inline=True)
def _row_against(x: FloatArray, y: FloatArray, joint: FloatArray, xi: float, yi: float) -> tuple[float, float]:
    """Return the sums of p·ln(1 + distance²) and of 1 / (1 + distance²) from point (xi, yi) to points x, y [m]."""
    cross = 0.0
    total = 0.0
    for j in range(x.size):
        d = 1.0 + ((xi - x[j]) ** 2 + (yi - y[j]) ** 2)
        cross += joint[j] * _log(d)
        total += 1.0 / d
    return cross, total


@compiled()
def cross_entropy(x: FloatArray, y: FloatArray, joint: FloatArray) -> float:
    """Return -Σ p_ij ln q_ij in nats for points x, y [n] and the joint probabilities [n, n] (symmetric, sum 1), all
    float64.
    """
    n = x.size
    cross = 0.0
    total = 0.0
    for i in range(n - 1):
        row_cross, row_total = _row_against(x[i + 1 :], y[i + 1 :], joint[i, i + 1 :], x[i], y[i])
        cross += row_cross
        total += row_total
    return float(2.0 * cross + np.log(2.0 * total))


@compiled(inline=True)
def _negative_entropy(p: FloatArray) -> float:
    """Return Σ p ln p over p [m], zeros counting 0."""
    total = 0.0
    for j in range(p.size):
        total += p[j] * _log(max(p[j], 1e-300))
    return total


@compiled()
def entropy(joint: FloatArray) -> float:
    """Return the entropy -Σ p_ij ln p_ij in nats of joint probabilities [n, n], symmetric with a zero diagonal,
    float64.
    """
    total = 0.0
    for i in range(joint.shape[0] - 1):
        total -= 2.0 * _negative_entropy(joint[i, i + 1 :])
    return total


@compiled()
def principal_axes(units: FloatArray, axes: FloatArray, iterations: int) -> FloatArray:
    """Return the scores [2, n] of centred units [d, n] on two principal axes, by power iteration from axes [2, d]
    (changed in place).

    Sums run in one order whatever the number of threads, where a BLAS may not: a start of the descent must be the same
    bit for bit.
    """
    d, n = units.shape
    scores = np.zeros((2, n))
    for iteration in range(iterations + 1):
        for c in range(2):
            for before in range(c):
                axes[c] -= np.sum(axes[c] * axes[before]) * axes[before]
            length = np.sqrt(np.sum(axes[c] * axes[c]))
            if length > 0.0:
                axes[c] /= length
        scores[:] = 0.0
        for k in range(d):
            for c in range(2):
                scores[c] += axes[c, k] * units[k]
        if iteration < iterations:
            for k in range(d):
                for c in range(2):
                    axes[c, k] = np.sum(units[k] * scores[c])
    return scores
