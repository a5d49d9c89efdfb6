"""Studies compared: differences and intervals against scipy's, and when runs are paired."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from embcx_tui.analysis.comparison import Comparison, caveats, compare, comparison_table, distinct_names
from embcx_tui.analysis.statistics import t_interval, welch_interval
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.events import LayerMeasured
from tests import small_study

Key = tuple[str, str]


def changed(snapshot: Snapshot, seed: int, *, without: int | None = None) -> Snapshot:
    """Return a study whose scores differ by noise of their own; without a run, if told."""
    rng = np.random.default_rng(seed)

    def events() -> Iterator[tuple[Key, LayerMeasured]]:
        for key, one in snapshot.measured.items():
            if one.run != without and one.kl is not None:
                yield key, one.model_copy(update={"kl": one.kl + float(rng.normal(0.1, 0.05))})

    measured: Mapping[Key, LayerMeasured] = dict(events())
    return replace(snapshot, id="z" * 10, measured=measured)


def reseeded(snapshot: Snapshot) -> Snapshot:
    settings = snapshot.plan.settings
    machine = settings.machine.model_copy(update={"seed": 5})
    plan = replace(snapshot.plan, settings=settings.model_copy(update={"machine": machine}))
    return replace(snapshot, plan=plan)


def values(snapshot: Snapshot, architecture: object, layer: int) -> dict[int, float]:
    found = {}
    for network in snapshot.plan.networks:
        one = snapshot.layer(network, layer)
        if network.architecture == architecture and one and one.kl is not None:
            found[network.run] = one.kl
    return found


@pytest.mark.parametrize("sizes", [(3, 3), (5, 9), (2, 12)])
def test_welchs_interval_is_scipys(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(sum(sizes))
    a, b = rng.normal(0.5, 0.1, sizes[0]), rng.normal(0.7, 0.4, sizes[1])
    theirs = stats.ttest_ind(b, a, equal_var=False).confidence_interval(0.95)
    assert welch_interval(a.tolist(), b.tolist()) == pytest.approx((theirs.low, theirs.high), rel=1e-9)


def test_welchs_interval_without_spread_or_without_runs() -> None:
    assert welch_interval([1.0, 1.0], [3.0, 3.0, 3.0]) == (2.0, 2.0)
    assert welch_interval([1.0], [2.0, 3.0]) is None and welch_interval([1.0, 2.0], []) is None
    # Equal sizes and variances: Welch's is the pooled interval, with 2 (n - 1) degrees of freedom.
    half = stats.t.ppf(0.975, 2) * np.sqrt(2 * 0.5 / 2)
    assert welch_interval([0.0, 1.0], [4.0, 5.0]) == pytest.approx((4 - half, 4 + half))


def test_runs_of_one_seed_and_sample_are_paired_and_the_interval_is_scipys() -> None:
    first = small_study.write().snapshot
    other = changed(first, 1)
    comparison = compare([first, other])
    assert comparison.paired == (True,) and comparison.differences
    for one in comparison.differences:
        a, b = (values(snapshot, one.architecture, one.layer) for snapshot in (first, other))
        theirs = stats.ttest_rel([b[run] for run in a], list(a.values())).confidence_interval(0.95)
        assert (one.ci_low, one.ci_high) == pytest.approx((theirs.low, theirs.high))
        assert one.difference == pytest.approx(np.mean(list(b.values())) - np.mean(list(a.values())))
        assert (one.n, one.n_first) == (3, 3)


def test_paired_runs_are_those_that_both_have() -> None:
    first = small_study.write().snapshot
    comparison = compare([first, changed(first, 2, without=1)])
    assert {(one.n, one.paired) for one in comparison.differences} == {(2, True)}


def test_runs_of_other_seeds_or_samples_are_not_paired() -> None:
    first = small_study.write().snapshot
    other = reseeded(changed(first, 3, without=0))
    drawn = {
        key: one.model_copy(update={"file": one.file.model_copy(update={"sha256": "0" * 64})})
        for key, one in first.samples.items()
    }
    for one_like in (other, replace(changed(first, 3, without=0), samples=drawn)):
        comparison = compare([first, one_like])
        assert comparison.paired == (False,)
        for one in comparison.differences:
            a, b = (list(values(snapshot, one.architecture, one.layer).values()) for snapshot in (first, one_like))
            theirs = stats.ttest_ind(b, a, equal_var=False).confidence_interval(0.95)
            assert (one.ci_low, one.ci_high) == pytest.approx((theirs.low, theirs.high))
            assert (one.n, one.n_first, one.paired) == (2, 3, False)


def test_what_makes_scores_less_than_comparable_is_said_the_gravest_first() -> None:
    first = small_study.write().snapshot
    assert caveats([first, first]) == ()
    settings = first.plan.settings
    measure = settings.measure.model_copy(update={"perplexity": 20.0, "search": "plain"})
    plan = replace(first.plan, settings=settings.model_copy(update={"measure": measure}))
    fewer = {key: one.model_copy(update={"points": one.points // 2}) for key, one in first.samples.items()}
    other = replace(first, plan=plan, samples=fewer, version="0.0.9")
    said = caveats([first, other])
    assert said[0] == "perplexity 30 / 20: their KL are on different scales"
    points = next(iter(first.samples.values())).points
    assert said[1] == f"points per sample {points:,} / {points // 2:,}: their KL are on different scales"
    assert [sentence.split(":")[0].split()[0] for sentence in said[2:]] == ["search", "version"]


def test_the_table_has_the_means_of_each_study_and_half_the_intervals() -> None:
    first = small_study.write().snapshot
    comparison: Comparison = compare([first, changed(first, 4)])
    dataset, depth = comparison.places[0]
    table = comparison_table(comparison, dataset, depth)
    quantities = list(dict.fromkeys(row.quantity for row in table.rows))
    assert len(quantities) == 3 and quantities[0].endswith("(paired by run)")
    by_key = {(one.architecture, one.layer): one for one in comparison.differences}
    for row in table.rows:
        for layer, cell in enumerate(row.cells[3:]):
            if row.quantity == quantities[0]:
                one = by_key[row.architecture, layer]
                assert one.ci_low is not None and one.ci_high is not None
                half = (one.ci_high - one.ci_low) / 2
                assert cell.text == f"{one.difference:+.3f} ± {half:.3f}".replace("-", "−")
            elif row.quantity == quantities[1]:
                mine = list(values(first, row.architecture, layer).values())
                assert cell.text == f"{np.mean(mine):.3f} ± {np.std(mine, ddof=1):.3f}"


def test_studies_without_a_common_architecture_say_so() -> None:
    first = small_study.write().snapshot
    other = replace(first, plan=replace(first.plan, cohorts=()))
    assert compare([first, other]).caveats[0].startswith("no dataset, depth and activation in common")


def test_two_studies_of_one_name_are_told_apart_by_their_ids() -> None:
    first = small_study.write().snapshot
    names = distinct_names([first, replace(first, id="z" * 10)])
    assert names == (f"{first.name} ({first.id[:4]})", f"{first.name} (zzzz)")


def test_the_interval_of_a_mean_and_the_paired_one_agree() -> None:
    differences = [0.1, 0.3, 0.2, 0.7]
    theirs = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    ours = t_interval(float(np.mean(differences)), float(np.std(differences, ddof=1)), 4)
    assert ours == pytest.approx((theirs.low, theirs.high))


def test_the_command_writes_what_the_comparison_says() -> None:
    from click.testing import CliRunner

    from embcx_tui.cli import cli
    from tests.fake_studies import make_study, settings_of

    small: dict[str, Any] = {"networks__runs": 2, "networks__activations": ["relu"]}
    one = make_study(settings_of(name="one", **small), study_id="a" * 10, arrays=False)
    two = make_study(settings_of(name="two", measure__perplexity=20.0, **small), study_id="b" * 10, arrays=False)
    run = CliRunner().invoke
    document = json.loads(run(cli, ["compare", "one", "two", "--json"]).stdout)
    assert [study["id"] for study in document["studies"]] == [one.paths.id, two.paths.id]
    assert document["caveats"][0].startswith("perplexity 30 / 20")
    rows = list(csv.DictReader(io.StringIO(run(cli, ["compare", "one", "two", "--csv"]).stdout)))
    assert [float(row["difference"]) for row in rows] == [each["difference"] for each in document["differences"]]
    assert {row["less"] for row in rows} == {one.paths.id} and len(rows) == 8
    text = run(cli, ["compare", "one", "two"])
    assert "two − one" in text.stdout and "perplexity 30 / 20" in text.stderr
    assert run(cli, ["compare", "one"], standalone_mode=False).exception is not None
