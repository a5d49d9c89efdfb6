"""Several layers at once, marked networks, the filter, other methods and charts: the keys a person presses."""

from __future__ import annotations

import numpy as np
import pytest
from textual.pilot import Pilot

from embcx_tui.figures.model import Dots, Lines, Panels, Scatter
from embcx_tui.store.files import write_arrays
from embcx_tui.store.snapshot import read_study
from embcx_tui.study.events import LayerMeasured
from embcx_tui.tui.layers.screen import LayersScreen
from embcx_tui.tui.widgets.figure_view import FigureView
from tests.fake_studies import FakeStudy, make_study
from tests.tui.pilot import opened, sees, sees_no, stop_the_clock, text_of
from tests.tui.test_layers import small


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    stop_the_clock(monkeypatch)


def panels(pilot: Pilot[None]) -> list[Scatter]:
    figure = pilot.app.screen.query_one("#scatter", FigureView).figure
    assert isinstance(figure, Panels)
    return [one for one in figure.figures if isinstance(one, Scatter)]


async def test_i_shows_all_layers_then_all_activations_then_all_runs_then_one_again() -> None:
    async with opened(make_study(small()), "layers", (120, 40), expect="10-NN ") as pilot:
        await pilot.press("i")
        text = await sees(pilot, "All layers · tanh, run 0", "input · KL", "layer 1 · KL", "layer 3 · KL")
        assert "do not fit" not in text
        await pilot.press("left", "i")
        await sees(pilot, "Layer 2 of 3 · run 0", "tanh · KL", "relu · KL")
        await pilot.press("down", "i")
        await sees(pilot, "All runs · relu, layer 2 of 3", "run 0 · KL", "run 1 · KL")
        await pilot.press("i")
        await sees(pilot, "Layer 2 of 3 · relu, run 0", "10-NN ")
        await pilot.press("i", "escape")
        await sees(pilot, "10-NN ")


async def test_a_grid_that_does_not_fit_says_what_is_left_out() -> None:
    study = make_study(small(networks__depths=[9], networks__runs=1))
    async with opened(study, "layers", (80, 24), expect="10-NN ") as pilot:
        await pilot.press("i")
        await sees(pilot, "All layers · tanh, run 0", "4 of 10 do not fit", "layer 9 · KL")
        await sees_no(pilot, "z shows more")  # the grid has the whole of a narrow screen already
        assert len(panels(pilot)) == 6
        screen = pilot.app.screen
        assert isinstance(screen, LayersScreen)
        # The layer shown is always one of those that fit, and a click means what it points at.
        for layer, first in ((9, 4), (5, 2), (0, 0)):
            here = screen.controller.shown
            assert here
            await pilot.press(*["left"] * (here.layer - layer))
            await sees(pilot, f"{f'layer {layer}' if layer else 'input'} · KL", f"layer {first + 5} · KL")
            figure = screen.query_one("#scatter", FigureView).figure
            assert isinstance(figure, Panels) and figure.chosen == layer - first
            assert [target.layer for panel in range(6) if (target := screen.controller.layer_of_panel(panel))] == list(
                range(first, first + 6)
            )


async def test_marked_networks_that_do_not_fit_are_all_there_on_the_whole_screen() -> None:
    async with opened(make_study(small(networks__runs=3)), "layers", (80, 24), expect="10-NN ") as pilot:
        await pilot.press("right_square_bracket", "space", *["right_square_bracket", "space"] * 2, "down", "space")
        await sees(pilot, "4 marked networks", "2 of 4 do not fit: z shows more", "tanh run 2 · KL", "relu run 0 · KL")
        await pilot.press("z")
        await sees(pilot, *(f"tanh run {run} · KL" for run in range(3)), "relu run 0 · KL")
        await sees_no(pilot, "do not fit")


async def test_space_marks_networks_and_two_are_compared() -> None:
    async with opened(make_study(small()), "layers", (120, 40), expect="10-NN ") as pilot:
        await pilot.press("space")
        await sees(pilot, "✓ tanh", "space on another compares")
        await pilot.press("p", "escape", "down", "space")
        await sees(pilot, "✓ relu", "2 marked networks", "Layer 3 · 2 marked")
        one, other = panels(pilot)
        assert one.chosen is not None and one.chosen == other.chosen
        lines = pilot.app.screen.query_one("#bars", FigureView).figure
        assert isinstance(lines, Lines) and [group.label for group in lines.groups] == ["tanh", "relu"]
        await pilot.press("left")
        await sees(pilot, "Layer 2 · 2 marked")
        await pilot.press("escape", "escape")  # the point, then the marks
        await sees_no(pilot, "✓ tanh")
        await sees(pilot, "10-NN ")


async def test_nothing_left_to_show_says_how_to_see_all() -> None:
    study = make_study(small())
    network = read_study(study.paths).trained["digits-d3-tanh-r0"]
    file = write_arrays(study.paths.arrays, "digits-d3-tanh-r0.npz", {"predicted": np.arange(200) % 10})
    study.append(network.model_copy(update={"file": file}))
    async with opened(study, "layers", expect="10-NN ") as pilot:
        await pilot.press("m")
        await sees(pilot, "No misclassified point is left.", "a shows all")
        await pilot.press("a")
        await sees(pilot, "10-NN ")


async def test_a_slash_filters_the_tree_by_what_is_typed() -> None:
    async with opened(make_study(small()), "layers", expect="10-NN ") as pilot:
        await pilot.press("slash", *"relu 1")
        text = await sees(pilot, "2 of 8 networks", "enter Keep", "esc Clear")
        assert "tanh" not in "\n".join(line[:26] for line in text.splitlines())
        await pilot.press("enter")
        await sees(pilot, "Layer 3 of 3 · relu, run 1")
        await pilot.press("slash", *" zzz")
        await sees(pilot, "no network matches")
        await pilot.press("escape")
        text = await sees(pilot, "▸ tanh", "▾ relu")
        assert "networks" not in text.splitlines()[-2]


def by_pca(study: FakeStudy, layer_id: str) -> LayerMeasured:
    event = read_study(study.paths).measured[layer_id, "tsne"]
    points = np.random.default_rng(1).normal(0, 1, (200, 2)).astype(np.float32)
    file = write_arrays(study.paths.arrays, f"{layer_id}.pca.npz", {"points": points})
    update = {"method": "pca", "kl": None, "file": file, "quality": {"knn_2d": 0.25, "continuity": None}}
    return event.model_copy(update=update)


async def test_t_shows_the_points_by_another_method_where_measured() -> None:
    study = make_study(small(measure__methods=["tsne", "pca"]))
    study.append(by_pca(study, "digits-d3-tanh-r0-l3"))
    async with opened(study, "layers", (120, 60), expect="10-NN ") as pilot:
        await pilot.press("t")
        await sees(pilot, "Layer 3 of 3 · tanh, run 0 · PCA", "its PCA map", "0.250")
        await pilot.press("left")
        await sees(pilot, "not measured by PCA; t shows another method")
        await pilot.press("t")
        await sees(pilot, "Layer 2 of 3 · tanh, run 0", "10-NN ")


async def test_one_method_alone_says_so() -> None:
    async with opened(make_study(small()), "layers", expect="10-NN ") as pilot:
        await pilot.press("t")
        await sees(pilot, "measured by t-SNE alone")


async def test_b_shows_epochs_where_measured_and_accuracy() -> None:
    study = make_study(small(measure__epochs=[1, 3]))
    study.measure_after(1, 3)
    async with opened(study, "layers", (120, 40), expect="10-NN ") as pilot:
        await pilot.press("B", "B")
        await sees(pilot, "complexity over training", "1.400", "1.200", "epoch (across)")
        await pilot.press("b")
        await sees(pilot, "complexity against accuracy · ρ =")
        assert isinstance(pilot.app.screen.query_one("#bars", FigureView).figure, Dots)
        await pilot.press("b")
        await sees(pilot, "± sd of 2 runs (dots)")
        await pilot.press("b")
        await sees(pilot, "one translucent bar per run")


async def test_what_is_set_comes_back() -> None:
    async with opened(make_study(small()), "layers", expect="10-NN ") as pilot:
        screen = pilot.app.screen
        assert isinstance(screen, LayersScreen)
        await pilot.press("down", "left", "p", "escape", "plus", "3")
        await sees(pilot, "Layer 2 of 3 · relu, run 0", "zoom ×1.4")
        state = screen.remember()
        await pilot.press("up", "right", "equals_sign", "a", "escape", "b")
        await sees_no(pilot, "zoom ×")
        screen.recall(state)
        await sees(pilot, "Layer 2 of 3 · relu, run 0", "zoom ×1.4")
        assert screen.remember() == state
        screen.recall({"dataset": 7, "layer": "x", "class": -3, "part": [1, "a"], "point": {}, "method": "none"})
        await sees(pilot, "relu, run 0", "10-NN ")


async def test_nothing_measured_answers_every_key() -> None:
    study = make_study(small(), "running", epochs=6, measured=0)
    async with opened(study, "layers", expect="No layer is measured yet.") as pilot:
        await pilot.press("p", "i", "i", "i", "i", "t", "b", "m", "plus", "minus", "equals_sign", "space", "space")
        await pilot.press("a", "3", "3", "slash", "escape", "z", "escape", "left", "right")
        await sees(pilot, "No layer is measured yet.")
    async with opened(None, "layers", expect="No study is open.") as pilot:
        await pilot.press("p", "i", "t", "b", "m", "plus", "space", "a", "3", "slash", "escape", "e")
        assert "No study is open." in text_of(pilot)
