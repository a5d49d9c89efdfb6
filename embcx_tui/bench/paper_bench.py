"""`bench paper`: the paper's whole experiment on this machine, from measured pieces; and where studies' time goes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from embcx_tui.analysis.forecast import forecast
from embcx_tui.bench.embed_bench import PERPLEXITY
from embcx_tui.bench.machine import Say, describe_machine, with_peak
from embcx_tui.bench.reference import library_cost, loop_cost, with_libraries
from embcx_tui.bench.results import Breakdown, CostRow, LibraryCost, PaperResult, PartRow, cost_row
from embcx_tui.bench.train_bench import PartialEpochs, without_test
from embcx_tui.bench.workloads import Trained, choose_dataset
from embcx_tui.compute import datasets
from embcx_tui.compute.datasets import Dataset
from embcx_tui.compute.device import choose_device
from embcx_tui.compute.memory import free_bytes, memory_estimate
from embcx_tui.compute.timing import Timing, medians, record_parts, timed
from embcx_tui.compute.tsne.complexity import measure
from embcx_tui.compute.tsne.result import Measurement
from embcx_tui.compute.tsne.schedule import never
from embcx_tui.store.library import create_study
from embcx_tui.store.machine_records import Calibration, store_calibration, stored_calibration
from embcx_tui.store.paths import data_folder, unpacked_folder
from embcx_tui.study.plan import make_plan
from embcx_tui.study.settings import StudySettings, load_preset
from embcx_tui.worker.calibrate import noise_dataset, settings_for
from embcx_tui.worker.journal import Journal
from embcx_tui.worker.machine import card_words
from embcx_tui.worker.run import compute_study

DATASETS = ("mnist", "svhn")
DEPTHS = (1, 2, 3, 4, 5, 6, 7)
RUNS = 5
EPOCHS = 100
# Hidden layers of all networks: 28 × 4 activations × 2 datasets × 5 runs.
EMBEDDINGS = sum(DEPTHS) * 4 * len(DATASETS) * RUNS
# Steps of a measured piece and inputs of a measured test: a step of 140 networks is some 0.1 s on two cores.
STEPS, TESTED = 10, 2_000
ROUNDS = 3
# The parts of a study, in the order of the table; the functions and blocks marked `timed_part` name them.
PARTS = (
    "load",
    "train",
    "test",
    "activations",
    "P",
    "descent and score",
    "metrics",
    "quality of the plane",
    "files and journal",
)


def bench_paper(quick: bool, large: bool, device: torch.device, calibration: Calibration, say: Say) -> PaperResult:
    """Return the result of `bench paper` on `device`, as docs/bench.md lists it.

    `quick` takes small cohorts and small studies: a check that it works, whose sum means nothing. `large` computes the
    whole of fig2 instead of a part (a quarter of an hour on two cores).
    """
    machine = describe_machine(device)
    rows: list[CostRow] = []
    memory: dict[str, dict[str, int]] = {}
    for name in DATASETS:
        say(f"steps of {name}'s cohort")
        parts, memory[name] = _training(name, quick, device)
        rows += parts
    say("embeddings")
    layers, words = _layers(quick, device)
    rows += _embeddings(layers, words, device, calibration)
    preset = make_plan(load_preset("paper").settings)
    breakdowns = _breakdowns(quick, large, device, calibration, say)
    return {
        "seconds": sum(row["seconds"] for row in rows),
        "rows": rows,
        "machine": machine,
        "material": f"{2 * 28 * RUNS} networks × {EPOCHS} epochs, {EMBEDDINGS:,} embeddings of 1,000 points, "
        "every piece measured here and multiplied by its count",
        "memory": memory,
        "preset_seconds": forecast(preset, calibration).total,
        "preset_what": f"the preset `paper`, {preset.embeddings:,} embeddings with its controls, by the calibration",
        "breakdowns": breakdowns,
        "libraries": _libraries(quick, device, layers, say),
    }


def _training(name: str, quick: bool, device: torch.device) -> tuple[list[CostRow], dict[str, int]]:
    """Return the rows of one dataset's training and testing, and the cohort's memory in bytes."""
    dataset, source = _dataset(name, quick)
    settings = settings_for(name, depths=DEPTHS[:2] if quick else DEPTHS, runs=1 if quick else RUNS, epochs=EPOCHS)
    networks = make_plan(settings).cohorts[0].networks

    def start() -> PartialEpochs:
        training = PartialEpochs(networks, without_test(dataset), settings, device)
        training.part = 2 if quick else STEPS
        training.epoch()  # buffers are allocated, a graph is captured
        return training

    training, peak = with_peak(start)
    epochs = [timed(training.epoch)[1].per(training.steps) for _ in range(1 if quick else ROUNDS)]
    step = medians(epochs)
    steps = -(-len(dataset.x_train) // settings.training.batch_size)
    tested = replace(dataset, x_test=dataset.x_test[:TESTED], y_test=dataset.y_test[:TESTED])
    evaluation = PartialEpochs(networks, tested, settings, device)
    evaluation.test_accuracies()
    test = timed(evaluation.test_accuracies)[1].per(len(tested.x_test) / len(dataset.x_test))
    words = f"measured: {len(epochs)} × {training.steps} steps of {len(networks)} networks, {source}"
    rows = [
        cost_row(f"train {name}", EPOCHS * steps, step.seconds, words),
        cost_row(f"test {name}", EPOCHS, test.seconds, f"measured on {len(tested.x_test):,} inputs, {source}"),
    ]
    return rows, {
        "peak": peak,
        "estimated": memory_estimate(networks, dataset, settings),
        "free": free_bytes(device),
    }


def _dataset(name: str, quick: bool) -> tuple[Dataset, str]:
    if not quick and datasets.status(name, data_folder()).state == "present":
        return datasets.load(name, data_folder(), unpacked_folder()), "real pixels"
    return noise_dataset(name, *((500, 100) if quick else ())), "random pixels of its size"


def _layers(quick: bool, device: torch.device) -> tuple[list[NDArray[np.float32]], str]:
    """Return the trained layers that are embedded, and what they are of."""
    trained = Trained(choose_dataset(quick, 10_000), quick, device)
    subjects = trained.subjects(20 if quick else 100)
    return [one.rows for one in subjects if one.name.startswith("trained")], trained.words


def _embeddings(
    trained: list[NDArray[np.float32]], words: str, device: torch.device, calibration: Calibration
) -> list[CostRow]:
    layers = trained * 2
    measurement = Measurement(perplexity=PERPLEXITY, device=str(device))
    list(measure(layers[:1], [0], measurement))
    timing = timed(lambda: list(measure(layers, [0] * len(layers), measurement)))[1].per(len(layers))
    return [
        cost_row("embed", EMBEDDINGS, timing.seconds, f"measured: {len(layers)} at once, trained layers of {words}"),
        cost_row("metrics", EMBEDDINGS, calibration.metrics, "calibration: all six, and the plane's quality"),
        cost_row("files and journal", EMBEDDINGS, calibration.write, "calibration: synced to the studies' disk"),
    ]


def _libraries(quick: bool, device: torch.device, layers: list[NDArray[np.float32]], say: Say) -> list[LibraryCost]:
    """Return what the same studies, and the paper, cost with openTSNE and the plain loop."""
    say("the same with openTSNE and a plain loop")
    embedding = library_cost(layers, PERPLEXITY, quick)
    studies = []
    for name, what, settings in _studies(quick, large=True):
        plan = make_plan(settings)
        # A sample of digits has as many points as one of MNIST: the layers of one stand for all.
        loops = {one.dataset: loop_cost(_dataset(one.dataset, quick)[0], plan, device, quick) for one in plan.cohorts}
        studies.append((name, what, with_libraries(plan, loops, embedding)))
    rows = []
    for name in DATASETS:
        say(f"a plain loop on {name}'s size")
        dataset, source = _dataset(name, quick)
        plan = make_plan(settings_for(name, depths=DEPTHS[:2] if quick else DEPTHS, runs=1))
        cost = loop_cost(without_test(dataset), plan, device, quick)
        rows.append(cost_row(f"train {name}", len(DEPTHS) * 4 * RUNS * EPOCHS, cost.seconds, f"{cost.words}, {source}"))
    rows.append(cost_row("embed", EMBEDDINGS, embedding.seconds, embedding.words))
    studies.append(("paper", "all networks, no controls", rows))
    return [
        {"study": name, "what": what, "seconds": sum(one["seconds"] for one in rows), "rows": rows}
        for name, what, rows in studies
    ]


def _studies(quick: bool, large: bool) -> list[tuple[str, str, StudySettings]]:
    """Return the studies that are looked into: name, what of it, settings."""
    demo = load_preset("demo").settings
    if quick:
        return [("demo", "runs=1, epochs=2, 12 points a class", _cut(demo, 1, 2, 12))]
    studies = [("demo", "the whole study", demo)]
    if datasets.status("mnist", data_folder()).state == "present":
        fig2 = load_preset("fig2").settings
        part = ("fig2", "runs=1, epochs=3 of 5 and 100", _cut(fig2, 1, 3, fig2.data.samples_per_class))
        studies.append(("fig2", "the whole study", fig2) if large else part)
    return studies


def _breakdowns(quick: bool, large: bool, device: torch.device, calibration: Calibration, say: Say) -> list[Breakdown]:
    """Return where the time of demo goes, and that of fig2 or a part of it (where MNIST is at hand)."""
    breakdowns: list[Breakdown] = []
    for name, what, settings in _studies(quick, large):
        say(f"where the time of {name} goes ({what})")
        machine = settings.machine.model_copy(update={"device": str(device)})
        settings = settings.model_copy(update={"machine": machine})
        (timing, parts), peak = with_peak(lambda settings=settings: breakdown(settings))  # type: ignore[misc]
        breakdowns.append(
            {
                "study": name,
                "wall": timing.seconds,
                "cpu_seconds": timing.cpu_seconds,
                "parts": parts,
                "what": what,
                "peak_memory": peak,
                "estimated_seconds": forecast(make_plan(settings), calibration).total,
            }
        )
    return breakdowns


def _cut(settings: StudySettings, runs: int, epochs: int, per_class: int) -> StudySettings:
    return settings.model_copy(
        update={
            "networks": settings.networks.model_copy(update={"runs": runs}),
            "training": settings.training.model_copy(update={"epochs": epochs}),
            "data": settings.data.model_copy(update={"samples_per_class": per_class}),
        }
    )


def breakdown(settings: StudySettings) -> tuple[Timing, list[PartRow]]:
    """Compute a study by the worker's own code, in a temporary folder; return its time and that of its parts."""
    chosen = choose_device(settings.machine.device)
    device = card_words(chosen) or str(chosen)
    calibration = stored_calibration(device)
    with _temporary_home(), record_parts() as times:
        if calibration:  # or the study would measure this machine first
            store_calibration(device, calibration, device)
        paths = create_study(settings)
        _, timing = timed(lambda: compute_study(Journal(paths), never))
    total = sum(times.seconds.values()) or 1.0
    return timing, [
        {
            "part": part,
            "seconds": times.seconds[part],
            "cpu_seconds": times.cpu_seconds[part],
            "share": times.seconds[part] / total,
        }
        for part in PARTS
    ]


@contextmanager
def _temporary_home() -> Iterator[None]:
    """Give the program an empty home for its studies while the block runs; the datasets stay where they are."""
    before = {name: os.environ.get(name) for name in ("EMBCX_HOME", "EMBCX_DATA_DIR")}
    data = str(data_folder())
    with tempfile.TemporaryDirectory(prefix="embcx-bench-") as folder:
        os.environ.update(EMBCX_HOME=folder, EMBCX_DATA_DIR=data)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
