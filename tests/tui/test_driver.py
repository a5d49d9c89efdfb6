"""What terminals, multiplexers and people send: understood or left out, never the end of the application."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from textual import events
from textual.message import Message

from embcx_tui.tui.driver import TerminalInput
from tests.fake_studies import make_study, settings_of
from tests.terminal import Terminal
from tests.test_journeys import PROGRAM

# No key of it may come through: `q` leaves the application.
COLOURED = b"\x1b[31m" + b"q" * 40


def words(message: Message) -> str:
    match message:
        case events.Key():
            return message.key
        case events.Paste():
            return f"paste {message.text!r}"
        case events.MouseEvent():
            return f"{type(message).__name__} {message.button} at {message.x:g},{message.y:g}"
    return type(message).__name__


def fed(source: TerminalInput, *pieces: bytes) -> list[str]:
    return [words(message) for piece in pieces for message in source.feed(piece)]


def understood(*pieces: bytes, encoding: str = "utf-8") -> list[str]:
    """Return what the application gets, and that an `x` afterwards is one: pieces are what single reads return."""
    source = TerminalInput(encoding)
    got = fed(source, *pieces)
    after = fed(source, b"", b"x")
    assert after[-1:] == ["x"], after
    return got + after[:-1]


@pytest.mark.parametrize(
    ("sent", "wanted"),
    [
        (b"q\xe9 a", ["q", "space", "a"]),  # é of a latin-1 terminal
        (b"\xe1\xf1", []),  # alt+a, alt+q of 8-bit meta
        (b"\xff\xfe\x80\xc3\x28\xf0\x28", ["left_parenthesis", "left_parenthesis"]),
        ("é漢".encode(), ["é", "漢"]),
        (b"\x1b[M" + bytes([32, 132, 38]), ["MouseDown 1 at 99,5"]),
        (b"\x1b[M" + bytes([35, 132, 38]), ["MouseUp 1 at 99,5"]),
        (b"\x1b[M" + bytes([34, 255, 33]), ["MouseDown 3 at 222,0"]),
        (b"\x1b[M" + bytes([67, 140, 40]), ["MouseMove 0 at 107,7"]),
        (b"\x1b[M" + bytes([96, 140, 40]), ["MouseScrollUp 0 at 107,7"]),
        (b"\x1b[<0;100;6Ma", ["MouseDown 1 at 99,5", "a"]),
        (b"\x1b[99;1:3ua", ["a"]),  # the release of a key
        (b"\x1b[1;1:3Aa", ["a"]),
        (b"\x1b[1114112ua", ["a"]),  # beyond Unicode
        (b"\x1b[99999999999999ua", ["a"]),
        (b"\x1b[99ua", ["c", "a"]),
        (b"\x1b[A\x1b[Ba", ["up", "down", "a"]),
        (b"\x1b[200~two words\x1b[201~a", ["paste 'two words'", "a"]),
        (b"\x1b[200~" + COLOURED + b"\x1b[201~a", [f"paste {COLOURED.decode()!r}", "a"]),
        (b"\x1b[200~a\xff b\x1b[201~", ["paste 'a b'"]),
        (b"\x1b[48;0;0;0;0t\x1b[<0;5;5Ma", ["Resize", "a"]),  # a mouse in cells of no width
    ],
)  # fmt: skip
def test_each_kind_is_understood_or_left_out(sent: bytes, wanted: list[str]) -> None:
    assert understood(sent) == wanted
    # And however the connection cuts it up.
    single = [bytes([byte]) for byte in sent]
    assert understood(*single) == wanted


def test_the_letters_of_a_latin_1_terminal_are_letters() -> None:
    assert understood(b"\xe9\xf6", encoding="iso8859-1") == ["é", "ö"]


def test_a_paste_that_has_lost_its_end_is_over_after_some_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("embcx_tui.tui.driver.time.monotonic", lambda: now)
    source = TerminalInput("utf-8")
    assert fed(source, b"\x1b[200~half a paste", b"") == []
    now += 1.0
    assert fed(source, b" more", b"") == []
    now += 1.9
    assert fed(source, b"") == []
    now += 0.2
    assert fed(source, b"", b"a") == ["paste 'half a paste more'", "a"]
    assert fed(source, b"\x1b[201~", b"b") == ["b"]


def test_a_huge_paste_is_kept_in_part_and_its_end_is_seen() -> None:
    pieces = [b"\x1b[200~", *[b"0123456789abcdef" * 256] * 100, b"\x1b[20", b"1~", b"a"]
    paste, key = fed(TerminalInput("utf-8"), *pieces)
    assert paste.startswith("paste '0123456789") and len(paste) < 70_000 and key == "a"


def random_pieces(seed: int) -> Iterator[bytes]:
    source = random.Random(seed)
    parts = [b"\x1b", b"\x1b[", b"\x1b[M", b"\x1b[<", b";", b":", b"1", b"99999", b"u", b"~", b"M", b"m", b"t", b"R",
             b"200~", b"\x1b]", b"\x1bP", b"\x1b_", b"\\", b"?", b"$y", b"-", b"\x00", b"\x9b", b"A"]  # fmt: skip
    for _ in range(400):
        some = b"".join(source.choice(parts) if source.random() < 0.8 else source.randbytes(2) for _ in range(8))
        yield from (some[:5], some[5:]) if source.random() < 0.5 else (some,)


@pytest.mark.parametrize("seed", range(10))
def test_whatever_comes_a_key_after_it_is_a_key(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("embcx_tui.tui.driver.time.monotonic", lambda: now)
    monkeypatch.setattr("textual._parser.get_time", lambda: now)
    source = TerminalInput("utf-8")
    for piece in random_pieces(seed):
        for message in source.feed(piece):
            assert isinstance(message, Message)
    for _ in range(2):  # what was begun is over, and a paste without an end
        now += 5.0
        fed(source, b"")
    assert fed(source, b"x") == ["x"]


def test_the_application_goes_on_whatever_its_terminal_sends() -> None:
    make_study(settings_of(networks__runs=1), "complete")
    with Terminal(PROGRAM, 120, 40) as terminal:
        terminal.expect("complete")
        terminal.settle()
        for sent in (b"\xe9 ", b"\xe1", b"\x1b[M" + bytes([32, 133, 38]), b"\x1b[99;1:3u", b"\x1b[1114112u",
                     b"\x1b[48;0;0;0;0t", b"\x1b[48;99999;99999;0;0t", b"\x1b[<0;9999;9999M", b"\xff" * 9):  # fmt: skip
            terminal.write(sent)
        terminal.settle()
        terminal.press("c")
        terminal.expect("points per class")
        terminal.press("down")
        terminal.write(b"\x1b[200~-a-paste-that-never-ends")
        terminal.expect("a-paste-that-never-ends")
        terminal.press("escape", "s")
        terminal.expect("last KL")
        terminal.send("q")
        assert terminal.wait() == 0
        assert b"Traceback" not in terminal.raw and terminal.modes_left_on() == []


def test_variables_of_size_and_of_textual_do_not_fix_the_screen() -> None:
    nonsense = {"COLUMNS": "60", "LINES": "20", "TEXTUAL_DRIVER": "nosuch:Driver", "TEXTUAL_COLOR_SYSTEM": "bogus",
                "TEXTUAL": "devtools,debug", "TEXTUAL_FPS": "abc", "TEXTUAL_PRESS": "q", "TEXTUAL_THEME": "none",
                "TEXTUAL_FILTERS": "none", "TEXTUAL_DEBUG": "1", "TEXTUAL_LOG": "/nowhere/log"}  # fmt: skip
    with Terminal(PROGRAM, 120, 30, nonsense) as terminal:
        terminal.expect("No studies yet")
        terminal.settle()
        assert max(len(line) for line in terminal.text().splitlines()) > 110
        assert terminal.screen.display[-1].strip() or terminal.screen.display[-2].strip()
        terminal.resize(70, 20)
        terminal.settle()
        assert 60 < max(len(line) for line in terminal.text().splitlines()) <= 70
        terminal.send("q")
        assert terminal.wait() == 0
