"""Checkpoints in one process: what goes on from one, what does not and is said, and which file is removed when."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from embcx_tui.compute import datasets
from embcx_tui.compute.training.cohort import CohortTraining
from embcx_tui.store.library import create_study
from embcx_tui.study.events import AnyEvent, CheckpointSaved, CohortStarted
from embcx_tui.study.settings import validate
from embcx_tui.worker.checkpoints import CheckpointWriter, restore
from embcx_tui.worker.journal import Journal
from embcx_tui.worker.pending import Task

SETTINGS = validate(
    {
        "data": {"datasets": ["digits"]},
        "networks": {"depths": [1], "activations": ["tanh", "relu"], "runs": 1, "width": 5},
        "training": {"epochs": 4},
        "measure": {"epochs": [1]},
    }
)
CPU = torch.device("cpu")


def training_of(journal: Journal) -> CohortTraining:
    dataset = datasets.load("digits", journal.paths.root, journal.paths.root)
    return CohortTraining(journal.snapshot.plan.cohorts[0].networks, dataset, SETTINGS, CPU)


def train(journal: Journal, epochs: int) -> CohortTraining:
    """Train as the worker does, with a checkpoint after every epoch."""
    training = training_of(journal)
    names = tuple(network.id for network in training.networks)
    journal.append(CohortStarted(cohort="digits", networks=names, epoch=0))
    with CheckpointWriter(journal, "digits", training) as writer:
        for _ in range(epochs):
            writer.record_epoch(training.epoch())
            writer.save()
        writer.join()
    return training


def restored(journal: Journal, pending: Sequence[Task] = ()) -> CohortTraining:
    training = training_of(journal)
    measuring: Any = SimpleNamespace(pending=lambda: tuple(pending))
    restore(journal, "digits", training, measuring)
    return training


def test_a_training_goes_on_from_the_newest_checkpoint_velocities_and_all() -> None:
    journal = Journal(create_study(SETTINGS))
    before, after = train(journal, 3), restored(journal)
    assert after.epochs_done == 3 and after.state().keys() == before.state().keys()
    assert all(torch.equal(value, after.state()[name]) for name, value in before.state().items())
    assert any(value.any() for name, value in before.state().items() if name.endswith("velocity"))
    # One epoch further both are the same networks still.
    assert [one.loss for one in before.epoch().networks] == [one.loss for one in after.epoch().networks]
    assert not any("checkpoint" in line.text for line in journal.snapshot.log)


def test_the_older_file_goes_once_the_journal_names_the_newer(monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(create_study(SETTINGS))
    there: list[list[str]] = []
    append = journal.append

    def look_and_append(event: AnyEvent) -> None:
        if isinstance(event, CheckpointSaved):
            there.append(sorted(path.name for path in journal.paths.checkpoints.iterdir()))
        append(event)

    monkeypatch.setattr(journal, "append", look_and_append)
    train(journal, 3)
    first, second, third = (f"digits.epoch{epoch}.safetensors" for epoch in (1, 2, 3))
    assert there == [[first], [first, second], [second, third]]
    assert [path.name for path in journal.paths.checkpoints.iterdir()] == [third]


@pytest.mark.parametrize("damage", ["a flipped bit", "cut", "gone"])
def test_a_damaged_checkpoint_is_said_and_its_networks_are_trained_again(damage: str) -> None:
    journal = Journal(create_study(SETTINGS))
    train(journal, 2)
    (path,) = journal.paths.checkpoints.iterdir()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    if damage == "gone":
        path.unlink()
    else:
        Path(path).write_bytes(data if damage == "a flipped bit" else data[:-100])
    assert restored(journal).epochs_done == 0
    said = [line.text for line in journal.snapshot.log if line.level == "warning"]
    # One that is not there was removed once its cohort was measured: a result was lost since, and nothing is wrong.
    words = "checkpoint digits.epoch2.safetensors is damaged; training its networks again"
    assert said == ([] if damage == "gone" else [words])


def test_a_lost_score_of_an_earlier_epoch_is_found_by_training_alone() -> None:
    journal = Journal(create_study(SETTINGS))
    train(journal, 2)
    by_network = {layer.network: layer for layer in journal.snapshot.plan.layers if layer.layer == 1}
    network = journal.snapshot.plan.cohorts[0].networks[0].id
    assert restored(journal, [Task(by_network[network], "tsne", 1)]).epochs_done == 0
    # What is measured at the end, or after a later epoch, or of another network, needs none of it.
    others = [Task(by_network[network], "tsne"), Task(by_network[network], "tsne", 3)]
    others.append(Task(by_network[f"{network}-untrained"], "tsne", 1))
    assert restored(journal, others).epochs_done == 2
