"""Markdown (GitHub's) from text that may come from anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from embcx_tui.study.text import safe_text

# Everything that can begin a link, an image, HTML, emphasis, code, a table cell, mathematics or an automatic link.
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|<>&~$:@^\"=])")


def escaped(text: object, limit: int = 300) -> str:
    """Return `text` as one harmless line that Markdown shows as it is, at most `limit` characters before escaping."""
    line = _SPECIAL.sub(r"\\\1", safe_text(text, limit))
    return re.sub(r"(?i)\bwww\.", r"www\\.", line)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> list[str]:
    """Return a table's lines; cells are Markdown already, the first `left` columns stand to the left."""
    marks = [":--" if place < left else "--:" for place in range(len(head))]
    return [_line(head), _line(marks), *(_line(row) for row in rows), ""]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def fenced(text: str, language: str) -> list[str]:
    """Return `text` as a block of code; its own backticks cannot end it, and each line is harmless."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    lines = [" " * (len(line) - len(line.lstrip(" "))) + safe_text(line, 2_000) for line in text.splitlines()]
    return [f"{fence}{language}", *lines, fence, ""]
