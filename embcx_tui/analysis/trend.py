"""Does complexity fall from layer to layer, and do trained networks differ from their controls? The run is the unit.

All of it is over one selection: degenerate layers and diverged networks never enter (`analysis.selection`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from embcx_tui.analysis.selection import Selection
from embcx_tui.analysis.statistics import holm, page, page_effect, sign_test, slopes, spearman, t_interval
from embcx_tui.study.plan import Architecture, Network

# What page_trend_test asks for: fewer orders would not tell a trend from a coin.
_LEAST_RUNS, _LEAST_LAYERS = 2, 3


@dataclass(frozen=True, slots=True)
class Trend:
    """Whether complexity falls from the input to the last hidden layer of one architecture.

    Over the `runs` with a sound score of every layer; `runs_left_out` lack one. A run is the unit: `run_effects` holds
    each run's Spearman correlation with a strict decrease (−1 … 1), `effect` their mean (Page's L rescaled),
    `effect_ci_low` and `effect_ci_high` its 95 % t-interval (None where all runs are alike: nothing to estimate it
    from). `slope` is the mean over runs of the least-squares change of KL per layer (nats), with its t-interval.
    `runs_falling` and `runs_rising` count the signs of `run_effects`; `sign_p` and `sign_p_increase` are the exact
    one-sided p-values of so many of one sign: 2⁻ᵐ at the least with m runs.

    Page's test takes the layers of a run for exchangeable, which they are not: `statistic` is its L, `p_value`
    one-sided for the decrease, `p_increase` for the opposite, `p_holm` and `p_increase_holm` after Holm's correction
    over all tests of their kind in the study (the trained networks', or one control's), `method` how they were
    computed. `first_break`: the first layer whose mean is not below that of the layer before; None where each is (or
    nothing is known: no `runs`). `reason` says why numbers are missing.
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
    run_effects: tuple[float, ...] = ()
    effect_ci_low: float | None = None
    effect_ci_high: float | None = None
    slope: float | None = None
    slope_ci_low: float | None = None
    slope_ci_high: float | None = None
    runs_falling: int | None = None
    runs_rising: int | None = None
    sign_p: float | None = None
    sign_p_increase: float | None = None
    p_increase_holm: float | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean over `n` runs of a difference of complexities (nats) that is taken within each run, at one layer.

    Between layers: KL of the layer less that of the layer before. Between a network and its control: trained less
    control, which share the sample, the initial weights and the minibatches (a held-out control: the final weights,
    but not the sample). `sd` has n − 1 below it; `ci_low`,
    `ci_high` are the 95 % t-interval, for this layer alone; `runs_below` counts the negative differences and `sign_p`
    is the exact one-sided p that so many are.
    """

    architecture: Architecture
    layer: int
    difference: float
    sd: float | None
    n: int
    ci_low: float | None
    ci_high: float | None
    runs_below: int
    sign_p: float | None


def trends(selection: Selection) -> tuple[Trend, ...]:
    """Return the trend of every architecture that has a measured hidden layer, in the plan's order."""
    found = [
        _trend(selection, architecture, networks)
        for architecture, networks in selection.architectures().items()
        if any(
            selection.snapshot.layer(network, layer) for network in networks for layer in range(1, network.depth + 1)
        )
    ]
    corrected: dict[Architecture, tuple[float | None, float | None]] = {}
    for control in dict.fromkeys(trend.architecture.control for trend in found):
        family = [trend for trend in found if trend.architecture.control == control]
        falls, rises = holm([trend.p_value for trend in family]), holm([trend.p_increase for trend in family])
        corrected |= {trend.architecture: p for trend, *p in zip(family, falls, rises, strict=True)}  # type: ignore[misc]
    return tuple(
        replace(trend, p_holm=corrected[trend.architecture][0], p_increase_holm=corrected[trend.architecture][1])
        for trend in found
    )


def _trend(selection: Selection, architecture: Architecture, networks: Sequence[Network]) -> Trend:
    scores = {network.run: selection.scores(network) for network in networks}
    whole = {run: row for run, row in scores.items() if None not in row}
    trend = Trend(architecture, tuple(whole), tuple(run for run in scores if run not in whole))
    first = networks[0].first_layer
    matrix = np.array(list(whole.values()), dtype=np.float64).reshape(len(whole), architecture.depth + 1 - first)
    if len(whole) and (broken := first_break(matrix.mean(0))):
        trend = replace(trend, first_break=broken + first)
    if len(whole) < _LEAST_RUNS:
        absent = Counter(selection.absence(network) for network in networks if network.run not in whole)
        words = (f"{count} of {len(scores)} {what}" for what, count in absent.items())
        counts = "; ".join([str(len(whole)), *words])
        return replace(trend, reason=f"fewer than {_LEAST_RUNS} runs with a sound score of every layer ({counts})")
    if matrix.shape[1] < _LEAST_LAYERS:
        return replace(
            trend, reason=f"fewer than {_LEAST_LAYERS} layers{' with the input' * (first == 0)} ({matrix.shape[1]})"
        )
    return tested(trend, matrix)


def tested(trend: Trend, matrix: NDArray[np.float64]) -> Trend:
    """Return `trend` with the tests of complexities `matrix` [runs, layers]."""
    statistic, p_value, p_increase, method = page(matrix)
    effects = spearman(matrix, np.broadcast_to(-np.arange(matrix.shape[1], dtype=np.float64), matrix.shape))
    effects = np.nan_to_num(effects)  # a run whose layers are all equal has no trend
    slope = slopes(matrix)
    effect_low, effect_high = _interval(effects)
    slope_low, slope_high = _interval(slope)
    return replace(
        trend,
        statistic=statistic,
        p_value=p_value,
        p_increase=p_increase,
        method=method,
        effect=page_effect(statistic, *matrix.shape),
        run_effects=tuple(effects.tolist()),
        effect_ci_low=effect_low,
        effect_ci_high=effect_high,
        slope=float(slope.mean()),
        slope_ci_low=slope_low,
        slope_ci_high=slope_high,
        runs_falling=int((effects > 0).sum()),
        runs_rising=int((effects < 0).sum()),
        sign_p=sign_test(-effects),
        sign_p_increase=sign_test(effects),
    )


def first_break(means: Sequence[float] | NDArray[np.float64]) -> int | None:
    """Return the place (1 …) of the first mean that is not below the one before; None where each is."""
    return next((layer for layer in range(1, len(means)) if not means[layer] < means[layer - 1]), None)


def layer_differences(selection: Selection) -> tuple[Difference, ...]:
    """Return, for each architecture and hidden layer, the change of complexity from the layer before."""
    return tuple(
        difference
        for architecture, networks in selection.architectures().items()
        for layer in range(1, architecture.depth + 1)
        if (
            difference := _difference(
                architecture, layer, ((network, layer, network, layer - 1) for network in networks), selection
            )
        )
    )


def control_differences(selection: Selection) -> tuple[Difference, ...]:
    """Return, for each control and hidden layer, the complexity of the trained networks less that of the control.

    `architecture` is the control's.
    """
    groups = selection.architectures()
    found = []
    for architecture, controls in groups.items():
        if architecture.control is None:
            continue
        trained = {network.run: network for network in groups.get(architecture._replace(control=None), ())}
        for layer in range(1, architecture.depth + 1):
            pairs = ((trained[one.run], layer, one, layer) for one in controls if one.run in trained)
            if difference := _difference(architecture, layer, pairs, selection):
                found.append(difference)
    return tuple(found)


def _difference(
    architecture: Architecture,
    layer: int,
    pairs: Iterable[tuple[Network, int, Network, int]],
    selection: Selection,
) -> Difference | None:
    """Return the difference over the pairs (network, layer, less network, layer) of which both have a sound score."""
    values = [
        a - b
        for network, upper, other, lower in pairs
        if (a := selection.score(network, upper)) is not None and (b := selection.score(other, lower)) is not None
    ]
    if not values:
        return None
    differences = np.array(values)
    low, high = _interval(differences)
    sd = float(differences.std(ddof=1)) if len(values) > 1 else None
    below = int((differences < 0).sum())
    return Difference(
        architecture, layer, float(differences.mean()), sd, len(values), low, high, below, sign_test(differences)
    )


def _interval(values: NDArray[np.float64]) -> tuple[float | None, float | None]:
    """Return the t-interval of the mean of `values`; none where all are equal, which tells nothing of their spread."""
    if len(values) < 2 or np.ptp(values) == 0:
        return None, None
    return t_interval(float(values.mean()), float(values.std(ddof=1)), len(values)) or (None, None)
