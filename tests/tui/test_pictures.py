"""Pictures of every screen and window at both sizes, with colour and without: what a person sees."""

from __future__ import annotations

from typing import Any

import pytest
from textual.pilot import Pilot

from embcx_tui.tui.app import make_app
from embcx_tui.tui.terminal import Abilities
from tests.tui import made
from tests.tui.scenes import SCENES, Scene, complete
from tests.tui.seeing import counted, sees, show, stop_the_clock

SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
COLOURS = pytest.mark.parametrize("coloured", [True, False], ids=["colour", "no colour"])


@pytest.mark.parametrize("scene", SCENES.values(), ids=list(SCENES))
@COLOURS
@SIZES
def test_picture(
    size: tuple[int, int], coloured: bool, scene: Scene, snap_compare: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(made.socket, "gethostname", lambda: made.HOST)  # type: ignore[attr-defined]  # the module's own
    stop_the_clock(monkeypatch, scene.at)
    if not coloured:
        monkeypatch.setenv("NO_COLOR", "1")
    study = scene.make()

    async def look(pilot: Pilot[None]) -> None:
        await show(pilot, study, scene.mode)
        await scene.play(pilot)

    assert snap_compare(make_app(), terminal_size=size, run_before=look)


# How else a screen can look: the themes besides the dark one, 16 colours, only ASCII.
KINDS = pytest.mark.parametrize("kind", ["light", "contrast", "16 colours", "ascii"])


def app_of_kind(kind: str, study: made.Made | None) -> Any:
    """Return the application on `study` in a terminal or theme of this kind."""
    can = Abilities(colours=kind != "16 colours", unicode=kind != "ascii")
    app = make_app(study.paths if study else None, can)
    if kind in ("light", "contrast"):
        app.theme = f"embcx-{kind}"
    return app


@KINDS
def test_picture_of_layers_elsewhere(kind: str, snap_compare: Any) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await counted(pilot)
        await sees(pilot, "10-NN ")

    assert snap_compare(app_of_kind(kind, complete()), terminal_size=(80, 24), run_before=look)


@KINDS
def test_picture_of_live_elsewhere(kind: str, snap_compare: Any) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await sees(pilot, "10-NN")
        await pilot.press("v")
        await sees(pilot, "Training loss")

    assert snap_compare(app_of_kind(kind, complete()), terminal_size=(120, 40), run_before=look)


@KINDS
def test_picture_of_studies_elsewhere(kind: str, snap_compare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made.socket, "gethostname", lambda: made.HOST)  # type: ignore[attr-defined]  # the module's own
    made.one_of_each(made.START + 590)

    async def look(pilot: Pilot[None]) -> None:
        await sees(pilot, "next in line")
        await pilot.press("down", "down")
        await sees(pilot, "without a word")

    assert snap_compare(app_of_kind(kind, None), terminal_size=(80, 24), run_before=look)
