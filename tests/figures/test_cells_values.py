"""The values that a cursor walks in charts: where they are drawn, what is said of them, and which one is next."""

from __future__ import annotations

import numpy as np
import pytest

from embcx_tui.figures.cells import Value, draw, next_value, value_words, values_of, words_of
from embcx_tui.figures.model import Bar, BarGroup, Bars, Curve, Curves, DotGroup, Dots, Figure, Heat, Lines, Panels
from embcx_tui.figures.spans import Look

LOOK = Look()
NAMES = ("input", "1", "2", "3")
MEANS = {"relu": (0.95, 0.6, 0.45, 0.3), "tanh": (0.9, 0.8, 0.2, 0.1)}
GROUPS = tuple(
    BarGroup(name, tuple(Bar(label, (mean,), (False,)) for label, mean in zip(NAMES, means, strict=True)), place)
    for place, (name, means) in enumerate(MEANS.items())
)
EPOCHS = np.arange(1.0, 6.0)
LINES = Lines("lines", "KL (nats)", GROUPS, "layer")
NUMBERS = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
HEAT = Heat("heat", "epoch", "layer", ("0", "5", "9"), ("1", "2"), NUMBERS)
DOTS = DotGroup("relu", 1, np.array([0.1, 0.5, 0.9]), np.array([0.2, 0.8, 0.4]), 0, ("r0", "r1", "r2"))
FIGURES: dict[str, Figure] = {
    "bars": Bars("bars", "KL (nats)", GROUPS, "layer"),
    "lines": LINES,
    "heat": HEAT,
    "curves": Curves("loss", "epoch", "loss", (Curve("a", EPOCHS, 1 / EPOCHS, 0), Curve("b", EPOCHS, 2 / EPOCHS, 1))),
    "dots": Dots("dots", "KL", "accuracy", (DOTS,)),
    "panels": Panels("both", (LINES, LINES), 2),
}


@pytest.mark.parametrize("kind", FIGURES)
@pytest.mark.parametrize("size", [(60, 14), (100, 30)])
def test_each_value_stands_where_the_pointer_finds_it(kind: str, size: tuple[int, int]) -> None:
    figure = FIGURES[kind]
    values = values_of(figure, *size, LOOK)
    assert len(values) == {"bars": 8, "lines": 8, "heat": 6, "curves": 10, "dots": 3, "panels": 16}[kind]
    cells = [(value.column, value.row) for value in values]
    for value in values:
        if cells.count((value.column, value.row)) == 1:
            assert value_words(figure, *size, value.column, value.row, LOOK) == words_of(figure, value)
        shown = draw(figure, *size, LOOK, (value.column, value.row))
        assert "".join(span.text for span in shown[value.row])[value.column] == "◆"
        assert len(shown) == size[1]


def test_what_is_said_is_the_number_of_the_figure() -> None:
    values = {value.key: words_of(LINES, value) for value in values_of(LINES, 60, 14, LOOK)}
    assert values[0, 0, 2] == "relu, layer 2: 0.4500" and values[0, 1, 0] == "tanh, input: 0.9000"
    heat = {value.key: words_of(HEAT, value) for value in values_of(HEAT, 60, 14, LOOK)}
    assert heat[0, 1, 2] == "layer 2, epoch 9: 0.6"


def walked(figure: Figure, start: Value, steps: str) -> list[tuple[int, int, int]]:
    values = values_of(figure, 80, 20, LOOK)
    by = {"r": (1, 0), "l": (-1, 0), "u": (0, -1), "d": (0, 1)}
    here, keys = start, []
    for step in steps:
        here = next_value(figure, values, here, *by[step])
        keys.append(here.key)
    return keys


def test_the_arrows_go_along_a_line_and_from_line_to_line() -> None:
    start = values_of(LINES, 80, 20, LOOK)[0]
    assert start.key == (0, 0, 0)
    # Above and below are higher and lower numbers: relu is above tanh at the input and at layer 2, below it at layer 1.
    assert walked(LINES, start, "drlud") == [(0, 1, 0), (0, 1, 1), (0, 1, 0), (0, 0, 0), (0, 1, 0)]
    assert walked(LINES, start, "rdu") == [(0, 0, 1), (0, 0, 1), (0, 1, 1)]
    assert walked(LINES, start, "luu") == [(0, 0, 0)] * 3, "there is nothing beyond the ends"


def test_at_the_end_of_a_line_the_next_panel_follows_and_back() -> None:
    panels = FIGURES["panels"]
    start = next(value for value in values_of(panels, 80, 20, LOOK) if value.key == (0, 1, 3))
    assert walked(panels, start, "rlr") == [(1, 1, 0), (0, 1, 3), (1, 1, 0)]


def test_heat_maps_and_bars_are_walked_row_by_row_and_group_by_group() -> None:
    assert walked(HEAT, values_of(HEAT, 80, 20, LOOK)[0], "rdlu") == [(0, 0, 1), (0, 1, 1), (0, 1, 0), (0, 0, 0)]
    dots = FIGURES["dots"]
    first = values_of(dots, 80, 20, LOOK)[0]
    right = walked(dots, first, "rrr")
    assert right[-1] == (0, 0, 2), "the dot that is furthest to the right"


def test_values_in_one_cell_are_all_reached() -> None:
    same = Lines("same", "KL", tuple(GROUPS[:1] * 3), "layer")
    start = values_of(same, 80, 20, LOOK)[0]
    assert walked(same, start, "ddduu") == [(0, 1, 0), (0, 2, 0), (0, 2, 0), (0, 1, 0), (0, 0, 0)]


def test_planes_and_figures_without_values_have_none() -> None:
    assert values_of(Lines("none", "KL", (), "layer"), 80, 20, LOOK) == ()
    assert values_of(LINES, 5, 2, LOOK) == ()
