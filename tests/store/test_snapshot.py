"""The snapshot is a pure fold: the same events in any batches give the same value."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np

from embcx_tui.analysis.formatting import missing_numbers, missing_pictures
from embcx_tui.store.snapshot import Snapshot, fold
from embcx_tui.study.events import (
    AnyEvent,
    CohortSplit,
    CohortStarted,
    EpochTrained,
    LayerFailed,
    LayerMeasured,
    NetworkDiverged,
    NetworkTrained,
    SealedFile,
    WorkerEnded,
    WorkerStarted,
)
from embcx_tui.study.plan import cohort_layers, make_plan
from embcx_tui.study.settings import validate

GRID = {"depths": [2], "activations": ["relu", "tanh"], "runs": 1}
PLAN = make_plan(validate({"data": {"datasets": ["digits"]}, "networks": GRID, "training": {"epochs": 3}}))
EMPTY = Snapshot("0123456789", PLAN)
FILE = SealedFile(name="arrays/x.npz", sha256="0" * 64)
RELU, TANH = (network.id for network in PLAN.cohorts[0].networks)


def epoch(number: int, loss: float) -> EpochTrained:
    two = (0.5, 0.25)
    return EpochTrained(
        cohort="digits", epoch=number, loss=(loss, 2 * loss), train_accuracy=two, test_accuracy=two, seconds=1
    )


def measured(layer_id: str, network: str | None, layer: int, kl: float | None = 0.5) -> LayerMeasured:
    return LayerMeasured(
        layer_id=layer_id,
        network=network,
        dataset="digits",
        run=0,
        layer=layer,
        units=64,
        method="tsne",
        engine="exact",
        perplexity=30,
        points=1000,
        seed=1,
        kl=kl,
        explained=0.9,
        degenerate=False,
        duplicates=0,
        converged=True,
        iterations=500,
        gradient_norm=0.1,
        relative_change=0.0,
        restart_kls=(0.5,),
        seconds=0.1,
        file=FILE,
    )


STARTED = CohortStarted(cohort="digits", networks=(RELU, TANH), epoch=0)


def story() -> list[AnyEvent]:
    return [
        WorkerStarted(pid=1, start_time=0, boot_id="b", host="h"),
        STARTED,
        epoch(1, 1.0),
        epoch(2, 0.5),
        epoch(3, math.nan),
        NetworkDiverged(network=TANH, epoch=3),
        NetworkTrained(network=RELU, epochs=3, train_accuracy=0.9, test_accuracy=0.8, file=FILE),
        *(measured(layer.id, layer.network, layer.layer) for layer in cohort_layers(PLAN.cohorts[0])),
        LayerFailed(layer_id=f"{RELU}-untrained-l2", network=f"{RELU}-untrained", layer=2, method="tsne", reason="x"),
        WorkerEnded(outcome="complete"),
    ]


def same(one: Snapshot, other: Snapshot) -> bool:
    return all(getattr(one, field.name) == getattr(other, field.name) for field in fields(Snapshot))


def test_batches_do_not_matter_and_older_snapshots_do_not_change() -> None:
    events = story()
    whole = fold(EMPTY, events)
    step = EMPTY
    history = [step]
    for event in events:
        step = fold(step, [event])
        history.append(step)
    assert same(step, whole)
    for cut in range(len(events)):
        assert same(fold(history[cut], events[cut:]), whole)
        assert same(fold(EMPTY, events[:cut]), history[cut])


def test_networks_stand_as_the_journal_says() -> None:
    snapshot = fold(EMPTY, story())
    relu, tanh = snapshot.networks[RELU], snapshot.networks[TANH]
    assert (relu.status, relu.epochs, relu.train_accuracy, relu.test_accuracy) == ("measured", 3, 0.9, 0.8)
    assert (tanh.status, tanh.epochs) == ("diverged", 3)
    assert snapshot.networks[f"{RELU}-untrained"].status == "failed"
    assert snapshot.partly_failed


def test_curves_hold_every_epoch_and_nan_where_nothing_is_known() -> None:
    history = fold(EMPTY, story()).histories["digits"]
    np.testing.assert_array_equal(history.curve(RELU, "loss"), [1.0, 0.5, np.nan])
    np.testing.assert_array_equal(history.curve(TANH, "loss"), [2.0, 1.0, np.nan])


def test_epochs_after_the_checkpoint_are_forgotten_when_training_goes_on_from_it() -> None:
    snapshot = fold(EMPTY, [STARTED, epoch(1, 1.0), epoch(2, 0.5), STARTED.model_copy(update={"epoch": 1})])
    assert snapshot.histories["digits"].last == 1
    # Also within one batch.
    again = fold(EMPTY, [STARTED, epoch(1, 1.0), epoch(2, 9.0), STARTED.model_copy(update={"epoch": 1}), epoch(2, 0.5)])
    np.testing.assert_array_equal(again.histories["digits"].curve(RELU, "loss"), [1.0, 0.5])


def test_a_cohort_split_for_memory_is_counted_once() -> None:
    halves = [
        CohortStarted(cohort=f"digits.{half}", networks=(name,), epoch=0) for half, name in enumerate((RELU, TANH))
    ]
    split = CohortSplit(cohort="digits", into=("digits.0", "digits.1"))
    snapshot = fold(EMPTY, [STARTED, epoch(1, 1.0), split, *halves])
    assert set(snapshot.histories) == {"digits.0", "digits.1"}


def test_a_layer_that_is_measured_after_all_is_no_longer_failed() -> None:
    failed = LayerFailed(layer_id=f"{RELU}-l1", network=RELU, layer=1, method="tsne", reason="x")
    snapshot = fold(EMPTY, [failed, measured(f"{RELU}-l1", RELU, 1)])
    assert not snapshot.failed
    assert (f"{RELU}-l1", "tsne") in snapshot.measured


def test_a_method_that_fails_costs_a_picture_and_no_number() -> None:
    wanted = {"data": {"datasets": ["digits"]}, "networks": GRID, "measure": {"methods": ["tsne", "isomap"]}}
    empty = Snapshot("0123456789", make_plan(validate(wanted)))
    layers = ("digits-r0-input", f"{RELU}-l1", f"{RELU}-l2")
    trained = NetworkTrained(network=RELU, epochs=3, train_accuracy=1.0, test_accuracy=1.0, file=FILE)
    scores = [measured(layer, RELU if number else None, number) for number, layer in enumerate(layers)]
    lost = [
        LayerFailed(
            layer_id=layer, network=RELU if number else None, layer=number, method="isomap", reason="in 4 parts"
        )
        for number, layer in enumerate(layers)
    ]
    assert fold(empty, [trained, *scores, *lost[:2]]).networks[RELU].status == "trained", "one picture is to come"
    snapshot = fold(empty, [trained, *scores, *lost])
    assert snapshot.networks[RELU].status == "measured" and snapshot.partly_failed
    assert missing_numbers(snapshot) == () and missing_pictures(snapshot) == ("Isomap failed on 3 layers",)
    assert "no picture by Isomap: in 4 parts" in snapshot.log[-1].text and snapshot.log[-1].level == "warning"
    unscored = fold(snapshot, [lost[1].model_copy(update={"method": "tsne"})])
    assert unscored.networks[RELU].status == "failed"
    assert missing_numbers(unscored) == ("1 layer could not be measured",)
