"""Means over runs, and a study's measurements as JSON and CSV (the contract of `show`)."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from embcx_tui.store.snapshot import NetworkState, Snapshot
from embcx_tui.study.events import LayerMeasured


@dataclass(frozen=True, slots=True)
class LayerSummary:
    """One layer of one architecture over its runs.

    `kl_mean` and `kl_sd` (sample standard deviation; None below two) are over the `n` runs with a sound score;
    `degenerate` runs are counted apart and never enter the mean.
    """

    dataset: str
    depth: int
    activation: str
    control: str | None
    layer: int
    kl_mean: float | None
    kl_sd: float | None
    n: int
    degenerate: int


def summarise(snapshot: Snapshot) -> tuple[LayerSummary, ...]:
    """Return a summary of every layer of every architecture that has a measurement, in the plan's order."""
    groups: dict[tuple[str, int, str, str | None, int], list[LayerMeasured]] = defaultdict(list)
    for network in snapshot.plan.networks:
        for layer in range(network.depth + 1):
            measured = snapshot.layer(network, layer)
            if measured:
                groups[network.dataset, network.depth, network.activation, network.control, layer].append(measured)
    return tuple(_summary(key, layers) for key, layers in groups.items())


def _summary(key: tuple[str, int, str, str | None, int], layers: list[LayerMeasured]) -> LayerSummary:
    sound = np.array([one.kl for one in layers if one.kl is not None and not one.degenerate], dtype=float)
    return LayerSummary(
        *key,
        kl_mean=float(sound.mean()) if sound.size else None,
        kl_sd=float(sound.std(ddof=1)) if sound.size > 1 else None,
        n=int(sound.size),
        degenerate=sum(one.degenerate for one in layers),
    )


_LAYER_KEYS = (
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
)


def measurements(snapshot: Snapshot) -> dict[str, Any]:
    """Return the JSON document of `show --json`."""
    return {
        "id": snapshot.id,
        "name": snapshot.name,
        "state": snapshot.state,
        "settings": snapshot.plan.settings.model_dump(mode="json"),
        "machine": _machine(snapshot),
        "networks": [_network(snapshot, state) for state in snapshot.networks.values()],
        "summary": [{name: getattr(one, name) for name in LayerSummary.__slots__} for one in summarise(snapshot)],
        "statistics": {},
    }


def _machine(snapshot: Snapshot) -> dict[str, Any] | None:
    return snapshot.machine.model_dump(mode="json", exclude={"kind", "at"}) if snapshot.machine else None


def _network(snapshot: Snapshot, state: NetworkState) -> dict[str, Any]:
    network = state.network
    layers = [(layer, measured) for layer in range(network.depth + 1) if (measured := snapshot.layer(network, layer))]
    return {
        "dataset": network.dataset,
        "depth": network.depth,
        "activation": network.activation,
        "run": network.run,
        "control": network.control,
        "status": state.status,
        "epochs": state.epochs,
        "train_accuracy": state.train_accuracy,
        "test_accuracy": state.test_accuracy,
        "layers": [
            {"layer": layer, "units": measured.units, **{key: getattr(measured, key) for key in _LAYER_KEYS}}
            for layer, measured in layers
        ],
    }


_CSV_NETWORK = (
    "dataset",
    "depth",
    "activation",
    "run",
    "control",
    "status",
    "epochs",
    "train_accuracy",
    "test_accuracy",
)
_CSV_LAYER = ("layer", "units", *(key for key in _LAYER_KEYS if key != "restart_kls"))


def csv_table(snapshot: Snapshot) -> str:
    """Return `show --csv`: one line a measured layer, with its network's columns before it."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow((*_CSV_NETWORK, *_CSV_LAYER))
    for network in measurements(snapshot)["networks"]:
        for layer in network["layers"]:
            writer.writerow((*(network[key] for key in _CSV_NETWORK), *(layer[key] for key in _CSV_LAYER)))
    return buffer.getvalue()
