"""A heat map in terminal cells: a block of one colour for each value, with its number where it fits."""

from __future__ import annotations

import numpy as np

from embcx_tui.figures import ticks
from embcx_tui.figures.palette import ink_on, ramp
from embcx_tui.figures.terminal_cells import Cells, Look, split_cells
from embcx_tui.figures.values import Heat

NOTHING = "nothing measured yet"
_MOST_BLOCK = (12, 3)
_LONGEST_NAME = 10
_SHADES = "█▓▒░ "
_ASCII_SHADES = "#+:. "


def draw_heat(heat: Heat, width: int, height: int, look: Look) -> Cells:
    """Return `heat` painted on `width` × `height` cells; without colours dark shades are low values, as in colour."""
    cells = Cells(width, height, look)
    values = np.asarray(heat.values, dtype=np.float64)
    finite = np.isfinite(values) & (np.abs(values) < ticks.LARGEST)
    if not finite.any():
        reason = heat.note or NOTHING
        return cells.words(heat.title, reason) if heat.title and height > 1 else cells.words(reason)
    rows, columns = values.shape
    names = [len(split_cells(name, look.unicode)) for name in heat.rows]
    gutter = min(max(names, default=0), _LONGEST_NAME) + 1
    title, heads = int(bool(heat.title)), 1
    note = int(bool(heat.note) and height >= title + heads + rows + 3)
    label = int(bool(heat.x_label) and height >= title + heads + rows + 1 + note)
    high_room = height - title - heads - note - label
    wide = min((width - gutter) // columns, _MOST_BLOCK[0])
    if wide < 1 or high_room < rows:
        return cells.words("too small", f"for {rows} × {columns} values")
    high = min(high_room // rows, _MOST_BLOCK[1])
    top = title
    numbers = ticks.fitted((float(values[at]) if finite[at] else None for at in np.ndindex(rows, columns)), wide - 1)
    for row in range(rows):
        first = top + row * high
        cells.muted(0, first + high // 2, heat.rows[row], width=gutter - 1)
        for column in range(columns):
            text = numbers[row * columns + column] if numbers else ""
            value = float(values[row, column]) if finite[row, column] else None
            _draw_block(cells, heat, value, text, (gutter + column * wide, first, wide, high))
    every = max(-(-(max(len(name) for name in heat.columns) + 1) // wide), 1)
    for column in range(0, columns, every):
        cells.muted(gutter + column * wide, top + rows * high, heat.columns[column], width=wide * every, align=0.3)
    if title:
        used = cells.put(0, 0, heat.title, look.ink, bold=True)
        low, most = heat.limits
        cells.muted(used + 3, 0, f"dark {low:.3g} … light {most:.3g}")
    if label:
        across = f"{heat.x_label} (across), {heat.y_label} (down)" if heat.y_label else heat.x_label
        cells.muted(gutter, top + rows * high + 1, across)
    if note:
        cells.muted(0, height - 1, heat.note)
    return cells


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
    fill = ramp(share)
    ink = ink_on(fill)
    for line in range(row, row + high):
        cells.put(column, line, " " * wide, ink, bg=fill)
    if text:
        cells.put(column, middle, text, ink, bg=fill, width=wide, align=0.5)
