"""The value under a cell of a drawing, in one line: which bar, line, curve, dot or block it is, and its number."""

from __future__ import annotations

from embcx_tui.figures.cells.curves_and_dots import curve_at, dot_cells
from embcx_tui.figures.cells.hit_testing import bar_at, heat_cell, nearest_cell, part_at
from embcx_tui.figures.cells.layer_lines import line_at
from embcx_tui.figures.cells.values import Value
from embcx_tui.figures.model import Bar, BarGroup, Bars, Curves, Dots, Figure, Heat, Lines, Panels, Single
from embcx_tui.figures.spans import Look

# A dot is meant up to so many columns beside it.
_NEAR = 2.0


def value_words(figure: Figure, width: int, height: int, column: int, row: int, look: Look) -> str:
    """Return the value under a cell of `figure` as `draw` paints it at this size; empty where there is none."""
    part = part_at(figure, width, height, column, row)
    if part is None:
        return ""
    size, at = (part.width, part.height), (column - part.column, row - part.row)
    words = _words(part.figure, size, at, look, part.legend)
    title = part.figure.title if words and part.figure is not figure else ""
    return " · ".join(filter(None, [title, words]))


def words_of(figure: Figure, value: Value) -> str:
    """Return a value of `values_of` in one line, with the title of its panel where there are several."""
    single = figure.figures[value.panel] if isinstance(figure, Panels) else figure
    at = (value.series, value.place)
    if isinstance(single, (Bars, Lines)):
        words = _mean(single, *at)
    elif isinstance(single, Heat):
        words = _block(single, *at)
    elif isinstance(single, Dots):
        words = _dot(single, *at)
    else:
        words = _curve(single, *at) if isinstance(single, Curves) else ""
    return " · ".join(filter(None, [single.title if single is not figure else "", words]))


def _words(figure: Single, size: tuple[int, int], at: tuple[int, int], look: Look, legend: bool) -> str:
    if isinstance(figure, Bars):
        bar = bar_at(figure, *size, *at)
        return _mean(figure, *bar) if bar else ""
    if isinstance(figure, Lines):
        value = line_at(figure, *size, *at, look, legend)
        return _mean(figure, *value) if value else ""
    if isinstance(figure, Heat):
        cell = heat_cell(figure, *size, *at, look)
        return _block(figure, *cell) if cell else ""
    if isinstance(figure, Dots):
        cells, owners = dot_cells(figure, *size)
        near = nearest_cell(cells, *at, _NEAR)
        return "" if near is None else _dot(figure, *owners[near])
    if isinstance(figure, Curves):
        found = curve_at(figure, *size, *at, look)
        return _curve(figure, *found) if found else ""
    return ""


def _mean(figure: Bars | Lines, group: int, place: int) -> str:
    one, bar = figure.groups[group], figure.groups[group].bars[place]
    where = f"{figure.x_label} {bar.label}" if bar.label.isdecimal() and figure.x_label else bar.label
    return f"{_group(one)}, {where}: {_number(bar)}"


def _group(group: BarGroup) -> str:
    return f"{group.label} {group.control}" if group.control else group.label


def _number(bar: Bar) -> str:
    runs = len(bar.counted)
    if bar.mean is None:
        return "not measured" if not any(bar.flagged) else "degenerate"
    spread = "" if bar.sd is None else f" ± {bar.sd:.4f}, {runs} runs"
    return f"{bar.mean:.4f}{spread}"


def _block(heat: Heat, row: int, column: int) -> str:
    value = float(heat.values[row, column])
    where = f"{heat.y_label} {heat.rows[row]}, {heat.x_label} {heat.columns[column]}"
    return f"{where}: {value:.4g}" if value == value else f"{where}: not measured"


def _dot(dots: Dots, group: int, dot: int) -> str:
    one = dots.groups[group]
    name = one.names[dot] if dot < len(one.names) else one.label
    return f"{name}: {dots.x_label} {one.x[dot]:.4g}, {dots.y_label} {one.y[dot]:.4g}"


def _curve(curves: Curves, line: int, point: int) -> str:
    one = curves.lines[line]
    x, y = float(one.x[point]), float(one.y[point])
    names = curves.x_names
    where = names[int(x)] if names and 0 <= int(x) < len(names) else f"{x:g}"
    return f"{one.name or one.label}, {curves.x_label} {where}: {y:.4g}"
