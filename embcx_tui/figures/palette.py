"""Colours of series and classes, their signs without colour, and how translucent layers add up."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from rich.color import Color, ColorSystem

Rgb = tuple[int, int, int]

# Colours of the 216 cube of a 256-colour terminal, so that quantisation leaves them as they are: fourteen for dark
# screens, fourteen for light ones and paper. An exchange search found them: a contrast of at least 3:1 on #121212 and
# #1c1c1c, or on #ffffff and #eeeeee, then the largest smallest CIEDE2000 distance in normal vision, protanopia and
# deuteranopia (Machado 2009, severity 1). Four are for activations, ten for classes: on one screen no class has the
# colour of an activation. Smallest distances, dark and light: of two activations 23.4 and 20.8, of two classes 14.6 and
# 11.9, of a class and an activation 11.6 and 9.2; Okabe–Ito's eight quantise to 7.3, matplotlib's tab10 to 2.3.
_ACTIVATIONS: dict[bool, tuple[Rgb, ...]] = {
    True: ((175, 255, 255), (255, 0, 95), (255, 255, 175), (95, 135, 175)),
    False: ((0, 135, 175), (95, 0, 0), (175, 95, 95), (95, 0, 135)),
}
_CLASSES: dict[bool, tuple[Rgb, ...]] = {
    True: (
        (135, 215, 255),
        (175, 0, 215),
        (255, 255, 0),
        (215, 0, 0),
        (135, 255, 215),
        (255, 135, 0),
        (95, 175, 175),
        (215, 95, 255),
        (215, 175, 135),
        (0, 135, 95),
    ),
    False: (
        (0, 135, 255),
        (175, 0, 95),
        (0, 95, 95),
        (215, 95, 0),
        (0, 0, 95),
        (255, 0, 135),
        (0, 135, 135),
        (175, 0, 0),
        (0, 95, 215),
        (0, 0, 215),
    ),
}
# So much darker or lighter than its background is text that must be read, and any other mark (WCAG 2.2, 1.4.3, 1.4.11).
READABLE, VISIBLE = 4.5, 3.0
# They tell classes apart where there is no colour, and beyond the tenth class.
SIGNS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

# All rectangles of a bar on top of each other cover this much of the background: the mean line still stands out.
FULL_OPACITY = 0.8


def colour(place: int, dark: bool = False) -> Rgb:
    """Return the colour of series 0, 1, … on a dark or a light ground; the first four are those of activations.

    Colours repeat after ten; beyond four they are those of classes, which no such chart shows.
    """
    place %= 10
    activations = _ACTIVATIONS[dark]
    return activations[place] if place < len(activations) else _CLASSES[dark][place - len(activations)]


def class_colour(index: int, dark: bool = False) -> Rgb:
    """Return the colour of class 0, 1, … on a dark or a light ground; colours repeat after ten."""
    return _CLASSES[dark][index % 10]


def warning(dark: bool = False) -> Rgb:
    """Return the colour of a mark that something is wrong, on a dark or a light ground."""
    return (255, 175, 0) if dark else (175, 95, 0)


def luminance(rgb: Rgb) -> float:
    """Return the relative luminance of a colour of sRGB, 0 (black) … 1 (white), as WCAG 2.2 defines it."""
    shares = (channel / 255 for channel in rgb)
    linear = (share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares)
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@lru_cache(maxsize=4096)
def contrast(one: Rgb, other: Rgb) -> float:
    """Return the contrast of two colours, 1 (equal) … 21 (black and white), as WCAG 2.2 defines it."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


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
    """Return black or white, whichever reads better on `paper`."""
    black, white = (0, 0, 0), (255, 255, 255)
    return black if contrast(black, paper) >= contrast(white, paper) else white


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
