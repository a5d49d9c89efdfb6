"""Completes the path that is being typed at the end of a line; → accepts it."""

from __future__ import annotations

import asyncio
import os
import re

from textual.suggester import Suggester

from embcx_tui.study.text import safe_text

# The path at the end of a line: after a blank or a comma, or after an open quotation mark.
_LAST_PATH = re.compile(r"""(?:^|[\s,])(?:"(?P<quoted>[^"]*)|(?P<plain>[^\s,"']*))$""")
_NEEDS_QUOTES = re.compile(r"""[\s,"']""")
# A folder of more entries is not gone through for a word that is not asked for.
_MOST_ENTRIES = 10_000


class PathCompletion(Suggester):
    """Suggests the first entry of the folder that begins as what is typed; hidden ones only after a dot."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)

    async def get_suggestion(self, value: str) -> str | None:
        return await asyncio.to_thread(completed, value)


def completed(line: str) -> str | None:
    """Return `line` with the path at its end completed; None where nothing, or nothing more, is there."""
    found = _LAST_PATH.search(line)
    quoted = found["quoted"] if found else None
    typed = quoted if quoted is not None else found["plain"] if found else ""
    if not typed:
        return None
    folder, begun = os.path.split(os.path.expanduser(typed))  # noqa: PTH111  # Path's raises for an unknown user
    fitting: list[tuple[str, bool]] = []
    try:
        with os.scandir(folder or ".") as entries:
            for _, entry in zip(range(_MOST_ENTRIES), entries, strict=False):
                name = entry.name
                if not name.startswith(begun) or (name.startswith(".") and not begun.startswith(".")):
                    continue
                if safe_text(name, 1_000) == name and (quoted is not None or not _NEEDS_QUOTES.search(name)):
                    fitting.append((name, entry.is_dir()))
    except OSError:
        return None
    if not fitting:
        return None
    name, is_folder = min(fitting)
    end = "/" if is_folder else '"' if quoted is not None else ""
    rest = name[len(begun) :] + end
    return line + rest if rest else None
