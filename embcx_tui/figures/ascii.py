"""ASCII characters that stand for the signs of screens and figures, one for one: a line keeps its width."""

from __future__ import annotations

_SIGNS = {
    "-": "─╌╴╶╸╺┄▔·–—−",
    "=": "━",
    "|": "│┃┆╎▌▐▎▏▕",
    "+": "┌┐└┘╭╮╰╯├┤┬┴┼▒±✓",
    "_": "▁▂",
    "o": "●◐°",
    ".": "○◌□░",
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
