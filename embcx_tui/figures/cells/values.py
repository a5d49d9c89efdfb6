"""The values of a drawing and the cells they stand in: a cursor goes from one to the next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from embcx_tui.figures.cells import bars as bar_chart
from embcx_tui.figures.cells import heat as heat_map
from embcx_tui.figures.cells import layer_lines
from embcx_tui.figures.cells.curves_and_dots import curve_cells, dot_cells
from embcx_tui.figures.cells.hit_testing import next_in_direction
from embcx_tui.figures.cells.panels import Part, parts
from embcx_tui.figures.model import Bars, Curves, Dots, Figure, Heat, Lines
from embcx_tui.figures.spans import Look


@dataclass(frozen=True, slots=True)
class Value:
    """A value of a figure: the panel it is in, its series there (group of bars, line, curve, row of a heat map) and its
    place in that series (layer, epoch, column); `column` and `row` are the cell of the drawing that shows it.
    """

    panel: int
    series: int
    place: int
    column: int
    row: int

    @property
    def key(self) -> tuple[int, int, int]:
        """What stays the same while the figure is drawn in another size, or its numbers change."""
        return self.panel, self.series, self.place


def values_of(figure: Figure, width: int, height: int, look: Look) -> tuple[Value, ...]:
    """Return the values that `draw` shows of a figure at this size, series by series; none of a plane of points."""
    return tuple(
        Value(part.place, series, place, part.column + column, part.row + row)
        for part in parts(figure, width, height)
        for series, place, column, row in sorted(_in_part(part, look))
    )


def _in_part(part: Part, look: Look) -> Iterator[tuple[int, int, int, int]]:
    """Yield (series, place, column, row) of each value of a single figure, in its own cells."""
    figure, size = part.figure, (part.width, part.height)
    if isinstance(figure, Bars) and (bars := bar_chart.layout_of(figure, *size)):
        frame = bars.frame
        for start, (group, bar) in zip(bars.columns.starts, bar_chart.indices_of(figure), strict=False):
            share = (figure.groups[group].bars[bar].mean or 0.0) / bars.high if bars.high else 0.0
            up = min(max(int(share * bars.rows), 0), bars.rows - 1)
            yield group, bar, start + (bars.columns.bar - 1) // 2, frame.bottom - 1 - up
    elif isinstance(figure, Lines) and (lines := layer_lines.layout_of(figure, *size, look, part.legend)):
        for index, one in enumerate(figure.groups):
            for layer, value in enumerate(one.bars):
                if value.mean is not None:
                    yield index, layer, lines.columns[layer], lines.row_of(value.mean)
    elif isinstance(figure, Heat) and (heat := heat_map.layout_of(figure, *size, look)):
        rows, columns = np.shape(figure.values)
        for row in range(rows):
            for column in range(columns):
                middle = heat.gutter + column * heat.wide + heat.wide // 2
                yield row, column, middle, heat.frame.top + row * heat.high + heat.high // 2
    elif isinstance(figure, Dots):
        cells, owners = dot_cells(figure, *size)
        for (group, dot), (column, row) in zip(owners, cells.tolist(), strict=True):
            yield group, dot, column, row
    elif isinstance(figure, Curves):
        for index, (points, cells) in enumerate(curve_cells(figure, *size, look)):
            for point, (column, row) in zip(points.tolist(), cells.tolist(), strict=True):
                yield index, point, column, row


def next_value(figure: Figure, values: tuple[Value, ...], here: Value, dx: int, dy: int) -> Value:
    """Return the value beside `here`: to the left or right along its series, and at the ends of it in the next panel;
    above or below another series at the same place. Of dots the nearest in that direction. `here` where there is none.
    """
    mine = [value for value in values if value.panel == here.panel]
    if isinstance(figure, Dots):
        cells = np.array([(value.column, value.row) for value in values])
        found = next_in_direction(cells, values.index(here), dx, dy)
        return here if found is None else values[found]
    if dy:
        # Values in one cell are gone through in the order of their series.
        same = sorted((value for value in mine if value.place == here.place), key=lambda v: (v.row, v.series))
        return same[min(max(same.index(here) + dy, 0), len(same) - 1)]
    series = [value for value in mine if value.series == here.series]
    at = series.index(here)
    beyond = (value for value in series[at + 1 :] if value.column != here.column) if dx > 0 else (
        value for value in reversed(series[:at]) if value.column != here.column
    )  # fmt: skip
    if following := next(beyond, None):
        return following
    panel = [value for value in values if value.panel == here.panel + dx]
    like = [value for value in panel if value.series == here.series] or panel
    return (like[0] if dx > 0 else like[-1]) if like else here
