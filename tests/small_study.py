"""A real study folder with made-up but plausible numbers, written by the real writer."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from embcx_tui.store.files import read_arrays, write_arrays
from embcx_tui.store.journal import JournalWriter
from embcx_tui.store.library import create_study
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import Snapshot, read_study
from embcx_tui.study.events import (
    CohortStarted,
    DatasetLoaded,
    EpochTrained,
    LayerMeasured,
    NetworkDiverged,
    NetworkTrained,
    SampleDrawn,
    SealedFile,
)
from embcx_tui.study.plan import Layer, make_plan, sample_id
from embcx_tui.study.settings import StudySettings, validate

CLASSES = tuple("0123456789")
PER_CLASS = 12


def settings(
    *, datasets: Sequence[str] = ("mnist",), measure: Mapping[str, object] | None = None, **networks: object
) -> StudySettings:
    return validate(
        {
            "name": "small",
            "data": {"datasets": list(datasets), "samples_per_class": PER_CLASS},
            "networks": {"depths": [5], "activations": ["logsig", "relu"], "runs": 3, **networks},
            "training": {"epochs": 8},
            "measure": dict(measure or {}),
        }
    )


def complexity(layer: int, run: int, control: bool) -> float:
    """Return a made-up score (nats): falling where trained, rising where not, 1 % between runs."""
    return (0.95 + 0.1 * layer * control - 0.11 * layer * (not control)) * (1 + 0.01 * (run - 1))


@dataclass(frozen=True)
class SmallStudy:
    paths: StudyPaths

    @property
    def snapshot(self) -> Snapshot:
        return read_study(self.paths)

    def load(self, file: SealedFile) -> Mapping[str, NDArray[Any]]:
        return read_arrays(self.paths.root, file)


def write(
    asked: StudySettings | None = None,
    *,
    skip: frozenset[str] = frozenset(),
    degenerate: frozenset[str] = frozenset(),
    diverged: frozenset[str] = frozenset(),
    chance: frozenset[str] = frozenset(),
    spread: float = 0.0,
    classes: tuple[str, ...] = CLASSES,
) -> SmallStudy:
    """Write a study in which the layers `skip` are not measured, `degenerate` are, and some networks diverged.

    Networks `chance` have learned nothing. With `spread` networks differ in score and accuracy by about that share.
    """
    # What a test reads back at once need not survive a power cut.
    with patch("os.fsync", lambda fd: None):
        return _write(asked or settings(), skip, degenerate, diverged, chance, spread, classes)


def _write(
    asked: StudySettings,
    skip: frozenset[str],
    degenerate: frozenset[str],
    diverged: frozenset[str],
    chance: frozenset[str],
    spread: float,
    classes: tuple[str, ...],
) -> SmallStudy:
    paths = create_study(asked)
    plan = make_plan(asked)
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), PER_CLASS)
    journal = JournalWriter(paths.journal)
    for cohort in plan.cohorts:
        journal.append(
            DatasetLoaded(
                dataset=cohort.dataset, n_train=100, n_test=1000, features=4, classes=classes, shape=None, chance=0.1
            )
        )
        for run in cohort.runs:
            name = f"{sample_id(cohort.dataset, run)}.npz"
            arrays = {"index": np.arange(len(labels)), "label": labels, "input": rng.random((len(labels), 4))}
            file = write_arrays(paths.arrays, name, arrays)
            journal.append(SampleDrawn(dataset=cohort.dataset, run=run, points=len(labels), file=file))
        names = tuple(network.id for network in cohort.networks)
        journal.append(CohortStarted(cohort=cohort.id, networks=names, epoch=0))
        for epoch in range(1, asked.training.epochs + 1):
            loss = tuple(None if name in diverged else 2 * 0.7**epoch for name in names)
            right = tuple(1 - 0.5 * 0.7**epoch for _ in names)
            journal.append(
                EpochTrained(
                    cohort=cohort.id, epoch=epoch, loss=loss, train_accuracy=right, test_accuracy=right, seconds=0.1
                )
            )
        for network in (*cohort.networks, *cohort.controls):
            if network.id in diverged:
                journal.append(NetworkDiverged(network=network.id, epoch=3))
                continue
            file = write_arrays(paths.arrays, f"{network.id}.npz", {"predicted": labels})
            accuracy = 0.1 if network.id in chance else 0.97 - 0.2 * spread * _luck(network.id)
            journal.append(
                NetworkTrained(network=network.id, epochs=8, train_accuracy=0.99, test_accuracy=accuracy, file=file)
            )
    for event in _layers(paths, asked, skip, degenerate, diverged, spread, rng):
        journal.append(event)
    journal.close()
    return SmallStudy(paths)


def _layers(
    paths: StudyPaths,
    asked: StudySettings,
    skip: frozenset[str],
    degenerate: frozenset[str],
    diverged: frozenset[str],
    spread: float,
    rng: np.random.Generator,
) -> Iterator[LayerMeasured]:
    plan = make_plan(asked)
    labels = np.repeat(np.arange(10), PER_CLASS)
    by_id = {network.id: network for network in plan.networks}
    for layer in plan.layers:
        if layer.id in skip or layer.network in diverged:
            continue
        control = layer.network is not None and by_id[layer.network].control is not None
        kl = complexity(layer.layer, layer.run, control) * (1 + spread * _luck(layer.network or ""))
        for method in asked.measure.methods:
            name = f"{layer.id}{'' if method == 'tsne' else '-' + method}.npz"
            width = 3 + (method != "tsne") * 12 + layer.layer * (1 if control else -0.3)
            points = (rng.normal(0, 20, (10, 2))[labels] + rng.normal(0, width, (len(labels), 2))).astype(np.float32)
            file = write_arrays(paths.arrays, name, {"points": points})
            yield _measured(layer, method, kl, layer.id in degenerate, len(labels), file)
        if layer.network and not control:
            for epoch in plan.epochs:
                rest = 0.6**epoch
                early = kl * (1 - rest) + complexity(layer.layer, layer.run, True) * rest
                event = _measured(layer, "tsne", early, False, len(labels), file)
                yield event.model_copy(update={"epoch": epoch})


def _luck(name: str) -> float:
    """Return a number (0 … 1) that depends on the name alone."""
    return (zlib.crc32(name.encode()) % 1000) / 1000 if name else 0.0


def _measured(
    layer: Layer, method: str, kl: float, degenerate: bool, points: int, file: SealedFile
) -> LayerMeasured:  # fmt: skip
    good = 0.98 if method == "tsne" else 0.85
    return LayerMeasured(
        layer_id=layer.id,
        network=layer.network,
        dataset=layer.dataset,
        run=layer.run,
        layer=layer.layer,
        units=100,
        method=method,
        engine="exact",
        perplexity=30.0,
        points=points,
        seed=1,
        kl=kl if method == "tsne" else None,
        explained=0.8,
        degenerate=degenerate,
        duplicates=0,
        converged=True,
        iterations=1000,
        gradient_norm=1e-5,
        relative_change=1e-6,
        restart_kls=(),
        seconds=0.1,
        file=file,
        quality={"trustworthiness": good, "continuity": good - 0.01, "knn_2d": good - 0.02 * (7 - layer.layer)},
    )
