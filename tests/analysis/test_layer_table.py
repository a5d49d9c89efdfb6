"""The table of numbers has those of the summary and the trend tests, in three formats that others read."""

from __future__ import annotations

import csv
import io
import re

import pytest

from embcx_tui.analysis.formatting import interval_words
from embcx_tui.analysis.layer_table import KL, LayerTable, as_latex, as_markdown, layer_table, table_text
from embcx_tui.analysis.selection import select
from embcx_tui.analysis.summary import summarise
from embcx_tui.analysis.trend import trends
from embcx_tui.store.snapshot import Snapshot, read_study
from tests import small_study
from tests.fake_studies import make_study, settings_of


def table_of(snapshot: Snapshot, *, depth: int | None = 5, exclude_chance: bool = False) -> LayerTable:
    selection = select(snapshot, exclude_chance)
    found = {trend.architecture: trend for trend in trends(selection)}
    return layer_table(selection, snapshot.plan.settings.data.datasets[0], depth, found)


def records(table: LayerTable) -> list[dict[str, str]]:
    return [dict(zip(table.columns, (cell.text for cell in row.cells), strict=True)) for row in table.rows]


def test_complexities_are_the_summarys_and_trends_those_of_the_tests() -> None:
    snapshot = small_study.write().snapshot
    table = table_of(snapshot)
    tested = {trend.architecture: trend for trend in trends(select(snapshot))}
    kls = [(row, record) for row, record in zip(table.rows, records(table), strict=True) if row.quantity == KL]
    assert len(kls) == 4
    for row, record in kls:
        for one in summarise(snapshot):
            if one.architecture == row.architecture:
                name = "input" if one.layer == 0 else str(one.layer)
                assert record[name] == f"{one.kl_mean:.3f} ± {one.kl_sd:.3f}" and record["n"] == str(one.n) == "3"
        trend = tested[row.architecture]
        assert trend.slope is not None and record["per layer"] == f"{trend.slope:+.3f}".replace("-", "−")
        assert record["95 % CI"] == interval_words(trend.slope_ci_low, trend.slope_ci_high)
        assert record["falling"] == f"{trend.runs_falling} of 3"
        # Trained networks fall in all runs, their controls rise: three equal signs of fair coins, in either direction.
        assert record["p, sign test"] == "0.125" == f"{0.5**3:.3f}"
    names = [record["network"] for _, record in kls]
    assert names == ["logsig", "relu", "logsig untrained", "relu untrained"]


def test_metrics_and_accuracy_are_means_over_the_runs_that_enter() -> None:
    snapshot = small_study.write(degenerate=frozenset({"mnist-d5-relu-r0-l5"})).snapshot
    table = table_of(snapshot)
    relu = [row for row in table.rows if row.architecture[2:] == ("relu", None)]
    assert {row.quantity for row in relu} >= {KL, "trustworthiness"}
    for row, record in ((row, dict(zip(table.columns, row.cells, strict=True))) for row in relu):
        assert record["n"].text == "2"
        networks = [n for n in snapshot.plan.networks if n.architecture == row.architecture and n.run != 0]
        measured = [snapshot.layer(network, 5) for network in networks]
        values = [
            one.kl if row.quantity == KL else {**one.metrics, **one.quality}.get(row.quantity)
            for one in measured
            if one
        ]
        if row.quantity == KL:
            tests = [snapshot.networks[network.id].test_accuracy or 0.0 for network in networks]
            assert record["test acc."].number == pytest.approx(sum(tests) / 2)
        if None not in values:
            assert record["5"].number == pytest.approx(sum(v for v in values if v is not None) / 2)


def test_without_networks_at_chance_their_runs_are_in_no_cell() -> None:
    settings = settings_of(networks__depths=[3], networks__runs=3, networks__activations=["tanh"])
    snapshot = read_study(make_study(settings, at_chance=("digits-d3-tanh-r0",), arrays=False).paths)
    counts = [records(table_of(snapshot, depth=3, exclude_chance=exclude))[0]["n"] for exclude in (False, True)]
    assert counts == ["3", "2"]


def test_all_depths_name_theirs_and_leave_the_layers_empty_that_they_lack() -> None:
    settings = settings_of(
        networks__depths=[1, 3], networks__runs=2, networks__activations=["relu"], measure__controls=[]
    )
    snapshot = read_study(make_study(settings, arrays=False).paths)
    table = table_of(snapshot, depth=None)
    shallow, deep = (row for row in records(table) if row["quantity"] == KL)
    assert (shallow["network"], deep["network"]) == ("1×100 relu", "3×100 relu")
    assert shallow["1"] and not shallow["2"] and not shallow["3"] and deep["3"]
    assert shallow["per layer"] == "–", "two layers have no trend"


def test_while_trends_are_computed_their_cells_say_so() -> None:
    selection = select(small_study.write().snapshot)
    table = layer_table(selection, "mnist", 5, None)
    assert records(table)[0]["per layer"] == "…" and "±" in records(table)[0]["1"]


def test_each_quantity_is_ordered_by_a_column_and_what_has_no_number_comes_last() -> None:
    table = table_of(small_study.write().snapshot)
    for column, descending in ((5, False), (5, True), (table.columns.index("per layer"), True)):
        ordered = table.sorted(column, descending)
        quantities = list(dict.fromkeys(row.quantity for row in ordered.rows))
        assert quantities == list(dict.fromkeys(row.quantity for row in table.rows))
        for quantity in quantities:
            numbers = [row.cells[column].number for row in ordered.rows if row.quantity == quantity]
            known = [number for number in numbers if number is not None]
            assert known == sorted(known, reverse=descending) and numbers[: len(known)] == known
    names = [row.cells[0].text for row in table.sorted(0, True).rows if row.quantity == KL]
    assert names == sorted(names, reverse=True)


def test_tsv_has_a_cell_for_each_column_and_plain_minus_signs() -> None:
    table = table_of(small_study.write().snapshot)
    lines = list(csv.reader(io.StringIO(table_text(table, "TSV")), delimiter="\t"))
    assert lines[0] == list(table.columns) and {len(line) for line in lines} == {len(table.columns)}
    assert [line[0] for line in lines[1:]] == [row.cells[0].text for row in table.rows]
    slope = float(lines[1][table.columns.index("per layer")])
    assert slope == pytest.approx(table.rows[0].cells[table.columns.index("per layer")].number, abs=5e-4)


def test_markdown_and_latex_are_whole_and_harmless() -> None:
    columns = ("network", "quantity", "95 % CI")
    rows = [("5×100 relu", "a|b_c$", "−0.12 … 0.30"), ("tanh", "x&y\\", "0.4 ± 0.1")]
    lines = as_markdown(columns, rows).splitlines()
    assert len(lines) == 4 and all(len(re.findall(r"(?<!\\)\|", line)) == 4 for line in lines)
    latex = as_latex(columns, rows)
    body = [line for line in latex.splitlines() if line.endswith(r"\\")]
    assert len(body) == 3 and all(len(re.findall(r"(?<!\\)&", line)) == 2 for line in body)
    assert r"$-0.12 \ldots 0.30$" in latex and r"$0.4 \pm 0.1$" in latex and r"95 \% CI" in latex
    assert r"5$\times$100 relu" in latex and r"a|b\_c\$" in latex and r"x\&y\textbackslash{}" in latex
    whole = table_text(table_of(small_study.write().snapshot), "LaTeX")
    assert whole.startswith(r"\begin{tabular}{ll") and whole.endswith(r"\end{tabular}") and whole.isascii()
