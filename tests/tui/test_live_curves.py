"""What Live averages: never trained networks with controls. (Layers: test_layers_statistics.py.)"""

from __future__ import annotations

from typing import Any

from embcx_tui.figures.model import Curves, Panels
from embcx_tui.store.snapshot import Snapshot, fold
from embcx_tui.study.events import CohortStarted, EpochTrained
from embcx_tui.study.plan import make_plan
from embcx_tui.tui.live.curves import curves
from tests import small_study


def trained(**networks: Any) -> Snapshot:
    """One epoch: a loss of 1 with true labels, 3 with shuffled ones, and 1 more in run 1."""
    plan = make_plan(small_study.settings(measure={"controls": ["shuffled"]}, **networks))
    snapshot = Snapshot("x", plan)
    for cohort in plan.cohorts:
        loss = tuple(1.0 + 2.0 * (one.control is not None) + (one.run == 1) for one in cohort.networks)
        names = tuple(one.id for one in cohort.networks)
        started = CohortStarted(cohort=cohort.id, networks=names, epoch=0)
        epoch = EpochTrained(cohort=cohort.id, epoch=1, loss=loss, train_accuracy=loss, test_accuracy=loss, seconds=1.0)
        snapshot = fold(snapshot, (started, epoch))
    return snapshot


def whole(snapshot: Snapshot) -> Curves:
    """The chart where there is no room for one per depth."""
    shown = curves(snapshot, (), None, "loss")
    assert isinstance(shown, Curves)
    return shown


def test_curves_of_shuffled_labels_are_not_in_the_mean_of_the_others() -> None:
    shown = whole(trained(runs=2))
    assert {line.label: line.y.tolist() for line in shown.lines} == {
        "logsig": [1.5], "relu": [1.5], "logsig shuffled": [3.5], "relu shuffled": [3.5],
    }  # fmt: skip
    assert len({line.place for line in shown.lines}) == 4
    assert shown.title == "Training loss, mean of 2 runs"


def test_a_mean_over_depths_says_so() -> None:
    shown = whole(trained(runs=2, depths=[1, 2, 3]))
    assert [line.label for line in shown.lines] == ["logsig", "logsig shuffled", "relu", "relu shuffled"]
    assert shown.title == "Training loss, mean of 6 networks"
    one = whole(trained(runs=1, depths=[1, 2, 3]))
    assert one.title == "Training loss, mean of 3 networks"


def test_where_there_is_room_each_depth_has_a_panel() -> None:
    snapshot = trained(runs=2, depths=[1, 2, 3])
    chosen = next(one.id for one in snapshot.plan.networks if (one.depth, one.activation, one.run) == (2, "relu", 1))
    shown = curves(snapshot, (), chosen, "loss", (120, 20), log=True)
    assert isinstance(shown, Panels) and shown.title == "Training loss, log axis, mean of 2 runs"
    titles = [figure.title for figure in shown.figures]
    assert titles == ["1 hidden layer", "2 hidden layers", "3 hidden layers"]
    panels = [figure for figure in shown.figures if isinstance(figure, Curves)]
    own = [[line.label for line in panel.lines if "run 1" in line.label] for panel in panels]
    assert [len(labels) for labels in own] == [0, 1, 0], "the chosen network is in the panel of its depth"
    assert all(panel.log for panel in panels)


def test_the_log_tells_of_networks_with_true_labels() -> None:
    assert "loss 1.5000, test 1.5000" in trained(runs=2).log[-1].text
