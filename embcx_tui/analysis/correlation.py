"""Complexity of the last hidden layer against test accuracy, over the trained networks of a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from embcx_tui.analysis.selection import Selection
from embcx_tui.analysis.statistics import RESAMPLES, bootstrap_rho, spearman
from embcx_tui.study.plan import Network
from embcx_tui.study.seeds import stream_seed

# Below this a rank correlation is a list of a few possible values: 3 points have 6 orders.
_LEAST_NETWORKS = 4
# A bootstrap of fewer clusters has so few different resamples that its interval covers too seldom, and often ends at
# the estimate itself (docs/statistics.md has the simulation).
LEAST_ARCHITECTURES, LEAST_FOR_INTERVAL = 6, 8


@dataclass(frozen=True, slots=True)
class Relation:
    """Complexity of the last hidden layer against test accuracy over all trained networks of one dataset.

    `rho` is Spearman's rank correlation over `n` networks of `architectures` (depth, activation). `rho_low`,
    `rho_high` are its 95 % interval: bootstrap percentiles that resample whole architectures and, crossed with them,
    whole runs, because the runs of an architecture are alike and the networks of a run share sample and minibatches
    (Owen 2007; it covers at least as often as it says). None below six architectures or eight networks, with
    `interval_reason`. `rho_within` is ρ of the deviations from each architecture's means, `rho_between` ρ of those
    means.

    `cluster_low`, `cluster_high` resample architectures alone and `ci_low`, `ci_high` networks as if they were
    independent: kept for those who read them; the latter covers two times in three. `reason` says why numbers are
    missing.
    """

    dataset: str
    n: int
    architectures: int
    rho: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    cluster_low: float | None = None
    cluster_high: float | None = None
    resamples: int = 0
    reason: str | None = None
    rho_low: float | None = None
    rho_high: float | None = None
    interval_reason: str | None = None
    rho_within: float | None = None
    rho_between: float | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """One network of a relation: complexity of its last hidden layer (nats) and its test accuracy (0 … 1)."""

    network: Network
    complexity: float
    accuracy: float
    at_chance: bool


def points(selection: Selection, dataset: str) -> tuple[Point, ...]:
    """Return the trained networks (true labels) of `dataset` that have a sound last layer and an accuracy."""
    found = []
    for state in selection.snapshot.networks.values():
        network = state.network
        if network.dataset != dataset or network.control:
            continue
        score = selection.score(network, network.depth)
        if score is not None and state.test_accuracy is not None:
            found.append(Point(network, score, state.test_accuracy, state.at_chance))
    return tuple(found)


def relations(selection: Selection) -> tuple[Relation, ...]:
    """Return the relation of each dataset that has such networks."""
    plan = selection.snapshot.plan
    found = []
    for dataset in plan.settings.data.datasets:
        known = points(selection, dataset)
        if known:
            # A stream of its own, as everything random: the same study gives the same interval.
            loaded = selection.snapshot.datasets.get(dataset)
            key = (loaded and loaded.stream_key) or dataset
            seed = stream_seed(plan.settings.machine.seed, key, 0, "bootstrap")
            found.append(_relation(dataset, known, seed))
    return tuple(found)


def _relation(dataset: str, known: Sequence[Point], seed: int) -> Relation:
    x = np.array([point.complexity for point in known])
    y = np.array([point.accuracy for point in known])
    architecture = _numbered([(point.network.depth, point.network.activation) for point in known])
    run = _numbered([point.network.run for point in known])
    count = int(architecture.max()) + 1
    relation = Relation(dataset, len(known), count)
    if len(known) < _LEAST_NETWORKS:
        return replace(relation, reason=f"fewer than {_LEAST_NETWORKS} networks ({len(known)})")
    rho = _rho(x, y)
    if rho is None:
        return replace(relation, reason="all networks have the same complexity or the same accuracy")
    x_means, y_means = _means(x, architecture), _means(y, architecture)
    relation = replace(
        relation,
        rho=rho,
        rho_within=_rho(x - x_means[architecture], y - y_means[architecture]) if len(known) > count else None,
        rho_between=_rho(x_means, y_means) if count >= _LEAST_NETWORKS else None,
    )
    if count < LEAST_ARCHITECTURES:
        return replace(relation, interval_reason=f"no interval below {LEAST_ARCHITECTURES} architectures ({count})")
    if len(known) < LEAST_FOR_INTERVAL:
        return replace(relation, interval_reason=f"no interval below {LEAST_FOR_INTERVAL} networks ({len(known)})")
    low, high = bootstrap_rho(x, y, (architecture, run), seed)
    cluster_low, cluster_high = bootstrap_rho(x, y, (architecture,), seed)
    ci_low, ci_high = bootstrap_rho(x, y, (np.arange(len(x)),), seed)
    return replace(
        relation,
        rho_low=low,
        rho_high=high,
        cluster_low=cluster_low,
        cluster_high=cluster_high,
        ci_low=ci_low,
        ci_high=ci_high,
        resamples=RESAMPLES,
    )


def _numbered(keys: Sequence[object]) -> NDArray[np.int64]:
    """Return for each key the number of its value, 0 … k − 1 in order of appearance."""
    order = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([order[key] for key in keys], dtype=np.int64)


def _means(values: NDArray[np.float64], group: NDArray[np.int64]) -> NDArray[np.float64]:
    means: NDArray[np.float64] = np.bincount(group, values) / np.bincount(group)
    return means


def _rho(x: NDArray[np.float64], y: NDArray[np.float64]) -> float | None:
    """Return Spearman's ρ of `x` and `y` [n]; None where one is constant."""
    rho = float(spearman(x[None], y[None])[0])
    return rho if np.isfinite(rho) else None
