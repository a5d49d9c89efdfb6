"""Images in the export window: bytes where the terminal shows them, a line that says why where it does not."""

from __future__ import annotations

import base64
import io
import os
import re
import sys
import time
from importlib.util import find_spec

import pytest
from PIL import Image

from embcx_tui.figures.palette import quantise
from embcx_tui.tui.export import preview
from tests.fake_studies import FakeStudy, make_study
from tests.terminal import PATIENCE_S, Terminal
from tests.tui.pilot import opened, sees
from tests.tui.test_layers import small

# What a developer's own terminal may have set.
_PLAIN = dict.fromkeys(("TMUX", "TERM_PROGRAM", "LC_TERMINAL", "WT_SESSION", preview.VARIABLE), "")
_IMAGE = re.compile(rb"\x1b_G|\x1b\]1337|\x1bP[0-9;]*q")


@pytest.fixture(autouse=True)
def coloured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)


def window(study: FakeStudy, environment: dict[str, str], size: tuple[int, int] = (120, 40)) -> Terminal:
    """Open the export window of a study's layers on a pseudo-terminal."""
    command = (sys.executable, "-m", "embcx_tui", "open", study.paths.id)
    terminal = Terminal(command, *size, _PLAIN | environment)
    terminal.expect("10-NN ")
    terminal.press("e")
    terminal.expect("Save a figure")
    return terminal


def wait_for(terminal: Terminal, wanted: bytes) -> bytes:
    """Let the program draw until `wanted` was sent; return all it sent."""
    end = time.monotonic() + PATIENCE_S
    while wanted not in terminal.raw:
        assert time.monotonic() < end, f"{wanted!r} was never sent"
        terminal.watch(0.2)
    terminal.settle()
    return bytes(terminal.raw)


@pytest.mark.parametrize("colours", ["", "truecolor"])
def test_kitty_is_sent_the_figure_and_told_to_forget_it(colours: str) -> None:
    # TERM of Kitty; COLORTERM does not pass SSH, so both are met.
    environment = {"TERM": "xterm-kitty", "TEXTUAL_COLOR_SYSTEM": colours or "256"}
    with window(make_study(small()), environment) as terminal:
        raw = wait_for(terminal, "\U0010eeee".encode())
        messages = re.findall(rb"\x1b_G([^;\x1b]*);([A-Za-z0-9+/=]*)\x1b\\", raw)
        head = dict(part.split(b"=") for part in messages[0][0].split(b","))
        png = base64.b64decode(b"".join(data for _, data in messages))
        width, height = Image.open(io.BytesIO(png)).size
        columns, rows, number = (int(head[name]) for name in (b"c", b"r", b"i"))
        assert 0.8 < (columns * 1 / (rows * 2)) / (width / height) < 1.2, "not distorted in cells twice as high as wide"
        assert raw.count("\U0010eeee\u0305\u0305".encode()) >= 1
        # Kitty reads the image's number from the colour of its cells.
        red, green, blue = number >> 16, number >> 8 & 255, number & 255
        shown = f"38;2;{red};{green};{blue}" if colours else f"38;5;{number}"
        assert re.search(rb"\x1b\[[0-9;]*" + shown.encode() + rb"[0-9;]*m\xf4\x8e\xbb\xae", raw)
        terminal.press("escape")
        assert f"a=d,d=I,i={number}".encode() in terminal.raw


def test_iterm2_is_sent_the_figure_in_its_place() -> None:
    with window(make_study(small()), {"TERM_PROGRAM": "iTerm.app"}) as terminal:
        raw = wait_for(terminal, b"\x1b]1337;File=inline=1")
        found = re.search(rb"\x1b7\x1b\[(\d+);(\d+)H\x1b\]1337;[^:]*:([A-Za-z0-9+/=]+)\x07\x1b8", raw)
        assert found and base64.b64decode(found[3]).startswith(b"\x89PNG")
        assert int(found[1]) > 5 and int(found[2]) > 60


@pytest.mark.skipif(find_spec("textual_image") is None, reason="textual-image is not installed")
def test_foot_is_sent_sixel() -> None:
    with window(make_study(small()), {"TERM": "foot", "TEXTUAL_COLOR_SYSTEM": "256"}) as terminal:
        raw = wait_for(terminal, b"\x1b\\\x1b8")
        found = re.search(rb'\x1b\[\d+;\d+H\x1bP[0-9;]*q"1;1;(\d+);(\d+)', raw)
        assert found and int(found[1]) % 10 == 0 and int(found[2]) % 20 == 0


@pytest.mark.parametrize(
    "environment",
    [{}, {"NO_COLOR": "1", "TERM": "xterm-kitty"}],
)
def test_other_terminals_are_sent_none_and_told_so(environment: dict[str, str]) -> None:
    with window(make_study(small()), {"TEXTUAL_COLOR_SYSTEM": "256"} | environment) as terminal:
        terminal.watch(1.5)
        terminal.press("f3")
        terminal.expect("drawn in cells")
        assert not _IMAGE.search(bytes(terminal.raw)) and "\U0010eeee".encode() not in terminal.raw
        # Nothing was asked either: a reply would come as keys.
        assert b"\x1b[c" not in terminal.raw and b"\x1b[16t" not in terminal.raw


@pytest.mark.parametrize(
    ("environment", "protocol"),
    [
        ({"TERM": "xterm-256color"}, None),
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-ghostty"}, "kitty"),
        ({"TERM": "tmux-256color", "TERM_PROGRAM": "WezTerm"}, None),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "iterm2"),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, "iterm2"),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "xterm-256color", "WT_SESSION": "1"}, "sixel"),
        ({"TERM": "xterm-256color", "EMBCX_IMAGES": "Sixel"}, "sixel"),
        ({"TERM": "xterm-kitty", "EMBCX_IMAGES": "never"}, None),
        ({"TERM": "xterm-kitty", "EMBCX_IMAGES": "none"}, None),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/x"}, None),
    ],
)
def test_the_environment_tells_the_protocol(environment: dict[str, str], protocol: str | None) -> None:
    assert preview.protocol_of(environment) == protocol


def test_without_the_extra_sixel_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "find_spec", lambda name: None)
    assert "embcx-tui[images]" in preview.why_unavailable({"TERM": "foot"}, True, True)
    assert preview.why_unavailable({"TERM": "xterm-kitty"}, True, True) == ""


def test_kittys_number_survives_256_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    for process in range(1, 400):
        monkeypatch.setattr(os, "getpid", lambda process=process: process)
        number = preview.image_number(truecolor=False)
        assert quantise(preview.placeholder_rgb(number, truecolor=False)) == number
    number = preview.image_number(truecolor=True)
    red, green, blue = preview.placeholder_rgb(number, truecolor=True)
    assert (red << 16) + (green << 8) + blue == number


def test_only_images_are_passed_on() -> None:
    for bad in ("", "aGk=\x1b[2J", "a b", "aGk=\n"):
        with pytest.raises(ValueError, match="not an image"):
            preview.kitty(bad, 20, 4, 4)
        with pytest.raises(ValueError, match="not an image"):
            preview.inline(bad, 4, 4)
    for bad in ("", "\x1bPq#0\x1b[2J\x1b\\", "\x1bPq#0\x1b\\\x1b[2J"):
        with pytest.raises(ValueError, match="not an image"):
            preview.sixel(bad)
    assert preview.sixel("\x1bP0;0;0q#0~-\x1b\\")


async def test_a_window_that_is_no_terminal_shows_none() -> None:
    async with opened(make_study(small()), "layers", expect="10-NN ") as pilot:
        await pilot.press("e")
        await sees(pilot, "Save a figure")
        await pilot.press("f3")
        await sees(pilot, "drawn in cells: this terminal shows no images")


def test_below_120_columns_the_image_has_the_whole_screen() -> None:
    with window(make_study(small()), {"TERM_PROGRAM": "iTerm.app"}, (80, 24)) as terminal:
        assert not _IMAGE.search(bytes(terminal.raw))
        terminal.press("f3")
        raw = wait_for(terminal, b"\x1b]1337;File=inline=1")
        width, height = (int(one) for one in re.findall(rb"(?:width|height)=(\d+)", raw)[:2])
        assert 40 < width <= 78 and 15 < height <= 22
        terminal.press("escape")
        terminal.expect("Save a figure")
