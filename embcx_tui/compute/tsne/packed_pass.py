"""One pass over the pairs of a large layer, whose P is packed: the gradient, part by part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from embcx_tui.compute.array_types import Float32Array, Real
from embcx_tui.compute.jit.llvm_builder import FLAGS, FLOAT, INDEX, VectorBuilder, unpack_arrays
from embcx_tui.compute.jit.numba_cache import compiled
from embcx_tui.compute.tsne.packed_affinities import LANES, ROWS, Words

_WORD = ir.IntType(32)
_ZERO = np.float32(0)


@compiled()
def part_forces(
    points: Float32Array, words: Words, first: int, last: int, offset: int, scale: Real, gradient: Float32Array
) -> Real:
    """Compute what the rows first … last - 1 and the columns after each add to the gradient; return their sum of w,
    each pair once.

    As `descent_cpu.forces`, with P from `PackedAffinities.words`, whose entries for `first` begin at `offset`. Writes
    gradient [2, m] from `first` on; what is before is not touched.
    """
    gradient[:, first:] = _ZERO
    total: Real = _pair_forces(
        points[0], points[1], words, np.float32(scale), gradient[0], gradient[1], first, last, offset
    )  # fmt: skip
    return total


class _PairForces(VectorBuilder):
    """Writes the loop over pairs of `part_forces`, that of `descent_cpu._PairForces` with P from 16-bit halves: four
    rows take two vectors of words, which lie in the order in which they are read.
    """

    def __init__(
        self, builder: Any, x: Any, y: Any, words: Any, scale: Any, gx: Any, gy: Any, first: Any, last: Any, offset: Any
    ) -> None:
        super().__init__(builder)
        self._count = builder.extract_value(x.shape, 0)
        self._x, self._y, self._words, self._gx, self._gy = (array.data for array in (x, y, words, gx, gy))
        self._scale = self.spread(scale, LANES)
        self._zero, self._one = (self.constant(LANES, value) for value in (0.0, 1.0))
        self._first, self._last, self._offset = first, last, offset

    def write(self) -> Any:
        """Write the loop over the rows; return the sum of w."""
        _, (total, _) = self.loop(self._first, ROWS, self._last, [self._zero, self._offset], self._four_rows)
        return self.sum(total)

    def _four_rows(self, i: Any, carried: list[Any]) -> list[Any]:
        """Write the loop over the columns of rows i … i + 3; carried: the sum of w, and where the words are."""
        b = self.builder
        rows = [b.add(i, INDEX(number)) for number in range(ROWS)]
        row_points = [[self.spread(self.at(axis, row), LANES) for row in rows] for axis in (self._x, self._y)]
        first = b.and_(i, INDEX(-LANES))
        columns = self.numbered(LANES)
        masks = [b.icmp_signed(">", columns, self.spread(b.sub(row, first), LANES)) for row in rows]
        sums = self._pairs(row_points, masks, first, [self._zero] * (2 * ROWS) + carried)
        _, sums = self.loop(
            b.add(first, INDEX(LANES)), LANES, self._count, sums,
            lambda j, sums: self._pairs(row_points, [None] * ROWS, j, sums),
        )  # fmt: skip
        for index, row_sum in enumerate(sums[: 2 * ROWS]):
            target = b.gep((self._gx, self._gy)[index // ROWS], [rows[index % ROWS]])
            b.store(b.fadd(b.load(target), self.sum(row_sum)), target)
        return sums[2 * ROWS :]

    def _pairs(self, row_points: list[list[Any]], masks: list[Any], j: Any, sums: list[Any]) -> list[Any]:
        """Write the pairs of four rows and the columns from j on; return the sums: four per axis, that of w, and where
        the next words are.
        """
        b = self.builder
        column_points = [self.load(axis, j, LANES) for axis in (self._x, self._y)]
        column_gradients = [self.load(axis, j, LANES) for axis in (self._gx, self._gy)]
        sums = list(sums)
        entries = self._entries(sums[-1])
        for number in range(ROWS):
            dx, dy = (b.fsub(mine[number], column) for mine, column in zip(row_points, column_points, strict=True))
            # "fast" allows an estimate of 1 / d and one Newton step.
            d = self.add_product(self.add_product(self._one, dx, dx), dy, dy)
            w = b.fdiv(self._one, d, ("fast",))
            if masks[number] is not None:
                w = b.select(masks[number], w, self._zero)
            force = b.fmul(b.fsub(b.fmul(self._scale, entries[number], FLAGS), w, FLAGS), w, FLAGS)
            for axis, delta in enumerate((dx, dy)):
                sums[axis * ROWS + number] = self.add_product(sums[axis * ROWS + number], force, delta)
                column_gradients[axis] = b.fsub(column_gradients[axis], b.fmul(force, delta, FLAGS), FLAGS)
            sums[-2] = b.fadd(sums[-2], w, FLAGS)
        for axis, value in zip((self._gx, self._gy), column_gradients, strict=True):
            self.store(value, axis, j)
        sums[-1] = b.add(sums[-1], INDEX(ROWS // 2 * LANES))
        return sums

    def _entries(self, at: Any) -> list[Any]:
        """Return the entries of P of four rows and a vector of columns, whose words are at `at`."""
        b = self.builder
        words, floats = ir.VectorType(_WORD, LANES), ir.VectorType(FLOAT, LANES)
        entries = []
        for pair in range(ROWS // 2):
            place = b.gep(self._words, [b.add(at, INDEX(pair * LANES))])
            word = b.load(b.bitcast(place, words.as_pointer()), align=4)
            entries += [b.bitcast(b.shl(word, words([16] * LANES)), floats), b.bitcast(word, floats)]
        return entries


def _write_pair_forces(
    typing: Any, x: Any, y: Any, words: Any, scale: Any, gx: Any, gy: Any, first: Any, last: Any, offset: Any
) -> tuple[Any, Callable[[Any, Any, Any, Any], Any]]:
    """Have numba put the code of `_PairForces` where `part_forces` calls this."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _PairForces(builder, *unpack_arrays(context, builder, signature, arguments)).write()

    integer = types.int64
    return types.float32(x, y, words, types.float32, gx, gy, integer, integer, integer), generate


_pair_forces: Any = intrinsic(_write_pair_forces)  # called without `typing`, which numba adds


@compiled(fastmath=True)
def add_parts(parts: Float32Array, firsts: NDArray[np.int64], gradient: Float32Array) -> None:
    """Write the sum of the parts' gradients [parts, 2, m] to gradient [2, m], in order; part k is defined from
    firsts[k] on.
    """
    gradient[:] = parts[0]
    for part in range(1, parts.shape[0]):
        for axis in range(2):
            for j in range(firsts[part], gradient.shape[1]):
                gradient[axis, j] += parts[part, axis, j]
