"""A rectangle of terminal cells to paint on, and what all drawings share: rows of text around the plot, legends."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from embcx_tui.figures.palette import Rgb
from embcx_tui.figures.spans import ASCII as SIGNS
from embcx_tui.figures.spans import Look, Row, Span, Style
from embcx_tui.study.text import safe_text

# Figures plan the room for their text after it has become ASCII: unlike a screen's, a line may become longer.
ASCII = str.maketrans({**SIGNS, "±": "+-"})
# From the top down; what is not above the plot is below.
_ABOVE = ("title", "legend")
_BELOW = ("axis", "labels", "mean", "sd", "groups", "key", "classes", "x_label", "note")


@lru_cache(maxsize=2048)
def split_cells(text: str, unicode: bool = True) -> tuple[str, ...]:
    """Return `text` cell by cell; a wide character is followed by an empty string.

    Controls are removed, and combining marks that no composed letter holds: terminals disagree about their width.
    """
    if text.isascii() and text.isprintable():
        return tuple(text)
    text = unicodedata.normalize("NFC", safe_text(text))
    if not unicode:
        text = unicodedata.normalize("NFKD", text.translate(ASCII))
        text = "".join(char if char.isascii() else "?" for char in text if not unicodedata.combining(char))
        return tuple(text)
    cells: list[str] = []
    for char in text:
        if unicodedata.category(char) in ("Mn", "Me", "Mc", "Cf", "Cc", "Cs") or "\u1160" <= char <= "\u11ff":
            continue
        # Private, unassigned and emoji-sequence characters: widths differ between terminals and their fonts.
        if unicodedata.category(char) in ("Co", "Cn") or "\U0001f1e6" <= char <= "\U0001f1ff":
            char = "?"
        cells.append(char)
        if unicodedata.east_asian_width(char) in "WF":
            cells.append("")
    return tuple(cells)


def clip(cells: Sequence[str], width: int, unicode: bool = True) -> tuple[str, ...]:
    """Return at most `width` cells; what was cut ends in an ellipsis."""
    if len(cells) <= width:
        return tuple(cells)
    if width <= 0:
        return ()
    kept = list(cells[: width - 1])
    if cells[width - 1] == "" and kept:  # the second half of a wide character is cut off
        kept[-1] = " "
    return (*kept, "…" if unicode else "~")


class Cells:
    """`height` rows of `width` cells, each with a character, colours (packed rgb, -1: none), bold and dim."""

    def __init__(self, width: int, height: int, look: Look) -> None:
        self.width, self.height, self.look = max(width, 0), max(height, 0), look
        shape = (self.height, self.width)
        self.chars = np.full(shape, " ", dtype="<U1")
        self.fg = np.full(shape, -1, dtype=np.int32)
        self.bg = np.full(shape, -1, dtype=np.int32)
        self.bold = np.zeros(shape, dtype=bool)
        self.dim = np.zeros(shape, dtype=bool)
        self._wide = False  # whether a wide character was ever written: only then rows need mending (2 ms at 200 × 60)

    def put(
        self,
        column: int,
        row: int,
        text: str,
        style: Style | None = None,
        *,
        width: int | None = None,
        align: float = 0.0,
    ) -> int:
        """Write `text` into `width` cells from `column` (the rest of the row unless told); return the cells it took.

        `align` 0: left, 0.5: centred, 1: right. Nothing is written outside the rectangle.
        """
        room = self.width - column if width is None else min(width, self.width - column)
        if room <= 0 or column < 0 or not 0 <= row < self.height:
            return 0
        cells = clip(split_cells(text, self.look.unicode), room, self.look.unicode)
        self._wide = self._wide or "" in cells
        start = column + round((room - len(cells)) * align)
        at = (row, slice(start, start + len(cells)))
        style = style or Style()
        self.chars[at], self.fg[at], self.bold[at], self.dim[at] = cells, pack(style.fg), style.bold, style.dim
        if style.bg is not None:
            self.bg[at] = pack(style.bg)
        return len(cells)

    def muted(self, column: int, row: int, text: str, *, width: int | None = None, align: float = 0.0) -> int:
        """Write `text` as secondary: the theme's muted colour, dim without colours."""
        return self.put(column, row, text, self.look.secondary, width=width, align=align)

    def put_selected_point(self, column: int, row: int, sign: str, within: range) -> None:
        """Draw a selected point: its sign on a full cell between brackets, where they are `within` the plot.

        It is seen at a glance among others, with and without colour.
        """
        look = self.look
        self.put(column, row, sign, Style(look.paper, look.ink, bold=True), width=1)
        left, right = ("▐", "▌") if look.unicode and look.colours else ("[", "]")
        for beside, glyph in ((column - 1, left), (column + 1, right)):
            if beside in within:
                self.put(beside, row, glyph, look.strong, width=1)

    def paste(self, other: Cells, column: int, row: int) -> None:
        """Copy `other` here; what does not fit is left out."""
        self._wide = self._wide or other._wide
        rows, columns = min(other.height, self.height - row), min(other.width, self.width - column)
        if rows <= 0 or columns <= 0:
            return
        for name in ("chars", "fg", "bg", "bold", "dim"):
            getattr(self, name)[row : row + rows, column : column + columns] = getattr(other, name)[:rows, :columns]

    def words(self, *lines: str) -> Cells:
        """Write `lines` in the middle, as many as fit."""
        shown = lines[: self.height]
        for number, line in enumerate(shown):
            self.muted(0, (self.height - len(shown)) // 2 + number, line, align=0.5)
        return self

    def say_nothing(self, title: str, reason: str) -> Cells:
        """Write in words, in the middle, why there is nothing to see."""
        return self.words(title, reason) if title and self.height > 1 else self.words(reason)

    def rows(self) -> tuple[Row, ...]:
        """Return the rows as spans; each is exactly `width` cells wide."""
        if not self.look.colours:
            grey = (self.fg >> 16 == (self.fg >> 8 & 255)) & ((self.fg >> 8 & 255) == (self.fg & 255))
            self.fg[grey if self.look.hues else ...] = -1
            self.bg.fill(-1)
        if self._wide:
            self._mend_halves()
        if self.width:
            self._carry_over_spaces()
        changed = np.zeros((self.height, self.width), dtype=bool)
        for layer in (self.fg, self.bg, self.bold, self.dim):
            changed[:, 1:] |= layer[:, 1:] != layer[:, :-1]
        return tuple(self._row(row, changed[row]) for row in range(self.height))

    def _carry_over_spaces(self) -> None:
        """Give spaces the text style of the cell before them: half as many spans for a scatter, the same picture."""
        inked = np.ascontiguousarray(self.chars).view(np.uint32) != ord(" ")
        last = np.maximum.accumulate(np.where(inked, np.arange(self.width), 0), axis=1)
        for layer in (self.fg, self.bold, self.dim):
            layer[:] = np.take_along_axis(layer, last, axis=1)

    def _row(self, row: int, changed: NDArray[np.bool_]) -> Row:
        if not self.width:
            return ()
        text = self.chars[row].tolist()
        edges = [0, *np.flatnonzero(changed).tolist(), self.width]
        fg, bg = self.fg[row].tolist(), self.bg[row].tolist()
        bold, dim = self.bold[row].tolist(), self.dim[row].tolist()
        return tuple(
            Span("".join(text[start:end]), unpack(fg[start]), unpack(bg[start]), bold[start], dim[start])
            for start, end in pairwise(edges)
        )

    def _mend_halves(self) -> None:
        """Replace halves of wide characters whose other half was painted over: a row must keep its width."""
        for row, column in np.argwhere(self.chars == ""):
            before = str(self.chars[row, column - 1]) if column else ""
            if not before or unicodedata.east_asian_width(before) not in "WF":
                self.chars[row, column] = " "
        for row, column in np.argwhere(self.chars > "\u10ff"):
            if unicodedata.east_asian_width(str(self.chars[row, column])) in "WF" and (
                column + 1 >= self.width or self.chars[row, column + 1] != ""
            ):
                self.chars[row, column] = "?"


def pack(rgb: Rgb | None) -> int:
    return -1 if rgb is None else rgb[0] << 16 | rgb[1] << 8 | rgb[2]


@lru_cache(maxsize=4096)
def unpack(packed: int) -> Rgb | None:
    return None if packed < 0 else (packed >> 16, packed >> 8 & 255, packed & 255)


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
