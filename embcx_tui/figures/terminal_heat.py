"""A heat map in terminal cells: a block of one colour for each value, with its number where it fits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embcx_tui.figures import ticks
from embcx_tui.figures.model import Heat
from embcx_tui.figures.palette import ink_on, terminal_ramp
from embcx_tui.figures.terminal_cells import Cells, Look, split_cells

NOTHING = "nothing measured yet"
_MOST_BLOCK = (12, 3)
_LONGEST_NAME = 10
_SHADES = "█▓▒░ "
_ASCII_SHADES = "#+:. "


def draw_heat(heat: Heat, width: int, height: int, look: Look) -> Cells:
    """Return `heat` painted on `width` × `height` cells; without colours full ones are low values."""
    cells = Cells(width, height, look)
    finite = _finite(heat)
    if not finite.any():
        reason = heat.note or NOTHING
        return cells.words(heat.title, reason) if heat.title and height > 1 else cells.words(reason)
    values = np.asarray(heat.values, dtype=np.float64)
    rows, columns = values.shape
    layout = _lay_out(heat, width, height, look)
    if layout is None:
        return cells.words("too small", f"for {rows} × {columns} values")
    gutter, top, wide, high = layout.gutter, layout.top, layout.wide, layout.high
    numbers = ticks.fitted((float(values[at]) if finite[at] else None for at in np.ndindex(rows, columns)), wide - 1)
    for row in range(rows):
        first = top + row * high
        _draw_name(cells, first + high // 2, heat.rows[row], gutter, row == heat.chosen)
        for column in range(columns):
            text = numbers[row * columns + column] if numbers else ""
            value = float(values[row, column]) if finite[row, column] else None
            _draw_block(cells, heat, value, text, (gutter + column * wide, first, wide, high))
    every = max(-(-(max(len(name) for name in heat.columns) + 1) // wide), 1)
    for column in range(0, columns, every):
        cells.muted(gutter + column * wide, top + rows * high, heat.columns[column], width=wide * every, align=0.3)
    if top:
        used = cells.put(0, 0, heat.title, look.ink, bold=True)
        low, most = heat.limits
        # A full block is light on one terminal and dark on another.
        ends = ("dark", "light") if look.colours else ("full", "empty")
        cells.muted(used + 3, 0, f"{ends[0]} {low:.3g} … {ends[1]} {most:.3g}")
    if not layout.label:
        beside = gutter + columns * wide + 1
        if beside + len(split_cells(heat.x_label, look.unicode)) <= width:
            cells.muted(beside, top + rows * high, heat.x_label)
    else:
        across = f"{heat.x_label} (across), {heat.y_label} (down)" if heat.y_label else heat.x_label
        cells.muted(gutter, top + rows * high + 1, across)
    if layout.note:
        cells.muted(0, height - 1, heat.note)
    return cells


def heat_row(heat: Heat, width: int, height: int, column: int, row: int, look: Look) -> int | None:
    """Return which row of `heat` a cell of its drawing belongs to, with its name; None where there is none."""
    layout = _lay_out(heat, width, height, look) if _finite(heat).any() else None
    if layout is None or not 0 <= column < layout.gutter + len(heat.columns) * layout.wide:
        return None
    found = (row - layout.top) // layout.high
    return found if 0 <= found < len(heat.rows) else None


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where blocks stand: cells of the names before them, rows of the title above, a block's size; what is below."""

    gutter: int
    top: int
    wide: int
    high: int
    label: bool
    note: bool


def _finite(heat: Heat) -> NDArray[np.bool_]:
    values = np.asarray(heat.values, dtype=np.float64)
    finite: NDArray[np.bool_] = np.isfinite(values) & (np.abs(values) < ticks.LARGEST)
    return finite


def _lay_out(heat: Heat, width: int, height: int, look: Look) -> _Layout | None:
    """Return how a heat map stands on `width` × `height` cells; None where there is too little room."""
    rows, columns = np.shape(heat.values)
    names = [len(split_cells(name, look.unicode)) for name in heat.rows]
    gutter = min(max(names, default=0), _LONGEST_NAME) + 1
    title, heads = int(bool(heat.title)), 1
    note = bool(heat.note) and height >= title + heads + rows + 3
    label = bool(heat.x_label) and height >= title + heads + rows + 1 + note
    high_room = height - title - heads - note - label
    if label and (high_room + 1) // rows > high_room // rows and high_room // rows < _MOST_BLOCK[1]:
        # Higher blocks are worth more than a line of words; the axis is named beside its numbers then.
        label, high_room = False, high_room + 1
    wide = min((width - gutter) // columns, _MOST_BLOCK[0])
    if wide < 1 or high_room < rows:
        return None
    return _Layout(gutter, title, wide, min(high_room // rows, _MOST_BLOCK[1]), label, note)


def _draw_name(cells: Cells, row: int, name: str, gutter: int, chosen: bool) -> None:
    look = cells.look
    if not chosen:
        cells.muted(0, row, name, width=gutter - 1)
    elif look.colours:
        cells.put(0, row, name, look.paper, bg=look.ink, bold=True, width=gutter - 1)
    else:
        # There is a blank between a name and its blocks.
        used = cells.put(0, row, name, bold=True, width=gutter - 1)
        cells.put(used, row, "▸" if look.unicode else ">", bold=True, width=1)


def _draw_block(cells: Cells, heat: Heat, value: float | None, text: str, box: tuple[int, int, int, int]) -> None:
    column, row, wide, high = box
    look = cells.look
    middle = row + high // 2
    if value is None:
        cells.muted(column, middle, "–", width=wide, align=0.5)
        return
    low, most = heat.limits
    share = min(max(ticks.share(value, low, most), 0.0), 1.0)
    if not look.colours:
        shades = _SHADES if look.unicode else _ASCII_SHADES
        shade = shades[min(int(share * len(shades)), len(shades) - 1)]
        for line in range(row, row + high):
            cells.put(column, line, shade * wide)
        if text:
            cells.put(column, middle, text, width=wide - 1, align=0.5)
        return
    fill = terminal_ramp(share)
    ink = ink_on(fill)
    for line in range(row, row + high):
        cells.put(column, line, " " * wide, ink, bg=fill)
    if text:
        cells.put(column, middle, text, ink, bg=fill, width=wide, align=0.5)
