"""Curves in terminal cells: plotext draws lines and axes, we add title, legend and labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embcx_tui.figures import plotext_chart, ticks
from embcx_tui.figures.model import Curve, Curves
from embcx_tui.figures.palette import SIGNS, colour
from embcx_tui.figures.terminal_cells import Cells, Look, split_cells

NOTHING = "nothing to draw yet"
_LEAST_WIDTH, _LEAST_HEIGHT = 16, 5


def _clean(curve: Curve) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return x and y [k] of equal length with NaN wherever either is not finite."""
    size = min(len(curve.x), len(curve.y))
    x, y = (np.asarray(one, dtype=np.float64)[:size] for one in (curve.x, curve.y))
    good = np.isfinite(x) & np.isfinite(y) & (np.abs(y) < ticks.LARGEST) & (np.abs(x) < ticks.LARGEST)
    return np.where(good, x, np.nan), np.where(good, y, np.nan)


def _pieces(x: NDArray[np.float64], y: NDArray[np.float64]) -> list[tuple[list[float], list[float]]]:
    """Split a line at its gaps."""
    good = np.flatnonzero(np.isfinite(y))
    if not good.size:
        return []
    cuts = np.flatnonzero(np.diff(good) > 1) + 1
    return [(x[part].tolist(), y[part].tolist()) for part in np.split(good, cuts)]


def draw_curves(curves: Curves, width: int, height: int, look: Look) -> Cells:
    """Return `curves` painted on `width` × `height` cells."""
    cells = Cells(width, height, look)
    cleaned = [(_clean(line), line) for line in curves.lines]
    pieces = [(piece, line.place) for (x, y), line in cleaned for piece in _pieces(x, y)]
    if not pieces:
        reason = curves.note or NOTHING
        return cells.words(curves.title, reason) if curves.title and height > 1 else cells.words(reason)
    if width < _LEAST_WIDTH or height < _LEAST_HEIGHT:
        return cells.words("too small", "for curves")
    entries = list(dict.fromkeys((line.label, line.place) for line in curves.lines))
    title = int(bool(curves.title) and height >= 7)
    legend = int(height >= 9 and any(label for label, _ in entries))
    note = int(bool(curves.note) and height >= 14)
    label = int(bool(curves.x_label) and height >= 10)
    box = (width, height - title - legend - note - label)
    x_low, x_high = ticks.bounds(value for (xs, _), _ in pieces for value in xs)
    y_low, y_high = ticks.bounds((value for (_, ys), _ in pieces for value in ys), zero=curves.zero)
    if 0 < y_low < 0.25 * y_high:  # what falls towards zero, such as a loss, shows its zero
        y_low = 0.0
    chart = plotext_chart.Chart(
        lines=tuple((xs, ys, colour(place), _sign(place)) for (xs, ys), place in pieces),
        x_limits=(x_low, x_high),
        y_limits=(y_low, y_high),
        x_ticks=_named_places(curves.x_names, width)
        if curves.x_names
        else ticks.ticks(x_low, x_high, max(min(width // 12, 8), 1)),
        y_ticks=ticks.ticks(y_low, y_high, max(min(box[1] // 3, 6), 1)),
        x_names=curves.x_names,
    )
    cells.paste(plotext_chart.render(chart, *box, look), 0, title + legend)
    if title:
        used = cells.put(0, 0, curves.title, look.ink, bold=True)
        if curves.y_label and used + 3 + len(curves.y_label) <= width:
            cells.muted(used + 3, 0, curves.y_label)
    if legend:
        _draw_legend(cells, title, entries)
    if label:
        cells.muted(0, height - 1 - note, curves.x_label, align=0.5)
    if note:
        cells.muted(0, height - 1, curves.note)
    return cells


def _named_places(names: tuple[str, ...], width: int) -> tuple[float, ...]:
    """Return the places whose names fit side by side: every one, or every second, third, …"""
    longest = max(len(name) for name in names)
    every = max(1, -(-len(names) * (longest + 2) // max(width - _LEAST_WIDTH // 2, 1)))
    return tuple(float(place) for place in range(0, len(names), every))


def _sign(place: int) -> str:
    return SIGNS[place % len(SIGNS)]


def _draw_legend(cells: Cells, row: int, entries: list[tuple[str, int]]) -> None:
    look = cells.look
    column = 0
    for order, (label, place) in enumerate(entries):
        mark = "━━" if look.colours else _sign(place)
        need = len(split_cells(mark, look.unicode)) + 1 + len(split_cells(label, look.unicode))
        rest = len(entries) - order
        if column + need + (8 if rest > 1 else 0) > cells.width:
            cells.muted(column, row, f"+{rest} more")
            return
        column += cells.put(column, row, mark, colour(place), bold=True) + 1
        column += cells.put(column, row, label, look.ink) + 3
