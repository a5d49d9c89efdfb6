"""The inner loops of exact t-SNE on a CPU: one set, one core, one pass over the pairs an iteration. float32 moves,
float64 scores.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.compilation import compiled

Float32Array: TypeAlias = NDArray[np.float32]
FloatArray: TypeAlias = NDArray[np.float64]
Real: TypeAlias = float | np.float32  # float32 where a kernel is called: it compiles for what it is given

_ONE = np.float32(1)
_TWO = np.float32(2)
_ZERO = np.float32(0)
_GAIN_UP = np.float32(0.2)  # Jacobs 1988, as in van der Maaten's t-SNE: added while the step keeps its direction
_GAIN_DOWN = np.float32(0.8)  # multiplied when it turns


# Four rows are four sets of names and not a loop: LLVM keeps them in registers, and loads and stores the points behind
# them once for four pairs. A function of its own, given slices: so LLVM can check cheaply that it may vectorise (as one
# function with the loop around it, it does not, and is 7 times slower).
@compiled(fastmath=True)
def _four_rows(
    x4: Float32Array, y4: Float32Array, x: Float32Array, y: Float32Array,
    pa: Float32Array, pb: Float32Array, pc: Float32Array, pd: Float32Array,
    scale: Real,
    gx: Float32Array, gy: Float32Array, gx4: Float32Array, gy4: Float32Array,
) -> Real:  # fmt: skip
    """Add the forces (see `forces`) between four points (x4, y4 [4]) and the m points after them (x, y [m]) to both
    gradients.

    pa … pd [m] are the four points' rows of P. Returns the sum of w = 1 / (1 + distance²) over the 4m pairs.
    """
    xa, xb, xc, xd = x4[0], x4[1], x4[2], x4[3]
    ya, yb, yc, yd = y4[0], y4[1], y4[2], y4[3]
    gxa = gxb = gxc = gxd = gya = gyb = gyc = gyd = total = _ZERO
    for j in range(x.size):
        dxa, dxb, dxc, dxd = xa - x[j], xb - x[j], xc - x[j], xd - x[j]
        dya, dyb, dyc, dyd = ya - y[j], yb - y[j], yc - y[j], yd - y[j]
        wa = _ONE / (_ONE + dxa * dxa + dya * dya)
        wb = _ONE / (_ONE + dxb * dxb + dyb * dyb)
        wc = _ONE / (_ONE + dxc * dxc + dyc * dyc)
        wd = _ONE / (_ONE + dxd * dxd + dyd * dyd)
        total += (wa + wb) + (wc + wd)
        fa = (scale * pa[j] - wa) * wa
        fb = (scale * pb[j] - wb) * wb
        fc = (scale * pc[j] - wc) * wc
        fd = (scale * pd[j] - wd) * wd
        gxa += fa * dxa
        gxb += fb * dxb
        gxc += fc * dxc
        gxd += fd * dxd
        gya += fa * dya
        gyb += fb * dyb
        gyc += fc * dyc
        gyd += fd * dyd
        gx[j] -= (fa * dxa + fb * dxb) + (fc * dxc + fd * dxd)
        gy[j] -= (fa * dya + fb * dyb) + (fc * dyc + fd * dyd)
    gx4[0] += gxa
    gx4[1] += gxb
    gx4[2] += gxc
    gx4[3] += gxd
    gy4[0] += gya
    gy4[1] += gyb
    gy4[2] += gyc
    gy4[3] += gyd
    return total


@compiled(fastmath=True)
def forces(
    x: Float32Array, y: Float32Array, joint: Float32Array, scale: Real, gx: Float32Array, gy: Float32Array,
) -> Real:  # fmt: skip
    """Write to (gx, gy) [n] the sums over j of (scale·p_ij - w_ij)·w_ij·(y_i - y_j) at (x, y) [n]; return Z, the sum of
    w over ordered pairs.

    With scale = Z these are Z / 4 of the gradient (van der Maaten & Hinton 2008, eq. 5); early exaggeration multiplies
    scale. Where `scale` takes Z from the pass before, one pass and two sums a point are enough instead of four, and a
    resting point is the same. Each pair is visited once, for both its points.
    """
    n = x.size
    gx[:] = _ZERO
    gy[:] = _ZERO
    total = _ZERO
    for i in range(0, n, 4):
        end = min(i + 4, n)
        for a in range(i, end):
            for b in range(a + 1, end):
                dx = x[a] - x[b]
                dy = y[a] - y[b]
                w = _ONE / (_ONE + dx * dx + dy * dy)
                total += w
                f = (scale * joint[a, b] - w) * w
                gx[a] += f * dx
                gy[a] += f * dy
                gx[b] -= f * dx
                gy[b] -= f * dy
        if end == i + 4:
            total += _four_rows(
                x[i:end], y[i:end], x[end:], y[end:],
                joint[i, end:], joint[i + 1, end:], joint[i + 2, end:], joint[i + 3, end:],
                scale, gx[end:], gy[end:], gx[i:end], gy[i:end],
            )  # fmt: skip
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
    """Move points [2, n] by `iterations` steps, in place; velocity and gain [2, n] are the state between calls, z the
    last Z.

    joint [n, n] float32; rate multiplies a quarter of the gradient, exaggeration P. Returns the last Z.
    """
    gradient = np.empty_like(points)
    for _ in range(iterations):
        step = rate / z
        z = forces(points[0], points[1], joint, exaggeration * z, gradient[0], gradient[1])
        _move(points[0], velocity[0], gain[0], gradient[0], step, momentum, least_gain)
        _move(points[1], velocity[1], gain[1], gradient[1], step, momentum, least_gain)
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
