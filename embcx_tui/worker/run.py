"""Computing a study: the tasks of its plan that have no sound result yet, cohort by cohort."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from embcx_tui.analysis.forecast import forecast
from embcx_tui.compute import datasets
from embcx_tui.compute.datasets import Dataset
from embcx_tui.compute.device import device_choice, is_accelerator, one_blas_thread
from embcx_tui.compute.precision import forbid_tf32
from embcx_tui.compute.samples import run_sample
from embcx_tui.compute.timing import timed_part
from embcx_tui.store.files import is_intact, write_arrays
from embcx_tui.store.machine_records import ROUGH, Calibration, stored_calibration
from embcx_tui.store.paths import data_folder, unpacked_folder
from embcx_tui.study.dataset_catalogue import FILE_PREFIX
from embcx_tui.study.errors import DataError, EmbcxError
from embcx_tui.study.events import DatasetLoaded, Noted, SampleDrawn, StudyAccepted
from embcx_tui.study.measured import MeasuredSettings
from embcx_tui.study.plan import Cohort, Source, sample_id
from embcx_tui.study.sample_sizes import too_many_points
from embcx_tui.study.settings import POINTS_PER_PERPLEXITY
from embcx_tui.study.text import safe_text
from embcx_tui.worker.background import BackgroundQueue, worthwhile
from embcx_tui.worker.file_rows import FileRows
from embcx_tui.worker.gpu import follow_gpu_path, prepare_device
from embcx_tui.worker.inbox_rows import InboxRows
from embcx_tui.worker.journal import Journal
from embcx_tui.worker.machine import card_words, elsewhere, machine_described, tell_choice
from embcx_tui.worker.measure import Measurer, Measuring
from embcx_tui.worker.pending import has_failed_layers, has_torn_curves, pending_tasks, unreported_networks
from embcx_tui.worker.telemetry import telemetry
from embcx_tui.worker.train import train_cohort

# Shorter studies are not held up by the 3 to 6 s of a calibration.
CALIBRATE_FROM_S = 20.0


def compute_study(journal: Journal, stop: Callable[[], bool]) -> tuple[str, str]:
    """Compute the pending tasks of a study; return how it ended, ("complete", "") or ("stopped", reason).

    Raises RequestError (device or data do not fit) before anything is computed; other errors end it where it stands.
    """
    forbid_tf32()
    choice = device_choice(journal.snapshot.plan.settings.machine.device)
    device = choice.device
    follow_gpu_path(journal)
    tell_choice(journal, choice)
    if journal.snapshot.plan.is_measured:
        return _measure_models(journal, device, stop)
    cache = DatasetCache(journal)
    # First of all, so that the user of a study that cannot work learns of it at once.
    cache.accept()
    _describe(journal, device)
    with (
        one_blas_thread(),
        telemetry(journal.paths.telemetry, device.index if device.type == "cuda" else None),
        BackgroundQueue(worthwhile(device), device) as background,
    ):

        def end_training() -> bool:
            return stop() or background.failed

        for cohort in journal.snapshot.plan.cohorts:
            of_cohort = journal.paths, journal.snapshot, cohort
            done = not pending_tasks(*of_cohort) and not unreported_networks(*of_cohort)
            if done and not has_torn_curves(journal.snapshot, cohort):
                _clear_checkpoints(journal, cohort, stop)  # an earlier worker may have died before it did
                continue
            dataset = cache.dataset(cohort.dataset)
            measuring = Measuring(journal, cohort, dataset, background, stop)
            for training in train_cohort(journal, cohort, dataset, device, measuring, end_training):
                measuring.at_end(training)
            if end_training():
                break
            background.submit(partial(_clear_checkpoints, journal, cohort, stop))
        background.join()
    return ("stopped", "when asked") if stop() else ("complete", "")


def _measure_models(journal: Journal, device: torch.device, stop: Callable[[], bool]) -> tuple[str, str]:
    """As `compute_study`, for networks that were trained elsewhere."""
    settings = journal.snapshot.plan.settings
    assert isinstance(settings, MeasuredSettings)
    if settings.source.origin == "recorder":
        handed = InboxRows(journal)
        handed.accept()
        with _measuring(journal, device):
            return handed.work(Measurer(journal, stop), str(device), stop)
    with FileRows(journal) as source:
        source.accept()
        with _measuring(journal, device):
            measurer = Measurer(journal, stop)
            for cohort in journal.snapshot.plan.cohorts:
                measurer.run(pending_tasks(journal.paths, journal.snapshot, cohort), source, str(device))
    return ("stopped", "when asked") if stop() else ("complete", "")


@contextmanager
def _measuring(journal: Journal, device: torch.device) -> Iterator[None]:
    _describe(journal, device)
    with one_blas_thread(), telemetry(journal.paths.telemetry, device.index if device.type == "cuda" else None):
        yield


def _describe(journal: Journal, device: torch.device) -> None:
    if is_accelerator(device):
        prepare_device(journal, device)
    calibration = _calibration(journal, device)
    machine = machine_described(device, calibration)
    if note := elsewhere(journal.snapshot.machine, machine):
        journal.append(note)
    journal.append(machine)


def _calibration(journal: Journal, device: torch.device) -> Calibration | None:
    """Return how fast `device` is: as stored, or measured now where the study is long enough."""
    calibration = stored_calibration(card_words(device) or str(device))
    if calibration or forecast(journal.snapshot.plan, ROUGH).total < CALIBRATE_FROM_S:
        return calibration
    from embcx_tui.worker.calibrate import calibrate

    try:
        return calibrate(device)
    except (OSError, EmbcxError, RuntimeError, MemoryError) as error:
        # A study goes on without a forecast. RuntimeError: a GPU whose memory other programs fill, or no fit.
        journal.append(Noted(level="warning", text=f"this machine's speed is not known ({safe_text(error, 100)})"))
        return None


def _clear_checkpoints(journal: Journal, cohort: Cohort, stop: Callable[[], bool]) -> None:
    """Remove the checkpoints of a measured cohort, the paper's take 1.5 GB; unless its measurement was stopped, or a
    layer failed, which a resumed study tries again.
    """
    if stop() or has_failed_layers(journal.snapshot, cohort):
        return
    for path in journal.paths.checkpoints.glob(f"{cohort.id}.*"):
        path.unlink(missing_ok=True)


def _digest(dataset: Dataset) -> str:
    """Return a hash of a dataset's inputs and labels, hexadecimal (0.3 s for SVHN's 300 MB)."""
    hasher = hashlib.blake2b(digest_size=16)
    for part in (dataset.x_train, dataset.y_train, dataset.x_test, dataset.y_test):
        hasher.update(np.ascontiguousarray(part).data)
    return hasher.hexdigest()


class DatasetCache:
    """The datasets of a study, one in memory at a time, and their samples."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._settings = journal.snapshot.plan.settings
        self._loaded: Dataset | None = None

    def dataset(self, name: str) -> Dataset:
        if self._loaded is None or self._loaded.name != name:
            self._loaded = None  # free it before the next one comes
            limit = self._settings.data.train_limit
            with timed_part("load"):
                loaded = datasets.load(name, data_folder(), unpacked_folder(), train_limit=limit)
            recorded = self._journal.snapshot.datasets.get(name)
            if recorded:
                key = recorded.stream_key or name
            else:
                key = f"{FILE_PREFIX}{_digest(loaded)}" if name.startswith(FILE_PREFIX) else name
            self._loaded = replace(loaded, stream_key=key)
        return self._loaded

    def accept(self) -> None:
        """Load every dataset and draw every sample, so that what cannot work is refused before hours of training."""
        # The first cohort's dataset last: it is then the one in memory.
        for cohort in reversed(self._journal.snapshot.plan.cohorts):
            dataset = self.dataset(cohort.dataset)
            self._check_points(dataset)
            recorded = self._journal.snapshot.datasets.get(cohort.dataset)
            if recorded and recorded.digest and recorded.digest != _digest(dataset):
                raise DataError(
                    f"{safe_text(dataset.name)} has changed since this study began; start a new one with it"
                )
            if recorded is None:
                self._journal.append(
                    DatasetLoaded(
                        dataset=cohort.dataset,
                        n_train=len(dataset.x_train),
                        n_test=len(dataset.x_test),
                        features=dataset.features,
                        classes=dataset.classes,
                        shape=dataset.shape,
                        digest=_digest(dataset),
                        stream_key=dataset.stream_key,
                        chance=float(np.bincount(dataset.y_test).max()) / len(dataset.y_test),
                    )
                )
            for run, source in cohort.samples:
                self._draw(dataset, run, source)
        self._journal.append(StudyAccepted())

    def _check_points(self, dataset: Dataset) -> None:
        """Raise DataError where the sample of a user's own file, whose size the settings cannot know, does not fit."""
        points = len(dataset.classes) * self._settings.data.samples_per_class
        if refusal := too_many_points(points, self._settings.measure.engine, self._settings.measure.large):
            raise DataError(f"{safe_text(dataset.name)} ({len(dataset.classes)} classes): {refusal}")
        if self._settings.measure.perplexity * POINTS_PER_PERPLEXITY >= points:
            most = (points - 1) // POINTS_PER_PERPLEXITY
            remedy = f"lower measure.perplexity to at most {most}" if most > 1 else "raise data.samples_per_class"
            raise DataError(
                f"{safe_text(dataset.name)}: perplexity {self._settings.measure.perplexity:g} needs more than the "
                f"{points} points of a sample ({len(dataset.classes)} classes); {remedy}"
            )

    def _draw(self, dataset: Dataset, run: int, source: Source) -> None:
        name = sample_id(dataset.name, run, source)
        index = run_sample(dataset, self._settings.data.samples_per_class, self._settings.machine.seed, run, source)
        drawn = self._journal.snapshot.samples.get(name)
        if drawn and is_intact(self._journal.paths.root, drawn.file):
            return
        inputs, labels = dataset.labelled(source)
        arrays = {"index": index, "label": labels[index], "input": inputs[index]}
        with timed_part("files and journal"):
            sealed = write_arrays(self._journal.paths.arrays, f"{name}.npz", arrays)
        self._journal.append(SampleDrawn(dataset=dataset.name, run=run, source=source, points=len(index), file=sealed))
