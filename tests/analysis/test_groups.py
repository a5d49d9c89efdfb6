"""Groups within one study: what is compared with what, and differences and intervals against scipy's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from scipy import stats

from embcx_tui.analysis.comparison import comparison_table, difference_records
from embcx_tui.analysis.groups import Group, compare_groups, groups_by
from embcx_tui.analysis.selection import select
from embcx_tui.analysis.trend import control_differences
from embcx_tui.cli import cli
from embcx_tui.figures.comparison_lines import comparison_lines, comparison_name
from embcx_tui.figures.model import Lines
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.errors import RequestError
from embcx_tui.study.plan import Network
from tests import small_study


def noisy(snapshot: Snapshot, seed: int = 1) -> Snapshot:
    """Return a study with noise of its own in each layer's score."""
    rng = np.random.default_rng(seed)
    measured = {
        key: one.model_copy(update={"kl": one.kl + float(rng.normal(0, 0.05))})
        for key, one in snapshot.measured.items()
        if one.kl is not None
    }
    return replace(snapshot, measured=measured)


def kls(snapshot: Snapshot, layer: int, **fields: object) -> list[float]:
    """Return the scores of a layer of all networks with these fields, by run."""
    networks = [
        one for one in snapshot.plan.networks if all(getattr(one, name) == value for name, value in fields.items())
    ]
    found = [snapshot.layer(one, layer) for one in sorted(networks, key=lambda one: one.run)]
    return [one.kl for one in found if one and one.kl is not None]


def test_activations_are_paired_by_run_and_the_interval_is_scipys() -> None:
    snapshot = noisy(small_study.write().snapshot)
    comparison = compare_groups(snapshot, groups_by(snapshot, "activation=relu,logsig"))
    assert comparison.names == ("relu", "logsig") and comparison.paired == (True,)
    assert len(comparison.differences) == 10, "five hidden layers, trained and untrained; the input is one for both"
    for one in comparison.differences:
        where = {"depth": 5, "control": one.architecture.control}
        a, b = (kls(snapshot, one.layer, activation=name, **where) for name in ("relu", "logsig"))
        theirs = stats.ttest_rel(b, a).confidence_interval(0.95)
        assert one.difference == pytest.approx(np.mean(b) - np.mean(a))
        assert (one.ci_low, one.ci_high) == pytest.approx((theirs.low, theirs.high))
        assert (one.n, one.n_first) == (3, 3) and one.layer


def test_trained_against_untrained_agrees_with_the_differences_from_controls() -> None:
    snapshot = noisy(small_study.write().snapshot)
    comparison = compare_groups(snapshot, groups_by(snapshot, "control=untrained,trained"))
    assert comparison.names == ("untrained", "trained") and comparison.caveats == ()
    ours = {(one.architecture.activation, one.layer): one for one in comparison.differences}
    theirs = control_differences(select(snapshot))
    assert len(ours) == len(theirs) == 10
    for expected in theirs:
        one = ours[expected.architecture.activation, expected.layer]
        assert one.difference == pytest.approx(expected.difference)
        assert (one.ci_low, one.ci_high) == pytest.approx((expected.ci_low, expected.ci_high))


def test_datasets_have_other_samples_so_that_welchs_interval_is_taken() -> None:
    snapshot = noisy(small_study.write(small_study.settings(datasets=("mnist", "digits"))).snapshot)
    comparison = compare_groups(snapshot, groups_by(snapshot, "dataset"))
    assert comparison.paired == (False,) and comparison.places == (("mnist / digits", 5),)
    assert {one.layer for one in comparison.differences} == set(range(6)), "each has an input of its own"
    for one in comparison.differences:
        where = {"activation": one.architecture.activation, "control": one.architecture.control}
        a, b = (kls(snapshot, one.layer, dataset=name, **where) for name in ("mnist", "digits"))
        theirs = stats.ttest_ind(b, a, equal_var=False).confidence_interval(0.95)
        assert (one.ci_low, one.ci_high) == pytest.approx((theirs.low, theirs.high))
        assert not one.paired


def test_depths_are_compared_layer_by_layer_as_far_as_both_go() -> None:
    snapshot = noisy(small_study.write(small_study.settings(depths=[2, 4])).snapshot)
    groups = [Group({"dataset": "mnist", "depth": depth, "control": None}) for depth in (4, 2)]
    comparison = compare_groups(snapshot, groups)
    assert comparison.names == ("4 layers", "2 layers") and comparison.places == (("mnist", 4),)
    assert [sentence for sentence in comparison.caveats if "by their number" in sentence]
    layers = {(one.architecture.activation, one.layer): one for one in comparison.differences}
    assert sorted(layers) == [(name, layer) for name in ("logsig", "relu") for layer in (1, 2)]
    a, b = (kls(snapshot, 2, activation="relu", depth=depth, control=None) for depth in (4, 2))
    assert layers["relu", 2].difference == pytest.approx(np.mean(b) - np.mean(a))
    assert comparison.place_words(4)[0] == "4 / 2 hidden layers"
    panels = comparison_lines(comparison, "mnist", 4)
    assert panels.title.endswith("4 / 2 hidden layers · KL (nats)")
    (relu,) = (one for one in panels.figures if isinstance(one, Lines) and one.title == "relu")
    assert [(group.label, len(group.bars)) for group in relu.groups] == [("4 layers", 5), ("2 layers", 3)]


def test_single_runs_have_differences_without_intervals() -> None:
    snapshot = noisy(small_study.write().snapshot)
    relu: dict[str, str | int | None] = {"dataset": "mnist", "depth": 5, "activation": "relu", "control": None}
    comparison = compare_groups(snapshot, [Group(relu, 0), Group(relu, 2)])
    assert comparison.names == ("run 0", "run 2")
    for one in comparison.differences:
        values = kls(snapshot, one.layer, activation="relu", control=None)
        assert one.difference == pytest.approx(values[2] - values[0])
        assert (one.ci_low, one.ci_high, one.n, one.n_first) == (None, None, 1, 1)


def test_a_run_that_is_the_only_one_stands_for_its_group() -> None:
    snapshot = small_study.write(small_study.settings(runs=1)).snapshot
    where: dict[str, str | int | None] = {"dataset": "mnist", "depth": 5, "control": None}
    groups = [Group({**where, "activation": "logsig"}, 0), Group({**where, "activation": "relu"})]
    comparison = compare_groups(snapshot, groups)
    assert comparison.names == ("logsig", "relu") and comparison.paired == (True,)


def test_networks_that_are_left_out_are_in_no_difference() -> None:
    snapshot = noisy(small_study.write().snapshot)
    bad: Network = next(one for one in snapshot.plan.networks if one.activation == "relu" and one.run == 1)
    key = next(key for key in snapshot.measured if key[0] == bad.layer_ids()[3])
    degenerate = snapshot.measured[key].model_copy(update={"degenerate": True})
    snapshot = replace(snapshot, measured={**snapshot.measured, key: degenerate})
    comparison = compare_groups(snapshot, groups_by(snapshot, "activation"))
    for one in comparison.differences:
        if one.architecture.control is None:
            a, b = (kls(snapshot, one.layer, activation=name, control=None) for name in ("logsig", "relu"))
            assert one.n == 2 and one.difference == pytest.approx(((b[0] - a[0]) + (b[2] - a[2])) / 2)


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ([{"depth": 5, "control": None}], "2 to 6 groups of a study can be compared, not 1"),
        ([{"depth": 5}, {"activation": "relu"}], "only groups of one kind"),
        ([{"activation": "relu"}, {"activation": "relu"}], "the same networks"),
    ],
)
def test_groups_that_cannot_be_compared_say_why(groups: Sequence[dict[str, str | int | None]], words: str) -> None:
    snapshot = small_study.write().snapshot
    with pytest.raises(RequestError, match=words):
        compare_groups(snapshot, [Group(fields) for fields in groups])


@pytest.mark.parametrize(
    ("asked", "words"),
    [("size", "groups are by dataset, depth"), ("activation=tanh", "no activation 'tanh', only logsig, relu")],
)
def test_groups_that_a_study_does_not_have_say_so(asked: str, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        groups_by(small_study.write().snapshot, asked)


def test_table_and_records_name_both_sides() -> None:
    snapshot = noisy(small_study.write().snapshot)
    comparison = compare_groups(snapshot, groups_by(snapshot, "activation"))
    table = comparison_table(comparison, *comparison.places[0])
    assert [(row.cells[0].text, row.cells[2].text) for row in table.rows[:2]] == [
        ("relu − logsig", "3"),
        ("relu untrained − logsig untrained", "3"),
    ]
    assert [row.cells[0].text for row in table.rows[2:]] == ["logsig", "logsig untrained", "relu", "relu untrained"]
    record = difference_records(comparison)[0]
    assert (record["activation"], record["activation_less"]) == ("relu", "logsig")
    assert (record["name"], record["name_less"]) == ("relu", "logsig")
    assert record["study"] == record["less"] == snapshot.id


def test_file_names_say_what_is_compared() -> None:
    snapshot = small_study.write(small_study.settings(depths=[2, 4])).snapshot
    by_depth = compare_groups(
        snapshot,
        [Group({"dataset": "mnist", "depth": depth, "activation": "relu", "control": None}) for depth in (2, 4)],
    )
    assert comparison_name(by_depth, *by_depth.places[0]) == "compare-2-layers_4-layers-mnist-relu"
    by_activation = compare_groups(snapshot, groups_by(snapshot, "activation"))
    names = [comparison_name(by_activation, *place) for place in by_activation.places]
    assert sorted(names) == ["compare-logsig_relu-mnist-2", "compare-logsig_relu-mnist-4"]


def run(*args: str) -> Result:
    return CliRunner().invoke(cli, ["compare", *args])


def test_the_command_compares_groups_and_writes_chart_and_table(tmp_path: Path) -> None:
    study = small_study.write().paths.id
    text = run(study, "--by", "control").stdout
    assert "untrained − trained ± 95 % interval (paired by run)" in text and "+0.210 ± 0.005" in text
    done = run(study, "--by", "activation=relu,logsig", "--out", str(tmp_path / "out"), "--format", "svg")
    assert done.exit_code == 0, done.output
    names = ["compare-relu_logsig-mnist-5.svg", "compare-relu_logsig-differences.csv"]
    assert [Path(line).name for line in done.stdout.splitlines()] == names
    assert "<svg" in (tmp_path / "out" / names[0]).read_text()
    csv = run(study, "--by", "activation=relu,logsig", "--csv").stdout
    assert (tmp_path / "out" / names[1]).read_text() == csv and csv.count("\n") == 11
    numbers = (tmp_path / "out" / "compare-relu_logsig-mnist-5.csv").read_text()
    assert "logsig" in numbers and "relu" in numbers


def test_the_command_wants_one_study_for_groups_and_one_kind_of_answer() -> None:
    study = small_study.write().paths.id
    assert "--json, --csv or --out" in run(study, "--by", "depth", "--json", "--csv").stderr
    assert "not 1" in run(study).stderr
    failed = CliRunner().invoke(cli, ["compare", study, "--by", "depth"], standalone_mode=False)
    assert "2 to 6 groups of a study can be compared, not 1" in str(failed.exception)
