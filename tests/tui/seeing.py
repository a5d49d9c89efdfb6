"""What a person does and sees: the application opened on a study, its keys pressed, the text on its screen."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual.app import App
from textual.pilot import Pilot

from embcx_tui.analysis import formatting
from embcx_tui.tui.app import EmbcxApp, make_app
from embcx_tui.tui.messages import Mode, OpenStudy
from tests.tui import made

# Far above what a crowded machine needs; a test that waits this long has failed.
PATIENCE_S = 120.0


def text_of(app: App[Any]) -> str:
    """Return the screen as lines of text."""
    strips = app.screen._compositor.render_strips()
    return "\n".join(strip.text.rstrip() for strip in strips)


async def sees(pilot: Pilot[None], *words: str) -> str:
    """Wait until all of `words` are on the screen; return its text."""
    return await _until(pilot, lambda text: all(word in text for word in words), f"never on the screen: {words}")


async def sees_no(pilot: Pilot[None], word: str) -> str:
    """Wait until `word` is on the screen no more; return its text."""
    return await _until(pilot, lambda text: word not in text, f"still on the screen: {word!r}")


async def counted(pilot: Pilot[None]) -> str:
    """Wait until the numbers of the layer browser hold the statistics over runs; return the screen's text."""
    await sees(pilot, "first break")
    await sees_no(pilot, "   ~")  # where the output is not UTF-8
    return await sees_no(pilot, "   …")


async def _until(pilot: Pilot[None], holds: Callable[[str], bool], complaint: str) -> str:
    give_up = time.monotonic() + PATIENCE_S
    while True:
        await pilot.pause()
        text = text_of(pilot.app)
        if holds(text):
            return text
        if time.monotonic() > give_up:
            raise AssertionError(f"{complaint}\n{text}")
        await pilot.pause(0.02)


@asynccontextmanager
async def opened(
    study: made.Made | None, mode: Mode, size: tuple[int, int] = (80, 24), *, expect: str | None = None
) -> AsyncIterator[Pilot[None]]:
    """Open the application on `study` in `mode`, and wait until `expect` is on the screen."""
    app = make_app()
    async with app.run_test(size=size, notifications=True) as pilot:
        await show(pilot, study, mode)
        if expect:
            await sees(pilot, expect)
        yield pilot


async def show(pilot: Pilot[None], study: made.Made | None, mode: Mode) -> None:
    """Open `study` in `mode`, or just go there."""
    app = pilot.app
    assert isinstance(app, EmbcxApp)
    if study:
        app.post_message(OpenStudy(study.paths, mode))
    else:
        app.action_mode(mode)
    await pilot.pause()


def stop_the_clock(monkeypatch: pytest.MonkeyPatch, at: float = made.START + 900) -> None:
    """Let it be `at` on every screen, in UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr(formatting, "now", lambda: at)
