"""Calibration: some seconds of training steps, embeddings and files, from which every study's time is estimated."""

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
from embcx_tui.compute import datasets
from embcx_tui.compute.datasets import Dataset
from embcx_tui.compute.device import choose_device, cores, one_blas_thread
from embcx_tui.compute.metrics.embedding_quality import embedding_quality
from embcx_tui.compute.metrics.layer_metrics import METRICS, layer_metrics
from embcx_tui.compute.timing import Timing, medians, timed
from embcx_tui.compute.training.cohort import CohortTraining
from embcx_tui.compute.tsne.complexity import measure
from embcx_tui.compute.tsne.result import Measurement
from embcx_tui.store.files import make_folder, publish
from embcx_tui.store.machine_records import Calibration, store_calibration
from embcx_tui.store.paths import home
from embcx_tui.study.dataset_catalogue import CATALOGUE
from embcx_tui.study.plan import make_plan
from embcx_tui.study.settings import (
    Activation,
    DataSettings,
    MeasureSettings,
    NetworkSettings,
    StudySettings,
    TrainingSettings,
)
from embcx_tui.worker.machine import card_words

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
_NOISE_SEED = 0
_ROUNDS = 3
# Iterations of a layer, all starts together, on average over layers of MNIST networks, half of them untrained
# (docs/embedding-engine.md).
_ITERATIONS = 2_300
_CLASSES, _UNITS = 10, 100
# Layers embedded at once: enough to fill a GPU; on a CPU twice the cores.
_GPU_LAYERS = 64
_FILES = 8


def calibrate(device: torch.device) -> Calibration:
    """Measure this machine's speed on `device`, store it and return it; takes 3 to 6 s on two CPU cores.

    Other programs that run meanwhile count: a busy machine is a slow one.
    """
    started = max(time.time() - psutil.Process().create_time(), 0.0)
    operation, work, sparse, weight = _training(device)
    embedding, metrics = _embedding(device)
    calibration = Calibration(operation, work, sparse, weight, embedding, metrics, _write(), started)
    auto = device if device.type == "cuda" else choose_device("auto")
    store_calibration(str(device), calibration, card_words(auto) or str(auto), card_words(device))
    return calibration


def noise_dataset(name: str, n_train: int | None = None, n_test: int | None = None) -> Dataset:
    """Return random pixels and labels with the sizes of dataset `name` and its share of zeros: they cost the same."""
    facts = CATALOGUE[name]
    random = np.random.default_rng(_NOISE_SEED)

    def part(n: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        pixels = random.integers(1, 256, (n, facts.features), dtype=np.uint8)
        if facts.nonzero < 1:
            pixels *= random.random((n, facts.features), dtype=np.float32) < facts.nonzero
        return pixels, random.integers(0, len(facts.classes), n)

    train, test = part(n_train or facts.n_train), part(n_test or facts.n_test)
    return datasets.make_dataset(name, train, test, facts.classes, facts.shape)


def settings_for(
    dataset: str,
    *,
    depths: tuple[int, ...] = (5,),
    activations: tuple[Activation, ...] = ("logsig", "tanh", "softsign", "relu"),
    runs: int = 5,
    width: int = 100,
    epochs: int = 1,
    batch_size: int = 100,
) -> StudySettings:
    """Return the settings of a study on `dataset`; learning rate and momentum are every study's defaults."""
    return StudySettings(
        name="bench",
        data=DataSettings(datasets=(dataset,), samples_per_class=20),
        networks=NetworkSettings(depths=depths, width=width, activations=activations, runs=runs),
        training=TrainingSettings(epochs=epochs, batch_size=batch_size),
        measure=MeasureSettings(perplexity=30.0),
    )


def cohort(dataset: Dataset, settings: StudySettings, device: torch.device) -> CohortTraining:
    """Return the training of all networks of `settings` on `dataset`."""
    return CohortTraining(make_plan(settings).cohorts[0].networks, dataset, settings, device)


def even_seconds(timings: Sequence[Timing], threads: int) -> list[float]:
    """Return seconds of several pieces of work on `threads` threads, as if the machine were equally busy for each.

    Other programs slow one piece and spare the next, which wall time shows and processor time hardly does. So the
    processor times are taken, stretched by the median ratio of wall to processor time.
    """
    computed = [max(one.cpu_seconds, 1e-9) / threads for one in timings]
    stretch = median(one.seconds / cpu for one, cpu in zip(timings, computed, strict=True))
    return [cpu * stretch for cpu in computed]


def _training(device: torch.device) -> tuple[float, float, float, float]:
    """Return seconds per unit of each count of `step_parts`, fitted to the epochs of small cohorts."""
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
    seconds = [one.seconds for one in steps] if device.type == "cuda" else even_seconds(steps, torch.get_num_threads())
    # Divided by what was measured: each cohort's error counts as a share of its time.
    rows = np.asarray(counts) / np.asarray(seconds)[:, None]
    scale = rows.max(axis=0)
    fitted, _ = nnls(rows / scale, np.ones(len(rows)))
    operation, work, sparse, weight = (fitted / scale).tolist()
    return operation, work, sparse, weight


def _embedding(device: torch.device) -> tuple[float, float]:
    """Return seconds per t-SNE embedding of 1,000 points, one of many, and per layer's metrics, on all cores."""
    count = _GPU_LAYERS if device.type == "cuda" else 2 * cores()
    layers = [_clusters(seed) for seed in range(count)]
    measurement = Measurement(device=str(device))
    list(measure(layers[:1], [0], measurement))  # compiled, or loaded
    measured, descents = timed(lambda: dict(measure(layers, [0] * count, measurement)))
    iterations = sum(complexity.spent for complexity in measured.values()) / count
    labels = np.repeat(np.arange(_CLASSES), CALIBRATED_POINTS // _CLASSES)

    def describe(indices: range) -> None:
        for index in indices:
            layer_metrics(layers[index], labels, METRICS, index)
            embedding_quality(layers[index], measured[index].points, labels)

    with one_blas_thread():  # as in a study: one thread per layer
        describe(range(1))
        _, beside = timed(lambda: describe(range(cores())))
    # A study computes one layer per core: processor time counts, stretched by how busy the machine is.
    describing = Timing(beside.seconds, beside.cpu_seconds).per(cores())
    if device.type == "cuda":
        seconds = [descents.per(count).seconds, describing.seconds / cores()]
    else:
        seconds = even_seconds(
            [descents.per(count), Timing(describing.seconds / cores(), describing.cpu_seconds)], cores()
        )
    return seconds[0] * _ITERATIONS / iterations, seconds[1]


def _clusters(seed: int) -> NDArray[np.float32]:
    """Return ten overlapping clouds of points [1,000, 100], like the classes of a hidden layer."""
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
        times = [timed(lambda: publish(folder / "points.npz", data, follow=True))[1].seconds for _ in range(_FILES)]
    finally:
        for path in folder.glob("*"):
            path.unlink()
        folder.rmdir()
    return 1.5 * median(times)  # the file with its folder's entry, and half as much again for the line
