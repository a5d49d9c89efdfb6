"""What all drawings share: which rows of text stand around the plot, and how title, legend and note look."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from embcx_tui.figures.cells.canvas import Cells, split_cells
from embcx_tui.figures.spans import Style

# From the top down; what is not above the plot is below.
_ABOVE = ("title", "legend")
_BELOW = ("axis", "labels", "mean", "sd", "groups", "key", "classes", "x_label", "note")


@dataclass(frozen=True, slots=True)
class Frame:
    """The rows of a drawing: those of its texts by name, and `top` … `bottom` - 1 of the plot between them."""

    rows: Mapping[str, int]
    top: int
    bottom: int

    def draw(self, cells: Cells, title: str = "", beside: str = "", x_label: str = "", note: str = "") -> None:
        """Write the texts that have a row; `beside` stands beside the title where it fits."""
        row = self.rows
        if "title" in row:
            used = cells.put(0, row["title"], title, cells.look.strong)
            if beside and used + 3 + len(split_cells(beside, cells.look.unicode)) <= cells.width:
                cells.muted(used + 3, row["title"], beside)
        if "x_label" in row:
            cells.muted(0, row["x_label"], x_label, align=0.5)
        if "note" in row:
            cells.muted(0, row["note"], note)


def frame_of(height: int, wanted: Iterable[tuple[str, object, int]]) -> Frame:
    """Return the frame of a drawing `height` rows high.

    `wanted` are texts in the order in which they are needed: their row's name, whether there is such a text, and how
    many rows the plot must keep beside it.
    """
    granted: set[str] = set()
    for name, text, least in wanted:
        if text and height - len(granted) - 1 >= least:
            granted.add(name)
    above, below = ([name for name in names if name in granted] for names in (_ABOVE, _BELOW))
    bottom = height - len(below)
    rows = {name: row for row, name in enumerate(above)} | {name: bottom + row for row, name in enumerate(below)}
    return Frame(rows, len(above), bottom)


def say_nothing(cells: Cells, title: str, reason: str) -> Cells:
    """Write in words, in the middle, why there is nothing to see."""
    return cells.words(title, reason) if title and cells.height > 1 else cells.words(reason)


class Entry(NamedTuple):
    """An entry of a legend: the sign that stands for it, its name, and their styles."""

    sign: str
    name: str
    sign_style: Style
    name_style: Style


def draw_legend(cells: Cells, row: int, entries: Sequence[Entry], *, gap: int = 3, counted: bool = True) -> int:
    """Write as many entries as fit on a row, then how many are left out; return the column after them."""
    column, unicode = 0, cells.look.unicode
    for order, entry in enumerate(entries):
        sign, name = (len(split_cells(text, unicode)) for text in (entry.sign, entry.name))
        rest = len(entries) - order
        more = f"+{rest} more" if counted else "…"
        if column + sign + bool(name) + name + (rest > 1) * (1 + len(more)) > cells.width:
            return column + cells.muted(column, row, more)
        column += cells.put(column, row, entry.sign, entry.sign_style)
        if name:
            column += 1 + cells.put(column + 1, row, entry.name, entry.name_style)
        column += gap
    return column
