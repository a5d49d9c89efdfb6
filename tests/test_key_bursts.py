"""What is typed faster than the screen follows, on a real pseudo-terminal: all keys in one piece, as over SSH."""

from __future__ import annotations

import sys

import pytest

from tests.fake_studies import FakeStudy, make_study, settings_of
from tests.terminal import Terminal

PROGRAM = (sys.executable, "-m", "embcx_tui")
CTRL_F, CTRL_O, CTRL_P = "\x06", "\x0f", "\x10"


@pytest.fixture
def measured() -> FakeStudy:
    """A small study that is trained and measured."""
    return make_study(settings_of(networks__runs=1), "complete")


# Letters that are keys of these screens: other screens, quit, export, zoom, panels.
@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("/logsig zeqs", "no network matches"),
        ("v/relu slq", "no network has “relu slq”"),
        ("v\x1b[Z/layer slq", "with “layer slq”"),
        ("v\x1b[Z/layer\rz", "with “layer”"),
        (f"v{CTRL_F}vslnq", "vslnq"),
        (f"{CTRL_P}high contrast", "Theme: high contrast"),
        (f"vs{CTRL_P}contrast", "Theme: high contrast"),
        (f"{CTRL_P}configure\r", "start from"),
        (f"c{CTRL_O}sources/vclq", "sources/vclq"),
        ("s\x1b[3~\r", "complete"),
    ],
)
def test_letters_typed_at_once_stand_in_the_field_that_a_key_opens(typed: str, shown: str, measured: FakeStudy) -> None:
    with Terminal((*PROGRAM, "open", measured.paths.id), 120, 40) as terminal:
        terminal.expect("Layer 3 of 3")
        terminal.settle()
        terminal.type(typed)
        terminal.expect(shown)
