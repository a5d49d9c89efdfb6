"""The CSV tables and the JSON document say the same."""

from __future__ import annotations

import csv
import io
import json

import pytest

from embcx_tui.analysis.json_csv import TABLES, csv_table, csv_text, measurements
from tests import small_study


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_summary_has_the_interval_in_json_and_csv() -> None:
    snapshot = small_study.write().snapshot
    summary = measurements(snapshot)["summary"]
    assert len(summary) == 24
    for one, row in zip(summary, rows(csv_table(snapshot, "summary")), strict=True):
        assert one["kl_ci_low"] < one["kl_mean"] < one["kl_ci_high"] and one["n"] == 3
        assert float(row["kl_ci_low"]) == one["kl_ci_low"] and row["activation"] == one["activation"]
        half = 4.302652729911275 * one["kl_sd"] / 3**0.5  # t(0.975, 2)
        assert one["kl_ci_high"] - one["kl_mean"] == pytest.approx(half)


def test_every_table_is_rectangular_and_the_document_is_json() -> None:
    snapshot = small_study.write(degenerate=frozenset({"mnist-d5-relu-r0-l5"})).snapshot
    json.dumps(measurements(snapshot), allow_nan=False)
    for table in TABLES:
        lines = list(csv.reader(io.StringIO(csv_table(snapshot, table))))
        assert {len(line) for line in lines} == {len(lines[0])}
    assert len(rows(csv_table(snapshot))) == 12 * 6
    trend = rows(csv_table(snapshot, "trend"))
    assert (trend[1]["runs"], trend[1]["runs_left_out"]) == ("1 2", "0")


def test_networks_that_enter_no_mean_are_said_to_be_left_out() -> None:
    diverged, flawed = "mnist-d5-logsig-r1", "mnist-d5-relu-r0"
    snapshot = small_study.write(degenerate=frozenset({f"{flawed}-l5"}), diverged=frozenset({diverged})).snapshot
    networks = measurements(snapshot)["networks"]
    assert {one["id"] for one in networks if one["left_out"]} == {diverged, flawed}
    lines = [row for row in rows(csv_table(snapshot)) if row["left_out"] == "True"]
    assert {(row["activation"], row["run"], row["control"]) for row in lines} == {
        ("logsig", "1", ""),
        ("relu", "0", ""),
    }
    # What is left out is not counted: two of three runs are left of each.
    summary = {(one["activation"], one["control"], one["layer"]): one["n"] for one in measurements(snapshot)["summary"]}
    assert summary["logsig", None, 5] == summary["relu", None, 5] == 2 and summary["relu", "untrained", 5] == 3


def test_a_text_that_looks_like_a_formula_is_text() -> None:
    assert csv_text(("a",), [("=1+1",), (-1.5,), (None,)]) == 'a\n\'=1+1\n-1.5\n""\n'


def test_a_class_that_is_a_negative_number_keeps_its_name() -> None:
    assert csv_text(("class",), [("-1",), ("+1.5",), ("-1+cmd",), ("-",)]) == "class\n-1\n+1.5\n'-1+cmd\n'-\n"
