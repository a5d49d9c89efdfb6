"""Pictures of the screens at both sizes: what a person sees."""

from __future__ import annotations

from typing import Any

import pytest
from textual.pilot import Pilot

from embcx_tui.tui.app import make_app
from tests.tui import made
from tests.tui.pressing import listed, shows

SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])


@pytest.fixture
def studies(monkeypatch: pytest.MonkeyPatch) -> None:
    """One study of each state."""
    monkeypatch.setattr(made.socket, "gethostname", lambda: made.HOST)  # type: ignore[attr-defined]  # the module's own
    made.one_of_each(made.START + 590)


@SIZES
def test_picture_of_no_studies(size: tuple[int, int], snap_compare: Any) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await shows(pilot, "No studies yet")

    assert snap_compare(make_app(), terminal_size=size, run_before=look)


@SIZES
def test_picture_of_studies(size: tuple[int, int], snap_compare: Any, studies: None) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await listed(pilot)
        await pilot.press("down", "down", "down")
        await shows(pilot, "✓ complete 2 h ago")

    assert snap_compare(make_app(), terminal_size=size, run_before=look)


def test_picture_of_studies_in_the_light(snap_compare: Any, studies: None) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await listed(pilot)
        await pilot.press("ctrl+t", "down", "down")
        await shows(pilot, "without a word")

    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=look)


def test_picture_of_studies_without_colour(snap_compare: Any, studies: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    async def look(pilot: Pilot[None]) -> None:
        await listed(pilot)

    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=look)


@SIZES
def test_picture_of_the_form(size: tuple[int, int], snap_compare: Any) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await listed(pilot)
        await pilot.press("c")
        await shows(pilot, "about ")
        await pilot.press("down", "down", "right", "space", "down", *"mnsit")
        await shows(pilot, "did you mean")

    assert snap_compare(make_app(), terminal_size=size, run_before=look)


@SIZES
def test_picture_of_help(size: tuple[int, int], snap_compare: Any, studies: None) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await listed(pilot)
        await pilot.press("question_mark")
        await shows(pilot, "Start the one-minute demo")

    assert snap_compare(make_app(), terminal_size=size, run_before=look)


def test_picture_of_leaving_while_a_study_trains(snap_compare: Any, studies: None) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await listed(pilot)
        await pilot.press("q")
        await shows(pilot, "Leave embcx-tui?")

    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=look)
