"""Products with inputs that are mostly zero, on one CPU core: zeros are left out.

Four fifths of MNIST's pixels are zero. Standardised, x = (raw - mean) · scale, they are all the same number, so
x W = scale · raw W - mean · scale · (the sums of W's columns), and raw W needs the other pixels only. The gradient
xᵀ D is split likewise. Layer 1 is more than half of a step's arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from embcx_tui.compute.array_types import Float32Array, IntArray, Real
from embcx_tui.compute.jit.llvm_builder import INDEX, VectorBuilder, unpack_arrays
from embcx_tui.compute.jit.numba_cache import compiled
from embcx_tui.study.dataset_catalogue import MOSTLY_ZERO

# Column indices are uint16: three bytes per nonzero pixel, where its value is a byte.
_MAX_FEATURES = 65_536

# How a row of a matrix is divided: (columns, rows at a time). 96 columns are twelve of the sixteen registers of AVX2,
# or six of the thirty-two of AVX-512: a layer of 100 units is then read once, and four columns of it again. Where
# blocks are narrow, several rows at a time hide the latency of an addition. (64, 1) instead of 96 cost 8 %, 112 by
# padding 15 %.
_COLUMN_BLOCKS = ((96, 1), (32, 2), (16, 4), (4, 4), (1, 4))
_LANES = 16


class KernelInputs(NamedTuple):
    """Raw inputs [n, F] (uint8 or float32) for the kernels of a CPU: dense, and in compressed rows where they are
    sparse.

    Input i has `values[indptr[i] : indptr[i + 1]]` in the columns `indices` likewise (CSR). An empty `indptr` means
    that the inputs are dense.
    """

    raw: NDArray[Any]
    mean: np.float32
    scale: np.float32
    indptr: IntArray
    indices: NDArray[np.uint16]
    values: NDArray[Any]


def kernel_inputs(raw: NDArray[Any], mean: float, scale: float) -> KernelInputs:
    """Return raw inputs [n, F] for the kernels, in compressed rows where they are mostly zero; standardised inputs are
    (raw - mean) · scale.
    """
    n, features = raw.shape
    counts = np.zeros(n + 1, np.int64)
    if features <= _MAX_FEATURES:
        _count_nonzero(raw, counts[1:])
    total = int(counts.sum())
    sparse = features <= _MAX_FEATURES and total < MOSTLY_ZERO * raw.size
    indptr = np.cumsum(counts) if sparse else np.empty(0, np.int64)
    indices = np.empty(total if sparse else 0, np.uint16)
    values = np.empty(len(indices), raw.dtype)
    if sparse:
        _compress(raw, indptr, indices, values)
    return KernelInputs(raw, np.float32(mean), np.float32(scale), indptr, indices, values)


@compiled()
def _count_nonzero(raw: NDArray[Any], counts: IntArray) -> None:
    for i in range(len(raw)):
        row = raw[i]
        count = 0
        for j in range(row.size):
            count += row[j] != 0
        counts[i] = count


@compiled()
def _compress(raw: NDArray[Any], indptr: IntArray, indices: NDArray[np.uint16], values: NDArray[Any]) -> None:
    for i in range(len(raw)):
        row = raw[i]
        at = indptr[i]
        for j in range(row.size):
            if row[j] != 0:
                indices[at] = j
                values[at] = row[j]
                at += 1


class _WeightedRowSum(VectorBuilder):
    """Writes total [width] = Σ_s values[s] · matrix[rows[s]] in LLVM's own code, with the sums in registers.

    numba would write the sums to memory and read them again at every row, and check each time for overlapping arrays:
    2.3 times slower.
    """

    def __init__(self, builder: Any, total: Any, matrix: Any, rows: Any, values: Any) -> None:
        super().__init__(builder)
        self._total, self._matrix, self._rows, self._values = (array.data for array in (total, matrix, rows, values))
        self._count = builder.extract_value(rows.shape, 0)
        self._width = builder.extract_value(total.shape, 0)

    def write(self) -> None:
        column = INDEX(0)
        for columns, rows in _COLUMN_BLOCKS:
            column, _ = self.loop(column, columns, self._width, [], partial(self._column_block, columns, rows))

    def _column_block(self, columns: int, rows: int, column: Any, _: list[Any]) -> list[Any]:
        """Write the sum of `columns` columns from `column` on, `rows` rows at a time, each of those in its own sum."""
        b = self.builder
        lanes = min(columns, _LANES)
        parts = [b.add(column, INDEX(first)) for first in range(0, columns, lanes)]
        zeros = [self.constant(lanes, 0.0)] * len(parts)

        def add_row(s: Any, sums: list[Any]) -> list[Any]:
            row = b.mul(b.zext(self.at(self._rows, s), INDEX), self._width)
            value = self.spread(self.at(self._values, s), lanes)
            return [
                self.add_product(part_sum, value, self.load(self._matrix, b.add(row, part), lanes))
                for part_sum, part in zip(sums, parts, strict=True)
            ]

        def add_rows(s: Any, sums: list[Any]) -> list[Any]:
            new_sums = []
            for number in range(rows):
                own_sums = sums[number * len(parts) : (number + 1) * len(parts)]
                new_sums += add_row(b.add(s, INDEX(number)), own_sums)
            return new_sums

        s, sums = self.loop(INDEX(0), rows, self._count, zeros * rows, add_rows)
        if rows > 1:
            _, sums[: len(parts)] = self.loop(s, 1, self._count, sums[: len(parts)], add_row)
        for index, part in enumerate(parts):
            whole = sums[index]
            for other in sums[index + len(parts) :: len(parts)]:
                whole = b.fadd(whole, other)
            self.store(whole, self._total, part)
        return []


def _write_weighted_row_sum(
    typing: Any, total: Any, matrix: Any, rows: Any, values: Any
) -> tuple[Any, Callable[[Any, Any, Any, Any], Any]]:
    """Have numba put the code of `_WeightedRowSum` where a kernel calls this; rows are unsigned."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _WeightedRowSum(builder, *unpack_arrays(context, builder, signature, arguments)).write()
        return context.get_dummy_value()

    return types.void(total, matrix, rows, values), generate


_weighted_row_sum: Any = intrinsic(_write_weighted_row_sum)  # called without `typing`, which numba adds


@compiled()
def _shift(row: Float32Array, scale: Real, sums: Float32Array, factor: Real) -> None:
    for k in range(row.size):
        row[k] = scale * row[k] + factor * sums[k]


@compiled()
def _copy(values: NDArray[Any], converted: Float32Array) -> None:
    for s in range(values.size):
        converted[s] = np.float32(values[s])


@compiled()
def _add(total: Float32Array, row: Float32Array) -> None:
    for k in range(row.size):
        total[k] += row[k]


@compiled()
def product(inputs: KernelInputs, index: IntArray, w: Float32Array, z: Float32Array) -> None:
    """Set z [B, H] to x w, for the standardised inputs x of `index` [B] and w [F, H]."""
    sums = np.zeros(w.shape[1], np.float32)
    for j in range(len(w)):
        _add(sums, w[j])
    buffer = np.empty(len(w), np.float32)
    for i in range(index.size):
        first, last = inputs.indptr[index[i]], inputs.indptr[index[i] + 1]
        values = buffer[: last - first]
        _copy(inputs.values[first:last], values)
        _weighted_row_sum(z[i], w, inputs.indices[first:last], values)
        _shift(z[i], inputs.scale, sums, -inputs.mean * inputs.scale)


@compiled()
def transposed_product(
    inputs: KernelInputs, index: IntArray, d: Float32Array, sums: Float32Array,
    rows: NDArray[np.uint32], values: Float32Array, counts: NDArray[np.uint32], g: Float32Array,
) -> None:  # fmt: skip
    """Set g [F, H] to xᵀ d, for the standardised inputs x of `index` [B], d [B, H] and the sums [H] of its columns.

    The scratch `rows` and `values` [F, B] and `counts` [F] take the inputs by column (CSC): each row of g is then a sum
    that stays in registers, where adding input by input to g would read and write it each time.
    """
    counts[:] = 0
    for i in range(index.size):
        first, last = inputs.indptr[index[i]], inputs.indptr[index[i] + 1]
        columns = inputs.indices[first:last]
        of_input = inputs.values[first:last]
        for s in range(columns.size):
            j = columns[s]
            at = counts[j]
            rows[j, at] = i
            values[j, at] = of_input[s]
            counts[j] = at + np.uint32(1)
    for j in range(len(g)):
        count = counts[j]
        _weighted_row_sum(g[j], d, rows[j, :count], values[j, :count])
        _shift(g[j], inputs.scale, sums, -inputs.mean * inputs.scale)
