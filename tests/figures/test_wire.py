"""A figure as text and back: the same values, and nothing but figures."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest

from embcx_tui.figures.export import render
from embcx_tui.figures.model import Panels, Scatter
from embcx_tui.figures.serialization import figure_csv, figure_of, figure_text
from embcx_tui.study.errors import RequestError
from tests.figures import hostile
from tests.figures.test_image import FIGURES


def same(one: object, other: object) -> bool:
    """Tell whether two values are equal, arrays by type and element, NaN to NaN."""
    if isinstance(one, np.ndarray):
        assert isinstance(other, np.ndarray)
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    if isinstance(one, tuple):
        return isinstance(other, tuple) and len(one) == len(other) and all(map(same, one, other))
    if is_dataclass(one):
        return type(one) is type(other) and all(
            same(getattr(one, field.name), getattr(other, field.name)) for field in fields(one)
        )
    return one == other or (one != one and other != other)


@pytest.mark.parametrize("seed", range(15))
def test_every_value_comes_back_as_it_was(seed: int) -> None:
    figure = hostile.figure(seed)
    text = figure_text(figure)
    assert text.isascii() and "\n" not in text
    assert same(figure, figure_of(text))


@pytest.mark.parametrize("name", FIGURES)
def test_it_is_drawn_the_same(name: str) -> None:
    assert render(figure_of(figure_text(FIGURES[name])), "svg") == render(FIGURES[name], "svg")


def test_what_is_no_figure_is_refused() -> None:
    panels = json.loads(figure_text(Panels("", (), 1)))
    bad = {**panels, "figures": [{"array": "object", "shape": [1], "data": ""}]}
    for text in ("", "{", "[]", '{"is": "Path"}', '{"is": "Bar"}', '{"is": "Panels", "what": 1}', json.dumps(bad)):
        with pytest.raises(RequestError):
            figure_of(text)


def test_points_in_a_csv_are_numbered_as_in_the_sample() -> None:
    """`point` is a row of the sample's arrays, from 0; whatever is hidden, the others keep their numbers."""
    points = np.array([[0.5, -1.0], [2.0, 3.0], [4.0, 5.0]], dtype=np.float32)
    labels = np.array([1, 0, 1])
    whole = Scatter("layer 1", points, labels, ("zero", "one"))
    rows = list(csv.DictReader(io.StringIO(figure_csv(whole))))
    assert [row["point"] for row in rows] == ["0", "1", "2"]
    assert [(float(row["x"]), float(row["y"])) for row in rows] == [tuple(map(float, point)) for point in points]
    part = replace(whole, shown=np.array([True, False, True]))
    assert [row["point"] for row in csv.DictReader(io.StringIO(figure_csv(part)))] == ["0", "2"]
