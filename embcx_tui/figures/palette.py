"""Colours of series and classes, their signs without colour, and how translucent layers add up."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from rich.color import Color, ColorSystem

Rgb = tuple[int, int, int]

# Ten of the 216 cube colours of a 256-colour terminal, so that quantisation leaves them as they are, found by an
# exchange search for the largest smallest CIEDE2000 distance. Smallest distance of any two, after quantisation:
# 18.2 in normal vision, 15.3 in protanopia and deuteranopia, 11.0 in tritanopia (Machado 2009, severity 1); Okabe–Ito's
# eight quantise to 10.4, 8.5, 7.3, 6.1, matplotlib's tab10 to 12.9, 2.3, 2.4, 9.7. Contrast is at least 2.8 on #121212
# and 1.6 on white, so one palette serves dark and light screens and paper. The first four, which the activations take,
# are the farthest apart.
PLACES: tuple[Rgb, ...] = (
    (95, 215, 255),  # sky
    (175, 0, 135),  # magenta
    (175, 215, 0),  # lime
    (135, 135, 255),  # periwinkle
    (255, 135, 135),  # salmon
    (175, 135, 0),  # ochre
    (0, 175, 175),  # teal
    (135, 0, 255),  # violet
    (175, 95, 95),  # brick
    (95, 95, 0),  # olive
)
WARNING: Rgb = (255, 175, 0)
# They tell classes apart where there is no colour, and beyond the tenth class.
SIGNS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

# All rectangles of a bar on top of each other cover this much of the background: the mean line still stands out.
FULL_OPACITY = 0.8


def colour(place: int) -> Rgb:
    """Return the colour of series or class 0, 1, …; colours repeat after ten."""
    return PLACES[place % len(PLACES)]


# Like viridis, in colours of a 256-colour terminal: quantised from a finer ramp, hues would go back and forth, and
# different values would look alike.
_TERMINAL_RAMP: tuple[Rgb, ...] = (
    (95, 0, 95),
    (95, 0, 175),
    (95, 95, 175),
    (0, 135, 175),
    (0, 175, 135),
    (95, 215, 135),
    (175, 215, 95),
    (215, 215, 95),
    (255, 255, 135),
)


def terminal_ramp(share: float) -> Rgb:
    """Return the colour of `share` (0 … 1, clipped) of a heat map's scale in cells: one of nine, darkest first."""
    return _TERMINAL_RAMP[min(int(min(max(share, 0.0), 1.0) * len(_TERMINAL_RAMP)), len(_TERMINAL_RAMP) - 1)]


def ink_on(paper: Rgb) -> Rgb:
    """Return black or white, whichever reads better on `paper` (by its relative luminance, ITU-R BT.709)."""
    red, green, blue = paper
    return (0, 0, 0) if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 115 else (255, 255, 255)


def signs(classes: Sequence[str]) -> tuple[str, ...]:
    """Return one ASCII character per class: its own name if all names are such characters, else 0 … 9, a … z."""
    own = tuple(classes)
    if len(set(own)) == len(own) and all(len(name) == 1 and name.isascii() and name.isalnum() for name in own):
        return own
    return tuple(SIGNS[place % len(SIGNS)] for place in range(len(own)))


def class_names(classes: Sequence[str]) -> tuple[str, ...]:
    """Return what a legend calls each class: its sign, and its name where that is another."""
    return tuple(
        name if sign == name else f"{sign}  {name}" for sign, name in zip(signs(classes), classes, strict=True)
    )


@lru_cache(maxsize=4096)
def blend(under: Rgb, over: Rgb, opacity: float) -> Rgb:
    """Return `over` at `opacity` (0 … 1) on `under`."""
    r, g, b = (round(u + (o - u) * opacity) for u, o in zip(under, over, strict=True))
    return r, g, b


def stack_opacity(count: float, runs: int) -> float:
    """Return the opacity of `count` of `runs` equal translucent rectangles on top of each other; all: FULL_OPACITY."""
    return 1.0 - float((1.0 - FULL_OPACITY) ** (count / max(runs, 1)))


def quantise(rgb: Rgb) -> int:
    """Return the number (16 … 255) that Rich and Textual give `rgb` in a 256-colour terminal."""
    number = Color.from_rgb(*rgb).downgrade(ColorSystem.EIGHT_BIT).number
    assert number is not None
    return number


def terminal_rgb(number: int) -> Rgb:
    """Return the colour that a 256-colour terminal shows for `number` (16 … 255)."""
    return Color.from_ansi(number).get_truecolor()
