"""Training the cohorts of a study, whole or in parts where memory is short."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from embcx_tui.compute.datasets import Dataset
from embcx_tui.compute.device_errors import without_frames
from embcx_tui.compute.gpu_path import TRAINING_PARTS, gpu_path
from embcx_tui.compute.memory import OutOfMemory, free_bytes, split
from embcx_tui.compute.training.cohort import CohortTraining
from embcx_tui.study.errors import DeviceFailed
from embcx_tui.study.events import CohortSplit, CohortStarted
from embcx_tui.study.plan import Cohort, Network
from embcx_tui.worker.checkpoints import CheckpointWriter, restore
from embcx_tui.worker.measure import Measuring
from embcx_tui.worker.outlet import Outlet

# Share of the memory that is free at the start: the rest is for measuring, and for other programs.
MEMORY_SHARE = 0.6


def train_cohort(
    outlet: Outlet,
    cohort: Cohort,
    dataset: Dataset,
    device: torch.device,
    measuring: Measuring,
    stop: Callable[[], bool],
) -> Iterator[CohortTraining]:
    """Train the networks of `cohort` and yield the finished training, whole or, where memory is short, in parts.

    Ends early once `stop` is true, with the training saved. Where the device fails, the networks are trained once more
    from their newest checkpoint, on its plain path; raises DeviceFailed where that fails too.
    """
    waiting = _parts_that_fit(outlet, cohort, dataset, device)
    failed: set[str] = set()
    while waiting and not stop():
        name, networks = waiting.pop(0)
        failure: DeviceFailed | None = None
        try:
            training = _train(outlet, name, networks, dataset, device, measuring, stop)
        except DeviceFailed as error:
            if name in failed:
                raise
            failure = without_frames(error)
        except OutOfMemory:
            # Measurements in the background hold memory too, above all those of this cohort.
            measuring.join()
            if len(networks) == 1:
                raise
            waiting[:0] = _halve(outlet, name, networks)
        else:
            if not stop():
                yield training
                if waiting:  # parts are as large as memory allows: one at a time
                    measuring.join()
        if failure:
            failed.add(name)
            waiting.insert(0, (name, networks))
            gpu_path.step_down(TRAINING_PARTS, f"{failure}; once more on the plain path")


def _parts_that_fit(
    outlet: Outlet, cohort: Cohort, dataset: Dataset, device: torch.device
) -> list[tuple[str, tuple[Network, ...]]]:
    """Return the cohorts to train, (id, networks) each: first those that an earlier worker began, unchanged.

    Rounding depends on which networks share a matrix product, so a resumed study keeps its cohorts.
    """
    by_id = {network.id: network for network in cohort.networks}
    started = [
        (name, tuple(by_id[network] for network in history.networks))
        for name, history in outlet.snapshot.histories.items()
        if all(network in by_id for network in history.networks)
    ]
    taken = {network.id for _, networks in started for network in networks}
    rest = tuple(network for network in cohort.networks if network.id not in taken)
    if not rest:
        return started
    settings = outlet.snapshot.plan.settings
    parts = split(rest, dataset, settings, int(MEMORY_SHARE * free_bytes(device)))
    if len(parts) == 1 and not started:
        return [(cohort.id, parts[0])]
    return started + [(f"{cohort.id}.part{len(started) + number}", part) for number, part in enumerate(parts)]


def _halve(outlet: Outlet, name: str, networks: tuple[Network, ...]) -> list[tuple[str, tuple[Network, ...]]]:
    """Split a cohort that has exhausted the memory, and record that."""
    middle = len(networks) // 2
    halves = [(f"{name}.{number}", part) for number, part in enumerate((networks[:middle], networks[middle:]))]
    outlet.append(CohortSplit(cohort=name, into=tuple(half for half, _ in halves)))
    return halves


def _train(
    outlet: Outlet,
    name: str,
    networks: tuple[Network, ...],
    dataset: Dataset,
    device: torch.device,
    measuring: Measuring,
    stop: Callable[[], bool],
) -> CohortTraining:
    """Train one cohort to its last epoch or until `stop` and return it; it is saved at the end in both cases."""
    training = CohortTraining(networks, dataset, outlet.snapshot.plan.settings, device)
    plan = outlet.snapshot.plan
    epochs = plan.settings.training.epochs
    restore(outlet, name, training, measuring)
    if training.epochs_done < epochs or name not in outlet.snapshot.histories:
        names = tuple(network.id for network in training.networks)
        outlet.append(CohortStarted(cohort=name, networks=names, epoch=training.epochs_done))
    measuring.meanwhile(training)
    with CheckpointWriter(outlet, name, training) as writer:
        while not stop():
            if training.epochs_done in plan.epochs:
                # Also before layers are measured: a crash while measuring then does not cost the training so far.
                writer.save()
                writer.join()
                measuring.after_epoch(training)
            if training.epochs_done >= epochs or stop():
                break
            writer.record_epoch(training.epoch())
            if writer.due:
                writer.save()
        writer.save()
        writer.join()
    return training
