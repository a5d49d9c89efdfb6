"""The y axis of bars and lines in cells: its ticks stand exactly where their values are.

plotext's own axis lines and tick marks stand in the middle of a cell, half a row off. Ours are plotext blocks and
points of ▔, │ and ▁, on a scale whose ticks fall on the edges of rows.
"""

from __future__ import annotations

from typing import NamedTuple

from embcx_tui.figures import ticks
from embcx_tui.figures.cells.plotext_adapter import Axis, Block, Mark, Point
from embcx_tui.figures.spans import Style


class ValueAxis(NamedTuple):
    """plotext's y axis in rows from the bottom, and what else is drawn of it, in cells from the ticks' column on."""

    axis: Axis
    blocks: tuple[Block, ...]
    points: tuple[Point, ...]


def value_axis(scale: ticks.RowScale, rows: int, label_width: int, foot: int, style: Style) -> ValueAxis:
    """Return the axis of `rows` rows with a line below them, `foot` cells long (0: no line, and no row for it).

    Labels have `label_width` cells. The marks stand in the first column of the plot, the axis in the second.
    """
    values = tuple(value for _, value in scale.ticks)
    labels = ticks.tick_labels(values) if len(values) > 1 or values[0] else ("0",)
    # A label stands on its line: the lower edge of its row is its value.
    at = tuple(row + 0.5 for row, _ in scale.ticks)
    blocks: list[Block] = [(1.5, rows - 0.5, 1, rows, Mark("│", style))]
    if foot:
        blocks.append((0.5, -0.5, foot, 1, Mark("▔", style)))
    axis = Axis(
        (-float(foot > 0), float(rows)), at, tuple(text[:label_width].rjust(label_width) for text in labels), edges=True
    )
    return ValueAxis(axis, tuple(blocks), tuple((0.5, y, Mark("▁", style)) for y in at))
