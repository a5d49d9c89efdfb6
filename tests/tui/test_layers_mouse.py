"""The mouse in the layer browser: panels and bars are clicked, the wheel zooms where it points."""

from __future__ import annotations

import re

import numpy as np
import pytest
from numpy.typing import NDArray
from textual.events import MouseScrollDown, MouseScrollUp
from textual.pilot import Pilot

from embcx_tui.figures.cells import Part, bar_at, dot_cells, heat_row, locate, parts
from embcx_tui.figures.model import Bars, Dots, Heat, Panels, Scatter
from embcx_tui.figures.spans import Look
from embcx_tui.store.files import read_arrays
from embcx_tui.store.snapshot import read_study
from embcx_tui.tui.layers.screen import LayersScreen
from embcx_tui.tui.widgets.figure_view import FigureView
from embcx_tui.tui.widgets.points_canvas import PointsCanvas
from tests.fake_studies import make_study, study_over_epochs
from tests.tui.pilot import opened, sees, sees_no, stop_the_clock
from tests.tui.test_layers import small

LOOK = Look()  # where things stand does not depend on colours


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    stop_the_clock(monkeypatch)


def scatter_of(pilot: Pilot[None]) -> PointsCanvas:
    return pilot.app.screen.query_one("#scatter", PointsCanvas)


def part_of(pilot: Pilot[None], place: int) -> Part:
    canvas = scatter_of(pilot)
    assert canvas.target is not None
    return parts(canvas.target, *canvas.content_size)[place]


def cells_of(part: Part) -> NDArray[np.int64]:
    assert isinstance(part.figure, Scatter)
    cells = locate(part.figure, part.width, part.height, LOOK, legend=part.legend)
    return cells + np.where(cells[:, :1] >= 0, [[part.column, part.row]], 0)


async def point_at(pilot: Pilot[None], canvas: FigureView, column: int, row: int, wheel: int = 0) -> None:
    """Click a cell of a canvas, or turn the wheel over it."""
    inset = canvas.content_region.offset - canvas.region.offset
    offset = (column + inset.x, row + inset.y)
    if wheel:
        # The pilot has no public way to turn the wheel.
        await pilot._post_mouse_events([MouseScrollUp if wheel > 0 else MouseScrollDown], canvas, offset)
    else:
        await pilot.click(canvas, offset=offset)
    await pilot.pause()


async def click_bar(pilot: Pilot[None], group: int, bar: int) -> None:
    canvas = pilot.app.screen.query_one("#bars", FigureView)
    width, height = canvas.content_size
    assert isinstance(canvas.figure, Bars)
    found = next(
        (column, row)
        for row in range(height)
        for column in range(width)
        if bar_at(canvas.figure, width, height, column, row) == (group, bar)
    )
    await point_at(pilot, canvas, *found)


def node_key_of(pilot: Pilot[None]) -> tuple[str | None, int | None, int]:
    screen = pilot.app.screen
    assert isinstance(screen, LayersScreen)
    controller = screen.controller
    assert controller.selection.node and controller.shown
    return controller.selection.node.activation, controller.selection.node.run, controller.shown.layer


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
async def test_a_click_on_a_panel_goes_to_its_layer(size: tuple[int, int]) -> None:
    async with opened(make_study(small()), "layers", size, expect="10-NN ") as pilot:
        await pilot.press("i")
        await sees(pilot, "All layers · tanh, run 0", "layer 3 · KL")
        part = part_of(pilot, 1)
        await point_at(pilot, scatter_of(pilot), part.column + 2, part.row + part.height // 2)
        await sees(pilot, "Layer 1 of 3 · tanh, run 0", "10-NN ")
        assert node_key_of(pilot) == ("tanh", None, 1)
        await pilot.press("right")
        await sees(pilot, "Layer 2 of 3 · tanh, run 0")


@pytest.mark.parametrize("single", [False, True], ids=["all runs", "one run"])
async def test_a_click_on_an_activations_panel_goes_there_and_the_layer_stays(single: bool) -> None:
    async with opened(make_study(small()), "layers", (120, 40), expect="10-NN ") as pilot:
        await pilot.press(*["right_square_bracket"] * 2 * single, "left", "i", "i")
        await sees(pilot, "Layer 2 of 3 · run", "relu · KL")
        part = part_of(pilot, 1)
        await point_at(pilot, scatter_of(pilot), part.column, part.row)
        run = 1 if single else 0
        await sees(pilot, f"Layer 2 of 3 · relu, run {run}", "10-NN ")
        assert node_key_of(pilot) == ("relu", 1 if single else None, 2)


async def test_a_click_beside_the_panels_does_nothing() -> None:
    async with opened(make_study(small()), "layers", (120, 40), expect="10-NN ") as pilot:
        await pilot.press("i")
        await sees(pilot, "All layers · tanh, run 0", "layer 3 · KL")
        before = scatter_of(pilot).target
        for wheel in (0, 1):
            await point_at(pilot, scatter_of(pilot), 3, 0, wheel)  # the title
            await point_at(pilot, scatter_of(pilot), 3, scatter_of(pilot).content_size.height - 1, wheel)  # the legend
        assert scatter_of(pilot).target is before and node_key_of(pilot) == ("tanh", None, 3)


async def test_in_a_comparison_a_click_takes_the_network_and_the_point_under_it() -> None:
    study = make_study(small())
    async with opened(study, "layers", (120, 40), expect="10-NN ") as pilot:
        await pilot.press("space", "down", "space")
        await sees(pilot, "Layer 3 · 2 marked")
        assert node_key_of(pilot) == ("relu", None, 3)
        cells = cells_of(part_of(pilot, 0))
        await point_at(pilot, scatter_of(pilot), *cells[17].tolist())
        text = await sees(pilot, "in layer", "Layer 3 · 2 marked")
        assert node_key_of(pilot) == ("tanh", 0, 3)
        one, other = (part_of(pilot, place).figure for place in (0, 1))
        assert isinstance(one, Scatter) and isinstance(other, Scatter)
        assert one.chosen == other.chosen is not None and (cells[one.chosen] == cells[17]).all()
        # The panel beside speaks of the network that was clicked.
        trained = read_study(study.paths).trained["digits-d3-tanh-r0"]
        predicted = read_arrays(study.paths.root, trained.file)["predicted"][one.chosen]
        assert re.search(rf"predicted[^\n]*\n[^\n]*● {predicted} ", text), text


async def test_a_click_on_a_bar_goes_to_its_layer() -> None:
    async with opened(make_study(small()), "layers", (120, 40), expect="10-NN ") as pilot:
        await pilot.press("b")
        await sees(pilot, "one translucent bar per run")
        await click_bar(pilot, 0, 1)
        await sees(pilot, "Layer 1 of 3 · tanh, run 0")
        await click_bar(pilot, 0, 0)
        await sees(pilot, "Input · run 0")
        # Of all activations side by side, to the one whose bar it is.
        await pilot.press("up")
        await sees_no(pilot, "3 hidden layers · tanh")
        await click_bar(pilot, 1, 2)
        await sees(pilot, "Layer 2 of 3 · relu, run 0", "3 hidden layers · relu")
        assert node_key_of(pilot) == ("relu", None, 2)


@pytest.mark.parametrize("compared", [False, True], ids=["one", "two"])
async def test_the_wheel_zooms_and_the_point_under_the_pointer_stays_there(compared: bool) -> None:
    async with opened(make_study(small()), "layers", (120, 40), expect="10-NN ") as pilot:
        if compared:
            await pilot.press("space", "down", "space")
            await sees(pilot, "2 marked networks")
        canvas, place = scatter_of(pilot), int(compared)
        whole = part_of(pilot, place).figure
        cells = cells_of(part_of(pilot, place))
        # Not in the middle, where every zoom would leave it.
        far = np.abs(cells - cells.mean(axis=0)).sum(axis=1)
        row = int(np.argsort(far)[-20])
        column, line = cells[row].tolist()
        for _ in range(4):
            await point_at(pilot, canvas, column, line, wheel=1)
        near = part_of(pilot, place).figure
        assert isinstance(near, Scatter) and near.view is not None
        after = cells_of(part_of(pilot, place))
        # A point is somewhere in its cell: four times as large, that may be two cells to the side.
        assert np.abs(after[row] - [column, line]).max() <= 2
        assert (after[:, 0] >= 0).sum() < 200
        for _ in range(5):
            await point_at(pilot, canvas, column, line, wheel=-1)
        back = part_of(pilot, place).figure
        assert isinstance(back, Scatter) and isinstance(whole, Scatter) and back.view is whole.view is None


async def test_the_wheel_over_a_grid_zooms_all_its_panels() -> None:
    async with opened(make_study(small()), "layers", (120, 40), expect="10-NN ") as pilot:
        await pilot.press("i")
        await sees(pilot, "layer 3 · KL")
        part = part_of(pilot, 2)
        await point_at(pilot, scatter_of(pilot), part.column + part.width // 2, part.row + part.height // 2, wheel=1)
        figure = scatter_of(pilot).target
        assert isinstance(figure, Panels)
        views = {one.view for one in figure.figures if isinstance(one, Scatter)}
        assert len(views) == 1 and views != {None}


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
async def test_a_click_on_a_heat_maps_row_goes_to_its_layer(size: tuple[int, int]) -> None:
    async with opened(study_over_epochs(), "layers", size, expect="10-NN ") as pilot:
        await pilot.press("B", "B")
        await sees(pilot, "complexity over training")
        canvas = pilot.app.screen.query_one("#bars", FigureView)
        assert await click_row(pilot, canvas, 0, 2)
        await sees(pilot, "Layer 2 of 3 · logsig, run 0")
        assert node_key_of(pilot) == ("logsig", None, 2)
        assert isinstance(canvas.figure, Panels)
        chosen = [one.chosen for one in canvas.figure.figures if isinstance(one, Heat)]
        assert [row for row in chosen if row is not None] == [2]
        assert await click_row(pilot, canvas, 0, 0)
        await sees(pilot, "Input · run 0")


async def test_a_click_on_another_activations_heat_map_goes_there() -> None:
    async with opened(study_over_epochs(), "layers", (120, 40), expect="10-NN ") as pilot:
        await pilot.press("B", "B", "tab", "z")
        await sees(pilot, "complexity over training", "relu")
        canvas = pilot.app.screen.query_one("#bars", FigureView)
        assert isinstance(canvas.figure, Panels) and len(canvas.figure.figures) == 4
        assert await click_row(pilot, canvas, 3, 1)
        await pilot.press("escape")
        await sees(pilot, "Layer 1 of 3 · relu, run 0")
        assert node_key_of(pilot) == ("relu", None, 1)
        # BackgroundQueue the maps nothing is picked.
        before = node_key_of(pilot)
        await point_at(pilot, canvas, canvas.content_size.width - 1, canvas.content_size.height - 1)
        assert node_key_of(pilot) == before


@pytest.mark.parametrize("coloured", [True, False], ids=["colour", "no colour"])
async def test_a_click_on_a_dot_goes_to_its_network(coloured: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not coloured:
        monkeypatch.setenv("NO_COLOR", "1")
    study = make_study(small(networks__depths=[2, 3]))
    async with opened(study, "layers", (120, 40), expect="10-NN ") as pilot:
        await pilot.press("B")
        await sees(pilot, "complexity against accuracy")
        canvas = pilot.app.screen.query_one("#bars", FigureView)
        assert isinstance(canvas.figure, Dots)
        group = next(one for one, found in enumerate(canvas.figure.groups) if (found.label, found.mark) == ("relu", 2))
        cells, owners = dot_cells(canvas.figure, *canvas.content_size)
        await point_at(pilot, canvas, *cells[owners.index((group, 1))].tolist())
        await sees(pilot, "Layer 2 of 2 · relu, run 1")
        assert node_key_of(pilot) == ("relu", 1, 2)
        assert isinstance(canvas.figure, Dots) and canvas.figure.chosen == (group, 1)
        column, row = cells[owners.index((group, 1))].tolist()
        assert canvas.shown_text.splitlines()[row][column - 1] == ("▐" if coloured else "[")
        # Far from all dots nothing is picked.
        await point_at(pilot, canvas, 0, 0)
        assert node_key_of(pilot) == ("relu", 1, 2)


async def click_row(pilot: Pilot[None], canvas: FigureView, place: int, row: int) -> bool:
    """Click a row of one of the heat maps shown, on its last value."""
    assert canvas.figure is not None
    part = parts(canvas.figure, *canvas.content_size)[place]
    assert isinstance(part.figure, Heat)
    for line in range(part.height):
        columns = [
            column
            for column in range(part.width)
            if heat_row(part.figure, part.width, part.height, column, line, LOOK) == row
        ]
        if columns:
            await point_at(pilot, canvas, part.column + columns[-1], part.row + line)
            return True
    return False
