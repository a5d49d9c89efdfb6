"""The state of a study at one moment: a pure fold of its journal's events into one frozen value."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from embcx_tui.store.log import BOOKKEEPING, LogLine
from embcx_tui.study import ids
from embcx_tui.study.events import (
    AnyEvent,
    CheckpointSaved,
    CohortSplit,
    CohortStarted,
    DatasetLoaded,
    EpochTrained,
    LayerFailed,
    LayerMeasured,
    MachineDescribed,
    NetworkDiverged,
    NetworkTrained,
    SampleDrawn,
    StudyAccepted,
    StudyCreated,
    WorkerEnded,
    WorkerStarted,
)
from embcx_tui.study.plan import Network, Plan
from embcx_tui.study.settings import SCORE_METHOD

LayerKey = tuple[str, str]  # (layer id, method)
EpochKey = tuple[str, int]  # (layer id, epoch)
Status = Literal["queued", "training", "stopped", "trained", "measured", "diverged", "failed"]
State = Literal["queued", "running", "stopped", "complete", "failed", "lost"]
Quantity = Literal["loss", "train_accuracy", "test_accuracy"]


@dataclass(frozen=True)
class History:
    """The epochs of one cohort, by epoch (1 …); vectors in the order of `networks`."""

    networks: tuple[str, ...]
    epochs: Mapping[int, EpochTrained] = field(default_factory=dict)

    @cached_property
    def index(self) -> Mapping[str, int]:
        """The position of each network in the vectors of an epoch."""
        return {network: index for index, network in enumerate(self.networks)}

    @property
    def last(self) -> int:
        """The newest epoch trained; 0 before the first."""
        return max(self.epochs, default=0)

    def curve(self, network: str, quantity: Quantity) -> NDArray[np.float64]:
        """Return one network's `quantity` over epochs 1 … last, NaN where unknown [last]."""
        index = self.index[network]
        values = np.full(self.last, np.nan)
        for epoch, event in self.epochs.items():
            value = getattr(event, quantity)[index]
            values[epoch - 1] = np.nan if value is None else value
        return values

    def latest(self, network: str, quantity: Quantity) -> float | None:
        """Return one network's newest `quantity`."""
        event = self.epochs.get(self.last)
        value: float | None = getattr(event, quantity)[self.index[network]] if event else None
        return value


Flaw = Literal["did not train", "does not generalise"]


def _chance_bound(share: float, n: int) -> float:
    """Return the accuracy on `n` inputs up to which a guess of the largest class, of this `share`, explains it."""
    return share + 3 * math.sqrt(share * (1 - share) / n)


@dataclass(frozen=True, slots=True)
class NetworkState:
    """The state of one network. `epochs`: trained so far; accuracies 0 … 1; `loss`: the mean of the newest epoch."""

    network: Network
    status: Status
    epochs: int
    loss: float | None
    train_accuracy: float | None
    test_accuracy: float | None
    layers_measured: int
    at_chance: bool = False
    """Trained on true labels, and no better on the test set than its largest class (within three standard errors)."""
    flaw: Flaw | None = None
    """Why it is at chance: no better on the training inputs either, or it has learnt those and no more."""


@dataclass(frozen=True)
class Snapshot:
    """Everything that the journal says, and the state, which the reader adds."""

    id: str
    plan: Plan
    state: State = "queued"
    created: float = 0.0
    updated: float = 0.0
    version: str = ""
    worker: WorkerStarted | None = None
    accepted: bool = False
    ended: WorkerEnded | None = None
    machine: MachineDescribed | None = None
    datasets: Mapping[str, DatasetLoaded] = field(default_factory=dict)
    samples: Mapping[str, SampleDrawn] = field(default_factory=dict)
    histories: Mapping[str, History] = field(default_factory=dict)
    checkpoints: Mapping[str, CheckpointSaved] = field(default_factory=dict)
    diverged: Mapping[str, NetworkDiverged] = field(default_factory=dict)
    trained: Mapping[str, NetworkTrained] = field(default_factory=dict)
    measured: Mapping[LayerKey, LayerMeasured] = field(default_factory=dict)
    failed: Mapping[LayerKey, LayerFailed] = field(default_factory=dict)
    earlier: Mapping[EpochKey, LayerMeasured] = field(default_factory=dict)
    earlier_failed: Mapping[EpochKey, LayerFailed] = field(default_factory=dict)
    log: tuple[LogLine, ...] = ()
    damaged: int = 0

    @property
    def name(self) -> str:
        return self.plan.settings.name

    @cached_property
    def networks(self) -> Mapping[str, NetworkState]:
        """The state of every network of the plan, in the plan's order, by id."""
        cohort_of = {network: history for history in self.histories.values() for network in history.networks}
        return {network.id: self._network(network, cohort_of.get(network.id)) for network in self.plan.networks}

    def _network(self, network: Network, history: History | None) -> NetworkState:
        methods = self.plan.settings.measure.methods
        keys = [(layer, method) for layer in network.layer_ids() for method in methods]
        measured = sum(key in self.measured for key in keys)
        trained = self.trained.get(network.id)
        status: Status
        if network.id in self.diverged:
            status = "diverged"
        elif any(key in self.failed for key in keys):
            status = "failed"
        elif measured == len(keys) and trained:
            status = "measured"
        elif trained:
            status = "trained"
        else:
            status = "queued" if history is None else "training" if self.state == "running" else "stopped"
        if trained:
            return NetworkState(
                network,
                status,
                trained.epochs,
                history.latest(network.id, "loss") if history else None,
                trained.train_accuracy,
                trained.test_accuracy,
                measured,
                at_chance := self._at_chance(network, trained.test_accuracy),
                self._flaw(network, trained.train_accuracy) if at_chance else None,
            )
        if history:
            loss, train, test = (history.latest(network.id, q) for q in ("loss", "train_accuracy", "test_accuracy"))
            diverged = self.diverged.get(network.id)
            epochs = diverged.epoch if diverged else history.last
            return NetworkState(network, status, epochs, loss, train, test, measured)
        return NetworkState(network, status, 0, None, None, None, measured)

    def _at_chance(self, network: Network, accuracy: float | None) -> bool:
        dataset = self.datasets.get(network.dataset)
        if network.control or accuracy is None or dataset is None or dataset.chance is None:
            return False
        return accuracy <= _chance_bound(dataset.chance, dataset.n_test)

    def _flaw(self, network: Network, train_accuracy: float | None) -> Flaw:
        """Return what is wrong with a network that is at chance on the test set."""
        dataset = self.datasets[network.dataset]
        learnt = train_accuracy is not None and train_accuracy > _chance_bound(dataset.chance or 0.0, dataset.n_train)
        return "does not generalise" if learnt else "did not train"

    def layer(self, network: Network, layer: int, method: str = SCORE_METHOD) -> LayerMeasured | None:
        """Return the measurement of one layer of a network; layer 0, the input, is shared by its whole run."""
        return self.measured.get((network.layer_ids()[layer], method))

    def sample(self, network: Network) -> SampleDrawn | None:
        """Return the sample that a network's layers are measured on."""
        return self.samples.get(ids.sample_id(network.dataset, network.run))

    @property
    def partly_failed(self) -> bool:
        """True where a network diverged or a layer could not be measured."""
        return bool(self.diverged or self.failed)


def fold(snapshot: Snapshot, events: Iterable[AnyEvent]) -> Snapshot:
    """Return `snapshot` with `events` added. Pure; the same events in any batches give the same snapshot."""
    draft = _Draft(snapshot)
    for event in events:
        draft.add(event)
    return draft.done()


class _Draft:
    """A snapshot that events are added to: each mapping is copied at most once per batch."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._before = snapshot
        self._changes: dict[str, object] = {}
        self._log: list[LogLine] = []

    def _mapping(self, name: str) -> dict[object, object]:
        if name not in self._changes:
            self._changes[name] = dict(getattr(self._before, name))
        mapping = self._changes[name]
        assert isinstance(mapping, dict)
        return mapping

    def add(self, event: AnyEvent) -> None:
        self._changes["updated"] = event.at
        if not isinstance(event, BOOKKEEPING):
            self._log.append(LogLine(event, self._before.plan, self._networks_of(event)))
        match event:
            case StudyCreated():
                self._changes["created"] = event.at
                self._changes["version"] = event.version
            case WorkerStarted():
                self._changes["worker"] = event
                self._changes["ended"] = None
                self._changes["accepted"] = False
            case WorkerEnded():
                self._changes["ended"] = event
            case MachineDescribed():
                self._changes["machine"] = event
            case DatasetLoaded():
                self._mapping("datasets")[event.dataset] = event
            case StudyAccepted():
                self._changes["accepted"] = True
            case SampleDrawn():
                self._mapping("samples")[ids.sample_id(event.dataset, event.run)] = event
            case CohortStarted():
                self._start_cohort(event)
            case CohortSplit():
                self._mapping("histories").pop(event.cohort, None)
            case EpochTrained():
                self._add_epoch(event)
            case CheckpointSaved():
                self._mapping("checkpoints")[event.cohort] = event
            case NetworkDiverged():
                self._mapping("diverged")[event.network] = event
            case NetworkTrained():
                self._mapping("trained")[event.network] = event
            case LayerMeasured(epoch=int(epoch)):
                self._mapping("earlier")[event.layer_id, epoch] = event
            case LayerFailed(epoch=int(epoch)):
                self._mapping("earlier_failed")[event.layer_id, epoch] = event
            case LayerMeasured():
                self._mapping("measured")[event.layer_id, event.method] = event
                self._mapping("failed").pop((event.layer_id, event.method), None)
            case LayerFailed():
                self._mapping("failed")[event.layer_id, event.method] = event
            case _:
                pass

    def _networks_of(self, event: AnyEvent) -> tuple[str, ...]:
        """Return the networks that the vectors of an epoch belong to."""
        histories = self._changes.get("histories", self._before.histories)
        assert isinstance(histories, Mapping)
        known = histories.get(event.cohort) if isinstance(event, EpochTrained) else None
        return known.networks if isinstance(known, History) else ()

    def _start_cohort(self, event: CohortStarted) -> None:
        histories = self._mapping("histories")
        known = histories.get(event.cohort)
        # Epochs after the one that it continues from will be trained again and must not count as progress.
        kept = (
            {epoch: trained for epoch, trained in known.epochs.items() if epoch <= event.epoch}
            if isinstance(known, History) and known.networks == event.networks
            else {}
        )
        histories[event.cohort] = History(event.networks, kept)
        self._changes.pop(f"{event.cohort}/epochs", None)

    def _add_epoch(self, event: EpochTrained) -> None:
        histories = self._mapping("histories")
        known = histories.get(event.cohort)
        if isinstance(known, History) and len(known.networks) == len(event.loss):
            # One growing dict per cohort and batch, never one that an older snapshot holds.
            grown = self._changes.setdefault(f"{event.cohort}/epochs", dict(known.epochs))
            assert isinstance(grown, dict)
            grown[event.epoch] = event
            histories[event.cohort] = History(known.networks, grown)

    def done(self) -> Snapshot:
        changes = {name: value for name, value in self._changes.items() if "/" not in name}
        if not changes:
            return self._before
        return replace(self._before, **changes, log=(*self._before.log, *self._log))  # type: ignore[arg-type]
