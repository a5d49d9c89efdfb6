"""What becomes of every line on its way to a terminal without colours, or without more than ASCII."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import lru_cache

from rich.cells import cell_len
from rich.color import Color as RichColor
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter

RGB = tuple[int, int, int]

_PLAIN = Style.from_color(RichColor.parse("default"), RichColor.parse("default"))
# A ground as far from the screen's as this (of 255) is a cursor or a pressed button; nearer ones only order the screen.
_STANDS_OUT = 60
# A text nearer to the ground than this is meant to stand back.
_STANDS_BACK = 130


def _distance(one: RGB, other: RGB) -> int:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


@lru_cache(4096)
def colourless(style: Style, ground: RGB) -> Style:
    """Return `style` in the terminal's own two colours: what stood out is reversed, what stood back is dim."""
    text = style.color.get_truecolor() if style.color else None
    behind = style.bgcolor.get_truecolor(foreground=False) if style.bgcolor else None
    if behind and _distance(behind, ground) > _STANDS_OUT:
        return style + _PLAIN + Style(reverse=True)
    if text and _distance(text, ground) < _STANDS_BACK and not style.bold:
        return style + _PLAIN + Style(dim=True)
    return style + _PLAIN


class Colourless(LineFilter):
    """NO_COLOR taken by its word: no colour at all, not even greys. `ground` gives the theme's background."""

    def __init__(self, ground: Callable[[], RGB]) -> None:
        super().__init__()
        self._ground = ground

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        ground = self._ground()
        return [Segment(text, colourless(style, ground) if style else _PLAIN) for text, style, _ in segments]


# One sign for one: a line keeps its width.
_ALIKE = {
    "-": "─╌╴╶╸╺┄▔·–—−",
    "=": "━",
    "|": "│┃┆╎▌▐▎▏▕",
    "+": "┌┐└┘╭╮╰╯├┤┬┴┼▒±✓",
    "_": "▁▂",
    "o": "●◐°",
    ".": "○◌□",
    "#": "▄▅▆▇█▀▓■",
    ":": "▃░",
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
_SIGNS = {sign: like for like, signs in _ALIKE.items() for sign in signs}


@lru_cache(8192)
def ascii_of(text: str) -> str:
    """Return `text` in ASCII, as many cells wide: signs by like ones, letters without their marks, else `?`."""
    if text.isascii():
        return text
    # "0.63 + 0.01" would be read as a sum.
    return "".join(_ascii_sign(sign) for sign in text.replace(" ± ", " +-"))


def _ascii_sign(sign: str) -> str:
    if sign.isascii():
        return sign
    width = cell_len(sign)
    like = _SIGNS.get(sign) or unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode()
    if "\u2800" < sign <= "\u28ff":
        like = ":"
    return like if len(like) == width else "?" * width


class Asciified(LineFilter):
    """For a terminal whose text is not UTF-8: everything is drawn in ASCII."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [Segment(ascii_of(text), style, control) for text, style, control in segments]
