"""What the terminal shows, cell by cell: of each frame only the cells that differ are sent, in as few bytes as do.

Textual sends every cell of what it paints anew, each piece of text with all its colours and a reset behind it: closing
a window over Layers at 120×40 cost 45 kB, 4.5 s on a line of 10 kB/s. Here a frame is compared with what was sent
before, and a colour is named only where it changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from rich.cells import cell_len

# All that a frame of Textual consists of: a cursor that moves, colours, and text.
_PART = re.compile(r"\x1b\[([\d;]*)([Hm])([^\x1b]*)")
# What may stand between frames and leaves the cells as they are: modes, a frame's begin and end, titles, the clipboard,
# notifications, the shape of the pointer, the bell.
_HARMLESS = re.compile(
    r"(?:\x1b\[[?<>=]?[\d;]*(?:\$p|[hlu])|\x1b\](?:0|2|9|22|52|777);[^\x07\x1b]*(?:\x07|\x1b\\)|\x07)+\Z"
)
_CHANGES_SCREEN = re.compile(r"\x1b\[\?(?:47|1047|1049)[hl]")
# As many cells between two that differ are sent again: to go to the second one costs four bytes or more.
_GAP = 3
# What switches each attribute of SGR off.
_OFF = {"1": "22", "2": "22", "3": "23", "4": "24", "5": "25", "6": "25", "7": "27", "8": "28", "9": "29"} | {
    "21": "24",
    "51": "54",
    "52": "54",
    "53": "55",
}
# ASCII, blocks and braille: most of what is sent, known to take one cell each.
_NARROW = re.compile(r"[ -~\u2500-\u259f\u2800-\u28ff]*")
# With these alone a blank looks the same in any foreground: bold, dim, italic.
_UNSEEN_ON_BLANKS = frozenset("123")


class _Look(NamedTuple):
    """The attributes and the two colours of a cell, as SGR writes them; an empty colour is the terminal's own."""

    attributes: frozenset[str] = frozenset()
    foreground: str = ""
    background: str = ""


_PLAIN = _Look()
# A look and a character. An empty one belongs to the wide character before it.
_Cell = tuple[_Look, str]


@lru_cache(4096)
def _look(sgr: str) -> _Look:
    """Return what the parameters of an SGR sequence after a reset mean."""
    attributes, colours = set(), {"3": "", "4": ""}
    numbers = iter(sgr.split(";"))
    for number in numbers:
        if number in ("38", "48"):
            kind = next(numbers, "")
            rest = [next(numbers, "") for _ in range(3 if kind == "2" else 1)]
            colours[number[0]] = ";".join((number, kind, *rest))
        elif number in _OFF:
            attributes.add(number)
        elif len(number) > 1:  # 30 … 47, 90 … 107
            colours["4" if number.startswith(("4", "10")) else "3"] = number
    return _Look(frozenset(attributes), colours["3"], colours["4"])


@lru_cache(4096)
def _blank(look: _Look) -> _Look:
    """Return the look of a blank: without the foreground, where none is seen."""
    return _Look(frozenset(), "", look.background) if look.attributes <= _UNSEEN_ON_BLANKS else look


@lru_cache(8192)
def _seen_on_blank(old: _Look, wanted: _Look) -> _Look:
    """Return the look nearest to `old` in which a blank looks as `wanted`."""
    if wanted.attributes or not old.attributes <= _UNSEEN_ON_BLANKS:
        return wanted
    return old._replace(background=wanted.background)


@lru_cache(8192)
def _change(old: _Look, new: _Look) -> str:
    """Return the sequence that turns one look into another."""
    off = {_OFF[number] for number in old.attributes - new.attributes}
    kept = {number for number in old.attributes if _OFF[number] not in off}
    parts = [*sorted(off), *sorted(new.attributes - kept)]
    if new.foreground != old.foreground:
        parts.append(new.foreground or "39")
    if new.background != old.background:
        parts.append(new.background or "49")
    if new == _PLAIN and parts:
        parts = [""]
    return f"\x1b[{';'.join(parts)}m" if parts else ""


@lru_cache(1024)
def _cells(text: str, look: _Look) -> tuple[_Cell, ...]:
    """Return `text` as cells."""
    if _narrow(text):
        blank = (_blank(look), " ")
        return tuple(blank if sign == " " else (look, sign) for sign in text)
    # Where a sign takes two cells or none, or several are one, the piece stays whole.
    width = cell_len(text)
    return ((look, text), *(((look, ""),) * (width - 1))) if width else ()


def _narrow(text: str) -> bool:
    """Return whether each sign of `text` takes one cell."""
    return _NARROW.fullmatch(text) is not None or len(text) == cell_len(text) == sum(map(cell_len, text))


class TerminalPicture:
    """The cells that the terminal shows, as far as they are known."""

    def __init__(self) -> None:
        self._rows: dict[int, list[_Cell | None]] = {}
        # Rows that hold or have held signs which do not take one cell.
        self._wide: set[int] = set()
        self._cursor: tuple[int, int] | None = None

    def forget(self) -> None:
        """Take nothing for granted: after a resize, another program on the terminal, or an image."""
        self._rows.clear()
        self._wide.clear()
        self._cursor = None

    def update(self, printed: str) -> str:
        """Return what to send so that the terminal looks as if `printed` had been sent."""
        parts = _PART.findall(printed)
        # The sequence itself has three signs beside its numbers and its text.
        if not parts or sum(len(numbers) + len(text) + 3 for numbers, _, text in parts) != len(printed):
            if _CHANGES_SCREEN.search(printed) or not _HARMLESS.match(printed):
                self.forget()
            return printed
        before: dict[int, list[_Cell | None]] = {}
        spans: dict[int, list[tuple[int, int]]] = {}
        cursor = self._apply(parts, before, spans)
        sent = "".join(self._difference(before, spans))
        if not sent and cursor == self._cursor:
            return ""
        self._cursor = cursor
        # Input methods open at the cursor, though it is hidden.
        return sent + _go_to(*cursor)

    def _apply(
        self,
        parts: Sequence[tuple[str, str, str]],
        before: dict[int, list[_Cell | None]],
        spans: dict[int, list[tuple[int, int]]],
    ) -> tuple[int, int]:
        """Take over a frame; note the rows as they were `before`, and the `spans` of columns that were painted."""
        y, x, look = 0, 0, _PLAIN
        for numbers, kind, text in parts:
            if kind == "m":
                look = _PLAIN if numbers in ("", "0") else _look(numbers)
            else:
                row, _, column = numbers.partition(";")
                y, x = int(row or 1) - 1, int(column or 1) - 1
            text = text.rstrip("\n")  # a move follows
            if not text:
                continue
            cells = _cells(text, look)
            line = self._rows.setdefault(y, [])
            if y not in before:
                before[y], spans[y] = line[:], []
            end = x + len(cells)
            if len(cells) != len(text) or cells[0][1] == text != text[0]:
                self._wide.add(y)
            if len(line) < end:
                line += [None] * (end - len(line))
            line[x:end] = cells
            spans[y].append((x, end))
            x = end
        return y, x

    def _difference(
        self, before: dict[int, list[_Cell | None]], spans: dict[int, list[tuple[int, int]]]
    ) -> Iterator[str]:
        """Yield what to send for the painted spans."""
        look = _PLAIN
        for y, old in before.items():
            new = self._rows[y]
            if old == new:
                continue
            at: int | None = None
            wide = y in self._wide
            for start, end in _runs(old, new, _joined(spans[y]), wide):
                yield _go_to(y, start) if at is None else f"\x1b[{start - at}C"
                cells = [cell for cell in new[start:end] if cell is not None]  # all were painted
                text, look = _sent(cells, look)
                yield text
                # Terminals do not agree on how wide some signs are.
                at = None if wide else end
        yield _change(look, _PLAIN)


def _sent(cells: Sequence[_Cell], look: _Look) -> tuple[str, _Look]:
    """Return cells as text with the colours that change, and the look that they end in."""
    parts = []
    for wanted, sign in cells:
        if wanted is not look and wanted != look:
            if sign == " ":
                wanted = _seen_on_blank(look, wanted)
            parts.append(_change(look, wanted))
            look = wanted
        parts.append(sign)
    return "".join(parts), look


def _go_to(y: int, x: int) -> str:
    return f"\x1b[{y + 1};{x + 1}H"


def _joined(spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield spans from left to right, those that touch as one."""
    left, right = -1, -1
    for start, end in sorted(spans):
        if start <= right:
            right = max(right, end)
            continue
        if right > left:
            yield left, right
        left, right = start, end
    if right > left:
        yield left, right


def _runs(
    old: list[_Cell | None], new: list[_Cell | None], spans: Iterator[tuple[int, int]], wide: bool
) -> Iterator[tuple[int, int]]:
    """Yield the runs of columns within `spans` where two rows differ; a small gap belongs to its run.

    Half of a wide sign cannot be sent: in a row that may have some, whole spans are.
    """
    for left, right in spans:
        if wide:
            if old[left:right] != new[left:right]:
                yield left, right
            continue
        start = end = -1
        known = len(old)
        for x in range(left, right):
            if x < known and old[x] == new[x]:
                continue
            if start >= 0 and x - end > _GAP:
                yield start, end
                start = x
            elif start < 0:
                start = x
            end = x + 1
        if start >= 0:
            yield start, end
