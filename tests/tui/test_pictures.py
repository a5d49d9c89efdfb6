"""Snapshots of every screen and window: what a user sees."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from embcx_tui.tui.app import make_app
from embcx_tui.tui.messages import Mode
from embcx_tui.tui.terminal import Abilities
from tests.fake_events import START
from tests.fake_studies import (
    HOST,
    FakeStudy,
    complete_study,
    flawed_study,
    lost_study,
    one_of_each,
    study_over_epochs,
    training_study,
)
from tests.tui.pilot import AppPilot, counted, sees, sees_no, show, stop_the_clock

# Ten minutes after the fake studies began; a training one is looked at while it trains.
_LATER, _MEANWHILE = START + 600, START + 17


@dataclass(frozen=True)
class Scene:
    """A study open in `mode`: wait for `first`, press `keys`, wait for `words`; the clock stands at `at`."""

    make: Callable[[], FakeStudy | None]
    mode: Mode
    first: str
    keys: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    at: float = _LATER
    counts: bool = False  # the statistics over runs are on the screen, and take their time

    async def play(self, pilot: AppPilot) -> None:
        """Go there."""
        pilot.app.animation_level = "none"
        await sees(pilot, self.first)
        for key in self.keys:
            await pilot.press(key)
            await pilot.pause()
        await sees(pilot, *self.words)
        if self.counts:
            await counted(pilot)
        elif self.mode == "layers":
            await sees_no(pilot, "   …")  # numbers that are still being counted


def _none() -> None:
    return None


def _one_of_each() -> None:
    one_of_each(START + 590)


_IN_LAYERS, _WITH_CURVES = "10-NN ", "Training loss"
_TYPED = tuple("relu")

SCENES: dict[str, Scene] = {
    # Studies
    "no studies": Scene(_none, "studies", "No studies yet"),
    "studies": Scene(_one_of_each, "studies", "next in line", ("down",) * 3, ("✓ complete 2 h ago",)),
    "delete": Scene(_one_of_each, "studies", "next in line", ("down", "down", "delete"), ("Keep",)),
    "leave": Scene(_one_of_each, "studies", "next in line", ("q",), ("Leave embcx-tui?",)),
    "help in studies": Scene(
        _one_of_each, "studies", "next in line", ("question_mark",), ("Start the one-minute demo",)
    ),
    "palette": Scene(_one_of_each, "studies", "next in line", ("ctrl+p", *"theme"), ("Theme: high contrast",)),
    # Configure
    "form": Scene(_none, "configure", "about "),
    "form with mistakes": Scene(
        _none,
        "configure",
        "about ",
        ("down", "down", "right", "space", "down", *"mnsit"),
        ("'mnsit' is not a dataset", "1 mistake"),
    ),
    "load": Scene(_none, "configure", "about ", ("ctrl+o",), ("Path of the TOML file",)),
    "help in the form": Scene(_none, "configure", "about ", ("question_mark",), ("Leave the field",)),
    # Live
    "training": Scene(training_study, "live", _WITH_CURVES, (), ("epoch 15 of 30",), _MEANWHILE),
    "quiet": Scene(training_study, "live", _WITH_CURVES, (), ("quiet for",), _MEANWHILE + 300),
    "lost": Scene(lost_study, "live", _WITH_CURVES, (), ("without a word",)),
    "flawed": Scene(flawed_study, "live", _WITH_CURVES, ("t",), ("Test accuracy", "✗ diverged", "at chance")),
    "log": Scene(flawed_study, "live", _WITH_CURVES, ("f",), ("failed",)),
    "log filter": Scene(flawed_study, "live", _WITH_CURVES, ("slash", *_TYPED), ("relu",)),
    "log on the whole screen": Scene(flawed_study, "live", _WITH_CURVES, ("f", "tab", "tab", "tab", "z"), ("failed",)),
    "machine": Scene(training_study, "live", _WITH_CURVES, ("tab", "tab", "z"), ("host mem",), _MEANWHILE),
    "stop": Scene(training_study, "live", _WITH_CURVES, ("x",), ("Stop this study?",), _MEANWHILE),
    "help in live": Scene(training_study, "live", _WITH_CURVES, ("question_mark",), ("Mark",), _MEANWHILE),
    # Layers
    "layers": Scene(complete_study, "layers", _IN_LAYERS, ("down",), (), counts=True),
    "layers of a depth": Scene(complete_study, "layers", _IN_LAYERS, ("up",), ("3 hidden layers",)),
    "layers of a flawed study": Scene(
        flawed_study, "layers", _IN_LAYERS, ("w",), ("without 1 network at chance",), counts=True
    ),
    "grid": Scene(complete_study, "layers", _IN_LAYERS, ("g",), ("All layers", "layer 3 · KL")),
    "grid of activations": Scene(complete_study, "layers", _IN_LAYERS, ("g", "g"), ("relu · KL",)),
    "compare": Scene(complete_study, "layers", _IN_LAYERS, ("space", "down", "space"), ("2 marked",)),
    "epochs": Scene(study_over_epochs, "layers", _IN_LAYERS, ("b",), ("complexity over training",)),
    "epochs on the whole screen": Scene(
        study_over_epochs, "layers", _IN_LAYERS, ("b", "tab", "z"), ("complexity over training", "relu")
    ),
    "accuracy": Scene(complete_study, "layers", _IN_LAYERS, ("b",), ("ρ = ",)),
    "accuracy on the whole screen": Scene(
        complete_study, "layers", _IN_LAYERS, ("b", "tab", "z"), ("ρ = ", "hidden layers")
    ),
    "filter": Scene(complete_study, "layers", _IN_LAYERS, ("slash", *_TYPED), ("of ",)),
    "export": Scene(complete_study, "layers", _IN_LAYERS, ("e",), ("this study's exports",)),
    "export by name": Scene(
        complete_study,
        "layers",
        _IN_LAYERS,
        ("e", "up", "right", "right", "down", *"over", "down"),
        ("complexity-digits-3-untrained.png",),
    ),
    "preview": Scene(complete_study, "layers", _IN_LAYERS, ("e", "f3"), ("drawn in cells", "Procrustes")),
    "help in layers": Scene(complete_study, "layers", _IN_LAYERS, ("question_mark",), ("toward the output",)),
}


SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
COLOURS = pytest.mark.parametrize("coloured", [True, False], ids=["colour", "no colour"])


@pytest.mark.parametrize("scene", SCENES.values(), ids=list(SCENES))
@COLOURS
@SIZES
def test_picture(
    size: tuple[int, int], coloured: bool, scene: Scene, snap_compare: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: HOST)
    stop_the_clock(monkeypatch, scene.at)
    if not coloured:
        monkeypatch.setenv("NO_COLOR", "1")
    study = scene.make()

    async def look(pilot: AppPilot) -> None:
        await show(pilot, study, scene.mode)
        await scene.play(pilot)

    assert snap_compare(make_app(), terminal_size=size, run_before=look)


# How else a screen can look: the themes besides the dark one, 16 colours, only ASCII.
KINDS = pytest.mark.parametrize("kind", ["light", "contrast", "16 colours", "ascii"])


def app_of_kind(kind: str, study: FakeStudy | None) -> Any:
    """Return the application on `study` in a terminal or theme of this kind."""
    can = Abilities(colours=kind != "16 colours", unicode=kind != "ascii")
    app = make_app(study.paths if study else None, can)
    if kind in ("light", "contrast"):
        app.theme = f"embcx-{kind}"
    return app


@KINDS
def test_picture_of_layers_elsewhere(kind: str, snap_compare: Any) -> None:
    async def look(pilot: AppPilot) -> None:
        await counted(pilot)
        await sees(pilot, "10-NN ")

    assert snap_compare(app_of_kind(kind, complete_study()), terminal_size=(80, 24), run_before=look)


@KINDS
def test_picture_of_live_elsewhere(kind: str, snap_compare: Any) -> None:
    async def look(pilot: AppPilot) -> None:
        await sees(pilot, "10-NN")
        await pilot.press("v")
        await sees(pilot, "Training loss")

    assert snap_compare(app_of_kind(kind, complete_study()), terminal_size=(120, 40), run_before=look)


@KINDS
def test_picture_of_studies_elsewhere(kind: str, snap_compare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: HOST)
    one_of_each(START + 590)

    async def look(pilot: AppPilot) -> None:
        await sees(pilot, "next in line")
        await pilot.press("down", "down")
        await sees(pilot, "without a word")

    assert snap_compare(app_of_kind(kind, None), terminal_size=(80, 24), run_before=look)
