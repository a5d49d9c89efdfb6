"""Means over runs, and a study's measurements as JSON (the contract of `show --json`)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from embcx_tui.analysis.selection import Selection, select
from embcx_tui.analysis.statistics import as_record, interval, statistics
from embcx_tui.store.snapshot import NetworkState, Snapshot
from embcx_tui.study.events import LayerMeasured
from embcx_tui.study.plan import Architecture, Network
from embcx_tui.study.settings import SCORE_METHOD


@dataclass(frozen=True, slots=True)
class LayerSummary:
    """One layer of one architecture over its runs.

    `kl_mean` and `kl_sd` (sample standard deviation; None below two) are over the `n` runs with a sound score;
    `degenerate` runs are counted apart and never enter the mean.
    """

    architecture: Architecture
    layer: int
    kl_mean: float | None
    kl_sd: float | None
    n: int
    degenerate: int

    @property
    def kl_interval(self) -> tuple[float, float] | None:
        """The 95 % t-interval of the mean over runs; None below two. Loads scipy, so it is made when asked for."""
        return interval(self.kl_mean, self.kl_sd, self.n)


def summarise(snapshot: Snapshot, exclude_chance: bool = False) -> tuple[LayerSummary, ...]:
    """Return a summary of every layer of every architecture that has a measurement, in the plan's order."""
    return summarise_selection(select(snapshot, exclude_chance))


def summarise_selection(selection: Selection) -> tuple[LayerSummary, ...]:
    """Return the summaries of what a selection lets enter."""
    found: list[LayerSummary] = []
    for architecture, networks in selection.architectures().items():
        for layer in range(architecture.depth + 1):
            measured = [one for network in networks if (one := selection.layer(network, layer))]
            if measured:
                found.append(_summary(architecture, layer, measured))
    return tuple(found)


def _summary(architecture: Architecture, layer: int, layers: list[LayerMeasured]) -> LayerSummary:
    sound = np.array([one.kl for one in layers if one.kl is not None and not one.degenerate], dtype=float)
    return LayerSummary(
        architecture,
        layer,
        kl_mean=float(sound.mean()) if sound.size else None,
        kl_sd=float(sound.std(ddof=1)) if sound.size > 1 else None,
        n=int(sound.size),
        degenerate=sum(one.degenerate for one in layers),
    )


def summary_record(one: LayerSummary) -> dict[str, Any]:
    """Return a summary as the contract has it, with its interval."""
    low, high = one.kl_interval or (None, None)
    return {**as_record(one), "kl_ci_low": low, "kl_ci_high": high}


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
)


def measurements(snapshot: Snapshot, exclude_chance: bool = False) -> dict[str, Any]:
    """Return the JSON document of `show --json`.

    `networks` holds every network, also those left out of `summary` and `statistics`. A network's `layers` are its
    t-SNE scores; `methods` the embeddings of other methods, which have no KL; `earlier` the scores after earlier
    epochs.
    """
    selection = select(snapshot, exclude_chance)
    return {
        "id": snapshot.id,
        "name": snapshot.name,
        "state": snapshot.state,
        "settings": snapshot.plan.settings.model_dump(mode="json"),
        "machine": snapshot.machine.model_dump(mode="json", exclude={"kind", "at"}) if snapshot.machine else None,
        "networks": network_records(selection),
        "summary": [summary_record(one) for one in summarise_selection(selection)],
        "statistics": statistics(selection),
    }


def network_records(selection: Selection) -> list[dict[str, Any]]:
    """Return every network with its layers as the contract has them, also those left out."""
    return [_network(selection, state) for state in selection.snapshot.networks.values()]


def _network(selection: Selection, state: NetworkState) -> dict[str, Any]:
    network, snapshot = state.network, selection.snapshot
    layers = [(layer, measured) for layer in range(network.depth + 1) if (measured := snapshot.layer(network, layer))]
    return {
        "id": network.id,
        "dataset": network.dataset,
        "depth": network.depth,
        "activation": network.activation,
        "run": network.run,
        "control": network.control,
        "status": state.status,
        "at_chance": state.at_chance,
        "left_out": network.id in selection.left_out,
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
    }


def other_methods(snapshot: Snapshot, network: Network) -> list[tuple[int, LayerMeasured]]:
    """Return (layer, embedding) of a network's layers by all methods but t-SNE, layer by layer."""
    methods = [method for method in snapshot.plan.settings.measure.methods if method != SCORE_METHOD]
    found = ((layer, snapshot.layer(network, layer, m)) for layer in range(network.depth + 1) for m in methods)
    return [(layer, measured) for layer, measured in found if measured]


def earlier(snapshot: Snapshot, network: Network) -> list[tuple[int, int, LayerMeasured]]:
    """Return (epoch, layer, score) of a network's hidden layers measured before the last epoch."""
    found = [
        (epoch, layer, one)
        for layer, name in enumerate(network.layer_ids())
        if layer
        for epoch in snapshot.plan.epochs
        if (one := snapshot.earlier.get((name, epoch)))
    ]
    return sorted(found, key=lambda entry: entry[:2])


# The numbers everybody knows, in this order; others follow.
QUALITY = ("trustworthiness", "continuity", "knn_2d")

Means = dict[str, dict[tuple[str, int], float]]


def quality_means(selection: Selection, networks: tuple[Network, ...]) -> Means:
    """Return, for each quality number, its mean over the networks that enter, by (method, layer).

    Degenerate layers never enter, whatever the method: the plane of equal rows says nothing of it.
    """
    found: dict[str, dict[tuple[str, int], list[float]]] = {name: defaultdict(list) for name in QUALITY}
    for network in networks:
        for layer in range(network.depth + 1):
            scored = selection.layer(network, layer)
            if scored is not None and scored.degenerate:
                continue
            for method in selection.snapshot.plan.settings.measure.methods:
                measured = selection.layer(network, layer, method)
                for name, value in (measured.quality if measured else {}).items():
                    if value is not None:
                        found.setdefault(name, defaultdict(list))[method, layer].append(value)
    return {
        name: {place: sum(values) / len(values) for place, values in cells.items()}
        for name, cells in found.items()
        if cells
    }
