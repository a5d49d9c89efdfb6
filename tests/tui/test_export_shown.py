"""Saving what is on the screen: the very values, drawn as an image, told in words that stand without the screen."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest
from textual.pilot import Pilot

from embcx_tui.figures.model import Bars, Dots, Figure, Lines, Panels, Scatter
from embcx_tui.store.files import write_arrays
from embcx_tui.store.snapshot import read_study
from embcx_tui.tui.export.dialog import ExportDialog
from embcx_tui.tui.export.save import ExportFigure, ExportOptions, export
from embcx_tui.tui.widgets.figure_view import FigureView
from tests.fake_studies import FakeStudy, make_study
from tests.tui.pilot import opened, sees
from tests.tui.test_layers import small


async def shown(pilot: Pilot[None]) -> dict[str, ExportFigure]:
    """Press `e`, return what the window offers of the screen, and close it again."""
    await pilot.press("e")
    await sees(pilot, "Save a figure")
    dialog = pilot.app.screen
    assert isinstance(dialog, ExportDialog)
    found = dict(dialog.shown)
    await pilot.press("escape")
    await pilot.pause()
    return found


def on_screen(pilot: Pilot[None], panel: str) -> Figure | None:
    return pilot.app.screen.query_one(f"#{panel}", FigureView).figure


async def saved(study: FakeStudy, one: ExportFigure, folder: Path, kind: str) -> tuple[bytes, list[dict[str, str]]]:
    """Save a figure; return the image and the rows of its numbers."""
    text, written = await export(study.paths, one, ExportOptions(kind, "fitting", 100, str(folder)))
    assert written and text == str(folder / f"{one.name}.{kind}"), text
    numbers = (folder / f"{one.name}.csv").read_text()
    return Path(text).read_bytes(), list(csv.DictReader(io.StringIO(numbers)))


@pytest.fixture
def study() -> FakeStudy:
    """A study whose first network takes every input for class 0."""
    one = make_study(small())
    network = read_study(one.paths).trained["digits-d3-tanh-r0"]
    answers = np.zeros(200, dtype=np.int64)
    file = write_arrays(one.paths.arrays, "digits-d3-tanh-r0.npz", {"predicted": answers})
    one.append(network.model_copy(update={"file": file}))
    return one


async def test_the_points_shown_are_saved_with_class_part_and_mistakes(study: FakeStudy, tmp_path: Path) -> None:
    async with opened(study, "layers", (120, 40), expect="10-NN ") as pilot:
        await pilot.press("left")
        await sees(pilot, "Layer 2 of 3", "10-NN ")
        whole = (await shown(pilot))["points shown"]
        screen = on_screen(pilot, "scatter")
        assert isinstance(whole.figure, Scatter) and isinstance(screen, Scatter)
        assert whole.figure.points is screen.points and whole.name == "embedding-digits-3-tanh-run0-layer2"
        image, rows = await saved(study, whole, tmp_path, "svg")
        assert b"digits" in image and b"Procrustes" in image and b"layer 2" in image and b"10-NN" in image
        assert np.allclose([float(row["x"]) for row in rows], screen.points[:, 0]) and len(rows) == 200

        await pilot.press("4", "m", "plus")
        await sees(pilot, "misclassified", "zoom ×1.4")
        part = (await shown(pilot))["points shown"]
        assert part.name == "embedding-digits-3-tanh-run0-layer2-class4-misclassified-part"
        assert isinstance(part.figure, Scatter) and part.figure.view is not None
        image, rows = await saved(study, part, tmp_path, "svg")
        assert {row["class"] for row in rows} == {"4"} and 0 < len(rows) == int(part.figure.seen.sum()) < 20
        assert b"class 4 in colour" in image and b"misclassified points in colour" in image and b"enlarged" in image
        assert f"{len(rows)} of 200 points in colour" in part.figure.note
        # The others in grey, then these.
        circles = re.findall(rb'<g id="PathCollection_\d">(.*?)</g>\s*</g>', image, re.DOTALL)
        assert len(circles) == 2 and circles[1].count(b"<use") == len(rows) < circles[0].count(b"<use")


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
async def test_the_same_view_gives_the_same_bytes_in_any_window(study: FakeStudy, tmp_path: Path, kind: str) -> None:
    found = []
    for number, size in enumerate(((80, 24), (120, 40))):
        async with opened(study, "layers", size, expect="Layer 3 of 3") as pilot:
            await pilot.press("plus", "shift+left")
            await sees(pilot, "zoom", "points")
            one = (await shown(pilot))["points shown"]
            found.append(await saved(study, one, tmp_path / str(number), kind))
    assert found[0] == found[1]


async def test_the_chosen_point_is_ringed_and_named(study: FakeStudy, tmp_path: Path) -> None:
    async with opened(study, "layers", (120, 40), expect="10-NN ") as pilot:
        await pilot.press("p")
        await sees(pilot, "predicted")
        one = (await shown(pilot))["points shown"]
        screen = on_screen(pilot, "scatter")
        assert isinstance(one.figure, Scatter) and isinstance(screen, Scatter)
        assert one.figure.chosen is not None and one.figure.chosen == screen.chosen
        label = one.figure.classes[one.figure.labels[one.figure.chosen]]
        assert f"class {label}, taken for" in one.figure.note
        image, _ = await saved(study, one, tmp_path, "svg")
        assert b"ring: training" in image


async def test_grids_are_saved_whole_with_what_their_panels_share(tmp_path: Path) -> None:
    study = make_study(small(networks__depths=[9], networks__runs=1))
    async with opened(study, "layers", (80, 24), expect="10-NN ") as pilot:
        await pilot.press("i")
        await sees(pilot, "do not fit")
        layers = (await shown(pilot))["points shown"]
        assert isinstance(layers.figure, Panels) and len(layers.figure.figures) == 10
        assert layers.name == "embedding-digits-9-tanh-run0-layers"
        assert "do not fit" not in layers.figure.title and "reading" not in str(
            [one.note for one in layers.figure.figures]
        )
        _, rows = await saved(study, layers, tmp_path, "png")
        assert len(rows) == 10 * 200
        await pilot.press("i")
        await sees(pilot, "Layer 9 of 9 · run 0")
        assert (await shown(pilot))["points shown"].name == "embedding-digits-9-run0-layer9"


async def test_marked_networks_are_saved_side_by_side(study: FakeStudy, tmp_path: Path) -> None:
    async with opened(study, "layers", (120, 40), expect="10-NN ") as pilot:
        await pilot.press("space", "down", "space")
        await sees(pilot, "2 marked networks", "Layer 3 · 2 marked")
        found = await shown(pilot)
        ids = "digits-d3-tanh-r0_digits-d3-relu-r0"
        assert (found["points shown"].name, found["chart shown"].name) == (
            f"embedding-{ids}-layer3",
            f"lines-{ids}",
        )
        lines = found["chart shown"].figure
        assert isinstance(lines, Lines) and lines.chosen is None and "esc" not in lines.note
        await pilot.press("b")
        await sees(pilot, "2 marked networks")
        found = await shown(pilot)
        assert found["chart shown"].name == f"complexity-{ids}"
        chart = found["chart shown"].figure
        assert (
            isinstance(chart, Bars)
            and chart.groups == lines.groups
            and chart.chosen is None
            and "esc" not in chart.note
        )
        assert chart.title == "digits · 3 hidden layers · run 0"
        image, rows = await saved(study, found["chart shown"], tmp_path, "pdf")
        assert image.startswith(b"%PDF") and {row["group"] for row in rows} == {"tanh", "relu"} and len(rows) == 8


async def test_the_run_of_the_tree_has_its_dot(study: FakeStudy, tmp_path: Path) -> None:
    async with opened(study, "layers", (120, 40), expect="10-NN ") as pilot:
        await pilot.press("b", "right_square_bracket")
        await sees(pilot, "● run 0")
        bars = (await shown(pilot))["chart shown"]
        assert bars.name == "complexity-digits-3-tanh"
        image, _ = await saved(study, bars, tmp_path, "svg")
        assert b"dot: run 0" in image


async def test_epochs_and_accuracy_are_saved_as_the_chart(tmp_path: Path) -> None:
    study = make_study(small(measure__epochs=[1, 2]))
    study.measure_after(1, 2)
    async with opened(study, "layers", (80, 24), expect="10-NN ") as pilot:
        await pilot.press("B", "B")
        await sees(pilot, "complexity over training")
        assert (await shown(pilot))["chart shown"].name == "epochs-digits-3-tanh"
        await pilot.press("b")
        await sees(pilot, "test accuracy against last layer's KL")
        dots = (await shown(pilot))["chart shown"]
        assert dots.name == "accuracy-digits" and isinstance(dots.figure, Dots) and dots.figure.y_label
        image, _ = await saved(study, dots, tmp_path, "svg")
        assert b"test accuracy" in image and b"Spearman" in image and b"complexity against accuracy" in image


async def test_without_networks_at_chance_name_note_and_named_figures_say_so(tmp_path: Path) -> None:
    study = make_study(small(), at_chance=("digits-d3-tanh-r1",))
    async with opened(study, "layers", (120, 40), expect="10-NN ") as pilot:
        await pilot.press("w")
        await sees(pilot, "means and tests without 1 network at chance")
        lines = (await shown(pilot))["chart shown"]
        assert lines.name == "lines-digits-3-without-chance"
        assert "without 1 of 8 networks at chance" in lines.figure.note
        await pilot.press("b")
        await sees(pilot, "one translucent bar per run")
        bars = (await shown(pilot))["chart shown"]
        assert bars.name == "complexity-digits-3-tanh-without-chance"
        assert "without 1 of 2 networks at chance" in bars.figure.note
        _, rows = await saved(study, bars, tmp_path, "svg")
        assert {row["state"] for row in rows if row["run"] == "1"} == {"missing"}
    text, written = await export(
        study.paths, "complexity-digits-3", ExportOptions("svg", "fitting", 100, str(tmp_path)), True
    )
    assert written
    rows = list(csv.DictReader(io.StringIO(Path(text).with_suffix(".csv").read_text())))
    assert {row["state"] for row in rows if (row["group"], row["run"]) == ("tanh", "1")} == {"missing"}


async def test_a_saved_comparison_says_who_is_at_chance_and_who_diverged() -> None:
    study = make_study(small(), at_chance=("digits-d3-tanh-r0",), diverged=("digits-d3-relu-r0",))
    async with opened(study, "layers", (120, 40), expect="10-NN ") as pilot:
        await pilot.press("space", "down", "space")
        await sees(pilot, "2 marked networks")
        note = (await shown(pilot))["chart shown"].figure.note
        assert note.startswith("did not train: tanh · diverged: relu · one run each") and "esc" not in note


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
async def test_epochs_with_all_networks_left_out_say_so(size: tuple[int, int]) -> None:
    every = [f"digits-d3-{name}-r{run}" for name in ("tanh", "relu") for run in (0, 1)]
    study = make_study(small(measure__epochs=[1, 2]), at_chance=every)
    study.measure_after(1, 2)
    async with opened(study, "layers", size, expect="10-NN ") as pilot:
        await pilot.press("B", "B")
        text = await sees(pilot, "complexity over training")
        assert "left out" not in text
        await pilot.press("w")
        text = await sees(pilot, "2 of 2 runs at chance, left out as asked")
        assert "nothing measured yet" not in text
