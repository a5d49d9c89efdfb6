"""What a worker writes into its journal, with invented numbers that look like the paper's, and the array files.

Complexity falls with depth in trained networks and rises in untrained ones. Everything derives from the arguments, so
snapshots of a screen repeat.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcx_tui.store.files import write_arrays
from embcx_tui.store.paths import StudyPaths
from embcx_tui.study.dataset_catalogue import facts
from embcx_tui.study.events import (
    AnyEvent,
    CohortStarted,
    DatasetLoaded,
    EpochTrained,
    LayerFailed,
    LayerMeasured,
    MachineDescribed,
    NetworkDiverged,
    NetworkTrained,
    SampleDrawn,
    SealedFile,
)
from embcx_tui.study.plan import Cohort, Layer, Network, cohort_layers, make_plan, sample_id
from embcx_tui.study.seeds import stream_seed
from embcx_tui.study.settings import StudySettings

# Monday 2 November 2026, 09:00 UTC: the morning all fake studies were created on.
START = 1_793_610_000.0
DEVICE = "CPU (2 cores)"

# How far one activation function pulls the classes apart, as in the paper's figure 2.
_PULL = {"relu": 0.62, "softsign": 0.50, "tanh": 0.46, "logsig": 0.34}
# How many neighbours a worker stores of each row.
_NEAR = 10
NO_FILE = SealedFile(name="arrays/none.npz", sha256="0" * 64)


def events_of(
    paths: StudyPaths,
    settings: StudySettings,
    *,
    at: float = START,
    epochs: int | None = None,
    measured: int | None = None,
    diverged: Sequence[str] = (),
    at_chance: Sequence[str] = (),
    broken: Sequence[str] = (),
    arrays: bool = True,
) -> Iterator[AnyEvent]:
    """Yield what a worker writes between its first and its last line; `epochs` None: half, `measured` None: all."""
    plan = make_plan(settings)
    if plan.is_measured:
        from tests.fake_measured import measured_events

        yield from measured_events(paths, settings, at, measured, broken, arrays)
        return
    training = settings.training
    upto = training.epochs // 2 if epochs is None else epochs
    left = len(plan.layers) if measured is None else measured
    clock = at + 2
    yield MachineDescribed(at=clock, device=DEVICE, cores=2, memory=8 << 30, versions={"torch": "2.11.0"})
    for cohort in plan.cohorts:
        known = facts(cohort.dataset)
        assert known, "fake studies use named datasets"
        yield DatasetLoaded(
            at=clock,
            dataset=known.name,
            n_train=known.n_train,
            n_test=known.n_test,
            features=known.features,
            classes=known.classes,
            shape=known.shape,
            chance=0.1,
        )
        points = plan.points(cohort.dataset) or 0
        for run in cohort.runs:
            file = _sample_file(paths, cohort, run, points, known.shape) if arrays else NO_FILE
            yield SampleDrawn(at=clock, dataset=cohort.dataset, run=run, points=points, file=file)
        yield CohortStarted(
            at=clock, cohort=cohort.id, networks=tuple(network.id for network in cohort.networks), epoch=0
        )
        for epoch in range(1, upto + 1):
            clock += 1.0
            yield _epoch(cohort, epoch, clock, diverged)
            for lost in diverged:
                if epoch == 2 and lost in {one.id for one in cohort.networks}:
                    yield NetworkDiverged(at=clock, network=lost, epoch=epoch)
        if upto < training.epochs:
            return
        for network in cohort.networks + cohort.controls:
            if network.id not in diverged:
                learnt = network.control is None and network.id not in at_chance
                yield _trained(paths, network, training.epochs, points, clock, arrays, learnt)
        by_id = {network.id: network for network in plan.networks}
        for layer in cohort_layers(cohort):
            if layer.network in diverged:
                continue
            if left <= 0:
                return
            left -= 1
            clock += 0.5
            if layer.id in broken:
                yield LayerFailed(
                    at=clock,
                    layer_id=layer.id,
                    network=layer.network,
                    layer=layer.layer,
                    method="tsne",
                    reason="out of memory at 1,000 points",
                )
            else:
                owner = by_id[layer.network] if layer.network else None
                yield _measured(paths, settings, layer, owner, points, clock, arrays)


def noise_of(*key: object) -> np.random.Generator:
    return np.random.default_rng(stream_seed(7, str(key), 0, "made"))


def _epoch(cohort: Cohort, epoch: int, at: float, diverged: Sequence[str]) -> EpochTrained:
    loss: list[float | None] = []
    train: list[float | None] = []
    test: list[float | None] = []
    for network in cohort.networks:
        if network.id in diverged and epoch >= 2:
            for values in (loss, train, test):
                values.append(None)
            continue
        wobble = float(noise_of(network.id, epoch).normal(0, 0.004))
        rest = np.exp(-epoch * (0.10 + 0.12 * _PULL[network.activation]))
        loss.append(round(float(2.30 * rest + 0.02 + abs(wobble)), 5))
        train.append(round(float(min(0.999, 0.995 - 0.89 * rest + wobble)), 5))
        test.append(round(float(min(0.998, 0.972 - 0.87 * rest + wobble)), 5))
    return EpochTrained(
        at=at,
        cohort=cohort.id,
        epoch=epoch,
        loss=tuple(loss),
        train_accuracy=tuple(train),
        test_accuracy=tuple(test),
        seconds=1.0,
    )


def _sample_file(paths: StudyPaths, cohort: Cohort, run: int, points: int, shape: tuple[int, int, int]) -> SealedFile:
    labels = labels_of(points)
    rows, columns, channels = shape
    noise = noise_of(cohort.dataset, run)
    # A bar whose slope tells the class: enough to recognise a digit's image by.
    y, x = np.mgrid[0:rows, 0:columns]
    angle = labels[:, None, None] * np.pi / 10
    distance = (x - columns / 2 + 0.5) * np.cos(angle) + (y - rows / 2 + 0.5) * np.sin(angle)
    image = np.exp(-(distance**2) / (0.02 * rows * columns)) + noise.normal(0, 0.05, (points, rows, columns))
    inputs = np.repeat(np.clip(image, 0, 1)[..., None], channels, axis=3).reshape(points, -1).astype(np.float32)
    return write_arrays(
        paths.arrays,
        f"{sample_id(cohort.dataset, run)}.npz",
        {"index": np.arange(points), "label": labels, "input": inputs},
    )


def labels_of(points: int) -> NDArray[np.int64]:
    return np.arange(points, dtype=np.int64) % 10


def _trained(
    paths: StudyPaths, network: Network, epochs: int, points: int, at: float, arrays: bool, learnt: bool
) -> NetworkTrained:
    noise = noise_of(network.id)
    right = 0.94 + 0.03 * _PULL[network.activation] if learnt else 0.10
    labels = labels_of(points)
    wrong = noise.random(points) > right
    predicted = np.where(wrong, (labels + noise.integers(1, 10, points)) % 10, labels)
    file = write_arrays(paths.arrays, f"{network.id}.npz", {"predicted": predicted}) if arrays else NO_FILE
    return NetworkTrained(
        at=at,
        network=network.id,
        epochs=0 if network.control else epochs,
        train_accuracy=round(min(right + 0.02, 0.999), 4),
        test_accuracy=round(right + float(noise.normal(0, 0.002)), 4),
        file=file,
    )


def _measured(
    paths: StudyPaths,
    settings: StudySettings,
    layer: Layer,
    network: Network | None,
    points: int,
    at: float,
    arrays: bool,
) -> LayerMeasured:
    noise = noise_of(layer.id)
    # 0 at the input, near 1 where the classes have come apart; negative where an untrained network mixes them.
    apart = 0.0
    if network:
        share = layer.layer / network.depth
        apart = -0.35 * share if network.control else _PULL[network.activation] * share
    kl = 0.95 * (1 - apart) + float(noise.normal(0, 0.012))
    return LayerMeasured(
        at=at,
        layer_id=layer.id,
        network=layer.network,
        dataset=layer.dataset,
        run=layer.run,
        layer=layer.layer,
        units=settings.networks.width if network else (facts(layer.dataset) or facts("digits")).features,  # type: ignore[union-attr]  # digits are known
        method="tsne",
        engine=settings.measure.engine,
        perplexity=settings.measure.perplexity,
        points=points,
        seed=layer.run,
        kl=round(kl, 5),
        explained=None,
        degenerate=False,
        duplicates=0,
        converged=True,
        iterations=750,
        gradient_norm=1e-5,
        relative_change=1e-7,
        restart_kls=(round(kl, 5),),
        seconds=0.5,
        file=points_file(paths, layer, apart, points, noise, kl) if arrays else NO_FILE,
    )


def points_file(
    paths: StudyPaths, layer: Layer, apart: float, points: int, noise: np.random.Generator, kl: float
) -> SealedFile:
    """Write a layer's points [points, 2], their neighbours, and their shares of `kl`: later classes have more."""
    labels = labels_of(points)
    angle = labels * 2 * np.pi / 10 + 0.3 * (labels % 2)
    centre = np.stack([np.cos(angle), np.sin(angle)], axis=1) * (18 + 22 * (labels % 3 == 0)[:, None])
    # The same noise for every layer of a run, so that a point can be followed from layer to layer.
    same = noise_of(layer.dataset, layer.run).normal(0, 1, (points, 2))
    spread = 9.0 - 6.5 * max(apart, 0.0)
    placed = centre * (0.65 + 0.7 * apart) + same * spread + noise.normal(0, 0.8, (points, 2))
    arrays: dict[str, NDArray[Any]] = {"points": placed.astype(np.float32)}
    if points % 10 == 0 and points > 10 * _NEAR:
        arrays["neighbours"] = _neighbours(placed, noise)
    weights = 10.0 + labels + 3 * np.sin(np.arange(points))
    arrays["kl"] = (kl * weights / weights.sum()).astype(np.float32)
    return write_arrays(paths.arrays, f"{layer.id}.npz", arrays)


def _neighbours(placed: NDArray[np.float64], noise: np.random.Generator) -> NDArray[np.uint16]:
    """Return rows [n, 10] as near in a layer: of the same class, by the plane and an axis it does not show; the last
    of another class.
    """
    n = len(placed)
    rows = np.arange(n).reshape(-1, 10).T  # [class, place]
    axes = np.column_stack([placed, noise.normal(0, 3, n)])[rows]
    distances = np.linalg.norm(axes[:, :, None] - axes[:, None], axis=3)
    distances[:, np.arange(n // 10), np.arange(n // 10)] = np.inf
    nearest = distances.argsort(axis=2)[:, :, : _NEAR - 1]
    near = np.empty((n, _NEAR), dtype=np.uint16)
    near[rows, : _NEAR - 1] = np.take_along_axis(rows[:, None], nearest, axis=2)
    near[:, _NEAR - 1] = (np.arange(n) + noise.integers(1, 10, n)) % n
    return near
