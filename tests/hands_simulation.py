"""How long N GPUs take, by simulation, and how much the one writer of a study takes in, by measurement.

    python -m tests.hands_simulation

The parts are those that `study.parts.deal` makes; what a part takes follows from `GPU`, which are **estimates** by
arithmetic (docs/bench.md, "Open on a GPU"), until a machine with GPUs replaces them. Hands take parts largest first.
"""

from __future__ import annotations

import hashlib
import heapq
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

from embcx_tui.store.library import create_study
from embcx_tui.study.events import LayerMeasured, SealedFile, encode
from embcx_tui.study.parts import as_cohorts, cost, deal, largest_first
from embcx_tui.study.plan import Cohort, cohort_layers, make_plan
from embcx_tui.study.settings import StudySettings, validate
from embcx_tui.worker.frames import Frame, FrameReader, Kind, file_frames
from embcx_tui.worker.journal import Journal
from embcx_tui.worker.part_writer import PartWriter

_INPUTS, _BATCH, _FEATURES, _WIDTH = 50_000, 100, 784, 100


@dataclass(frozen=True)
class Gpu:
    """Seconds of a launch (in a CUDA graph), of a float32 operation, of an embedding, and of a hand's start."""

    launch: float = 2e-6
    operation: float = 1 / 20e12
    embedding: float = 1.5e-3
    start: float = 8.0


GPU = Gpu()
# Seconds of a processor core for the metrics and quality of a layer (0.15 s of two cores, docs/bench.md), and the cores
# of a machine that each GPU has.
_METRICS_S, _CORES_PER_GPU = 0.3, 16


def settings(runs: int, epochs: int) -> StudySettings:
    """Return the paper's grid on two datasets, seven depths and four activations, with so many runs."""
    return validate(
        {
            "data": {"datasets": ["mnist", "fashion-mnist"]},
            "networks": {"depths": [1, 2, 3, 4, 5, 6, 7], "runs": runs},
            "training": {"epochs": epochs},
        }
    )


def seconds(part: Cohort, epochs: int) -> float:
    """Return what a GPU takes for a part: launches or arithmetic, whichever is longer, then layers likewise."""
    depth = max(network.depth for network in part.networks)
    weights = sum(_FEATURES * _WIDTH + network.depth * _WIDTH * _WIDTH for network in part.networks)
    step = max((7 + 5 * depth) * GPU.launch, 6 * _BATCH * weights * GPU.operation)
    layers = len(cohort_layers(part))
    measuring = layers * max(GPU.embedding, _METRICS_S / _CORES_PER_GPU)
    return epochs * (_INPUTS // _BATCH) * step + measuring


def makespan(parts: Sequence[Cohort], gpus: int, epochs: int) -> float:
    """Return the seconds until the last of `gpus` hands has no part left."""
    free = [GPU.start] * gpus
    for part in largest_first(parts):
        heapq.heapreplace(free, free[0] + seconds(part, epochs))
    return max(free)


def simulate() -> None:
    """Print makespans beside one GPU and beside the ideal, which is one GPU's time without its start, divided."""
    print("networks  epochs  GPUs  parts   makespan  against one GPU   results/s at the writer")
    for runs, epochs in ((5, 100), (5, 1_000), (178, 100)):
        cohorts = make_plan(settings(runs, epochs)).cohorts
        networks = sum(len(cohort.networks) for cohort in cohorts)
        layers = sum(len(cohort_layers(cohort)) for cohort in cohorts)
        one = makespan(cohorts, 1, epochs)
        for gpus in (1, 8, 64):
            for each in sorted({1, gpus // 2 or 1, gpus}):
                parts = [part for cohort in cohorts for part in as_cohorts(cohort, deal(cohort, each))]
                took = makespan(parts, gpus, epochs)
                print(
                    f"{networks:8,}  {epochs:6,}  {gpus:4}  {len(parts):5}  {took:8.0f} s  {one / took:10.1f} times"
                    f"   {(layers + networks) / took:12.1f}"
                )


def measure_writer(results: int = 400) -> None:
    """Print how many results a second one thread takes in, at the beginning of a large study and further on."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["EMBCX_HOME"] = home
        journal = Journal(create_study(settings(178, 100)))
        (part, _) = journal.snapshot.plan.cohorts
        writer = PartWriter(journal, part, 0)
        layers = iter([layer for layer in cohort_layers(part) if layer.network])
        data = os.urandom(15_000)
        for done in range(0, 5 * results, results):
            frames = [frame for _ in range(results) for frame in _result(next(layers), data)]
            wall, processor = time.perf_counter(), time.process_time()
            for frame in frames:
                writer.take(frame)
            wall, processor = time.perf_counter() - wall, time.process_time() - processor
            rate = f"{results / wall:6.0f} results/s, {results * len(data) / wall / 1e6:5.1f} MB/s"
            print(f"after {done:5,}: {rate}, {1e3 * processor / results:.2f} ms of a core each")
        # A checkpoint: one large file.
        large = os.urandom(256 << 20)
        wall = time.perf_counter()
        journal.publish("checkpoints", "one.safetensors", large)
        print(f"a checkpoint of 268 MB: {len(large) / (time.perf_counter() - wall) / 1e6:.0f} MB/s")


def _result(layer: object, data: bytes) -> list[Frame]:
    from embcx_tui.study.plan import Layer

    assert isinstance(layer, Layer)
    name = f"arrays/{layer.id}.npz"
    data = data + layer.id.encode()
    file = SealedFile(name=name, sha256=hashlib.sha256(data).hexdigest())
    event = LayerMeasured(
        layer_id=layer.id, network=layer.network, dataset=layer.dataset, run=layer.run, layer=layer.layer, units=100,
        method="tsne", engine="exact", perplexity=30.0, points=1_000, seed=1, kl=1.0, explained=0.5, degenerate=False,
        duplicates=0, converged=True, iterations=900, gradient_norm=1e-4, relative_change=1e-6, restart_kls=(1.0,),
        seconds=0.1, file=file, metrics=dict.fromkeys("abcdef", 0.5), quality=dict.fromkeys("uvw", 0.5),
    )  # fmt: skip
    frames = [frame for raw in file_frames(file, data) for frame in FrameReader().feed(raw)]
    return [*frames, Frame(Kind.EVENT, encode(event))]


if __name__ == "__main__":
    parts = as_cohorts((whole := make_plan(settings(5, 100)).cohorts[0]), deal(whole, 8))
    print(f"8 parts of 140 networks cost {', '.join(str(cost(part)) for part in parts)} layers")
    simulate()
    measure_writer()
