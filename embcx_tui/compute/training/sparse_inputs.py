"""Products of inputs that are mostly zero: what is zero is left out, on one core of a CPU.

Four fifths of MNIST's pixels are zero. Standardised, x = (raw - mean) · scale, they are not, but all the same, so
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
from embcx_tui.compute.kernels.llvm_builder import INDEX, VectorBuilder, unpack_arrays
from embcx_tui.compute.kernels.numba_cache import compiled
from embcx_tui.study.dataset_catalogue import MOSTLY_ZERO

# Places in a row are kept as uint16: three bytes a pixel that is not zero, where its value is a byte.
_MAX_FEATURES = 65_536

# How a row of a matrix is cut: (columns, rows at a time). 96 columns are twelve registers of AVX2 or six of AVX-512,
# of sixteen and thirty-two: a layer of 100 units is then read once, and four columns of it again. Where a cut is
# narrow several rows at a time hide how long an addition takes. (64, 1) instead of 96 cost 8 %, 112 by padding 15 %.
_CUTS = ((96, 1), (32, 2), (16, 4), (4, 4), (1, 4))
_LANES = 16


class Inputs(NamedTuple):
    """Raw inputs [n, F] (uint8 or float32), how they are standardised, and what in them is not zero.

    Input i has `values[starts[i] : starts[i + 1]]` at `places` likewise. Without `starts` (it is empty) nothing is
    listed and the raw inputs count.
    """

    raw: NDArray[Any]
    mean: np.float32
    scale: np.float32
    starts: IntArray
    places: NDArray[np.uint16]
    values: NDArray[Any]


def inputs(raw: NDArray[Any], mean: float, scale: float) -> Inputs:
    """Return raw inputs [n, F] for the kernels, what is not zero in them listed where that is little."""
    n, features = raw.shape
    counts = np.zeros(n + 1, np.int64)
    if features <= _MAX_FEATURES:
        _count(raw, counts[1:])
    total = int(counts.sum())
    listed = features <= _MAX_FEATURES and total < MOSTLY_ZERO * raw.size
    starts = np.cumsum(counts) if listed else np.empty(0, np.int64)
    places = np.empty(total if listed else 0, np.uint16)
    values = np.empty(len(places), raw.dtype)
    if listed:
        _list(raw, starts, places, values)
    return Inputs(raw, np.float32(mean), np.float32(scale), starts, places, values)


@compiled()
def _count(raw: NDArray[Any], counts: IntArray) -> None:
    for i in range(len(raw)):
        row = raw[i]
        found = 0
        for j in range(row.size):
            found += row[j] != 0
        counts[i] = found


@compiled()
def _list(raw: NDArray[Any], starts: IntArray, places: NDArray[np.uint16], values: NDArray[Any]) -> None:
    for i in range(len(raw)):
        row = raw[i]
        at = starts[i]
        for j in range(row.size):
            if row[j] != 0:
                places[at] = j
                values[at] = row[j]
                at += 1


def _weighing(
    typing: Any, total: Any, matrix: Any, places: Any, values: Any
) -> tuple[Any, Callable[[Any, Any, Any, Any], Any]]:
    """Set total [width] to Σ values[s] · matrix[places[s]], the sum kept in registers; places are unsigned.

    numba would write the sum to memory and read it again at every row, and check each time that nothing overlaps: 2.3
    times slower.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _Weighing(builder, *unpack_arrays(context, builder, signature, arguments)).write()
        return context.get_dummy_value()

    return types.void(total, matrix, places, values), generate


_weigh: Any = intrinsic(_weighing)  # called without `typing`, which is numba's


class _Weighing(VectorBuilder):
    """The code of `_weigh` for four of numba's arrays."""

    def __init__(self, builder: Any, total: Any, matrix: Any, places: Any, values: Any) -> None:
        super().__init__(builder)
        self._total, self._matrix, self._places, self._values = (one.data for one in (total, matrix, places, values))
        self._count = builder.extract_value(places.shape, 0)
        self._width = builder.extract_value(total.shape, 0)

    def write(self) -> None:
        column = INDEX(0)
        for columns, rows in _CUTS:
            column, _ = self.loop(column, columns, self._width, [], partial(self._cut, columns, rows))

    def _cut(self, columns: int, rows: int, column: Any, _: list[Any]) -> list[Any]:
        """Write the sum of `columns` columns from `column` on, `rows` rows at a time, each of those in its own sum."""
        b = self.builder
        lanes = min(columns, _LANES)
        parts = [b.add(column, INDEX(first)) for first in range(0, columns, lanes)]
        zeros = [self.constant(lanes, 0.0)] * len(parts)

        def add(s: Any, sums: list[Any]) -> list[Any]:
            row = b.mul(b.zext(self.at(self._places, s), INDEX), self._width)
            value = self.spread(self.at(self._values, s), lanes)
            return [
                self.add_product(one, value, self.load(self._matrix, b.add(row, part), lanes))
                for one, part in zip(sums, parts, strict=True)
            ]

        def some(s: Any, sums: list[Any]) -> list[Any]:
            found = []
            for number in range(rows):
                mine = sums[number * len(parts) : (number + 1) * len(parts)]
                found += add(b.add(s, INDEX(number)), mine)
            return found

        s, sums = self.loop(INDEX(0), rows, self._count, zeros * rows, some)
        if rows > 1:
            _, sums[: len(parts)] = self.loop(s, 1, self._count, sums[: len(parts)], add)
        for place, part in enumerate(parts):
            whole = sums[place]
            for other in sums[place + len(parts) :: len(parts)]:
                whole = b.fadd(whole, other)
            self.store(whole, self._total, part)
        return []


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
def product(listed: Inputs, index: IntArray, w: Float32Array, z: Float32Array) -> None:
    """Set z [B, H] to x w, for the standardised inputs x of `index` [B] and w [F, H]."""
    sums = np.zeros(w.shape[1], np.float32)
    for j in range(len(w)):
        _add(sums, w[j])
    values = np.empty(len(w), np.float32)
    for i in range(index.size):
        first, last = listed.starts[index[i]], listed.starts[index[i] + 1]
        present = values[: last - first]
        _copy(listed.values[first:last], present)
        _weigh(z[i], w, listed.places[first:last], present)
        _shift(z[i], listed.scale, sums, -listed.mean * listed.scale)


@compiled()
def transposed_product(
    listed: Inputs, index: IntArray, d: Float32Array, sums: Float32Array,
    who: NDArray[np.uint32], values: Float32Array, counts: NDArray[np.uint32], g: Float32Array,
) -> None:  # fmt: skip
    """Set g [F, H] to xᵀ d, for the standardised inputs x of `index` [B], d [B, H] and the sums [H] of its columns.

    The scratch `who` and `values` [F, B] and `counts` [F] take each feature's list of inputs:
    sums that stay in registers, where adding input by input to g would read and write it each time.
    """
    counts[:] = 0
    for i in range(index.size):
        first, last = listed.starts[index[i]], listed.starts[index[i] + 1]
        places = listed.places[first:last]
        present = listed.values[first:last]
        for s in range(places.size):
            j = places[s]
            at = counts[j]
            who[j, at] = i
            values[j, at] = present[s]
            counts[j] = at + np.uint32(1)
    for j in range(len(g)):
        count = counts[j]
        _weigh(g[j], d, who[j, :count], values[j, :count])
        _shift(g[j], listed.scale, sums, -listed.mean * listed.scale)
