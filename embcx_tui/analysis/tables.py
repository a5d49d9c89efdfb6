"""A study's numbers as CSV tables (`show --csv`, `show --table NAME`)."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from embcx_tui.analysis.selection import Selection, select
from embcx_tui.analysis.statistics import as_record, relations, trends
from embcx_tui.analysis.summary import LAYER_KEYS, LayerSummary, network_records, summarise_selection, summary_record
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.plan import Architecture

Record = dict[str, Any]

# A class may be called -1, and a number does no harm.
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")

_NETWORK = (
    "dataset",
    "depth",
    "activation",
    "run",
    "control",
    "status",
    "at_chance",
    "left_out",
    "epochs",
    "train_accuracy",
    "test_accuracy",
)
_LAYER = ("layer", "units", *(key for key in LAYER_KEYS if key != "restart_kls"))
_SUMMARY = (*Architecture._fields, *LayerSummary.__slots__[1:], "kl_ci_low", "kl_ci_high")
_TREND = (
    "dataset", "depth", "activation", "control", "statistic", "effect", "p_value", "p_increase", "p_holm", "method",
    "first_break", "runs", "runs_left_out", "reason",
)  # fmt: skip
_ACCURACY = (
    "dataset", "n", "architectures", "rho", "ci_low", "ci_high", "cluster_low", "cluster_high", "resamples", "reason",
)  # fmt: skip


def csv_text(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a CSV text: a head, then the rows; None is an empty cell, a list its values with spaces."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(head)
    for row in rows:
        writer.writerow([_cell(value) for value in row])
    return buffer.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return " ".join(str(one) for one in value)
    # A spreadsheet takes a text that begins like this for a formula.
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def _layers(selection: Selection) -> str:
    pairs = [(n, one) for n in network_records(selection) for one in (*n["layers"], *n["methods"])]
    metrics = list(dict.fromkeys(name for _, one in pairs for name in one["metrics"]))
    quality = list(dict.fromkeys(name for _, one in pairs for name in one["quality"]))
    rows = (
        [
            *(network[key] for key in _NETWORK),
            *(layer[key] for key in _LAYER),
            *(layer["metrics"].get(name) for name in metrics),
            *(layer["quality"].get(name) for name in quality),
        ]
        for network, layer in pairs
    )
    return csv_text((*_NETWORK, *_LAYER, *metrics, *quality), rows)


def _epochs(selection: Selection) -> str:
    keys = ("epoch", "layer", "kl", "degenerate")
    rows = (
        [*(n[key] for key in _NETWORK), *(one[key] for key in keys)]
        for n in network_records(selection)
        for one in n["earlier"]
    )
    return csv_text((*_NETWORK, *keys), rows)


def _records(keys: Sequence[str], records: Iterable[Record]) -> str:
    return csv_text(keys, ([one[key] for key in keys] for one in records))


_TABLES: dict[str, Callable[[Selection], str]] = {
    "layers": _layers,
    "summary": lambda selection: _records(_SUMMARY, map(summary_record, summarise_selection(selection))),
    "trend": lambda selection: _records(_TREND, map(as_record, trends(selection))),
    "accuracy": lambda selection: _records(_ACCURACY, map(as_record, relations(selection))),
    "epochs": _epochs,
}
TABLES = tuple(_TABLES)


def csv_table(snapshot: Snapshot, table: str = "layers", exclude_chance: bool = False) -> str:
    """Return one table of a study as CSV.

    `layers`: one line per measured layer and method with its network's columns, metrics and the embedding's quality.
    `summary`: one line per layer of an architecture (mean, sd and 95 % interval over runs). `trend`: one line per trend
    test. `accuracy`: one line per dataset. `epochs`: one line per score before the last epoch.

    `exclude_chance` leaves networks at chance out of `summary`, `trend` and `accuracy`; in `layers` and
    `epochs` they stay, and the columns `at_chance` and `left_out` say so.
    """
    return _TABLES[table](select(snapshot, exclude_chance))
