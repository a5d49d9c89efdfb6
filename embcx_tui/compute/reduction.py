"""Layers wider than the sample, reduced exactly: n rows span at most n - 1 dimensions, so as many coordinates have the
same distances. float64, block by block over the units, in bounded memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.array_types import FloatArray, IntArray
from embcx_tui.compute.device import cores, one_blas_thread

# Units from which a layer is reduced, if it has more units than rows. Below, raw rows cost no more than some seconds of
# a core (1,000 rows: 2,048 units take 2.4 s of measuring, metrics and quality, 25,088 take 25 s), and gdv is defined.
RAW_UNITS = 4096
# Units per block, and rows per tile of a product: both fixed, so that sums run in one order whatever the memory, the
# cores and the shape. A block of 1,000 rows is 8 MB.
BLOCK_UNITS = 1024
TILE_ROWS = 256
# Units per row in a block of the orthogonal way, which factorises [rows so far + block, rows].
TALL = 4
# The Gram matrix holds squared distances to about 1e-13 of its largest eigenvalue, n = 1,000: a pair nearer than this
# share of it would miss 1e-6 of its distance, and the slower orthogonal way is taken.
GRAM_NEAREST = 1e-6
# Rows are read for the first look in pieces of about this many bytes.
READ_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Reduction:
    """The rows of a layer in few coordinates."""

    rows: FloatArray
    """[n, k], k <= n: coordinates along the principal axes, the widest first; the last is the same in all rows, the
    length of their mean, so that lengths stay too (`near_identical` of a layer looks at them).
    """
    units: int
    """The units of the layer."""
    varying: int
    """Units that are not the same in all rows: by them the linear probe divides its penalty."""


def is_wide(n: int, units: int) -> bool:
    """Return whether a layer of n rows and `units` units is measured reduced: above 4,096 units, and above n."""
    return units > max(n, RAW_UNITS)


def reduction_bytes(n: int, units: int) -> int:
    """Return about how many bytes reducing [n, units] takes at its peak, beside the rows themselves."""
    square = 8 * n * n
    # Eigenvectors: the matrix, a copy, and twice as much for LAPACK; or six squares of 4 n + n rows by the other way.
    return 14 * square + 3 * 8 * n * BLOCK_UNITS + min(READ_BYTES, 9 * n * units)


def reduce_rows(rows: NDArray[np.generic], *, budget_bytes: int) -> FloatArray:
    """Return the rows [n, units] in k <= n coordinates with the same Euclidean distances: see `reduce_layer`."""
    return reduce_layer(rows, budget_bytes=budget_bytes).rows


def reduce_layer(rows: NDArray[np.generic], *, budget_bytes: int, threads: int = 0) -> Reduction:
    """Return the `Reduction` of rows [n, units] of real numbers, an array or a memory map.

    Distances equal those of the rows to 1e-6 relative where they are above 1e-8 of the layer's extent (its largest
    singular value, centred), and equal rows, they alone, stay equal. The result depends on the rows alone, bit for bit:
    not on `budget_bytes` or `threads` (0: one per core). Rotations are chosen so: principal axes, the largest
    coordinate of each positive.

    Raises ValueError for a shape without rows or units, for numbers that are not real or not finite (with the number of
    such rows), and where `budget_bytes`, which the rows do not count in, is less than `reduction_bytes`.
    """
    if rows.ndim != 2 or min(rows.shape) < 1:
        raise ValueError(f"activations must be a matrix [rows, units], not of shape {rows.shape}")
    if rows.dtype.kind not in "fiub":
        raise ValueError(f"activations must be real numbers, not {rows.dtype}")
    n, units = rows.shape
    if (needed := reduction_bytes(n, units)) > budget_bytes:
        raise ValueError(
            f"reducing {n} rows of {units} units needs {needed / 1e9:.1f} GB of memory, {budget_bytes / 1e9:.1f} are"
            " allowed: take fewer points, or pool the layer"
        )
    threads = threads or cores()
    with (
        one_blas_thread(),
        ThreadPoolExecutor(threads, "reduce", one_blas_thread) as pool,
        np.errstate(over="ignore", under="ignore"),
    ):
        first_of, exponent = _look(rows, pool, max(1, READ_BYTES // (9 * units * threads)))
        distinct = np.unique(first_of)
        blocks = _Blocks(rows, distinct, exponent)
        coordinates = _by_gram(blocks, pool)
        if coordinates is None:
            coordinates = _orthogonally(blocks)
        length = np.sqrt(blocks.mean_squares)
        result = np.empty((n, coordinates.shape[1] + 1))
        result[:, :-1] = _signed(coordinates)[np.searchsorted(distinct, first_of)]
        result[:, -1] = length
        result = np.ldexp(result, exponent)
    if not np.isfinite(result).all():
        raise ValueError("activations are too large: their lengths are beyond float64")
    return Reduction(result, units, blocks.varying)


def _look(rows: NDArray[np.generic], pool: ThreadPoolExecutor, step: int) -> tuple[IntArray, int]:
    """Return for each row the index of the first row that equals it [n], and the exponent of the largest number (2^e is
    above it), from `step` rows at a time; ValueError for rows that are not finite.
    """
    is_narrow_float = rows.dtype.kind == "f" and rows.dtype.itemsize <= 8
    dtype = rows.dtype if is_narrow_float else np.dtype(np.float64)

    def look_at(start: int) -> tuple[int, float, list[bytes]]:
        piece = np.array(rows[start : start + step], dtype=dtype, order="C")
        piece += 0.0  # −0 equals 0, but has other bytes
        bad = len(piece) - int(np.count_nonzero(np.isfinite(piece).all(axis=1)))
        if bad:
            return bad, 0.0, []
        keys = [hashlib.blake2b(row, digest_size=16).digest() for row in piece]
        return 0, max(float(piece.max()), -float(piece.min())), keys

    looked = list(pool.map(look_at, range(0, len(rows), step)))
    if bad := sum(found for found, _, _ in looked):
        half = " (float16 ends at 65,504)" if rows.dtype == np.float16 else ""
        raise ValueError(f"{bad:,} of {len(rows):,} rows are not finite{half}")
    seen: dict[bytes, int] = {}
    keys = (key for _, _, found in looked for key in found)
    first_of = np.array([seen.setdefault(key, index) for index, key in enumerate(keys)], dtype=np.int64)
    return first_of, int(np.frexp(max(largest for _, largest, _ in looked))[1])


class _Blocks:
    """The different rows of a layer, centred, block by block over its units; what it has seen of the units' means."""

    def __init__(self, rows: NDArray[np.generic], distinct: IntArray, exponent: int) -> None:
        self._rows = rows
        self._all = len(distinct) == len(rows)
        self._distinct = distinct
        self._exponent = exponent
        self.count = len(distinct)
        self.varying = 0
        self.mean_squares = 0.0

    def read(self, width: int) -> Iterator[FloatArray]:
        """Yield centred blocks [count, width] of the rows, scaled by a power of two to at most 1."""
        self.varying, self.mean_squares = 0, 0.0
        for start in range(0, self._rows.shape[1], width):
            piece = self._rows[:, start : start + width]
            block = np.array(piece if self._all else piece[self._distinct], dtype=np.float64, order="C")
            np.ldexp(block, -self._exponent, out=block)
            # First the difference from a row: exact where rows are nearly equal, however far off they lie.
            first = block[0].copy()
            block -= first
            mean = block.mean(axis=0)
            self.varying += int(np.count_nonzero(block.any(axis=0)))
            block -= mean
            self.mean_squares += float(np.sum((first + mean) ** 2))
            yield block


def _by_gram(blocks: _Blocks, pool: ThreadPoolExecutor) -> FloatArray | None:
    """Return coordinates [m, k] of the m different rows from their inner products; None where two of them are too near
    for that.
    """
    gram = np.zeros((blocks.count, blocks.count))
    starts = range(0, blocks.count, TILE_ROWS)
    tiles = [(slice(a, a + TILE_ROWS), slice(b, b + TILE_ROWS)) for a in starts for b in starts if b >= a]

    def add(block: FloatArray, tile: tuple[slice, slice]) -> None:
        gram[tile] += block[tile[0]] @ block[tile[1]].T

    for block in blocks.read(BLOCK_UNITS):
        # Tiles are apart from each other, and each sums over the blocks in their order: threads change nothing.
        for done in [pool.submit(add, block, tile) for tile in tiles]:
            done.result()
    for rows, columns in tiles:
        gram[columns, rows] = gram[rows, columns].T
    values, vectors = np.linalg.eigh(gram)
    largest = float(values[-1])
    if blocks.count > 1 and not _nearest(gram) > GRAM_NEAREST * largest:
        return None
    kept = np.flatnonzero(values > blocks.count * np.finfo(np.float64).eps * largest)[::-1][: blocks.count - 1]
    return np.asarray(vectors[:, kept] * np.sqrt(values[kept]))


def _nearest(gram: FloatArray) -> float:
    """Return the smallest squared distance of two rows with inner products [m, m]."""
    lengths = np.diagonal(gram)
    nearest = np.inf
    for i in range(len(gram) - 1):
        nearest = min(nearest, float((lengths[i] + lengths[i + 1 :] - 2.0 * gram[i, i + 1 :]).min()))
    return nearest


def _orthogonally(blocks: _Blocks) -> FloatArray:
    """Return coordinates [m, k] of the m different rows by orthogonal factors of the units [units, m], which lose
    nothing where distances are small beside the rows: five times as much work as inner products.
    """
    factor = np.zeros((0, blocks.count))
    for block in blocks.read(TALL * blocks.count):
        factor = np.asarray(np.linalg.qr(np.concatenate([factor, block.T]), mode="r"))
    _, values, axes = np.linalg.svd(factor, full_matrices=False)
    kept = np.flatnonzero(values > 0.0)[: blocks.count - 1]
    return np.asarray((axes[kept] * values[kept, None]).T)


def _signed(coordinates: FloatArray) -> FloatArray:
    """Return coordinates [m, k] with the largest number of each positive: an axis has no direction of its own."""
    if not coordinates.size:
        return coordinates
    largest = np.take_along_axis(coordinates, np.abs(coordinates).argmax(axis=0)[None], axis=0)
    return np.asarray(coordinates * np.where(largest < 0.0, -1.0, 1.0))
