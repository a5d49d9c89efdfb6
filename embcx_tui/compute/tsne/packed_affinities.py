"""P as a large layer's descent holds it: the pairs i < j alone, two bytes each, in the order in which a pass reads
them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.array_types import FloatArray
from embcx_tui.compute.jit.llvm_builder import has_avx512
from embcx_tui.compute.jit.numba_cache import compiled
from embcx_tui.compute.tsne.affinities_blocks import BLOCK, RowAffinities
from embcx_tui.compute.tsne.kl_divergence import log_of
from embcx_tui.compute.tsne.team import Team

Words = NDArray[np.uint32]

# float32 per vector: what a pass takes of a row at a time.
LANES = 16 if has_avx512() else 8
# Rows of a band: see `descent_packed`. Two of them share a 32-bit word.
ROWS = 4
# Parts of a pass, each of as many pairs; fixed, so that sums over them have one order whatever the number of threads.
PARTS = 16
# In place of smaller entries, 0 included: with the other half of its word a 0 would be a subnormal number, which slows
# a pass. All pairs of 20,000 points together gain 4e-22.
LEAST = 1e-30


@dataclass(frozen=True, slots=True, eq=False)
class PackedAffinities:
    """P [n, n], above its diagonal, in bands of four rows.

    A band holds, for every vector of columns from the one that holds its own rows on, `ROWS / 2` vectors of words: of
    vector v, the low halves are row 2v's entries, the high halves row 2v + 1's. An entry is the upper half of a
    float32, to within 1 / 256 of itself; a whole word, read as a float32, is the nearest to row 2v + 1's entry that its
    low half allows, so that only the other is shifted.
    """

    n: int
    words: Words
    starts: NDArray[np.int64]
    """Where each band begins, [bands + 1]."""
    parts: NDArray[np.int64]
    """First row of each part, [PARTS + 1], multiples of BLOCK or the end."""
    mass: float
    """Sum of all entries, as they are read; nearly 1/2."""
    entropy: float
    """Of the full-precision P, nats."""

    @property
    def padded(self) -> int:
        """Rows with padding: a multiple of 16."""
        return ROWS * (len(self.starts) - 1)


def pack(affinities: RowAffinities, team: Team) -> PackedAffinities:
    """Return P of a layer in its packed form; one block of rows after another is computed and packed by `team`."""
    n = affinities.n
    m = -(-n // 16) * 16
    rows = np.arange(0, m, ROWS)
    starts = np.concatenate([[0], np.cumsum((m - rows // LANES * LANES) * ROWS // 2)])
    words = np.empty(starts[-1], np.uint32)
    blocks = -(-n // BLOCK)
    entropies, masses = np.empty(blocks), np.empty(blocks)

    def fill(number: int) -> None:
        first = number * BLOCK
        joint = affinities.block(first, BLOCK)
        entropies[number] = block_entropy(joint)
        masses[number] = _pack_block(joint, first, m, LANES, starts, words)

    team.run(fill, blocks)
    return PackedAffinities(n, words, starts, _parts(m, starts), float(masses.sum()), float(entropies.sum()))


def _parts(m: int, starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the first rows of PARTS parts of as many words each, to a block."""
    bounds = ROWS * np.searchsorted(starts, np.linspace(0, starts[-1], PARTS + 1))
    bounds = np.minimum((bounds + BLOCK // 2) // BLOCK * BLOCK, m)
    bounds[0], bounds[-1] = 0, m
    return np.maximum.accumulate(bounds)


@compiled(inline=True)
def _row_entropy(p: FloatArray) -> float:
    total = 0.0
    for j in range(p.size):
        total -= p[j] * log_of(max(p[j], 1e-300))
    return total


@compiled()
def block_entropy(joint: FloatArray) -> float:
    """Return what a block of P, above its diagonal, adds to the entropy of the whole in nats."""
    total = 0.0
    for r in range(joint.shape[0]):
        total += 2.0 * _row_entropy(joint[r])
    return total


@compiled()
def _pack_block(joint: FloatArray, first: int, m: int, lanes: int, starts: NDArray[np.int64], words: Words) -> float:
    """Pack P[first : first + count, first:], joint, into the words of its bands; `first` is a multiple of BLOCK. Return
    the sum of the entries as they will be read.
    """
    mass = 0.0
    count, width = joint.shape
    upper = np.full((2, m - first), np.float32(LEAST))
    end = min(first + BLOCK, m)
    for row in range(first, end, 2):
        for half in range(2):
            r = row - first + half
            if r < count:
                for j in range(width):
                    upper[half, j] = max(joint[r, j], LEAST)
            else:
                upper[half] = np.float32(LEAST)
        bits = upper.view(np.uint32)
        band = row // 4
        at = starts[band] + (row % 4 // 2) * lanes
        column = band * 4 // lanes * lanes - first
        while column < m - first:
            for lane in range(lanes):
                low = (bits[0, column + lane] + np.uint32(0x8000)) >> np.uint32(16)
                wanted = bits[1, column + lane]
                high = wanted & np.uint32(0xFFFF0000)
                # The nearest word to `wanted` whose low half is `low`.
                word = np.int64(high) | np.int64(low)
                if word - np.int64(wanted) > 0x8000 and word >= 0x10000:
                    word -= 0x10000
                elif np.int64(wanted) - word > 0x8000:
                    word += 0x10000
                words[at + lane] = np.uint32(word)
                mass += np.float64(np.uint32(low << np.uint32(16)).view(np.float32))
                mass += np.float64(np.uint32(word).view(np.float32))
            at += 2 * lanes
            column += lanes
    return mass


@compiled(inline=True)
def _vector_score(
    words: Words, x: FloatArray, y: FloatArray, xi: float, yi: float, skip: int, shift: int
) -> tuple[float, float]:
    """Return the sums of p·ln d and of 1 / d, with d = 1 + distance², from one row to a vector of columns x, y [lanes]
    of which the first `skip` do not count; shift 16: p from the words' low halves, 0: from the high ones.
    """
    cross = 0.0
    total = 0.0
    for j in range(x.size):
        d = 1.0 + ((xi - x[j]) ** 2 + (yi - y[j]) ** 2)
        p = np.float64(np.uint32(words[j] << np.uint32(shift)).view(np.float32))
        if j >= skip:
            cross += p * log_of(d)
            total += 1.0 / d
    return cross, total


@compiled()
def packed_score(
    words: Words, starts: NDArray[np.int64], lanes: int, x: FloatArray, y: FloatArray, first: int, last: int, n: int
) -> tuple[float, float]:
    """Return the sums over the pairs i < j, first <= i < last, of p·ln(1 + distance²) and of 1 / (1 + distance²), for
    points x, y [m].
    """
    cross = 0.0
    total = 0.0
    for i in range(first, min(last, n)):
        band = i // 4
        column = band * 4 // lanes * lanes
        at = starts[band] + (i % 4 // 2) * lanes
        shift = 16 if i % 2 == 0 else 0
        while column < n:
            part, weights = _vector_score(
                words[at : at + lanes], x[column : column + lanes], y[column : column + lanes], x[i], y[i],
                i + 1 - column, shift,
            )  # fmt: skip
            cross += part
            total += weights
            at += 2 * lanes
            column += lanes
    return cross, total
