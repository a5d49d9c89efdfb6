"""Text from outside becomes one harmless line."""

from __future__ import annotations

import random
import unicodedata

import pytest

from embcx_tui.study.text import safe_text


@pytest.mark.parametrize(
    ("hostile", "harmless"),
    [
        ("plain", "plain"),
        ("\x1b]52;c;aGk=\x07clipboard", "clipboard"),
        ("\x1b]0;title\x1b\\after", "after"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("\x1bPq#0\x1b\\sixel", "sixel"),
        ("two\r\nlines\tand tab", "two lines and tab"),
        ("a\u202eb\u200bc\ufeff", "abc"),
        ("\x00\x08x\x7f", "x"),
        ("[bold]not markup[/]", "[bold]not markup[/]"),
        ("é\u4e2d", "é\u4e2d"),
        ("\ud800lone", "lone"),
    ],
)
def test_what_a_terminal_would_obey_is_removed(hostile: str, harmless: str) -> None:
    assert safe_text(hostile) == harmless


def test_random_text_never_keeps_a_control_character() -> None:
    rng = random.Random(1)
    alphabet = "\x1b\x9b\x9d\x90[]0;?m\x07\\Pab \n\u0301\u202e\U000e0041é"
    for _ in range(5_000):
        text = safe_text("".join(rng.choices(alphabet, k=rng.randrange(40))))
        assert not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in text), repr(text)
        assert "\u202e" not in text


def test_marks_do_not_pile_up_and_length_is_bounded() -> None:
    assert safe_text("a" + "\u0301" * 50) == "a" + "\u0301" * 4
    assert len(safe_text("x" * 10_000)) == 500
    assert safe_text("x" * 10_000).endswith("…")
    assert safe_text("word", limit=3) == "wo…"
