"""The layer browser, as the keys a person presses and what they see."""

from __future__ import annotations

from typing import Any

import pytest
from textual.pilot import Pilot

from embcx_tui.store.snapshot import read_study
from embcx_tui.study.settings import StudySettings
from embcx_tui.tui.app import make_app
from tests.fake_studies import make_study, settings_of
from tests.tui.pilot import opened, sees, sees_no, show, stop_the_clock, text_of

SIZES = [(80, 24), (120, 40)]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    stop_the_clock(monkeypatch)


def small(**overrides: Any) -> StudySettings:
    """Two activations, two runs, three layers of digits; 20 points a class."""
    wanted: dict[str, Any] = {
        "networks__activations": ["tanh", "relu"],
        "networks__runs": 2,
        "training__epochs": 6,
        "data__samples_per_class": 20,
    }
    return settings_of(**{**wanted, **overrides})


async def test_without_a_study_it_says_what_to_press() -> None:
    async with opened(None, "layers", expect="No study is open.") as pilot:
        await pilot.press("s")
        await sees_no(pilot, "No study is open.")


async def test_a_measured_study_shows_tree_lines_points_and_numbers() -> None:
    study = make_study(small())
    async with opened(study, "layers", expect="Layer 3 of 3 · tanh, run 0") as pilot:
        text = text_of(pilot)
        for words in ("digits", "3 layers", "tanh", "relu", "untrained"):
            assert words in text
        assert "digits · 3 hidden layers" in text and "▸━ tanh" in text
        snapshot = read_study(study.paths)
        measured = snapshot.measured["digits-d3-tanh-r0-l3", "tsne"]
        assert measured.kl is not None and f"{measured.kl:.4f}" in text
        for words in ("2 runs", "95 % CI", "per layer", "first rise at", "converged", "yes"):
            assert words in text
        await pilot.press("shift+tab", "end")
        await sees(pilot, "iterations", "750", "perplexity", "30", "points", "200", "exact", "seed")


async def test_left_and_right_flip_through_the_layers_and_stop_at_the_ends() -> None:
    async with opened(make_study(small()), "layers", expect="Layer 3 of 3") as pilot:
        await pilot.press("right")
        await sees(pilot, "Layer 3 of 3 · tanh, run 0")
        await pilot.press("left")
        await sees(pilot, "Layer 2 of 3 · tanh, run 0", "layer 2 of 3")
        await pilot.press("left", "left", "left", "left")
        await sees(pilot, "Input · run 0", "the input")
        await pilot.press("right")
        await sees(pilot, "Layer 1 of 3 · tanh, run 0")


async def test_down_walks_the_tree_and_keeps_the_layer() -> None:
    async with opened(make_study(small()), "layers", expect="Layer 3 of 3") as pilot:
        await pilot.press("left", "down")
        await sees(pilot, "▸━ relu", "Layer 2 of 3 · relu, run 0")
        # The same from another panel: arrows always walk the tree.
        await pilot.press("tab", "up")
        await sees(pilot, "▸━ tanh", "Layer 2 of 3 · tanh, run 0")


async def test_brackets_go_from_network_to_network_and_into_the_untrained_ones() -> None:
    async with opened(make_study(small()), "layers", expect="Layer 3 of 3") as pilot:
        await pilot.press("right_square_bracket")
        await sees(pilot, "tanh, run 0")
        await pilot.press("right_square_bracket")
        await sees(pilot, "Layer 3 of 3 · tanh, run 1")
        await pilot.press("right_square_bracket", "right_square_bracket", "right_square_bracket")
        await sees(pilot, "Layer 3 of 3 · tanh untrained, run 0", "▸╌ tanh")
        await pilot.press("left_square_bracket")
        await sees(pilot, "Layer 3 of 3 · relu, run 1")


async def test_a_depth_shows_its_activations_side_by_side() -> None:
    async with opened(make_study(small()), "layers", (120, 40), expect="Layer 3 of 3") as pilot:
        await pilot.press("b", "up")
        text = await sees(pilot, "digits · 3 hidden layers  ")
        below = text.splitlines()[8:16]
        assert any("tanh" in line and "relu" in line for line in below)


async def test_digits_isolate_a_class_and_a_shows_all() -> None:
    async with opened(make_study(small()), "layers", expect="10-NN ") as pilot:
        await pilot.press("3")
        await sees(pilot, "20 of 200 points")
        await pilot.press("left")
        await sees(pilot, "Layer 2 of 3", "20 of 200 points")
        await pilot.press("a")
        await sees_no(pilot, "of 200 points")
        await pilot.press("5")
        await sees(pilot, "20 of 200 points")
        await pilot.press("5")
        await sees_no(pilot, "of 200 points")


async def test_z_gives_a_figure_the_whole_screen_and_back() -> None:
    async with opened(make_study(small()), "layers", expect="Layer 3 of 3") as pilot:
        await pilot.press("z")
        text = await sees_no(pilot, "converged")
        assert "Layer 3 of 3" in text and "▾ digits" not in text
        await pilot.press("left")
        await sees(pilot, "Layer 2 of 3 · tanh, run 0")
        await pilot.press("tab", "tab")
        await sees(pilot, "digits · 3 hidden layers", "± sd of 2 runs (dots)")
        await pilot.press("escape")
        await sees(pilot, "converged", "untrained")


async def test_what_is_not_measured_yet_says_so() -> None:
    study = make_study(small(), "running", epochs=6, measured=0)
    async with opened(study, "layers", expect="No layer is measured yet.") as pilot:
        await sees(pilot, "The first one is being measured.", "not measured yet")


async def test_selection_survives_new_results() -> None:
    study = make_study(small(), "running", epochs=6, measured=3)
    async with opened(study, "layers", expect="digits") as pilot:
        await pilot.press("down", "left", "left")
        await sees(pilot, "digits · 3 hidden layers", "Layer 1 of 3", "not measured yet")
        study.append(*[e for e in study.events(epochs=6) if e.kind == "measured"])
        await sees(pilot, "▸━ relu", "Layer 1 of 3 · relu, run 0")


async def test_a_diverged_network_and_a_failed_layer_say_what_happened() -> None:
    study = make_study(small(), diverged=["digits-d3-tanh-r0"], broken=["digits-d3-relu-r0-l3"])
    async with opened(study, "layers", expect="diverged in epoch 2") as pilot:
        await pilot.press("down")
        await sees(pilot, "Layer 3 of 3", "could not be measured: out of memory")
        await pilot.press("left")
        await sees(pilot, "Layer 2 of 3 · relu, run 0")


async def test_a_damaged_file_is_one_line_and_the_rest_can_be_browsed() -> None:
    study = make_study(small())
    damaged = study.paths.arrays / "digits-d3-tanh-r0-l3.npz"
    damaged.write_bytes(damaged.read_bytes()[:-10])
    async with opened(study, "layers", expect="These points cannot be shown.") as pilot:
        await sees(pilot, "damaged")
        await pilot.press("left")
        await sees(pilot, "Layer 2 of 3 · tanh, run 0")


async def test_no_colour_tells_classes_apart_by_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with opened(make_study(small()), "layers", (120, 40), expect="Layer 3 of 3 ·") as pilot:
        text = text_of(pilot)
        assert "⠄" not in text and "[3]" in text  # no dots of one colour; the chosen layer in brackets


async def test_hostile_names_are_shown_harmless() -> None:
    study = make_study(small(name="[red]evil[/] \x1b]52;c;ZXZpbA==\x07 \x1b[2J"))
    async with opened(study, "layers", expect="Layer 3 of 3 ·") as pilot:
        text = text_of(pilot)
        assert "[red]evil[/]" in text and "\x1b" not in text


def test_picture_of_a_zoomed_scatter(snap_compare: Any) -> None:
    study = make_study(settings_of())

    async def look(pilot: Pilot[None]) -> None:
        pilot.app.animation_level = "none"
        await show(pilot, study, "layers")
        await sees(pilot, "Layer 3 of 3 · logsig, run 0")
        await pilot.press("z")
        await sees_no(pilot, "converged")
        await sees(pilot, " %")

    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=look)
