"""The one place that knows plotext: a line chart from start to end, as cells.

plotext 6's figure is a singleton of the process, so a chart is built whole under a lock. Its import takes 0.2 s, so it
happens with the first chart. What it does that we do not want: it cuts charts to the size of the terminal (limit
lifted), raises for inf and None (data are cleaned before), and paints its own background (set to the terminal's).
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass

from embcx_tui.figures.palette import Rgb, terminal_rgb
from embcx_tui.figures.terminal_cells import Cells, Look, pack
from embcx_tui.figures.ticks import tick_labels

_LOCK = threading.Lock()
_STYLED = re.compile(r"\x1b\[([0-9;]*)m")


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines (x, y: finite, equally long; colour; the sign that marks it without colour), limits and ticks.

    With `x_names` the ticks of x are places in them.
    """

    lines: tuple[tuple[list[float], list[float], Rgb, str], ...]
    x_limits: tuple[float, float]
    y_limits: tuple[float, float]
    x_ticks: tuple[float, ...]
    y_ticks: tuple[float, ...]
    x_names: tuple[str, ...] = ()


def load() -> None:
    """Import plotext now, for a program that has a moment to spare before its first chart."""
    with _LOCK:
        import plotext  # noqa: F401


def render(chart: Chart, width: int, height: int, look: Look) -> Cells:
    """Return `chart` with its axes on `width` × `height` cells."""
    with _LOCK:
        text = _build(chart, width, height, look)
    cells = Cells(width, height, look)
    for row, line in enumerate(text.split("\n")[:height]):
        _paint(cells, row, line)
    return cells


def _build(chart: Chart, width: int, height: int, look: Look) -> str:
    import plotext

    figure = plotext.figure
    figure.clear()
    plotext.terminal.limit(False, False)
    figure.plot_size(width, height)
    figure.canvas("default")
    faint = plotext.pixel(look.faint, "default")
    figure.axes(pixel=faint)
    figure.axes(active=False, axis="x", side="upper")
    figure.axes(active=False, axis="y", side="right")
    for axis, limits, marks in (("x", chart.x_limits, chart.x_ticks), ("y", chart.y_limits, chart.y_ticks)):
        ruler = figure.ruler(axis, 0)
        ruler.pixel(faint)
        ruler.lim(*limits)
        named = axis == "x" and chart.x_names
        ruler.ticks(list(marks), [chart.x_names[int(mark)] for mark in marks] if named else list(tick_labels(marks)))
    plain = not (look.colours and look.unicode)
    for x, y, rgb, sign in chart.lines:
        marker = plotext.marker(sign if plain else "braille", plotext.pixel(rgb, "default"))
        signal = figure.signal(x, y, marker=marker)
        figure.draw(signal.lines() if len(x) > 1 else signal)
    text: str = figure.build().string()
    figure.clear()
    return text


def _paint(cells: Cells, row: int, line: str) -> None:
    """Write one line of plotext's output: text between SGR sequences (reset and colours only)."""
    column, fg = 0, -1
    for place, piece in enumerate(_STYLED.split(line)):
        if place % 2:
            fg = _foreground(piece, fg)
            continue
        room = min(len(piece), cells.width - column)
        if room <= 0:
            continue
        if not cells.look.unicode:
            column += cells.put(column, row, piece[:room])
            continue
        cells.chars[row, column : column + room] = list(piece[:room])
        cells.fg[row, column : column + room] = fg
        column += room


def _foreground(codes: str, before: int) -> int:
    """Return the packed text colour after an SGR sequence."""
    parts = [int(part or 0) for part in codes.split(";")]
    while parts:
        code = parts.pop(0)
        if code == 0 or code == 39:
            before = -1
        elif code in (38, 48) and parts:
            kind = parts.pop(0)
            used, parts = (parts[:3], parts[3:]) if kind == 2 else (parts[:1], parts[1:])
            if code == 38:
                rgb = terminal_rgb(used[0]) if kind == 5 and used[0] >= 16 else None
                before = pack((used[0], used[1], used[2])) if kind == 2 else pack(rgb)
    return before
