"""What is under a cell of a drawing: which panel, bar, row, dot or point, and which place in the plane."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embcx_tui.figures.cells import bars as bar_chart
from embcx_tui.figures.cells import heat as heat_map
from embcx_tui.figures.cells import scatter as scatter_plot
from embcx_tui.figures.cells.panels import Part, parts
from embcx_tui.figures.model import Bars, Figure, Heat, Scatter
from embcx_tui.figures.spans import Look


def part_at(figure: Figure, width: int, height: int, column: int, row: int) -> Part | None:
    """Return the single figure that a cell belongs to; None between panels, on their title, legend and note."""
    return next((part for part in parts(figure, width, height) if part.holds(column, row)), None)


def bar_at(bars: Bars, width: int, height: int, column: int, row: int) -> tuple[int, int] | None:
    """Return the (group, bar) that a cell belongs to, from the top of the plot to the numbers below; None: none."""
    layout = bar_chart.layout_of(bars, width, height)
    if layout is None:
        return None
    rows = layout.frame.rows
    below = max([layout.frame.bottom - 1, *(rows[name] for name in ("axis", "labels", "mean", "sd") if name in rows)])
    if not layout.frame.top <= row <= below:
        return None
    for start, found in zip(layout.columns.starts, bar_chart.indices_of(bars), strict=False):
        if 0 <= column - layout.columns.text_start(start) < layout.columns.slot:
            return found
    return None


def heat_cell(heat: Heat, width: int, height: int, column: int, row: int, look: Look) -> tuple[int, int] | None:
    """Return which (row, column) of `heat` a cell of its drawing shows the value of; None beside the values."""
    layout = heat_map.layout_of(heat, width, height, look)
    found = heat_row(heat, width, height, column, row, look)
    if layout is None or found is None or column < layout.gutter:
        return None
    return found, (column - layout.gutter) // layout.wide


def heat_row(heat: Heat, width: int, height: int, column: int, row: int, look: Look) -> int | None:
    """Return which row of `heat` a cell of its drawing belongs to, with its name; None where there is none."""
    layout = heat_map.layout_of(heat, width, height, look)
    if layout is None or not 0 <= column < layout.gutter + len(heat.columns) * layout.wide:
        return None
    found = (row - layout.frame.top) // layout.high
    return found if 0 <= found < len(heat.rows) else None


def locate(
    scatter: Scatter, width: int, height: int, look: Look | None = None, *, legend: bool = True
) -> NDArray[np.int64]:
    """Return the (column, row) cell of each point [n, 2] as `draw` places it at this size; -1 where not shown.

    Of a scatter in panels: its part's size and `legend`, and the cells are the part's own.
    """
    return scatter_plot.layout_of(scatter, max(width, 1), max(height, 1), look or Look(), legend).cells


def data_at(
    scatter: Scatter, width: int, height: int, column: int, row: int, look: Look | None = None, *, legend: bool = True
) -> tuple[float, float] | None:
    """Return the place (x, y) in the plane that the middle of a cell shows; None beside the plot or without points."""
    layout = scatter_plot.layout_of(scatter, max(width, 1), max(height, 1), look or Look(), legend)
    line = row - layout.frame.top
    if layout.projection is None or not (0 <= column < layout.columns and 0 <= line < layout.rows):
        return None
    x, y = layout.projection.points(np.array([2 * column + 0.5, 4 * line + 1.5]))
    return float(x), float(y)


def nearest_cell(cells: NDArray[np.int64], column: int, row: int, within: float) -> int | None:
    """Return the point shown nearest to a cell, at most `within` columns away; None where there is none.

    `cells` [n, 2] are (column, row), below 0 where a point is not shown; a cell is twice as high as wide.
    """
    shown = cells[:, 0] >= 0
    if not shown.any():
        return None
    offset = (cells - np.array([column, row])).astype(np.float64) * np.array([1.0, 2.0])
    distance = np.where(shown, np.hypot(offset[:, 0], offset[:, 1]), np.inf)
    best = int(distance.argmin())
    return best if distance[best] <= within else None


def next_in_direction(cells: NDArray[np.int64], start: int, dx: int, dy: int) -> int | None:
    """Return the nearest point from point `start` in a direction; None where there is none.

    `cells` are as in `nearest_cell`. Points within 45° of the direction count, and one off the axis is as far as its
    way there and back.
    """
    shown = cells[:, 0] >= 0
    offset = (cells - cells[start]).astype(np.float64) * np.array([1.0, 2.0])
    along = offset[:, 0] * dx + offset[:, 1] * dy
    across = np.abs(offset[:, 0] * dy - offset[:, 1] * dx)
    ahead = shown & (along > 0) & (across <= along)
    if not ahead.any():
        ahead = shown & (along > 0)
        if not ahead.any():
            return None
    cost = np.where(ahead, along + 2 * across, np.inf)
    return int(cost.argmin())
