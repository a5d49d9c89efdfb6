"""The state of the layer browser, without Textual: what each action selects, and what is shown of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from embcx_tui.figures.model import Bars, Heat, Lines, Panels, Scatter
from embcx_tui.store.files import write_arrays
from embcx_tui.store.snapshot import read_study
from embcx_tui.tui.layers.charts import ChartRequest
from embcx_tui.tui.layers.controller import LayersController
from embcx_tui.tui.layers.point_facts import ChosenPoint, point_facts
from embcx_tui.tui.layers.scatter_cache import ScatterLoader, ScatterResult
from embcx_tui.tui.layers.selection import NodeKey
from embcx_tui.tui.layers.viewport import Viewport
from tests.fake_studies import FakeStudy, make_study
from tests.tui.test_layers import small

SIZE, SCREEN_WIDTH = (60, 20), 120
TANH, RELU = NodeKey("digits", 3, "tanh"), NodeKey("digits", 3, "relu")


def browse(study: FakeStudy) -> LayersController:
    """Return a controller that has just opened a study."""
    controller = LayersController()
    controller.open(study.paths, read_study(study.paths))
    controller.select_first()
    return controller


@pytest.fixture
def controller() -> LayersController:
    return browse(make_study(small()))


def read_all(controller: LayersController) -> ScatterResult:
    """Read and compute until the scatter is complete; return it."""

    async def load() -> ScatterResult:
        assert controller.scatters
        loader = ScatterLoader(controller.scatters, lambda: None)
        while True:
            scatter = controller.scatter(SIZE, SCREEN_WIDTH)
            assert scatter
            _, missing = controller.chosen_point()
            if not (scatter.missing or scatter.tasks or missing):
                return scatter
            request = controller.load_request(scatter, missing, (), SIZE)
            assert request and loader.submit(request)
            await loader.run()

    return asyncio.run(load())


def scatter_of(controller: LayersController) -> Scatter:
    figure = read_all(controller).figure
    assert isinstance(figure, Scatter)
    return figure


def panels_of(controller: LayersController) -> Panels:
    figure = read_all(controller).figure
    assert isinstance(figure, Panels)
    return figure


def layer(controller: LayersController) -> int:
    assert controller.shown
    return controller.shown.layer


# The selection


def test_it_begins_at_the_first_activation_and_the_last_layer(controller: LayersController) -> None:
    assert controller.selection.node == TANH and layer(controller) == 3
    assert controller.shown and (controller.shown.network.run, controller.shown.network.control) == (0, None)
    assert controller.select_first() is None


def test_layers_stop_at_the_input_and_at_the_last(controller: LayersController) -> None:
    controller.move_layer(1)
    assert layer(controller) == 3
    controller.move_layer(-2)
    assert layer(controller) == 1
    controller.move_layer(-5)
    assert layer(controller) == 0


def test_a_shallower_network_shows_its_last_layer_and_a_deeper_one_the_selected_again() -> None:
    controller = browse(make_study(small(networks__depths=[2, 4], networks__runs=1)))
    deep, shallow = (NodeKey("digits", depth, "tanh") for depth in (4, 2))
    assert controller.select(deep, 4) == deep and layer(controller) == 4
    controller.select(shallow)
    assert layer(controller) == 2
    controller.select(deep)
    assert layer(controller) == 4


def test_adjacent_networks_follow_the_tree_and_stop_at_its_ends(controller: LayersController) -> None:
    leaves = [replace(TANH, run=0), replace(TANH, run=1), replace(RELU, run=0)]
    for leaf in leaves:
        # First the leaf of the network that is shown for all runs, then from leaf to leaf.
        assert controller.adjacent_network(1) == leaf
        controller.select(leaf)
    controller.select(leaves[0])
    assert controller.adjacent_network(-1) == leaves[0]


def test_a_filter_leaves_the_networks_that_hold_all_words(controller: LayersController) -> None:
    assert controller.tree and len(controller.tree.leaves) == 8
    everything = controller.tree
    assert controller.filter("RELU  run 1") == NodeKey("digits", 3, "relu", 1)
    assert controller.tree and [leaf.control for leaf in controller.tree.leaves] == [None, "untrained"]
    assert controller.tree is controller.tree, "built again for nothing"
    # The selection stays while it is in the tree, and while nothing is.
    controller.filter("relu")
    controller.filter("zebra")
    assert controller.tree and not controller.tree.leaves
    assert controller.selection.node == NodeKey("digits", 3, "relu", 1)
    controller.filter("")
    assert controller.tree and controller.tree.nodes == everything.nodes


def test_two_marked_networks_are_compared_until_undone(controller: LayersController) -> None:
    controller.toggle_compared()
    assert controller.selection.is_single
    assert scatter_of(controller).note.startswith("1 marked: space on another compares")
    controller.select(RELU)
    controller.toggle_compared()
    figure = panels_of(controller)
    assert figure.title == "Layer 3 · 2 marked" and figure.chosen == 1
    assert [panel.title.partition(" · ")[0] for panel in figure.figures] == ["tanh", "relu"]
    lines = controller.chart()
    assert isinstance(lines, Lines) and lines.chosen == (1, 3)
    controller.next_chart()
    bars = controller.chart()
    assert isinstance(bars, Bars) and bars.chosen == (1, 3) and bars.groups == lines.groups
    controller.toggle_compared()
    assert controller.selection.is_single and len(controller.selection.compared) == 1
    assert controller.undo() and not controller.selection.compared and not controller.undo()


def test_the_grid_goes_from_layers_to_activations_to_runs_to_one(controller: LayersController) -> None:
    controller.next_grid()
    figure = panels_of(controller)
    assert figure.title == "All layers · tanh, run 0" and (len(figure.figures), figure.chosen) == (4, 3)
    controller.move_layer(-1)
    controller.next_grid()
    figure = panels_of(controller)
    assert figure.title == "Layer 2 of 3 · run 0" and (len(figure.figures), figure.chosen) == (2, 0)
    controller.next_grid()
    figure = panels_of(controller)
    assert figure.title == "All runs · tanh, layer 2 of 3" and (len(figure.figures), figure.chosen) == (2, 0)
    assert [one.title.split(" · ")[0] for one in figure.figures] == ["run 0", "run 1"]
    controller.next_grid()
    assert controller.selection.grid is None
    controller.next_grid()
    assert controller.undo() and controller.selection.grid is None


def test_charts_that_a_study_lacks_are_passed_over() -> None:
    study = make_study(small(measure__epochs=[1, 3]))
    controller = browse(study)
    assert isinstance(controller.chart(), Lines)
    controller.next_chart()
    assert isinstance(controller.chart(), Bars)
    controller.next_chart()
    assert controller.selection.chart == "table"
    controller.next_chart()
    matrix = controller.chart()
    assert isinstance(matrix, Heat) and (matrix.y_label, matrix.x_label) == ("label", "predicted")
    controller.next_chart()
    request = controller.chart()
    assert isinstance(request, ChartRequest) and request.chart == "accuracy"
    controller.next_chart()
    assert isinstance(controller.chart(), Lines)
    for _ in range(4):
        controller.next_chart(-1)
    assert isinstance(controller.chart(), Bars), "the other way round"
    study.measure_after(1, 3)
    controller.snapshot = read_study(study.paths)
    for _ in range(3):
        controller.next_chart()
    request = controller.chart()
    assert isinstance(request, ChartRequest) and request.chart == "epochs"


def test_the_only_method_is_named_in_a_notice(controller: LayersController) -> None:
    assert "measured by t-SNE alone" in controller.next_method()
    assert controller.selection.method == "tsne"


def test_another_study_begins_with_nothing_selected(controller: LayersController) -> None:
    controller.toggle_compared()
    controller.toggle_chance()
    controller.isolate_class(3)
    study = make_study(small(), study_id="b3d5f7h9k1")
    controller.open(study.paths, None)
    assert controller.selection.node is None and controller.shown is None and controller.scatter(SIZE, 80) is None
    assert not controller.selection.compared and not controller.selection.exclude_chance
    assert controller.selection.class_index is None


def test_every_change_is_announced_once() -> None:
    changes: list[int] = []
    controller = LayersController(lambda: changes.append(1))
    study = make_study(small())
    controller.open(study.paths, read_study(study.paths))
    controller.select_first()
    read_all(controller)
    actions = [
        lambda: controller.move_layer(-1),
        lambda: controller.isolate_class(3),
        controller.toggle_misclassified,
        controller.show_all_points,
        lambda: controller.zoom(1),
        lambda: controller.pan(1, 0),
        controller.fit,
        controller.toggle_chance,
        controller.next_grid,
        controller.undo,
        controller.enter_point_mode,
        controller.leave_point_mode,
    ]
    for number, action in enumerate(actions, start=1):
        action()
        assert len(changes) == number, action
        read_all(controller)


# The points


def test_one_class_is_shown_until_it_is_chosen_again(controller: LayersController) -> None:
    controller.isolate_class(4)
    figure = scatter_of(controller)
    assert set(figure.labels[figure.seen].tolist()) == {4} and "20 of 200 points" in figure.note
    controller.isolate_class(4)
    assert scatter_of(controller).seen.all()
    controller.isolate_class(2)
    controller.toggle_misclassified()
    controller.show_all_points()
    assert scatter_of(controller).seen.all()


def test_nothing_left_says_how_to_see_all(controller: LayersController) -> None:
    controller.isolate_class(9)
    assert controller.shown
    embedding = controller.embedding(controller.shown)
    assert embedding is None, "nothing is read yet"
    controller.toggle_misclassified()
    shown = read_all(controller)
    embedding = controller.embedding(controller.shown)
    assert embedding and embedding.misclassified is not None
    left = embedding.misclassified & (embedding.sample.labels == 9)
    assert (shown.figure is None) == (not left.any())


def test_points_are_chosen_step_by_step_and_stay_across_layers(controller: LayersController) -> None:
    assert not controller.enter_point_mode(), "nothing is read yet"
    read_all(controller)
    assert controller.enter_point_mode() and controller.point_mode
    active = controller.active_points
    assert active and (active.panel, active.row) == (0, None)
    assert isinstance(controller.chosen_point()[0], str)
    controller.choose_point(active.target, 17)
    assert scatter_of(controller).chosen == 17
    controller.move_layer(-2)
    read_all(controller)
    assert controller.active_points and controller.active_points.row == 17
    point, missing = controller.chosen_point()
    assert isinstance(point, ChosenPoint) and not missing
    facts = point_facts(point)
    assert facts.label == scatter_of(controller).labels[17] and len(facts.plane) == 10 and facts.image is not None
    controller.leave_point_mode()
    assert controller.selection.point and controller.undo() and controller.selection.point is None


def test_a_run_with_another_sample_says_that_it_does_not_hold_the_point(controller: LayersController) -> None:
    read_all(controller)
    assert controller.shown
    controller.choose_point(controller.shown, 17)
    assert controller.selection.point
    # Runs of a made study have the same sample: an input that none of them holds.
    controller.selection = replace(controller.selection, point=("digits", 10**6))
    read_all(controller)
    point, _ = controller.chosen_point()
    assert isinstance(point, str) and point.startswith("Not in this sample.")


def test_a_click_in_a_grid_goes_to_the_layer_of_its_panel(controller: LayersController) -> None:
    controller.next_grid()
    read_all(controller)
    assert controller.pick_point(1, 5) is None, "the same network: the cursor stays"
    assert layer(controller) == 1 and controller.selection.grid is None and not controller.point_mode
    controller.next_grid()
    controller.next_grid()
    read_all(controller)
    assert controller.pick_point(1, None) == RELU and layer(controller) == 1


def test_a_click_in_a_comparison_takes_the_network_and_the_point(controller: LayersController) -> None:
    controller.toggle_compared()
    controller.select(RELU)
    controller.toggle_compared()
    read_all(controller)
    assert controller.pick_point(0, 8) == replace(TANH, run=0)
    assert controller.point_mode and [panel.chosen for panel in panels_of(controller).figures] == [8, 8]  # type: ignore[union-attr]  # scatters
    # From now on the keys act on the points of the network that was clicked, and a bar's click goes to its network.
    active = controller.active_layer
    assert active and active[0] == 0 and active[1].network.activation == "tanh"
    assert controller.pick_bar(1, 2) == replace(RELU, run=0) and layer(controller) == 2
    active = controller.active_layer
    assert active and active[0] == 1 and active[1].network.activation == "relu"


def test_clicks_on_charts_go_to_their_layer(controller: LayersController) -> None:
    assert controller.pick_bar(0, 1) is None and layer(controller) == 1
    controller.select(NodeKey("digits", 3))
    assert controller.pick_bar(1, 2) == RELU and layer(controller) == 2
    assert controller.pick_heat_row(0, panel=0) == TANH and layer(controller) == 0
    assert controller.pick_heat_row(3, panel=None) is None and layer(controller) == 3
    assert controller.pick_dot("digits · 3 layers · relu · run 1") == replace(RELU, run=1)
    assert controller.pick_dot("no such network") is None


# The viewport


def test_two_zoom_steps_double_the_points_and_zooming_out_shows_all(controller: LayersController) -> None:
    read_all(controller)
    assert controller.shown and (embedding := controller.embedding(controller.shown))
    controller.zoom(2)
    assert controller.selection.viewport.magnification(embedding.bounds) == pytest.approx(2)
    assert "zoom ×2.0" in scatter_of(controller).note
    controller.zoom(-2)
    assert controller.selection.viewport.rect is None
    controller.zoom(1)
    controller.fit()
    assert controller.selection.viewport.rect is None


def test_zooming_keeps_the_chosen_point_in_the_middle_and_a_pointer_where_it_is(controller: LayersController) -> None:
    read_all(controller)
    assert controller.shown and (embedding := controller.embedding(controller.shown))
    controller.choose_point(controller.shown, 17)
    controller.zoom(3)
    left, bottom, right, top = controller.selection.viewport.rect or (0, 0, 0, 0)
    assert ((left + right) / 2, (bottom + top) / 2) == pytest.approx(embedding.position(17))
    at = left + 0.3 * (right - left), bottom + 0.8 * (top - bottom)
    controller.zoom_at(0, at, 1)
    left, bottom, right, top = controller.selection.viewport.rect or (0, 0, 0, 0)
    assert ((at[0] - left) / (right - left), (at[1] - bottom) / (top - bottom)) == pytest.approx((0.3, 0.8))


def test_panning_moves_a_fifth_of_the_view_and_never_past_the_last_point(controller: LayersController) -> None:
    read_all(controller)
    assert controller.shown and (embedding := controller.embedding(controller.shown))
    controller.zoom(4)
    before = np.array(controller.selection.viewport.rect)
    controller.pan(1, 0)
    after = np.array(controller.selection.viewport.rect)
    width = before[2] - before[0]
    assert after - before == pytest.approx([0.2 * width, 0, 0.2 * width, 0])
    for _ in range(50):
        controller.pan(0, 1)
    _, bottom, _, top = controller.selection.viewport.rect or (0, 0, 0, 0)
    assert (bottom + top) / 2 == pytest.approx(embedding.bounds[3])


def test_the_viewport_follows_the_chosen_point_to_the_next_layer_and_may_then_be_moved_away() -> None:
    study = make_study(small())
    # Two layers that have nothing in common: what is near a point there is far away here.
    event = read_study(study.paths).measured["digits-d3-tanh-r0-l2", "tsne"]
    points = np.random.default_rng(5).normal(0, 1, (200, 2)).astype(np.float32)
    file = write_arrays(study.paths.arrays, event.file.name.removeprefix("arrays/"), {"points": points})
    study.append(event.model_copy(update={"file": file}))
    controller = browse(study)
    read_all(controller)
    assert controller.shown
    controller.choose_point(controller.shown, 17)
    controller.follow_point()
    controller.zoom(6)
    before = controller.selection.viewport
    controller.move_layer(-1)
    read_all(controller)
    controller.follow_point()
    assert controller.active_points and controller.active_points.row == 17
    x, y = controller.active_points.embedding.position(17)
    left, bottom, right, top = controller.selection.viewport.rect or (0, 0, 0, 0)
    assert controller.selection.viewport != before and left <= x <= right and bottom <= y <= top
    for _ in range(8):
        controller.pan(1, 0)
    away = controller.selection.viewport
    assert away.rect and away.rect[0] > x
    controller.isolate_class(3)
    controller.follow_point()
    assert controller.selection.viewport == away


@pytest.mark.parametrize("wrong", [None, "x", [1, 2, 3], [0.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 1.0]])
def test_a_remembered_rectangle_that_is_none_shows_all(wrong: object) -> None:
    assert Viewport.from_value(wrong) == Viewport()


# Coming back


def test_what_is_remembered_comes_back(controller: LayersController) -> None:
    read_all(controller)
    controller.select(replace(RELU, run=1), 2)
    read_all(controller)
    assert controller.shown
    controller.choose_point(controller.shown, 3)
    controller.isolate_class(5)
    controller.zoom(2)
    controller.toggle_chance()
    values = controller.remember()
    assert values["dataset"] == "digits" and values["run"] == 1 and "control" not in values
    other = browse(make_study(small(), study_id="b3d5f7h9k1"))
    assert other.recall(values) == replace(RELU, run=1)
    assert other.remember() == values and other.selection == controller.selection


def test_what_cannot_come_back_has_its_default(controller: LayersController) -> None:
    wrong = {"dataset": 7, "layer": "x", "class": -3, "part": [1, "a"], "point": {}, "method": "none", "chart": 3}
    assert controller.recall(wrong) is None
    assert controller.selection == browse(make_study(small(), study_id="c4e6g8j1m2")).selection
