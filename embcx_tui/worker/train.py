"""Training cohorts: checkpoints, going on from them, and smaller cohorts where memory is short.

The device trains on while epochs are told and checkpoints are written: one thread does both, in their order.
"""

from __future__ import annotations

import glob
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import TracebackType

import safetensors
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from embcx_tui.compute.datasets import Dataset
from embcx_tui.compute.device import OutOfMemory, free_bytes
from embcx_tui.compute.training.cohort import CohortTraining, EpochReport, split
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
from embcx_tui.worker.measure import Measuring
from embcx_tui.worker.process import Journal

# A crash loses at most about this much training; saving takes 0.1 s for fig2 and some seconds for the whole paper.
CHECKPOINT_S = 30.0
# Saving may take this share of the time at most: large checkpoints on slow disks are written less often.
CHECKPOINT_SHARE = 0.05
# Of the memory that is free at the start: the rest is for measuring, and for others.
MEMORY_SHARE = 0.6
# Epochs and checkpoints that wait to be written; a slower disk then slows the training down instead of filling memory.
_MOST_UNTOLD = 4


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
            # What is measured beside holds memory too, this cohort's own not least.
            measuring.settle()
            if len(networks) == 1:
                raise
            middle = len(networks) // 2
            halves = [(f"{name}.{number}", part) for number, part in enumerate((networks[:middle], networks[middle:]))]
            journal.tell(CohortSplit(cohort=name, into=tuple(half for half, _ in halves)))
            waiting[:0] = halves
        else:
            if not stop():
                yield training
                if waiting:  # parts are as large as memory allows: one at a time
                    measuring.settle()


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
    measuring.meanwhile(training)
    with CheckpointWriter(paths, journal, name, training) as scribe:
        while not stop():
            if training.epochs_done in plan.epochs:
                # Before layers are measured, too: a crash then does not cost the training up to here.
                scribe.save()
                scribe.settle()
                measuring.after_epoch(training)
            if training.epochs_done >= epochs or stop():
                break
            scribe.tell(training.epoch())
            if scribe.due:
                scribe.save()
        scribe.save()
        scribe.settle()


class CheckpointWriter:
    """Tells the epochs of one cohort and writes its checkpoints, in order, in a thread beside the training.

    An error there (a full disk) is raised by the next call. A `with` block waits for what is under way.
    """

    def __init__(self, paths: StudyPaths, journal: Journal, name: str, training: CohortTraining) -> None:
        self._paths = paths
        self._journal = journal
        self._name = name
        self._training = training
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="scribe")
        self._under_way: deque[Future[None]] = deque()
        self._saved_epoch = training.epochs_done
        self._saved_at = time.monotonic()
        self._saving_s = 0.0

    def __enter__(self) -> CheckpointWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True)

    @property
    def due(self) -> bool:
        """Whether a checkpoint should be written again."""
        return time.monotonic() - self._saved_at > max(CHECKPOINT_S, self._saving_s / CHECKPOINT_SHARE)

    def tell(self, report: EpochReport) -> None:
        """Tell of an epoch, and of the networks that diverged in it."""
        self._do(partial(self._tell, report, dict(self._training.diverged)))

    def save(self) -> None:
        """Write a checkpoint of the training as it stands, where the newest one is older."""
        if self._training.epochs_done == self._saved_epoch:
            return
        self._saved_epoch = self._training.epochs_done
        begun = time.monotonic()
        self._do(partial(self._save, self._training.state(), self._saved_epoch, begun))
        self._saved_at = time.monotonic()

    def settle(self) -> None:
        """Wait until all is written; raises what went wrong."""
        while self._under_way:
            self._under_way.popleft().result()

    def _do(self, call: Callable[[], None]) -> None:
        while self._under_way and (self._under_way[0].done() or len(self._under_way) > _MOST_UNTOLD):
            self._under_way.popleft().result()
        self._under_way.append(self._pool.submit(call))

    def _tell(self, report: EpochReport, diverged: dict[str, int]) -> None:
        self._journal.tell(
            EpochTrained(
                cohort=self._name,
                epoch=report.epoch,
                loss=tuple(one.loss for one in report.networks),
                train_accuracy=tuple(one.train_accuracy for one in report.networks),
                test_accuracy=tuple(one.test_accuracy for one in report.networks),
                seconds=report.seconds,
            )
        )
        for network, epoch in diverged.items():
            if network not in self._journal.snapshot.diverged:
                self._journal.tell(NetworkDiverged(network=network, epoch=epoch))

    def _save(self, state: dict[str, Tensor], epoch: int, begun: float) -> None:
        # The older file goes only after the newer one's line: whenever a crash comes, the last line has its file whole.
        path = self._paths.checkpoints / f"{self._name}.epoch{epoch}.safetensors"
        digest = publish(path, save_tensors(state))
        sealed = SealedFile(name=f"{path.parent.name}/{path.name}", sha256=digest)
        self._journal.tell(CheckpointSaved(cohort=self._name, epoch=epoch, file=sealed))
        for older in path.parent.glob(f"{glob.escape(self._name)}.epoch*.safetensors"):
            if older != path:
                older.unlink(missing_ok=True)
        self._saving_s = time.monotonic() - begun


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
    own = {network.id for network in training.networks}
    earlier = [task for task in measuring.left() if task.epoch is not None and task.epoch < saved.epoch]
    if any(task.layer.network in own for task in earlier):
        return  # a result of an earlier epoch was damaged: only training again leads there
    if not is_intact(paths.root, saved.file):
        journal.tell(Noted(level="warning", text=f"checkpoint {path.name} is damaged; training its networks again"))
        return
    try:
        training.load_state(load_tensors(path.read_bytes()))
    except safetensors.SafetensorError:
        journal.tell(Noted(level="warning", text=f"checkpoint {path.name} is damaged; training its networks again"))
