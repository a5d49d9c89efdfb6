"""What is sent of a frame: a terminal shows the same as after all of it, and what it shows already is not sent."""

from __future__ import annotations

import random

import pyte
import pytest
from rich.cells import cell_len

from embcx_tui.tui.terminal_picture import TerminalPicture

_SIGNS = ["layer", "█▇▁", "⠿⣿", " ", "     ", "e", "日本", "−", "0.436"]
_LOOKS = ["", "0", "1", "2;38;5;252", "38;5;252;48;5;233", "1;38;5;74;48;5;233", "7", "4;31", "97;44", "38;2;1;2;3"]
_COLUMNS, _ROWS = 40, 6


def frame(luck: random.Random) -> str:
    """Return a frame as Textual writes one: pieces of rows, each with its look and a reset behind it."""
    rows = []
    for y in sorted(luck.sample(range(_ROWS), luck.randint(1, _ROWS))):
        x = luck.randrange(_COLUMNS - 10)
        row = f"\x1b[{y + 1};{x + 1}H"
        while luck.random() < 0.8:
            text = luck.choice(_SIGNS)
            if (x := x + cell_len(text)) > _COLUMNS:
                break
            look = luck.choice(_LOOKS)
            row += f"\x1b[{look}m{text}\x1b[0m" if look else text
        rows.append(row)
    return "\n".join(rows) + f"\x1b[{luck.randint(1, _ROWS)};{luck.randint(1, _COLUMNS)}H"


def screen_after(*printed: str) -> pyte.Screen:
    screen = pyte.Screen(_COLUMNS, _ROWS)
    stream = pyte.Stream(screen)
    for text in printed:
        stream.feed(text)
    return screen


def cells(screen: pyte.Screen) -> list[list[object]]:
    """Return the cells as they look: of a blank that is not underlined or reversed, the background alone."""

    def looks(cell: pyte.screens.Char) -> object:
        plain = cell.data == " " and not cell.underscore and not cell.reverse
        return (cell.data, cell.bg) if plain else cell

    return [[looks(screen.buffer[y][x]) for x in range(_COLUMNS)] for y in range(_ROWS)]


@pytest.mark.parametrize("seed", range(60))
def test_a_terminal_shows_the_same_as_after_whole_frames(seed: int) -> None:
    luck = random.Random(seed)
    picture = TerminalPicture()
    whole, sent = [], []
    for _ in range(12):
        # Half of a wide sign is never painted over by Textual: each frame has its rows to itself.
        whole.append("\x1b[2J" + frame(luck))
        picture.forget()
        sent += ["\x1b[2J", picture.update(whole[-1].removeprefix("\x1b[2J"))]
        assert cells(screen_after(*sent)) == cells(screen_after(*whole))


@pytest.mark.parametrize("seed", range(60))
def test_frames_over_frames_without_wide_signs(seed: int) -> None:
    luck = random.Random(1_000 + seed)
    picture = TerminalPicture()
    whole, sent = [], []
    for _ in range(25):
        whole.append(frame(luck).replace("日本", "abcd"))
        sent.append(picture.update(whole[-1]))
        one, other = screen_after(*sent), screen_after(*whole)
        assert cells(one) == cells(other)
        assert (one.cursor.x, one.cursor.y) == (other.cursor.x, other.cursor.y)
        assert one.cursor.attrs == pyte.screens.Screen(1, 1).default_char, "the next program finds plain colours"
    assert len("".join(sent)) < len("".join(whole))


def test_what_is_shown_already_is_not_sent() -> None:
    picture = TerminalPicture()
    printed = "\x1b[1;1H\x1b[1;38;5;74mKL\x1b[0m  0.436\x1b[2;1Hlayer 1\x1b[1;1H"
    assert picture.update(printed)
    assert picture.update(printed) == ""
    assert picture.update(printed.replace("layer 1", "layer 2")) == "\x1b[2;7H2\x1b[1;1H"
    # A terminal of another size, a program that had it meanwhile, an image in its cells.
    for other in ("\x1b[?1049h", "\x1b]1337;File=inline=1:AAAA\a", "\x1bPq#0\x1b\\"):
        assert picture.update(other) == other
        assert "KL" in picture.update(printed) and picture.update(printed) == ""


_MODES = ("\x1b[?2026h", "\x1b[?25l", "\x1b[>1u", "\x1b[?2026$p")
_WORDS = ("\x1b]52;c;S0w=\a", "\x1b]9;done\a", "\x1b]22;text\a", "\a")


@pytest.mark.parametrize("other", (*_MODES, *_WORDS))
def test_what_changes_no_cell_is_sent_and_nothing_is_forgotten(other: str) -> None:
    picture = TerminalPicture()
    picture.update("\x1b[1;1HKL")
    assert picture.update(other) == other
    assert picture.update("\x1b[1;1HKL") == ""


def test_a_wide_sign_is_sent_whole() -> None:
    picture = TerminalPicture()
    picture.update("\x1b[1;1H日本 1\x1b[1;1H")
    sent = picture.update("\x1b[1;1H日曜 1\x1b[1;1H")
    assert "日曜 1" in sent
    assert screen_after("\x1b[1;1H日本 1", sent).display[0].rstrip() == "日曜 1"
