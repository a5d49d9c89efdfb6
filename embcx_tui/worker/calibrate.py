"""A calibration of this machine: some seconds of steps, embeddings and files, from which every study is estimated."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from statistics import median

import numpy as np
import psutil
import torch
from numpy.typing import NDArray

from embcx_tui.analysis.forecast import CALIBRATED_POINTS, sizes, step_parts
from embcx_tui.bench.timing import Timing, medians, timed
from embcx_tui.bench.workloads import cohort, noise_dataset, settings_for
from embcx_tui.compute.device import choose_device, cores, one_blas_thread
from embcx_tui.compute.metrics.embedding_quality import embedding_quality
from embcx_tui.compute.metrics.layer_metrics import METRICS, layer_metrics
from embcx_tui.compute.tsne.complexity import measure
from embcx_tui.compute.tsne.result import Measurement
from embcx_tui.store.calibration import Calibration, remember, stored
from embcx_tui.store.files import make_folder, publish
from embcx_tui.store.paths import home

# (dataset of that size, training inputs, depth, runs, batch): ruled by calls, by arithmetic, by weights, by arithmetic
# again, and one whose pixels are mostly zero.
# Epochs of a tenth of a second and more: what begins and ends an epoch, some milliseconds, does not count.
_COHORTS = (
    ("digits", 8_000, 3, 3, 100),
    ("fashion-mnist", 6_000, 5, 2, 100),
    ("fashion-mnist", 2_000, 5, 2, 10),
    ("mnist", 6_000, 5, 2, 100),
    ("svhn", 2_000, 4, 2, 100),
)
_ROUNDS = 3
# Iterations until the certificate, on average over 480 hidden layers of MNIST networks, half of them untrained
# (docs/results.md).
_ITERATIONS = 1_660
_CLASSES, _UNITS = 10, 100
# Layers at once: enough to fill a GPU, and twice the cores otherwise.
_GPU_LAYERS = 64
_FILES = 8


def calibrate(device: torch.device) -> Calibration:
    """Measure this machine's speed on `device`, keep it for the next time and return it; 3 to 6 s on two CPU cores.

    A busy machine looks slow, as it is.
    """
    started = max(time.time() - psutil.Process().create_time(), 0.0)
    operation, work, sparse, weight = _training(device)
    embedding, metrics = _embedding(device)
    found = Calibration(operation, work, sparse, weight, embedding, metrics, _write(), started)
    remember(str(device), found, str(choose_device("auto")))
    return found


def calibrated(device: torch.device) -> Calibration:
    """Return what is known of `device`, measuring it where nothing is."""
    return stored(str(device)) or calibrate(device)


def _even(timings: Sequence[Timing], threads: int) -> list[float]:
    """Return seconds of several pieces of work on `threads` threads, each as if the machine were as busy all the time.

    Other programs hit one piece and spare the next, and processor time hardly: so its pattern is taken, stretched by
    the middle one of the ratios of wall to processor time.
    """
    computed = [max(one.cpu_seconds, 1e-9) / threads for one in timings]
    stretch = median(one.seconds / cpu for one, cpu in zip(timings, computed, strict=True))
    return [cpu * stretch for cpu in computed]


def _training(device: torch.device) -> tuple[float, float, float, float]:
    """Return seconds of what `step_parts` counts, that fit the epochs of small cohorts."""
    from scipy.optimize import nnls

    counts: list[tuple[float, float, float, float]] = []
    steps: list[Timing] = []
    for name, n_train, depth, runs, batch in _COHORTS:
        data = noise_dataset(name, n_train, n_test=1)
        settings = settings_for(name, depths=(depth,), runs=runs, batch_size=batch)
        training = cohort(data, settings, device)
        training.epoch()  # buffers are allocated, a graph is captured
        steps.append(medians([timed(training.epoch)[1].per(training.steps) for _ in range(_ROUNDS)]))
        counts.append(step_parts(training.networks, sizes(name, settings), settings))
    seconds = [one.seconds for one in steps] if device.type == "cuda" else _even(steps, torch.get_num_threads())
    # Divided by what was measured: each cohort's error counts as a share of its time.
    rows = np.asarray(counts) / np.asarray(seconds)[:, None]
    scale = rows.max(axis=0)
    fitted, _ = nnls(rows / scale, np.ones(len(rows)))
    operation, work, sparse, weight = (fitted / scale).tolist()
    return operation, work, sparse, weight


def _embedding(device: torch.device) -> tuple[float, float]:
    """Return seconds a t-SNE embedding of 1,000 points, among many, and of the numbers beside it, on all cores."""
    count = _GPU_LAYERS if device.type == "cuda" else 2 * cores()
    layers = [_clusters(seed) for seed in range(count)]
    measurement = Measurement(device=str(device))
    list(measure(layers[:1], [0], measurement))  # compiled, or loaded
    found, descents = timed(lambda: dict(measure(layers, [0] * count, measurement)))
    iterations = sum(complexity.iterations for complexity in found.values()) / count
    labels = np.repeat(np.arange(_CLASSES), CALIBRATED_POINTS // _CLASSES)

    def describe(places: range) -> None:
        for place in places:
            layer_metrics(layers[place], labels, METRICS, place)
            embedding_quality(layers[place], found[place].points, labels)

    with one_blas_thread():  # as in a study: one thread a layer
        describe(range(1))
        _, beside = timed(lambda: describe(range(cores())))
    # One layer a core: processor time is what counts, stretched as the machine is busy.
    describing = Timing(beside.seconds, beside.cpu_seconds).per(cores())
    if device.type == "cuda":
        seconds = [descents.per(count).seconds, describing.seconds / cores()]
    else:
        seconds = _even([descents.per(count), Timing(describing.seconds / cores(), describing.cpu_seconds)], cores())
    return seconds[0] * _ITERATIONS / iterations, seconds[1]


def _clusters(seed: int) -> NDArray[np.float32]:
    """Return ten clouds of points [1,000, 100] that overlap, as the classes of a hidden layer do."""
    random = np.random.default_rng(seed)
    centres = np.repeat(random.standard_normal((_CLASSES, _UNITS)), CALIBRATED_POINTS // _CLASSES, axis=0)
    # Few directions within a class: the intrinsic dimension of a layer is some ten.
    within = random.standard_normal((CALIBRATED_POINTS, 12)) @ random.standard_normal((12, _UNITS)) * 0.4
    return np.asarray(np.tanh(centres + within), dtype=np.float32)


def _write() -> float:
    """Return seconds of a result on the disk of the studies: its file and its journal line, both synced."""
    folder = home() / f".calibration-{secrets.token_hex(6)}"
    make_folder(folder)
    try:
        data = bytes(8 * CALIBRATED_POINTS)
        times = [timed(lambda: publish(folder / "points.npz", data))[1].seconds for _ in range(_FILES)]
    finally:
        for path in folder.glob("*"):
            path.unlink()
        folder.rmdir()
    return 1.5 * median(times)  # the file with its folder's entry, and half as much again for the line
