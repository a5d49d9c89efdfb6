"""Which points a selection shows, and which input a chosen point is: plain values, no study, no screen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from embcx_tui.study.plan import Network
from embcx_tui.tui.layers.array_cache import Sample
from embcx_tui.tui.layers.controller import LayersController
from embcx_tui.tui.layers.embeddings import AlignedEmbedding
from embcx_tui.tui.layers.point_facts import ChosenPoint, point_facts
from embcx_tui.tui.layers.selection import LayerSelection, NetworkLayer
from embcx_tui.tui.layers.viewport import Viewport

# Six inputs of two classes: their places in the dataset, and what the network says of them.
INDEX = np.array([40, 7, 12, 3, 99, 58])
LABELS = np.array([0, 0, 0, 1, 1, 1])
PREDICTED = np.array([0, 1, 0, 1, 0, 1])
POINTS = np.array([[0, 0], [1, 0], [2, 0], [10, 0], [11, 0], [12, 0]], dtype=np.float32)
NEIGHBOURS = np.array([[1, 4], [0, 5], [1, 3], [4, 5], [3, 0], [3, 1]], dtype=np.uint16)
EMBEDDING = AlignedEmbedding(("x",), POINTS, Sample("s", LABELS, INDEX), PREDICTED, NEIGHBOURS)
TRAIN = NetworkLayer(Network("digits-d1-relu-r0", "digits", 1, "relu", 0, None), 1)
TEST = NetworkLayer(Network("digits-d1-relu-r0-held-out", "digits", 1, "relu", 0, "held-out", "test"), 1)


def test_a_chosen_point_is_an_input_of_its_set_and_not_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    controller = LayersController()
    monkeypatch.setattr(controller, "embedding", lambda target: EMBEDDING)
    for target, name in ((TRAIN, "digits"), (TEST, "digits test")):
        controller.choose_point(target, 4)
        assert controller.selection.point == (name, 99)
    # Of another run's sample the same input is in another row, or in none; test input 99 is no training input.
    chosen = controller.selection
    for order in ([0, 1, 2, 3, 4, 5], [4, 0, 5, 1, 3, 2]):
        other = replace(EMBEDDING, sample=Sample("t", LABELS[order], INDEX[order]))
        assert chosen.row(other, "digits test") == order.index(4) and chosen.row(other, "digits") is None
    without = replace(EMBEDDING, sample=Sample("u", LABELS, INDEX + 1000))
    assert chosen.row(without, "digits test") is None
    assert LayerSelection().row(EMBEDDING, "digits") is None


def test_what_is_shown_is_of_the_class_and_of_the_mistakes_that_are_asked_for() -> None:
    everything = LayerSelection()
    assert everything.mask(EMBEDDING) is None

    def shown(selection: LayerSelection, embedding: AlignedEmbedding = EMBEDDING) -> list[int]:
        mask = selection.mask(embedding)
        return list(range(6)) if mask is None else np.flatnonzero(mask).tolist()

    assert shown(replace(everything, class_index=1)) == [3, 4, 5]
    assert shown(replace(everything, misclassified=True)) == [1, 4]
    assert shown(replace(everything, class_index=0, misclassified=True)) == [1]
    assert shown(replace(everything, class_index=1, misclassified=True)) == [4]
    # Where no predictions are known, no point is hidden for being right.
    unknown = replace(EMBEDDING, predicted=None)
    assert shown(replace(everything, misclassified=True), unknown) == list(range(6))
    assert shown(replace(everything, class_index=1, misclassified=True), unknown) == [3, 4, 5]


def test_a_point_has_the_facts_of_its_input() -> None:
    inputs = (np.arange(6 * 4).reshape(6, 4) % 17).astype(np.uint8)
    facts = point_facts(ChosenPoint(EMBEDDING, 4, ("a", "b"), (2, 2, 1), inputs))
    assert (facts.index, facts.label, facts.predicted, facts.values) == (99, 1, 0, 4)
    # In the plane row 4 has 3 and 5 beside it, then 2, 1 and 0; in the layer 3 and 0.
    assert facts.plane == ((1, True), (1, False), (0, False), (0, False), (0, True))
    assert facts.layer == ((1, True), (0, True))
    assert facts.image is not None
    # The brightest pixel of all inputs is white, whatever bytes can hold.
    assert facts.image.reshape(-1).tolist() == [value / 16 for value in inputs[4].tolist()] and inputs.max() == 16
    assert [image.reshape(-1).tolist() for image in facts.layer_images[:4]] == [
        [value / 16 for value in inputs[row].tolist()] for row in (3, 0)
    ]


def test_neighbours_say_which_of_them_the_other_space_keeps() -> None:
    """Thirty points on a line, of which the layer has the first two and the last beside each other."""
    line = np.stack([np.arange(30.0), np.zeros(30)], axis=1).astype(np.float32)
    labels = np.arange(30) % 10
    near = np.tile(np.array([1, 29], dtype=np.uint16), (30, 1))
    embedding = AlignedEmbedding(("y",), line, Sample("v", labels, np.arange(30)), None, near)
    facts = point_facts(ChosenPoint(embedding, 0, similar=(2, 28)))
    assert facts.plane == tuple((label, label == 1) for label in (1, 2, 3, 4, 5, 6, 7, 8, 9, 0))
    assert facts.layer == ((1, True), (9, False)) and facts.similar == ((2, True), (8, False))
    # What is near in the layer is not known of earlier studies: then nothing of the plane is called lost.
    earlier = point_facts(ChosenPoint(replace(embedding, neighbours=None), 0))
    assert earlier.layer == () and all(kept for _, kept in earlier.plane) and len(earlier.plane) == 10


@pytest.mark.parametrize(
    ("value", "rect"),
    [
        ([0.0, 0.0, 1.0, 2.0], (0.0, 0.0, 1.0, 2.0)),
        ([1.0, 0.0, 0.0, 2.0], None),
        ([0.0, 2.0, 1.0, 0.0], None),
        ([0.0, 1.0, 1.0, 1.0], None),
        ([0.0, float("nan"), 1.0, 1.0], None),
        ([0.0, 0.0, 1.0], None),
        ("all", None),
        (None, None),
    ],
)
def test_a_view_that_comes_back_is_a_rectangle_or_all_points(value: object, rect: tuple[float, ...] | None) -> None:
    assert Viewport.from_value(value).rect == rect


def test_the_middle_of_the_view_never_leaves_the_points() -> None:
    bounds = (-3.0, -1.0, 5.0, 2.0)
    for dx, dy, middle in ((1, 0, (5.0, 0.5)), (-1, 0, (-3.0, 0.5)), (0, 1, (1.0, 2.0)), (0, -1, (1.0, -1.0))):
        view = Viewport().zoom(2, bounds)
        for _ in range(50):
            view = view.pan(dx, dy, bounds)
        left, bottom, right, top = view.rect or bounds
        assert ((left + right) / 2, (bottom + top) / 2) == pytest.approx(middle)
        assert (right - left, top - bottom) == pytest.approx((4.0, 1.5)), "half of the points' rectangle, as zoomed"
