"""The state of a study at one moment: the events of its journal in one frozen value, and the reader of both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from embcx_tui.store import lock
from embcx_tui.store.chance import Flaw, flaw_at_chance, is_at_chance
from embcx_tui.store.contradictions import contradiction
from embcx_tui.store.history import History
from embcx_tui.store.jobs import Job, read_job
from embcx_tui.store.journal import read_journal
from embcx_tui.store.library import stored_settings
from embcx_tui.store.log import BOOKKEEPING, LogLine
from embcx_tui.store.machine_records import machine_differences
from embcx_tui.store.name_and_note import NO_LABEL, Label, read_label
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.plain_files import RereadFile
from embcx_tui.study import events
from embcx_tui.study.plan import Network, Plan, make_plan, sample_id
from embcx_tui.study.settings import HELD_OUT, SCORE_METHOD

LayerKey = tuple[str, str]  # (layer id, method)
EpochKey = tuple[str, int]  # (layer id, epoch)
Status = Literal["queued", "training", "stopped", "trained", "received", "measured", "diverged", "failed"]
State = Literal["queued", "running", "stopped", "complete", "failed", "lost"]


@dataclass(frozen=True, slots=True)
class NetworkState:
    """The state of one network. `epochs`: trained so far; accuracies 0 … 1; `loss`: the mean of the newest epoch.

    `at_chance`: trained on true labels, and `is_at_chance`.
    """

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
    worker: events.WorkerStarted | None = None
    accepted: bool = False
    ended: events.WorkerEnded | None = None
    machine: events.MachineDescribed | None = None
    machines: tuple[events.MachineDescribed, ...] = ()
    parts: Mapping[str, events.PartsChosen] = field(default_factory=dict)
    """How the networks of a cohort are dealt among hands, where they are."""
    hands: Mapping[int, events.HandJoined] = field(default_factory=dict)
    """The hands of the newest worker, those included that were lost."""
    datasets: Mapping[str, events.DatasetLoaded] = field(default_factory=dict)
    samples: Mapping[str, events.SampleDrawn] = field(default_factory=dict)
    histories: Mapping[str, History] = field(default_factory=dict)
    checkpoints: Mapping[str, events.CheckpointSaved] = field(default_factory=dict)
    diverged: Mapping[str, events.NetworkDiverged] = field(default_factory=dict)
    trained: Mapping[str, events.NetworkTrained] = field(default_factory=dict)
    described: Mapping[str, events.ModelDescribed] = field(default_factory=dict)
    """Networks of a measured study whose activations are at hand."""
    received: Mapping[str, events.ActivationsReceived] = field(default_factory=dict)
    """What a recorder handed over last of each network."""
    measured: Mapping[LayerKey, events.LayerMeasured] = field(default_factory=dict)
    failed: Mapping[LayerKey, events.LayerFailed] = field(default_factory=dict)
    earlier: Mapping[EpochKey, events.LayerMeasured] = field(default_factory=dict)
    earlier_failed: Mapping[EpochKey, events.LayerFailed] = field(default_factory=dict)
    log: tuple[LogLine, ...] = ()
    damaged: int = 0
    """Lines of the journal that could not be read or contradict the plan."""
    damage_reason: str = ""
    """What is wrong with the newest of them."""
    study_file: str = ""
    """The SHA-256 of study.toml as it was read, hexadecimal."""
    label: Label = NO_LABEL
    job: Job | None = None
    """The SLURM job that computes it, or is to."""

    @property
    def name(self) -> str:
        """What the study is called: by its label where that has a name, else by its study file."""
        return self.label.name or self.plan.settings.name

    @cached_property
    def networks(self) -> Mapping[str, NetworkState]:
        """The state of every network of the plan, in the plan's order, by id."""
        cohort_of = {network: history for history in self.histories.values() for network in history.networks}
        return {network.id: self._network(network, cohort_of.get(network.id)) for network in self.plan.networks}

    def _network(self, network: Network, history: History | None) -> NetworkState:
        methods = self.plan.settings.measure.methods
        layers = network.layer_ids()[network.first_layer :]
        keys = [(layer, method) for layer in layers for method in methods]
        measured = sum(key in self.measured for key in keys)
        trained, diverged = self.trained.get(network.id), self.diverged.get(network.id)
        status: Status
        if diverged:
            status = "diverged"
        elif any((layer, SCORE_METHOD) in self.failed for layer, _ in keys):
            status = "failed"
        elif trained or network.id in self.described:
            # Where another method failed, a picture is missing and the score is sound.
            done = all(key in self.measured or key in self.failed for key in keys)
            status = "measured" if done else "trained" if trained else "received"
        else:
            status = "queued" if history is None else "training" if self.state == "running" else "stopped"
        epochs, loss, train, test = 0, None, None, None
        if history:
            epochs = diverged.epoch if diverged else history.last
            loss, train, test = (history.latest(network.id, q) for q in ("loss", "train_accuracy", "test_accuracy"))
        if trained:
            epochs, train, test = trained.epochs, trained.train_accuracy, trained.test_accuracy
        dataset = self.datasets.get(network.dataset)
        chance = bool(trained) and network.control in (None, HELD_OUT) and is_at_chance(test, dataset)
        flaw = flaw_at_chance(train, dataset) if chance and dataset else None
        return NetworkState(network, status, epochs, loss, train, test, measured, chance, flaw)

    def layer(self, network: Network, layer: int, method: str = SCORE_METHOD) -> events.LayerMeasured | None:
        """Return the measurement of one layer of a network; layer 0, the input, is shared by its whole run."""
        return self.measured.get((network.layer_ids()[layer], method))

    def sample(self, network: Network) -> events.SampleDrawn | None:
        """Return the sample that a network's layers are measured on."""
        return self.samples.get(network.sample_id)

    @property
    def partly_failed(self) -> bool:
        """True where a network diverged, a layer could not be measured, or another method failed on one."""
        return bool(self.diverged or self.failed)

    @property
    def partly(self) -> bool:
        """True where the study is complete with something missing: where `run` ends with exit code 3."""
        return self.state == "complete" and bool(self.partly_failed or self.damage)

    @property
    def waiting(self) -> Job | None:
        """The SLURM job that the study waits for, or waited for and that is gone; None where it runs, or has none."""
        return self.job if self.job and self.job.matters and self.state != "running" else None

    @property
    def resumable(self) -> bool:
        """True where a worker would find something to do, and none is to come."""
        missing = bool(self.damage or self.failed or self.earlier_failed)
        if self.waiting and self.waiting.waits:
            return False
        return self.state in ("queued", "stopped", "failed", "lost") or (self.state == "complete" and missing)

    @cached_property
    def damage(self) -> str:
        """What of the journal was lost since the last worker began, in words; empty where nothing was.

        A worker computes again what was lost before it, so those lines are no damage any more.
        """
        parts = []
        lines = self.damaged - (self.worker.damaged if self.worker else 0)
        if lines > 0:
            parts.append(f"{lines:,} damaged line{'s' * (lines > 1)} in its journal ({self.damage_reason})")
        if self.state == "complete" and (lost := ", ".join(self._lost())):
            parts.append(f"its journal has lost {lost}")
        return "; ".join(parts)

    def _lost(self) -> Iterator[str]:
        """Yield what the journal of a complete study must say and does not, with counts."""
        plan, settings = self.plan, self.plan.settings
        layers = [layer for layer in plan.layers if layer.network not in self.diverged]
        scored = [layer for layer in layers if layer.network and plan.network_by_id[layer.network].control is None]
        final = self.measured.keys() | self.failed.keys()
        earlier = self.earlier.keys() | self.earlier_failed.keys()
        if not self.created:
            yield "its first line"
        for words, found in {
            "datasets": [dataset in self.datasets for dataset in settings.data.datasets],
            "samples": [sample_id(one.dataset, *of) in self.samples for one in plan.cohorts for of in one.samples],
            "networks": [one.id in self.ready for one in plan.networks if one.id not in self.diverged],
            "training curves": [one not in self.torn_curves for cohort in plan.cohorts for one in cohort.networks],
            "embeddings": [(layer.id, method) in final for layer in layers for method in settings.measure.methods],
            "scores after earlier epochs": [(layer.id, e) in earlier for layer in scored for e in plan.epochs],
        }.items():
            if not all(found):
                yield f"{found.count(False):,} of {len(found):,} {words}"

    @cached_property
    def epochs(self) -> tuple[int, ...]:
        """The epochs before the last after which layers were to be measured; of a recorder, those handed over."""
        if not self.plan.is_measured:
            return self.plan.epochs
        return tuple(sorted({epoch for _, epoch in (*self.earlier, *self.earlier_failed)}))

    @property
    def ready(self) -> Mapping[str, events.NetworkTrained | events.ModelDescribed]:
        """What is recorded of each network whose layers can be measured."""
        return self.described if self.plan.is_measured else self.trained

    @cached_property
    def torn_curves(self) -> frozenset[Network]:
        """Trained networks of which an epoch is not recorded, except diverged ones."""
        if self.plan.is_measured:
            return frozenset()
        whole = set(self.diverged)
        for history in self.histories.values():
            if history.has_all(self.plan.settings.training.epochs):
                whole.update(history.networks)
        return frozenset(one for cohort in self.plan.cohorts for one in cohort.networks if one.id not in whole)


def study_state(snapshot: Snapshot, running: bool) -> State:
    """Return the state of a study whose worker runs or does not: lost where it ended without a last line."""
    if running:
        return "running"
    if snapshot.worker is None and snapshot.ended is None:
        return "queued"
    return "lost" if snapshot.ended is None else snapshot.ended.outcome


def empty_snapshot(paths: StudyPaths) -> Snapshot:
    """Return the snapshot of a study before its first line; raises StoreError where its study.toml cannot be used."""
    settings, digest = stored_settings(paths)
    return Snapshot(paths.id, make_plan(settings), study_file=digest)


class StudyReader:
    """Follows one study; `poll` returns the newest snapshot, the same object while nothing changed."""

    def __init__(self, paths: StudyPaths) -> None:
        self.paths = paths
        self._position = 0
        self._label = RereadFile(paths.label, lambda: read_label(paths))
        self._job = RereadFile(paths.job, lambda: read_job(paths))
        self._snapshot = empty_snapshot(paths)

    def poll(self) -> Snapshot:
        """Read what is new. Raises StoreError where the journal cannot be read."""
        # The lock first: a worker that ends between the two reads wrote its last line before it released the lock.
        running = lock.is_running(self.paths)
        batch = read_journal(self.paths.journal, self._position)
        if batch.position < self._position:
            # The journal is shorter than what was read: its worker cut a torn tail, or it was replaced. Start over.
            self._position = 0
            self._snapshot = empty_snapshot(self.paths)
            return self.poll()
        self._position = batch.position
        snapshot = fold(self._snapshot, batch.events)
        state, label, job = study_state(snapshot, running), self._label.read(), self._job.read()
        if (state, label, job) != (snapshot.state, snapshot.label, snapshot.job):
            snapshot = replace(snapshot, state=state, label=label, job=job)
        self._snapshot = snapshot
        return snapshot


def read_study(paths: StudyPaths) -> Snapshot:
    """Return the snapshot of a study as it is now."""
    return StudyReader(paths).poll()


def fold(snapshot: Snapshot, added: Iterable[events.AnyEvent | events.LineDamaged]) -> Snapshot:
    """Return `snapshot` with the events of `added`. Pure; the same events in any batches give the same snapshot.

    Events that contradict the plan are left out, and counted as damaged lines.
    """
    draft = _Draft(snapshot)
    for event in added:
        draft.add(event)
    return draft.done()


class _Draft:
    """A snapshot that events are added to: each mapping is copied at most once per batch."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._before = snapshot
        self._values: dict[str, Any] = {}
        self._mappings: dict[str, dict[Any, Any]] = {}
        self._log: list[LogLine] = []
        # Epochs of cohorts that grow in this batch: never a dict that an older snapshot holds.
        self._epochs: dict[str, dict[int, events.EpochTrained]] = {}

    def _mapping(self, name: str) -> dict[Any, Any]:
        if name not in self._mappings:
            self._mappings[name] = dict(getattr(self._before, name))
        return self._mappings[name]

    def _count_damage(self, reason: str) -> None:
        self._values["damaged"] = self._values.get("damaged", self._before.damaged) + 1
        self._values["damage_reason"] = reason

    def add(self, event: events.AnyEvent | events.LineDamaged) -> None:
        if isinstance(event, events.LineDamaged):
            self._count_damage(event.reason)
            return
        if wrong := contradiction(event, self._before.plan, self._networks_of(event)):
            self._count_damage(f"it speaks of {wrong}")
            return
        self._values["updated"] = event.at
        if not isinstance(event, BOOKKEEPING):
            self._log.append(LogLine(event, self._before.plan, self._networks_of(event)))
        match event:
            case events.StudyCreated():
                self._values.update(created=event.at, version=event.version)
                if event.study_file and event.study_file != self._before.study_file:
                    self._count_damage("study.toml is not the one that the study was created with")
            case events.WorkerStarted():
                self._values.update(worker=event, ended=None, accepted=False)
                self._mapping("hands").clear()
            case events.WorkerEnded():
                self._values["ended"] = event
            case events.MachineDescribed():
                known: tuple[events.MachineDescribed, ...] = self._values.get("machines", self._before.machines)
                if all(machine_differences(one, event) for one in known):
                    known = (*known, event)
                self._values.update(machine=event, machines=known)
            case events.PartsChosen():
                self._mapping("parts")[event.cohort] = event
            case events.HandJoined():
                self._mapping("hands")[event.hand] = event
            case events.DatasetLoaded():
                self._mapping("datasets")[event.dataset] = event
            case events.StudyAccepted():
                self._values["accepted"] = True
            case events.SampleDrawn():
                self._mapping("samples")[sample_id(event.dataset, event.run, event.source)] = event
            case events.CohortStarted():
                self._start_cohort(event)
            case events.CohortSplit():
                self._mapping("histories").pop(event.cohort, None)
            case events.EpochTrained():
                self._add_epoch(event)
            case events.CheckpointSaved():
                self._mapping("checkpoints")[event.cohort] = event
            case events.NetworkDiverged():
                for name in (event.network, f"{event.network}-{HELD_OUT}"):
                    if name in self._before.plan.network_by_id:
                        self._mapping("diverged")[name] = event
            case events.NetworkTrained():
                self._mapping("trained")[event.network] = event
            case events.ModelDescribed():
                self._mapping("described")[event.network] = event
            case events.ActivationsReceived():
                self._mapping("received")[event.network] = event
            case events.LayerMeasured(epoch=int(epoch)):
                self._mapping("earlier")[event.layer_id, epoch] = event
                self._mapping("earlier_failed").pop((event.layer_id, epoch), None)
            case events.LayerFailed(epoch=int(epoch)):
                self._mapping("earlier_failed")[event.layer_id, epoch] = event
            case events.LayerMeasured():
                self._mapping("measured")[event.layer_id, event.method] = event
                self._mapping("failed").pop((event.layer_id, event.method), None)
            case events.LayerFailed():
                self._mapping("failed")[event.layer_id, event.method] = event

    def _history(self, cohort: str) -> History | None:
        return self._mappings.get("histories", self._before.histories).get(cohort)

    def _networks_of(self, event: events.AnyEvent) -> tuple[str, ...]:
        """Return the networks that the vectors of an epoch belong to."""
        known = self._history(event.cohort) if isinstance(event, events.EpochTrained) else None
        return known.networks if known else ()

    def _start_cohort(self, event: events.CohortStarted) -> None:
        known = self._history(event.cohort)
        # Epochs after the one that it continues from will be trained again and must not count as progress.
        before = known.epochs if known and known.networks == event.networks else {}
        kept = {epoch: trained for epoch, trained in before.items() if epoch <= event.epoch}
        # A part of a cohort goes on from the checkpoint of the whole; the epochs before that went with it.
        first = min(known.first, event.epoch) if known and before else event.epoch if "." in event.cohort else 0
        self._mapping("histories")[event.cohort] = History(event.networks, kept, first)
        self._epochs.pop(event.cohort, None)

    def _add_epoch(self, event: events.EpochTrained) -> None:
        known = self._history(event.cohort)
        if known:
            if event.cohort not in self._epochs:
                self._epochs[event.cohort] = dict(known.epochs)
            self._epochs[event.cohort][event.epoch] = event
            self._mapping("histories")[event.cohort] = History(known.networks, self._epochs[event.cohort], known.first)

    def done(self) -> Snapshot:
        if not self._values:
            return self._before
        return replace(self._before, **{**self._values, **self._mappings}, log=(*self._before.log, *self._log))
