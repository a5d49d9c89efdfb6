"""A study's numbers as JSON (`show --json`) and as CSV tables (`show --csv`, `show --table NAME`).

Keys and columns are promises: new ones are added, none changes.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from embcx_tui.analysis.correlation import Relation, relations
from embcx_tui.analysis.selection import Exclusion, Selection, earlier, other_methods, select
from embcx_tui.analysis.statistics import CONFIDENCE
from embcx_tui.analysis.summary import LayerSummary, summarise_selection
from embcx_tui.analysis.trend import Difference, Trend, control_differences, layer_differences, trends
from embcx_tui.store.snapshot import NetworkState, Snapshot
from embcx_tui.study.events import LayerMeasured, MachineDescribed
from embcx_tui.study.plan import Architecture

Record = dict[str, Any]

LAYER_KEYS = (
    "kl",
    "explained",
    "degenerate",
    "converged",
    "method",
    "engine",
    "perplexity",
    "points",
    "iterations",
    "gradient_norm",
    "relative_change",
    "restart_kls",
    "duplicates",
    "seed",
    "starts",
    "start_kls",
)


def measurements(snapshot: Snapshot, exclude_chance: Exclusion = False) -> dict[str, Any]:
    """Return the JSON document of `show --json`.

    `job` is the SLURM job that computes it, or is to.
    `machine` is the newest, `machines` are all that the study was computed on, `hands` the processes of the newest
    worker that computed parts of it, none where it did so itself. `networks` holds every network, also
    those left out of `summary` and `statistics`. A network's `layers` are its t-SNE scores; `methods` the embeddings of
    other methods, which have no KL; `earlier` the scores after earlier epochs.
    """
    selection = select(snapshot, exclude_chance)
    return {
        "id": snapshot.id,
        "name": snapshot.name,
        "state": snapshot.state,
        "damage": snapshot.damage or None,
        "job": snapshot.job.record if snapshot.job else None,
        "settings": snapshot.plan.settings.model_dump(mode="json", by_alias=True),
        "machine": machine_record(snapshot.machine) if snapshot.machine else None,
        "machines": [machine_record(one) for one in snapshot.machines],
        "hands": [one.model_dump(mode="json", exclude={"kind", "at"}) for one in snapshot.hands.values()],
        "networks": network_records(selection),
        "summary": [summary_record(one) for one in summarise_selection(selection)],
        "statistics": statistics_record(selection),
    }


def machine_record(machine: MachineDescribed) -> Record:
    """Return a machine of the journal as the contract has it."""
    return machine.model_dump(mode="json", exclude={"kind", "at"})


def network_records(selection: Selection) -> list[dict[str, Any]]:
    """Return every network with its layers as the contract has them, also those left out."""
    return [_network(selection, state) for state in selection.snapshot.networks.values()]


def _network(selection: Selection, state: NetworkState) -> dict[str, Any]:
    network, snapshot = state.network, selection.snapshot
    layers = [(layer, measured) for layer in network.layers if (measured := snapshot.layer(network, layer))]
    return {
        "id": network.id,
        "dataset": network.dataset,
        "depth": network.depth,
        "activation": network.activation,
        "run": network.run,
        "control": network.control,
        "sample_from": network.source,
        "status": state.status,
        "at_chance": state.at_chance,
        "flaw": state.flaw,
        "left_out": not selection.enters(network),
        "epochs": state.epochs,
        "train_accuracy": state.train_accuracy,
        "test_accuracy": state.test_accuracy,
        "layers": [_layer(layer, measured) for layer, measured in layers],
        "methods": [_layer(layer, measured) for layer, measured in other_methods(snapshot, network)],
        "earlier": [
            {"epoch": epoch, "layer": layer, "kl": one.kl, "degenerate": one.degenerate}
            for epoch, layer, one in earlier(snapshot, network)
        ],
    }


def _layer(layer: int, measured: LayerMeasured) -> dict[str, Any]:
    return {
        "layer": layer,
        "units": measured.units,
        **{key: getattr(measured, key) for key in LAYER_KEYS},
        "metrics": dict(measured.metrics),
        "quality": dict(measured.quality),
        "name": measured.name,
        "pool": measured.pool,
        "width": measured.width or measured.units,
    }


def statistics_record(selection: Selection) -> Record:
    """Return what `show --json` says under "statistics"."""
    snapshot = selection.snapshot
    degenerate = sorted(f"{layer} ({method})" for (layer, method), one in snapshot.measured.items() if one.degenerate)
    return {
        "exclude_chance": bool(selection.exclude_chance),
        "excluded_flaw": selection.exclude_chance if isinstance(selection.exclude_chance, str) else None,
        "confidence": CONFIDENCE,
        "left_out": {
            "diverged": list(selection.diverged),
            "at_chance": list(selection.excluded),
            "degenerate": degenerate,
            "degenerate_networks": sorted(selection.degenerate),
            "failed": sorted(f"{layer} ({method})" for layer, method in snapshot.failed),
        },
        "at_chance": list(selection.at_chance),
        "trend": [as_record(trend) for trend in trends(selection)],
        "layer_differences": [as_record(difference) for difference in layer_differences(selection)],
        "control_differences": [as_record(difference) for difference in control_differences(selection)],
        "accuracy": [as_record(relation) for relation in relations(selection)],
    }


def as_record(result: Any) -> Record:
    """Return a slotted dataclass as the JSON contract has it: its fields by name, an architecture as its four."""
    fields: Record = {}
    for name in type(result).__slots__:
        value = getattr(result, name)
        if isinstance(value, Architecture):
            fields |= value._asdict()
        else:
            fields[name] = list(value) if isinstance(value, tuple) else value
    return fields


def summary_record(summary: LayerSummary) -> Record:
    """Return a summary as the contract has it, with its interval."""
    low, high = summary.kl_interval or (None, None)
    return {**as_record(summary), "kl_ci_low": low, "kl_ci_high": high}


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
# Columns that came later stand at the end.
_LATER = ("flaw",)
_LATER_LAYER = ("starts", "start_kls", "name", "pool", "width")
_LAYER = ("layer", "units", *(key for key in LAYER_KEYS if key not in ("restart_kls", "starts", "start_kls")))
_SUMMARY = (*Architecture._fields, *LayerSummary.__slots__[1:], "kl_ci_low", "kl_ci_high")
_TREND = (
    *Architecture._fields,
    *("statistic", "effect", "p_value", "p_increase", "p_holm", "method", "first_break"),
    *("runs", "runs_left_out", "reason"),
    *Trend.__slots__[Trend.__slots__.index("run_effects") :],
)
_DIFFERENCE = (*Architecture._fields, *Difference.__slots__[1:])


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
        return " ".join(str(item) for item in value)
    # A spreadsheet takes a text that begins like this for a formula.
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def _layers_table(selection: Selection) -> str:
    pairs = [(n, one) for n in network_records(selection) for one in (*n["layers"], *n["methods"])]
    metrics = list(dict.fromkeys(name for _, one in pairs for name in one["metrics"]))
    quality = list(dict.fromkeys(name for _, one in pairs for name in one["quality"]))
    rows = (
        [
            *(network[key] for key in _NETWORK),
            *(layer[key] for key in _LAYER),
            *(layer["metrics"].get(name) for name in metrics),
            *(layer["quality"].get(name) for name in quality),
            *(network[key] for key in _LATER),
            *(layer[key] for key in _LATER_LAYER),
        ]
        for network, layer in pairs
    )
    return csv_text((*_NETWORK, *_LAYER, *metrics, *quality, *_LATER, *_LATER_LAYER), rows)


def _epochs_table(selection: Selection) -> str:
    keys = ("epoch", "layer", "kl", "degenerate")
    rows = (
        [*(n[key] for key in _NETWORK), *(one[key] for key in keys)]
        for n in network_records(selection)
        for one in n["earlier"]
    )
    return csv_text((*_NETWORK, *keys), rows)


def _records(keys: Sequence[str], records: Iterable[Record]) -> str:
    return csv_text(keys, ([record[key] for key in keys] for record in records))


_TABLES: dict[str, Callable[[Selection], str]] = {
    "layers": _layers_table,
    "summary": lambda selection: _records(_SUMMARY, map(summary_record, summarise_selection(selection))),
    "trend": lambda selection: _records(_TREND, map(as_record, trends(selection))),
    "accuracy": lambda selection: _records(Relation.__slots__, map(as_record, relations(selection))),
    "epochs": _epochs_table,
    "layer-differences": lambda selection: _records(_DIFFERENCE, map(as_record, layer_differences(selection))),
    "control-differences": lambda selection: _records(_DIFFERENCE, map(as_record, control_differences(selection))),
}
TABLES = tuple(_TABLES)


def csv_table(snapshot: Snapshot, table: str = "layers", exclude_chance: Exclusion = False) -> str:
    """Return one table of a study as CSV.

    `layers`: one line per measured layer and method with its network's columns, metrics and the embedding's quality.
    `summary`: one line per layer of an architecture (mean, sd and 95 % interval over runs). `trend`: one line per trend
    test. `accuracy`: one line per dataset. `epochs`: one line per score before the last epoch. `layer-differences`: one
    line per hidden layer of an architecture, its change from the layer before. `control-differences`: one line per
    hidden layer of a control, the trained networks less it.

    `exclude_chance` leaves networks at chance out of `summary`, `trend` and `accuracy`; in `layers` and
    `epochs` they stay, and the columns `at_chance` and `left_out` say so.
    """
    return _TABLES[table](select(snapshot, exclude_chance))
