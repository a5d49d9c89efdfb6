"""Round numbers for axes, and numbers that fit into cells."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise

# Beyond these a chart has nothing to say, and differences would overflow.
LARGEST, SMALLEST = 1e300, 1e-300


def bounds(values: Iterable[float], *, zero: bool = False) -> tuple[float, float]:
    """Return finite (low, high), low < high, that hold the finite `values`; with `zero` they also hold 0."""
    finite = [min(max(value, -LARGEST), LARGEST) for value in values if math.isfinite(value)]
    if zero or not finite:
        finite.append(0.0)
    low, high = min(finite), max(finite)
    if high - low < max(SMALLEST, 1e-9 * max(abs(low), abs(high))):
        half = 0.05 * abs(high) or 0.5
        return (0.0, 1.0) if low == high == 0 else (low if zero and low == 0 else low - half, high + half)
    return low, high


def share(value: float, low: float, high: float) -> float:
    """Return where `value` lies between `low` (0) and `high` (1), whatever their size."""
    span = high / 2 - low / 2
    return (value / 2 - low / 2) / span if span else 0.5


def step(low: float, high: float, most: int) -> float:
    """Return the smallest 1, 2 or 5 × 10^k that gives at most `most` + 1 ticks from `low` to `high`."""
    raw = (high - low) / max(most, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))


def ticks(low: float, high: float, most: int) -> tuple[float, ...]:
    """Return round numbers within [low, high], about `most` of them."""
    size = step(low, high, most)
    first, last = math.ceil(low / size - 1e-9), math.floor(high / size + 1e-9)
    return tuple(place * size for place in range(first, min(last, first + most + 2) + 1))


def row_scale(high: float, rows: int) -> tuple[float, float, int]:
    """Return (value at the upper edge of `rows` rows above zero, tick step, rows from one tick to the next).

    A tick falls on the edge of a row exactly, so that nothing drawn beside it is off by half a row. `high` > 0 fits
    with at least half a row to spare.
    """
    needed = high * (1 + 0.5 / rows)
    power = 10.0 ** math.floor(math.log10(needed))
    least = 2 if rows >= 4 else 1
    best, found = -1.0, (needed, needed * 2, rows + 1)
    for size in (factor * power * scale for scale in (0.1, 1.0) for factor in (1, 2, 2.5, 5, 10)):
        every = int(rows * size / needed)
        if least <= every <= rows and rows // every <= 8:
            top = rows * size / every
            # Full use of the height first, then a tick near the tallest bar, then some four ticks.
            bare = max(high - (rows - 1) // every * size, 0.0) / high
            score = needed / top - 0.5 * bare - 0.04 * abs(rows // every - 4)
            if score > best:
                best, found = score, (top, size, every)
    return found


def tick_labels(values: tuple[float, ...]) -> tuple[str, ...]:
    """Return `values` written with as many decimals as tell them apart."""
    if not values:
        return ()
    size = min((b - a for a, b in pairwise(values)), default=abs(values[0]) or 1.0)
    largest = max(abs(value) for value in values)
    decimals = next((places for places in range(5) if abs(round(size, places) - size) <= 1e-6 * size), 5)
    if decimals > 4 or largest >= 1e5:
        return tuple(f"{value:.3g}" for value in values)
    return tuple(f"{value:.{decimals}f}" for value in values)


def fitted(values: Iterable[float | None], width: int) -> tuple[str, ...] | None:
    """Return `values` in at most `width` characters each, alike: 0.713, 0.71, .71; None: "–". None where none fits."""
    known = list(values)
    for decimals, bare in ((3, False), (2, False), (2, True), (1, False), (1, True), (0, False)):
        texts = ["–" if value is None else _decimal(value, decimals, bare) for value in known]
        # Below two digits a small spread reads as nothing.
        if all(len(text) <= width for text in texts) and (decimals > 0 or all(abs(v) >= 10 for v in known if v)):
            return tuple(texts)
    texts = ["–" if value is None else f"{value:.1e}".replace("e+0", "e").replace("e+", "e") for value in known]
    return tuple(texts) if all(len(text) <= width for text in texts) else None


def _decimal(value: float, decimals: int, bare: bool) -> str:
    if abs(value) >= 1e9:
        return f"{value:.{decimals}e}"
    text = f"{value:.{decimals}f}"
    return text.replace("0.", ".", 1) if bare and text.startswith(("0.", "-0.")) else text
