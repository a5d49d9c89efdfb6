"""What a person can have in front of them, scene by scene: the study, the keys that lead there, the words it then has.

`test_pictures` takes a picture of each at both sizes, with colour and without.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from textual.pilot import Pilot

from embcx_tui.tui.messages import Mode
from tests.tui import made
from tests.tui.seeing import counted, sees, sees_no

# Ten minutes after the made studies began; a training one is looked at while it trains.
_LATER, _MEANWHILE = made.START + 600, made.START + 17
AT_CHANCE = ("digits-d3-logsig-r1",)


def studies() -> None:
    """One study of each state."""
    made.one_of_each(made.START + 590)


def complete() -> made.Made:
    """A measured study as pictures show it."""
    return made.make_study(made.settings_of(networks__runs=2, training__epochs=20), telemetry=60)


def flawed() -> made.Made:
    """A measured study with networks at chance, diverged, and a layer that failed."""
    settings = made.settings_of(networks__runs=2, training__epochs=20)
    lost, broken = ("digits-d3-relu-r1",), ("digits-d3-tanh-r0-l2",)
    return made.make_study(settings, at_chance=AT_CHANCE, diverged=lost, broken=broken, telemetry=60)


def over_epochs() -> made.Made:
    """A study whose layers were measured while it trained, too."""
    settings = made.settings_of(networks__runs=2, training__epochs=20, measure__epochs=[1, 2, 5, 10])
    study = made.make_study(settings)
    study.measure_after(1, 2, 5, 10)
    return study


def training() -> made.Made:
    """A study in its fifteenth epoch."""
    return made.make_study(made.settings_of(), "running", epochs=14, arrays=False, telemetry=200)


def lost() -> made.Made:
    """A study whose worker was killed."""
    return made.make_study(made.settings_of(), "lost", epochs=14, arrays=False, telemetry=60)


@dataclass(frozen=True)
class Scene:
    """A study open in `mode`: wait for `first`, press `keys`, wait for `words`; the clock stands at `at`."""

    make: Callable[[], made.Made | None]
    mode: Mode
    first: str
    keys: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    at: float = _LATER
    counts: bool = False  # the statistics over runs are on the screen, and take their time

    async def play(self, pilot: Pilot[None]) -> None:
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


_IN_LAYERS, _WITH_CURVES = "10-NN ", "Training loss"
_TYPED = tuple("relu")

SCENES: dict[str, Scene] = {
    # Studies
    "no studies": Scene(_none, "studies", "No studies yet"),
    "studies": Scene(studies, "studies", "next in line", ("down",) * 3, ("✓ complete 2 h ago",)),
    "delete": Scene(studies, "studies", "next in line", ("down", "down", "delete"), ("Keep",)),
    "leave": Scene(studies, "studies", "next in line", ("q",), ("Leave embcx-tui?",)),
    "help in studies": Scene(studies, "studies", "next in line", ("question_mark",), ("Start the one-minute demo",)),
    "palette": Scene(studies, "studies", "next in line", ("ctrl+p", *"theme"), ("Theme: high contrast",)),
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
    "training": Scene(training, "live", _WITH_CURVES, (), ("epoch 15 of 30",), _MEANWHILE),
    "quiet": Scene(training, "live", _WITH_CURVES, (), ("quiet for",), _MEANWHILE + 300),
    "lost": Scene(lost, "live", _WITH_CURVES, (), ("without a word",)),
    "flawed": Scene(flawed, "live", _WITH_CURVES, ("t",), ("Test accuracy", "✗ diverged", "at chance")),
    "log": Scene(flawed, "live", _WITH_CURVES, ("f",), ("failed",)),
    "log filter": Scene(flawed, "live", _WITH_CURVES, ("slash", *_TYPED), ("relu",)),
    "log on the whole screen": Scene(flawed, "live", _WITH_CURVES, ("f", "tab", "tab", "tab", "z"), ("failed",)),
    "machine": Scene(training, "live", _WITH_CURVES, ("tab", "tab", "z"), ("host mem",), _MEANWHILE),
    "stop": Scene(training, "live", _WITH_CURVES, ("x",), ("Stop this study?",), _MEANWHILE),
    "help in live": Scene(training, "live", _WITH_CURVES, ("question_mark",), ("Mark",), _MEANWHILE),
    # Layers
    "layers": Scene(complete, "layers", _IN_LAYERS, ("down",), (), counts=True),
    "layers of a depth": Scene(complete, "layers", _IN_LAYERS, ("up",), ("3 hidden layers",)),
    "layers of a flawed study": Scene(
        flawed, "layers", _IN_LAYERS, ("w",), ("without 1 network at chance",), counts=True
    ),
    "grid": Scene(complete, "layers", _IN_LAYERS, ("g",), ("All layers", "layer 3 · KL")),
    "grid of activations": Scene(complete, "layers", _IN_LAYERS, ("g", "g"), ("relu · KL",)),
    "compare": Scene(complete, "layers", _IN_LAYERS, ("space", "down", "space"), ("2 marked",)),
    "epochs": Scene(over_epochs, "layers", _IN_LAYERS, ("b",), ("complexity over training",)),
    "epochs on the whole screen": Scene(
        over_epochs, "layers", _IN_LAYERS, ("b", "tab", "z"), ("complexity over training", "relu")
    ),
    "accuracy": Scene(complete, "layers", _IN_LAYERS, ("b",), ("ρ = ",)),
    "accuracy on the whole screen": Scene(complete, "layers", _IN_LAYERS, ("b", "tab", "z"), ("ρ = ", "hidden layers")),
    "filter": Scene(complete, "layers", _IN_LAYERS, ("slash", *_TYPED), ("of ",)),
    "export": Scene(complete, "layers", _IN_LAYERS, ("e",), ("this study's exports",)),
    "export by name": Scene(
        complete,
        "layers",
        _IN_LAYERS,
        ("e", "up", "right", "right", "down", *"over", "down"),
        ("complexity-digits-3-untrained.png",),
    ),
    "preview": Scene(complete, "layers", _IN_LAYERS, ("e", "f3"), ("drawn in cells", "Procrustes")),
    "help in layers": Scene(complete, "layers", _IN_LAYERS, ("question_mark",), ("toward the output",)),
}
