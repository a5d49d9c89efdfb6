"""Affinities of large samples, block by block: P is never held whole, and no more than a block of it in float64.

What is kept are the activations and two numbers per row, from which every block of P can be computed again. Blocks have
a fixed size and rows do not depend on each other, so that threads change no bit. All float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from embcx_tui.compute.array_types import FloatArray
from embcx_tui.compute.jit.numba_cache import compiled
from embcx_tui.compute.timing import timed_part
from embcx_tui.compute.tsne.affinities import (
    AffinityInfo,
    affinity_info,
    check_perplexity,
    exp_of,
    finite_rows,
    row_bandwidth,
)
from embcx_tui.compute.tsne.team import Team

# Rows of a block, and the most bytes of the units' columns that its distances are computed from at a time: they stay in
# the second-level cache, and are read once for all rows of the block.
BLOCK = 64
_TILE_BYTES = 1 << 19


@dataclass(frozen=True, slots=True, eq=False)
class RowAffinities:
    """What P [n, n] is computed from, block by block."""

    info: AffinityInfo
    units: FloatArray
    """Activations [d, n], transposed."""
    precision: FloatArray
    """beta = 1 / 2σ² of each row, [n]."""
    nearest: FloatArray
    """Squared distance of each row to its nearest other row, [n]."""
    mass: FloatArray
    """Sum of exp(-beta · (distance² - nearest)) over the other rows, [n]."""

    @property
    def n(self) -> int:
        return int(self.units.shape[1])

    def block(self, first: int, count: int) -> FloatArray:
        """Return P[first : first + count, first:], joint probabilities; zero on the diagonal and left of it."""
        joint = np.empty((min(count, self.n - first), self.n - first))
        _joint_block(self.units, self.precision, self.nearest, self.mass, first, _columns(self.units), joint)
        return joint


@timed_part("P")
def row_affinities(activations: ArrayLike, perplexity: float, team: Team) -> RowAffinities:
    """Return the `RowAffinities` of activations [n, d]; P, its definition and the errors are those of `affinities`."""
    rows = finite_rows(activations)
    n = rows.shape[0]
    check_perplexity(perplexity, n)
    units = np.ascontiguousarray(rows.T, dtype=np.float64)
    precision, nearest, mass = np.empty(n), np.empty(n), np.empty(n)
    reached = np.zeros(-(-n // BLOCK), np.bool_)

    def find(block: int) -> None:
        first = block * BLOCK
        squared = np.empty((min(BLOCK, n - first), n))
        reached[block] = _bandwidths(
            units, first, float(perplexity), _columns(units), squared, precision, nearest, mass
        )  # fmt: skip

    team.run(find, len(reached))
    return RowAffinities(affinity_info(rows, nearest, bool(reached.all())), units, precision, nearest, mass)


def _columns(units: FloatArray) -> int:
    fitting = _TILE_BYTES // (8 * int(units.shape[0])) // 16 * 16
    return max(64, min(2048, fitting))


@compiled(inline=True)
def _add_units(
    total: FloatArray, a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray,
    a0: float, b0: float, c0: float, d0: float,
) -> None:  # fmt: skip
    """Add the squared differences of four units [m] to their values in one row to total [m]."""
    for j in range(total.size):
        total[j] += ((a[j] - a0) ** 2 + (b[j] - b0) ** 2) + ((c[j] - c0) ** 2 + (d[j] - d0) ** 2)


@compiled(inline=True)
def _add_unit(total: FloatArray, a: FloatArray, a0: float) -> None:
    for j in range(total.size):
        total[j] += (a[j] - a0) ** 2


@compiled(inline=True)
def _squared_block(units: FloatArray, first: int, start: int, columns: int, squared: FloatArray) -> None:
    """Write the squared distances of rows first, first + 1, … to the rows from `start` on to squared [count, n -
    start], as many columns at a time as `columns`.
    """
    d = units.shape[0]
    count, width = squared.shape
    for left in range(0, width, columns):
        right = min(left + columns, width)
        for r in range(count):
            total = squared[r, left:right]
            total[:] = 0.0
            i = first + r
            for k in range(0, d - 3, 4):
                _add_units(
                    total, units[k, start + left : start + right], units[k + 1, start + left : start + right],
                    units[k + 2, start + left : start + right], units[k + 3, start + left : start + right],
                    units[k, i], units[k + 1, i], units[k + 2, i], units[k + 3, i],
                )  # fmt: skip
            for k in range(d - d % 4, d):
                _add_unit(total, units[k, start + left : start + right], units[k, i])


@compiled()
def _bandwidths(
    units: FloatArray, first: int, perplexity: float, columns: int, squared: FloatArray,
    precision: FloatArray, nearest: FloatArray, mass: FloatArray,
) -> bool:  # fmt: skip
    """Find precision, nearest and mass of the rows of a block, squared [count, n] being room for their distances;
    return False where a row cannot reach the perplexity.
    """
    _squared_block(units, first, 0, columns, squared)
    log_beta = np.nan
    reached = True
    for r in range(squared.shape[0]):
        i = first + r
        row = squared[r]
        row[i] = np.inf
        least = np.inf
        for j in range(row.size):
            least = min(least, row[j])
        row[i] = 0.0
        nearest[i] = least
        if reached:
            reached, log_beta, beta, weight = row_bandwidth(row, least, perplexity, log_beta)
            precision[i] = beta
            mass[i] = weight
    return reached


@compiled(inline=True)
def _joint_row(
    row: FloatArray, precision: FloatArray, nearest: FloatArray, mass: FloatArray,
    beta: float, least: float, weight: float, scale: float,
) -> None:  # fmt: skip
    """Replace a row's squared distances [m] to other rows by joint probabilities; precision, nearest, mass [m] are
    theirs.
    """
    for j in range(row.size):
        own = exp_of(-beta * max(row[j] - least, 0.0)) * (1.0 / weight)
        other = exp_of(-precision[j] * max(row[j] - nearest[j], 0.0)) * (1.0 / mass[j])
        row[j] = (own + other) * scale


@compiled()
def _joint_block(
    units: FloatArray, precision: FloatArray, nearest: FloatArray, mass: FloatArray, first: int, columns: int,
    joint: FloatArray,
) -> None:  # fmt: skip
    """Write P[first : first + count, first:] to joint [count, n - first], zeros up to the diagonal."""
    _squared_block(units, first, first, columns, joint)
    scale = 0.5 / precision.size
    for r in range(joint.shape[0]):
        i = first + r
        joint[r, : r + 1] = 0.0
        _joint_row(
            joint[r, r + 1 :], precision[i + 1 :], nearest[i + 1 :], mass[i + 1 :],
            precision[i], nearest[i], mass[i], scale,
        )  # fmt: skip
