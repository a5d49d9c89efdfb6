"""Charts of two quantities in terminal cells: curves, and dots with a sign each. plotext draws them and their axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from embcx_tui.figures import ticks
from embcx_tui.figures.cells.canvas import Cells, Entry, Frame, draw_legend, frame_of
from embcx_tui.figures.cells.plotext_adapter import Axis, Chart, Line, Mark, render
from embcx_tui.figures.model import Curve, Curves, DotGroup, Dots
from embcx_tui.figures.palette import SIGNS
from embcx_tui.figures.spans import Look, Style

_LEAST_CURVES, _LEAST_DOTS = (16, 5), (20, 7)  # width, height


def _frame(figure: Curves | Dots, height: int, legend: bool) -> Frame:
    """Return the rows of a chart; those of its axes are the plot's."""
    wanted = (("title", figure.title, 6), ("legend", legend, 7), ("x_label", figure.x_label, 7))
    return frame_of(height, (*wanted, ("note", figure.note, 10)))


def _axes(
    x: tuple[float, float],
    y: tuple[float, float],
    width: int,
    rows: int,
    names: tuple[str, ...] = (),
    log: bool = False,
) -> tuple[Axis, Axis]:
    """Return axes with round ticks; with `names` those of x are 0, 1, …, every second, third, … if they are long.

    With `log` the numbers of y are logarithms to base 10.
    """
    if names:
        longest = max(len(name) for name in names)
        every = max(1, -(-len(names) * (longest + 2) // max(width - _LEAST_CURVES[0] // 2, 1)))
        x_ticks = tuple(float(number) for number in range(0, len(names), every))
        x_labels = names[::every]
    else:
        x_ticks = ticks.ticks(*x, max(min(width // 12, 8), 1))
        x_labels = ticks.tick_labels(x_ticks)
    most = max(min(rows // 3, 6), 1)
    if log:
        return Axis(x, x_ticks, x_labels, line=True), Axis(y, *ticks.log_ticks(*y, most), line=True)
    y_ticks = ticks.ticks(*y, most)
    return Axis(x, x_ticks, x_labels, line=True), Axis(y, y_ticks, ticks.tick_labels(y_ticks), line=True)


def draw_curves(curves: Curves, width: int, height: int, look: Look) -> Cells:
    """Return `curves` painted on `width` × `height` cells."""
    cells = Cells(width, height, look)
    lines = [piece for line in curves.lines for piece in _pieces(line, look, curves.log)]
    if not lines:
        return cells.say_nothing(curves.title, curves.note or "nothing to draw yet")
    if width < _LEAST_CURVES[0] or height < _LEAST_CURVES[1]:
        return cells.words("too small", "for curves")
    entries = dict.fromkeys((line.label, line.place) for line in curves.lines)
    frame, chart = _curve_chart(curves, lines, width, height)
    cells.paste(render(chart, width, frame.bottom - frame.top, look), 0, frame.top)
    frame.draw(cells, curves.title, curves.y_label, curves.x_label, curves.note)
    if "legend" in frame.rows:
        signs = [
            Entry("━━" if look.colours else _sign(place), label, Style(look.series(place), bold=True), look.text)
            for label, place in entries
        ]
        draw_legend(cells, frame.rows["legend"], signs)
    return cells


def _curve_chart(curves: Curves, lines: Sequence[Line], width: int, height: int) -> tuple[Frame, Chart]:
    """Return the frame of `curves` and what plotext draws."""
    frame = _frame(curves, height, any(line.label for line in curves.lines))
    y_low, y_high = ticks.bounds((y for _, ys, _ in lines for y in ys), zero=curves.zero)
    if 0 < y_low < 0.25 * y_high and not curves.log:  # what falls towards zero, such as a loss, shows its zero
        y_low = 0.0
    x = ticks.bounds(x for xs, _, _ in lines for x in xs)
    axes = _axes(x, (y_low, y_high), width, frame.bottom - frame.top, curves.x_names, curves.log)
    return frame, Chart(*axes, lines=lines)


def curve_at(curves: Curves, width: int, height: int, column: int, row: int, look: Look) -> tuple[int, int] | None:
    """Return the (line, point) nearest to a cell of the drawing, by column first; None beside the plot."""
    found = _curves_of(curves, width, height, look)
    if found is None:
        return None
    frame, chart = found
    left, columns, down = chart.area(width, frame.bottom - frame.top)
    if not (left <= column < left + columns and frame.top <= row < frame.top + down):
        return None
    nearest: list[tuple[int, int, int, int]] = []
    for index, (points, cells) in enumerate(curve_cells(curves, width, height, look)):
        if points.size:
            across, away = np.abs(cells[:, 0] - column), np.abs(cells[:, 1] - row)
            best = int(np.lexsort((away, across))[0])
            nearest.append((int(across[best]), int(away[best]), index, int(points[best])))
    return min(nearest)[2:] if nearest else None


def curve_cells(
    curves: Curves, width: int, height: int, look: Look
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return for each curve which of its points are drawn [n], and their (column, row) cells [n, 2]; empty without."""
    found = _curves_of(curves, width, height, look)
    if found is None:
        return []
    frame, chart = found
    drawn = []
    for line in curves.lines:
        x, y, good = _drawable(line, curves.log)
        cells = np.empty((0, 2), dtype=np.int64)
        if good.size:
            cells = chart.cells_of(x[good], y[good], width, frame.bottom - frame.top) + np.array([0, frame.top])
        drawn.append((good, cells))
    return drawn


def _curves_of(curves: Curves, width: int, height: int, look: Look) -> tuple[Frame, Chart] | None:
    lines = [piece for line in curves.lines for piece in _pieces(line, look, curves.log)]
    if not lines or width < _LEAST_CURVES[0] or height < _LEAST_CURVES[1]:
        return None
    return _curve_chart(curves, lines, width, height)


def _drawable(curve: Curve, log: bool) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return x and y of a curve, with `log` y's logarithm to base 10, and which points can be drawn."""
    size = min(len(curve.x), len(curve.y))
    x, y = (np.asarray(values, dtype=np.float64)[:size] for values in (curve.x, curve.y))
    if log:
        y = np.log10(y, out=np.full(size, np.nan), where=(y > ticks.SMALLEST) & (y < ticks.LARGEST))
    return x, y, np.flatnonzero((np.abs(x) < ticks.LARGEST) & (np.abs(y) < ticks.LARGEST))


def _pieces(curve: Curve, look: Look, log: bool = False) -> list[Line]:
    """Return a curve as lines between its gaps: where x or y is not finite, or too large to be drawn.

    With `log` y becomes its logarithm to base 10.
    """
    x, y, good = _drawable(curve, log)
    mark = Mark("braille" if look.colours and look.unicode else _sign(curve.place), Style(look.series(curve.place)))
    parts = np.split(good, np.flatnonzero(np.diff(good) > 1) + 1)
    return [(x[part].tolist(), y[part].tolist(), mark) for part in parts if part.size]


def _sign(place: int) -> str:
    return SIGNS[place % len(SIGNS)]


class _Dot(NamedTuple):
    x: float
    y: float
    owner: tuple[int, int]  # (group, dot)


def draw_dots(dots: Dots, width: int, height: int, look: Look) -> Cells:
    """Return `dots` painted on `width` × `height` cells: with colours a dot's sign is its mark, its colour the group's.

    Without colours each group has a sign of its own. Where dots share a cell the last one is seen.
    """
    cells = Cells(width, height, look)
    placed = _placed(dots)
    if not placed:
        return cells.say_nothing(dots.title, dots.note or "nothing measured yet")
    if width < _LEAST_DOTS[0] or height < _LEAST_DOTS[1]:
        return cells.words("too small", "for dots")
    signs = _signs(dots.groups, look)
    frame, chart = _dot_chart(dots, placed, signs, width, height, look)
    cells.paste(render(chart, width, frame.bottom - frame.top, look), 0, frame.top)
    for (column, row), owner in zip(*dot_cells(dots, width, height), strict=True):
        if owner == dots.chosen:
            cells.put_selected_point(int(column), int(row), signs[owner[0]], range(width))
    frame.draw(cells, dots.title, dots.y_label, dots.x_label, dots.note)
    if "legend" in frame.rows:
        _draw_dot_legend(cells, frame.rows["legend"], dots, signs)
    return cells


def dot_cells(dots: Dots, width: int, height: int) -> tuple[NDArray[np.int64], tuple[tuple[int, int], ...]]:
    """Return the (column, row) cells [n, 2] of all dots, and which (group, dot) each is; those on top come first."""
    placed = _placed(dots)
    if not placed or width < _LEAST_DOTS[0] or height < _LEAST_DOTS[1]:
        return np.empty((0, 2), dtype=np.int64), ()
    frame, chart = _dot_chart(dots, placed, [""] * len(dots.groups), width, height, Look())
    top_first = sorted(placed, key=lambda dot: (dot.owner == dots.chosen, dot.owner), reverse=True)
    x, y, owners = zip(*top_first, strict=True)
    return chart.cells_of(x, y, width, frame.bottom - frame.top) + np.array([0, frame.top]), owners


def _placed(dots: Dots) -> list[_Dot]:
    """Return the dots that can be drawn, in the order in which they are."""
    return [
        _Dot(float(x), float(y), (index, number))
        for index, group in enumerate(dots.groups)
        for number, (x, y) in enumerate(zip(group.x, group.y, strict=False))
        if abs(x) < ticks.LARGEST and abs(y) < ticks.LARGEST
    ]


def _dot_chart(
    dots: Dots, placed: Sequence[_Dot], signs: list[str], width: int, height: int, look: Look
) -> tuple[Frame, Chart]:
    """Return the frame of `dots` and what plotext draws."""
    frame = _frame(dots, height, True)
    rows = frame.bottom - frame.top
    low, high = ticks.bounds(dot.x for dot in placed)
    # A cell is free on both sides: the selected dot stands between brackets.
    beside = (high - low) / (width - 12)
    x, y = _axes((low - beside, high + beside), ticks.bounds(dot.y for dot in placed), width, rows)
    styles = [Style(look.series(group.place), bold=True) for group in dots.groups]
    points = [(dot.x, dot.y, Mark(signs[dot.owner[0]], styles[dot.owner[0]])) for dot in placed]
    return frame, Chart(x, y, points=points)


def _signs(groups: Sequence[DotGroup], look: Look) -> list[str]:
    """Return each group's sign: its number where colours tell the rest, else one of its own."""
    if look.colours:
        return [_sign(group.mark) for group in groups]
    return [SIGNS[10 + index % (len(SIGNS) - 10)] for index in range(len(groups))]


def _draw_dot_legend(cells: Cells, row: int, dots: Dots, signs: list[str]) -> None:
    look = cells.look
    if look.colours:
        entries = list(dict.fromkeys((group.label, "■", group.place) for group in dots.groups))
    else:
        named = zip(dots.groups, signs, strict=True)
        entries = [(f"{group.label} {group.mark}", sign, group.place) for group, sign in named]
    legend = [Entry(sign, label, Style(look.series(place), bold=True), look.text) for label, sign, place in entries]
    column, what = draw_legend(cells, row, legend, gap=2), dots.mark_label
    if what.strip():
        short = what.split()[-1]
        texts = (f"digit = {what}", f"digit = {short}") if look.colours else (f"({what})", f"({short})")
        cells.muted(column, row, texts[column + len(texts[0]) > cells.width])
