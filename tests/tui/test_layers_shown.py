"""What the plane shows of classes, errors, neighbours, runs and epochs, and what the mouse finds and moves in it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from textual.events import MouseDown, MouseMove, MouseUp
from textual.pilot import Pilot

from embcx_tui.figures.alignment import align, standard
from embcx_tui.figures.cells import Part, data_at, draw, line_at, locate, parts, value_words
from embcx_tui.figures.cells.scatter import ring
from embcx_tui.figures.model import Bar, BarGroup, Bars, Curve, Curves, DotGroup, Dots, Heat, Lines, Panels, Scatter
from embcx_tui.figures.palette import class_colour, contrast
from embcx_tui.figures.spans import Look, Span
from embcx_tui.store.files import read_arrays, write_arrays
from embcx_tui.store.snapshot import read_study
from embcx_tui.tui.layers.by_class import confusion
from embcx_tui.tui.layers.embeddings import nearest_to
from embcx_tui.tui.layers.screen import LayersScreen
from embcx_tui.tui.widgets.figure_view import FigureView
from embcx_tui.tui.widgets.points_canvas import PointsCanvas
from tests.fake_studies import FakeStudy, make_study
from tests.tui.pilot import opened, sees, sees_no, stop_the_clock, text_of, until
from tests.tui.test_layers import small

DARK, PLAIN = Look(), Look(colours=False)
N = 200


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    stop_the_clock(monkeypatch)


def canvas_of(pilot: Pilot[None]) -> PointsCanvas:
    return pilot.app.screen.query_one("#scatter", PointsCanvas)


def shown(pilot: Pilot[None]) -> Scatter:
    figure = canvas_of(pilot).target
    assert isinstance(figure, Scatter)
    return figure


def labels_and_predicted(study: FakeStudy, network: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    predicted = read_arrays(study.paths.root, read_study(study.paths).trained[network].file)["predicted"]
    return np.arange(N) % 10, predicted.astype(np.int64)


def spans_at(figure: Scatter, size: tuple[int, int], look: Look = DARK) -> dict[tuple[int, int], Span]:
    """Return the character and style of each cell of a drawing, by (column, row)."""
    found = {}
    for row, spans in enumerate(draw(figure, *size, look)):
        column = 0
        for span in spans:
            for char in span.text:
                found[column, row] = Span(char, span.fg, span.bg, span.bold, span.dim)
                column += 1
    return found


@pytest.mark.parametrize("look", [DARK, Look(dark=False), PLAIN], ids=["dark", "light", "no colour"])
def test_what_is_not_chosen_is_dimmed_and_stays_where_it_is(look: Look) -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(0, 1, (60, 2)).astype(np.float32)
    labels = np.arange(60) % 3
    whole = Scatter("points", points, labels, ("a", "b", "c"))
    figure = Scatter("points", points, labels, ("a", "b", "c"), shown=labels == 1, context=True)
    size = (60, 20)
    cells, every = locate(figure, *size, look), locate(whole, *size, look)
    assert (cells[labels == 1] == every[labels == 1]).all() and (cells[labels != 1] == -1).all()
    drawn = spans_at(figure, size, look)
    bright = {tuple(cell) for cell in every[labels == 1].tolist()}
    for cell in {tuple(cell) for cell in every[labels != 1].tolist()} - bright:
        span = drawn[cell]
        if look.colours:
            assert span.fg == look.dimmed.fg and span.text not in "abc "
        else:
            assert span.text == "·" and span.dim
    if look.colours:
        assert look.dimmed.fg and contrast(look.dimmed.fg, look.paper) >= 3
        assert all(drawn[cell].fg == class_colour(1, look.dark) for cell in bright)


async def test_a_chosen_class_dims_the_others_and_its_errors_show_what_they_are_taken_for() -> None:
    study = make_study(small())
    labels, predicted = labels_and_predicted(study, "digits-d3-tanh-r0")
    chosen = int(labels[predicted != labels][0])
    async with opened(study, "layers", (120, 40), expect="10-NN ") as pilot:
        await pilot.press(str(chosen))
        await sees(pilot, f"20 of {N} points")
        figure, size = shown(pilot), canvas_of(pilot).content_size
        assert figure.context and figure.shown is not None and (figure.shown == (labels == chosen)).all()
        wrong = np.flatnonzero((labels == chosen) & (predicted != labels))
        cells, drawn = locate(figure, *size, DARK), spans_at(figure, size)
        seen = {tuple(cells[row].tolist()): str(predicted[row]) for row in wrong}
        assert seen and all(
            (drawn[cell].text, drawn[cell].bg) == (sign, class_colour(chosen, dark=True)) for cell, sign in seen.items()
        )
        await pilot.press("a")
        await sees_no(pilot, f"20 of {N} points")
        assert not shown(pilot).context and shown(pilot).taken is None


async def test_m_shows_all_errors_as_what_they_are_taken_for() -> None:
    study = make_study(small())
    labels, predicted = labels_and_predicted(study, "digits-d3-tanh-r0")
    async with opened(study, "layers", (120, 40), expect="10-NN ") as pilot:
        await pilot.press("m")
        await sees(pilot, "misclassified")
        taken = shown(pilot).taken
        assert taken is not None
        assert (taken == np.where(labels != predicted, predicted, -1)).all() and (taken >= 0).any()


async def test_the_chosen_points_neighbours_are_ringed_where_they_are() -> None:
    study = make_study(small())
    event = read_study(study.paths).measured["digits-d3-tanh-r0-l3", "tsne"]
    async with opened(study, "layers", (200, 60), expect="10-NN ") as pilot:
        await pilot.press("p", "z")
        await sees(pilot, "neighbours in plane  ○", "also in plane  ●")
        figure, size = shown(pilot), canvas_of(pilot).content_size
        row = figure.chosen
        assert row is not None
        layer = read_arrays(study.paths.root, event.file)["neighbours"][row].tolist()
        plane = nearest_to(figure.points, row, 10)
        assert figure.near_layer == tuple(layer) and figure.near_plane == plane
        cells, drawn = locate(figure, *size, DARK), spans_at(figure, size)
        owners: dict[tuple[int, ...], set[str]] = {}
        for one in {*layer, *plane}:
            owners.setdefault(tuple(cells[one].tolist()), set()).add(ring((one in layer, one in plane)))
        column, line = cells[row].tolist()
        beside = {(column + by, line) for by in (-1, 0, 1)}
        alone = [(cell, signs) for cell, signs in owners.items() if len(signs) == 1 and cell not in beside]
        assert len(alone) >= 3 and all(drawn[cell[0], cell[1]].text in signs for cell, signs in alone)
        # Both rows of images: five of each in a line, and a second line where there is room.
        lines = [text[:51] for text in text_of(pilot).splitlines()]
        at = next(number for number, text in enumerate(lines) if "neighbours in plane" in text)
        assert lines[at + 2].count(" ▀") + lines[at + 2].startswith("▀") >= 5


async def test_i_shows_all_runs_of_one_layer_side_by_side() -> None:
    async with opened(make_study(small(networks__runs=3)), "layers", (120, 40), expect="10-NN ") as pilot:
        await pilot.press("left", "i", "i", "i")
        await sees(pilot, "All runs · tanh, layer 2 of 3", "run 0 · KL", "run 1 · KL", "run 2 · KL")
        figure = canvas_of(pilot).target
        assert isinstance(figure, Panels) and len(figure.figures) == 3
        await pilot.press("i")
        await sees(pilot, "Layer 2 of 3 · tanh, run 0")


async def test_braces_scrub_through_the_epochs_that_were_measured() -> None:
    study = make_study(small(measure__epochs=[1, 3]))
    known = read_study(study.paths).measured["digits-d3-tanh-r0-l3", "tsne"]
    last = read_arrays(study.paths.root, known.file)["points"]
    early = (last @ np.array([[0.0, 3.0], [1.0, 0.0]]) + np.random.default_rng(0).normal(0, 9, last.shape)).astype("f4")
    for epoch, points in ((1, early), (3, last)):
        file = write_arrays(study.paths.arrays, f"early-{epoch}.npz", {"points": points})
        study.append(known.model_copy(update={"epoch": epoch, "kl": 1.5 - epoch / 10, "file": file}))
    async with opened(study, "layers", (120, 40), expect="10-NN ") as pilot:
        at_the_end = shown(pilot).points
        await pilot.press("left_curly_bracket")
        await sees(pilot, "Layer 3 of 3 · tanh, run 0 · epoch 3 · KL 1.200")
        await pilot.press("left_curly_bracket", "left_curly_bracket")
        await sees(pilot, "epoch 1 · KL 1.400")
        await until(pilot, lambda: canvas_of(pilot).figure is canvas_of(pilot).target)
        assert np.allclose(shown(pilot).points, align(early, at_the_end), atol=1e-5)
        assert not np.allclose(standard(early), align(early, at_the_end), atol=0.1)
        # What it predicted then is not known.
        await pilot.press("m")
        await sees(pilot, "predictions are not known")
        await pilot.press("a", "right_curly_bracket", "right_curly_bracket")
        await sees_no(pilot, "epoch ")
        await pilot.press("left_curly_bracket", "escape")
        await sees_no(pilot, "epoch 3")


async def test_a_study_measured_at_its_end_says_how_to_measure_epochs() -> None:
    async with opened(make_study(small()), "layers", (120, 40), expect="10-NN ") as pilot:
        await pilot.press("left_curly_bracket")
        await sees(pilot, "[measure] epochs asks for more")


async def test_the_legend_has_each_classs_share_of_the_kl_and_its_errors() -> None:
    study = make_study(small())
    labels, predicted = labels_and_predicted(study, "digits-d3-tanh-r0")
    known = read_study(study.paths).measured["digits-d3-tanh-r0-l3", "tsne"]
    shares = np.random.default_rng(0).gamma(2.0, size=N)
    shares *= (known.kl or 0.0) / shares.sum()
    arrays = {**read_arrays(study.paths.root, known.file), "kl": shares.astype(np.float32)}
    file = write_arrays(study.paths.arrays, known.file.name[7:], arrays)
    study.append(known.model_copy(update={"file": file}))
    earlier = read_study(study.paths).measured["digits-d3-tanh-r0-l2", "tsne"]
    arrays = read_arrays(study.paths.root, earlier.file)
    del arrays["kl"]
    file = write_arrays(study.paths.arrays, earlier.file.name[7:], arrays)
    study.append(earlier.model_copy(update={"file": file}))
    async with opened(study, "layers", expect="KL errors") as pilot:
        lines = [line.split() for line in text_of(pilot).splitlines()]
        of = {words[-3]: (words[-2], words[-1]) for words in lines if len(words) > 2 and words[-3] in "0123456789"}
        for index in range(10):
            wrong = int((predicted != labels)[labels == index].sum())
            assert of[str(index)] == (f"{shares[labels == index].sum():.3f}", str(wrong))
        assert sum(float(kl) for kl, _ in of.values()) == pytest.approx(known.kl, abs=0.005)
        # A layer that was measured before shares were stored.
        await pilot.press("left")
        text = await sees(pilot, "Layer 2 of 3", "n/a")
        assert text.count("n/a") == 10


def test_a_confusion_matrix_counts_labels_by_predictions() -> None:
    from sklearn.metrics import confusion_matrix

    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 5, 300), rng.integers(0, 5, 300)
    assert (confusion(labels, predicted, 5) == confusion_matrix(labels, predicted, labels=range(5))).all()
    assert confusion(np.array([0, 9, -1]), np.array([1, 1, 1]), 2).tolist() == [[0, 1], [0, 0]]


async def test_b_shows_the_confusion_matrix_and_a_click_on_a_row_chooses_its_class() -> None:
    study = make_study(small())
    labels, predicted = labels_and_predicted(study, "digits-d3-tanh-r0")
    async with opened(study, "layers", (120, 40), expect="10-NN ") as pilot:
        await pilot.press("b", "b", "b")
        text = await sees(pilot, "training sample", "predicted (across), label (down)")
        heat = pilot.app.screen.query_one("#bars", FigureView).figure
        assert isinstance(heat, Heat) and (heat.values == confusion(labels, predicted, 10)).all()
        line = next(line for line in text.splitlines() if line[26:].lstrip().startswith("4 "))
        assert line[26:].split()[1:] == [str(int(count)) for count in heat.values[4]]
        row = text.splitlines().index(line)
        await pilot.click(offset=(40, row))
        await sees(pilot, f"20 of {N} points")
        screen = pilot.app.screen
        assert isinstance(screen, LayersScreen) and screen.controller.selection.class_index == 4


# The mouse


def part_of(pilot: Pilot[None]) -> Part:
    return parts(shown(pilot), *canvas_of(pilot).content_size)[0]


async def mouse(pilot: Pilot[None], canvas: FigureView, kind: type, column: int, row: int, button: int = 0) -> None:
    inset = canvas.content_region.offset - canvas.region.offset
    await pilot._post_mouse_events([kind], canvas, (column + inset.x, row + inset.y), button=button)
    await pilot.pause()


async def test_a_drag_moves_what_was_under_the_pointer_along_with_it() -> None:
    async with opened(make_study(small()), "layers", (120, 40), expect="10-NN ") as pilot:
        canvas, before = canvas_of(pilot), part_of(pilot)
        assert isinstance(before.figure, Scatter)
        place = data_at(before.figure, before.width, before.height, 20, 10, DARK)
        await mouse(pilot, canvas, MouseDown, 20, 10, 1)
        for column, row in ((24, 11), (29, 8)):
            await mouse(pilot, canvas, MouseMove, column, row, 1)
        await mouse(pilot, canvas, MouseUp, 29, 8, 1)
        await sees(pilot, "zoom ×1.0")
        after = shown(pilot)
        assert place and (found := data_at(after, before.width, before.height, 29, 8, DARK))
        assert np.allclose(found, place, atol=1e-6)
        # No point was chosen by letting go.
        assert after.chosen is None
        await pilot.press("equals_sign")
        await sees_no(pilot, "zoom ×")


async def test_the_pointer_on_a_point_says_what_it_is_and_beside_it_nothing() -> None:
    study = make_study(small())
    labels, predicted = labels_and_predicted(study, "digits-d3-tanh-r0")
    async with opened(study, "layers", (120, 40), expect="10-NN ") as pilot:
        canvas, part = canvas_of(pilot), part_of(pilot)
        assert isinstance(part.figure, Scatter)
        cells = locate(part.figure, part.width, part.height, DARK)
        row = next(
            row for row in range(N) if (cells == cells[row]).all(axis=1).sum() == 1 and labels[row] == predicted[row]
        )
        await mouse(pilot, canvas, MouseMove, *cells[row].tolist())
        await sees(pilot, f"training sample {row:,} · label {labels[row]} · predicted correctly")
        await mouse(pilot, canvas, MouseMove, 0, canvas.content_size.height - 1)
        await sees_no(pilot, "predicted correctly")


async def test_the_pointer_on_a_line_says_its_value() -> None:
    study = make_study(small())
    async with opened(study, "layers", (120, 40), expect="10-NN ") as pilot:
        canvas = pilot.app.screen.query_one("#bars", FigureView)
        lines, (width, height) = canvas.figure, canvas.content_size
        assert isinstance(lines, Lines)
        column, row = next(
            (column, row)
            for row in range(height)
            for column in range(width)
            if line_at(lines, width, height, column, row, DARK) == (0, 2)
        )
        mean = lines.groups[0].bars[2].mean
        await mouse(pilot, canvas, MouseMove, column, row)
        await sees(pilot, f"tanh, layer 2: {mean:.4f} ± ", ", 2 runs")


async def test_the_values_of_a_chart_are_walked_with_keys_and_one_is_gone_to() -> None:
    study = make_study(small())
    async with opened(study, "layers", (120, 40), expect="10-NN ") as pilot:
        canvas = pilot.app.screen.query_one("#bars", FigureView)
        await pilot.press("tab", "p")
        lines = canvas.figure
        assert isinstance(lines, Lines) and lines.chosen
        await sees(pilot, f"tanh, layer 3: {lines.groups[0].bars[3].mean:.4f} ± ", "◆")
        await pilot.press("left", "left")
        await sees(pilot, f"tanh, layer 1: {lines.groups[0].bars[1].mean:.4f} ± ", "Layer 3 of 3")
        await pilot.press("enter")
        await sees(pilot, "Layer 1 of 3", f"tanh, layer 1: {lines.groups[0].bars[1].mean:.4f} ± ")
        await pilot.press("escape", "left")
        await sees(pilot, "Input · ")
        assert "◆" not in text_of(pilot), "the arrows are the screen's again"


def test_every_chart_says_the_value_under_a_cell() -> None:
    bars = Bars("b", "KL", (BarGroup("tanh", (Bar("input", (0.5,)), Bar("1", (0.25, 0.75)))),), "layer")
    x = np.arange(1.0, 5.0)
    counts = np.array([[3, 0], [7, 1.0]])
    dots = DotGroup("relu", 1, x[1:2], x[:1] / 2, 0, ("relu r0",))
    charts = {
        "tanh, layer 1: 0.5000 ± 0.3536, 2 runs": bars,
        "label 1, predicted 0: 7": Heat("h", "predicted", "label", ("0", "1"), ("0", "1"), counts),
        "relu r0: KL 2, accuracy 0.5": Dots("d", "KL", "accuracy", (dots,)),
        "relu, epoch 3: 0.3": Curves("c", "epoch", "loss", (Curve("relu", x, x / 10),)),
        "panel · relu, epoch 2: 0.2": Panels("p", (Curves("panel", "epoch", "loss", (Curve("relu", x, x / 10),)),), 1),
    }  # fmt: skip
    size = (60, 16)
    for words, figure in charts.items():
        said = {value_words(figure, *size, column, row, DARK) for column in range(60) for row in range(16)}  # type: ignore[arg-type]
        assert words in said and "" in said, words
