"""The boundary for text from outside: names, paths, labels, log lines, error texts."""

from __future__ import annotations

import re
import unicodedata

# C0 and C1 controls, soft hyphen and zero-width or direction marks, the BOM, line and paragraph separators, surrogates.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
# Whole escape sequences first, so that "ESC ]0;title BEL" leaves no "]0;title" behind: CSI, then OSC/DCS/PM/APC/SOS
# strings up to their terminator, then two-character escapes.
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]"
)
# A letter with more than this many combining marks is an attack on the line height, not a word.
_MAX_MARKS = 4


def safe_text(text: object, limit: int = 500) -> str:
    """Return `text` as one harmless line of at most `limit` characters.

    Escape sequences and invisible characters are removed, tabs and line breaks become one space, combining marks are
    kept up to four in a row; a longer text ends in an ellipsis. The result is plain text: show it through
    `textual.content.Content(...)`, never as markup.
    """
    # Work on a bounded piece: a hostile megabyte must not cost a second.
    line = str(text)[: limit * 8]
    line = _SEQUENCE.sub("", line)
    line = re.sub(r"[\t\n\x0b\x0c\r\x1c-\x1f\x85\u2028\u2029]+", " ", line)
    line = _UNSAFE.sub("", line)
    if not line.isascii():
        kept: list[str] = []
        marks = 0
        for char in line:
            marks = marks + 1 if unicodedata.combining(char) else 0
            if marks <= _MAX_MARKS:
                kept.append(char)
        line = "".join(kept)
    line = line.strip()
    return line if len(line) <= limit else line[: limit - 1] + "…"
