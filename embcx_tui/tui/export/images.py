"""Images in terminals that show them: which way this one does, and the bytes that do it.

Known by the environment, never asked: the reply to a question comes on the same line as the keys, and would be taken
for some, or delay the first frame. Three ways: Kitty's graphics with placeholders (Kitty, Ghostty), iTerm2's inline
images (iTerm2, WezTerm, mintty), Sixel (foot, Windows Terminal, mlterm, contour).
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
import sys
import termios
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Literal, get_args

from embcx_tui.figures.palette import quantise, terminal_rgb

Way = Literal["kitty", "iterm2", "sixel"]
VARIABLE = "EMBCX_IMAGES"
"""The person's own word: kitty, iterm2, sixel or none."""

# A cell of the VT340, which terminals that say nothing keep to where they show Sixel (Windows Terminal does).
_CELL = (10, 20)
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_SIXEL = re.compile(r"\x1bP[0-9;]*q[!-~\s]*\x1b\\")
_SIXEL_TERMS = ("foot", "foot-extra", "foot-direct", "mlterm", "contour", "contour-latest", "yaft-256color")
_INLINE_PROGRAMS = ("iTerm.app", "WezTerm", "mintty")

# Kitty: a cell whose character is this one shows the part of the image that two marks over it name.
_PLACEHOLDER = "\U0010eeee"
_MARKS = (
    "0305 030d 030e 0310 0312 033d 033e 033f 0346 034a 034b 034c 0350 0351 0352 0357 035b 0363 0364 0365 0366 0367 "
    "0368 0369 036a 036b 036c 036d 036e 036f 0483 0484 0485 0486 0487 0592 0593 0594 0595 0597 0598 0599 059c 059d "
    "059e 059f 05a0 05a1 05a8 05a9 05ab 05ac 05af 05c4 0610 0611 0612 0613 0614 0615 0616 0617 0657 0658"
)
MARKS = tuple(chr(int(one, 16)) for one in _MARKS.split())
"""Kitty's marks of rows and columns 0 … 63."""
_CHUNK = 4096  # base64 characters in one of Kitty's messages, at most


def way_of(environment: Mapping[str, str]) -> Way | None:
    """Return how a terminal with this environment shows images; None where it shows none, or that is not known."""
    asked = environment.get(VARIABLE, "").strip().lower()
    if asked:
        return next((way for way in get_args(Way) if way == asked), None)
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if environment.get("TMUX") or term.startswith(("tmux", "screen")):
        return None
    if term.startswith(("xterm-kitty", "xterm-ghostty")) or program == "ghostty":
        return "kitty"
    if program in _INLINE_PROGRAMS or environment.get("LC_TERMINAL") == "iTerm2":
        return "iterm2"
    return "sixel" if term in _SIXEL_TERMS or environment.get("WT_SESSION") else None


def why_not(environment: Mapping[str, str], colours: bool, unicode: bool) -> str:
    """Return in one line why a terminal shows no preview; empty where it does.

    `colours`: 256 or more, and none forbidden by NO_COLOR.
    """
    way = way_of(environment)
    if way is None:
        through = environment.get("TMUX") or environment.get("TERM", "").startswith(("tmux", "screen"))
        return "No preview: tmux and screen show no images" if through else "No preview: this terminal shows no images"
    if not colours:
        return "No preview without colours"
    if way == "kitty" and not unicode:
        return "No preview: Kitty's images need UTF-8"
    if way == "sixel" and find_spec("textual_image") is None:
        return "pip install 'embcx-tui[images]' for a preview"
    return ""


def cell_pixels() -> tuple[int, int]:
    """Return the width and height of this terminal's cells in pixels, as far as it says."""
    try:
        answer = fcntl.ioctl(sys.__stdin__.fileno() if sys.__stdin__ else 0, termios.TIOCGWINSZ, b"\0" * 8)
    except (OSError, ValueError):
        return _CELL
    rows, columns, width, height = struct.unpack("HHHH", answer)
    cell = (width // max(columns, 1), height // max(rows, 1))
    return cell if 2 <= cell[0] <= 100 and 4 <= cell[1] <= 200 else _CELL


def colour_of(image: int, many: bool) -> tuple[int, int, int]:
    """Return the colour of the cells that show Kitty's image `image`: with `many` colours it is its number's bytes."""
    return (image >> 16, image >> 8 & 255, image & 255) if many else terminal_rgb(image)


def image_number(many: bool) -> int:
    """Return this process's number of an image: a colour that is sent as it is, of all or of 256."""
    if many:
        return (os.getpid() % 255 + 1) << 16 | 0x5EED
    # Kitty reads it from the cells' colour: in 256 colours that is the colour's number, but the cube's greys are
    # sent as others.
    sent = [number for number in range(16, 232) if quantise(terminal_rgb(number)) == number]
    return sent[os.getpid() % len(sent)]


def kitty(png: str, image: int, columns: int, rows: int) -> str:
    """Return what gives Kitty an image (`png` in base64) for `columns` × `rows` placeholders; nothing answers."""
    _check(_BASE64, png)
    pieces = [png[at : at + _CHUNK] for at in range(0, len(png), _CHUNK)]
    messages = []
    for number, piece in enumerate(pieces):
        head = f"a=T,U=1,f=100,i={image},c={columns},r={rows},q=2," if number == 0 else "q=2,"
        messages.append(f"\x1b_G{head}m={int(number + 1 < len(pieces))};{piece}\x1b\\")
    return "".join(messages)


def kitty_forgets(image: int) -> str:
    """Return what frees an image in Kitty."""
    return f"\x1b_Ga=d,d=I,i={image},q=2\x1b\\"


def placeholders(row: int, columns: int) -> str:
    """Return the characters in which Kitty shows a row of an image, `columns` cells wide."""
    return "".join(_PLACEHOLDER + MARKS[row] + MARKS[column] for column in range(columns))


def inline(png: str, columns: int, rows: int) -> str:
    """Return what makes iTerm2 show an image where the cursor is."""
    _check(_BASE64, png)
    return f"\x1b]1337;File=inline=1;width={columns};height={rows};preserveAspectRatio=0:{png}\a"


def sixel(data: str) -> str:
    """Return Sixel as it came, if it is nothing else."""
    return _check(_SIXEL, data)


def at(column: int, row: int, text: str) -> str:
    """Return `text` for another place of the screen (counted from 0); the cursor comes back."""
    return f"\x1b7\x1b[{row + 1};{column + 1}H{text}\x1b8"


def _check(pattern: re.Pattern[str], text: str) -> str:
    # It comes from a process of ours, but the terminal obeys it.
    if not pattern.fullmatch(text):
        raise ValueError("not an image")
    return text
