"""A heat map in terminal cells: a block of one colour for each value, with its number where it fits.

plotext paints the blocks. `figure.heatmap` and `figure.cmatrix` are not used: the one makes a point of each cell of the
terminal, ten times as slow, and the other writes its numbers in the colour of the canvas, whatever they stand on. Names
are written here, since plotext counts the cells of wide characters otherwise than terminals do: to it `"⌚"` is one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embcx_tui.figures import ticks
from embcx_tui.figures.cells.canvas import Cells, Frame, frame_of, split_cells
from embcx_tui.figures.cells.plotext_adapter import Axis, Chart, Mark, render
from embcx_tui.figures.model import Heat
from embcx_tui.figures.palette import ink_on, terminal_ramp
from embcx_tui.figures.spans import Look, Style

_MOST_BLOCK = (12, 3)
_LONGEST_NAME = 10
_SHADES = "█▓▒░ "
_ASCII_SHADES = "#+:. "


@dataclass(frozen=True, slots=True)
class Layout:
    """Where blocks stand: cells of the names before them, the rows around them, a block's size in cells."""

    gutter: int
    frame: Frame
    wide: int
    high: int


def _finite(heat: Heat) -> NDArray[np.bool_]:
    values = np.abs(np.asarray(heat.values, dtype=np.float64))
    return np.asarray(values < ticks.LARGEST)


def layout_of(heat: Heat, width: int, height: int, look: Look) -> Layout | None:
    """Return how a heat map stands on `width` × `height` cells; None without values, or where there is no room."""
    if not _finite(heat).any():
        return None
    rows, columns = np.shape(heat.values)
    gutter = min(max((len(split_cells(name, look.unicode)) for name in heat.rows), default=0), _LONGEST_NAME) + 1
    wanted = (("title", heat.title, 0), ("labels", True, 0), ("note", heat.note, rows + 2))
    frame, without = frame_of(height, (*wanted, ("x_label", heat.x_label, rows))), frame_of(height, wanted)
    high, higher = ((one.bottom - one.top) // rows for one in (frame, without))
    if high < min(higher, _MOST_BLOCK[1]):
        # Higher blocks are worth more than a line of words; the axis is named beside its numbers then.
        frame, high = without, higher
    wide = min((width - gutter) // columns, _MOST_BLOCK[0])
    high = min(high, _MOST_BLOCK[1])
    return Layout(gutter, frame, wide, high) if wide >= 1 and high >= 1 else None


def draw_heat(heat: Heat, width: int, height: int, look: Look) -> Cells:
    """Return `heat` painted on `width` × `height` cells; without colours full ones are low values."""
    cells = Cells(width, height, look)
    if not _finite(heat).any():
        return cells.say_nothing(heat.title, heat.note or "nothing measured yet")
    rows, columns = np.shape(heat.values)
    layout = layout_of(heat, width, height, look)
    if layout is None:
        return cells.words("too small", f"for {rows} × {columns} values")
    gutter, top, wide, high = layout.gutter, layout.frame.top, layout.wide, layout.high
    low, most = heat.limits
    # A full block is light on one terminal and dark on another.
    ends = ("dark", "light") if look.colours else ("full", "empty")
    layout.frame.draw(cells, heat.title, f"{ends[0]} {low:.3g} … {ends[1]} {most:.3g}", note=heat.note)
    _draw_blocks(cells, heat, layout)
    for row, name in enumerate(heat.rows):
        _draw_name(cells, top + row * high + high // 2, name, gutter, row == heat.chosen)
    heads = top + rows * high
    every = max(-(-(max(len(name) for name in heat.columns) + 1) // wide), 1)
    for column in range(0, columns, every):
        cells.muted(gutter + column * wide, heads, heat.columns[column], width=wide * every, align=0.3)
    beside = gutter + columns * wide + 1
    if "x_label" in layout.frame.rows:
        across = f"{heat.x_label} (across), {heat.y_label} (down)" if heat.y_label else heat.x_label
        cells.muted(gutter, heads + 1, across)
    elif beside + len(split_cells(heat.x_label, look.unicode)) <= width:
        cells.muted(beside, heads, heat.x_label)
    return cells


def _draw_blocks(cells: Cells, heat: Heat, layout: Layout) -> None:
    """Draw the coloured blocks and the numbers in them."""
    look, values, finite = cells.look, np.asarray(heat.values, dtype=np.float64), _finite(heat)
    (rows, columns), (wide, high) = values.shape, (layout.wide, layout.high)
    blocks, texts = [], []
    numbers = ticks.fitted((float(values[at]) if finite[at] else None for at in np.ndindex(rows, columns)), wide - 1)
    for order, (row, column) in enumerate(np.ndindex(rows, columns)):
        text = numbers[order] if numbers and finite[row, column] else "" if finite[row, column] else "–"
        mark = _block(float(values[row, column]), heat.limits, look) if finite[row, column] else None
        left = column * wide
        if mark:
            blocks.append((left + 0.5, (rows - row) * high - 0.5, wide, high, mark))
        style = look.secondary if mark is None else Style(ink_on(mark.style.bg)) if mark.style.bg else Style()
        # Without colours a number has a blank after it, or two would be one.
        texts.append((left, row * high + high // 2, text, style, wide - (mark is not None and not look.colours)))
    size = columns * wide, rows * high
    x, y = (Axis((0.0, float(count)), edges=True) for count in size)
    cells.paste(render(Chart(x, y, blocks), *size, look), layout.gutter, layout.frame.top)
    for left, row, text, style, width in texts:
        if text:
            cells.put(layout.gutter + left, layout.frame.top + row, text, style, width=width, align=0.5)


def _block(value: float, limits: tuple[float, float], look: Look) -> Mark:
    share = min(max(ticks.share(value, *limits), 0.0), 1.0)
    if look.colours:
        return Mark(" ", Style(bg=terminal_ramp(share)))
    shades = _SHADES if look.unicode else _ASCII_SHADES
    return Mark(shades[min(int(share * len(shades)), len(shades) - 1)])


def _draw_name(cells: Cells, row: int, name: str, gutter: int, chosen: bool) -> None:
    look = cells.look
    if not chosen:
        cells.muted(0, row, name, width=gutter - 1)
        return
    used = cells.put(0, row, name, look.selected, width=gutter - 1)
    if not look.colours:
        # There is a blank between a name and its blocks.
        cells.put(used, row, "▸", look.strong, width=1)
