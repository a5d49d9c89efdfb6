"""The only user of plotext: a chart from its numbers to cells.

plotext 6's figure is a singleton of the process, so a chart is built whole under a lock. Its import takes 0.2 s, so it
happens with the first chart. What it does that we do not want: it cuts charts to the size of the terminal (limit
lifted), paints its own background (set to the terminal's), and a coordinate that is no finite number ends in undefined
behaviour of its kernel (drawers leave those out).

Points are appended to plotext's signal class directly. `figure.signal` and `figure.draw` copy a marker for each point
and look at each point's colour in Python, to choose colours we never ask for: 25 of the 30 ms of a scatter of 1,000.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from embcx_tui.figures.cells.canvas import ASCII, Cells, Look, Style, pack

_LOCK = threading.Lock()
# A run of cells in one style: SGR sequences, then text.
_PIECE = re.compile(r"((?:\x1b\[[0-9;]*m)*)([^\x1b\n]*)")
# How far from a plot's edges plotext's kernel puts the ends of an axis, in cells (its `rescale_element`).
_EDGE, _MIDDLE, _FIRST, _LAST = 1e-4, 0.5, 0.0016585662, 0.001516152


class Mark(NamedTuple):
    """What is drawn at a point: one character, or "braille" for one of its dots."""

    glyph: str
    style: Style = Style()


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis: the numbers at its ends, its ticks, and whether it is drawn as a line with a mark at each tick.

    The `limits` are those of the first and the last cell's middles, or with `edges` of the outer edges.
    """

    limits: tuple[float, float]
    ticks: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()
    line: bool = False
    edges: bool = False

    def cell_of(self, values: ArrayLike, count: int) -> NDArray[np.int64]:
        """Return which of an axis' `count` cells each of `values` lies in, as plotext's kernel rounds."""
        low, high = self.limits
        inset = _EDGE if self.edges else _MIDDLE
        first, last = inset + _FIRST, inset + _LAST
        share = (np.asarray(values, dtype=np.float64) - low) / (high - low)
        return np.asarray((first + (count - first - last) * share).astype(np.int64))


Point = tuple[float, float, Mark]  # x, y
Line = tuple[Sequence[float], Sequence[float], Mark]  # x [k], y [k]
Block = tuple[float, float, int, int, Mark]  # a point in its upper left cell, its columns and rows


@dataclass(frozen=True, slots=True)
class Chart:
    """What plotext draws, `blocks` (rectangles of one mark) first and `points` last; all numbers finite."""

    x: Axis
    y: Axis
    blocks: Sequence[Block] = ()
    lines: Sequence[Line] = ()
    points: Sequence[Point] = ()

    def area(self, width: int, height: int) -> tuple[int, int, int]:
        """Return the plot's first column, its columns and its rows (from the top) on `width` × `height` cells."""
        left = max((len(label) for label in self.y.labels), default=0) + self.y.line
        return left, width - left, height - self.x.line - bool(self.x.labels)

    def cells_of(self, x: ArrayLike, y: ArrayLike, width: int, height: int) -> NDArray[np.int64]:
        """Return the (column, row) cells [n, 2] that points are drawn in on `width` × `height` cells."""
        left, columns, rows = self.area(width, height)
        upwards = Axis((self.y.limits[1], self.y.limits[0]), edges=self.y.edges)
        return np.stack([left + self.x.cell_of(x, columns), upwards.cell_of(y, rows)], axis=-1)


def load() -> None:
    """Import plotext now, for a program that has a moment to spare before its first chart."""
    with _LOCK:
        import plotext  # noqa: F401


def render(chart: Chart, width: int, height: int, look: Look) -> Cells:
    """Return `chart` with its axes on `width` × `height` cells."""
    with _LOCK:
        text = _build(chart, width, height, look)
    cells = Cells(width, height, look)
    _paint(cells, text)
    return cells


def _build(chart: Chart, width: int, height: int, look: Look) -> str:
    import plotext

    figure = plotext.figure
    figure.clear.data()  # what else there is of the chart before is set anew
    plotext.terminal.limit(False, False)
    figure.plot_size(width, height)
    figure.canvas("default")
    axis_pixel = plotext.pixel(look.faint, "default", "dim" if look.secondary.dim else None)
    figure.axes(active=False)
    for name, side, axis in (("x", "lower", chart.x), ("y", "left", chart.y)):
        figure.axes(active=axis.line, axis=name, side=side, pixel=axis_pixel)
        ruler = figure.ruler(name, 0)
        ruler.alignment(lim="edge" if axis.edges else "center")
        ruler.pixel(axis_pixel)
        ruler.lim(*axis.limits)
        ruler.ticks(list(axis.ticks), list(axis.labels))
    signal = _signal(plotext, chart)
    if signal is not None:
        figure._signals._add(signal)
    text: str = figure.build().string()
    return text


def _signal(plotext: Any, chart: Chart) -> Any:
    """Return all of `chart` as one plotext signal; None where there is nothing.

    Its kernel ends the process where more points are appended than the signal was made for.
    """
    size = len(chart.blocks) + sum(len(x) for x, _, _ in chart.lines) + len(chart.points)
    if not size:
        return None
    signal = type(plotext.figure.signal([], []))(size)
    append, connect = signal._append_point, signal._set_connected

    @cache
    def marker(mark: Mark, columns: int = 1, rows: int = 1) -> Any:
        fg, bg, bold, dim = mark.style
        pixel = plotext.pixel(fg, bg, "bold" if bold else "dim" if dim else None)
        if columns == rows == 1:
            return plotext.marker(mark.glyph, pixel)
        return plotext.marker(plotext.colorize("\n".join([mark.glyph * columns] * rows), pixel))

    for x, y, columns, rows, mark in chart.blocks:
        append(x, y, marker(mark, columns, rows))
    count = len(chart.blocks)
    for xs, ys, mark in chart.lines:
        for x, y in zip(xs, ys, strict=True):
            append(x, y, marker(mark))
        for number in range(1, len(xs)):
            connect(count + number, True)
        count += len(xs)
    for x, y, mark in chart.points:
        append(x, y, marker(mark))
    return signal


def _paint(cells: Cells, text: str) -> None:
    """Write plotext's output, which has as many rows and columns as `cells`."""
    pieces = [(codes, piece) for codes, piece in _PIECE.findall(text) if piece]
    shown = "".join(piece for _, piece in pieces)
    if not cells.look.unicode:
        shown = shown.translate(ASCII)
    lengths = [len(piece) for _, piece in pieces]
    styles = np.array([_style(codes) for codes, _ in pieces], dtype=np.int32)
    shape = cells.chars.shape
    cells.chars[:] = np.array(list(shown), dtype="<U1").reshape(shape)
    for layer, values in zip((cells.fg, cells.bg, cells.bold, cells.dim), styles.T, strict=True):
        layer[:] = np.repeat(values, lengths).reshape(shape)


@lru_cache(maxsize=4096)
def _style(codes: str) -> tuple[int, int, bool, bool]:
    """Return what SGR sequences of plotext's say: packed text colour and background, bold, dim."""
    style = Style()
    for sequence in codes.split("\x1b[")[1:]:
        kind, *values = (int(value or 0) for value in sequence.rstrip("m").split(";"))
        if kind in (38, 48) and values[0] == 2:  # others are plotext's own, such as an axis' white background
            rgb = values[1], values[2], values[3]
            style = style._replace(fg=rgb) if kind == 38 else style._replace(bg=rgb)
        elif kind in (1, 2):
            style = style._replace(bold=style.bold or kind == 1, dim=style.dim or kind == 2)
    return pack(style.fg), pack(style.bg), style.bold, style.dim
