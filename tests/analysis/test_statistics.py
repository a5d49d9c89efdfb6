"""Each statistic against another implementation, a closed form or a published example."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from statistics import mean, stdev

import numpy as np
import pytest
import scipy.stats

from embcx_tui.analysis.correlation import points, relations
from embcx_tui.analysis.json_csv import statistics_record
from embcx_tui.analysis.selection import select
from embcx_tui.analysis.statistics import (
    bootstrap_rho,
    holm,
    page,
    page_effect,
    sign_test,
    slopes,
    spearman,
    t_interval,
)
from embcx_tui.analysis.summary import summarise
from embcx_tui.analysis.trend import Trend, control_differences, first_break, layer_differences, trends
from embcx_tui.store.snapshot import Snapshot, is_at_chance
from tests import small_study
from tests.small_study import complexity


def test_the_interval_is_students() -> None:
    # Gosset's sleep data (Student 1908, differences): mean 1.58, t interval 0.70 … 2.46, as every textbook has it.
    hours = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
    low, high = t_interval(mean(hours), stdev(hours), 10) or (0.0, 0.0)
    assert (round(low, 2), round(high, 2)) == (0.70, 2.46)
    expected = scipy.stats.t.interval(0.95, 9, mean(hours), scipy.stats.sem(hours))
    assert (low, high) == pytest.approx(expected)
    assert t_interval(1.0, None, 1) is None and t_interval(None, None, 0) is None


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


def test_the_sign_test_is_the_binomial_one() -> None:
    for values in ([-1.0, -2.0, -0.1, -3.0, -1.0], [-1.0, 1.0, -1.0], [1.0, 2.0], [-1.0, 0.0, 0.0]):
        nonzero = [value for value in values if value]
        falling = sum(value < 0 for value in nonzero)
        expected = scipy.stats.binomtest(falling, len(nonzero), alternative="greater").pvalue
        assert sign_test(values) == pytest.approx(expected)
    # Five runs of one sign: 1/32, the least that five runs can give.
    assert sign_test([-1.0] * 5) == 1 / 32 and sign_test([0.0]) is None and sign_test([]) is None


def test_slopes_are_those_of_a_least_squares_fit() -> None:
    matrix = np.random.default_rng(5).random((4, 6))
    assert slopes(matrix) == pytest.approx([scipy.stats.linregress(np.arange(6), row).slope for row in matrix])


def test_the_bootstrap_of_rows_against_scipys() -> None:
    rng = np.random.default_rng(2)
    x = rng.random(60)
    y = -x + rng.normal(0, 0.3, 60)
    by_row = bootstrap_rho(x, y, (np.arange(60),), 3)
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
    # The same seed gives the same interval; five copies of each row hold no more than the row itself.
    assert bootstrap_rho(x, y, (np.arange(60),), 3) == by_row
    copies = np.repeat(np.arange(60), 5)
    assert bootstrap_rho(x[copies], y[copies], (copies,), 3) == pytest.approx(by_row, abs=0.03)


def test_crossed_factors_are_resampled_as_a_product() -> None:
    # Owen's pigeonhole bootstrap, written the long way: draw architectures, draw runs, take the cells of the product.
    rng = np.random.default_rng(6)
    x, y = rng.random((2, 7, 4))
    y += x
    row, column = np.divmod(np.arange(28), 4)
    found = bootstrap_rho(x.ravel(), y.ravel(), (row, column), 1)
    rhos = []
    for _ in range(4_000):
        rows, columns = rng.integers(0, 7, 7), rng.integers(0, 4, 4)
        cells = np.ix_(rows, columns)
        rhos.append(scipy.stats.spearmanr(x[cells].ravel(), y[cells].ravel()).statistic)
    assert found == pytest.approx(tuple(np.nanquantile(rhos, [0.025, 0.975])), abs=0.04)
    # Runs that share something make the interval wider than architectures alone do.
    alone = bootstrap_rho(x.ravel(), y.ravel(), (row,), 1)
    assert found[1] - found[0] > alone[1] - alone[0]


def test_a_study_that_falls_and_its_controls_that_rise() -> None:
    found = {one.architecture[2:]: one for one in trends(select(small_study.write().snapshot))}
    trained, untrained = found["relu", None], found["relu", "untrained"]
    assert (trained.runs, trained.runs_left_out, trained.first_break) == ((0, 1, 2), (), None)
    # Three runs, each in the one order of 720 that falls throughout.
    assert trained.p_value == pytest.approx(720.0**-3) and trained.effect == pytest.approx(1)
    assert trained.p_holm == pytest.approx(2 * 720.0**-3)
    assert untrained.effect == pytest.approx(-1) and untrained.p_increase == pytest.approx(720.0**-3)
    assert untrained.p_value == pytest.approx(1) and untrained.first_break == 1
    assert untrained.p_increase_holm == pytest.approx(2 * 720.0**-3)
    # The run is the unit: three runs of one sign have p = 1/8, whatever Page's test says.
    assert trained.run_effects == pytest.approx((1, 1, 1)) and (trained.runs_falling, trained.runs_rising) == (3, 0)
    assert (trained.sign_p, trained.sign_p_increase, untrained.sign_p_increase) == (1 / 8, 1, 1 / 8)
    # Runs that are all alike leave no interval of the effect; the one of the slope is a t-interval over runs.
    assert trained.effect_ci_low is None and trained.effect_ci_high is None
    per_run = [-0.11 * (1 + 0.01 * (run - 1)) for run in range(3)]
    half = scipy.stats.t.ppf(0.975, 2) * stdev(per_run) / math.sqrt(3)
    assert trained.slope == pytest.approx(-0.11)
    assert (trained.slope_ci_low, trained.slope_ci_high) == pytest.approx((-0.11 - half, -0.11 + half))


def test_the_effects_interval_is_that_of_the_runs_correlations() -> None:
    rng = np.random.default_rng(7)
    matrix = rng.random((5, 6)) - 0.15 * np.arange(6)
    trend = _trend_of(matrix)
    each = [scipy.stats.spearmanr(row, -np.arange(6)).statistic for row in matrix]
    low, high = scipy.stats.t.interval(0.95, 4, mean(each), scipy.stats.sem(each))
    assert trend.run_effects == pytest.approx(each) and trend.effect == pytest.approx(mean(each))
    assert (trend.effect_ci_low, trend.effect_ci_high) == pytest.approx((low, high))


def _trend_of(matrix: np.ndarray) -> Trend:
    """Return the trend of a study of one architecture that has these complexities [runs, layers]."""
    runs, layers = matrix.shape
    study = small_study.write(small_study.settings(depths=[layers - 1], activations=["relu"], runs=runs)).snapshot
    scores = {
        (name, "tsne"): study.measured[name, "tsne"].model_copy(update={"kl": float(matrix[run, layer])})
        for network in study.plan.networks
        if network.control is None
        for run in [network.run]
        for layer, name in enumerate(network.layer_ids())
    }
    (trend,) = (one for one in trends(select(replace(study, measured=scores))) if one.architecture.control is None)
    return trend


def test_differences_are_taken_within_the_runs() -> None:
    selection = select(small_study.write().snapshot)
    by_layer = {(one.architecture[2:], one.layer): one for one in layer_differences(selection)}
    by_control = {(one.architecture[2:], one.layer): one for one in control_differences(selection)}
    assert set(by_control) == {((name, "untrained"), layer) for name in ("relu", "logsig") for layer in range(1, 6)}
    for layer in range(1, 6):
        step = by_layer[("relu", None), layer]
        runs = [complexity(layer, run, False) - complexity(layer - 1, run, False) for run in range(3)]
        assert (step.n, step.runs_below, step.sign_p) == (3, 3, 1 / 8)
        assert (step.difference, step.sd) == pytest.approx((mean(runs), stdev(runs)))
        paired = by_control[("relu", "untrained"), layer]
        runs = [complexity(layer, run, False) - complexity(layer, run, True) for run in range(3)]
        low, high = scipy.stats.t.interval(0.95, 2, mean(runs), scipy.stats.sem(runs))
        assert (paired.difference, paired.ci_low, paired.ci_high) == pytest.approx((mean(runs), low, high))
    # A paired interval needs both of a pair: without run 1's control two pairs are left.
    gone = frozenset({"mnist-d5-relu-r1-untrained-l3"})
    few = control_differences(select(small_study.write(skip=gone).snapshot))
    assert [one.n for one in few if one.architecture.activation == "relu"] == [3, 3, 2, 3, 3]


def test_what_cannot_be_tested_says_why() -> None:
    study = small_study.write(
        skip=frozenset({"mnist-d5-relu-r1-l4"}),
        degenerate=frozenset({"mnist-d5-relu-r0-l5", "mnist-d5-logsig-r0-l1"}),
    )
    found = {one.architecture[2:]: one for one in trends(select(study.snapshot))}
    relu, logsig = found["relu", None], found["logsig", None]
    assert relu.p_value is None and relu.effect is None and relu.runs == (2,) and relu.runs_left_out == (0, 1)
    assert relu.reason == (
        "fewer than 2 runs with a sound score of every layer (1; 1 of 3 have a degenerate layer; 1 of 3 lack a layer)"
    )
    assert relu.first_break is None
    assert logsig.reason is None and logsig.runs == (1, 2) and logsig.p_value == pytest.approx(720.0**-2)
    shallow = small_study.write(small_study.settings(depths=[1], runs=2))
    assert {one.reason for one in trends(select(shallow.snapshot))} == {"fewer than 3 layers with the input (2)"}


def test_networks_left_out_as_asked_do_not_lack_a_layer() -> None:
    snapshot = _at_chance(small_study.write().snapshot, *(f"mnist-d5-relu-r{run}" for run in range(3)))
    found = {one.architecture[2:]: one for one in trends(select(snapshot, exclude_chance=True))}
    assert found["relu", None].reason == (
        "fewer than 2 runs with a sound score of every layer (0; 3 of 3 at chance, left out as asked)"
    )


def test_a_network_with_a_degenerate_layer_is_left_out_of_the_means_whole() -> None:
    selection = select(small_study.write(degenerate=frozenset({"mnist-d5-relu-r0-l3"})).snapshot)
    assert selection.degenerate == {"mnist-d5-relu-r0"} and "1 network with a degenerate layer" in selection.words
    rows = [one for one in summarise(selection.snapshot) if one.architecture[2:] == ("relu", None)]
    assert [one.n for one in rows] == [2] * 6 and [one.degenerate for one in rows] == [0, 0, 0, 1, 0, 0]
    expected = [np.mean([complexity(layer, run, False) for run in (1, 2)]) for layer in range(6)]
    assert [one.kl_mean for one in rows] == pytest.approx(expected)


def _at_chance(snapshot: Snapshot, *names: str) -> Snapshot:
    """Give each network an accuracy that falls with its run, and `names` the accuracy of chance."""
    trained = {
        name: one.model_copy(update={"test_accuracy": 0.1 if name in names else 0.97 - 0.01 * int(name[-1:])})
        for name, one in snapshot.trained.items()
        if name[-1:].isdigit()
    }
    datasets = {name: one.model_copy(update={"chance": 0.1, "n_test": 1000}) for name, one in snapshot.datasets.items()}
    return replace(snapshot, trained={**snapshot.trained, **trained}, datasets=datasets)


def test_a_network_that_did_not_train_is_told_from_one_that_does_not_generalise() -> None:
    # Chance is 0.1: 1,000 test inputs allow 0.128, the training inputs of the small study no more.
    names = ("mnist-d5-relu-r0", "mnist-d5-relu-r1", "mnist-d5-logsig-r0")
    snapshot = _at_chance(small_study.write().snapshot, *names)
    learnt = {names[0]: 0.1, names[1]: 0.99, names[2]: None}
    trained = {
        name: one.model_copy(update={"train_accuracy": learnt.get(name, one.train_accuracy)})
        for name, one in snapshot.trained.items()
    }
    states = replace(snapshot, trained=trained).networks
    assert [states[name].flaw for name in names] == ["did not train", "does not generalise", "did not train"]
    assert states["mnist-d5-relu-r2"].flaw is None and not states["mnist-d5-relu-r2"].at_chance


@pytest.mark.parametrize(("share", "n"), [(0.1, 1_000), (0.1135, 10_000), (0.5, 104)])
def test_a_network_is_at_chance_within_three_standard_errors_of_the_largest_class(share: float, n: int) -> None:
    data = next(iter(small_study.write().snapshot.datasets.values())).model_copy(update={"chance": share, "n_test": n})
    bound = share + 3 * math.sqrt(share * (1 - share) / n)
    assert is_at_chance(bound - 1e-9, data) and not is_at_chance(bound + 1e-9, data)
    assert is_at_chance(0.0, data) and not is_at_chance(None, data)
    assert not is_at_chance(0.0, data.model_copy(update={"chance": None}))


def test_those_with_one_flaw_are_left_out_alone() -> None:
    names = ("mnist-d5-relu-r0", "mnist-d5-relu-r1", "mnist-d5-logsig-r0")
    snapshot = _at_chance(small_study.write().snapshot, *names)
    trained = dict(snapshot.trained)
    trained[names[0]] = trained[names[0]].model_copy(update={"train_accuracy": 0.1})
    snapshot = replace(snapshot, trained=trained)
    for flaw, gone in (("did not train", {names[0]}), ("does not generalise", {names[1], names[2]})):
        selection = select(snapshot, flaw)  # type: ignore[arg-type]  # one of its two flaws
        assert selection.left_out == gone == set(selection.excluded) and set(selection.at_chance) == set(names)
        found = {p.network.id for p in points(selection, "mnist")}
        assert len(found) == 6 - len(gone) and found.isdisjoint(gone)


def test_summaries_have_mean_and_sample_standard_deviation_of_the_runs() -> None:
    for one in summarise(small_study.write().snapshot):
        control = one.architecture.control is not None and one.layer > 0
        runs = [complexity(one.layer, run, control) for run in range(3)]
        assert one.n == 3 and one.kl_mean == pytest.approx(mean(runs))
        # By the standard library: the sum of squares over n - 1.
        assert one.kl_sd == pytest.approx(stdev(runs)) and one.kl_sd
    (alone, *_) = summarise(small_study.write(small_study.settings(runs=1)).snapshot)
    assert alone.n == 1 and alone.kl_sd is None and alone.kl_interval is None


def test_networks_at_chance_enter_unless_asked_otherwise_and_are_named_either_way() -> None:
    snapshot = _at_chance(small_study.write().snapshot, "mnist-d5-relu-r1")
    kept, without = select(snapshot), select(snapshot, exclude_chance=True)
    assert kept.at_chance == without.at_chance == ("mnist-d5-relu-r1",)
    assert not kept.left_out and without.left_out == {"mnist-d5-relu-r1"}
    assert "1 network at chance: 1 does not generalise (included" in kept.words
    assert "1 network at chance: 1 does not generalise (left out, as asked)" in without.words

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
    said = statistics_record(without)
    assert said["exclude_chance"] and said["left_out"]["at_chance"] == ["mnist-d5-relu-r1"]
    assert statistics_record(kept)["left_out"]["at_chance"] == [] and statistics_record(kept)["at_chance"] == [
        "mnist-d5-relu-r1"
    ]


def _grid(depths: int, runs: int, seed: int = 0) -> Snapshot:
    """Return a study of depths × two activations × runs with accuracies of its own."""
    asked = small_study.settings(depths=list(range(1, depths + 1)), runs=runs)
    snapshot = small_study.write(asked).snapshot
    rng = np.random.default_rng(seed)
    trained = {
        name: one.model_copy(update={"test_accuracy": 0.9 + 0.05 * rng.random()})
        for name, one in snapshot.trained.items()
    }
    return replace(snapshot, trained=trained)


def test_complexity_against_accuracy_over_all_networks() -> None:
    snapshot = _grid(3, 3)
    (one,) = relations(select(snapshot))
    known = points(select(snapshot), "mnist")
    x, y = np.array([p.complexity for p in known]), np.array([p.accuracy for p in known])
    assert (one.n, one.architectures, one.reason, one.interval_reason) == (18, 6, None, None)
    assert x == pytest.approx([complexity(p.network.depth, p.network.run, False) for p in known])
    assert one.rho == pytest.approx(scipy.stats.spearmanr(x, y).statistic)
    keys = [(p.network.depth, p.network.activation) for p in known]
    means = {key: tuple(v[[k == key for k in keys]].mean() for v in (x, y)) for key in keys}
    inside = scipy.stats.spearmanr(
        [a - means[key][0] for a, key in zip(x, keys, strict=True)],
        [b - means[key][1] for b, key in zip(y, keys, strict=True)],
    ).statistic
    assert one.rho_within == pytest.approx(inside)
    assert one.rho_between == pytest.approx(scipy.stats.spearmanr(*np.array(list(means.values())).T).statistic)
    assert one.rho and one.rho_low and one.rho_high and one.rho_low < one.rho < one.rho_high
    assert relations(select(snapshot)) == (one,)


def test_there_is_no_interval_below_six_architectures() -> None:
    # The audit's case: fig2 with one run, four networks, rho = -1.00 and an "interval" of -1.00 to -1.00.
    for depths, runs, words in (
        (2, 3, "no interval below 6 architectures (4)"),
        (3, 1, "no interval below 8 networks (6)"),
    ):
        (one,) = relations(select(_grid(depths, runs)))
        assert one.rho is not None and one.interval_reason == words
        for low, high in ((one.rho_low, one.rho_high), (one.cluster_low, one.cluster_high), (one.ci_low, one.ci_high)):
            assert low is None and high is None


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
    assert statistics_record(select(snapshot))["left_out"]["diverged"] == ["mnist-d5-relu-r2"]
