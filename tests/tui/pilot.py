"""Driving the application as a user does: open it on a study, press keys, and wait for what the screen shows.

Waits end when something is true, never after a time.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from textual.pilot import Pilot

from embcx_tui.analysis import formatting
from embcx_tui.tui.app import EmbcxApp, make_app
from embcx_tui.tui.export.save import screen_text
from embcx_tui.tui.messages import Mode, OpenStudy
from tests.fake_events import START
from tests.fake_studies import FakeStudy

# Far beyond any wait of a healthy run on a crowded machine: reached only where something hangs.
PATIENCE_S = 120.0
_POLL_S = 0.01

AppPilot = Pilot[None]

# Every key and every pause of Textual's pilot waits for the whole screen, for 30 s at most. The form's 152 widgets take
# 0.6 s of a processor: of a thirtieth of one, as on a crowded machine, that is a minute.
Pilot._wait_for_screen.__defaults__ = (PATIENCE_S,)


def app_of(pilot: AppPilot) -> EmbcxApp:
    """Return the application under test."""
    assert isinstance(pilot.app, EmbcxApp)
    return pilot.app


def has_exited(pilot: AppPilot) -> bool:
    """Return whether the application has been left."""
    return pilot.app.return_code is not None


def text_of(pilot: AppPilot) -> str:
    """Return what the screen shows, line by line."""
    return screen_text(pilot.app.screen).removesuffix("\n")


def notifications(pilot: AppPilot) -> str:
    """Return what the application has said so far, one message per line."""
    return "\n".join(message.text for message in app_of(pilot).said.all)


async def until(pilot: AppPilot, holds: Callable[[], object]) -> None:
    """Let the application run until `holds`."""
    give_up = time.monotonic() + PATIENCE_S
    while not holds():
        assert not pilot.app.return_code, "the application has failed"
        assert time.monotonic() < give_up, f"this never came true; the screen shows:\n{text_of(pilot)}"
        await pilot.pause(_POLL_S)
    await pilot.pause()


async def sees(pilot: AppPilot, *words: str) -> str:
    """Wait until all of `words` are on the screen; return its text."""
    return await _until_text(pilot, lambda text: all(word in text for word in words), f"never on the screen: {words}")


async def sees_no(pilot: AppPilot, word: str) -> str:
    """Wait until `word` is no longer on the screen; return its text."""
    return await _until_text(pilot, lambda text: word not in text, f"still on the screen: {word!r}")


async def _until_text(pilot: AppPilot, holds: Callable[[str], bool], complaint: str) -> str:
    give_up = time.monotonic() + PATIENCE_S
    while True:
        await pilot.pause()
        text = text_of(pilot)
        if holds(text):
            return text
        assert not pilot.app.return_code, "the application has failed"
        assert time.monotonic() < give_up, f"{complaint}\n{text}"
        await pilot.pause(_POLL_S)


async def listed(pilot: AppPilot) -> None:
    """Wait until the list of studies is read and the pane below it is drawn."""
    await until(pilot, lambda: app_of(pilot).rows_complete)


async def counted(pilot: AppPilot) -> str:
    """Wait until the layer browser shows the statistics over runs; return the screen's text."""
    await sees(pilot, "first rise at")
    await sees_no(pilot, "   ~")  # the sign of a missing number where the output is not UTF-8
    return await sees_no(pilot, "   …")


@asynccontextmanager
async def opened(
    study: FakeStudy | None, mode: Mode, size: tuple[int, int] = (80, 24), *, expect: str | None = None
) -> AsyncIterator[AppPilot]:
    """Open the application on `study` in `mode`, and wait until `expect` is on the screen."""
    app = make_app()
    async with app.run_test(size=size, notifications=True) as pilot:
        await show(pilot, study, mode)
        if expect:
            await sees(pilot, expect)
        yield pilot


async def show(pilot: AppPilot, study: FakeStudy | None, mode: Mode) -> None:
    """Open `study` in `mode`, or just switch to the mode."""
    if study:
        pilot.app.post_message(OpenStudy(study.paths, mode))
    else:
        app_of(pilot).action_mode(mode)
    await pilot.pause()


def stop_the_clock(monkeypatch: pytest.MonkeyPatch, at: float = START + 900) -> None:
    """Let every screen show the time `at`, in UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr(formatting, "now", lambda: at)
