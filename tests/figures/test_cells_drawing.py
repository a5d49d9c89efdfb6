"""Figures in terminal cells: exact sizes, harmless text, and positions that follow from the numbers."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from rich.cells import cell_len

from embcx_tui.figures.cells import draw, draw_text, locate
from embcx_tui.figures.model import Bar, BarGroup, Bars, Curve, Curves, DotGroup, Dots, Heat, Panels, Scatter
from embcx_tui.figures.palette import blend, class_colour, colour, quantise, stack_opacity, terminal_ramp, terminal_rgb
from embcx_tui.figures.spans import Look, Row
from tests.figures import hostile

SIZES = [(1, 1), (2, 3), (7, 2), (12, 4), (16, 5), (30, 8), (40, 12), (80, 24), (121, 41), (200, 60)]
LOOKS = [Look(), Look(dark=False), Look(colours=False), Look(unicode=False), Look(colours=False, unicode=False)]


def text(rows: tuple[Row, ...]) -> list[str]:
    return ["".join(span.text for span in row) for row in rows]


def cell_of(rows: tuple[Row, ...], column: int, row: int) -> tuple[str, object, object]:
    """Return character, text colour and background of a cell (rows without wide characters)."""
    for span in rows[row]:
        if column < len(span.text):
            return span.text[column], span.fg, span.bg
        column -= len(span.text)
    raise IndexError


def simple_bars(*columns: tuple[float, ...], **more: object) -> Bars:
    bars = tuple(Bar(str(place), values) for place, values in enumerate(columns))
    return Bars("title", "KL", (BarGroup("relu", bars, 3),), "layer", **more)  # type: ignore[arg-type]


def blobs(n: int = 1000, classes: int = 10) -> Scatter:
    rng = np.random.default_rng(1)
    labels = np.arange(n) % classes
    points = (rng.normal(0, 20, (classes, 2))[labels] + rng.normal(0, 3, (n, 2))).astype(np.float32)
    return Scatter("layer 3", points, labels, tuple("0123456789"[:classes]))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_figure_fills_its_rectangle_exactly(size: tuple[int, int]) -> None:
    width, height = size
    for seed in range(70):
        look = LOOKS[seed % len(LOOKS)]
        rows = draw(hostile.figure(seed), width, height, look)
        assert len(rows) == height, seed
        for line in text(rows):
            assert cell_len(line) == width, (seed, line)
            assert line.isprintable(), (seed, line)
            assert look.unicode is True or line.isascii(), (seed, line)
        if not look.colours:
            assert all(span.fg is None and span.bg is None for row in rows for span in row)


def test_no_size_is_no_error() -> None:
    for seed in range(21):
        assert draw(hostile.figure(seed), 0, 0) == ()
        assert draw(hostile.figure(seed), 10, 0) == ()
        assert text(draw(hostile.figure(seed), 0, 2)) == ["", ""]


def test_nothing_to_see_is_said_in_words() -> None:
    empty = np.empty((0, 2), dtype=np.float32)
    for figure in (
        simple_bars((float("nan"),)),
        Bars("", "", ()),
        Scatter("", empty, np.empty(0, dtype=np.int64), ("a",)),
        Panels("", (), 3),
    ):
        assert "nothing measured yet" in "\n".join(text(draw(figure, 40, 8)))
    hidden = Scatter("", blobs().points, blobs().labels, blobs().classes, shown=np.zeros(1000, dtype=bool))
    assert "no points of the classes shown" in "\n".join(text(draw(hidden, 40, 8)))
    assert "nothing to draw yet" in "\n".join(text(draw(Curves("", "x", "y", ()), 40, 8)))


def test_bar_heights_follow_the_values() -> None:
    look = Look()
    rows = draw(simple_bars((0.2,), (0.4,), (0.8,)), 60, 30, look)
    lines = text(rows)
    fill = blend(look.paper, colour(3, True), stack_opacity(1, 1))
    label_row = next(place for place, line in enumerate(lines) if "layer" in line)
    counts = []
    for label in "012":
        column = lines[label_row].index(label, 8)
        cells = [cell_of(rows, column, row) for row in range(label_row - 1)]
        counts.append(sum(cell[2] == fill or (cell[0] in "▁▂▃▄▅▆▇" and cell[1] == fill) for cell in cells))
    unit = counts[2] / 0.8
    assert counts[0] == pytest.approx(0.2 * unit, abs=1.01)
    assert counts[1] == pytest.approx(0.4 * unit, abs=1.01)
    # Tick labels stand on their value: the highest one's distance from zero gives the same scale.
    ticks = {float(line.split("▁")[0]): row for row, line in enumerate(lines) if "▁│" in line}
    high = max(ticks)
    assert (ticks[0.0] - ticks[high]) / high == pytest.approx(unit, rel=0.08)


def test_more_runs_make_a_bar_denser() -> None:
    look = Look()
    rows = draw(simple_bars((0.5, 1.0)), 40, 30, look)
    seen = {span.bg for row in rows for span in row if span.bg}
    assert blend(look.paper, colour(3, True), stack_opacity(1, 2)) in seen
    assert blend(look.paper, colour(3, True), stack_opacity(2, 2)) in seen
    plain = "\n".join(text(draw(simple_bars((0.5, 1.0)), 40, 30, Look(colours=False))))
    assert "▒" in plain and "█" in plain


def test_numbers_below_the_bars_are_mean_and_sd() -> None:
    lines = text(draw(simple_bars((0.5, 0.7), (0.25, 0.25), (float("nan"), 1.0)), 60, 20))
    mean = next(line for line in lines if line.strip().startswith("mean"))
    sd = next(line for line in lines if line.strip().startswith("sd"))
    assert mean.split() == ["mean", "0.600", "0.250", "1.000"]
    assert sd.split() == ["sd", "0.141", "0.000", "–"]


@pytest.mark.parametrize("look", [Look(), Look(colours=False)], ids=["colour", "no colour"])
def test_a_single_value_is_the_edge_of_its_bar_and_no_mean(look: Look) -> None:
    rows = draw(simple_bars((0.5,), (0.25,), (0.4,)), 60, 24, look)
    lines = text(rows)
    assert next(line for line in lines if "0.250" in line).split() == ["KL", "0.500", "0.250", "0.400"]
    assert not any("mean" in line or "━" in line or line.strip().startswith("sd") for line in lines)
    axis = next(row for row, line in enumerate(lines) if line.count("▔") > 20)
    tops = []
    for word in ("0.500", "0.250", "0.400"):
        column = next(line.index(word) for line in lines if word in line) + 2
        column_cells = [cell_of(rows, column, row) for row in range(1, axis)]
        eighths = ["", *"▁▂▃▄▅▆▇█"]
        full = sum(8 if bg is not None and sign == " " else eighths.index(sign.strip()) for sign, _, bg in column_cells)
        tops.append(full)
    assert tops[1] / tops[0] == pytest.approx(0.5, abs=0.02) and tops[2] / tops[0] == pytest.approx(0.8, abs=0.02)


def test_marks_for_chosen_highlighted_and_degenerate() -> None:
    bars = simple_bars((0.5, 0.6), (0.4, 0.5), highlight=1, chosen=(0, 1))
    look = Look()
    rows = draw(bars, 50, 20, look)
    assert any(span.bg == look.ink and span.text.strip() == "1" for row in rows for span in row)
    assert "●" in "".join(text(rows)) and "run 1" in "".join(text(rows))
    assert "[1]" in "".join(text(draw(bars, 50, 20, Look(colours=False))))
    flagged = Bars("t", "KL", (BarGroup("g", (Bar("1", (0.1, 0.9), (True, False)),)),))
    shown = "\n".join(text(draw(flagged, 60, 20)))
    assert "!" in shown and "degenerate" in shown and "0.900" in shown


def test_bars_that_do_not_fit_are_counted() -> None:
    wide = simple_bars(*[(0.5,)] * 60)
    assert "of 60 bars do not fit" in "\n".join(text(draw(wide, 40, 20)))


def test_four_groups_are_whole_at_80_columns() -> None:
    group = tuple(Bar(name, (0.9, 1.0)) for name in ("input", "1", "2", "3", "4", "5"))
    names = ("logsig", "tanh", "softsign", "relu")
    figure = Bars("fig. 2", "KL", tuple(BarGroup(name, group, place) for place, name in enumerate(names)), "layer")
    lines = text(draw(figure, 80, 20))
    assert any(all(name in line for name in names) for line in lines)
    assert any(line.split() == ["layer", *["i", "1", "2", "3", "4", "5"] * 4] for line in lines)
    assert not any("do not fit" in line for line in lines)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_points_are_where_locate_says(size: tuple[int, int], look: Look) -> None:
    scatter = blobs()
    rows = draw(scatter, *size, look)
    cells = locate(scatter, *size, look)
    assert cells.shape == (1000, 2)
    drawn = {(column, row) for row, line in enumerate(text(rows)) for column, char in enumerate(line) if char != " "}
    assert {(int(column), int(row)) for column, row in cells} <= drawn
    assert (cells >= 0).all() and (cells < np.array(size)).all()


def test_hidden_points_are_nowhere() -> None:
    scatter = blobs()
    points = scatter.points.copy()
    points[5] = np.nan
    shown = scatter.labels != 2
    part = Scatter("t", points, scatter.labels, scatter.classes, shown=shown)
    cells = locate(part, 80, 24)
    assert ((cells[:, 0] == -1) == (~shown | (np.arange(1000) == 5))).all()
    # Isolating a class must not move the others.
    whole = Scatter("t", points, scatter.labels, scatter.classes)
    assert np.array_equal(cells[6:][shown[6:]], locate(whole, 80, 24)[6:][shown[6:]])


def test_a_circle_stays_round() -> None:
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)
    for width, height in ((80, 24), (40, 40), (200, 60)):
        cells = locate(Scatter("", circle, np.zeros(400, dtype=np.int64), ("a",)), width, height)
        columns, rows = np.ptp(cells[:, 0]) + 1, np.ptp(cells[:, 1]) + 1
        assert columns / (2 * rows) == pytest.approx(1.0, abs=0.08)
    top = int(np.argmax(circle[:, 1]))
    assert cells[top, 1] == cells[:, 1].min()  # up is up


def test_a_cell_has_the_colour_of_its_most_frequent_class() -> None:
    points = np.array([[0, 0], [0, 0], [0, 0], [10, 10]], dtype=np.float32)
    scatter = Scatter("", points, np.array([1, 1, 0, 2]), ("a", "b", "c"))
    cells = locate(scatter, 40, 10)
    assert cell_of(draw(scatter, 40, 10), *cells[0])[1] == class_colour(1, True)
    assert cell_of(draw(scatter, 40, 10), *cells[3])[1] == class_colour(2, True)
    assert cell_of(draw(scatter, 40, 10, Look(colours=False)), *cells[0])[0] == "b"


def test_the_chosen_point_stands_out() -> None:
    scatter = blobs()
    chosen = Scatter("t", scatter.points, scatter.labels, scatter.classes, chosen=13)
    look = Look()
    column, row = locate(chosen, 80, 24, look)[13]
    char, fg, bg = cell_of(draw(chosen, 80, 24, look), column, row)
    assert (char, fg, bg) == ("3", look.paper, look.ink)
    plain = Look(colours=False)
    column, row = locate(chosen, 80, 24, plain)[13]
    assert text(draw(chosen, 80, 24, plain))[row][column - 1 : column + 2] == "[3]"


def test_curves_have_axes_legend_and_their_colours() -> None:
    x = np.arange(1.0, 51.0)
    curves = Curves("loss", "epoch", "nats", (Curve("relu", x, 1 / x, 3), Curve("tanh", x, 2 / x, 1)))
    rows = draw(curves, 80, 20)
    joined = "\n".join(text(rows))
    assert "relu" in joined and "tanh" in joined and "epoch" in joined and "nats" in joined and "50" in joined
    braille = {span.fg for row in rows for span in row if any("\u2800" < char <= "\u28ff" for char in span.text)}
    assert braille == {colour(3, True), colour(1, True)}


def test_gaps_in_a_curve_stay_gaps() -> None:
    x = np.arange(100.0)
    y = np.where((x > 30) & (x < 70), np.nan, 1.0)
    y[0], y[99] = 0.0, 2.0
    rows = text(draw(Curves("", "x", "", (Curve("", x, y),)), 100, 20))
    middle = [line[40:60] for line in rows[:-3]]
    assert not any("\u2800" < char <= "\u28ff" for line in middle for char in line)


def test_charts_drawn_by_many_threads_are_all_right() -> None:
    x = np.arange(1.0, 101.0)
    figures = [Curves(f"c{k}", "x", "y", (Curve("a", x, x**k, k),)) for k in range(8)]
    alone = [draw(figure, 70, 18) for figure in figures]
    wrong: list[int] = []

    def work(place: int) -> None:
        for _ in range(5):
            if draw(figures[place], 70, 18) != alone[place]:
                wrong.append(place)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_panels_share_one_legend_and_count_what_does_not_fit() -> None:
    panels = Panels("all layers", tuple(blobs(200) for _ in range(6)), 3, "note")
    lines = text(draw(panels, 120, 40))
    assert sum("0  1  2" in line for line in lines) == 1
    assert sum(line.count("layer 3") for line in lines) == 6
    assert "of 6 panels do not fit" in text(draw(panels, 40, 14))[0]


def test_the_sign_of_a_class_stands_on_its_colour_in_its_midst_and_in_the_legend() -> None:
    scatter = blobs(400, 4)
    rows = draw(scatter, 80, 24)
    cells = locate(scatter, 80, 24)
    for place in range(4):
        found = [
            (column, row)
            for row in range(1, 24)
            for column in range(80)
            if cell_of(rows, column, row)[0] == str(place)
            and cell_of(rows, column, row)[2] == class_colour(place, True)
        ]
        (column, row), legend = found if found[0][0] < found[1][0] else found[::-1]
        mine = cells[scatter.labels == place]
        assert (mine == (column, row)).all(axis=1).any(), "a name stands on a point of its class"
        assert abs(np.median(mine, axis=0) - (column, row)).max() <= 2
        assert legend[0] > cells[:, 0].max() and cell_of(rows, legend[0] - 1, legend[1])[0] == " "


def test_no_sign_where_a_class_has_few_points_or_stands_by_itself_or_signs_are_the_points() -> None:
    (many, ones), (rest, others) = two(300), two(3)
    few = Scatter("", np.concatenate([many, rest]), np.concatenate([ones, others]), ("0", "1", "2"))
    alone = replace(blobs(400, 4), shown=blobs(400, 4).labels == 2)
    for scatter, named in ((few, 0), (alone, 0), (blobs(400, 4), 4)):
        rows = draw(scatter, 60, 20)
        plot = 60 - 8  # beside the legend
        assert sum(span.bg is not None for row in rows for span in clipped(row, plot)) == named
        signs = draw(scatter, 60, 20, Look(colours=False))
        assert all(span.bg is None for row in signs for span in row)


def two(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return `n` points of one class; of another where there are few."""
    rng = np.random.default_rng(n)
    return rng.normal(n, 3, (n, 2)).astype(np.float32), np.full(n, int(n < 10), dtype=np.int64)


def clipped(row: Row, width: int) -> Row:
    """Return the spans of a row that begin in its first `width` cells."""
    starts = np.cumsum([0, *(len(span.text) for span in row)])
    return tuple(span for span, start in zip(row, starts, strict=False) if start < width)


def test_a_class_whose_name_is_no_sign_is_called_by_both() -> None:
    scatter = replace(blobs(400, 3), classes=("coat", "bag", "boot"))
    lines = "\n".join(text(draw(scatter, 80, 24)))
    assert "0 coat" in lines and "1 bag" in lines and "2 boot" in lines, "the digits are the keys that isolate"


@pytest.mark.parametrize("dark", [True, False])
def test_colours_survive_256_colours_and_no_class_has_that_of_an_activation(dark: bool) -> None:
    activations = [colour(place, dark) for place in range(4)]
    classes = [class_colour(index, dark) for index in range(10)]
    assert len({quantise(rgb) for rgb in (*activations, *classes)}) == 14
    assert all(terminal_rgb(quantise(rgb)) == rgb for rgb in (*activations, *classes))


def test_text_output() -> None:
    scatter = blobs(100)
    plain = draw_text(scatter, 40, 10, Look(colours=False, unicode=False))
    assert len(plain.splitlines()) == 10
    assert "38;5;" in draw_text(scatter, 40, 10, depth="256") and "38;2;" in draw_text(scatter, 40, 10)


def test_dots_stand_where_their_numbers_say_and_carry_their_group() -> None:
    low, high = np.array([0.0]), np.array([1.0])
    groups = (DotGroup("tanh", 3, low, low, 1), DotGroup("relu", 7, high, high, 3))
    rows = draw(Dots("title", "complexity", "accuracy", groups, "hidden layers"), 60, 20, Look())
    lines = text(rows)
    first = next(row for row, line in enumerate(lines) if "7" in line and row > 1)
    last = max(row for row, line in enumerate(lines) if "3" in line)
    assert first == 2 and lines[first].rindex("7") == 58  # a cell is free on both sides
    assert lines[last].index("3") == lines[last].index("┤") + 2 and last > 12
    inked = {span.text.strip(): span.fg for row in rows[2:] for span in row if span.bold}
    assert inked["7"] == colour(3, True) and inked["3"] == colour(1, True)
    assert "tanh" in lines[1] and "digit = hidden layers" in lines[1]
    plain = text(draw(Dots("", "x", "y", groups, "hidden layers"), 60, 20, Look(colours=False, unicode=False)))
    assert "a tanh 3" in plain[0] and all(line.isascii() for line in plain)


def test_a_heat_map_has_the_colour_and_number_of_each_value() -> None:
    values = np.array([[1.5, 3.0], [np.nan, 4.5]])
    heat = Heat("relu", "epoch", "layer", ("0", "10"), ("input", "1"), values)
    rows = draw(heat, 40, 12, Look())
    by_text = {span.text.strip(): span for row in rows for span in row if span.bg}
    found = {span.bg for row in rows for span in row if span.bg}
    assert found == {terminal_ramp(0.0), terminal_ramp(0.5), terminal_ramp(1.0)}
    assert any("1.500" in words for words in by_text) and any("4.500" in words for words in by_text)
    lines = text(rows)
    assert "dark 1.5 … light 4.5" in lines[0] and any("–" in line and "4.500" in line for line in lines)
    assert any("epoch (across), layer (down)" in line for line in lines)
    plain = text(draw(heat, 40, 12, Look(colours=False, unicode=False)))
    assert any("1.500" in line and "#" in line for line in plain) and all(line.isascii() for line in plain)
    assert "too small" in "".join(text(draw(heat, 20, 3, Look())))
    # Counts have no decimals.
    whole = draw(replace(heat, values=np.array([[1.0, 3.0], [np.nan, 5.0]])), 40, 12, Look())
    assert {span.text.strip() for row in whole for span in row if span.bg} - {""} == {"1", "3", "5"}


def test_in_sixteen_colours_classes_have_both_a_sign_and_a_colour() -> None:
    points = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]])
    scatter = Scatter("points", points, np.array([0, 1, 2]), ("a", "b", "c"))
    rows = draw(scatter, 40, 12, Look(colours=False, hues=True))
    coloured = {(one.text.strip(), one.fg) for row in rows for one in row if one.fg}
    signs = {text for text, _ in coloured}
    assert {"a", "b", "c"} <= signs or {"0", "1", "2"} <= signs
    assert len({fg for _, fg in coloured}) == 3, "a colour each, and no grey"
    plain = draw(scatter, 40, 12, Look(colours=False))
    assert not any(one.fg for row in plain for one in row)


def test_named_places_and_zero_are_on_the_axes() -> None:
    names = ("250", "500", "1,000", "2,000", "5,000")
    lines = (Curve("ours", np.arange(5.0), np.array([5.0, 5.2, 5.1, 6.0, 7.0]), 0),)
    rows = text(draw(Curves("cost", "points", "s", lines, zero=True, x_names=names), 80, 14))
    assert rows[-2].split() == list(names), rows
    assert any(row.startswith(("0┤", "0.0┤")) for row in rows), rows
    narrow = text(draw(Curves("cost", "points", "s", lines, x_names=names), 24, 14))
    assert set(narrow[-2].split()) < set(names), narrow
    assert not any(row.startswith(("0┤", "0.0┤")) for row in narrow), narrow


def test_the_scale_of_a_heat_map_in_cells_grows_lighter_in_colours_that_terminals_have() -> None:
    steps = list(dict.fromkeys(terminal_ramp(place / 200) for place in range(201)))
    light = [0.2126 * red + 0.7152 * green + 0.0722 * blue for red, green, blue in steps]
    assert len(steps) == 9 and light == sorted(light)
    assert all(terminal_rgb(quantise(one)) == one for one in steps)
    assert terminal_ramp(-1.0) == steps[0] and terminal_ramp(2.0) == steps[-1]
