"""Filters of every line on its way to a terminal that has no colours, or only ASCII."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from rich.color import Color as RichColor
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter

from embcx_tui.figures.spans import ascii_of

RGB = tuple[int, int, int]

_PLAIN = Style.from_color(RichColor.parse("default"), RichColor.parse("default"))
# A background this far (of 255) from the screen's is a cursor or a pressed button; nearer ones only divide the screen.
_STANDS_OUT = 60
# Text nearer to the background than this is meant to be faint.
_FAINT = 130


def _distance(one: RGB, other: RGB) -> int:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


@lru_cache(4096)
def colourless(style: Style, background: RGB) -> Style:
    """Return `style` in the terminal's own two colours: what stood out is reversed, what was faint is dim."""
    text = style.color.get_truecolor() if style.color else None
    behind = style.bgcolor.get_truecolor(foreground=False) if style.bgcolor else None
    if behind and _distance(behind, background) > _STANDS_OUT:
        return style + _PLAIN + Style(reverse=True)
    if text and _distance(text, background) < _FAINT and not style.bold:
        return style + _PLAIN + Style(dim=True)
    return style + _PLAIN


class Colourless(LineFilter):
    """Removes all colours, greys too, as NO_COLOR asks. `background` returns the theme's background."""

    def __init__(self, background: Callable[[], RGB]) -> None:
        super().__init__()
        self._background = background

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        behind = self._background()
        return [Segment(text, colourless(style, behind) if style else _PLAIN) for text, style, _ in segments]


class Asciified(LineFilter):
    """Draws everything in ASCII, for a terminal whose text is not UTF-8."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [Segment(ascii_of(text), style, control) for text, style, control in segments]
