"""Bars in cells are as high as their numbers: read off the drawing, against its own axis."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest

from embcx_tui.figures.cells import draw
from embcx_tui.figures.model import Bar, BarGroup, Bars
from embcx_tui.figures.palette import Rgb, blend, colour, stack_opacity
from embcx_tui.figures.spans import Look, Row

# The whole screen, and the charts of Layers on it.
SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 40), (78, 9), (118, 16)], ids=str)
EIGHTHS = " ▁▂▃▄▅▆▇█"
# Half an eighth of a row.
HALF_PART = 1 / 16 + 1e-9
PLACE = 2


@dataclass(frozen=True)
class Cell:
    sign: str
    fg: Rgb | None
    bg: Rgb | None


class Reading:
    """A drawing of bars in one group: its cells, rows per unit by the ticks of its axis, and the bars' columns."""

    def __init__(self, rows: tuple[Row, ...], labels: list[str]) -> None:
        self.cells = [[Cell(sign, span.fg, span.bg) for span in row for sign in span.text] for row in rows]
        lines = ["".join(cell.sign for cell in row) for row in self.cells]
        marks = [(row, line.replace("_|", "▁│")) for row, line in enumerate(lines)]
        ticks = {float(line.split("▁")[0]): row for row, line in marks if "▁│" in line}
        self.rows = [row for row, line in marks if "│" in line.replace("|", "│")][::-1]
        self.rows_per_unit = (ticks[0.0] - ticks[max(ticks)]) / max(ticks)
        line = next(line for line in lines if all(f" {label} " in line for label in labels))
        self.columns = [line.index(f" {label} ") + 1 for label in labels]

    def bar(self, index: int) -> list[Cell]:
        """Return the cells of a bar from the bottom up."""
        return [self.cells[row][self.columns[index]] for row in self.rows]


def chart(values: np.ndarray) -> tuple[Bars, list[str]]:
    """Return bars of `values` [bars, runs] and their labels."""
    labels = [chr(ord("A") + index) for index in range(len(values))]
    bars = tuple(Bar(label, tuple(row)) for label, row in zip(labels, values.tolist(), strict=True))
    return Bars("KL divergence", "nats", (BarGroup("softsign", bars, PLACE),), "layer"), labels


def random_values(seed: int, runs: int) -> np.ndarray:
    """Return positive values [6, runs] of any size; those of a bar lie close together or far apart."""
    rng = np.random.default_rng(seed)
    middles = rng.uniform(0.2, 1.0, (6, 1))
    return np.asarray(10.0 ** rng.uniform(-2, 2) * middles * (1 + rng.uniform(0, 0.4) * rng.uniform(-1, 1, (6, runs))))


def shade(look: Look, count: int, runs: int) -> Rgb | None:
    return blend(look.paper, colour(PLACE, look.dark), stack_opacity(count, runs)) if count else None


def heights(cells: list[Cell], look: Look, runs: int) -> tuple[list[float], float | None]:
    """Return how high, in rows, 1, 2, … rectangles reach, and the tip's upper edge."""
    counts = {shade(look, count, runs): count for count in range(runs + 1)}
    reach, tip = [0.0] * runs, None
    for row, cell in enumerate(cells):
        above = counts[cell.bg]
        part, below = EIGHTHS.index(cell.sign), above
        if part and cell.fg in counts:
            below = counts[cell.fg]
        elif part:  # what lies under the tip is not to be seen
            tip = row + part / 8
        for count in range(runs):
            if above > count:
                reach[count] = row + 1
            elif below > count:
                reach[count] = row + part / 8
    return reach, tip


@SIZES
@pytest.mark.parametrize("look", [Look(), Look(dark=False), Look(colours=False)], ids=["dark", "light", "no colour"])
def test_a_single_value_is_as_high_as_its_number(size: tuple[int, int], look: Look) -> None:
    for seed in range(25):
        values = random_values(seed, 1)
        bars, labels = chart(values)
        reading = Reading(draw(bars, *size, look), labels)
        tops = []
        for index, (value,) in enumerate(values):
            cells = reading.bar(index)
            if look.colours:
                (drawn,), _ = heights(cells, look, 1)
            else:
                filled = list(itertools.takewhile(lambda cell: cell.sign != " ", cells))
                drawn = sum(EIGHTHS.index(cell.sign) for cell in filled) / 8
            assert abs(drawn - value * reading.rows_per_unit) <= HALF_PART, (seed, index)
            tops.append((value * reading.rows_per_unit, drawn))
        for (low, lower), (high, higher) in itertools.pairwise(sorted(tops)):
            assert higher > lower or high - low <= 1 / 8, (seed, "values a part of a row apart look different")


@SIZES
@pytest.mark.parametrize("look", [Look(), Look(dark=False)], ids=["dark", "light"])
def test_means_and_runs_are_as_high_as_their_numbers(size: tuple[int, int], look: Look) -> None:
    """A cell has two colours: the mean in it goes before the runs, of which the highest goes before the others."""
    exact = 0
    for seed in range(25):
        values = random_values(seed, 5)
        bars, labels = chart(values)
        reading = Reading(draw(bars, *size, look), labels)
        for index, runs in enumerate(values):
            reach, tip = heights(reading.bar(index), look, 5)
            mean, *edges = (value * reading.rows_per_unit for value in (runs.mean(), *sorted(runs, reverse=True)))
            assert tip is not None and abs(tip - mean) <= HALF_PART, (seed, index)
            tip_row = math.ceil(round(8 * mean) / 8) - 1
            for count, (drawn, edge) in enumerate(zip(reach, edges, strict=True)):
                assert drawn <= edge + HALF_PART, (seed, index, "nothing is filled above a value")
                row = math.ceil(round(8 * edge) / 8) - 1
                above = [math.ceil(round(8 * other) / 8) - 1 for other in edges[:count]]
                if row == tip_row or row in above:
                    assert drawn > edge - 1 - HALF_PART, (seed, index)
                else:
                    exact += 1
                    assert abs(drawn - edge) <= HALF_PART, (seed, index)
    assert exact > 50


@SIZES
def test_in_ascii_means_and_runs_are_right_to_half_a_cell(size: tuple[int, int]) -> None:
    look = Look(colours=False, unicode=False)
    for seed in range(25):
        values = random_values(seed, 4)
        bars, labels = chart(values)
        reading = Reading(draw(bars, *size, look), labels)
        for index, runs in enumerate(values):
            signs = [cell.sign for cell in reading.bar(index)]
            mean, *edges = (value * reading.rows_per_unit for value in (runs.mean(), *sorted(runs, reverse=True)))
            line = signs.index("=")
            assert abs(line + 0.5 - mean) <= 0.5 + 1e-9, (seed, index)
            for count, edge in enumerate(edges):
                # The line of the mean hides how many runs reach its row.
                drawn = sum(sign in " .:+#"[count + 1 :] for sign in signs if sign != "=")
                hidden = (line < edge) if drawn >= line else 0
                assert abs(drawn + hidden - edge) <= 0.5 + 1e-9 or math.floor(edge) == line, (seed, index)


def test_layers_that_once_had_bars_of_one_height_have_not() -> None:
    runs = np.array([[0.486, 0.506], [0.398, 0.418], [0.530, 0.550]])
    for size in ((80, 24), (78, 9), (120, 40)):
        bars, labels = chart(np.concatenate([runs, [[1.2, 1.3]]]))
        reading = Reading(draw(bars, *size, Look()), labels)
        tips = [heights(reading.bar(index), Look(), 2)[1] for index in range(3)]
        assert tips[1] < tips[0] < tips[2], size  # type: ignore[operator]  # a bar without a tip is a failure as well
