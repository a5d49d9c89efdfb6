"""Lines in cells run where their numbers are: read off the drawing, against its own axis."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import replace

import numpy as np
import pytest

from embcx_tui.figures import ticks
from embcx_tui.figures.cells import draw, line_at, parts
from embcx_tui.figures.model import Bar, BarGroup, Lines, Panels
from embcx_tui.figures.palette import Rgb, colour
from embcx_tui.figures.spans import Look, Row

# The whole screen, and the charts of Layers on it.
SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 40), (54, 9), (92, 16)], ids=str)
LOOKS = pytest.mark.parametrize("look", [Look(), Look(dark=False)], ids=["dark", "light"])
# Bits of a braille character's dots from the top down, in its left and in its right column.
BITS = ((0, 1, 2, 6), (3, 4, 5, 7))
# Half a dot, in rows.
HALF_DOT = 1 / 8 + 1e-9
LAYERS = 6
LABELS = [chr(ord("A") + layer) for layer in range(LAYERS)]


class Reading:
    """A drawing of lines: its cells, where the layers stand, and what value is where by the ticks of its axis."""

    def __init__(self, rows: tuple[Row, ...]) -> None:
        self.cells = [[(sign, span.fg) for span in row for sign in span.text] for row in rows]
        self.lines = ["".join(sign for sign, _ in row) for row in self.cells]
        marks = [(row, line.replace("_|", "▁│")) for row, line in enumerate(self.lines)]
        found = {row: float(line.split("▁")[0]) for row, line in marks if re.match(r" *-?[\d.]+▁│", line)}
        (low_row, low), (high_row, high) = max(found.items()), min(found.items())
        self.row_value = (high - low) / (low_row - high_row)
        self.low_row, self.low = low_row, low
        self.rows = [row for row, line in marks if "│" in line.replace("|", "│")]
        below = self.lines[self.rows[-1] + 1]
        self.columns = [below.index(label) for label in LABELS]

    def height(self, value: float) -> float:
        """Return how many rows of the drawing above its upper edge a value is: negative, as rows count down."""
        return self.low_row + 1 - (value - self.low) / self.row_value

    def dots(self, column: int, side: int = 0, ink: Rgb | None = None) -> set[float]:
        """Return where the dots in one column of them are, in rows from the top; those of cells in `ink` if given."""
        found = set()
        for row in self.rows:
            sign, fg = self.cells[row][column]
            if 0x2800 < ord(sign) <= 0x28FF and ink in (None, fg):
                found |= {row + (n + 0.5) / 4 for n, bit in enumerate(BITS[side]) if ord(sign) - 0x2800 >> bit & 1}
        return found


def lines_of(values: np.ndarray, *, place: int = 2, control: str = "") -> Lines:
    """Return one line of `values` [layers, runs]."""
    bars = tuple(Bar(label, tuple(row)) for label, row in zip(LABELS, values.tolist(), strict=True))
    return Lines("KL divergence", "KL (nats)", (BarGroup("softsign", bars, place, control),), "layer")


def random_values(seed: int, runs: int) -> np.ndarray:
    """Return values [layers, runs] of any size, with zero in sight or not."""
    rng = np.random.default_rng(seed)
    low = rng.choice([0.0, 1.0, 10.0])
    middles = low + rng.uniform(0.05, 1.0, (LAYERS, 1))
    return np.asarray(
        10.0 ** rng.uniform(-2, 2) * middles * (1 + rng.uniform(0, 0.2) * rng.uniform(-1, 1, (LAYERS, runs)))
    )


def nearest(drawn: set[float], wanted: float) -> float:
    return min(abs(one - wanted) for one in drawn)


@SIZES
@LOOKS
def test_a_mean_is_where_its_number_is(size: tuple[int, int], look: Look) -> None:
    for seed, control in itertools.product(range(25), ("", "untrained")):
        values = random_values(seed, 1)
        reading = Reading(draw(lines_of(values, control=control), *size, look))
        tops = []
        for layer, (value,) in enumerate(values):
            drawn = reading.dots(reading.columns[layer])
            assert drawn and nearest(drawn, reading.height(value)) <= HALF_DOT, (seed, layer)
            tops.append((value, min(drawn, key=lambda dot: abs(dot - reading.height(value)))))
        for (low, lower), (high, higher) in itertools.pairwise(sorted(tops)):
            apart = (high - low) / reading.row_value
            assert higher < lower or apart <= 1 / 4, (seed, "values a dot apart look different")


@SIZES
def test_between_layers_the_line_is_straight(size: tuple[int, int]) -> None:
    for seed in range(25):
        values = random_values(seed, 1)
        reading = Reading(draw(lines_of(values), *size, Look()))
        for layer in range(LAYERS - 1):
            start, end = reading.columns[layer : layer + 2]
            first, last = (reading.height(values[at, 0]) for at in (layer, layer + 1))
            slope = (last - first) / (2 * (end - start))
            for step in range(2 * (end - start) + 1):
                wanted = first + slope * step
                drawn = reading.dots(start + step // 2, step % 2)
                assert drawn, (seed, layer, "there is no hole")
                # Both ends are right to half a dot, and the line takes the nearest dot of its own.
                reach = abs(slope) / 2 + 2 * HALF_DOT
                if 0 < step < 2 * (end - start):
                    assert all(abs(dot - wanted) <= reach + HALF_DOT for dot in drawn), (seed, layer, step)


@SIZES
def test_each_run_is_a_dot_at_its_layer(size: tuple[int, int]) -> None:
    """At a layer there are the dots of its runs and of their mean, and those of the line that comes and goes."""
    for seed in range(25):
        values = random_values(seed, 4)
        reading = Reading(draw(lines_of(values), *size, Look()))
        means = [reading.height(mean) for mean in values.mean(axis=1)]
        for layer, runs in enumerate(values):
            drawn = reading.dots(reading.columns[layer])
            for run in runs:
                assert nearest(drawn, reading.height(run)) <= HALF_DOT, (seed, layer)
            assert nearest(drawn, means[layer]) <= HALF_DOT, (seed, layer)
            # Steep lines take several dots of a column.
            beside = [abs(means[other] - means[layer]) for other in (layer - 1, layer + 1) if 0 <= other < LAYERS]
            slot = 2 * min(b - a for a, b in itertools.pairwise(reading.columns))
            steep = max(beside) / slot + 2 * HALF_DOT
            known = [*(reading.height(run) for run in runs)]
            for dot in drawn:
                assert nearest(set(known), dot) <= HALF_DOT or abs(dot - means[layer]) <= steep, (seed, layer)


@SIZES
def test_many_runs_are_a_bar_from_the_lowest_to_the_highest(size: tuple[int, int]) -> None:
    for seed in range(10):
        values = random_values(seed, 9)
        figure = lines_of(values)
        reading = Reading(draw(figure, *size, Look()))
        for layer, runs in enumerate(values):
            drawn = reading.dots(reading.columns[layer])
            low, high = (reading.height(float(edge)) for edge in (runs.min(), runs.max()))
            between = {one for one in drawn if high - HALF_DOT <= one <= low + HALF_DOT}
            assert nearest(between, low) <= HALF_DOT and nearest(between, high) <= HALF_DOT
            assert len(between) == round((max(between) - min(between)) * 4) + 1, "without a gap"
        assert "9 runs (range)" in "\n".join(reading.lines)


@SIZES
def test_lines_of_several_groups_are_where_their_numbers_are(size: tuple[int, int]) -> None:
    for seed in range(25):
        rng = np.random.default_rng(seed)
        values = rng.uniform(0.5, 1.5, (4, LAYERS, 1))
        groups = tuple(
            replace(lines_of(one, place=index % 2, control="untrained" * (index > 1)).groups[0], label=f"line {index}")
            for index, one in enumerate(values)
        )
        figure = Lines("KL divergence", "KL (nats)", groups, "layer")
        reading = Reading(draw(figure, *size, Look()))
        for index, layer in np.ndindex(4, LAYERS):
            wanted = reading.height(values[index, layer, 0])
            assert nearest(reading.dots(reading.columns[layer]), wanted) <= HALF_DOT, (seed, index, layer)
        # The one drawn last has all its cells in its colour.
        for layer in range(LAYERS):
            mine = reading.dots(reading.columns[layer], ink=colour(0, True))
            assert nearest(mine, reading.height(values[0, layer, 0])) <= HALF_DOT


@SIZES
@pytest.mark.parametrize("unicode", [True, False], ids=["signs", "ascii"])
def test_without_colours_lines_are_right_to_half_a_cell(size: tuple[int, int], unicode: bool) -> None:
    look = Look(colours=False, unicode=unicode)
    for seed in range(25):
        values = random_values(seed, 3)
        reading = Reading(draw(lines_of(values), *size, look))
        for layer, runs in enumerate(values):
            column = reading.columns[layer]
            signs = {row: reading.cells[row][column][0] for row in reading.rows}
            middle = reading.height(float(runs.mean()))
            assert any(sign == "0" and abs(row + 0.5 - middle) <= 0.5 + 1e-9 for row, sign in signs.items())
            for run in runs:
                row = math.floor(reading.height(float(run)) - 1e-9)
                assert signs[row] in "0.·", (seed, layer)


@SIZES
def test_the_last_values_stand_at_the_ends_in_the_order_of_their_lines(size: tuple[int, int]) -> None:
    for seed in range(25):
        rng = np.random.default_rng(seed)
        values = rng.uniform(0.5, 1.5, (6, LAYERS, 3))
        names = [f"line{index}" for index in range(6)]
        groups = tuple(
            replace(lines_of(one, place=index, control="untrained" * (index > 2)).groups[0], label=names[index])
            for index, one in enumerate(values)
        )
        reading = Reading(draw(Lines("KL divergence", "KL (nats)", groups, "layer"), *size, Look()))
        label = re.compile(r"[━╌] (line\d) +(?:untrained)? *(\d\.\d+) ±(\.\d+)")
        found = [match for line in reading.lines if (match := label.search(line))]
        shown = {match[1]: (match[2], match[3]) for match in found}
        last = values[:, -1]
        expected = {
            name: (f"{runs.mean():.3f}", f"{runs.std(ddof=1):.3f}".removeprefix("0"))
            for name, runs in zip(names, last, strict=True)
        }
        rows = len(reading.rows)
        assert shown.items() <= expected.items() and len(shown) == (6 if rows >= 6 else rows - 1)
        means = [float(value) for value, _ in shown.values()]
        assert means == sorted(means, reverse=True)


def test_labels_stand_at_their_lines_unless_others_are_in_the_way() -> None:
    values = np.tile(np.array([[[0.1]], [[0.5]], [[0.52]], [[0.9]]]), (1, LAYERS, 1))
    groups = tuple(replace(lines_of(one, place=n).groups[0], label=f"line{n}") for n, one in enumerate(values))
    reading = Reading(draw(Lines("", "", groups), 80, 24, Look()))
    for number, value in ((0, 0.1), (3, 0.9)):
        row = next(row for row, line in enumerate(reading.lines) if f"line{number}" in line)
        assert row == math.floor(reading.height(value) - 1e-9)
    close = [row for row, line in enumerate(reading.lines) if "line1" in line or "line2" in line]
    assert close[1] - close[0] == 1


@pytest.mark.parametrize("seed", range(20))
def test_texts_are_spread_as_little_as_can_be(seed: int) -> None:
    """Against all ways of moving them by whole rows (the sum of squares of an optimal real solution is no larger)."""
    rng = np.random.default_rng(seed)
    wanted = sorted(rng.integers(0, 6, 4).astype(float).tolist())
    places = ticks.spread(wanted, 6.0)
    assert all(b - a >= 1 - 1e-9 for a, b in itertools.pairwise(places)) and places[0] >= 0 and places[-1] <= 5 + 1e-9
    cost = sum((a - b) ** 2 for a, b in zip(places, wanted, strict=True))
    others = (
        sum((a - b) ** 2 for a, b in zip(order, wanted, strict=True)) for order in itertools.combinations(range(6), 4)
    )
    assert cost <= min(others) + 1e-9


@pytest.mark.parametrize("seed", range(40))
def test_the_ticks_of_a_fitted_axis_are_round_and_on_edges_of_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    low = float(rng.uniform(-1, 1) * 10.0 ** rng.uniform(-3, 6))
    high = low + float(10.0 ** rng.uniform(-3, 3))
    for rows in (3, 5, 8, 12, 30):
        scale = ticks.fitted_row_scale(low, high, rows)
        assert scale.height(low) >= 0 and scale.height(high) <= rows
        assert scale.height(high) - scale.height(low) >= 0.45 * rows - 1, "the lines have most of the height"
        assert scale.ticks
        for row, value in scale.ticks:
            assert scale.height(value) == pytest.approx(row, abs=1e-6)
            assert 0 <= row < rows


def test_a_degenerate_run_is_flagged_and_in_no_mean() -> None:
    values = np.full((LAYERS, 2), 0.5)
    values[:, 1] = 1.0
    figure = lines_of(values)
    (group,) = figure.groups
    bars = tuple(replace(bar, flagged=(False, layer == 2)) for layer, bar in enumerate(group.bars))
    figure = replace(figure, groups=(replace(group, bars=bars),))
    reading = Reading(draw(figure, 120, 24, Look()))
    column = reading.columns[2]
    flags = [row for row in reading.rows if reading.cells[row][column][0] == "!"]
    assert flags == [math.floor(reading.height(1.0) - 1e-9)]
    assert nearest(reading.dots(column), reading.height(0.5)) <= HALF_DOT
    assert "! degenerate, in no mean" in reading.lines[0]


def test_a_click_finds_the_nearest_mean_of_a_layer() -> None:
    values = random_values(3, 2)
    figure = lines_of(values)
    reading = Reading(draw(figure, 80, 24, Look()))
    for layer, column in enumerate(reading.columns):
        row = math.floor(reading.height(float(values[layer].mean())))
        assert line_at(figure, 80, 24, column, row, Look()) == (0, layer)
    label = next(row for row, line in enumerate(reading.lines) if "softsign" in line)
    assert line_at(figure, 80, 24, 75, label, Look()) == (0, LAYERS - 1)
    assert line_at(figure, 80, 24, reading.columns[0], 0, Look()) is None


@pytest.mark.parametrize("size", [(54, 9), (54, 10), (92, 16), (78, 20), (160, 40)], ids=str)
def test_panels_of_seven_depths_fit_and_have_one_scale(size: tuple[int, int]) -> None:
    figures = tuple(replace(lines_of(random_values(1, 3)), title=f"{n} layers", scale=(0.0, 100.0)) for n in range(7))
    panels = Panels("KL", figures, 4)
    assert len(parts(panels, *size)) == 7
    lines = ["".join(span.text for span in row) for row in draw(panels, *size)]
    assert all(sum(f"{n} layers" in line for line in lines) == 1 for n in range(7))
