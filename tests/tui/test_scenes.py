"""Snapshots of every screen and window: what a user sees."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input

from embcx_tui.tui.app import EmbcxApp, make_app
from embcx_tui.tui.export.save import screen_svg
from embcx_tui.tui.messages import Mode
from embcx_tui.tui.terminal import Abilities
from tests.activations import labels, layers_of, write_npz
from tests.fake_events import START
from tests.fake_studies import (
    HOST,
    FakeStudy,
    complete_study,
    flawed_study,
    lost_study,
    measured_study,
    measuring_study,
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
        for field in pilot.app.screen.query(Input):
            field.cursor_blink = False  # or a snapshot would depend on when it was taken
        await sees(pilot, *self.words)
        if self.counts:
            await counted(pilot)
        elif self.mode == "layers":
            await sees_no(pilot, "   …")  # numbers that are still being counted


def _none() -> None:
    return None


def _one_of_each() -> None:
    one_of_each(START + 590)


def _files_to_measure() -> None:
    _one_of_each()
    write_npz(Path.home() / "acts.npz", {**layers_of(3), "y": labels()})


_IN_LAYERS, _WITH_CURVES, _COMPLETE = "10-NN ", "Training loss", "press l for the layers"
_TYPED = tuple("relu")

SCENES: dict[str, Scene] = {
    # Studies
    "no studies": Scene(_none, "studies", "No studies yet", (), ("or T for the one-minute demo", "n New", "T Demo")),
    "studies": Scene(_one_of_each, "studies", "next in line", ("down",) * 3, ("✓ complete, finished 2 h ago",)),
    "delete": Scene(
        _one_of_each,
        "studies",
        "next in line",
        ("down", "down", "delete"),
        (
            "Delete “overnight”?",
            "Permanently deletes 12 networks, 75 embeddings and their",
            "figures.",
            "Keep        Delete",
        ),
    ),
    "leave": Scene(
        _one_of_each,
        "studies",
        "next in line",
        ("q",),
        ("Leave embcx-tui?", "“fig2” is still running.", "Detach        Stop after this epoch        Cancel"),
    ),
    "help in studies": Scene(
        _one_of_each,
        "studies",
        "next in line",
        ("question_mark",),
        ("Mark the study; marked ones", "Delete the marked studies, else this one", "esc closes"),
    ),
    "palette": Scene(_one_of_each, "studies", "next in line", ("ctrl+p", *"theme"), ("Theme: high contrast",)),
    # Configure
    "form": Scene(_none, "configure", "about ", (), ("^r Start  ^s Save  ^o Load",)),
    "form with mistakes": Scene(
        _none,
        "configure",
        "about ",
        ("down", "down", "right", "space", "down", *"mnsit"),
        ("'mnsit' is not a", "1 error"),
    ),
    "load": Scene(
        _none, "configure", "about ", ("ctrl+o",), ("Load a study file", "Path of the TOML file", "Load        Cancel")
    ),
    "help in the form": Scene(
        _none,
        "configure",
        "about ",
        ("question_mark",),
        ("Fill the form from a TOML file", "Leave the field", "Next choice of the field", "esc closes"),
    ),
    # Live
    "training": Scene(training_study, "live", _WITH_CURVES, (), ("epoch 15 of 30",), _MEANWHILE),
    "quiet": Scene(
        training_study,
        "live",
        _WITH_CURVES,
        (),
        ("quiet for 5 min: digits, epoch 15 of 30", "x stops after this epoch", "◌ training", "x Stop"),
        _MEANWHILE + 300,
    ),
    "lost": Scene(
        lost_study,
        "live",
        _WITH_CURVES,
        (),
        ("the worker ended without a word 10 min ago", "r resumes", "■ stopped", "r Resume"),
    ),
    "flawed": Scene(flawed_study, "live", _COMPLETE, ("b", "b"), ("Test accuracy", "✗ diverged", "did not train")),
    "log": Scene(flawed_study, "live", _COMPLETE, ("f",), ("! failed", "89 lines  paused (f follows)")),
    "log filter": Scene(
        flawed_study,
        "live",
        _COMPLETE,
        ("shift+tab", "slash", *_TYPED),
        ("with “relu”: 13 of 89 lines  following", "digits-d3-relu-r0-l3: KL 0.3901", "enter Keep  esc Clear"),
    ),
    "log on the whole screen": Scene(
        flawed_study,
        "live",
        _COMPLETE,
        ("f", "tab", "tab", "tab", "z"),
        ("failed", "89 lines  paused (f follows)", "digits-d3-tanh-r0-untrained-l1: KL 1.0360"),
    ),
    "machine": Scene(training_study, "live", _WITH_CURVES, ("tab", "tab", "z"), ("host mem",), _MEANWHILE),
    "stop": Scene(training_study, "live", _WITH_CURVES, ("x",), ("Stop this study?",), _MEANWHILE),
    "help in live": Scene(training_study, "live", _WITH_CURVES, ("question_mark",), ("Mark", "esc closes"), _MEANWHILE),
    # Layers
    "layers": Scene(complete_study, "layers", _IN_LAYERS, ("down",), (), counts=True),
    "layers of a depth": Scene(
        complete_study, "layers", _IN_LAYERS, ("up",), ("3 hidden layers", "first rise at", "← → Layer  ↑ ↓ Network")
    ),
    "bars": Scene(complete_study, "layers", _IN_LAYERS, ("down", "b"), ("tip: the mean",), counts=True),
    "table": Scene(complete_study, "layers", _IN_LAYERS, ("b", "b", "tab", "left"), ("relu untrained",), counts=True),
    "copy the table": Scene(
        complete_study, "layers", _IN_LAYERS, ("Y",), ("Copy the table of numbers", "Markdown", "LaTeX")
    ),
    "layers of a dataset": Scene(
        complete_study, "layers", _IN_LAYERS, ("up", "up"), ("3 hidden layers", "╌ untrained")
    ),
    "layers of a flawed study": Scene(
        flawed_study, "layers", _IN_LAYERS, ("w",), ("without 1 network at chance",), counts=True
    ),
    "grid": Scene(complete_study, "layers", _IN_LAYERS, ("i",), ("All layers", "layer 3 · KL")),
    "grid of activations": Scene(
        complete_study,
        "layers",
        _IN_LAYERS,
        ("i", "i"),
        ("[logsig · KL 0.636]", "tanh · KL 0.520", "softsign · KL 0.497", "relu · KL 0.390"),
    ),
    "compare": Scene(complete_study, "layers", _IN_LAYERS, ("space", "down", "space"), ("2 marked",)),
    "epochs": Scene(study_over_epochs, "layers", _IN_LAYERS, ("B", "B"), ("complexity over training",)),
    "epochs on the whole screen": Scene(
        study_over_epochs,
        "layers",
        _IN_LAYERS,
        ("B", "B", "tab", "z"),
        ("complexity over training", "[logsig]", "softsign", "relu", "1.40", "0.37"),
    ),
    "accuracy": Scene(complete_study, "layers", _IN_LAYERS, ("B",), ("ρ = ",)),
    "accuracy on the whole screen": Scene(
        complete_study, "layers", _IN_LAYERS, ("B", "tab", "z"), ("ρ = ", "hidden layers")
    ),
    "filter": Scene(
        complete_study, "layers", _IN_LAYERS, ("slash", *_TYPED), ("4 of 16 networks", "enter Keep  esc Clear")
    ),
    "export": Scene(complete_study, "layers", _IN_LAYERS, ("e",), ("this study's exports",)),
    "export by name": Scene(
        complete_study,
        "layers",
        _IN_LAYERS,
        ("e", "up", "right", "right", "down", *"over", "down"),
        ("complexity-digits-3-untrained.png",),
    ),
    "preview": Scene(complete_study, "layers", _IN_LAYERS, ("e", "f3"), ("drawn in cells", "Procrustes")),
    # Networks that were trained elsewhere
    "measured": Scene(measured_study, "layers", _IN_LAYERS, (), ("resnet18", "layer 12 of 12 · fc"), counts=True),
    "measured layer": Scene(
        measured_study,
        "layers",
        _IN_LAYERS,
        ("left",) * 9,
        ("layer 3 of 12 · layer1.1", "200,704", "reduced to"),
        counts=True,
    ),
    "measured untrained": Scene(
        measured_study, "layers", _IN_LAYERS, ("down", "down", "down", "down"), ("untrained",), counts=True
    ),
    "measured grid": Scene(measured_study, "layers", _IN_LAYERS, ("i",), ("All layers", "12 · fc")),
    "measured bars": Scene(measured_study, "layers", _IN_LAYERS, ("b",), ("tip: the mean",), counts=True),
    "measured table": Scene(measured_study, "layers", _IN_LAYERS, ("b", "b"), ("resnet18 untrained",), counts=True),
    "measured compare": Scene(measured_study, "layers", _IN_LAYERS, ("down", "space", "down", "space"), ("2 marked",)),
    "measured export": Scene(measured_study, "layers", _IN_LAYERS, ("e",), ("this study's exports",)),
    "measuring": Scene(measuring_study, "live", "resnet18", (), ("◐ 5/12 done",), _MEANWHILE),
    "measure files": Scene(
        _files_to_measure,
        "studies",
        "next in line",
        ("ctrl+p", *"activation files", "enter", *"~/acts.npz"),
        ("~/acts.npz: 60 rows, 3 classes (y), input: none", "3  l3     8      float32", "3 layers of 60 rows"),
    ),
    "measured in studies": Scene(measured_study, "studies", "resnet18", (), ("at most 1,000 points",)),
    "help in layers": Scene(complete_study, "layers", _IN_LAYERS, ("question_mark",), ("toward the output",)),
}


# Each screen at each size, and what once was wrong or lost in a snapshot; in 80×24 cells unless a size is given.
# "chosen point" and "zoomed scatter" have theirs in test_layers_points and test_layers.
SNAPSHOTS: dict[str, tuple[str, ...]] = {
    "studies": ("80x24", "120x40", "no colour", "contrast"),
    "palette": ("80x24",),
    "form": ("80x24", "120x40", "contrast"),
    "form with mistakes": ("80x24",),
    "training": ("80x24", "120x40", "no colour", "light", "ascii"),
    "flawed": ("80x24", "200x60"),
    "machine": ("80x24",),
    "stop": ("80x24",),
    "measured": ("80x24", "120x40"),
    "measured layer": ("80x24", "120x40"),
    "measured grid": ("120x40",),
    "measured table": ("120x40",),
    "measured compare": ("80x24",),
    "measuring": ("80x24", "120x40"),
    "measure files": ("80x24", "120x40"),
    "layers": ("80x24", "120x40", "200x60", "no colour", "light", "contrast", "16 colours", "ascii"),
    "bars": ("80x24", "120x40", "16 colours", "no colour"),
    "table": ("80x24", "120x40", "no colour"),
    "layers of a flawed study": ("80x24", "no colour"),
    "grid": ("80x24", "120x40", "no colour"),
    "compare": ("80x24", "120x40", "no colour"),
    "epochs": ("80x24", "120x40", "16 colours"),
    "accuracy": ("80x24", "120x40"),
    "accuracy on the whole screen": ("80x24",),
    "export": ("80x24", "120x40"),
    "export by name": ("80x24",),
    "preview": ("80x24",),
    "help in layers": ("80x24",),
}


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: HOST)


def application(variant: str, monkeypatch: pytest.MonkeyPatch) -> EmbcxApp:
    """Return the application in a terminal or a theme of this kind."""
    if variant == "no colour":
        monkeypatch.setenv("NO_COLOR", "1")
    app = make_app(None, Abilities(colours=variant != "16 colours", unicode=variant != "ascii"))
    if variant in ("light", "contrast"):
        app.theme = f"embcx-{variant}"
    return app


@pytest.mark.parametrize(("name", "variant"), [(name, variant) for name in SNAPSHOTS for variant in SNAPSHOTS[name]])
def test_snapshot(name: str, variant: str, snap_compare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = SCENES[name]
    stop_the_clock(monkeypatch, scene.at)
    study = scene.make()

    async def look(pilot: AppPilot) -> None:
        await show(pilot, study, scene.mode)
        await scene.play(pilot)

    width, _, height = (variant if "x" in variant else "80x24").partition("x")
    size = int(width), int(height)
    assert snap_compare(application(variant, monkeypatch), terminal_size=size, run_before=look)


# What an SVG of a screen is drawn in where no cell has a colour: Rich's foreground, twice dimmed, and background.
_COLOURLESS = {"#c5c8c6", "#868887", "#676867", "#292929"}
_BUTTONS_OF_THE_FRAME = {"#ff5f57", "#febc2e", "#28c840"}


@pytest.mark.parametrize("name", SCENES)
async def test_a_scene_says_the_same_at_both_sizes_and_has_no_colours_where_none_are_wanted(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = SCENES[name]
    stop_the_clock(monkeypatch, scene.at)
    study = scene.make()
    async with application("no colour", monkeypatch).run_test(size=(80, 24), notifications=True) as pilot:
        await show(pilot, study, scene.mode)
        await scene.play(pilot)
        assert colours_of(pilot) <= _COLOURLESS
        await pilot.resize_terminal(120, 40)
        await sees(pilot, *scene.words)
        assert colours_of(pilot) <= _COLOURLESS


def colours_of(pilot: AppPilot) -> set[str]:
    """Return the colours of the screen's cells as an SVG of it names them."""
    return set(re.findall(r"#[0-9a-f]{6}\b", screen_svg(pilot.app.screen, ""))) - _BUTTONS_OF_THE_FRAME
