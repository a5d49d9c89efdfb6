"""Pictures of the screens at both sizes: what a person sees."""

from __future__ import annotations

from typing import Any

import pytest
from textual.pilot import Pilot

from embcx_tui.tui.app import make_app
from embcx_tui.tui.terminal import Abilities
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
        await shows(pilot, "'mnsit' is not a dataset")
        await shows(pilot, "1 mistake")

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


@SIZES
def test_picture_of_the_palette(size: tuple[int, int], snap_compare: Any, studies: None) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await listed(pilot)
        await pilot.press("ctrl+p", *"theme")
        await shows(pilot, "Theme: high contrast")

    assert snap_compare(make_app(), terminal_size=size, run_before=look)


@SIZES
def test_picture_of_a_harmful_question(size: tuple[int, int], snap_compare: Any, studies: None) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await listed(pilot)
        await pilot.press("down", "down", "delete")
        await shows(pilot, "Keep")

    assert snap_compare(make_app(), terminal_size=size, run_before=look)


@SIZES
def test_picture_of_asking_for_a_path(size: tuple[int, int], snap_compare: Any) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await listed(pilot)
        await pilot.press("c")
        await shows(pilot, "about ")
        await pilot.press("ctrl+o")
        await shows(pilot, "Path of the TOML file")

    assert snap_compare(make_app(), terminal_size=size, run_before=look)


def complete() -> made.Made:
    """A measured study as pictures show it."""
    return made.make_study(made.settings_of(networks__runs=2, training__epochs=20), "complete", telemetry=60)


# How else a screen can look: the themes besides the dark one, 16 colours, no colour, only ASCII.
KINDS = pytest.mark.parametrize("kind", ["light", "contrast", "16 colours", "no colour", "ascii"])


def app_of_kind(kind: str, study: made.Made, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the application on `study` in a terminal or theme of this kind."""
    if kind == "no colour":
        monkeypatch.setenv("NO_COLOR", "1")
    app = make_app(study.paths, Abilities(colours=kind != "16 colours", unicode=kind != "ascii"))
    if kind in ("light", "contrast"):
        app.theme = f"embcx-{kind}"
    return app


@KINDS
def test_picture_of_layers_elsewhere(kind: str, snap_compare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await shows(pilot, "10-NN")

    assert snap_compare(app_of_kind(kind, complete(), monkeypatch), terminal_size=(80, 24), run_before=look)


@KINDS
def test_picture_of_live_elsewhere(kind: str, snap_compare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await shows(pilot, "10-NN")
        await pilot.press("v")
        await shows(pilot, "Training loss")

    assert snap_compare(app_of_kind(kind, complete(), monkeypatch), terminal_size=(120, 40), run_before=look)


def test_picture_of_the_form_without_colour(snap_compare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    async def look(pilot: Pilot[None]) -> None:
        await listed(pilot)
        await pilot.press("c")
        await shows(pilot, "about ")

    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=look)


@SIZES
def test_picture_of_help_in_layers(size: tuple[int, int], snap_compare: Any) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await shows(pilot, "10-NN")
        await pilot.press("question_mark")
        await shows(pilot, "toward the output")

    assert snap_compare(make_app(complete().paths), terminal_size=size, run_before=look)


@SIZES
def test_picture_of_the_export_window(size: tuple[int, int], snap_compare: Any) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await shows(pilot, "10-NN")
        await pilot.press("e")
        await shows(pilot, "this study's exports")

    assert snap_compare(make_app(complete().paths), terminal_size=size, run_before=look)


@SIZES
def test_picture_of_complexity_against_accuracy(size: tuple[int, int], snap_compare: Any) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await shows(pilot, "10-NN")
        await pilot.press("b")
        await shows(pilot, "complexity against accuracy")
        await shows(pilot, "ρ = ")

    assert snap_compare(make_app(complete().paths), terminal_size=size, run_before=look)
