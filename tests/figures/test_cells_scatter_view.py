"""A scatter's view: the rectangle of the plane that is shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from embcx_tui.figures.cells import draw, draw_text, locate
from embcx_tui.figures.model import Scatter

GRID = np.array([[x, y] for y in range(5) for x in range(5)], dtype=np.float32)
WHOLE = Scatter("points", GRID, np.zeros(25, dtype=np.int64), ("one",))


@pytest.mark.parametrize("size", [(40, 20), (80, 10), (10, 30)])
def test_all_points_of_the_rectangle_are_shown_and_spread(size: tuple[int, int]) -> None:
    near = replace(WHOLE, view=(0.9, 0.9, 2.1, 2.1))
    before, after = locate(WHOLE, *size), locate(near, *size)
    inside = ((GRID >= 0.9) & (GRID <= 2.1)).all(axis=1)
    assert (before >= 0).all() and (after[inside] >= 0).all()
    assert (after[~inside, 0] == -1).any()
    one, other = np.flatnonzero(inside)[[0, -1]]
    assert np.abs(after[one] - after[other]).sum() > np.abs(before[one] - before[other]).sum()
    assert all(sum(len(span.text) for span in row) == size[0] for row in draw(near, *size))


def test_what_is_drawn_is_what_locate_says() -> None:
    near = replace(WHOLE, view=(0.9, 0.9, 2.1, 2.1))
    rows = draw_text(near, 40, 20).splitlines()
    cells = locate(near, 40, 20)
    dotted = {(x, y) for y, row in enumerate(_plain(rows)) for x, c in enumerate(row) if 0x2800 < ord(c) < 0x2900}
    assert dotted == {(int(x), int(y)) for x, y in cells if x >= 0}


def test_a_view_without_points_says_so_and_stays_whole() -> None:
    away = replace(WHOLE, view=(50.0, 50.0, 51.0, 51.0))
    assert (locate(away, 40, 20) == -1).all()
    text = draw_text(away, 60, 20)
    assert "no points here" in text and "points" in text


def test_a_view_of_no_extent_is_no_error() -> None:
    for view in [(1.0, 1.0, 1.0, 1.0), (3.0, 3.0, 1.0, 1.0)]:
        assert len(draw(replace(WHOLE, view=view), 40, 20)) == 20


def _plain(rows: list[str]) -> list[str]:
    import re

    return [re.sub(r"\x1b\[[0-9;]*m", "", row) for row in rows]
