"""The pending tasks of a study: those of its plan that have no sound result yet. Imports no numerics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from embcx_tui.store.files import is_intact
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.events import LayerMeasured, NetworkTrained, SampleDrawn, SealedFile
from embcx_tui.study.plan import Cohort, Layer, Network, cohort_layers, sample_id
from embcx_tui.study.settings import SCORE_METHOD

# Tells whether a file is there with the bytes that the journal announced.
Intact = Callable[[SealedFile], bool]


@dataclass(frozen=True, slots=True)
class Task:
    """One embedding to compute: of a layer, by a method, after an epoch (None: the last)."""

    layer: Layer
    method: str
    epoch: int | None = None

    @property
    def file(self) -> str:
        """The name of its array file."""
        suffix = ("" if self.method == SCORE_METHOD else f".{self.method}") + (
            "" if self.epoch is None else f".e{self.epoch}"
        )
        return f"{self.layer.id}{suffix}.npz"


def pending_tasks(intact: Intact, snapshot: Snapshot, cohort: Cohort) -> tuple[Task, ...]:
    """Return the tasks of `cohort` that have no sound result yet, except those of diverged networks.

    Layers that failed are among them: a later worker may have more memory or another library.
    """
    layers = [layer for layer in cohort_layers(cohort) if layer.network not in snapshot.diverged]
    trained = {network.id for network in cohort.networks if network.control is None}
    earlier = [
        Task(layer, SCORE_METHOD, epoch)
        for epoch in snapshot.plan.epochs
        for layer in layers
        if layer.network in trained and not _sound(intact, snapshot.earlier.get((layer.id, epoch)))
    ]
    methods = snapshot.plan.settings.measure.methods
    final = [
        Task(layer, method)
        for method in methods
        for layer in layers
        if not _sound(intact, snapshot.measured.get((layer.id, method)))
    ]
    return (*earlier, *final)


def unreported_networks(intact: Intact, snapshot: Snapshot, cohort: Cohort) -> tuple[Network, ...]:
    """Return the networks of `cohort` whose accuracies or predictions are not recorded, except diverged ones.

    In a measured study, which has neither, they are those that are not described.
    """
    if snapshot.plan.is_measured:
        return tuple(one for one in cohort.networks + cohort.controls if one.id not in snapshot.described)
    return tuple(
        network
        for network in cohort.networks + cohort.controls
        if network.id not in snapshot.diverged and not _sound(intact, snapshot.trained.get(network.id))
    )


def has_torn_curves(snapshot: Snapshot, cohort: Cohort) -> bool:
    """Return whether an epoch of a trained network is not recorded: only training the cohort again tells it."""
    return not snapshot.torn_curves.isdisjoint(cohort.networks)


def is_whole(paths: StudyPaths, snapshot: Snapshot) -> bool:
    """Return whether a study is complete and nothing of it is missing: every task of the plan has a result, and every
    file has the checksum of its line. Layers that failed are missing: a resumed study tries them again.
    """
    intact = partial(is_intact, paths.root)
    return (
        snapshot.state == "complete"
        and not snapshot.damage
        and all(
            not pending_tasks(intact, snapshot, cohort)
            and not unreported_networks(intact, snapshot, cohort)
            and all(_sound(intact, snapshot.samples.get(sample_id(cohort.dataset, *one))) for one in cohort.samples)
            for cohort in snapshot.plan.cohorts
        )
    )


def has_failed_layers(snapshot: Snapshot, cohort: Cohort) -> bool:
    """Return whether a layer of `cohort` could not be measured, at the end or after an epoch."""
    failed = {layer for layer, _ in (*snapshot.failed, *snapshot.earlier_failed)}
    return any(layer.id in failed for layer in cohort_layers(cohort))


def _sound(intact: Intact, record: LayerMeasured | NetworkTrained | SampleDrawn | None) -> bool:
    return record is not None and intact(record.file)
