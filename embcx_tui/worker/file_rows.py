"""The rows of a measured study's layers, from the files that its study file names."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.activation_files.base import ActivationFile
from embcx_tui.compute.activation_files.labels import (
    Labels,
    class_names,
    label_array,
    labels_of,
    only_label_array,
    unlabelled,
)
from embcx_tui.compute.activation_files.pooling import effective_pool, pooled, pooled_units
from embcx_tui.compute.samples import measured_sample
from embcx_tui.compute.timing import timed_part
from embcx_tui.store.files import is_intact, read_arrays, write_arrays
from embcx_tui.study.errors import DataError, MeasureError
from embcx_tui.study.events import DatasetLoaded, LayerDescribed, ModelDescribed, Noted, SampleDrawn, StudyAccepted
from embcx_tui.study.measured import MeasuredSettings, ModelSettings
from embcx_tui.study.plan import Cohort, Network, measured_network, sample_id
from embcx_tui.study.sample_sizes import too_many_points
from embcx_tui.study.seeds import stream_seed
from embcx_tui.study.settings import POINTS_PER_PERPLEXITY
from embcx_tui.study.text import safe_text
from embcx_tui.worker.isolated_reader import IsolatedReader
from embcx_tui.worker.journal import Journal
from embcx_tui.worker.pending import Task
from embcx_tui.worker.row_source import LayerRows, reduced_where_wide

# A layer of more bytes is gathered in a file that nobody else sees, not in memory.
_IN_MEMORY_BYTES = 512 << 20
# Inputs of more bytes are not kept beside a run's sample: the screens show single ones.
_MOST_INPUT_BYTES = 64 << 20
_HASHED_BYTES = 1 << 20


class FileRows:
    """Gives the rows of layers from files, one of which is open at a time."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        settings = journal.snapshot.plan.settings
        assert isinstance(settings, MeasuredSettings)
        self._settings = settings
        self._models = {measured_network(settings, model).id: model for model in settings.models}
        self._reader = IsolatedReader()
        self._open: tuple[str, ActivationFile] | None = None
        self._samples: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        self._reader.close()

    def _close(self) -> None:
        if self._open:
            self._open[1].close()
            self._open = None

    def accept(self) -> None:
        """Look at every file and draw every sample, so that what cannot work is refused before it is measured."""
        for cohort in self._journal.snapshot.plan.cohorts:
            labels = self._labels(cohort)
            self._check_points(cohort, labels)
            self._load(cohort, labels)
            for run, _ in cohort.samples:
                self._draw(cohort, run, labels)
            for network in cohort.networks + cohort.controls:
                self._describe(network)
        self._journal.append(StudyAccepted())

    def rows(self, task: Task) -> LayerRows:
        """Return the rows of a layer, pooled; raises MeasureError where they cannot be read."""
        layer = task.layer
        name = layer.network or self._with_input(layer.dataset, layer.run)
        model = self._models[name]
        array = model.layers[layer.layer - 1] if layer.network else model.input
        index, labels = self._sample(layer.sample_id)
        try:
            file = self._file(model)
            shape = file.info(array).shape
            pool = effective_pool(shape, self._settings.sample.pool) if layer.network else "flatten"
            units = pooled_units(shape, pool)
            rows = self._collect(file, array, index, units, pool)
            if file.info(array).dtype == "float16" and (bad := len(rows) - int(np.isfinite(rows).all(axis=1).sum())):
                raise MeasureError(f"{bad:,} of {len(rows):,} rows are not finite (float16 ends at 65,504)")
            name = array if layer.network else ""
            return reduced_where_wide(LayerRows(rows, labels, name, pool, units))
        except (DataError, ValueError) as error:
            self._close()  # the reader may have crashed: the next layer is read by a new one
            raise MeasureError(safe_text(error, 300)) from None

    def seed(self, task: Task) -> int:
        """Return the seed of an embedding: the same for all layers, so that equal rows get equal numbers, whatever the
        file, the layer and the model are called.
        """
        return stream_seed(self._settings.machine.seed, "", 0, f"embedding/{task.method}")

    def _file(self, model: ModelSettings) -> ActivationFile:
        if self._open is None or self._open[0] != model.file:
            self._close()
            self._open = model.file, self._reader.open(Path(model.file))
        return self._open[1]

    @timed_part("load")
    def _collect(
        self, file: ActivationFile, array: str, index: NDArray[np.int64], units: int, pool: Any
    ) -> NDArray[np.float32]:
        """Return rows `index`, in any order, of an array, pooled [n, units]."""
        order = np.argsort(index)
        found = self._room((len(index), units))
        start = 0
        for piece in file.pieces(array, index[order]):
            found[order[start : start + len(piece)]] = pooled(piece, pool)
            start += len(piece)
        if start != len(index):
            raise DataError(f"{file.where}: {safe_text(array, 60)} gave {start:,} of {len(index):,} rows")
        return found

    def _room(self, shape: tuple[int, int]) -> NDArray[np.float32]:
        if shape[0] * shape[1] * 4 <= _IN_MEMORY_BYTES:
            return np.empty(shape, np.float32)
        with tempfile.TemporaryFile(dir=self._journal.paths.root) as file:
            # Room is taken now: a page of a mapping for which a full disk has none would kill the process.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, shape[0] * shape[1] * 4)
            return np.memmap(file, np.float32, "w+", shape=shape)

    def _with_input(self, dataset: str, run: int) -> str:
        """Return the network of a run whose file holds the input."""
        networks = self._journal.snapshot.plan.networks
        return next(n.id for n in networks if (n.dataset, n.run) == (dataset, run) and n.has_input)

    def _sample(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return indices and labels [n] of a run's sample, from the file that the screens read too."""
        if name not in self._samples:
            arrays = read_arrays(self._journal.paths.root, self._journal.snapshot.samples[name].file)
            self._samples[name] = arrays["index"], arrays["label"]
        return self._samples[name]

    # What is checked and recorded before anything is measured.

    def _labels(self, cohort: Cohort) -> Labels:
        """Return the labels of a dataset, which are the same for all its networks."""
        names = class_names(Path(self._settings.source.classes)) if self._settings.source.classes else None
        models = [self._models[network.id] for network in cohort.networks + cohort.controls]
        rows = self._row_count(models)
        if self._settings.source.labels:
            path = Path(self._settings.source.labels)
            self._close()  # the reader has one file open
            with self._reader.open(path) as file:
                array = label_array(file, self._settings.source.labels_array) or only_label_array(file)
                found = labels_of(file.values(array), file.where, names)
            self._check_count(found, file.where, rows, models[0])
            return found
        first: Labels | None = None
        for model in models:
            if not model.labels:
                continue
            file = self._file(model)
            found = labels_of(file.values(model.labels), file.where, names)
            self._check_count(found, f"{file.where}: {safe_text(model.labels, 40)}", rows, model)
            first = first or found
            if (found.classes, found.numbers.tobytes()) != (first.classes, first.numbers.tobytes()):
                raise DataError(
                    f"{file.where}: other labels than in {safe_text(models[0].file, 200)}; the networks of a dataset "
                    "are measured on the same inputs"
                )
        return first or unlabelled(rows)

    def _row_count(self, models: list[ModelSettings]) -> int:
        """Return the number of rows, which all layers of all networks of a dataset have."""
        known: tuple[int, str] | None = None
        for model in models:
            file = self._file(model)
            for array in (*model.layers, *filter(None, (model.input,))):
                info = file.info(array)
                known = known or (info.rows, f"{array} of {file.where}")
                if info.rows != known[0]:
                    raise DataError(
                        f"{file.where}: {safe_text(array, 60)} has {info.rows:,} rows, {safe_text(known[1], 200)} "
                        f"{known[0]:,}; the layers of a dataset have one row per input"
                    )
        return known[0] if known else 0

    def _check_count(self, labels: Labels, where: str, rows: int, model: ModelSettings) -> None:
        if len(labels.numbers) != rows:
            raise DataError(
                f"{where}: {len(labels.numbers):,} labels, but {rows:,} rows in {safe_text(model.file, 200)}; "
                "one label per row is needed"
            )

    def _check_points(self, cohort: Cohort, labels: Labels) -> None:
        measure = self._settings.measure
        for run, _ in cohort.samples:
            points = len(self._index(cohort, run, labels))
            if refusal := too_many_points(points, measure.engine, measure.large):
                raise DataError(f"{safe_text(cohort.dataset)}: {refusal}")
            if measure.perplexity * POINTS_PER_PERPLEXITY >= points:
                most = (points - 1) // POINTS_PER_PERPLEXITY
                remedy = f"; --set measure.perplexity={most} fits" if most > 1 else ""
                raise DataError(
                    f"{safe_text(cohort.dataset)}: perplexity {measure.perplexity:g} needs more than "
                    f"{POINTS_PER_PERPLEXITY} times as many points, and there are {points:,}{remedy}"
                )

    def _index(self, cohort: Cohort, run: int, labels: Labels) -> NDArray[np.int64]:
        sample = self._settings.sample
        seed = stream_seed(self._settings.machine.seed, cohort.dataset, run, "sample")
        try:
            return measured_sample(labels.numbers, labels.classes, sample.points, sample.per_class, seed)
        except DataError as error:
            raise DataError(f"{safe_text(cohort.dataset)}: {error}") from None

    def _load(self, cohort: Cohort, labels: Labels) -> None:
        digest = hashlib.blake2b(labels.numbers.tobytes(), digest_size=16).hexdigest()
        recorded = self._journal.snapshot.datasets.get(cohort.dataset)
        if recorded and recorded.digest != digest:
            raise DataError("the labels have changed since this study began; start a new one with them")
        if recorded:
            return
        shape = self._input_shape(cohort)
        self._journal.append(
            DatasetLoaded(
                dataset=cohort.dataset,
                n_train=len(labels.numbers),
                n_test=0,
                features=shape[0] * shape[1] * shape[2] if shape else 0,
                classes=labels.classes,
                shape=shape,
                digest=digest,
                stream_key=cohort.dataset,
            )
        )
        counts = np.bincount(labels.numbers, minlength=len(labels.classes))
        sample = self._settings.sample
        if labels.are_given and not sample.per_class and len(labels.numbers) <= sample.points and np.ptp(counts):
            text = f"all {len(labels.numbers):,} rows are measured; classes have {counts.min():,} to {counts.max():,}"
            self._journal.append(Noted(level="info", text=text))

    def _input_shape(self, cohort: Cohort) -> tuple[int, int, int] | None:
        """Return rows, columns and channels of the inputs; a vector is one row. None where they are not known."""
        for network in cohort.networks + cohort.controls:
            model = self._models[network.id]
            if model.input:
                shape = self._file(model).info(model.input).shape[1:]
                if len(shape) == 2:
                    return shape[0], shape[1], 1
                if len(shape) == 3:
                    return (shape[1], shape[2], shape[0]) if shape[0] in (1, 3) else (shape[0], shape[1], shape[2])
                return 1, int(np.prod(shape)), 1
        return None

    def _draw(self, cohort: Cohort, run: int, labels: Labels) -> None:
        name = sample_id(cohort.dataset, run)
        drawn = self._journal.snapshot.samples.get(name)
        if drawn and is_intact(self._journal.paths.root, drawn.file):
            return
        index = self._index(cohort, run, labels)
        arrays: dict[str, NDArray[Any]] = {"index": index, "label": labels.numbers[index]}
        if (inputs := self._inputs(cohort, run, index)) is not None:
            arrays["input"] = inputs
        sealed = write_arrays(self._journal.paths.arrays, f"{name}.npz", arrays)
        self._journal.append(SampleDrawn(dataset=cohort.dataset, run=run, points=len(index), file=sealed))

    def _inputs(self, cohort: Cohort, run: int, index: NDArray[np.int64]) -> NDArray[Any] | None:
        """Return the inputs of a sample [n, features], rows, columns, channels; None where there are none to show."""
        for network in cohort.networks + cohort.controls:
            model = self._models[network.id]
            if network.run != run or not model.input:
                continue
            file = self._file(model)
            info = file.info(model.input)
            if info.units * len(index) * 4 > _MOST_INPUT_BYTES:
                return None
            order = np.argsort(index)
            found = np.concatenate(list(file.pieces(model.input, index[order])))[np.argsort(order)]
            if len(info.shape) == 4 and info.shape[1] in (1, 3):
                found = found.transpose(0, 2, 3, 1)
            found = found.reshape(len(index), -1)
            return found if found.dtype == np.uint8 else found.astype(np.float32)
        return None

    def _describe(self, network: Network) -> None:
        """Record what a network's file holds; raises DataError where it has changed since it was recorded."""
        model = self._models[network.id]
        file = self._file(model)
        digest = file_digest(Path(model.file))
        recorded = self._journal.snapshot.described.get(network.id)
        if recorded and recorded.digest != digest:
            raise DataError(f"{file.where} has changed since this study began; start a new one with it")
        if recorded:
            return
        layers = []
        for name in model.layers:
            info = file.info(name)
            try:
                pool = effective_pool(info.shape, self._settings.sample.pool)
            except ValueError as error:
                raise DataError(f"{file.where}: {safe_text(name, 60)}: {error}") from None
            layers.append(LayerDescribed(name=name, shape=info.shape[1:], units=info.units, pool=pool))
        rows = file.info(model.layers[0]).rows
        self._journal.append(ModelDescribed(network=network.id, layers=tuple(layers), rows=rows, digest=digest))


def file_digest(path: Path) -> str:
    """Return a hash of a file's bytes, or of all `.npy` files in a folder and its folders; 1 s per GB."""
    hasher = hashlib.blake2b(digest_size=16)
    files = sorted(path.rglob("*.npy")) if path.is_dir() else [path]
    with ExitStack() as stack:
        for file in files:
            try:
                stream = stack.enter_context(file.open("rb"))
                hasher.update(os.fspath(file.relative_to(path)).encode("utf-8", "surrogateescape"))
                while chunk := stream.read(_HASHED_BYTES):
                    hasher.update(chunk)
            except OSError as error:
                raise DataError(f"{safe_text(file, 200)}: cannot be read ({error.strerror})") from None
    return hasher.hexdigest()
