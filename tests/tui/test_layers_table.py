"""The table of numbers in Layers: its cursor, its order, and what is copied."""

from __future__ import annotations

import csv
import io
import re

import pytest
from textual.pilot import Pilot

from embcx_tui.analysis.layer_table import KL, TableRow
from embcx_tui.analysis.summary import summarise
from embcx_tui.store.snapshot import read_study
from embcx_tui.tui.layers.numbers_table import NumbersTable
from embcx_tui.tui.layers.screen import LayersScreen
from embcx_tui.tui.layers.selection import NodeKey
from tests.fake_studies import make_study
from tests.tui.pilot import counted, opened, sees, until
from tests.tui.test_layers import small

SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])


def table_in(pilot: Pilot[None]) -> NumbersTable:
    return pilot.app.screen.query_one(NumbersTable)


def row_in(pilot: Pilot[None]) -> TableRow:
    row = table_in(pilot).current
    assert isinstance(row, TableRow)
    return row


@SIZES
async def test_the_third_chart_is_the_table_and_its_cursor_is_what_is_selected(size: tuple[int, int]) -> None:
    study = make_study(small())
    means = {
        (s.architecture.activation, s.architecture.control, s.layer): s for s in summarise(read_study(study.paths))
    }
    async with opened(study, "layers", size, expect="10-NN ") as pilot:
        await pilot.press("b", "b")
        await sees(pilot, "network  ", "relu untrained")
        for key, layer in (("down", 3), ("left", 2), ("left", 1)):
            await pilot.press(key)
            await pilot.pause()
            one = means["relu", None, layer]
            assert row_in(pilot).architecture.activation == "relu" and row_in(pilot).quantity == KL
            cell = table_in(pilot).cell
            assert cell and cell.text == f"{one.kl_mean:.3f} ± {one.kl_sd:.3f}"
            await sees(pilot, cell.text)
        # The whole dataset: every depth, named.
        await pilot.press("up", "up", "up")
        await sees(pilot, "network  ")
        assert not pilot.app.screen.query_one("#bars").display
        await pilot.press("b", "b")
        await until(pilot, lambda: pilot.app.screen.query_one("#bars").display)


@SIZES
async def test_with_focus_the_arrows_move_its_cursor_and_enter_goes_there(size: tuple[int, int]) -> None:
    async with opened(make_study(small()), "layers", size, expect="10-NN ") as pilot:
        screen = pilot.app.screen
        assert isinstance(screen, LayersScreen)
        await pilot.press("b", "b", "tab")
        assert table_in(pilot).has_focus
        node = screen.controller.selection.node
        await pilot.press("down", "down", "left")
        assert screen.controller.selection.node == node, "moving in the table selects nothing"
        assert row_in(pilot).architecture.control == "untrained"
        await pilot.press("enter")
        await sees(pilot, "Layer 2 of 3 · tanh untrained")
        assert screen.controller.selection.node == NodeKey("digits", 3, "tanh", control="untrained")
        # The chart after it takes the focus over.
        await pilot.press("b")
        await sees(pilot, "10 × 10 values" if size[0] == 80 else "predicted (across), label (down)")
        await pilot.press("b")
        await sees(pilot, "ρ")
        assert screen.query_one("#bars").has_focus


async def test_o_orders_by_the_cursors_column_and_the_other_way() -> None:
    async with opened(make_study(small()), "layers", (120, 40), expect="10-NN ") as pilot:
        await pilot.press("b", "b", "tab", "o")
        table = table_in(pilot)

        def last_layers() -> list[float]:
            return [row.cells[6].number or 0.0 for row in table.table.rows if row.quantity == KL]

        assert last_layers() == sorted(last_layers())
        await sees(pilot, "▴3")
        await pilot.press("o")
        assert last_layers() == sorted(last_layers(), reverse=True)
        await sees(pilot, "▾3")
        before = row_in(pilot)
        await pilot.click(table, offset=(4, 0))
        await sees(pilot, "▴network")
        assert row_in(pilot).architecture == before.architecture, "the cursor stays with its row"


async def test_y_copies_what_is_under_the_cursor() -> None:
    async with opened(make_study(small()), "layers", (120, 40), expect="10-NN ") as pilot:
        await pilot.press("y")
        assert pilot.app.clipboard == "digits-d3-tanh-r0"
        await pilot.press("tab", "y")
        assert "╌ tanh" in pilot.app.clipboard and "± sd of 2 runs" in pilot.app.clipboard
        await pilot.press("b", "b", "y")
        cell = table_in(pilot).cell
        assert cell and re.fullmatch(r"0\.\d{3} ± 0\.\d{3}", cell.text) and pilot.app.clipboard == cell.text
        await sees(pilot, f"Copied “{cell.text}”")


@pytest.mark.parametrize(("format", "keys"), [("TSV", ()), ("Markdown", ("right",)), ("LaTeX", ("right", "right"))])
async def test_the_whole_table_is_copied_in_the_format_that_is_chosen(format: str, keys: tuple[str, ...]) -> None:
    async with opened(make_study(small()), "layers", (120, 40), expect="10-NN ") as pilot:
        await counted(pilot)
        await pilot.press("Y")
        await sees(pilot, "Copy the table of numbers", "TSV")
        await pilot.press(*keys, "enter")
        await sees(pilot, f"as {format}")
        text = pilot.app.clipboard
        if format == "TSV":
            lines = list(csv.reader(io.StringIO(text), delimiter="\t"))
            assert lines[0][:4] == ["network", "quantity", "n", "input"] and len(lines[1]) == len(lines[0])
            assert [line[0] for line in lines[1:5]] == ["tanh", "relu", "tanh untrained", "relu untrained"]
        else:
            assert text.startswith("| network |" if format == "Markdown" else r"\begin{tabular}")
            assert "| … |" not in text and "& \\ldots{} &" not in text, "the trends are in it"


async def test_before_the_first_layer_there_is_no_table_to_copy() -> None:
    study = make_study(small(), "running", epochs=6, measured=0)
    async with opened(study, "layers", expect="No layer is measured yet.") as pilot:
        await pilot.press("b", "b", "Y")
        await sees(pilot, "No layer is measured yet.", "there is no table to copy")
        assert pilot.app.clipboard == ""
    async with opened(None, "layers", expect="No study is open.") as pilot:
        await pilot.press("b", "b", "Y", "y", "o")
        assert pilot.app.clipboard == ""


async def test_the_order_stays_with_its_column_when_another_table_has_it_elsewhere() -> None:
    async with opened(make_study(small(networks__depths=[2, 3])), "layers", (120, 40), expect="10-NN ") as pilot:
        await pilot.press("b", "b", "tab", "o")
        await sees(pilot, "▴2")
        await pilot.press("shift+tab", "up", "up")
        await sees(pilot, "2×", "3×", "▴2")
        values = [row.cells[5].number for row in table_in(pilot).table.rows if row.quantity == KL]
        known = [value for value in values if value is not None]
        assert len(known) == 8 and known == sorted(known)
