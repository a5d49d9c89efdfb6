"""Points of an embedding in terminal cells: braille dots in the colour of each cell's most frequent class.

plotext paints the dots. In the middle of each class stands its sign, so that nobody has to look up ten colours.
A braille cell has one colour, and plotext gives it that of the point drawn last; which class that should be is decided
here, before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from embcx_tui.figures.cells.canvas import Cells, Entry, Frame, clip, draw_legend, frame_of, split_cells
from embcx_tui.figures.cells.plotext_adapter import Axis, Chart, Mark, render
from embcx_tui.figures.model import Scatter, label_positions
from embcx_tui.figures.palette import ink_on, signs
from embcx_tui.figures.spans import Look, Style

_LONGEST_NAME = 14
# Braille dots in a cell, across and down.
_DOTS = np.array([2, 4])
# Rows count downwards, y upwards.
_UPWARDS = np.array([1.0, -1.0])


@dataclass(frozen=True)
class Projection:
    """How coordinates become braille dots of a plot: the point in its middle, and dots per unit, the same both ways."""

    middle: NDArray[np.float64]  # (x, y)
    scale: float
    last: NDArray[np.float64]  # the last (column, row) of dots

    def dots(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((points - self.middle) * self.scale * _UPWARDS + self.last / 2)

    def points(self, dots: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((dots - self.last / 2) / (self.scale or 1.0) * _UPWARDS + self.middle)


@dataclass(frozen=True)
class Layout:
    """Where things stand: the plot's rows and columns, and each point's dot (2 × 4 per cell) within it."""

    frame: Frame
    columns: int
    beside: bool  # whether the legend stands to the right
    table: bool  # whether that has the scatter's table, not the classes' numbers of points
    dots: NDArray[np.int64]  # [n, 2] (column, row), -1: not shown
    labels: NDArray[np.int64]  # [n], within the classes; one that is not is the number after the last
    projection: Projection | None  # None where no point has coordinates
    note: str

    @property
    def rows(self) -> int:
        return self.frame.bottom - self.frame.top

    @property
    def shown(self) -> NDArray[np.bool_]:
        return self.dots[:, 0] >= 0

    @property
    def cells(self) -> NDArray[np.int64]:
        """The (column, row) cell of each point [n, 2] on the whole drawing, -1: not shown."""
        cells = self.dots // _DOTS + np.array([0, self.frame.top])
        return np.where(self.shown[:, None], cells, -1)


def layout_of(scatter: Scatter, width: int, height: int, look: Look, legend: bool = True) -> Layout:
    """Return where `scatter` stands on `width` × `height` cells (at least one each)."""
    points = np.asarray(scatter.points, dtype=np.float64).reshape(-1, 2)
    finite: NDArray[np.bool_] = np.asarray(np.isfinite(points).all(axis=1))
    bad = int((~finite).sum())
    left_out = f"{bad:,} of {len(finite):,} points are not finite and left out" if 0 < bad < len(finite) else ""
    note = " · ".join(text for text in (scatter.note, left_out) if text)
    rows = height - (bool(scatter.title) and height >= 5) - (bool(note) and height >= 12)
    classes = len(scatter.classes) if legend else 0

    def fits(side: int, lines: int) -> bool:
        # Points fill a square of 2 × height cells: a column beside it costs nothing on a wide screen.
        return 0 < lines <= rows and width - side >= 1.6 * rows

    side = _legend_width(scatter, look) + 2 if classes else 0
    wide = side + sum(_table_widths(scatter)) - len(str(len(scatter.labels)))
    # The head of the table stands above the classes, where they fill the plot beside the title.
    over = bool(scatter.title) and height >= 5 and len(scatter.title) + sum(_table_widths(scatter)) < width
    table = bool(classes and scatter.table) and fits(wide, classes + (not over))
    side, beside = (wide, True) if table else (side, fits(side, classes))
    frame = frame_of(height, (("title", scatter.title, 4), ("note", note, 10), ("classes", classes and not beside, 7)))
    columns = max(width - side * beside, 1)
    projection = _projection(scatter, points[finite], columns, max(frame.bottom - frame.top, 1))
    labels = np.full(len(points), len(scatter.classes), dtype=np.int64)
    given = np.asarray(scatter.labels, dtype=np.int64).reshape(-1)[: len(labels)]
    labels[: len(given)] = np.where((given >= 0) & (given < len(scatter.classes)), given, len(scatter.classes))
    dots = _dots(scatter, points, finite, projection)
    return Layout(frame, columns, beside, table, dots, labels, projection, note)


def _legend_width(scatter: Scatter, look: Look) -> int:
    named = zip(scatter.classes, signs(scatter.classes), strict=True)
    longest = max((len(split_cells(name, look.unicode)) for name, sign in named if name != sign), default=0)
    return 2 + min(longest, _LONGEST_NAME) + 1 + len(str(len(scatter.labels)))


def _table_widths(scatter: Scatter) -> tuple[int, ...]:
    """Return the columns of cells that each column of the legend's table takes, with the blank before it."""
    columns = zip(scatter.heads, *scatter.table, strict=True)
    return tuple(max(map(len, column)) + 1 for column in columns) if scatter.table else ()


def _projection(scatter: Scatter, points: NDArray[np.float64], columns: int, rows: int) -> Projection | None:
    """Return how the finite `points` lie: all of them, not only those shown, or isolating a class would move it."""
    if not len(points):
        return None
    low, high = points.min(0), points.max(0)
    if scatter.view is not None:
        low, high = np.array(scatter.view[:2], dtype=np.float64), np.array(scatter.view[2:], dtype=np.float64)
    span = high - low
    last = np.array([columns, rows]) * _DOTS - 1.0
    with np.errstate(divide="ignore", over="ignore"):
        scale = np.nanmin(np.where(span > 0, last / span, np.inf))
    return Projection((low + high) / 2, float(scale) if np.isfinite(scale) else 0.0, last)


def _dots(
    scatter: Scatter, points: NDArray[np.float64], finite: NDArray[np.bool_], projection: Projection | None
) -> NDArray[np.int64]:
    dots = np.full(points.shape, -1, dtype=np.int64)
    if projection is None:
        return dots
    shown = finite.copy()
    if scatter.shown is not None and len(scatter.shown) == len(shown):
        shown &= np.asarray(scatter.shown, dtype=bool)
    at = np.round(projection.dots(points[shown]))
    dots[shown] = np.clip(at, 0, projection.last).astype(np.int64)
    if scatter.view is not None:
        # What lies outside the rectangle but inside the panel is seen too: a panel is seldom a rectangle's shape.
        outside = (at < 0).any(axis=1) | (at > projection.last).any(axis=1)
        dots[np.flatnonzero(shown)[outside]] = -1
    return dots


def draw_scatter(scatter: Scatter, width: int, height: int, look: Look, *, legend: bool = True) -> Cells:
    """Return `scatter` painted on `width` × `height` cells."""
    cells = Cells(width, height, look)
    if not width or not height:
        return cells
    layout = layout_of(scatter, width, height, look, legend)
    every = layout if scatter.shown is None else layout_of(replace(scatter, shown=None), width, height, look, legend)
    frame, shown, classes = layout.frame, layout.shown, scatter.classes
    if shown.any() or (scatter.context and every.shown.any()):
        chart = _chart(scatter, layout, every, look)
        cells.paste(render(chart, layout.columns, layout.rows, look), 0, frame.top)
    elif reason := _nothing(scatter, layout):
        return cells.say_nothing(scatter.title, reason)
    else:
        cells.muted(0, frame.top + layout.rows // 2, "no points here", width=layout.columns, align=0.5)
    places = layout.cells
    if scatter.taken is not None:
        _draw_taken(cells, scatter, layout)
    elif look.colours and look.unicode:
        for index, row in label_positions(layout.dots[shown], layout.labels[shown], len(classes)):
            column, line = places[shown][row].tolist()
            cells.put(column, line, signs(classes)[index], _badge(index, look), width=1)
    _draw_rings(cells, scatter, every)
    chosen = scatter.chosen
    if chosen is not None and 0 <= chosen < len(shown) and shown[chosen]:
        column, line = places[chosen].tolist()
        sign = (*signs(classes), "?")[layout.labels[chosen]]
        cells.put_selected_point(column, line, sign, range(layout.columns))
    frame.draw(cells, scatter.title, note=layout.note)
    counts = np.bincount(layout.labels[shown], minlength=len(classes) + 1).tolist()
    if layout.beside:
        _draw_legend_beside(cells, scatter, counts, layout)
    elif "classes" in frame.rows:
        draw_class_legend(cells, frame.rows["classes"], classes, counts)
    return cells


def _nothing(scatter: Scatter, layout: Layout) -> str:
    """Return why no point can be seen; empty if they are only out of the view."""
    if not len(layout.dots):
        return scatter.note or "nothing measured yet"
    if layout.projection is None:
        return "no point has finite coordinates"
    visible = replace(scatter, view=None).seen.any()
    return "" if visible else "no points of the classes shown"


def _draw_taken(cells: Cells, scatter: Scatter, layout: Layout) -> None:
    """Write the sign of the class that a point is taken for, on the colour of its own."""
    look, glyphs, taken = cells.look, signs(scatter.classes), np.asarray(scatter.taken)
    rows = np.flatnonzero(layout.shown[: len(taken)] & (taken >= 0) & (taken < len(glyphs)))
    coloured, places = look.colours and look.unicode, layout.cells
    for row in rows.tolist():
        (column, line), label = places[row].tolist(), int(layout.labels[row])
        own = label < len(glyphs)
        style = _badge(label, look) if own and coloured else Style(look.class_colour(label) if own else None, bold=True)
        cells.put(column, line, glyphs[taken[row]], style, width=1)


def _draw_rings(cells: Cells, scatter: Scatter, every: Layout) -> None:
    """Draw the neighbours of the chosen point: a disc in the layer, a ring in the plane, both where they agree."""
    look = cells.look
    near = {row: (row in scatter.near_layer, row in scatter.near_plane) for row in scatter.near_plane}
    near |= {row: (True, row in scatter.near_plane) for row in scatter.near_layer}
    places = every.cells if near else every.dots
    for row, kind in near.items():
        if row < len(places) and places[row, 0] >= 0:
            (column, line), label = places[row].tolist(), int(every.labels[row])
            coloured = label < len(scatter.classes) and look.colours and look.unicode
            cells.put(column, line, ring(kind, look.unicode), _badge(label, look) if coloured else look.strong, width=1)


def ring(kind: tuple[bool, bool], unicode: bool = True) -> str:
    """Return the sign of a neighbour of the chosen point that is one (in the layer, in the plane)."""
    return ("◉●○" if unicode else "@*o")[0 if all(kind) else 1 if kind[0] else 2]


def _chart(scatter: Scatter, layout: Layout, every: Layout, look: Look) -> Chart:
    """Return what plotext draws, in dots: each occupied one, or a sign per occupied cell, in its cell's colour."""
    context = every.dots[every.shown & ~layout.shown] if scatter.context else np.empty((0, 2), dtype=np.int64)
    dots, labels = layout.dots[layout.shown], layout.labels[layout.shown]
    kinds = len(scatter.classes) + 1
    cell = dots[:, 1] // 4 * layout.columns + dots[:, 0] // 2
    # The most frequent class of each occupied cell: of (cell, class) pairs in order of count, the last one wins.
    pairs, counts = np.unique(cell * kinds + labels, return_counts=True)
    pairs = pairs[np.argsort(counts, kind="stable")]
    winner = np.full(layout.columns * layout.rows, -1, dtype=np.int64)
    winner[pairs // kinds] = pairs % kinds
    styles = [*(Style(look.class_colour(index)) for index in range(kinds - 1)), Style(look.faint)]
    width, height = (np.array([layout.columns, layout.rows]) * _DOTS).tolist()
    if look.colours and look.unicode:
        numbers = np.unique(dots[:, 1] * width + dots[:, 0])
        x, y = numbers % width, numbers // width
        marks = [Mark("braille", style) for style in styles]
        of = winner[y // 4 * layout.columns + x // 2]
    else:
        numbers = np.flatnonzero(winner >= 0)
        x, y = numbers % layout.columns * 2, numbers // layout.columns * 4
        marks = [Mark(sign, style) for sign, style in zip((*signs(scatter.classes), "?"), styles, strict=True)]
        of = winner[numbers]
    focus = zip((x + 0.5).tolist(), (height - y - 0.5).tolist(), [marks[index] for index in of.tolist()], strict=True)
    # A cell has one colour: what is only context has those cells that hold nothing else.
    context = context[winner[context[:, 1] // 4 * layout.columns + context[:, 0] // 2] < 0]
    if look.colours and look.unicode:
        behind, mark = np.unique(context, axis=0), Mark("braille", look.dimmed)
    else:
        behind, mark = np.unique(context // _DOTS, axis=0) * _DOTS, Mark("·" if look.unicode else ".", look.dimmed)
    points = [*((x + 0.5, height - y - 0.5, mark) for x, y in behind.tolist()), *focus]
    return Chart(Axis((0.0, width), edges=True), Axis((0.0, height), edges=True), points=points)


def _badge(index: int, look: Look) -> Style:
    """Return the style of a class's sign on its colour."""
    ground = look.class_colour(index)
    return Style(ink_on(ground), ground, bold=True)


def _entries(cells: Cells, classes: tuple[str, ...], counts: list[int]) -> list[Entry]:
    """Return the legend of `classes`: their signs as they stand among the points; muted those without points."""
    look = cells.look
    entries = []
    for index, (sign, name, count) in enumerate(zip(signs(classes), classes, counts, strict=False)):
        text = "" if sign == name else "".join(clip(split_cells(name, look.unicode), _LONGEST_NAME, look.unicode))
        mark = _badge(index, look) if look.colours and look.unicode else Style(look.class_colour(index), bold=True)
        entries.append(
            Entry(sign, text, mark, look.text) if count else Entry(sign, text, Style(look.faint), look.secondary)
        )
    return entries


def draw_class_legend(cells: Cells, row: int, classes: tuple[str, ...], counts: list[int]) -> None:
    """Write the classes on one row, as many as fit."""
    draw_legend(cells, row, _entries(cells, classes, counts), gap=2, counted=False)


def _draw_legend_beside(cells: Cells, scatter: Scatter, counts: list[int], layout: Layout) -> None:
    column, classes = layout.columns + 2, scatter.classes
    first = layout.frame.top + max((layout.rows - len(classes) - layout.table) // 2 + layout.table, 0)
    if layout.table:
        _draw_table_row(cells, first - 1, scatter, scatter.heads)
    for row, (entry, count) in enumerate(zip(_entries(cells, classes, counts), counts, strict=False), first):
        cells.put(column, row, entry.sign, entry.sign_style, width=1)
        cells.put(column + 2, row, entry.name, entry.name_style)
        if layout.table:
            _draw_table_row(cells, row, scatter, scatter.table[row - first])
            continue
        cells.muted(column + 2, row, f"{count:,}" if count else "–", width=cells.width - column - 2, align=1.0)


def _draw_table_row(cells: Cells, row: int, scatter: Scatter, texts: tuple[str, ...]) -> None:
    widths = _table_widths(scatter)
    column = cells.width - sum(widths)
    for text, width in zip(texts, widths, strict=True):
        cells.muted(column + 1, row, text, width=width - 1, align=1.0)
        column += width
