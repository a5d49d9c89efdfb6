"""Waiting for the screen as a person does: until it shows what is meant, never for a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from textual.pilot import Pilot
from textual.widgets import Static

from embcx_tui.tui.app import EmbcxApp

# Far beyond any wait of a healthy run: reached only where something hangs.
PATIENCE_S = 120.0

AppPilot = Pilot[None]


def app_of(pilot: AppPilot) -> EmbcxApp:
    """Return our application."""
    assert isinstance(pilot.app, EmbcxApp)
    return pilot.app


async def until(pilot: AppPilot, holds: Callable[[], object]) -> None:
    """Let the application go on until `holds`."""
    give_up = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < give_up, f"never came to be; the screen shows:\n{screen_text(pilot)}"
        await pilot.pause()
        await asyncio.sleep(0.01)
    await pilot.pause()


async def listed(pilot: AppPilot) -> None:
    """Wait for the list of studies to be read and the pane below it to be drawn."""
    await until(pilot, lambda: app_of(pilot).rows_complete)


async def shows(pilot: AppPilot, text: str) -> None:
    """Wait for `text` to stand on the screen."""
    await until(pilot, lambda: text in screen_text(pilot))


def screen_text(pilot: AppPilot) -> str:
    """Return what the screen shows, line by line."""
    width, _ = pilot.app.size
    lines = pilot.app.screen._compositor.render_strips()
    return "\n".join(strip.crop(0, width).text.rstrip() for strip in lines)


def said(pilot: AppPilot) -> str:
    """Return the notifications on the screen."""
    return "\n".join(note.message for note in pilot.app._notifications)


def text_of(pilot: AppPilot, selector: str) -> str:
    """Return the text of a Static."""
    return str(pilot.app.screen.query_one(selector, Static).content)
