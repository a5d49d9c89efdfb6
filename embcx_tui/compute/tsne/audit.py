"""Checks of every score: that it is possible at all, and of some from a GPU that a CPU core computes the same."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.timing import timed_part
from embcx_tui.compute.tsne.affinities import affinities
from embcx_tui.compute.tsne.kl_divergence import entropy, exact_kl
from embcx_tui.compute.tsne.result import Complexity, Measurement
from embcx_tui.study.errors import DeviceFailed

# The first layers of a batch are scored again, and one of so many of the others: 22 ms of a core per layer of 1,000
# rows, beside 70 ms for its metrics.
AUDITED_FIRST = 2
AUDITED_EVERY = 16
# Nats, or a share of the KL where that is above 1: points are rotated to their axes after they are scored, in float32.
_AGREEMENT = 1e-5
# Nats by which rounding may push a KL below 0.
_ROUNDING = 1e-9


def is_audited(position: int) -> bool:
    """Return whether the layer that a batch finished at `position` (from 0) is scored again."""
    return position < AUDITED_FIRST or position % AUDITED_EVERY == 0


def impossible(complexity: Complexity, *, of_descent: bool) -> str:
    """Return why no layer has this score, in words; "" where one can.

    A KL divergence is finite and at least 0. Of our own descent (`of_descent`) it is at most that of points that show
    nothing of P, ln n(n - 1) - H(P), all its restarts' are finite, and so are its points.
    """
    kl, explained = complexity.kl, complexity.explained
    if kl is None:
        return ""
    if not math.isfinite(kl) or kl < -_ROUNDING:
        return f"a KL divergence of {kl:.4g}, which is impossible"
    if not of_descent:
        return ""
    if explained is None or not -_ROUNDING <= explained <= 1.0 + _ROUNDING:
        return f"a KL divergence of {kl:.4g}, above that of points which show nothing"
    others = (*complexity.restart_kls, *complexity.start_kls, complexity.gradient_norm, complexity.relative_change)
    if not all(map(math.isfinite, others)) or not np.isfinite(complexity.points).all():
        return "numbers that are not finite"
    return ""


@timed_part("audit")
def audit(rows: NDArray[np.floating], complexity: Complexity, measurement: Measurement) -> None:
    """Score the points of a layer of activations [n, d] again on this CPU core, in float64.

    Raises DeviceFailed where the device's score is another.
    """
    p = affinities(rows, measurement.perplexity)
    wrong = f"{measurement.device} computes wrong numbers"
    if complexity.duplicates != p.duplicates:
        raise DeviceFailed(f"{wrong}: {complexity.duplicates} equal rows, where a CPU core finds {p.duplicates}")
    if p.joint is None or complexity.kl is None:
        if not p.degenerate:
            raise DeviceFailed(f"{wrong}: no P of a layer that has one")
        return
    kl = exact_kl(p.joint, complexity.points, entropy(p.joint))
    if not abs(complexity.kl - kl) <= _AGREEMENT * max(1.0, kl):
        raise DeviceFailed(f"{wrong}: a KL divergence of {complexity.kl:.6f}, where a CPU core finds {kl:.6f}")
