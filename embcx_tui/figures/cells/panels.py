"""Figures in terminal cells: rows of styled spans, exactly as wide and as high as asked, whatever the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from embcx_tui.figures.cells.bars import draw_bars
from embcx_tui.figures.cells.canvas import Cells, Frame, draw_legend, frame_of
from embcx_tui.figures.cells.curves_and_dots import draw_curves, draw_dots
from embcx_tui.figures.cells.heat import draw_heat
from embcx_tui.figures.cells.layer_lines import draw_lines, legend_entries
from embcx_tui.figures.cells.scatter import draw_class_legend, draw_scatter
from embcx_tui.figures.model import Bars, Curves, Dots, Figure, Lines, Panels, Scatter, Single
from embcx_tui.figures.palette import Rgb, quantise
from embcx_tui.figures.spans import Look, Row, Span

# Below this a panel shows nothing that can be read; one of lines shows at least whether they fall.
_LEAST_PANEL, _LEAST_LINES = (14, 6), (12, 4)


@dataclass(frozen=True, eq=False)
class Part:
    """A single figure and its rectangle in cells; `place` is its place in the panels, 0 for a figure by itself."""

    place: int
    figure: Single
    column: int
    row: int
    width: int
    height: int
    legend: bool = True
    """Whether it has a legend of its own, not the panels' one."""

    def holds(self, column: int, row: int) -> bool:
        return 0 <= column - self.column < self.width and 0 <= row - self.row < self.height


def draw(
    figure: Figure, width: int, height: int, look: Look | None = None, cursor: tuple[int, int] | None = None
) -> tuple[Row, ...]:
    """Return `figure` as `height` rows of `width` cells each. Never raises for its data: says in words what is missing.

    `cursor` is the (column, row) of a value that is marked.

    CPU time, the least of 30: 24 bars of 5 runs at 92 × 16 8 ms (1.6 ms where only another bar is chosen), 1,000 points
    at 60 × 22 7 ms, five curves at 80 × 20 7 ms, a heat map of 72 values 7 ms. A caller that redraws often caches by
    figure, size and look.
    """
    # Absurd numbers overflow on the way to "inf"; a warning on standard error would be painted over the screen.
    with np.errstate(all="ignore"):
        cells = _cells(figure, max(width, 0), max(height, 0), look or Look())
        if cursor:
            sign = "◆" if cells.look.unicode else "+"
            cells.put_selected_point(*cursor, sign, range(cells.width))
        return cells.rows()


def _cells(figure: Figure, width: int, height: int, look: Look, *, legend: bool = True) -> Cells:
    if isinstance(figure, Bars):
        return draw_bars(figure, width, height, look)
    if isinstance(figure, Lines):
        return draw_lines(figure, width, height, look, legend=legend)
    if isinstance(figure, Scatter):
        return draw_scatter(figure, width, height, look, legend=legend)
    if isinstance(figure, Curves):
        return draw_curves(figure, width, height, look)
    if isinstance(figure, Dots):
        return draw_dots(figure, width, height, look)
    if isinstance(figure, Panels):
        return _draw_panels(figure, width, height, look)
    return draw_heat(figure, width, height, look)


def _grid_of(panels: Panels, width: int, height: int) -> tuple[Frame, tuple[Part, ...]]:
    """Return how `panels` stand on `width` × `height` cells; no parts if they are too small to be read."""
    lines = all(isinstance(one, Lines) for one in panels.figures)
    least = _LEAST_LINES if lines else _LEAST_PANEL
    shared = lines or bool(_shared_classes(panels))
    legend = ("classes", shared, 8 if lines else 10)
    frame = frame_of(height, (("title", panels.title, 7), legend, ("note", panels.note, 13)))
    room = frame.bottom - frame.top
    columns = max(min(panels.columns, len(panels.figures), (width + 1) // (least[0] + 1)), 1)
    rows = max(min(-(-len(panels.figures) // columns), room // least[1]), 1)
    wide, high = (width - (columns - 1)) // columns, room // rows
    if wide < least[0] or high < least[1]:
        return frame, ()
    shared = lines or "classes" in frame.rows
    parts = (
        Part(index, one, index % columns * (wide + 1), frame.top + index // columns * high, wide, high, not shared)
        for index, one in enumerate(panels.figures[: rows * columns])
    )
    return frame, tuple(parts)


def _shared_classes(panels: Panels) -> tuple[str, ...]:
    """Return the classes that all scatters of `panels` have; empty if they differ: then each has its own legend."""
    every = {one.classes for one in panels.figures if isinstance(one, Scatter)}
    return every.pop() if len(every) == 1 else ()


def parts(figure: Figure, width: int, height: int) -> tuple[Part, ...]:
    """Return the single figures of `figure` where `draw` puts them at this size; one by itself has it all."""
    if isinstance(figure, Panels):
        return _grid_of(figure, width, height)[1]
    return (Part(0, figure, 0, 0, width, height),)


def _draw_panels(panels: Panels, width: int, height: int, look: Look) -> Cells:
    cells = Cells(width, height, look)
    count = len(panels.figures)
    if not count:
        return cells.words(panels.title, panels.note or "nothing measured yet")
    frame, parts = _grid_of(panels, width, height)
    if not parts:
        return cells.words("too small", f"for {count} panels")
    for part in parts:
        cells.paste(_cells(part.figure, part.width, part.height, look, legend=part.legend), part.column, part.row)
        title = part.figure.title
        if part.place == panels.chosen and title:
            marked = title if look.colours else f"[{title}]"
            cells.put(part.column, part.row, marked, look.selected, width=part.width)
    left_out = count - len(parts)
    frame.draw(cells, panels.title, f"{left_out} of {count} panels do not fit" if left_out else "", note=panels.note)
    if "classes" in frame.rows:
        classes, first = _shared_classes(panels), panels.figures[0]
        if isinstance(first, Lines):
            draw_legend(cells, frame.rows["classes"], legend_entries(first, look))
        else:
            draw_class_legend(cells, frame.rows["classes"], classes, [1] * len(classes))
    return cells


def draw_text(
    figure: Figure,
    width: int,
    height: int,
    look: Look | None = None,
    *,
    depth: Literal["truecolor", "256"] = "truecolor",
) -> str:
    """Return `figure` as lines for a plain terminal; ANSI colours unless the look has none."""
    return "\n".join("".join(_ansi(span, depth) for span in row) for row in draw(figure, width, height, look))


def _ansi(span: Span, depth: str) -> str:
    codes = ["1"] * span.bold + ["2"] * span.dim
    codes += [_code(kind, rgb, depth) for kind, rgb in (("38", span.fg), ("48", span.bg)) if rgb is not None]
    return f"\x1b[{';'.join(codes)}m{span.text}\x1b[0m" if codes else span.text


def _code(kind: str, rgb: Rgb, depth: str) -> str:
    if depth == "256":
        return f"{kind};5;{quantise(rgb)}"
    return f"{kind};2;{rgb[0]};{rgb[1]};{rgb[2]}"
