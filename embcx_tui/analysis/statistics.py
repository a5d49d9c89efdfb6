"""Intervals, Page's trend test over runs, and complexity against test accuracy.

All of it is over one selection: degenerate layers and diverged networks never enter (`analysis.selection`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcx_tui.analysis.selection import Selection
from embcx_tui.study.plan import Architecture, Network
from embcx_tui.study.seeds import stream_seed

CONFIDENCE = 0.95
# Percentile intervals move in the second to third decimal from seed to seed at this number; 0.5 s for 280 networks.
RESAMPLES = 2_000
# Below this a rank correlation has no interval worth the name: 3 points have 6 orders.
_LEAST_NETWORKS = 4
# What page_trend_test asks for: fewer orders would not tell a trend from a coin.
_LEAST_RUNS, _LEAST_LAYERS = 2, 3


def interval(mean: float | None, sd: float | None, n: int) -> tuple[float, float] | None:
    """Return the two-sided 95 % interval of a mean: mean ± t(0.975, n − 1) · sd / √n; None below two values.

    Student 1908: for independent, about normal values; here the runs of one architecture. `sd` has n − 1 below it.
    """
    if mean is None or sd is None or n < 2:
        return None
    from scipy.special import stdtrit

    half = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * sd / math.sqrt(n)
    return mean - half, mean + half


@dataclass(frozen=True, slots=True)
class Trend:
    """Page's test of one architecture for "complexity decreases from the input to the last hidden layer".

    Over the `runs` with a sound score of every layer; `runs_left_out` lack one. `statistic` is Page's L, `p_value`
    one-sided for the decrease, `p_increase` for the opposite, `p_holm` the first after Holm's correction over all
    tests of its kind in the study (the trained networks', or one control's), `method` how they were computed. `effect`
    is L rescaled to −1 … 1, the mean rank correlation of the runs with a strict decrease. `first_break`: the first
    layer whose mean is not below that of the layer before; None where each is (or nothing is known: no `runs`).
    `reason` says why numbers are missing.
    """

    architecture: Architecture
    runs: tuple[int, ...]
    runs_left_out: tuple[int, ...]
    statistic: float | None = None
    p_value: float | None = None
    p_increase: float | None = None
    p_holm: float | None = None
    method: str | None = None
    effect: float | None = None
    first_break: int | None = None
    reason: str | None = None


def trends(selection: Selection) -> tuple[Trend, ...]:
    """Return the trend of every architecture that has a measured hidden layer, in the plan's order."""
    found = [
        _trend(selection, architecture, networks)
        for architecture, networks in selection.architectures().items()
        if any(selection.snapshot.layer(one, layer) for one in networks for layer in range(1, one.depth + 1))
    ]
    adjusted: dict[Architecture, float | None] = {}
    for control in dict.fromkeys(one.architecture.control for one in found):
        family = [one for one in found if one.architecture.control == control]
        p_values = holm([one.p_value for one in family])
        adjusted |= {one.architecture: p for one, p in zip(family, p_values, strict=True)}
    return tuple(replace(one, p_holm=adjusted[one.architecture]) for one in found)


def _trend(selection: Selection, architecture: Architecture, networks: Sequence[Network]) -> Trend:
    scores = {one.run: [selection.score(one, layer) for layer in range(one.depth + 1)] for one in networks}
    whole = {run: row for run, row in scores.items() if None not in row}
    trend = Trend(architecture, tuple(whole), tuple(run for run in scores if run not in whole))
    matrix = np.array(list(whole.values()), dtype=np.float64).reshape(len(whole), architecture.depth + 1)
    if len(whole):
        trend = replace(trend, first_break=first_break(matrix.mean(0)))
    if len(whole) < _LEAST_RUNS:
        missing = f"; {len(scores) - len(whole)} of {len(scores)} lack a layer" if trend.runs_left_out else ""
        words = f"fewer than {_LEAST_RUNS} runs with a sound score of every layer"
        return replace(trend, reason=f"{words} ({len(whole)}{missing})")
    if matrix.shape[1] < _LEAST_LAYERS:
        return replace(trend, reason=f"fewer than {_LEAST_LAYERS} layers with the input ({matrix.shape[1]})")
    statistic, p_value, p_increase, method = page(matrix)
    effect = page_effect(statistic, *matrix.shape)
    return replace(
        trend, statistic=statistic, p_value=p_value, p_increase=p_increase, method=method, effect=effect
    )  # fmt: skip


def page(matrix: NDArray[np.float64]) -> tuple[float, float, float, str]:
    """Return Page's L of `matrix` [runs, layers] for a decrease, its one-sided p, that of an increase, and the method.

    Page 1963: with ranks R within each run (average ranks for ties) and the predicted rank of layer j being
    k − j (the input has the highest complexity), L = Σ_j (k − j) Σ_i R_ij. p is exact (the distribution of L when
    every order within a run is equally likely) up to 8 layers and 12 runs (3 layers: 20), else from the normal
    approximation; with ties the exact p is that of the next smaller L, so it never claims too much.
    """
    from scipy.stats import page_trend_test

    layers = matrix.shape[1]
    falling = page_trend_test(matrix, predicted_ranks=np.arange(layers, 0, -1))
    rising = page_trend_test(matrix, predicted_ranks=np.arange(1, layers + 1))
    return float(falling.statistic), float(falling.pvalue), float(rising.pvalue), str(falling.method)


def page_effect(statistic: float, runs: int, layers: int) -> float:
    """Return Page's L rescaled to −1 … 1: 12 L / (m k (k² − 1)) − 3 (k + 1) / (k − 1), m runs, k layers.

    Page 1963: the average of the runs' Spearman correlations with the predicted order (exactly so without
    ties). 1: every run falls at every layer; 0: no trend; −1: every run rises at every layer.
    """
    return 12 * statistic / (runs * layers * (layers**2 - 1)) - 3 * (layers + 1) / (layers - 1)


def first_break(means: Sequence[float] | NDArray[np.float64]) -> int | None:
    """Return the first layer (1 …) whose mean is not below the mean of the layer before; None where each is."""
    return next((layer for layer in range(1, len(means)) if not means[layer] < means[layer - 1]), None)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values corrected for their number, None staying None: Holm 1979, step-down, monotone, at most 1."""
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for order, (p, place) in enumerate(known):
        highest = max(highest, min((len(known) - order) * p, 1.0))
        adjusted[place] = highest
    return adjusted


@dataclass(frozen=True, slots=True)
class Relation:
    """Complexity of the last hidden layer against test accuracy over all trained networks of one dataset.

    `rho` is Spearman's rank correlation over `n` networks of `architectures` (depth, activation). Two 95 % bootstrap
    percentile intervals (Efron & Tibshirani 1993, chapter 13): `ci_low`, `ci_high` resample networks as if they were
    independent, `cluster_low`, `cluster_high` resample whole architectures with all their runs (Davison & Hinkley 1997,
    section 3.8). The runs of an architecture are alike, so the second is the honest one for "another architecture";
    None below two architectures. `reason` says why numbers are missing.
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
            seed = stream_seed(plan.settings.machine.seed, dataset, 0, "bootstrap")
            found.append(_relation(dataset, known, seed))
    return tuple(found)


def _relation(dataset: str, known: Sequence[Point], seed: int) -> Relation:
    x = np.array([one.complexity for one in known])
    y = np.array([one.accuracy for one in known])
    keys = [(one.network.depth, one.network.activation) for one in known]
    order = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    relation = Relation(dataset, len(known), len(order))
    if len(known) < _LEAST_NETWORKS:
        return replace(relation, reason=f"fewer than {_LEAST_NETWORKS} networks ({len(known)})")
    rho = spearman(x[None], y[None])[0]
    if not np.isfinite(rho):
        return replace(relation, reason="all networks have the same complexity or the same accuracy")
    by_network, by_architecture = bootstrap(x, y, np.array([order[key] for key in keys]), seed)
    return replace(
        relation,
        rho=float(rho),
        ci_low=by_network[0],
        ci_high=by_network[1],
        cluster_low=by_architecture[0] if by_architecture else None,
        cluster_high=by_architecture[1] if by_architecture else None,
        resamples=RESAMPLES,
    )


def spearman(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Spearman's ρ [rows] of the rows of `x` and `y` [rows, n]; NaN where one is constant.

    Spearman 1904: Pearson's r of the ranks, average ranks for ties.
    """
    from scipy.stats import rankdata

    a, b = (rankdata(one, axis=-1) - (one.shape[-1] + 1) / 2 for one in (x, y))
    below = np.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        rho: NDArray[np.float64] = np.where(below > 0, (a * b).sum(-1) / below, np.nan)
    return np.clip(rho, -1.0, 1.0)


def bootstrap(
    x: NDArray[np.float64], y: NDArray[np.float64], cluster: NDArray[np.int64], seed: int
) -> tuple[tuple[float, float], tuple[float, float] | None]:
    """Return percentile intervals of ρ of `x`, `y` [n]: resampling rows, and resampling whole clusters (0 … k − 1).

    Resamples in which a variable is constant have no ρ and are drawn in vain. The second is None for one cluster.
    """
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, len(x), (RESAMPLES, len(x)))
    by_row = _percentiles(spearman(x[rows], y[rows]))
    members = [np.flatnonzero(cluster == one) for one in np.unique(cluster)]
    if len(members) < 2:
        return by_row, None
    drawn = []
    for chosen in rng.integers(0, len(members), (RESAMPLES, len(members))):
        picked = np.concatenate([members[one] for one in chosen])
        drawn.append(picked)
    # Resamples of one size at once: a call each takes forty times as long.
    sizes = {len(one) for one in drawn}
    alike = (np.array([one for one in drawn if len(one) == size]) for size in sizes)
    rhos = np.concatenate([spearman(x[rows], y[rows]) for rows in alike])
    return by_row, _percentiles(rhos)


def _percentiles(rhos: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.nanquantile(rhos, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def statistics(selection: Selection) -> dict[str, Any]:
    """Return what `show --json` says under "statistics"."""
    snapshot = selection.snapshot
    degenerate = sorted(f"{layer} ({method})" for (layer, method), one in snapshot.measured.items() if one.degenerate)
    return {
        "exclude_chance": selection.exclude_chance,
        "confidence": CONFIDENCE,
        "left_out": {
            "diverged": list(selection.diverged),
            "at_chance": list(selection.at_chance) if selection.exclude_chance else [],
            "degenerate": degenerate,
            "failed": sorted(f"{layer} ({method})" for layer, method in snapshot.failed),
        },
        "at_chance": list(selection.at_chance),
        "trend": [as_record(one) for one in trends(selection)],
        "accuracy": [as_record(one) for one in relations(selection)],
    }


def as_record(result: Any) -> dict[str, Any]:
    """Return a slotted dataclass as the JSON contract has it: its fields by name, an architecture as its four."""
    fields: dict[str, Any] = {}
    for name in type(result).__slots__:
        value = getattr(result, name)
        if isinstance(value, Architecture):
            fields |= value._asdict()
        else:
            fields[name] = list(value) if isinstance(value, tuple) else value
    return fields
