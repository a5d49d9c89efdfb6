"""How often the 95 % intervals that the program prints cover the truth, by simulation; not a test.

    python -m tests.interval_coverage [--simulations 1000] [--seed 0]

Every interval is made by the program's own functions from made-up studies whose truth is known. The table that it
prints stands in docs/statistics.md.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from embcx_tui.analysis.statistics import bootstrap_rho, spearman, t_interval
from embcx_tui.analysis.trend import Trend, tested
from embcx_tui.study.plan import Architecture

Matrix = NDArray[np.float64]
Interval = tuple[float | None, float | None]
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


def coverage(simulations: int, one: Callable[[], Interval], truth: float) -> tuple[float, float]:
    """Return the share of intervals that hold `truth`, among those that exist, and the share that exist."""
    found = [interval for interval in (one() for _ in range(simulations)) if interval[0] is not None]
    hits = sum(low is not None and high is not None and low <= truth <= high for low, high in found)
    return hits / max(len(found), 1), len(found) / simulations


def trend_rows(rng: np.random.Generator, simulations: int) -> Iterator[tuple[str, float, float]]:
    for runs in (3, 5):
        for layers in (4, 6, 8):
            for name, dependence in DEPENDENCE.items():
                for fall in (0.0, 0.01, 0.03):
                    many = complexities(rng, 100_000, layers, fall, dependence)
                    decrease = np.broadcast_to(-np.arange(float(layers)), many.shape)
                    effect = float(spearman(many, decrease).mean())

                    def trend(*shape: float, runs: int = runs) -> Trend:
                        layers, fall, dependence = shape
                        empty = Trend(Architecture("mnist", int(layers) - 1, "relu", None), (), ())
                        return tested(empty, complexities(rng, runs, int(layers), fall, dependence))

                    shape = (layers, fall, dependence)
                    where = f"{runs} runs, {layers} layers, {name}, {fall:g} nats per layer"
                    slopes = coverage(simulations, lambda s=shape, t=trend: _slope(t(*s)), -fall)  # type: ignore[misc]
                    yield f"slope: {where}", *slopes
                    effects = coverage(simulations, lambda s=shape, t=trend: _effect(t(*s)), effect)  # type: ignore[misc]
                    yield f"effect: {where}", *effects


def _slope(trend: Trend) -> Interval:
    return trend.slope_ci_low, trend.slope_ci_high


def _effect(trend: Trend) -> Interval:
    return trend.effect_ci_low, trend.effect_ci_high


def mean_rows(rng: np.random.Generator, simulations: int) -> Iterator[tuple[str, float, float]]:
    """Means over runs and paired differences are the same interval of other numbers."""
    draws: dict[str, tuple[Callable[[int], Matrix], float]] = {
        "normal": (lambda n: rng.normal(0, 1, n), 0.0),
        "skewed (lognormal, σ = 0.5)": (lambda n: rng.lognormal(0, 0.5, n), math.exp(0.125)),
    }
    for name, (draw, truth) in draws.items():
        for n in (2, 3, 5, 10):

            def one(draw: Callable[[int], Matrix] = draw, n: int = n) -> Interval:
                values = draw(n)
                return t_interval(float(values.mean()), float(values.std(ddof=1)), n) or (None, None)

            yield f"mean and paired difference: {n} runs, {name}", *coverage(simulations, one, truth)


def rho_rows(rng: np.random.Generator, simulations: int) -> Iterator[tuple[str, float, float]]:
    """Complexity and accuracy of architectures × 5 runs, correlated alike between architectures, runs and networks."""
    shares = {"runs share nothing": (0.6, 0.0, 0.4), "runs share 20 %": (0.5, 0.2, 0.3), "40 %": (0.3, 0.4, 0.3)}
    for share, parts in shares.items():
        for r in (0.0, -0.53):
            for architectures in (6, 8, 12, 28):
                sizes = ((architectures, 1), (1, 5), (architectures, 5))
                row, column = np.divmod(np.arange(architectures * 5), 5)

                def one(sizes: tuple[tuple[int, int], ...] = sizes, r: float = r, groups: tuple[NDArray[np.int64], ...] = (row, column), parts: tuple[float, ...] = parts) -> Interval:  # fmt: skip
                    x, y = np.zeros((2, *sizes[2]))
                    for part, size in zip(parts, sizes, strict=True):
                        a, b = rng.normal(size=(2, *size)) * math.sqrt(part)
                        x, y = x + a, y + r * a + math.sqrt(1 - r * r) * b
                    return bootstrap_rho(x.ravel(), y.ravel(), groups, int(rng.integers(2**31)))

                truth = 6 / math.pi * math.asin(r / 2)  # Spearman's ρ of two normal variables with Pearson's r
                where = f"{architectures} architectures × 5 runs, ρ = {truth:.2f}, {share}"
                yield f"ρ: {where}", *coverage(max(simulations // 5, 1), one, truth)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    rng = np.random.default_rng(asked.seed)
    print("| interval | covers | printed |\n| :-- | --: | --: |")
    for rows in (mean_rows, trend_rows, rho_rows):
        for name, covers, printed in rows(rng, asked.simulations):
            print(f"| {name} | {covers:.3f} | {printed:.2f} |", flush=True)


if __name__ == "__main__":
    main()
