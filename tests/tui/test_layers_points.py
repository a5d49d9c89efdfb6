"""Walking and seeing points in the layer browser, as the keys a person presses."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from textual.pilot import Pilot

from embcx_tui.figures.cells import locate
from embcx_tui.figures.model import Scatter
from embcx_tui.figures.spans import Look
from embcx_tui.store.files import read_arrays, write_arrays
from embcx_tui.store.snapshot import read_study
from embcx_tui.tui.app import make_app
from embcx_tui.tui.layers import controller
from embcx_tui.tui.layers.embeddings import nearest_to
from embcx_tui.tui.layers.point_facts import PointFacts
from embcx_tui.tui.layers.point_panel import PointPanel
from embcx_tui.tui.layers.selection import NodeKey
from embcx_tui.tui.layers.tree import LayersTree
from embcx_tui.tui.widgets.points_canvas import PointsCanvas
from tests.fake_studies import make_study, settings_of
from tests.tui.pilot import opened, sees, sees_no, show, stop_the_clock, text_of
from tests.tui.test_layers import small

LOOK = Look()  # where points stand does not depend on colours


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    stop_the_clock(monkeypatch)


def shown(pilot: Pilot[None]) -> Scatter:
    """The scatter that is shown, or flown to."""
    figure = pilot.app.screen.query_one("#scatter", PointsCanvas).target
    assert isinstance(figure, Scatter)
    return figure


async def test_p_chooses_a_point_and_shows_its_image_and_what_it_is() -> None:
    study = make_study(small())
    async with opened(study, "layers", (120, 40), expect="Layer 3 of 3") as pilot:
        await pilot.press("p")
        text = await sees(pilot, "training", "predicted", "neighbours in plane", "in input")
        assert "▀" in text and "converged" not in text
        figure = shown(pilot)
        assert figure.chosen is not None
        snapshot = read_study(study.paths)
        predicted = read_arrays(study.paths.root, snapshot.trained["digits-d3-tanh-r0"].file)["predicted"]
        # Each word stands above what it is, beside the image.
        lines = [one[26:56] for one in text.splitlines()]
        place = {word: n for n, line in enumerate(lines) for word in ("label", "predicted", "training") if word in line}
        for word, value in (
            ("label", f"● {figure.labels[figure.chosen]}"),
            ("predicted", f"● {predicted[figure.chosen]}"),
            ("training", f"sample {figure.chosen}"),
        ):
            assert value in lines[place[word] + 1]
        assert "▀" in lines[place["label"]] and "▀" in lines[place["predicted"]]


async def test_a_point_tells_its_neighbours_in_the_layer_and_which_the_plane_keeps() -> None:
    study = make_study(small())
    async with opened(study, "layers", (120, 40), expect="Layer 3 of 3") as pilot:
        await pilot.press("p", "right")
        text = await sees(pilot, "in layer")
        figure = shown(pilot)
        row = figure.chosen
        assert row is not None
        near = read_arrays(study.paths.root, read_study(study.paths).measured["digits-d3-tanh-r0-l3", "tsne"].file)[
            "neighbours"
        ][row].tolist()
        kept = set(near) & set(nearest_to(figure.points, row, 10))
        assert 0 < len(kept) < 10
        lines = [line[26:56].strip() for line in text.splitlines()]
        at = lines.index(f"in layer, {len(kept)} also in plane  ●")
        assert lines[at + 1].split() == [str(one % 10) for one in near]
        # Where there is more room, the nearest are seen too.
        blocks = text.count("▀")
        await pilot.press("z")
        wide = await sees(pilot, "in layer, ")
        beside = [line for line in wide.splitlines() if re.match(r" ▀{8,} +▀{8,} +▀{8,}", line)]
        assert len(beside) >= 4 and wide.count("▀") > blocks and "bold: near in both" in wide


async def test_the_input_tells_its_neighbours_once() -> None:
    async with opened(make_study(small()), "layers", (120, 40), expect="Layer 3 of 3") as pilot:
        await pilot.press("p", *["comma"] * 3)
        await sees(pilot, "Input · run 0", "in layer, ")
        await sees_no(pilot, "in input")


@pytest.mark.parametrize("stored", ["nothing", "too few rows", "rows that are none"])
async def test_a_layer_without_sound_neighbours_says_nothing_of_them(stored: str) -> None:
    study = make_study(small())
    event = read_study(study.paths).measured["digits-d3-tanh-r0-l3", "tsne"]
    arrays = read_arrays(study.paths.root, event.file)
    near = arrays.pop("neighbours")
    if stored != "nothing":
        wrong = {"too few rows": near[:-1], "rows that are none": near + np.uint16(200)}
        arrays["neighbours"] = wrong[stored]
    study.append(event.model_copy(update={"file": write_arrays(study.paths.arrays, event.file.name[7:], arrays)}))
    async with opened(study, "layers", (120, 40), expect="Layer 3 of 3") as pilot:
        await pilot.press("p")
        await sees(pilot, "neighbours in plane", "in input")
        assert "in layer," not in text_of(pilot)


async def test_a_file_with_words_among_its_arrays_says_so_in_place_of_the_points() -> None:
    study = make_study(small())
    event = read_study(study.paths).measured["digits-d3-tanh-r0-l3", "tsne"]
    arrays = read_arrays(study.paths.root, event.file) | {"neighbours": np.array("near")}
    study.append(event.model_copy(update={"file": write_arrays(study.paths.arrays, event.file.name[7:], arrays)}))
    async with opened(study, "layers", (120, 40), expect="layer 3 of 3") as pilot:
        await sees(pilot, "holds something else than")


async def test_arrows_walk_from_point_to_point_and_escape_leaves() -> None:
    async with opened(make_study(small()), "layers", expect="Layer 3 of 3") as pilot:
        await pilot.press("p")
        await sees(pilot, "neighbours in plane")
        canvas = pilot.app.screen.query_one("#scatter", PointsCanvas)
        for key, column, sign in [("right", 0, 1), ("left", 0, -1), ("up", 1, -1), ("down", 1, 1)]:
            before = shown(pilot)
            cells = locate(before, *canvas.content_size, LOOK)
            await pilot.press(key)
            await pilot.pause()
            after = shown(pilot)
            assert before.chosen is not None and after.chosen is not None and before.chosen != after.chosen
            assert (cells[after.chosen] - cells[before.chosen])[column] * sign > 0
        # Still the same layer and network: now the arrows are theirs again.
        await sees(pilot, "Layer 3 of 3 · tanh, run 0")
        await pilot.press("escape", "left")
        await sees(pilot, "Layer 2 of 3 · tanh, run 0", "converged")
        assert shown(pilot).chosen is not None
        await pilot.press("escape")
        await pilot.pause()
        assert shown(pilot).chosen is None


async def test_the_point_stays_chosen_across_methods_and_its_layer_is_the_same() -> None:
    study = make_study(small(measure__methods=["tsne", "pca"]))
    event = read_study(study.paths).measured["digits-d3-tanh-r0-l3", "tsne"]
    points = np.random.default_rng(1).normal(0, 1, (200, 2)).astype(np.float32)
    file = write_arrays(study.paths.arrays, "digits-d3-tanh-r0-l3.pca.npz", {"points": points})
    study.append(event.model_copy(update={"method": "pca", "kl": None, "file": file}))
    near = read_arrays(study.paths.root, event.file)["neighbours"]
    async with opened(study, "layers", (120, 40), expect="Layer 3 of 3") as pilot:
        await pilot.press("p", "right")
        await sees(pilot, "in layer")
        chosen = shown(pilot).chosen
        await pilot.press("t")
        text = await sees(pilot, "tanh, run 0 · PCA", "in layer")
        assert shown(pilot).chosen == chosen is not None
        lines = [line[26:56].strip() for line in text.splitlines()]
        at = next(place for place, line in enumerate(lines) if line.startswith("in layer"))
        assert lines[at + 1].split() == [str(one % 10) for one in near[chosen].tolist()]


async def test_the_panel_of_a_point_stays_while_the_next_points_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    show_point = PointPanel.show

    def listening(panel: PointPanel, facts: PointFacts | None, words: str = "", *, with_mean: bool = False) -> None:
        said.append("" if facts else words)
        show_point(panel, facts, words, with_mean=with_mean)

    monkeypatch.setattr(PointPanel, "show", listening)
    monkeypatch.setattr(controller, "adjacent_layers", lambda *_: ())  # nothing is read ahead
    async with opened(make_study(small()), "layers", (120, 40), expect="Layer 3 of 3") as pilot:
        await pilot.press("p")
        await sees(pilot, "in layer")
        said.clear()
        pilot.app.screen.query_one(LayersTree).select(NodeKey("digits", 3, "relu"))
        await sees(pilot, "Layer 3 of 3 · relu, run 0", "in layer")
        assert said and not any(said)


async def test_a_click_chooses_the_point_under_it() -> None:
    async with opened(make_study(small()), "layers", (120, 40), expect="10-NN ") as pilot:
        canvas = pilot.app.screen.query_one("#scatter", PointsCanvas)
        cells = locate(shown(pilot), *canvas.content_size, LOOK)
        inset = canvas.content_region.offset - canvas.region.offset
        await pilot.click(canvas, offset=(int(cells[17, 0]) + inset.x, int(cells[17, 1]) + inset.y))
        await sees(pilot, "neighbours in plane")
        chosen = shown(pilot).chosen
        assert chosen is not None and (cells[chosen] == cells[17]).all()


async def test_m_leaves_only_what_is_misclassified() -> None:
    study = make_study(small())
    predicted = read_arrays(study.paths.root, read_study(study.paths).trained["digits-d3-tanh-r0"].file)["predicted"]
    wrong = int((predicted != np.arange(200) % 10).sum())
    async with opened(study, "layers", expect="10-NN ") as pilot:
        await pilot.press("m")
        await sees(pilot, f"{wrong} misclassified")
        shown_points = shown(pilot).shown
        assert shown_points is not None and int(shown_points.sum()) == wrong
        await pilot.press("a")
        await sees_no(pilot, "misclassified")


async def test_plus_zooms_in_shift_arrows_pan_and_equals_shows_all() -> None:
    async with opened(make_study(small()), "layers", (120, 40), expect="10-NN ") as pilot:
        canvas = pilot.app.screen.query_one("#scatter", PointsCanvas)

        def on_screen() -> int:
            return int((locate(shown(pilot), *canvas.content_size, LOOK)[:, 0] >= 0).sum())

        await pilot.press("plus", "plus")
        await sees(pilot, "zoom ×2.0")
        near = on_screen()
        assert 0 < near < 200
        view = shown(pilot).view
        await pilot.press("shift+right", "shift+up")
        await pilot.pause()
        moved = shown(pilot).view
        assert view and moved and moved[0] > view[0] and moved[1] > view[1]
        await pilot.press("left")  # the part of the plane stays
        await sees(pilot, "Layer 2 of 3", "zoom ×")
        await pilot.press("right", "minus", "minus")
        await sees_no(pilot, "zoom ×")
        await pilot.press("plus", "equals_sign")
        await sees_no(pilot, "zoom ×")
        assert on_screen() == 200


async def test_a_network_whose_answers_are_unknown_says_so() -> None:
    study = make_study(small())
    (study.paths.arrays / "digits-d3-tanh-r0.npz").unlink()
    async with opened(study, "layers", (120, 40), expect="10-NN ") as pilot:
        await pilot.press("m")
        await sees(pilot, "predictions are not known")
        await pilot.press("p")
        await sees(pilot, "predicted", "unknown")


async def test_no_colour_shows_the_image_in_shades(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with opened(make_study(small()), "layers", (120, 40), expect="10-NN ") as pilot:
        await pilot.press("p")
        text = await sees(pilot, "neighbours in plane")
        assert "▀" not in text and any(shade in text for shade in "░▒▓")


async def test_help_and_footer_tell_the_keys_of_walking() -> None:
    async with opened(make_study(small()), "layers", expect="10-NN ") as pilot:
        assert "p Point" in text_of(pilot).splitlines()[-1]
        await pilot.press("p")
        text = await sees(pilot, "esc Leave")
        assert "← ↑ → ↓ Point" in text.splitlines()[-1] and "p Point" not in text.splitlines()[-1]
        await pilot.press("p")
        await sees(pilot, "p Point", "converged")


@pytest.mark.parametrize(
    ("size", "colour"),
    [((80, 24), True), ((120, 40), True), ((80, 24), False)],
    ids=["80x24", "120x40", "no colour"],
)
def test_picture_of_a_chosen_point(
    size: tuple[int, int], colour: bool, snap_compare: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not colour:
        monkeypatch.setenv("NO_COLOR", "1")
    study = make_study(settings_of())

    async def look(pilot: Pilot[None]) -> None:
        pilot.app.animation_level = "none"
        await show(pilot, study, "layers")
        await sees(pilot, "Layer 3 of 3 · logsig, run 0", " %")
        await pilot.press("p", "right")
        await sees(pilot, "in input")

    assert snap_compare(make_app(), terminal_size=size, run_before=look)
