"""What a cell of a drawn figure means: the panel, the bar, the place in the plane. All by going there and back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from embcx_tui.figures.cells import bar_at, data_at, draw, draw_text, locate, nearest_cell, part_at, parts
from embcx_tui.figures.model import Bar, BarGroup, Bars, Figure, Panels, Scatter
from embcx_tui.figures.spans import Look
from tests.figures.test_cells_scatter_view import _plain

SIZES = [(40, 12), (80, 24), (120, 40), (200, 60)]


def points(seed: int, classes: tuple[str, ...] = ("one", "two")) -> Scatter:
    random = np.random.default_rng(seed)
    placed = random.normal(0, [3.0, 1.0], (80, 2)).astype(np.float32)
    return Scatter(f"points {seed}", placed, random.integers(0, 2, 80), classes)


def place_at(figure: Figure, size: tuple[int, int], column: int, row: int) -> int | None:
    part = part_at(figure, *size, column, row)
    return part.place if part else None


@pytest.mark.parametrize("view", [None, (-1.0, -0.5, 1.0, 1.5)])
@pytest.mark.parametrize("legend", [True, False])
@pytest.mark.parametrize("size", SIZES)
def test_a_point_lies_in_the_part_of_the_plane_that_its_cell_shows(
    size: tuple[int, int], legend: bool, view: tuple[float, float, float, float] | None
) -> None:
    scatter = replace(points(1), view=view)
    cells = locate(scatter, *size, legend=legend)
    seen = np.flatnonzero(cells[:, 0] >= 0)
    assert len(seen) > 10
    here = {(int(x), int(y)): data_at(scatter, *size, int(x), int(y), legend=legend) for x, y in cells[seen]}
    (x, y), there = next(iter(here.items()))
    beside = data_at(
        scatter, *size, x + (1 if data_at(scatter, *size, x + 1, y, legend=legend) else -1), y, legend=legend
    )
    assert there and beside
    wide = abs(beside[0] - there[0])  # of a cell, in the points' units; it is twice as high
    for row in seen:
        at = here[int(cells[row, 0]), int(cells[row, 1])]
        assert at
        offset = np.abs(scatter.points[row] - np.array(at))
        # Half a cell; the outermost points are drawn on the last dots, half a dot further in.
        assert offset[0] <= 0.76 * wide and offset[1] <= 1.26 * wide


def test_beside_the_plot_there_is_no_place_and_without_points_none_at_all() -> None:
    assert data_at(points(1), 80, 24, 3, 0) is None  # the title
    assert data_at(points(1), 80, 24, 79, 12) is None  # the legend
    assert data_at(points(1), 80, 24, -1, 99) is None
    empty = replace(points(1), points=np.full((80, 2), np.nan, dtype=np.float32))
    assert data_at(empty, 80, 24, 10, 10) is None


@pytest.mark.parametrize("count", [1, 2, 5, 9])
@pytest.mark.parametrize("classes", ["shared", "their own"])
@pytest.mark.parametrize("size", SIZES)
def test_panels_are_drawn_where_their_parts_are(size: tuple[int, int], classes: str, count: int) -> None:
    own = ("one", "two")
    scatters = tuple(points(one, own if classes == "shared" else (f"a{one}", "b")) for one in range(count))
    panels = Panels("panels", scatters, 3, "note")
    found = parts(panels, *size)
    assert [part.place for part in found] == list(range(len(found))) and found
    lines = _plain(draw_text(panels, *size).splitlines())
    for part in found:
        assert lines[part.row][part.column :].startswith(part.figure.title)
        alone = draw(part.figure, part.width, part.height) if part.legend else None
        if alone:
            for at, row in enumerate(alone):
                text = "".join(span.text for span in row)
                assert lines[part.row + at][part.column : part.column + part.width] == text
        corners = [(part.column, part.row), (part.column + part.width - 1, part.row + part.height - 1)]
        assert [place_at(panels, size, *corner) for corner in corners] == [part.place, part.place]
    cells = [(x, y) for y in range(size[1]) for x in range(size[0]) if part_at(panels, *size, x, y)]
    assert len(cells) == sum(part.width * part.height for part in found)  # no cell belongs to two


def test_a_figure_by_itself_is_its_own_only_part() -> None:
    (part,) = parts(points(1), 80, 24)
    assert part.figure.title == "points 1" and part.legend
    assert place_at(points(1), (80, 24), 79, 23) == 0
    assert part_at(points(1), 80, 24, 80, 0) is None
    assert parts(Panels("", (points(1),) * 4, 2), 13, 5) == ()


def bars(groups: int, layers: int) -> Bars:
    made = (
        BarGroup(
            f"g{group}", tuple(Bar(chr(65 + layers * group + layer), (1.0, 0.9)) for layer in range(layers)), group
        )
        for group in range(groups)
    )
    return Bars("bars", "value", tuple(made), "layer")


@pytest.mark.parametrize(("groups", "layers"), [(1, 1), (1, 6), (2, 4), (4, 6)])
@pytest.mark.parametrize("size", SIZES)
def test_the_label_of_every_bar_belongs_to_it_and_so_do_its_cells(
    size: tuple[int, int], groups: int, layers: int
) -> None:
    figure = bars(groups, layers)
    lines = _plain(draw_text(figure, *size).splitlines())
    seen = 0
    for group in range(groups):
        for layer in range(layers):
            label = chr(65 + layers * group + layer)
            for row, line in enumerate(lines):
                if (column := line.find(label)) >= 0:
                    seen += 1
                    assert bar_at(figure, *size, column, row) == (group, layer)
                    # And the foot of the bar, some rows above.
                    assert bar_at(figure, *size, column, row - 2) == (group, layer)
    assert seen == groups * layers
    assert bar_at(figure, *size, 0, 0) is None and bar_at(figure, *size, size[0] // 2, 0) is None
    assert bar_at(figure, *size, 0, size[1] // 2) is None  # the axis


def test_every_figure_of_a_number_belongs_to_the_bar_above_it() -> None:
    means = [0.111, 0.222, 0.333, 0.444, 0.555, 0.666]
    made = tuple(Bar(str(place), (mean - 0.01, mean + 0.01)) for place, mean in enumerate(means))
    figure = Bars("bars", "value", (BarGroup("g", made),), "layer")
    for width in (60, 80, 160):
        lines = _plain(draw_text(figure, width, 20).splitlines())
        for place, mean in enumerate(means):
            ((row, column),) = (
                (row, line.find(f"{mean:.3f}")) for row, line in enumerate(lines) if f"{mean:.3f}" in line
            )
            # Wider than the bar, it stands out on both sides.
            for at in range(column, column + 5):
                assert bar_at(figure, width, 20, at, row) == (0, place), (width, mean, at - column)


def test_the_nearest_point_is_the_nearest_on_the_screen_where_a_cell_is_twice_as_high_as_wide() -> None:
    beside, below, hidden = (13, 10), (10, 12), (-1, -1)
    cells = np.array([hidden, below, beside])
    assert nearest_cell(cells, 10, 10, within=9) == 2, "three columns are nearer than two rows"
    assert nearest_cell(cells, 10, 11, within=9) == 1
    assert nearest_cell(cells[:2], 10, 10, within=3.9) is None and nearest_cell(cells[:2], 10, 10, within=4) == 1
    assert nearest_cell(cells[:1], 0, 0, within=99) is None


def test_no_bar_without_values_or_room() -> None:
    assert bar_at(Bars("bars", "", (BarGroup("g", (Bar("1", ()),)),)), 80, 24, 40, 12) is None
    assert bar_at(bars(1, 3), 8, 3, 5, 1) is None and bar_at(bars(1, 3), 0, 0, 0, 0) is None


@pytest.mark.parametrize("look", [Look(), Look(colours=False)], ids=["colour", "no colour"])
def test_the_chosen_panel_is_marked(look: Look) -> None:
    panels = Panels("panels", tuple(points(one) for one in range(4)), 2, chosen=2)
    part = parts(panels, 80, 24)[2]
    row = draw(panels, 80, 24, look)[part.row]
    marked = [span.text.strip() for span in row if (span.bg if look.colours else "[" in span.text)]
    assert [one.split("]")[0].strip("[") for one in marked] == ["points 2"]
