"""Points of an embedding in terminal cells: braille dots in the colour of each cell's most frequent class.

In the midst of each class stands its sign, so that nobody has to look up ten colours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embcx_tui.figures.midst import midsts
from embcx_tui.figures.model import Scatter
from embcx_tui.figures.palette import colour, ink_on, signs
from embcx_tui.figures.terminal_cells import Cells, Look, clip, pack, split_cells

NOTHING = "nothing measured yet"
# The bit of each dot in a braille character [row, column], from U+2800 on.
_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], dtype=np.int64)
_LONGEST_NAME = 14
# Rows count downwards, y upwards.
_UPWARDS = np.array([1.0, -1.0])


@dataclass(frozen=True)
class _Layout:
    """Where things stand: the plot's rectangle, and each point's dot (2 × 4 a cell) within it, -1: not shown."""

    column: int
    row: int
    width: int
    height: int
    dots: NDArray[np.int64]  # [n, 2] (column, row), in dots
    title: bool
    note: bool
    legend: str  # "right", "below" or ""


def _coordinates(scatter: Scatter) -> NDArray[np.float64]:
    return np.asarray(scatter.points, dtype=np.float64).reshape(-1, 2)


def _finite(scatter: Scatter) -> NDArray[np.bool_]:
    """Return which points [n] have coordinates."""
    points = np.isfinite(_coordinates(scatter))
    return points[:, 0] & points[:, 1]


def _visible(scatter: Scatter) -> NDArray[np.bool_]:
    shown = _finite(scatter)
    if scatter.shown is not None and len(scatter.shown) == len(shown):
        shown = shown & np.asarray(scatter.shown, dtype=bool)
    return shown


def _legend_width(scatter: Scatter, look: Look) -> int:
    named = zip(scatter.classes, signs(scatter.classes), strict=True)
    longest = max((len(split_cells(name, look.unicode)) for name, sign in named if name != sign), default=0)
    count = len(str(len(scatter.labels)))
    return 2 + min(longest, _LONGEST_NAME) + 1 + count


def _lay_out(scatter: Scatter, width: int, height: int, look: Look, legend: bool) -> _Layout:
    title = bool(scatter.title) and height >= 5
    note = bool(_note_text(scatter)) and height >= 12
    plot_height = height - title - note
    where = ""
    if legend and scatter.classes:
        side = _legend_width(scatter, look) + 2
        # Points fill a square of 2 × height cells: a column beside it costs nothing on a wide screen.
        if plot_height >= len(scatter.classes) and width - side >= 1.6 * plot_height:
            where, width = "right", width - side
        elif plot_height >= 8:
            where, plot_height = "below", plot_height - 1
    dots = _place(scatter, max(width, 1), max(plot_height, 1))
    return _Layout(0, int(title), width, plot_height, dots, title, note, where)


@dataclass(frozen=True)
class _Frame:
    """How the plane lies in a panel: what is in its middle, and dots a unit, the same both ways (a dot is square)."""

    middle: NDArray[np.float64]  # (x, y)
    scale: float
    room: NDArray[np.float64]  # the last (column, row) of dots

    def dots(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((points - self.middle) * self.scale * _UPWARDS + self.room / 2)

    def points(self, dots: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((dots - self.room / 2) / (self.scale or 1.0) * _UPWARDS + self.middle)


def _frame(scatter: Scatter, width: int, height: int) -> _Frame | None:
    """Return how `scatter` lies in `width` × `height` cells; None where no point has coordinates."""
    points, finite = _coordinates(scatter), _finite(scatter)
    if not finite.any():
        return None
    # All finite points, not only those shown: isolating a class must not move it.
    low, high = points[finite].min(0), points[finite].max(0)
    if scatter.view is not None:
        low, high = np.array(scatter.view[:2], dtype=np.float64), np.array(scatter.view[2:], dtype=np.float64)
    span = high - low
    room = np.array([width * 2 - 1, height * 4 - 1], dtype=np.float64)
    with np.errstate(divide="ignore", over="ignore"):
        scale = np.nanmin(np.where(span > 0, room / span, np.inf))
    return _Frame((low + high) / 2, float(scale) if np.isfinite(scale) else 0.0, room)


def _place(scatter: Scatter, width: int, height: int) -> NDArray[np.int64]:
    """Return each point's dot [n, 2] in `width` × `height` cells, -1 where it is not shown."""
    points, finite = _coordinates(scatter), _finite(scatter)
    dots = np.full(points.shape, -1, dtype=np.int64)
    frame = _frame(scatter, width, height)
    if frame is None:
        return dots
    at = np.round(frame.dots(points[finite]))
    dots[finite] = np.clip(at, 0, frame.room).astype(np.int64)
    if scatter.view is not None:
        # What lies outside the rectangle but inside the panel is seen too: a panel is seldom a rectangle's shape.
        outside = (at < 0).any(axis=1) | (at > frame.room).any(axis=1)
        dots[np.flatnonzero(finite)[outside]] = -1
    dots[~_visible(scatter)] = -1
    return dots


def scatter_cells(scatter: Scatter, width: int, height: int, look: Look, *, legend: bool = True) -> NDArray[np.int64]:
    """Return the (column, row) cell of each point [n, 2] where `draw_scatter` puts it; -1 for those not shown."""
    layout = _lay_out(scatter, width, height, look, legend)
    hidden = layout.dots[:, 0] < 0
    cells: NDArray[np.int64] = layout.dots // np.array([2, 4]) + np.array([layout.column, layout.row])
    cells[hidden] = -1
    return cells


def scatter_data(
    scatter: Scatter, width: int, height: int, cell: tuple[int, int], look: Look, *, legend: bool = True
) -> tuple[float, float] | None:
    """Return the place in the plane that the middle of a cell (column, row) shows; None beside the plot."""
    layout = _lay_out(scatter, width, height, look, legend)
    column, row = cell[0] - layout.column, cell[1] - layout.row
    frame = _frame(scatter, layout.width, layout.height)
    if frame is None or not (0 <= column < layout.width and 0 <= row < layout.height):
        return None
    x, y = frame.points(np.array([2 * column + 0.5, 4 * row + 1.5]))
    return float(x), float(y)


def _note_text(scatter: Scatter) -> str:
    finite = _finite(scatter)
    bad = int((~finite).sum())
    parts = [scatter.note] if scatter.note else []
    if bad and bad < len(finite):
        parts.append(f"{bad:,} of {len(finite):,} points are not finite and left out")
    return " · ".join(parts)


def draw_scatter(scatter: Scatter, width: int, height: int, look: Look, *, legend: bool = True) -> Cells:
    """Return `scatter` painted on `width` × `height` cells."""
    cells = Cells(width, height, look)
    if not width or not height:
        return cells
    visible = _visible(scatter)
    if not visible.any():
        reason = _nothing(scatter)
        return cells.words(scatter.title, reason) if scatter.title and height > 1 else cells.words(reason)
    layout = _lay_out(scatter, width, height, look, legend)
    rows = np.flatnonzero(layout.dots[:, 0] >= 0)
    dots = layout.dots[rows]
    labels = _known_labels(scatter)[rows]
    kinds = len(scatter.classes) + 1
    at = (dots[:, 1] // 4) * layout.width + dots[:, 0] // 2
    # The most frequent class of each occupied cell: of (cell, class) pairs in order of count, the last one wins.
    pairs, counts = np.unique(at * kinds + labels, return_counts=True)
    order = np.argsort(counts, kind="stable")
    winner = np.full(layout.width * layout.height, -1, dtype=np.int64)
    winner[pairs[order] // kinds] = pairs[order] % kinds
    occupied = np.flatnonzero(winner >= 0)
    plot = (slice(layout.row, layout.row + layout.height), slice(layout.column, layout.column + layout.width))
    chars = np.full(winner.shape, " ", dtype="<U1")
    if look.colours and look.unicode:
        bits = np.zeros(winner.shape, dtype=np.int64)
        np.bitwise_or.at(bits, at, _DOTS[dots[:, 1] % 4, dots[:, 0] % 2])
        chars[occupied] = (0x2800 + bits[occupied]).astype("<u4").view("<U1")
    else:
        glyphs = np.array([*signs(scatter.classes), "?"], dtype="<U1")
        chars[occupied] = glyphs[winner[occupied]]
    paint = np.array([*(pack(colour(place)) for place in range(kinds - 1)), pack(look.faint)], dtype=np.int32)
    fg = np.full(winner.shape, -1, dtype=np.int32)
    fg[occupied] = paint[winner[occupied]]
    cells.chars[plot] = chars.reshape(layout.height, layout.width)
    cells.fg[plot] = fg.reshape(layout.height, layout.width)
    if look.colours and look.unicode:
        _draw_names(cells, scatter, layout, dots, labels)
    _draw_chosen(cells, scatter, layout)
    _draw_texts(cells, scatter, layout)
    if not len(rows):
        middle = layout.row + layout.height // 2
        cells.muted(layout.column, middle, "no points here", width=layout.width, align=0.5)
    return cells


def _nothing(scatter: Scatter) -> str:
    if not len(scatter.points):
        return scatter.note or NOTHING
    if not _finite(scatter).any():
        return "no point has finite coordinates"
    return "no points of the classes shown"


def _known_labels(scatter: Scatter) -> NDArray[np.int64]:
    """Return labels [n] within the classes; one that is not becomes the last number, "?"."""
    labels = np.full(len(np.asarray(scatter.points).reshape(-1, 2)), len(scatter.classes), dtype=np.int64)
    given = np.asarray(scatter.labels, dtype=np.int64).reshape(-1)[: len(labels)]
    labels[: len(given)] = np.where((given >= 0) & (given < len(scatter.classes)), given, len(scatter.classes))
    return labels


def _draw_names(
    cells: Cells, scatter: Scatter, layout: _Layout, dots: NDArray[np.int64], labels: NDArray[np.int64]
) -> None:
    """Write each class's sign on its colour in the midst of its points; `dots` [n, 2], `labels` [n] are those shown."""
    glyphs = signs(scatter.classes)
    for place, one in midsts(dots, labels, len(glyphs)):
        column, row = int(dots[one, 0]) // 2 + layout.column, int(dots[one, 1]) // 4 + layout.row
        _put_badge(cells, column, row, glyphs[place], place)


def _put_badge(cells: Cells, column: int, row: int, glyph: str, place: int) -> None:
    cells.put(column, row, glyph, ink_on(colour(place)), bg=colour(place), bold=True, width=1)


def _draw_chosen(cells: Cells, scatter: Scatter, layout: _Layout) -> None:
    chosen = scatter.chosen
    if chosen is None or not 0 <= chosen < len(layout.dots) or layout.dots[chosen, 0] < 0:
        return
    look = cells.look
    column, row = layout.dots[chosen] // np.array([2, 4]) + np.array([layout.column, layout.row])
    label = int(_known_labels(scatter)[chosen])
    sign = (*signs(scatter.classes), "?")[label]
    # Its class as a sign on a full cell: seen at a glance among dots, with and without colour.
    cells.put(int(column), int(row), sign, look.paper, bg=look.ink, bold=True, width=1)
    left, right = (("▐", "▌") if look.unicode else ("[", "]")) if look.colours else ("[", "]")
    for place, glyph in ((int(column) - 1, left), (int(column) + 1, right)):
        if layout.column <= place < layout.column + layout.width:
            cells.put(place, int(row), glyph, look.ink, bold=True, width=1)


def _draw_texts(cells: Cells, scatter: Scatter, layout: _Layout) -> None:
    look = cells.look
    if layout.title:
        cells.put(0, 0, scatter.title, look.ink, bold=True)
    if layout.note:
        cells.muted(0, cells.height - 1, _note_text(scatter))
    if not layout.legend:
        return
    labels = _known_labels(scatter)
    shown = layout.dots[:, 0] >= 0
    glyphs = signs(scatter.classes)
    counts = np.bincount(labels[shown], minlength=len(glyphs) + 1)
    if layout.legend == "right":
        first = layout.row + max((layout.height - len(glyphs)) // 2, 0)
        for place, name in enumerate(scatter.classes):
            _legend_line(cells, layout.width + 2, first + place, place, glyphs[place], name, int(counts[place]))
        return
    draw_legend(cells, 0, layout.row + layout.height, scatter.classes, tuple(int(c) for c in counts))


def _put_mark(cells: Cells, column: int, row: int, place: int, glyph: str, present: bool) -> None:
    """Write a class's sign as it stands among the points; muted where it has none there."""
    look = cells.look
    if present and look.colours and look.unicode:
        _put_badge(cells, column, row, glyph, place)
    else:
        cells.put(column, row, glyph, colour(place) if present else look.faint, bold=present, width=1)


def _legend_line(cells: Cells, column: int, row: int, place: int, glyph: str, name: str, count: int) -> None:
    look = cells.look
    present = count > 0
    _put_mark(cells, column, row, place, glyph, present)
    text = "".join(clip(split_cells(name, look.unicode), _LONGEST_NAME, look.unicode))
    if glyph != name:
        cells.put(column + 2, row, text, look.ink if present else look.faint, dim=not (present or look.colours))
    cells.muted(column + 2, row, f"{count:,}" if present else "–", width=cells.width - column - 2, align=1.0)


def draw_legend(cells: Cells, column: int, row: int, classes: tuple[str, ...], counts: tuple[int, ...]) -> None:
    """Write the classes on one row, as many as fit; those without points are muted."""
    look = cells.look
    glyphs = signs(classes)
    for place, name in enumerate(classes):
        text = "".join(clip(split_cells(name, look.unicode), _LONGEST_NAME, look.unicode))
        text = "" if glyphs[place] == name else f" {text}"
        more = "…" if place < len(classes) - 1 else ""
        if column + 1 + len(split_cells(text, look.unicode)) + 2 * bool(more) > cells.width:
            cells.muted(column, row, "…", width=1)
            return
        present = counts[place] > 0
        _put_mark(cells, column, row, place, glyphs[place], present)
        column += 1
        if text:
            column += cells.put(column, row, text, look.ink if present else look.faint, dim=not present)
        column += 2
