"""Checkpoints of a cohort's training: written beside it, and taken up again by a resumed study.

The device trains on while epochs are recorded and checkpoints are written: one thread does both, in their order.
"""

from __future__ import annotations

import time
from functools import partial

import safetensors
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from embcx_tui.compute.training.cohort import CohortTraining, EpochReport
from embcx_tui.study.errors import StoreError
from embcx_tui.study.events import CheckpointSaved, EpochTrained, NetworkDiverged, Noted
from embcx_tui.worker.background import ThreadQueue
from embcx_tui.worker.measure import Measuring
from embcx_tui.worker.outlet import Outlet

# A crash loses at most about this much training; saving takes 0.1 s for fig2 and some seconds for the whole paper.
CHECKPOINT_S = 30.0
# Saving may take this share of the time at most: large checkpoints on slow disks are written less often.
CHECKPOINT_SHARE = 0.05
# Epochs and checkpoints that wait to be written.
_MAX_PENDING_WRITES = 4


class CheckpointWriter(ThreadQueue):
    """Records the epochs of one cohort and writes its checkpoints, in order, in a thread beside the training.

    An error there (a full disk) is raised by the next call.
    """

    def __init__(self, outlet: Outlet, name: str, training: CohortTraining) -> None:
        super().__init__("checkpoints", _MAX_PENDING_WRITES)
        self._outlet = outlet
        self._name = name
        self._training = training
        self._saved_epoch = training.epochs_done
        self._saved_at = time.monotonic()
        self._saving_s = 0.0

    @property
    def due(self) -> bool:
        """Whether the next checkpoint should be written now."""
        return time.monotonic() - self._saved_at > max(CHECKPOINT_S, self._saving_s / CHECKPOINT_SHARE)

    def record_epoch(self, report: EpochReport) -> None:
        """Record an epoch, and the networks that diverged in it."""
        self.submit(partial(self._record_epoch, report, dict(self._training.diverged)))

    def save(self) -> None:
        """Write a checkpoint of the training as it stands, unless the newest one is of this epoch."""
        if self._training.epochs_done == self._saved_epoch:
            return
        self._saved_epoch = self._training.epochs_done
        start = time.monotonic()
        self.submit(partial(self._save, self._training.state(), self._saved_epoch, start))
        self._saved_at = time.monotonic()

    def _record_epoch(self, report: EpochReport, diverged: dict[str, int]) -> None:
        self._outlet.append(
            EpochTrained(
                cohort=self._name,
                epoch=report.epoch,
                loss=tuple(network.loss for network in report.networks),
                train_accuracy=tuple(network.train_accuracy for network in report.networks),
                test_accuracy=tuple(network.test_accuracy for network in report.networks),
                seconds=report.seconds,
            )
        )
        for network, epoch in diverged.items():
            if network not in self._outlet.snapshot.diverged:
                self._outlet.append(NetworkDiverged(network=network, epoch=epoch))

    def _save(self, state: dict[str, Tensor], epoch: int, start: float) -> None:
        name = f"{self._name}.epoch{epoch}.safetensors"
        sealed = self._outlet.publish("checkpoints", name, save_tensors(state))
        self._outlet.keep_checkpoint(CheckpointSaved(cohort=self._name, epoch=epoch, file=sealed))
        self._saving_s = time.monotonic() - start


def restore(outlet: Outlet, name: str, training: CohortTraining, measuring: Measuring) -> None:
    """Load the newest checkpoint of cohort `name`, or of the larger cohort that it was split from, into `training`.

    Without a usable checkpoint, or where results of an earlier epoch are missing, `training` stays at its start.
    """
    saved, history = None, outlet.snapshot.histories.get(name)
    while saved is None and name:
        saved = outlet.snapshot.checkpoints.get(name)
        name = name.rpartition(".")[0]
    if saved is None:
        return
    if not outlet.exists(saved.file):
        return  # removed after its cohort was measured; a result was damaged later, so the cohort is trained again
    network_ids = {network.id for network in training.networks}
    earlier = [task for task in measuring.pending() if task.epoch is not None and task.epoch < saved.epoch]
    if any(task.layer.network in network_ids for task in earlier):
        return  # a result of an earlier epoch was damaged: only training again leads there
    if history and not history.has_all(saved.epoch):
        return  # and a lost epoch is recorded only by training it
    try:
        training.load_state(load_tensors(outlet.read(saved.file)))
        return
    except (StoreError, safetensors.SafetensorError):
        pass
    file = saved.file.name.rpartition("/")[2]
    outlet.append(Noted(level="warning", text=f"checkpoint {file} is damaged; training its networks again"))
