"""Training cohorts: checkpoints, going on from them, and smaller cohorts where memory is short."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import safetensors
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from embcx_tui.compute.datasets import Dataset
from embcx_tui.compute.device import OutOfMemory, free_bytes
from embcx_tui.compute.training import CohortTraining, EpochReport, split
from embcx_tui.store.arrays import is_intact
from embcx_tui.store.files import publish
from embcx_tui.store.paths import StudyPaths
from embcx_tui.study.events import (
    CheckpointSaved,
    CohortSplit,
    CohortStarted,
    EpochTrained,
    NetworkDiverged,
    Noted,
    SealedFile,
)
from embcx_tui.study.plan import Cohort, Network
from embcx_tui.worker.layers import Measuring
from embcx_tui.worker.study import Journal

# A crash loses at most about this much training; saving takes 0.1 s for fig2 and some seconds for the whole paper.
CHECKPOINT_S = 30.0
# Saving may take this share of the time at most: large checkpoints on slow disks are written less often.
CHECKPOINT_SHARE = 0.05
# Of the memory that is free at the start: the rest is for measuring, and for others.
MEMORY_SHARE = 0.6


def train_cohort(
    paths: StudyPaths,
    journal: Journal,
    cohort: Cohort,
    dataset: Dataset,
    device: torch.device,
    measuring: Measuring,
    stop: Callable[[], bool],
) -> Iterator[CohortTraining]:
    """Train the networks of `cohort` and yield them trained, all at once or, where memory is short, part after part.

    Yields nothing more once `stop` is true; the training is saved then.
    """
    waiting = _parts(journal, cohort, dataset, device)
    while waiting and not stop():
        name, networks = waiting.pop(0)
        try:
            training = CohortTraining(networks, dataset, journal.snapshot.plan.settings, device)
            _train(paths, journal, name, training, measuring, stop)
        except OutOfMemory:
            if len(networks) == 1:
                raise
            middle = len(networks) // 2
            halves = [(f"{name}.{number}", part) for number, part in enumerate((networks[:middle], networks[middle:]))]
            journal.tell(CohortSplit(cohort=name, into=tuple(half for half, _ in halves)))
            waiting[:0] = halves
        else:
            if not stop():
                yield training


def _parts(
    journal: Journal, cohort: Cohort, dataset: Dataset, device: torch.device
) -> list[tuple[str, tuple[Network, ...]]]:
    """Return the cohorts to train, (id, networks) each: those an earlier worker began, as it began them, then the rest.

    Rounding depends on which networks share a matrix product, so a resumed study keeps its cohorts.
    """
    by_id = {network.id: network for network in cohort.networks}
    begun = [
        (name, tuple(by_id[network] for network in history.networks))
        for name, history in journal.snapshot.histories.items()
        if all(network in by_id for network in history.networks)
    ]
    taken = {network.id for _, networks in begun for network in networks}
    rest = tuple(network for network in cohort.networks if network.id not in taken)
    if not rest:
        return begun
    settings = journal.snapshot.plan.settings
    parts = split(rest, dataset, settings, int(MEMORY_SHARE * free_bytes(device)))
    if len(parts) == 1 and not begun:
        return [(cohort.id, parts[0])]
    return begun + [(f"{cohort.id}.part{len(begun) + number}", part) for number, part in enumerate(parts)]


def _train(
    paths: StudyPaths,
    journal: Journal,
    name: str,
    training: CohortTraining,
    measuring: Measuring,
    stop: Callable[[], bool],
) -> None:
    """Train one cohort to its last epoch or until `stop`; it is saved at the end in both cases."""
    plan = journal.snapshot.plan
    epochs = plan.settings.training.epochs
    _restore(paths, journal, name, training, measuring)
    if training.epochs_done < epochs or name not in journal.snapshot.histories:
        names = tuple(network.id for network in training.networks)
        journal.tell(CohortStarted(cohort=name, networks=names, epoch=training.epochs_done))
    saved_at, saving_s = time.monotonic(), 0.0
    saved_epoch = training.epochs_done
    while not stop():
        if training.epochs_done in plan.epochs:
            measuring.after_epoch(training)
        if training.epochs_done >= epochs or stop():
            break
        _tell_epoch(journal, name, training.epoch(), training)
        due = max(CHECKPOINT_S, saving_s / CHECKPOINT_SHARE)
        # Before layers are measured, too: a crash then does not cost the training up to here.
        if time.monotonic() - saved_at > due or training.epochs_done in plan.epochs:
            begun = time.monotonic()
            _save(paths, journal, name, training)
            saved_at, saved_epoch = time.monotonic(), training.epochs_done
            saving_s = saved_at - begun
    if training.epochs_done > saved_epoch:
        _save(paths, journal, name, training)


def _tell_epoch(journal: Journal, name: str, report: EpochReport, training: CohortTraining) -> None:
    journal.tell(
        EpochTrained(
            cohort=name,
            epoch=report.epoch,
            loss=tuple(one.loss for one in report.networks),
            train_accuracy=tuple(one.train_accuracy for one in report.networks),
            test_accuracy=tuple(one.test_accuracy for one in report.networks),
            seconds=report.seconds,
        )
    )
    for network, epoch in training.diverged.items():
        if network not in journal.snapshot.diverged:
            journal.tell(NetworkDiverged(network=network, epoch=epoch))


def _save(paths: StudyPaths, journal: Journal, name: str, training: CohortTraining) -> None:
    file = f"{name}.safetensors"
    digest = publish(paths.checkpoints / file, save_tensors(training.state()))
    sealed = SealedFile(name=f"{paths.checkpoints.name}/{file}", sha256=digest)
    journal.tell(CheckpointSaved(cohort=name, epoch=training.epochs_done, file=sealed))


def _restore(paths: StudyPaths, journal: Journal, name: str, training: CohortTraining, measuring: Measuring) -> None:
    """Take up the newest checkpoint of a cohort, or of the larger one that it was split from."""
    saved = None
    while saved is None and name:
        saved = journal.snapshot.checkpoints.get(name)
        name = name.rpartition(".")[0]
    if saved is None:
        return
    path = paths.root / saved.file.name
    if not path.exists():
        return  # removed with a cohort that was measured, of which a file was damaged later: it is trained again
    if any(task.epoch is not None and task.epoch < saved.epoch for task in measuring.left()):
        return  # a result of an earlier epoch was damaged: only training again leads there
    # The journal's line follows its file: a crash between the two leaves a newer file than the line, which is sound
    # too, but cannot be told from a damaged one. Training again gives the same weights.
    if not is_intact(paths.root, saved.file):
        journal.tell(Noted(level="warning", text=f"checkpoint {path.name} is damaged; training its networks again"))
        return
    try:
        training.load_state(load_tensors(path.read_bytes()))
    except safetensors.SafetensorError:
        journal.tell(Noted(level="warning", text=f"checkpoint {path.name} is damaged; training its networks again"))
