"""Means over runs: the complexity of every layer, and the quality of every embedding."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from embcx_tui.analysis.selection import Exclusion, Selection, degenerate_layers, select
from embcx_tui.analysis.statistics import t_interval
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.plan import Architecture, Network


class _OfLayer(Protocol):
    @property
    def architecture(self) -> Architecture: ...
    @property
    def layer(self) -> int: ...


T = TypeVar("T", bound=_OfLayer)


def by_architecture(found: Iterable[T]) -> dict[Architecture, dict[int, T]]:
    """Return what was found of single layers by architecture, and there by layer."""
    groups: dict[Architecture, dict[int, T]] = {}
    for one in found:
        groups.setdefault(one.architecture, {})[one.layer] = one
    return groups


@dataclass(frozen=True, slots=True)
class LayerSummary:
    """One layer of one architecture over its runs.

    `kl_mean` and `kl_sd` (sample standard deviation; None below two) are over the `n` runs with a sound score;
    `degenerate` counts the runs in which this very layer is degenerate; they never enter the mean.
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
        return t_interval(self.kl_mean, self.kl_sd, self.n)


def summarise(snapshot: Snapshot, exclude_chance: Exclusion = False) -> tuple[LayerSummary, ...]:
    """Return a summary of every layer of every architecture that has a measurement, in the plan's order."""
    return summarise_selection(select(snapshot, exclude_chance))


def summarise_selection(selection: Selection) -> tuple[LayerSummary, ...]:
    """Return the summaries of what a selection lets enter."""
    found: list[LayerSummary] = []
    for architecture, networks in selection.architectures().items():
        flawed = {
            network.id: degenerate_layers(selection.snapshot, network)
            for network in networks
            if network.id in selection.degenerate
        }
        for layer in networks[0].layers:
            measured = any(selection.layer(network, layer) for network in networks)
            degenerate = sum(layer in flawed.get(network.id, ()) for network in networks)
            if measured or degenerate:
                scores = [score for network in networks if (score := selection.score(network, layer)) is not None]
                found.append(_summary(architecture, layer, scores, degenerate))
    return tuple(found)


def _summary(architecture: Architecture, layer: int, scores: list[float], degenerate: int) -> LayerSummary:
    return LayerSummary(
        architecture,
        layer,
        kl_mean=float(np.mean(scores)) if scores else None,
        kl_sd=float(np.std(scores, ddof=1)) if len(scores) > 1 else None,
        n=len(scores),
        degenerate=degenerate,
    )


# The numbers everybody knows, in this order; others follow.
QUALITY = ("trustworthiness", "continuity", "knn_2d")

Means = dict[str, dict[tuple[str, int], float]]


def quality_means(selection: Selection, networks: tuple[Network, ...]) -> Means:
    """Return, for each quality number, its mean over the networks that enter, by (method, layer).

    Networks with a degenerate layer never enter, whatever the method: the plane of equal rows says nothing of it.
    """
    found: dict[str, dict[tuple[str, int], list[float]]] = {name: defaultdict(list) for name in QUALITY}
    for network in filter(selection.enters, networks):
        for layer in network.layers:
            for method in selection.snapshot.plan.settings.measure.methods:
                measured = selection.layer(network, layer, method)
                for name, value in (measured.quality if measured else {}).items():
                    if value is not None:
                        found.setdefault(name, defaultdict(list))[method, layer].append(value)
    return {
        name: {key: sum(values) / len(values) for key, values in cells.items()}
        for name, cells in found.items()
        if cells
    }
