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


def test_a_text_that_looks_like_a_formula_is_text() -> None:
    assert csv_text(("a",), [("=1+1",), (-1.5,), (None,)]) == 'a\n\'=1+1\n-1.5\n""\n'


def test_a_class_that_is_a_negative_number_keeps_its_name() -> None:
    assert csv_text(("class",), [("-1",), ("+1.5",), ("-1+cmd",), ("-",)]) == "class\n-1\n+1.5\n'-1+cmd\n'-\n"
