"""The lines of the layer browser: all activations, trained and untrained, on one axis; of a dataset all depths."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from embcx_tui.analysis.summary import summarise
from embcx_tui.figures.cells import line_at, parts
from embcx_tui.figures.model import Lines, Panels
from embcx_tui.store.snapshot import read_study
from embcx_tui.tui.layers.screen import LayersScreen
from embcx_tui.tui.layers.selection import NodeKey
from embcx_tui.tui.widgets.figure_view import FigureView
from embcx_tui.tui.widgets.line_widget import ink_of
from tests.fake_studies import complete_study, make_study
from tests.tui.pilot import opened, sees
from tests.tui.test_layers import small
from tests.tui.test_layers_mouse import point_at

SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])


def chart_of(pilot: Pilot[None]) -> FigureView:
    return pilot.app.screen.query_one("#bars", FigureView)


def node_of(pilot: Pilot[None]) -> NodeKey | None:
    screen = pilot.app.screen
    assert isinstance(screen, LayersScreen)
    return screen.controller.selection.node


@SIZES
async def test_trained_and_untrained_of_all_activations_stand_on_one_axis_with_their_last_means(
    size: tuple[int, int],
) -> None:
    study = complete_study()
    means = {(s.architecture, s.layer): s.kl_mean for s in summarise(read_study(study.paths))}
    async with opened(study, "layers", size, expect="10-NN ") as pilot:
        text = chart_of(pilot).shown_text
        last = [mean for (key, layer), mean in means.items() if layer == key.depth]
        assert len(last) == 8
        for mean in last:
            assert mean is not None and f"{mean:.3f}" in text
        assert "━ trained" in text and "╌ untrained" in text and "runs (dots)" in text
        # The same for every node of the depth; what is selected is marked.
        await pilot.press("down")
        await sees(pilot, "Layer 3 of 3 · tanh")
        figure = chart_of(pilot).figure
        assert isinstance(figure, Lines) and figure.chosen == (1, 3)
        assert "▸━ tanh" in chart_of(pilot).shown_text
        await pilot.press("right_square_bracket")
        await sees(pilot, "tanh, run 0")
        figure = chart_of(pilot).figure
        assert isinstance(figure, Lines) and figure.highlight == (1, 0)


@SIZES
async def test_a_datasets_node_shows_all_its_depths_and_a_click_goes_there(size: tuple[int, int]) -> None:
    study = make_study(small(networks__depths=[1, 2, 3, 4]))
    async with opened(study, "layers", size, expect="10-NN ") as pilot:
        await pilot.press("up", "up")
        await sees(pilot, "along the layers", "1 layer", "2 layers", "3 layers", "4 layers")
        canvas = chart_of(pilot)
        figure = canvas.figure
        assert isinstance(figure, Panels) and len(figure.figures) == 4
        assert len({one.scale for one in figure.figures if isinstance(one, Lines)}) == 1
        part = parts(figure, *canvas.content_size)[2]
        lines, look = part.figure, ink_of(pilot.app).look
        assert isinstance(lines, Lines)
        places = ((c, r) for r in range(part.height) for c in range(part.width))
        relu = next(n for n, group in enumerate(lines.groups) if (group.label, group.control) == ("relu", ""))
        at = next(
            (c, r) for c, r in places if line_at(lines, part.width, part.height, c, r, look, part.legend) == (relu, 2)
        )
        await point_at(pilot, canvas, part.column + at[0], part.row + at[1])
        await sees(pilot, "Layer 2 of 3 · relu, run 0")
        assert node_of(pilot) == NodeKey("digits", 3, "relu")
        assert isinstance(canvas.figure, Lines)


async def test_a_click_on_a_controls_value_goes_to_the_control() -> None:
    async with opened(make_study(small()), "layers", (120, 40), expect="10-NN ") as pilot:
        canvas = chart_of(pilot)
        lines = canvas.figure
        assert isinstance(lines, Lines)
        row = next(n for n, line in enumerate(canvas.shown_text.splitlines()) if "relu untrained" in line)
        await point_at(pilot, canvas, canvas.content_size.width - 4, row)
        await sees(pilot, "Layer 3 of 3 · relu untrained")
        assert node_of(pilot) == NodeKey("digits", 3, "relu", control="untrained")


async def test_what_is_left_out_is_said_in_words() -> None:
    study = make_study(small(), at_chance=("digits-d3-tanh-r0",), diverged=("digits-d3-relu-r1",))
    async with opened(study, "layers", (200, 60), expect="10-NN ") as pilot:
        await sees(pilot, "at chance, included: 1 of 8 networks", "relu run 1 trained (diverged)")
        await pilot.press("w")
        await sees(pilot, "without 1 of 8 networks at chance", "tanh run 0 trained (at chance, left out)")
