"""Images in terminals: which protocol this terminal understands, and the bytes that show an image.

The protocol is read from the environment. The terminal is never asked: its reply arrives among the keys and would be
taken for some, or would delay the first frame. Three protocols: Kitty's graphics with placeholders (Kitty, Ghostty),
iTerm2's inline images (iTerm2, WezTerm, mintty), Sixel (foot, Windows Terminal, mlterm, contour).
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

Protocol = Literal["kitty", "iterm2", "sixel"]
VARIABLE = "EMBCX_IMAGES"
"""The user's choice: kitty, iterm2, sixel or none."""

# The cell of a VT340, in pixels: terminals that do not report theirs draw Sixel at this size (Windows Terminal does).
_CELL = (10, 20)
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_SIXEL = re.compile(r"\x1bP[0-9;]*q[!-~\s]*\x1b\\")
_SIXEL_TERMS = ("foot", "foot-extra", "foot-direct", "mlterm", "contour", "contour-latest", "yaft-256color")
_INLINE_PROGRAMS = ("iTerm.app", "WezTerm", "mintty")

# Kitty: a cell with this character shows the part of the image that two marks over it name, row and column.
_PLACEHOLDER = "\U0010eeee"
_MARKS = (
    "0305 030d 030e 0310 0312 033d 033e 033f 0346 034a 034b 034c 0350 0351 0352 0357 035b 0363 0364 0365 0366 0367 "
    "0368 0369 036a 036b 036c 036d 036e 036f 0483 0484 0485 0486 0487 0592 0593 0594 0595 0597 0598 0599 059c 059d "
    "059e 059f 05a0 05a1 05a8 05a9 05ab 05ac 05af 05c4 0610 0611 0612 0613 0614 0615 0616 0617 0657 0658"
)
MARKS = tuple(chr(int(one, 16)) for one in _MARKS.split())
"""Kitty's marks for rows and columns 0 … 63."""
_CHUNK = 4096  # the most base64 characters in one of Kitty's messages


def protocol_of(environment: Mapping[str, str]) -> Protocol | None:
    """Return the protocol of a terminal with this environment; None where it shows no images or is unknown."""
    chosen = environment.get(VARIABLE, "").strip().lower()
    if chosen:
        return next((protocol for protocol in get_args(Protocol) if protocol == chosen), None)
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if environment.get("TMUX") or term.startswith(("tmux", "screen")):
        return None
    if term.startswith(("xterm-kitty", "xterm-ghostty")) or program == "ghostty":
        return "kitty"
    if program in _INLINE_PROGRAMS or environment.get("LC_TERMINAL") == "iTerm2":
        return "iterm2"
    return "sixel" if term in _SIXEL_TERMS or environment.get("WT_SESSION") else None


def why_unavailable(environment: Mapping[str, str], colours: bool, unicode: bool) -> str:
    """Return in one line why a terminal shows no preview; empty where it does.

    `colours` says whether it has 256 colours or more and NO_COLOR does not forbid them.
    """
    protocol = protocol_of(environment)
    if protocol is None:
        multiplexer = environment.get("TMUX") or environment.get("TERM", "").startswith(("tmux", "screen"))
        return f"No preview: {'tmux and screen show' if multiplexer else 'this terminal shows'} no images"
    if not colours:
        return "No preview without colours"
    if protocol == "kitty" and not unicode:
        return "No preview: Kitty's images need UTF-8"
    if protocol == "sixel" and find_spec("textual_image") is None:
        return "pip install 'embcx-tui[images]' for a preview"
    return ""


def cell_pixels() -> tuple[int, int]:
    """Return the width and height of this terminal's cells in pixels, a VT340's if unreported."""
    try:
        answer = fcntl.ioctl(sys.__stdin__.fileno() if sys.__stdin__ else 0, termios.TIOCGWINSZ, b"\0" * 8)
    except (OSError, ValueError):
        return _CELL
    rows, columns, width, height = struct.unpack("HHHH", answer)
    cell = (width // max(columns, 1), height // max(rows, 1))
    return cell if 2 <= cell[0] <= 100 and 4 <= cell[1] <= 200 else _CELL


def placeholder_rgb(image: int, truecolor: bool) -> tuple[int, int, int]:
    """Return the colour of placeholders, from which Kitty reads the image's number."""
    return (image >> 16, image >> 8 & 255, image & 255) if truecolor else terminal_rgb(image)


def image_number(truecolor: bool) -> int:
    """Return this process's number for its image, one that the colour of a placeholder can carry."""
    if truecolor:
        return (os.getpid() % 255 + 1) << 16 | 0x5EED
    # In 256 colours Kitty takes the colour's number. The greys of the cube are sent as other colours.
    sent = [number for number in range(16, 232) if quantise(terminal_rgb(number)) == number]
    return sent[os.getpid() % len(sent)]


def kitty(png: str, image: int, columns: int, rows: int) -> str:
    """Return the messages that give Kitty an image (`png` in base64) for `columns` × `rows` placeholders.

    They ask for no reply (q=2).
    """
    _check(_BASE64, png)
    pieces = [png[at : at + _CHUNK] for at in range(0, len(png), _CHUNK)]
    messages = []
    for number, piece in enumerate(pieces):
        head = f"a=T,U=1,f=100,i={image},c={columns},r={rows},q=2," if number == 0 else "q=2,"
        messages.append(f"\x1b_G{head}m={int(number + 1 < len(pieces))};{piece}\x1b\\")
    return "".join(messages)


def kitty_delete(image: int) -> str:
    """Return the message that deletes an image in Kitty."""
    return f"\x1b_Ga=d,d=I,i={image},q=2\x1b\\"


def placeholders(row: int, columns: int) -> str:
    """Return the placeholders in which Kitty shows a row of an image, `columns` cells wide."""
    return "".join(_PLACEHOLDER + MARKS[row] + MARKS[column] for column in range(columns))


def inline(png: str, columns: int, rows: int) -> str:
    """Return the message that makes iTerm2 show an image at the cursor."""
    _check(_BASE64, png)
    return f"\x1b]1337;File=inline=1;width={columns};height={rows};preserveAspectRatio=0:{png}\a"


def sixel(data: str) -> str:
    """Return `data` unchanged, once it is checked to be Sixel and nothing else."""
    return _check(_SIXEL, data)


def at(column: int, row: int, text: str) -> str:
    """Return `text` for another cell of the screen (counted from 0); the cursor comes back."""
    return f"\x1b7\x1b[{row + 1};{column + 1}H{text}\x1b8"


def _check(pattern: re.Pattern[str], text: str) -> str:
    # It comes from a process of ours, but the terminal obeys whatever it is sent.
    if not pattern.fullmatch(text):
        raise ValueError("not an image")
    return text
