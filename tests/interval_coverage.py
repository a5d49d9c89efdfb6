"""How often the 95 % intervals that the program prints cover the truth, by simulation; not a test.

    python -m tests.interval_coverage [--simulations 1000] [--seed 0]

Every interval is made by the program's own functions from made-up studies whose truth is known. The table that it
prints stands in docs/statistics.md.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from embcx_tui.analysis.statistics import bootstrap_rho, spearman, t_interval
from embcx_tui.analysis.trend import Trend, tested
from embcx_tui.study.plan import Architecture

Matrix = NDArray[np.float64]
Interval = tuple[float | None, float | None]


class Row(NamedTuple):
    name: str
    covers: float
    """The share of intervals that hold the truth."""
    printed: float
    """The share of studies that have the interval at all."""


# How neighbouring layers of a run depend on each other: a factor from one layer's deviation to the next.
DEPENDENCE = {"none": 0.0, "AR(1), 0.7": 0.7, "random walk": 1.0}
# Spread over runs of a layer's complexity in nats, as measured on MNIST.
SPREAD = 0.02


def complexities(rng: np.random.Generator, runs: int, layers: int, fall: float, dependence: float) -> Matrix:
    """Return made-up complexities [runs, layers] whose mean falls by `fall` nats per layer."""
    noise = rng.normal(0, SPREAD, (runs, layers))
    for layer in range(1, layers):
        noise[:, layer] += dependence * noise[:, layer - 1]
    return 1.0 - fall * np.arange(layers) + noise


def coverage(intervals: Sequence[Interval], truth: float) -> tuple[float, float]:
    """Return the share of intervals that hold `truth`, among those that exist, and the share that exist."""
    known = [(low, high) for low, high in intervals if low is not None and high is not None]
    return sum(low <= truth <= high for low, high in known) / max(len(known), 1), len(known) / len(intervals)


def trend_rows(rng: np.random.Generator, simulations: int) -> Iterator[Row]:
    for runs, layers, (name, dependence), fall in product((3, 5), (4, 6, 8), DEPENDENCE.items(), (0.0, 0.01, 0.03)):
        draw = partial(complexities, rng, runs, layers, fall, dependence)
        found = [
            tested(Trend(Architecture("mnist", layers - 1, "relu", None), (), ()), draw()) for _ in range(simulations)
        ]
        many = complexities(rng, 100_000, layers, fall, dependence)
        effect = float(spearman(many, np.broadcast_to(-np.arange(float(layers)), many.shape)).mean())
        where = f"{runs} runs, {layers} layers, {name}, {fall:g} nats per layer"
        yield Row(f"slope: {where}", *coverage([(one.slope_ci_low, one.slope_ci_high) for one in found], -fall))
        yield Row(f"effect: {where}", *coverage([(one.effect_ci_low, one.effect_ci_high) for one in found], effect))


def mean_rows(rng: np.random.Generator, simulations: int) -> Iterator[Row]:
    """Means over runs and paired differences: the same interval of other numbers."""
    draws: dict[str, tuple[Callable[[int], Matrix], float]] = {
        "normal": (lambda n: rng.normal(0, 1, n), 0.0),
        "skewed (lognormal, σ = 0.5)": (lambda n: rng.lognormal(0, 0.5, n), math.exp(0.125)),
    }
    for (name, (draw, truth)), n in product(draws.items(), (2, 3, 5, 10)):
        samples = [draw(n) for _ in range(simulations)]
        found = [t_interval(float(one.mean()), float(one.std(ddof=1)), n) or (None, None) for one in samples]
        yield Row(f"mean and paired difference: {n} runs, {name}", *coverage(found, truth))


def rho_rows(rng: np.random.Generator, simulations: int) -> Iterator[Row]:
    """Complexity and accuracy of architectures × 5 runs, correlated alike between architectures, runs and networks."""
    shares = {"nothing": (0.6, 0.0, 0.4), "20 %": (0.5, 0.2, 0.3), "40 %": (0.3, 0.4, 0.3)}
    for (share, parts), r, count in product(shares.items(), (0.0, -0.53), (6, 8, 12, 28)):
        architecture, run = np.divmod(np.arange(count * 5), 5)
        found: list[Interval] = []
        for _ in range(max(simulations // 5, 1)):
            x, y = np.zeros((2, count, 5))
            for part, size in zip(parts, ((count, 1), (1, 5), (count, 5)), strict=True):
                a, b = rng.standard_normal((2, *size)) * math.sqrt(part)
                x, y = x + a, y + r * a + math.sqrt(1 - r * r) * b
            found.append(bootstrap_rho(x.ravel(), y.ravel(), (architecture, run), int(rng.integers(2**31))))
        truth = 6 / math.pi * math.asin(r / 2)  # Spearman's ρ of two normal variables whose Pearson's r is r
        where = f"{count} architectures × 5 runs, ρ = {truth:.2f}, runs share {share}"
        yield Row(f"ρ: {where}", *coverage(found, truth))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    rng = np.random.default_rng(asked.seed)
    print("| interval | covers | printed |\n| :-- | --: | --: |")
    for rows in (mean_rows, trend_rows, rho_rows):
        for row in rows(rng, asked.simulations):
            print(f"| {row.name} | {row.covers:.3f} | {row.printed:.2f} |", flush=True)


if __name__ == "__main__":
    main()
