"""Round numbers for axes, and numbers that fit into cells."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

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


def from_zero(low: float, high: float) -> tuple[float, float]:
    """Return the bounds of an axis of lines: from zero where that is near enough to take little of the height."""
    return (0.0, high) if 0 < low < 0.1 * high else (low, high)


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


def log_ticks(low: float, high: float, most: int) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Return the places (log10) and the labels of ticks on a logarithmic axis from `low` to `high`, both log10.

    Powers of ten, every second, third, … where there are more than `most`; where there are fewer than two, 2 and 5 too.
    """
    first, last = math.ceil(low - 1e-9), math.floor(high + 1e-9)
    every = max(-(-(last - first + 1) // max(most, 1)), 1)
    places = [float(power) for power in range(first, last + 1, every)]
    if len(places) < 2:
        steps = (power + math.log10(factor) for power in range(first - 1, last + 1) for factor in (1, 2, 5))
        places = [place for place in steps if low - 1e-9 <= place <= high + 1e-9][: max(most, 2)]
    return tuple(places), tuple(f"{10.0**place:.3g}" for place in places)


class RowScale(NamedTuple):
    """The y axis of a plot of rows: the value at the lower edge of the lowest one, value per row, and the ticks.

    A tick is (row, value): it falls on the lower edge of that row exactly, so that nothing drawn beside it is off by
    half a row. Rows count from the bottom.
    """

    base: float
    row: float
    ticks: tuple[tuple[int, float], ...]

    def height(self, value: float) -> float:
        """Return how many rows above the lowest edge a value is."""
        return value / self.row - self.base / self.row


def row_scale(high: float, rows: int) -> RowScale:
    """Return the scale of `rows` rows above zero; `high` > 0 fits with at least half a row to spare."""
    needed = high * (1 + 0.5 / rows)
    power = 10.0 ** math.floor(math.log10(needed))
    least = 2 if rows >= 4 else 1
    best, (top, step, every) = -1.0, (needed, needed * 2, rows + 1)
    for size in (factor * power * scale for scale in (0.1, 1.0) for factor in (1, 2, 2.5, 5, 10)):
        count = int(rows * size / needed)
        if least <= count <= rows and rows // count <= 8:
            reach = rows * size / count
            # Full use of the height first, then a tick near the tallest bar, then some four ticks.
            bare = max(high - (rows - 1) // count * size, 0.0) / high
            score = needed / reach - 0.5 * bare - 0.04 * abs(rows // count - 4)
            if score > best:
                best, (top, step, every) = score, (reach, size, count)
    return RowScale(
        0.0, top / rows, tuple((number * every, number * step) for number in range((rows - 1) // every + 1))
    )


# Steps of ticks, times a power of ten: the ones that read best, and others that may fill the height better.
_PLAIN, _FACTORS = (1, 2, 5, 10), (1, 2, 2.5, 3, 4, 5, 6, 10)


def fitted_row_scale(low: float, high: float, rows: int) -> RowScale:
    """Return the scale of `rows` rows that hold `low` … `high` (`low` < `high`), an eighth of a row to spare."""
    span, margin = high - low, 1 / 8
    power = 10.0 ** math.floor(math.log10(span))
    best, found = -math.inf, RowScale(low - span / rows, span * (1 + 2 / rows) / rows, ((0, low - span / rows),))
    for size, plain in ((factor * power * scale, factor in _PLAIN) for scale in (0.1, 1.0) for factor in _FACTORS):
        for every in range(1 if rows < 4 else 2, rows + 1):
            row = size / every
            first = 0 if low == 0 else math.floor(low / row - margin)
            marks = tuple((at, (first + at) // every * size) for at in range(rows) if (first + at) % every == 0)
            if high / row + margin > first + rows or not 1 <= len(marks) <= 8:
                continue
            score = span / (rows * row) - 0.04 * abs(len(marks) - 4) - 0.3 * (len(marks) == 1) - 0.05 * (not plain)
            if score > best:
                best, found = score, RowScale(first * row, row, marks)
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
    """Return `values` in at most `width` characters each, alike: 0.713, 0.71, .71; None: "–". None where none fits.

    Where all are whole numbers, such as counts, none has decimals.
    """
    known = list(values)
    if all(value is None or (abs(value) < 1e9 and float(value).is_integer()) for value in known):
        whole = tuple("–" if value is None else f"{value:.0f}" for value in known)
        if all(len(text) <= width for text in whole):
            return whole
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


def spread(wanted: Sequence[float], room: float) -> list[float]:
    """Return places (0 … `room` - 1) for texts one high, at least 1 apart, as near to the `wanted` ones as can be.

    `wanted` ascends, and there are at most `room` of them. Texts that would overlap stand around the mean of their
    wanted places (isotonic regression by pooling).
    """
    blocks: list[tuple[float, int]] = []  # mean offset, texts
    for index, place in enumerate(wanted):
        blocks.append((place - index, 1))
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            (upper, more), (lower, count) = blocks.pop(), blocks.pop()
            blocks.append(((upper * more + lower * count) / (more + count), more + count))
    offsets = [min(max(offset, 0.0), room - len(wanted)) for offset, count in blocks for _ in range(count)]
    return [offset + index for index, offset in enumerate(offsets)]
