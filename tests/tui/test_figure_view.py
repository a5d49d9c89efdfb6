"""LineWidget widgets: only cells that differ are sent, and a figure is drawn once a size."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len
from textual.app import App, ComposeResult
from textual.geometry import Region

from embcx_tui.figures import cells
from embcx_tui.figures.model import Scatter
from embcx_tui.figures.spans import Row, Span
from embcx_tui.tui.widgets.figure_view import FigureView
from embcx_tui.tui.widgets.line_widget import difference, fit, fit_right, fit_row, row_width


def cells_of(row: Row) -> list[tuple[str, object]]:
    """Return a row cell by cell; the second half of a wide character is empty."""
    cells: list[tuple[str, object]] = []
    for one in row:
        style = (one.fg, one.bg, one.bold, one.dim)
        for char in one.text:
            cells += [(char, style), *((("", style),) * (cell_len(char) - 1))]
    return cells


def random_row(random_: random.Random, width: int) -> Row:
    spans = []
    for _ in range(random_.randint(0, 6)):
        text = "".join(random_.choice("ab─⠿日 ") for _ in range(random_.randint(0, 6)))
        spans.append(Span(text, random_.choice([None, (1, 2, 3), (9, 9, 9)]), None, random_.random() < 0.2))
    return fit_row(tuple(spans), width)


def test_the_cells_between_two_rows_are_all_that_differ() -> None:
    random_ = random.Random(1)
    for _ in range(3_000):
        width = random_.randint(1, 30)
        old = random_row(random_, width)
        new = old if random_.random() < 0.05 else random_row(random_, width)
        if random_.random() < 0.5 and old:
            # Most changes are small: one span of many.
            place = random_.randrange(len(old))
            text = "".join(random_.choice("xyz日") for _ in range(cell_len(old[place].text)))
            new = fit_row((*old[:place], Span(text, old[place].fg), *old[place + 1 :]), width)
        cells = difference(old, new)
        before, after = cells_of(old), cells_of(new)
        if cells is None:
            assert before == after
            continue
        start, end = cells
        assert before[:start] + after[start:end] + before[end:] == after


@pytest.mark.parametrize("text", ["", "short", "a good deal longer", "日本語のデータ", "abc日"])
@pytest.mark.parametrize("width", [0, 1, 5, 6, 12])
def test_fitted_text_has_the_width_asked_for(text: str, width: int) -> None:
    assert cell_len(fit(text, width)) == width
    assert cell_len(fit_right(text, width)) == width
    assert row_width(fit_row((Span(text), Span(text)), width)) == width


class CanvasApp(App[None]):
    def compose(self) -> ComposeResult:
        yield FigureView("Nothing here.\nPress a key.")


def scatter(shift: float = 0.0) -> Scatter:
    points = np.array([[0.0, 0.0], [1.0, 1.0 + shift], [2.0, 0.5]], dtype=np.float32)
    return Scatter("points", points, np.array([0, 1, 1]), ("zero", "one"))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """The figures that were really drawn, in order."""
    figures: list[object] = []
    draw = cells.draw

    def counting(figure: Any, *arguments: Any) -> Any:
        figures.append(figure)
        return draw(figure, *arguments)

    monkeypatch.setattr("embcx_tui.tui.widgets.figure_view.draw", counting)
    yield figures


async def test_words_stand_where_there_is_no_figure() -> None:
    app = CanvasApp()
    async with app.run_test(size=(40, 12)):
        canvas = app.query_one(FigureView)
        lines = [line.strip() for line in canvas.shown_text.splitlines() if line.strip()]
        assert lines == ["Nothing here.", "Press a key."]


async def test_a_figure_is_drawn_once_a_size(drawn: list[object]) -> None:
    app = CanvasApp()
    async with app.run_test(size=(40, 12)) as pilot:
        canvas = app.query_one(FigureView)
        one, other = scatter(), scatter(3.0)
        for figure in (one, one, other, one, other):
            canvas.show(figure)
            await pilot.pause()
        assert [id(figure) for figure in drawn] == [id(one), id(other)]
        await pilot.resize_terminal(60, 20)
        await pilot.pause()
        assert [id(figure) for figure in drawn] == [id(one), id(other), id(other)]


async def test_only_cells_that_differ_are_refreshed(monkeypatch: pytest.MonkeyPatch) -> None:
    app = CanvasApp()
    async with app.run_test(size=(40, 12)) as pilot:
        canvas = app.query_one(FigureView)
        canvas.show(scatter())
        await pilot.pause()
        regions: list[Region] = []
        monkeypatch.setattr(canvas, "refresh", lambda *given, **_: regions.extend(given))
        canvas.show(Scatter("points", scatter().points, np.array([0, 0, 1]), ("zero", "one")))
        cells = sum(region.width * region.height for region in regions)
        assert 0 < cells < 60  # two legend counts and one point, of 480 cells
        regions.clear()
        canvas.show(Scatter("points", scatter().points, np.array([0, 0, 1]), ("zero", "one")))
        assert regions == []
