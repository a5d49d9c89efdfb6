"""One quantity against another in terminal cells: a sign (its group's number) in its group's colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from embcx_tui.figures import ticks
from embcx_tui.figures.model import Dots
from embcx_tui.figures.palette import SIGNS, colour
from embcx_tui.figures.terminal_cells import Cells, Look, split_cells

NOTHING = "nothing measured yet"
_LEAST_WIDTH, _LEAST_HEIGHT = 20, 7


def draw_dots(dots: Dots, width: int, height: int, look: Look) -> Cells:
    """Return `dots` painted on `width` × `height` cells: with colours a dot's sign is its mark, its colour the group's.

    Without colours each group has a sign of its own. Where dots share a cell the last one is seen.
    """
    cells = Cells(width, height, look)
    placed = _placed(dots)
    if not placed:
        return cells.words(dots.title, dots.note or NOTHING) if dots.title and height > 1 else cells.words(NOTHING)
    layout = _lay_out(dots, placed, width, height)
    if layout is None:
        return cells.words("too small", "for dots")
    signs = _signs(dots, look)
    gutter, bottom = layout.gutter, layout.bottom
    for row in range(layout.top, bottom):
        cells.muted(gutter, row, "│", width=1)
    cells.muted(gutter, bottom, "└" + "─" * (width - gutter - 1))
    for mark, text in zip(layout.marks, ticks.tick_labels(layout.marks), strict=True):
        cells.muted(0, layout.row_of(mark), text, width=gutter - 1, align=1.0)
        cells.muted(gutter, layout.row_of(mark), "┤", width=1)
    x_marks = ticks.ticks(*layout.x, max(min((width - gutter) // 10, 8), 1))
    for mark, text in zip(x_marks, ticks.tick_labels(x_marks), strict=True):
        cells.muted(layout.column_of(mark), bottom, "┬", width=1)
        start = min(max(layout.column_of(mark) - len(text) // 2, 0), width - len(text))
        cells.muted(start, bottom + 1, text)
    # The chosen one last: nothing hides it.
    for one in sorted(placed, key=lambda dot: dot.owner == dots.chosen):
        group = one.owner[0]
        column, row = layout.column_of(one.x), layout.row_of(one.y)
        if one.owner == dots.chosen:
            _draw_chosen(cells, column, row, signs[group])
        else:
            cells.put(column, row, signs[group], colour(dots.groups[group].place), bold=True, width=1)
    if dots.title:
        used = cells.put(0, 0, dots.title, look.ink, bold=True)
        cells.muted(used + 3, 0, dots.y_label)
    if layout.legend:
        _draw_legend(cells, int(bool(dots.title)), dots, signs)
    if layout.label:
        cells.muted(0, height - 1 - layout.note, dots.x_label, align=0.5)
    if layout.note:
        cells.muted(0, height - 1, dots.note)
    return cells


def dot_cells(dots: Dots, width: int, height: int) -> tuple[NDArray[np.int64], tuple[tuple[int, int], ...]]:
    """Return the (column, row) cells [n, 2] of all dots, and which (group, dot) each is; those on top come first."""
    placed = _placed(dots)
    layout = _lay_out(dots, placed, width, height) if placed else None
    if layout is None:
        return np.empty((0, 2), dtype=np.int64), ()
    top_first = sorted(placed, key=lambda dot: (dot.owner == dots.chosen, dot.owner), reverse=True)
    cells = [(layout.column_of(one.x), layout.row_of(one.y)) for one in top_first]
    return np.array(cells, dtype=np.int64).reshape(-1, 2), tuple(one.owner for one in top_first)


class _Dot(NamedTuple):
    x: float
    y: float
    owner: tuple[int, int]  # (group, dot)


@dataclass(frozen=True, slots=True)
class _Layout:
    """The plot's limits, the cells it has, its ticks at the side, and what stands around it."""

    x: tuple[float, float]
    y: tuple[float, float]
    gutter: int
    top: int
    bottom: int
    width: int
    marks: tuple[float, ...]
    legend: bool
    label: bool
    note: bool

    def row_of(self, y: float) -> int:
        return self.bottom - 1 - round((y - self.y[0]) / (self.y[1] - self.y[0]) * (self.bottom - self.top - 1))

    def column_of(self, x: float) -> int:
        # A cell is free on both sides: the chosen dot stands between brackets.
        return self.gutter + 2 + round((x - self.x[0]) / (self.x[1] - self.x[0]) * (self.width - self.gutter - 4))


def _placed(dots: Dots) -> list[_Dot]:
    """Return the dots that can be drawn, in the order in which they are."""
    return [
        _Dot(float(x), float(y), (place, number))
        for place, group in enumerate(dots.groups)
        for number, (x, y) in enumerate(zip(group.x, group.y, strict=False))
        if abs(x) < ticks.LARGEST and abs(y) < ticks.LARGEST
    ]


def _lay_out(dots: Dots, placed: Sequence[_Dot], width: int, height: int) -> _Layout | None:
    if width < _LEAST_WIDTH or height < _LEAST_HEIGHT:
        return None
    note = bool(dots.note) and height >= 14
    legend, label = height >= 9, bool(dots.x_label) and height >= 11
    top, bottom = int(bool(dots.title)) + legend, height - note - label - 2
    x, y = ticks.bounds(one.x for one in placed), ticks.bounds(one.y for one in placed)
    marks = ticks.ticks(*y, max((bottom - top) // 3, 2))
    gutter = max((len(text) for text in ticks.tick_labels(marks)), default=0) + 1
    return _Layout(x, y, gutter, top, bottom, width, marks, legend, label, note)


def _draw_chosen(cells: Cells, column: int, row: int, sign: str) -> None:
    """Draw a dot as scatters draw their chosen point: its sign on a full cell between brackets."""
    look = cells.look
    cells.put(column, row, sign, look.paper, bg=look.ink, bold=True, width=1)
    left, right = ("▐", "▌") if look.unicode and look.colours else ("[", "]")
    for place, glyph in ((column - 1, left), (column + 1, right)):
        cells.put(place, row, glyph, look.ink, bold=True, width=1)


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
        short = f"digit: {dots.mark_label.split()[-1]}" if dots.mark_label else ""
    else:
        entries = [
            (f"{group.label} {group.mark}", sign, group.place) for group, sign in zip(dots.groups, signs, strict=True)
        ]
        last = f"({dots.mark_label})" if dots.mark_label else ""
        short = f"({dots.mark_label.split()[-1]})" if dots.mark_label else ""
    wide = sum(len(split_cells(label, look.unicode)) + 5 for label, _, _ in entries)
    gap = 3 if wide + len(last) <= cells.width else 2
    column = 0
    for order, (label, sign, place) in enumerate(entries):
        if column + gap + len(split_cells(label, look.unicode)) + 8 > cells.width:
            cells.muted(column, row, f"+{len(entries) - order} more")
            return
        column += cells.put(column, row, sign, colour(place), bold=True) + 1
        column += cells.put(column, row, label, look.ink) + gap
    cells.muted(column, row, last if column + len(last) <= cells.width else short)
