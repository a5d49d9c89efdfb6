"""Flipping through layers: the same points move, those of a held key through every layer that it passes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from textual.pilot import Pilot

from embcx_tui.figures.model import Figure, Panels, Scatter
from embcx_tui.figures.spans import Look
from embcx_tui.tui.layers.screen import LayersScreen
from embcx_tui.tui.widgets.points_canvas import PointsCanvas
from tests.fake_studies import FakeStudy, make_study
from tests.tui.pilot import opened, sees, stop_the_clock
from tests.tui.test_layers import small


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    stop_the_clock(monkeypatch)


@pytest.fixture
def slow_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let points fly for so long that a crowded machine draws frames between."""
    monkeypatch.setattr("embcx_tui.tui.widgets.points_canvas.MOST_LEGS_S", 2.0)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure of points that is drawn."""
    from embcx_tui.figures import cells

    seen: list[Figure] = []

    def watching(figure: Figure, width: int, height: int, look: Look) -> object:
        if isinstance(figure, Scatter | Panels):
            seen.append(figure)
        return cells.draw(figure, width, height, look)

    for module in ("figure_view", "points_canvas"):
        monkeypatch.setattr(f"embcx_tui.tui.widgets.{module}.draw", watching)
    return seen


def canvas_of(pilot: Pilot[None]) -> PointsCanvas:
    return pilot.app.screen.query_one("#scatter", PointsCanvas)


async def landed(pilot: Pilot[None]) -> None:
    while canvas_of(pilot).figure is not canvas_of(pilot).target:
        await pilot.pause(0.02)


async def test_the_points_of_neighbouring_layers_lie_near_each_other() -> None:
    study = make_study(small())
    # What t-SNE leaves open: one layer is turned, mirrored, moved and larger.
    path = study.paths.arrays / "digits-d3-tanh-r0-l2.npz"
    raw = np.load(path)["points"]
    turned = (5 * raw @ np.array([[0.6, -0.8], [-0.8, -0.6]]) + 100).astype(np.float32)
    seal(study, "digits-d3-tanh-r0-l2", turned)
    async with opened(study, "layers", expect="10-NN ") as pilot:
        pilot.app.animation_level = "none"
        points = []
        for layer in ("Layer 3 of 3", "Layer 2 of 3", "Layer 1 of 3", "Input"):
            await sees(pilot, layer)
            figure = canvas_of(pilot).target
            assert isinstance(figure, Scatter)
            points.append(figure.points)
            await pilot.press("left")
        for one, other in pairwise(points):
            assert np.sqrt(((one - other) ** 2).sum(axis=1).mean()) < 0.6  # their own extent is 1


def seal(study: FakeStudy, layer_id: str, points: NDArray[np.float32]) -> None:
    """Write other points for a layer, and the line that announces them."""
    from embcx_tui.store.files import write_arrays
    from embcx_tui.store.snapshot import read_study

    event = read_study(study.paths).measured[layer_id, "tsne"]
    file = write_arrays(study.paths.arrays, f"{layer_id}.npz", {"points": points})
    study.append(event.model_copy(update={"file": file}))


@pytest.mark.usefixtures("slow_flight")
async def test_a_step_is_a_flight_of_a_few_frames_that_ends_at_the_layer(drawn: list[Figure]) -> None:
    async with opened(make_study(small()), "layers", expect="10-NN ") as pilot:
        start = canvas_of(pilot).figure
        drawn.clear()
        await pilot.pause(0.3)
        await pilot.press("left")
        await sees(pilot, "Layer 2 of 3")
        await landed(pilot)
        end = canvas_of(pilot).figure
        assert isinstance(start, Scatter) and isinstance(end, Scatter)
        frames = [one for one in drawn if isinstance(one, Scatter)]
        ends = (start.points, end.points)
        between = [one for one in frames if not any(np.array_equal(one.points, points) for points in ends)]
        assert between, "no frame between"
        way = [float(np.abs(one.points - start.points).mean()) for one in between]
        assert way == sorted(way) and way[-1] < float(np.abs(end.points - start.points).mean())
        assert all(one.key == end.key for one in between)


async def test_no_frames_between_where_none_are_wanted(drawn: list[Figure]) -> None:
    async with opened(make_study(small()), "layers", expect="10-NN ") as pilot:
        pilot.app.animation_level = "none"
        drawn.clear()
        await pilot.press("left")
        await sees(pilot, "Layer 2 of 3")
        assert len({one.points.tobytes() for one in drawn if isinstance(one, Scatter)}) == 1


@pytest.mark.usefixtures("slow_flight")
async def test_a_held_key_flies_through_every_layer_it_passes(drawn: list[Figure]) -> None:
    async with opened(make_study(small()), "layers", expect="10-NN ") as pilot:
        pilot.app.animation_level = "none"
        layers = {}
        for layer in (2, 1, 2, 3):  # all of them are read and drawn once
            await pilot.press("left" if layer < 3 and layer not in layers else "right")
            await sees(pilot, f"Layer {layer} of 3")
            layers[layer] = canvas_of(pilot).figure
        pilot.app.animation_level = "full"
        drawn.clear()
        screen = pilot.app.screen
        assert isinstance(screen, LayersScreen)
        screen.action_flip(-1)
        await pilot.pause(0.03)  # the first flight is under way; pressing a key here would wait for its end
        screen.action_flip(-1)
        await sees(pilot, "Layer 1 of 3")
        await landed(pilot)
        frames = [one.points for one in drawn if isinstance(one, Scatter)]
        starts = [one.points for one in (layers[3], layers[2], layers[1]) if isinstance(one, Scatter)]
        assert canvas_of(pilot).figure is layers[1] and len(frames) > 4
        # No frame leaves the straight ways from layer to layer, and some are on the second one.
        legs = [min((beside(one, *way), leg) for leg, way in enumerate(pairwise(starts))) for one in frames]
        assert max(distance for distance, _ in legs) < 0.01
        assert [leg for _, leg in legs] == sorted(leg for _, leg in legs)
        assert sum(leg == 1 for _, leg in legs) > 1


def beside(points: NDArray[np.float32], one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """How far points are from the straight way between two embeddings, at the place where they are nearest."""
    way = other - one
    share = float(((points - one) * way).sum() / (way**2).sum())
    return float(np.abs(points - (one + min(max(share, 0.0), 1.0) * way)).mean())


async def test_keys_pressed_faster_than_drawn_all_count() -> None:
    async with opened(make_study(small()), "layers", expect="10-NN ") as pilot:
        await pilot.press(*["left"] * 9, *["right"] * 2)
        await sees(pilot, "Layer 2 of 3 · tanh, run 0")
        await landed(pilot)


@pytest.mark.usefixtures("slow_flight")
@pytest.mark.parametrize("what", ["compared", "all layers", "all activations"])
async def test_the_points_of_several_panels_fly_together(drawn: list[Figure], what: str) -> None:
    async with opened(make_study(small()), "layers", (120, 40), expect="10-NN ") as pilot:
        keys = {"compared": ["space", "down", "space"], "all layers": ["i"], "all activations": ["i", "i"]}[what]
        await pilot.press(*keys)
        await sees(pilot, "tanh · KL" if what != "all layers" else "layer 3 · KL")
        await pilot.pause(0.4)
        start = canvas_of(pilot).figure
        drawn.clear()
        await pilot.press("down" if what == "all layers" else "left")
        await sees(pilot, "All layers · relu" if what == "all layers" else "Layer 2 ")
        await landed(pilot)
        end = canvas_of(pilot).figure
        assert isinstance(start, Panels) and isinstance(end, Panels)
        frames = [one for one in drawn if isinstance(one, Panels) and one is not end and one is not start]
        assert frames
        last = len(start.figures) - 1
        way = [distance(start, one, last) for one in frames]
        assert way[0] > 0 and way == sorted(way) and way[-1] < distance(start, end, last)


def distance(one: Panels, other: Panels, place: int) -> float:
    """How far points have moved in one of several panels."""
    a, b = one.figures[place], other.figures[place]
    assert isinstance(a, Scatter) and isinstance(b, Scatter) and a.key == b.key
    return float(np.abs(a.points - b.points).mean())


async def test_another_number_of_panels_is_there_at_once(drawn: list[Figure]) -> None:
    async with opened(make_study(small()), "layers", (120, 40), expect="10-NN ") as pilot:
        await pilot.press("i")
        await sees(pilot, "layer 3 · KL")
        await pilot.pause(0.4)
        drawn.clear()
        await pilot.press("i")
        await sees(pilot, "Layer 3 of 3 · run 0")
        assert len({id(one) for one in drawn if isinstance(one, Panels)}) == 1
