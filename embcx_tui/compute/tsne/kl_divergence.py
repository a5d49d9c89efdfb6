"""The objective of t-SNE, the exact KL divergence KL(P‖Q), and the entropies it is made of. All float64, in nats."""

import numpy as np
from numpy.typing import ArrayLike

from embcx_tui.compute.array_types import FloatArray
from embcx_tui.compute.jit.numba_cache import compiled


def exact_kl(joint: FloatArray, points: ArrayLike, joint_entropy: float | None = None) -> float:
    """Return KL(P‖Q) = Σ p_ij ln(p_ij / q_ij) in nats, for P [n, n] (sum 1, symmetric, zero diagonal) and points [n,
    2].

    van der Maaten & Hinton 2008, eq. 2 and 4; equals openTSNE's `kl_divergence_exact`. `joint_entropy` is
    `entropy(joint)`, for a caller that has it already: it costs as much as the rest.
    """
    x, y = np.ascontiguousarray(np.asarray(points).T, dtype=np.float64)
    return cross_entropy(x, y, joint) - (entropy(joint) if joint_entropy is None else joint_entropy)


def point_kls(joint: FloatArray, points: ArrayLike) -> FloatArray:
    """Return each point's share of KL(P‖Q) in nats [n]: Σ_j p_ij ln(p_ij / q_ij), whose sum over i is `exact_kl`.

    A share may be below 0, since a row of P and one of Q have different sums.
    """
    x, y = np.ascontiguousarray(np.asarray(points).T, dtype=np.float64)
    return _point_kls(x, y, joint)


def kl_to_uniform(n: int, joint_entropy: float) -> float:
    """Return KL(P‖uniform over the n(n-1) ordered pairs) = ln n(n-1) - H(P), in nats: the divergence of an embedding
    that shows nothing of P.
    """
    return float(np.log(n * (n - 1.0))) - joint_entropy


@compiled(inline=True)
def log_of(value: float) -> float:
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
def row_sums(x: FloatArray, y: FloatArray, joint: FloatArray, xi: float, yi: float) -> tuple[float, float]:
    """Return the sums of p·ln(1 + distance²) and of 1 / (1 + distance²) from point (xi, yi) to points x, y [m]."""
    cross = 0.0
    total = 0.0
    for j in range(x.size):
        d = 1.0 + ((xi - x[j]) ** 2 + (yi - y[j]) ** 2)
        cross += joint[j] * log_of(d)
        total += 1.0 / d
    return cross, total


@compiled()
def cross_entropy(x: FloatArray, y: FloatArray, joint: FloatArray) -> float:
    """Return -Σ p_ij ln q_ij in nats for points x, y [n] and the joint probabilities [n, n] (symmetric, sum 1), all
    float64.

    With w_ij = 1 / (1 + distance²) and Z = Σ w_ij, q_ij = w_ij / Z (eq. 4): -Σ p ln q = Σ p_ij ln(1 + distance²) + ln
    Z.
    """
    n = x.size
    cross = 0.0
    total = 0.0
    for i in range(n - 1):
        row_cross, row_total = row_sums(x[i + 1 :], y[i + 1 :], joint[i, i + 1 :], x[i], y[i])
        cross += row_cross
        total += row_total
    return float(2.0 * cross + np.log(2.0 * total))


@compiled(inline=True)
def _negative_entropy(p: FloatArray) -> float:
    """Return Σ p ln p over p [m], zeros counting 0."""
    total = 0.0
    for j in range(p.size):
        total += p[j] * log_of(max(p[j], 1e-300))
    return total


@compiled()
def entropy(joint: FloatArray) -> float:
    """Return the entropy -Σ p_ij ln p_ij in nats of joint probabilities [n, n], symmetric with a zero diagonal."""
    total = 0.0
    for i in range(joint.shape[0] - 1):
        total -= 2.0 * _negative_entropy(joint[i, i + 1 :])
    return total


@compiled()
def _point_kls(x: FloatArray, y: FloatArray, joint: FloatArray) -> FloatArray:
    """Return the shares [n] of `point_kls` for points x, y [n] and the joint probabilities [n, n], all float64."""
    n = x.size
    shares = np.empty(n)
    total = 0.0
    for i in range(n):
        cross, row_total = row_sums(x, y, joint[i], x[i], y[i])
        shares[i] = cross + _negative_entropy(joint[i])
        total += row_total - 1.0  # without the point's distance to itself
    for i in range(n):
        shares[i] += joint[i].sum() * np.log(total)
    return shares
