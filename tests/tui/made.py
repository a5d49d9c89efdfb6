"""Study folders as a worker leaves them, written by the real writer: complete, running, lost, failed, stopped, queued.

Numbers are invented but look like the paper's: complexity falls with depth in trained networks, rises in untrained
ones. Everything derives from the arguments, so pictures of a screen repeat. `python -m tests.tui.made HOME` fills a
home with one study of each state, to look at.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import numpy as np
import psutil
from numpy.typing import NDArray

from embcx_tui.store import library
from embcx_tui.store.arrays import write_arrays
from embcx_tui.store.journal import JournalWriter, seal_line
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.reader import boot_id, read_study
from embcx_tui.store.telemetry import Telemetry, TelemetryWriter
from embcx_tui.study import ids
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
    WorkerEnded,
    WorkerStarted,
)
from embcx_tui.study.plan import Cohort, Layer, Network, cohort_layers, make_plan
from embcx_tui.study.presets import load_preset
from embcx_tui.study.seeds import stream_seed
from embcx_tui.study.settings import StudySettings, validate

# Monday 2 November 2026, 09:00 UTC: the morning all made studies were created on.
START = 1_793_610_000.0
# What a made study is called unless told, and its id.
STUDY_ID = "k7m2x9q4fa"
HOST = "gpu-box"
DEVICE = "CPU (2 cores)"

MadeState = Literal["queued", "running", "complete", "stopped", "failed", "lost"]
Outcome = Literal["complete", "stopped", "failed"]

# How far one activation function pulls the classes apart, as in the paper's figure 2.
_PULL = {"relu": 0.62, "softsign": 0.50, "tanh": 0.46, "logsig": 0.34}
# How many neighbours a worker stores of each row.
_NEAR = 10
_NO_FILE = SealedFile(name="arrays/none.npz", sha256="0" * 64)

# Holds the lock as a worker does; on SIGTERM it writes the sealed last line it was given, as a worker's last word.
_HOLDER = """
import fcntl, os, signal, sys
lock, journal, last = sys.argv[1], sys.argv[2], bytes.fromhex(sys.argv[3])
fd = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
fcntl.lockf(fd, fcntl.LOCK_EX)
def end(*_):
    with open(journal, "ab") as file:
        file.write(last)
    os._exit(0)
signal.signal(signal.SIGTERM, end)
print("held", flush=True)
sys.stdin.read()
"""
_holders: list[subprocess.Popen[bytes]] = []


@dataclass
class Made:
    """A study folder and, while it runs, the process that holds its lock."""

    paths: StudyPaths
    settings: StudySettings
    holder: subprocess.Popen[bytes] | None = None

    def append(self, *events: AnyEvent) -> None:
        """Write more lines to the journal, as the worker does."""
        writer = JournalWriter(self.paths.journal)
        try:
            for event in events:
                writer.append(event)
        finally:
            writer.close()

    def measure_after(self, *epochs: int) -> None:
        """Measure the trained layers after `epochs` too: each KL is 1.5 less a tenth of the epoch."""
        known = read_study(self.paths).measured
        self.append(
            *(
                event.model_copy(update={"epoch": epoch, "kl": 1.5 - epoch / 10})
                for (layer_id, _), event in known.items()
                for epoch in epochs
                if event.network and "untrained" not in layer_id
            )
        )

    def end(self, outcome: Outcome | None = "complete", reason: str = "", at: float = START + 600) -> None:
        """Let the worker say its last word and go; with None it goes without a word, as a killed one does."""
        if outcome:
            self.append(WorkerEnded(at=at, outcome=outcome, reason=reason))
        self.release()

    def release(self) -> None:
        """End the process that holds the lock."""
        if self.holder:
            self.holder.kill()
            self.holder.wait()
            assert self.holder.stdin and self.holder.stdout
            self.holder.stdin.close()
            self.holder.stdout.close()
            if self.holder in _holders:
                _holders.remove(self.holder)
            self.holder = None


def release_all() -> None:
    """End every process that holds a made study's lock."""
    for process in _holders:
        process.kill()
        process.wait()
    _holders.clear()


def settings_of(preset: str = "demo", **overrides: Any) -> StudySettings:
    """Return a preset's settings; `networks__runs=2` sets `networks.runs`."""
    values = load_preset(preset).settings.model_dump(mode="json")
    for key, value in overrides.items():
        section, _, name = key.rpartition("__")
        (values[section] if section else values)[name] = value
    return validate(values)


def make_study(
    settings: StudySettings | None = None,
    state: MadeState = "complete",
    *,
    study_id: str = STUDY_ID,
    at: float = START,
    epochs: int | None = None,
    measured: int | None = None,
    diverged: Sequence[str] = (),
    at_chance: Sequence[str] = (),
    broken: Sequence[str] = (),
    reason: str = "",
    arrays: bool = True,
    telemetry: int = 0,
) -> Made:
    """Write a study created at `at` and let it get as far as asked: `epochs` trained, `measured` layers.

    Unless told, a complete study has everything, any other half of its epochs and no layer. `diverged` are ids of
    networks, `at_chance` of those that learn nothing, `broken` ids of layers that could not be measured. Without
    `arrays` the files that events announce do not exist (quicker). `telemetry`: seconds of GPU and host samples.
    """
    settings = settings or settings_of()
    with (
        patch.object(library, "short_hash", return_value=study_id),
        patch("embcx_tui.store.library.time.time", return_value=at),
    ):
        paths = library.create_study(settings)
    os.utime(paths.study_file, (at, at))
    made = Made(paths, settings)
    if state == "queued":
        return made
    if state == "running":
        made.holder = _hold(paths, at)
    made.append(_worker(at, made.holder.pid if made.holder else 4_000_000))
    whole = state == "complete"
    events = list(
        events_of(
            made,
            at=at,
            epochs=settings.training.epochs if epochs is None and whole else epochs,
            measured=measured if measured is not None else (None if whole else 0),
            diverged=diverged,
            at_chance=at_chance,
            broken=broken,
            arrays=arrays,
        )
    )
    made.append(*events)
    if state in ("complete", "stopped", "failed"):
        made.append(WorkerEnded(at=events[-1].at + 1, outcome=state, reason=reason))
    if telemetry:
        _write_telemetry(paths, events[-1].at, telemetry)
    return made


def _hold(paths: StudyPaths, at: float) -> subprocess.Popen[bytes]:
    last = seal_line(WorkerEnded(at=at + 600, outcome="stopped", reason="asked to stop")).hex()
    process = subprocess.Popen(
        [sys.executable, "-S", "-E", "-c", _HOLDER, str(paths.lock), str(paths.journal), last],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    _holders.append(process)
    return process


def _worker(at: float, pid: int) -> WorkerStarted:
    try:
        started = psutil.Process(pid).create_time()
        host = socket.gethostname()
    except psutil.Error:
        started, host = at, HOST
    return WorkerStarted(at=at + 1, pid=pid, start_time=started, boot_id=boot_id(), host=host)


def events_of(
    made: Made,
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
    plan = make_plan(made.settings)
    training = made.settings.training
    upto = training.epochs // 2 if epochs is None else epochs
    left = len(plan.layers) if measured is None else measured
    clock = at + 2
    yield MachineDescribed(at=clock, device=DEVICE, cores=2, memory=8 << 30, versions={"torch": "2.11.0"})
    for cohort in plan.cohorts:
        known = facts(cohort.dataset)
        assert known, "made studies use named datasets"
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
            file = _sample_file(made.paths, cohort, run, points, known.shape) if arrays else _NO_FILE
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
                yield _trained(made.paths, network, training.epochs, points, clock, arrays, learnt)
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
                yield _measured(made, layer, owner, points, clock, arrays)


def _noise(*key: object) -> np.random.Generator:
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
        wobble = float(_noise(network.id, epoch).normal(0, 0.004))
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
    labels = _labels(points)
    rows, columns, channels = shape
    noise = _noise(cohort.dataset, run)
    # A bar whose slope tells the class: enough to recognise a digit's image by.
    y, x = np.mgrid[0:rows, 0:columns]
    angle = labels[:, None, None] * np.pi / 10
    distance = (x - columns / 2 + 0.5) * np.cos(angle) + (y - rows / 2 + 0.5) * np.sin(angle)
    image = np.exp(-(distance**2) / (0.02 * rows * columns)) + noise.normal(0, 0.05, (points, rows, columns))
    inputs = np.repeat(np.clip(image, 0, 1)[..., None], channels, axis=3).reshape(points, -1).astype(np.float32)
    return write_arrays(
        paths.arrays,
        f"{ids.sample_id(cohort.dataset, run)}.npz",
        {"index": np.arange(points), "label": labels, "input": inputs},
    )


def _labels(points: int) -> NDArray[np.int64]:
    return np.arange(points, dtype=np.int64) % 10


def _trained(
    paths: StudyPaths, network: Network, epochs: int, points: int, at: float, arrays: bool, learnt: bool
) -> NetworkTrained:
    noise = _noise(network.id)
    right = 0.94 + 0.03 * _PULL[network.activation] if learnt else 0.10
    labels = _labels(points)
    wrong = noise.random(points) > right
    predicted = np.where(wrong, (labels + noise.integers(1, 10, points)) % 10, labels)
    file = write_arrays(paths.arrays, f"{network.id}.npz", {"predicted": predicted}) if arrays else _NO_FILE
    return NetworkTrained(
        at=at,
        network=network.id,
        epochs=0 if network.control else epochs,
        train_accuracy=round(min(right + 0.02, 0.999), 4),
        test_accuracy=round(right + float(noise.normal(0, 0.002)), 4),
        file=file,
    )


def _measured(made: Made, layer: Layer, network: Network | None, points: int, at: float, arrays: bool) -> LayerMeasured:
    noise = _noise(layer.id)
    # 0 at the input, near 1 where the classes have come apart; negative where an untrained network mixes them.
    apart = 0.0
    if network:
        share = layer.layer / network.depth
        apart = -0.35 * share if network.control else _PULL[network.activation] * share
    kl = 0.95 * (1 - apart) + float(noise.normal(0, 0.012))
    settings = made.settings
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
        file=_points_file(made.paths, layer, apart, points, noise) if arrays else _NO_FILE,
    )


def _points_file(paths: StudyPaths, layer: Layer, apart: float, points: int, noise: np.random.Generator) -> SealedFile:
    labels = _labels(points)
    angle = labels * 2 * np.pi / 10 + 0.3 * (labels % 2)
    centre = np.stack([np.cos(angle), np.sin(angle)], axis=1) * (18 + 22 * (labels % 3 == 0)[:, None])
    # The same noise for every layer of a run, so that a point can be followed from layer to layer.
    same = _noise(layer.dataset, layer.run).normal(0, 1, (points, 2))
    spread = 9.0 - 6.5 * max(apart, 0.0)
    placed = centre * (0.65 + 0.7 * apart) + same * spread + noise.normal(0, 0.8, (points, 2))
    arrays: dict[str, NDArray[Any]] = {"points": placed.astype(np.float32)}
    if points % 10 == 0 and points > 10 * _NEAR:
        arrays["neighbours"] = _neighbours(placed, noise)
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


def _write_telemetry(paths: StudyPaths, until: float, seconds: int) -> None:
    writer = TelemetryWriter(paths.telemetry)
    try:
        for second in range(seconds):
            load = 55 + 35 * np.sin(second / 9)
            writer.append(
                Telemetry(
                    at=until - seconds + second,
                    cpu_percent=round(float(load), 1),
                    memory_used=3 << 30,
                    memory_total=8 << 30,
                )
            )
    finally:
        writer.close()


def one_of_each(now: float) -> list[Made]:
    """Write one study of every state, the newest created shortly before `now`."""
    hour = 3600.0
    small = settings_of(networks__runs=2, training__epochs=20)
    return [
        make_study(settings_of("fig2", networks__runs=2), "complete", study_id="a2c4e6g8j0", at=now - 50 * hour),
        make_study(
            settings_of(name="half precision", training__epochs=20, networks__runs=1),
            "failed",
            study_id="b3d5f7h9k1",
            at=now - 26 * hour,
            reason="CUDA out of memory: 3.2 GiB asked for, 1.1 GiB free",
            arrays=False,
        ),
        make_study(
            settings_of(name="deep ladder", networks__depths=[1, 3, 7], networks__runs=2),
            "stopped",
            study_id="c4e6g8j0m2",
            at=now - 5 * hour,
            arrays=False,
        ),
        make_study(small, "complete", study_id="d5f7h9k1n3", at=now - 2 * hour, telemetry=60),
        make_study(settings_of(name="overnight"), "lost", study_id="e6g8j0m2p4", at=now - 0.06 * hour, arrays=False),
        make_study(
            settings_of("fig2", networks__runs=3, training__epochs=40),
            "running",
            study_id="f7h9k1n3q5",
            at=now - 25,
            epochs=22,
            telemetry=120,
        ),
        make_study(settings_of(name="next in line"), "queued", study_id="g8j0m2p4r6", at=now - 5),
    ]


if __name__ == "__main__":
    import time

    os.environ["EMBCX_HOME"] = str(Path(sys.argv[1]).absolute())
    for one in one_of_each(time.time()):
        print(one.paths.id, one.settings.name)
    print("press Ctrl-C to end the running one", flush=True)
    try:
        time.sleep(100_000)
    finally:
        release_all()
