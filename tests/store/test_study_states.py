"""What a study and its networks are said to be: states, chance, damage; lines that contradict the plan are left out."""

from __future__ import annotations

import math
from typing import Any

import pytest

from embcx_tui.store import lock
from embcx_tui.store.contradictions import contradiction
from embcx_tui.store.journal import JournalWriter
from embcx_tui.store.library import create_study
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import Snapshot, StudyReader, fold, study_state
from embcx_tui.study import events
from embcx_tui.study.plan import make_plan
from embcx_tui.study.settings import validate
from tests.store.test_snapshot import FILE, epoch, measured

SETTINGS = validate(
    {
        "data": {"datasets": ["digits"], "sample_from": "both", "samples_per_class": 30},
        "networks": {"depths": [2], "activations": ["relu", "tanh"], "runs": 1},
        "training": {"epochs": 3},
        "measure": {"epochs": [1], "controls": ["untrained"]},
    }
)
PLAN = make_plan(SETTINGS)
EMPTY = Snapshot("0123456789", PLAN)
RELU = "digits-d2-relu-r0"
WORKER = events.WorkerStarted(pid=1, start_time=0.0, boot_id="x", host="here")


@pytest.mark.parametrize(
    ("said", "running", "state"),
    [
        ((), False, "queued"),
        ((), True, "running"),
        ((WORKER,), True, "running"),
        ((WORKER,), False, "lost"),
        ((WORKER, events.WorkerEnded(outcome="stopped")), False, "stopped"),
        ((WORKER, events.WorkerEnded(outcome="complete")), False, "complete"),
        ((WORKER, events.WorkerEnded(outcome="failed", reason="?")), False, "failed"),
        ((WORKER, events.WorkerEnded(outcome="failed"), WORKER), False, "lost"),
        ((WORKER, events.WorkerEnded(outcome="stopped"), WORKER), True, "running"),
    ],
)
def test_a_study_is_what_its_lock_and_its_last_words_say(said: tuple[Any, ...], running: bool, state: str) -> None:
    assert study_state(fold(EMPTY, said), running) == state


def test_a_worker_that_ends_while_it_is_looked_at_is_never_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = create_study(SETTINGS)
    journal = JournalWriter(paths.journal)
    journal.append(WORKER)

    def end_just_before(of: StudyPaths) -> bool:
        journal.append(events.WorkerEnded(outcome="complete"))
        return False

    monkeypatch.setattr(lock, "is_running", end_just_before)
    assert StudyReader(paths).poll().state == "complete"
    journal.close()


def test_networks_with_true_labels_are_at_chance_within_three_standard_errors() -> None:
    classes = tuple("0123456789")
    data = events.DatasetLoaded(
        dataset="digits", n_train=1_437, n_test=360, features=64, classes=classes, shape=None, chance=37 / 360
    )
    bound = 37 / 360 + 3 * math.sqrt(37 / 360 * (1 - 37 / 360) / 360)
    for accuracy, at_chance in ((0.0, True), (bound - 1e-6, True), (bound + 1e-6, False), (0.9, False)):
        said = [
            events.NetworkTrained(network=one.id, epochs=3, train_accuracy=0.9, test_accuracy=accuracy, file=FILE)
            for one in PLAN.networks
        ]
        states = fold(EMPTY, [data, *said]).networks
        # An untrained network is always about there: that says nothing of it.
        assert {state.network.control: state.at_chance for state in states.values()} == {
            None: at_chance, "untrained": False, "held-out": at_chance,
        }  # fmt: skip


def test_one_damaged_line_is_damage_until_a_worker_has_found_it() -> None:
    lost = events.LineDamaged(reason="its checksum is wrong")
    for count, words in ((1, "1 damaged line in"), (2, "2 damaged lines in")):
        snapshot = fold(EMPTY, [WORKER, *[lost] * count])
        assert snapshot.damage.startswith(words) and "its checksum is wrong" in snapshot.damage
        found = WORKER.model_copy(update={"damaged": count})
        assert fold(snapshot, [found]).damage == "" and fold(snapshot, [found, lost]).damage.startswith("1 damaged")


def test_what_fits_the_plan_is_no_contradiction() -> None:
    networks = (RELU, "digits-d2-tanh-r0")
    for event in (
        events.CohortStarted(cohort="digits", networks=networks, epoch=3),
        events.CohortStarted(cohort="digits.part1", networks=networks[:1], epoch=0),
        epoch(3, 1.0),
        events.NetworkTrained(network=f"{RELU}-held-out", epochs=3, train_accuracy=1, test_accuracy=1, file=FILE),
        measured(f"{RELU}-l2", RELU, 2),
        measured(f"{RELU}-l2", RELU, 2).model_copy(update={"epoch": 1}),
        measured("digits-r0-input", None, 0),
        events.Noted(level="info", text="?"),
    ):
        assert contradiction(event, PLAN, networks) == "", event


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (epoch(4, 1.0), "epoch 4 of 3"),
        (epoch(2, 1.0).model_copy(update={"loss": (1.0,)}), "without its networks"),
        (epoch(2, 1.0).model_copy(update={"test_accuracy": (0.1, 0.2, 0.3)}), "without its networks"),
        (events.CohortStarted(cohort="mnist", networks=(RELU,), epoch=0), "a cohort that the study does not have"),
        (events.CohortStarted(cohort="digits", networks=("x",), epoch=0), "other networks"),
        (events.CohortStarted(cohort="digits", networks=(RELU, RELU), epoch=0), "other networks"),
        (events.CohortStarted(cohort="digits", networks=(RELU,), epoch=4), "after epoch 4 of 3"),
        (events.NetworkDiverged(network="x", epoch=1), "a network that the study does not have"),
        (events.NetworkDiverged(network=RELU, epoch=9), "after epoch 9 of 3"),
        (measured(f"{RELU}-l3", RELU, 3), "a layer that the study does not have"),
        (measured(f"{RELU}-l2", RELU, 1), "a layer that the study does not have"),
        (measured(f"{RELU}-l2", "digits-d2-tanh-r0", 2), "a layer that the study does not have"),
        (measured(f"{RELU}-l2", RELU, 2).model_copy(update={"run": 1}), "a layer of another run"),
        (measured(f"{RELU}-l2", RELU, 2).model_copy(update={"method": "lle"}), "the method lle"),
        (measured(f"{RELU}-l2", RELU, 2).model_copy(update={"epoch": 2}), "after epoch 2, which was not asked for"),
        (events.SampleDrawn(dataset="digits", run=1, points=10, file=FILE), "run 1 of 1"),
        (events.SampleDrawn(dataset="svhn", run=0, points=10, file=FILE), "a dataset that the study does not have"),
    ],
)
def test_what_the_plan_does_not_know_is_said_and_left_out(event: Any, words: str) -> None:
    networks = (RELU, "digits-d2-tanh-r0")
    assert words in contradiction(event, PLAN, networks)
    before = fold(EMPTY, [WORKER, events.CohortStarted(cohort="digits", networks=networks, epoch=0)])
    after = fold(before, [event])
    assert after.damaged == 1 and words in after.damage
    assert (after.histories, after.measured, after.diverged, after.samples) == (
        before.histories, before.measured, before.diverged, before.samples,
    )  # fmt: skip
