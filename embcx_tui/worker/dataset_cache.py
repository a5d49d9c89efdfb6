"""The datasets of a study, loaded and compared with what its journal says of them, and the samples drawn from them."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from embcx_tui.compute import datasets
from embcx_tui.compute.datasets import Dataset
from embcx_tui.compute.samples import run_sample
from embcx_tui.compute.timing import timed_part
from embcx_tui.store.files import pack_arrays
from embcx_tui.store.paths import data_folder, unpacked_folder
from embcx_tui.study.dataset_catalogue import FILE_PREFIX
from embcx_tui.study.errors import DataError
from embcx_tui.study.events import DatasetLoaded, SampleDrawn, StudyAccepted
from embcx_tui.study.plan import Source, sample_id
from embcx_tui.study.sample_sizes import too_many_points
from embcx_tui.study.settings import POINTS_PER_PERPLEXITY
from embcx_tui.study.text import safe_text
from embcx_tui.worker.outlet import Outlet


def dataset_digest(dataset: Dataset) -> str:
    """Return a hash of a dataset's inputs and labels, hexadecimal (0.3 s for SVHN's 300 MB)."""
    hasher = hashlib.blake2b(digest_size=16)
    for part in (dataset.x_train, dataset.y_train, dataset.x_test, dataset.y_test):
        hasher.update(np.ascontiguousarray(part).data)
    return hasher.hexdigest()


class DatasetCache:
    """The datasets of a study, one in memory at a time, and their samples."""

    def __init__(self, outlet: Outlet, loaded: Dataset | None = None) -> None:
        self._outlet = outlet
        self._settings = outlet.snapshot.plan.settings
        self.loaded = loaded

    def dataset(self, name: str) -> Dataset:
        if self.loaded is None or self.loaded.name != name:
            self.loaded = None  # free it before the next one comes
            limit = self._settings.data.train_limit
            with timed_part("load"):
                loaded = datasets.load(name, data_folder(), unpacked_folder(), train_limit=limit)
            recorded = self._outlet.snapshot.datasets.get(name)
            if recorded:
                key = recorded.stream_key or name
            else:
                key = f"{FILE_PREFIX}{dataset_digest(loaded)}" if name.startswith(FILE_PREFIX) else name
            self.loaded = replace(loaded, stream_key=key)
        return self.loaded

    def accept(self) -> None:
        """Load every dataset and draw every sample, so that what cannot work is refused before hours of training."""
        # The first cohort's dataset last: it is then the one in memory.
        for cohort in reversed(self._outlet.snapshot.plan.cohorts):
            dataset = self.dataset(cohort.dataset)
            self._check_points(dataset)
            self.compare(dataset)
            if cohort.dataset not in self._outlet.snapshot.datasets:
                self._outlet.append(
                    DatasetLoaded(
                        dataset=cohort.dataset,
                        n_train=len(dataset.x_train),
                        n_test=len(dataset.x_test),
                        features=dataset.features,
                        classes=dataset.classes,
                        shape=dataset.shape,
                        digest=dataset_digest(dataset),
                        stream_key=dataset.stream_key,
                        chance=float(np.bincount(dataset.y_test).max()) / len(dataset.y_test),
                    )
                )
            for run, source in cohort.samples:
                self._draw(dataset, run, source)
        self._outlet.append(StudyAccepted())

    def compare(self, dataset: Dataset) -> None:
        """Raise DataError where a dataset is not the one that the study began with."""
        recorded = self._outlet.snapshot.datasets.get(dataset.name)
        if recorded and recorded.digest and recorded.digest != dataset_digest(dataset):
            raise DataError(f"{safe_text(dataset.name)} has changed since this study began; start a new one with it")

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
        drawn = self._outlet.snapshot.samples.get(name)
        if drawn and self._outlet.is_intact(drawn.file):
            return
        inputs, labels = dataset.labelled(source)
        arrays = {"index": index, "label": labels[index], "input": inputs[index]}
        with timed_part("files and journal"):
            packed = pack_arrays(arrays)
        sealed = self._outlet.publish("arrays", f"{name}.npz", packed)
        self._outlet.append(SampleDrawn(dataset=dataset.name, run=run, source=source, points=len(index), file=sealed))
