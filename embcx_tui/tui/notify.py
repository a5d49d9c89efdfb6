"""Telling a person who looks elsewhere that a study has ended: the bell, or their desktop through the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from embcx_tui.study.text import safe_text
from embcx_tui.tui.preferences import Notify
from embcx_tui.tui.rows import RowState, StudyRow

TITLES: dict[Notify, str] = {
    "off": "off",
    "bell": "the terminal's bell",
    "osc9": "desktop, OSC 9 (iTerm2, WezTerm, Ghostty, Windows Terminal)",
    "osc777": "desktop, OSC 777 (foot, urxvt, VTE, Ghostty)",
}
_WORDS: dict[RowState, str] = {"complete": "is complete", "failed": "has failed", "lost": "lost its worker"}


def ended(before: Mapping[str, RowState], rows: Iterable[StudyRow]) -> tuple[StudyRow, ...]:
    """Return the studies that ran when last looked at (`before`: id -> state) and have ended by themselves since."""
    return tuple(row for row in rows if before.get(row.paths.id) == "running" and row.state in _WORDS)


def sentence(row: StudyRow) -> str:
    """Return what is told of a study that has ended."""
    return f"“{row.name}” {_WORDS[row.state]}"


def sequence(how: Notify, text: str) -> str:
    """Return what makes a terminal tell `text`; nothing where notifications are off."""
    # A semicolon would end the field of an OSC, and a control character the sequence.
    plain = safe_text(text, 200).replace(";", ",")
    match how:
        case "off":
            return ""
        case "bell":
            return "\a"
        case "osc9":
            return f"\x1b]9;{plain}\x1b\\"
        case "osc777":
            return f"\x1b]777;notify;embcx-tui;{plain}\x1b\\"
