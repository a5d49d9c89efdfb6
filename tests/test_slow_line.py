"""What windows, a filter and an idle screen cost on a slow line, in bytes: 25 kB take 2.5 s at 10 kB/s."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_studies import make_study, settings_of
from tests.terminal import Terminal

PROGRAM = (sys.executable, "-m", "embcx_tui")
# At most so many bytes for a window to open and to close, for a filter of six letters, and for a point with its image.
OPENED, CLOSED, FILTERED, IMAGE = 25_000, 20_000, 30_000, 12_000


@pytest.fixture
def layers() -> Iterator[Terminal]:
    """Layers of a measured study at 120×40, once its statistics are there."""
    study = make_study(settings_of(), "complete")
    with Terminal((*PROGRAM, "open", study.paths.id), 120, 40) as terminal:
        terminal.expect("first rise at")
        terminal.settle()
        terminal.until(lambda: "   …" not in terminal.text(), "the statistics do not come")
        terminal.settle()
        yield terminal


def test_windows_open_and_close_within_their_budget_and_are_silent_between(layers: Terminal) -> None:
    before = layers.text()
    for key, words in (("?", "esc closes"), ("e", "this study's exports"), ("ctrl+p", "Search for commands")):
        opened = layers.cost(key)
        layers.expect(words)
        assert 0 < opened <= OPENED, key
        assert layers.stays_silent(1.5), key
        assert 0 < layers.cost("escape") <= CLOSED, key
        layers.shows(before)


def test_six_letters_of_a_filter(layers: Terminal) -> None:
    layers.press("/")
    assert layers.stays_silent(1.5)
    assert layers.cost(*"tanh 3") <= FILTERED
    layers.expect("of 24 networks")


def test_ctrl_l_sends_the_whole_screen_again(layers: Terminal) -> None:
    shown = layers.text()
    # As `wall` would write over the screen.
    layers.screen.erase_in_display(2)
    layers.screen.draw("The system is going down")
    assert layers.text() != shown
    layers.press("ctrl+l")
    layers.shows(shown)


def test_a_calm_screen_sends_less_of_an_image_and_nothing_flies(layers: Terminal, home: Path) -> None:
    wild = layers.cost("left")
    image = layers.cost("p")
    assert image <= IMAGE
    layers.press("escape", "right", "ctrl+p")
    layers.type("calm: on")
    layers.press("enter")
    layers.until(lambda: "calm = true" in _preferences(home), "the choice is not written")
    layers.settle()
    assert layers.cost("left") < wild
    assert layers.cost("p") < image


def _preferences(home: Path) -> str:
    path = home / "preferences.toml"
    return path.read_text() if path.exists() else ""
