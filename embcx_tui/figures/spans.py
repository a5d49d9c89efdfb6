"""What a line of the terminal is made of: spans, their style, and what the terminal can show. Imports no numpy.

The first frame needs these; the drawings in `figures.cells` come later.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from rich.cells import cell_len

from embcx_tui.figures.palette import Rgb, class_colour, colour, warning

# ASCII characters that stand for the signs of screens and figures, one for one: a line keeps its width.
_SIGNS = {
    "-": "─╌╴╶╸╺┄▔·–—−",
    "=": "━",
    "|": "│┃┆╎▌▐▎▏▕",
    "+": "┌┐└┘╭╮╰╯├┤┬┴┼▒±✓",
    "_": "▁▂",
    "o": "●◐°",
    ".": "○◌□░┈",
    "#": "▄▅▆▇█▀▓■",
    ":": "▃",
    ">": "▸→▶",
    "<": "←◀",
    "^": "▴↑⌃▲",
    "v": "▾↓▼",
    "*": "◆",
    "x": "✗×",
    "~": "≈…",
    '"': "“”",
    "'": "\u2018\u2019",
}
ASCII = {sign: ascii for ascii, signs in _SIGNS.items() for sign in signs}


@lru_cache(8192)
def ascii_of(text: str) -> str:
    """Return `text` in ASCII, as many cells wide: similar signs, letters without their marks, else `?`."""
    if text.isascii():
        return text
    # "0.63 + 0.01" would be read as a sum.
    return "".join(_ascii_sign(sign) for sign in text.replace(" ± ", " +-"))


def _ascii_sign(sign: str) -> str:
    if sign.isascii():
        return sign
    if "\u2800" < sign <= "\u28ff":  # dots of braille
        return ":"
    width = cell_len(sign)
    similar = ASCII.get(sign) or unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode()
    return similar if len(similar) == width else "?" * width


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a row in one style; None: the terminal's own colour."""

    text: str
    fg: Rgb | None = None
    bg: Rgb | None = None
    bold: bool = False
    dim: bool = False


Row = tuple[Span, ...]


class Style(NamedTuple):
    """How a cell looks; None: no colour of its own (of `bg` in `Cells.put`: the cell keeps the one it has)."""

    fg: Rgb | None = None
    bg: Rgb | None = None
    bold: bool = False
    dim: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """What the terminal can show, and the theme's colours (None: plain ones that suit `dark`).

    Without `colours` signs tell things apart and no span has a colour; with `hues` (16 colours, where some of ten look
    alike) what is not grey keeps its own. Without `unicode` all text is ASCII. `few`: images are in a few greys.
    """

    dark: bool = True
    colours: bool = True
    unicode: bool = True
    hues: bool = False
    few: bool = False
    foreground: Rgb | None = None
    background: Rgb | None = None
    muted: Rgb | None = None

    def series(self, place: int) -> Rgb:
        """Return the colour of series 0, 1, … on this ground."""
        return colour(place, self.dark)

    def class_colour(self, index: int) -> Rgb:
        """Return the colour of class 0, 1, … on this ground."""
        return class_colour(index, self.dark)

    @property
    def alarm(self) -> Rgb:
        """The colour of a mark that something is wrong."""
        return warning(self.dark)

    @property
    def ink(self) -> Rgb:
        return self.foreground or ((228, 228, 228) if self.dark else (38, 38, 38))

    @property
    def paper(self) -> Rgb:
        return self.background or ((18, 18, 18) if self.dark else (255, 255, 255))

    @property
    def faint(self) -> Rgb:
        return self.muted or ((138, 138, 138) if self.dark else (108, 108, 108))

    @property
    def dimmed(self) -> Style:
        """Marks that are only there for the others: the darkest or lightest of 256 colours' greys with 3:1."""
        grey = 108 if self.dark else 128
        return Style((grey, grey, grey), dim=not self.colours)

    @property
    def text(self) -> Style:
        return Style(self.ink)

    @property
    def strong(self) -> Style:
        return Style(self.ink, bold=True)

    @property
    def secondary(self) -> Style:
        """The theme's muted colour, dim without colours."""
        return Style(self.faint, dim=not self.colours)

    @property
    def selected(self) -> Style:
        """What the screen has chosen: in colours, dark on light."""
        return Style(self.paper, self.ink, bold=True) if self.colours else self.strong
