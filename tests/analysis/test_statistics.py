"""Each statistic against another implementation, a closed form or a published example."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from statistics import mean, stdev

import numpy as np
import pytest
import scipy.stats

from embcx_tui.analysis.selection import select
from embcx_tui.analysis.statistics import (
    bootstrap,
    first_break,
    holm,
    interval,
    page,
    page_effect,
    points,
    relations,
    spearman,
    statistics,
    trends,
)
from embcx_tui.analysis.summary import summarise
from embcx_tui.store.snapshot import Snapshot
from tests import small_study
from tests.small_study import complexity


def test_the_interval_is_students() -> None:
    # Gosset's sleep data (Student 1908, differences): mean 1.58, t interval 0.70 … 2.46, as every textbook has it.
    hours = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
    low, high = interval(mean(hours), stdev(hours), 10) or (0.0, 0.0)
    assert (round(low, 2), round(high, 2)) == (0.70, 2.46)
    expected = scipy.stats.t.interval(0.95, 9, mean(hours), scipy.stats.sem(hours))
    assert (low, high) == pytest.approx(expected)
    assert interval(1.0, None, 1) is None and interval(None, None, 0) is None


def test_page_against_the_distribution_counted_by_hand() -> None:
    # Two runs of three layers: all 6 × 6 pairs of orders, counted.
    orders = list(itertools.permutations((1, 2, 3)))
    weights = np.array([3, 2, 1])
    every = [int(weights @ a + weights @ b) for a in orders for b in orders]
    for a, b in itertools.product(orders, orders):
        statistic, falls, rises, method = page(np.array([a, b], dtype=float))
        assert method == "exact" and statistic == weights @ a + weights @ b
        assert falls == pytest.approx(sum(one >= statistic for one in every) / 36)
        assert rises == pytest.approx(sum(one <= statistic for one in every) / 36)


def test_page_against_the_example_of_scipys_documentation() -> None:
    # Tutorial, lecture and seminar as 10 students rated them; predicted: tutorial < lecture < seminar. Turned round.
    rated = np.array(
        [[3, 4, 3], [2, 2, 4], [3, 3, 5], [1, 3, 2], [2, 3, 2], [2, 4, 5], [1, 2, 4], [3, 4, 4], [2, 4, 5], [1, 3, 4]],
        dtype=float,
    )[:, [0, 2, 1]]
    reversed_data = rated[:, ::-1]
    expected = scipy.stats.page_trend_test(rated)
    statistic, p_value, _, _ = page(reversed_data)
    assert statistic == pytest.approx(expected.statistic) and p_value == pytest.approx(expected.pvalue)


def test_the_effect_is_the_runs_mean_spearman() -> None:
    rng = np.random.default_rng(0)
    for runs, layers in ((2, 3), (5, 6), (4, 8)):
        matrix = rng.random((runs, layers))
        effect = page_effect(page(matrix)[0], runs, layers)
        each = [scipy.stats.spearmanr(row, -np.arange(layers)).statistic for row in matrix]
        assert effect == pytest.approx(np.mean(each))
    falling = np.tile([3.0, 2.0, 1.0], (4, 1))
    assert page_effect(page(falling)[0], 4, 3) == pytest.approx(1)
    assert page_effect(page(-falling)[0], 4, 3) == pytest.approx(-1)


def test_ties_share_their_rank_and_claim_no_trend() -> None:
    statistic, falls, rises, _ = page(np.ones((3, 4)))
    assert page_effect(statistic, 3, 4) == pytest.approx(0)
    assert falls > 0.4 and rises > 0.4


def test_the_first_layer_that_breaks_the_trend() -> None:
    assert first_break([1.0, 0.8, 0.5]) is None
    assert first_break([1.0, 0.8, 0.8, 0.9]) == 2
    assert first_break([1.0, 1.1, 0.2]) == 1


def test_holm_by_hand() -> None:
    # Holm 1979: 0.01, 0.02, 0.03, 0.04 -> 0.04, 0.06, 0.06, 0.06.
    assert holm([0.04, 0.01, None, 0.03, 0.02]) == pytest.approx([0.06, 0.04, None, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == []


def test_spearman_against_scipy_with_ties() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 6, (2, 5, 20)).astype(float)
    expected = [scipy.stats.spearmanr(a, b).statistic for a, b in zip(x, y, strict=True)]
    assert spearman(x, y) == pytest.approx(expected)
    assert math.isnan(spearman(np.ones((1, 4)), np.arange(4.0)[None])[0])


def test_the_bootstrap_against_scipys_and_the_clusters_against_their_means() -> None:
    rng = np.random.default_rng(2)
    x = rng.random(60)
    y = -x + rng.normal(0, 0.3, 60)
    by_row, by_cluster = bootstrap(x, y, np.arange(60), 3)
    expected = scipy.stats.bootstrap(
        (x, y),
        lambda a, b: scipy.stats.spearmanr(a, b).statistic,
        paired=True,
        vectorized=False,
        n_resamples=2_000,
        method="percentile",
        rng=np.random.default_rng(4),
    ).confidence_interval
    assert by_row == pytest.approx(tuple(expected), abs=0.03)
    # Clusters of one are rows; five copies of each row hold no more than the row itself.
    assert by_cluster == pytest.approx(by_row, abs=0.03)
    copied, honest = bootstrap(np.repeat(x, 5), np.repeat(y, 5), np.repeat(np.arange(60), 5), 3)
    assert honest == pytest.approx(by_row, abs=0.03)
    assert copied[1] - copied[0] < 0.6 * (by_row[1] - by_row[0])
    assert bootstrap(x, y, np.zeros(60, dtype=np.int64), 3)[1] is None
    assert bootstrap(x, y, np.arange(60), 3) == (by_row, by_cluster)


def test_a_study_that_falls_and_its_controls_that_rise() -> None:
    found = {one.architecture[2:]: one for one in trends(select(small_study.write().snapshot))}
    trained, untrained = found["relu", None], found["relu", "untrained"]
    assert (trained.runs, trained.runs_left_out, trained.first_break) == ((0, 1, 2), (), None)
    # Three runs, each in the one order of 720 that falls throughout.
    assert trained.p_value == pytest.approx(720.0**-3) and trained.effect == pytest.approx(1)
    assert trained.p_holm == pytest.approx(2 * 720.0**-3)
    assert untrained.effect == pytest.approx(-1) and untrained.p_increase == pytest.approx(720.0**-3)
    assert untrained.p_value == pytest.approx(1) and untrained.first_break == 1


def test_what_cannot_be_tested_says_why() -> None:
    study = small_study.write(
        skip=frozenset({"mnist-d5-relu-r1-l4"}),
        degenerate=frozenset({"mnist-d5-relu-r0-l5", "mnist-d5-logsig-r0-l1"}),
    )
    found = {one.architecture[2:]: one for one in trends(select(study.snapshot))}
    relu, logsig = found["relu", None], found["logsig", None]
    assert relu.p_value is None and relu.effect is None and relu.runs == (2,) and relu.runs_left_out == (0, 1)
    assert relu.reason == "fewer than 2 runs with a sound score of every layer (1; 2 of 3 lack a layer)"
    assert relu.first_break is None
    assert logsig.reason is None and logsig.runs == (1, 2) and logsig.p_value == pytest.approx(720.0**-2)
    shallow = small_study.write(small_study.settings(depths=[1], runs=2))
    assert {one.reason for one in trends(select(shallow.snapshot))} == {"fewer than 3 layers with the input (2)"}


def _at_chance(snapshot: Snapshot, *names: str) -> Snapshot:
    """Give each network an accuracy that falls with its run, and `names` the accuracy of chance."""
    trained = {
        name: one.model_copy(update={"test_accuracy": 0.1 if name in names else 0.97 - 0.01 * int(name[-1:])})
        for name, one in snapshot.trained.items()
        if name[-1:].isdigit()
    }
    datasets = {name: one.model_copy(update={"chance": 0.1, "n_test": 1000}) for name, one in snapshot.datasets.items()}
    return replace(snapshot, trained={**snapshot.trained, **trained}, datasets=datasets)


def test_networks_at_chance_enter_unless_asked_otherwise_and_are_named_either_way() -> None:
    snapshot = _at_chance(small_study.write().snapshot, "mnist-d5-relu-r1")
    kept, without = select(snapshot), select(snapshot, exclude_chance=True)
    assert kept.at_chance == without.at_chance == ("mnist-d5-relu-r1",)
    assert not kept.left_out and without.left_out == {"mnist-d5-relu-r1"}
    assert "1 network at chance (included" in kept.words and "left out, as asked" in without.words

    def summary(exclude: bool) -> list[tuple[float | None, int]]:
        return [
            (one.kl_mean, one.n)
            for one in summarise(snapshot, exclude)
            if one.architecture.activation == "relu" and one.architecture.control is None
        ]

    assert [n for _, n in summary(False)] == [3] * 6
    # The input goes with its network: a mean's layers belong to the same runs.
    expected = [np.mean([complexity(layer, run, False) for run in (0, 2)]) for layer in range(6)]
    assert [value for value, _ in summary(True)] == pytest.approx(expected)
    assert [n for _, n in summary(True)] == [2] * 6
    assert len(points(kept, "mnist")) == 6 and len(points(without, "mnist")) == 5
    said = statistics(without)
    assert said["exclude_chance"] and said["left_out"]["at_chance"] == ["mnist-d5-relu-r1"]
    assert statistics(kept)["left_out"]["at_chance"] == [] and statistics(kept)["at_chance"] == ["mnist-d5-relu-r1"]


def test_complexity_against_accuracy_over_all_networks() -> None:
    snapshot = _at_chance(small_study.write(diverged=frozenset({"mnist-d5-logsig-r2"})).snapshot)
    (one,) = relations(select(snapshot))
    assert (one.n, one.architectures, one.reason) == (5, 2, None)
    # Higher runs are made to be more complex and less accurate.
    assert one.rho == pytest.approx(-1) and one.ci_low == pytest.approx(-1)
    assert relations(select(snapshot)) == (one,)


def test_too_few_or_equal_networks_have_no_correlation() -> None:
    (equal,) = relations(select(small_study.write().snapshot))
    assert equal.rho is None and "the same accuracy" in str(equal.reason)
    few = small_study.write(small_study.settings(activations=["relu"]))
    (one,) = relations(select(few.snapshot))
    assert one.rho is None and one.reason == "fewer than 4 networks (3)"


def test_diverged_networks_never_enter() -> None:
    snapshot = small_study.write(diverged=frozenset({"mnist-d5-relu-r2"})).snapshot
    counts = {(*s.architecture[2:], s.layer): s.n for s in summarise(snapshot)}
    assert counts["relu", None, 0] == counts["relu", None, 5] == 2
    assert counts["relu", "untrained", 0] == counts["logsig", None, 0] == 3
    assert statistics(select(snapshot))["left_out"]["diverged"] == ["mnist-d5-relu-r2"]
