"""One quantity against another in terminal cells: a sign (its group's number) in its group's colour."""

from __future__ import annotations

from embcx_tui.figures import ticks
from embcx_tui.figures.palette import SIGNS, colour
from embcx_tui.figures.terminal_cells import Cells, Look, split_cells
from embcx_tui.figures.values import Dots

NOTHING = "nothing measured yet"
_LEAST_WIDTH, _LEAST_HEIGHT = 20, 7


def draw_dots(dots: Dots, width: int, height: int, look: Look) -> Cells:
    """Return `dots` painted on `width` × `height` cells: with colours a dot's sign is its mark, its colour the group's.

    Without colours each group has a sign of its own. Where dots share a cell the last one is seen.
    """
    cells = Cells(width, height, look)
    placed = [
        (float(x), float(y), place)
        for place, group in enumerate(dots.groups)
        for x, y in zip(group.x, group.y, strict=False)
        if abs(x) < ticks.LARGEST and abs(y) < ticks.LARGEST
    ]
    if not placed:
        return cells.words(dots.title, dots.note or NOTHING) if dots.title and height > 1 else cells.words(NOTHING)
    if width < _LEAST_WIDTH or height < _LEAST_HEIGHT:
        return cells.words("too small", "for dots")
    signs = _signs(dots, look)
    title, note = int(bool(dots.title)), int(bool(dots.note) and height >= 14)
    legend, label = int(height >= 10), int(bool(dots.x_label) and height >= 11)
    top, bottom = title + legend, height - note - label - 2
    x_low, x_high = ticks.bounds(x for x, _, _ in placed)
    y_low, y_high = ticks.bounds(y for _, y, _ in placed)
    marks = ticks.ticks(y_low, y_high, max((bottom - top) // 3, 1))
    texts = ticks.tick_labels(marks)
    gutter = max((len(text) for text in texts), default=0) + 1

    def row_of(y: float) -> int:
        return bottom - 1 - round((y - y_low) / (y_high - y_low) * (bottom - top - 1))

    def column_of(x: float) -> int:
        return gutter + 1 + round((x - x_low) / (x_high - x_low) * (width - gutter - 2))

    for row in range(top, bottom):
        cells.muted(gutter, row, "│", width=1)
    cells.muted(gutter, bottom, "└" + "─" * (width - gutter - 1))
    for mark, text in zip(marks, texts, strict=True):
        cells.muted(0, row_of(mark), text, width=gutter - 1, align=1.0)
        cells.muted(gutter, row_of(mark), "┤", width=1)
    x_marks = ticks.ticks(x_low, x_high, max(min((width - gutter) // 10, 8), 1))
    for mark, text in zip(x_marks, ticks.tick_labels(x_marks), strict=True):
        cells.muted(column_of(mark), bottom, "┬", width=1)
        start = min(max(column_of(mark) - len(text) // 2, 0), width - len(text))
        cells.muted(start, bottom + 1, text)
    for x, y, place in placed:
        cells.put(column_of(x), row_of(y), signs[place], colour(dots.groups[place].place), bold=True, width=1)
    if title:
        used = cells.put(0, 0, dots.title, look.ink, bold=True)
        cells.muted(used + 3, 0, dots.y_label)
    if legend:
        _draw_legend(cells, title, dots, signs)
    if label:
        cells.muted(0, height - 1 - note, dots.x_label, align=0.5)
    if note:
        cells.muted(0, height - 1, dots.note)
    return cells


def _signs(dots: Dots, look: Look) -> list[str]:
    """Return each group's sign: its number where colours tell the rest, else one of its own."""
    if look.colours:
        return [SIGNS[group.mark % len(SIGNS)] for group in dots.groups]
    return [SIGNS[10 + place % (len(SIGNS) - 10)] for place in range(len(dots.groups))]


def _draw_legend(cells: Cells, row: int, dots: Dots, signs: list[str]) -> None:
    look = cells.look
    if look.colours:
        entries = list(dict.fromkeys((group.label, "■" if look.unicode else "#", group.place) for group in dots.groups))
        last = f"number: {dots.mark_label}" if dots.mark_label else ""
    else:
        entries = [
            (f"{group.label} {group.mark}", sign, group.place) for group, sign in zip(dots.groups, signs, strict=True)
        ]
        last = f"({dots.mark_label})" if dots.mark_label else ""
    column = 0
    for order, (label, sign, place) in enumerate(entries):
        if column + 3 + len(split_cells(label, look.unicode)) + 8 > cells.width:
            cells.muted(column, row, f"+{len(entries) - order} more")
            return
        column += cells.put(column, row, sign, colour(place), bold=True) + 1
        column += cells.put(column, row, label, look.ink) + 3
    cells.muted(column, row, last)
