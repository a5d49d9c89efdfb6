"""The rows of a measured study's layers that a recorder hands over, while it trains or all at once."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcx_tui.store.files import is_intact, read_arrays, write_arrays
from embcx_tui.store.inbox import HandedLayers, HandedSample, Inbox, SubmittedLayer
from embcx_tui.study.errors import DataError, MeasureError, StoreError
from embcx_tui.study.events import ActivationsReceived, DatasetLoaded, ModelDescribed, Noted, SampleDrawn, StudyAccepted
from embcx_tui.study.plan import Layer, Network, sample_id
from embcx_tui.study.seeds import stream_seed
from embcx_tui.study.settings import SCORE_METHOD
from embcx_tui.study.text import safe_text
from embcx_tui.worker.journal import Journal
from embcx_tui.worker.measure import Measurer
from embcx_tui.worker.pending import Task
from embcx_tui.worker.row_source import LayerRows, reduced_where_wide

# How often the inbox is looked into while nothing waits.
_POLL_S = 0.2


class InboxRows:
    """Gives the rows of the entry that is being measured."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._inbox = Inbox(journal.paths)
        self._inbox.sweep()
        self._entry: tuple[Path, HandedLayers] | None = None
        self._labels: dict[str, NDArray[np.int64]] = {}

    def accept(self) -> None:
        """Record the samples, which are handed over before the worker is started; raises DataError without them."""
        for entry in self._inbox.entries():
            try:
                handed = self._inbox.read(entry)
            except StoreError:
                continue  # `work` says so
            if isinstance(handed, HandedSample):
                self._draw(entry, handed)
                self._inbox.remove(entry)
        snapshot = self._journal.snapshot
        for cohort in snapshot.plan.cohorts:
            for run, _ in cohort.samples:
                if sample_id(cohort.dataset, run) not in snapshot.samples:
                    raise DataError("its recorder ended before it handed over a sample; nothing can be measured")
        self._journal.append(StudyAccepted())

    def _draw(self, entry: Path, handed: HandedSample) -> None:
        snapshot = self._journal.snapshot
        label = self._inbox.array(entry, handed.label).astype(np.int64)
        if handed.dataset not in snapshot.datasets:
            features = int(np.prod(handed.shape)) if handed.shape else 0
            self._journal.append(
                DatasetLoaded(
                    dataset=handed.dataset,
                    n_train=handed.total,
                    n_test=0,
                    features=features,
                    classes=handed.classes,
                    shape=handed.shape,
                    digest=hashlib.blake2b(label.tobytes(), digest_size=16).hexdigest(),
                    stream_key=handed.dataset,
                )
            )
        name = sample_id(handed.dataset, handed.run)
        drawn = snapshot.samples.get(name)
        if drawn and is_intact(self._journal.paths.root, drawn.file):
            return
        arrays: dict[str, NDArray[Any]] = {"index": self._inbox.array(entry, handed.index), "label": label}
        if handed.input:
            arrays["input"] = self._inbox.array(entry, handed.input)
        sealed = write_arrays(self._journal.paths.arrays, f"{name}.npz", arrays)
        self._journal.append(SampleDrawn(dataset=handed.dataset, run=handed.run, points=len(label), file=sealed))
        if handed.words:
            self._journal.append(Noted(level="info", text=handed.words))

    def work(self, measurer: Measurer, device: str, stop: Callable[[], bool]) -> tuple[str, str]:
        """Measure what is handed over, the oldest first, until the recorder is done; return how the study ended."""
        while not stop():
            # Asked first: what was handed over before the recorder ended is there then.
            ended = self._inbox.is_closed or not self._inbox.producer_lives
            entries = self._inbox.entries()
            if entries:
                try:
                    handed = self._checked_entry(entries[0])
                except StoreError as error:
                    # What is damaged stays so: the epochs after it are worth more than an end here at every start.
                    self._journal.append(Noted(level="warning", text=f"{error}; it is left out"))
                else:
                    self._measure(entries[0], handed, measurer, device)
                if not stop():
                    self._inbox.remove(entries[0])
            elif ended:
                return self._outcome()
            else:
                time.sleep(_POLL_S)
        return "stopped", "when asked"

    def _outcome(self) -> tuple[str, str]:
        if not self._inbox.is_closed:
            return "stopped", "the recorder ended"
        snapshot = self._journal.snapshot
        missing = [network for network in snapshot.plan.networks if network.id not in snapshot.described]
        return ("stopped", f"{len(missing)} networks were not handed over") if missing else ("complete", "")

    def _checked_entry(self, entry: Path) -> HandedLayers:
        """Return what an entry holds; raises StoreError where it is damaged, or of no network of the study."""
        handed = self._inbox.read(entry)
        plan = self._journal.snapshot.plan
        network = plan.network_by_id.get(handed.network) if isinstance(handed, HandedLayers) else None
        if not isinstance(handed, HandedLayers) or network is None or len(handed.layers) != network.depth:
            raise StoreError(f"inbox/{entry.name}: holds a network that the study does not measure")
        return handed

    def _measure(self, entry: Path, handed: HandedLayers, measurer: Measurer, device: str) -> None:
        """Measure an entry, except what of it a worker that was killed had measured."""
        plan = self._journal.snapshot.plan
        networks = [plan.network_by_id[name] for name in (handed.network, handed.also) if name in plan.network_by_id]
        self._describe(handed, networks)
        self._entry = entry, handed
        layers = [layer for layer in plan.layers if layer.network == networks[0].id]
        inputs = self._inputs(handed, networks[0])
        tasks = [
            Task(layer, method)
            for method in plan.settings.measure.methods
            for layer in (*inputs, *layers)
            if method != SCORE_METHOD or not self._is_done(layer, handed.epoch)
        ]

        def also(task: Task) -> Sequence[Task]:
            return self._also(task, handed, networks)

        measurer.run(tasks, self, device, also)
        self._entry = None

    def _inputs(self, handed: HandedLayers, network: Network) -> list[Layer]:
        plan = self._journal.snapshot.plan
        return [
            layer
            for layer in plan.layers
            if handed.input and layer.network is None and (layer.dataset, layer.run) == (network.dataset, network.run)
        ]

    def _describe(self, handed: HandedLayers, networks: Sequence[Network]) -> None:
        snapshot = self._journal.snapshot
        rows = snapshot.samples[networks[0].sample_id].points
        for network in networks:
            if network.id not in snapshot.described:
                self._journal.append(
                    ModelDescribed(network=network.id, layers=handed.described, parameters=handed.parameters, rows=rows)
                )
        if handed.epoch is not None:
            sums = tuple(layer.rows.sha256 for layer in handed.layers if layer.rows)
            received = snapshot.received.get(networks[0].id)
            if received is None or received.epoch != handed.epoch:
                self._journal.append(ActivationsReceived(network=networks[0].id, epoch=handed.epoch, sha256s=sums))

    def _is_done(self, layer: Layer, epoch: int | None) -> bool:
        """Return whether a layer has its score: of an epoch that is recorded last of all, see `_also`."""
        snapshot = self._journal.snapshot
        if epoch is None or layer.network is None:
            record = snapshot.measured.get((layer.id, SCORE_METHOD))
        else:
            record = snapshot.earlier.get((layer.id, epoch))
        return record is not None and is_intact(self._journal.paths.root, record.file)

    def _also(self, task: Task, handed: HandedLayers, networks: Sequence[Network]) -> Sequence[Task]:
        """Return what the result of a task is besides the newest of its layer: that of the untrained control, and that
        after its epoch, in this order: where the last is recorded, all are.
        """
        if task.layer.network is None:
            return ()
        plan = self._journal.snapshot.plan
        controls = [
            Task(layer, task.method)
            for network in networks[1:]
            for layer in plan.layers
            if layer.network == network.id and layer.layer == task.layer.layer
        ]
        if handed.epoch is None or task.method != SCORE_METHOD:
            return controls
        return (*controls, Task(task.layer, task.method, handed.epoch))

    def rows(self, task: Task) -> LayerRows:
        """Return the rows of a layer of the entry."""
        assert self._entry is not None
        entry, handed = self._entry
        found = handed.input if task.layer.network is None else handed.layers[task.layer.layer - 1]
        assert found is not None
        if found.rows is None:
            raise MeasureError(found.error or "it was not handed over")
        labels = self._sample_labels(task.layer.sample_id)
        rows = self._checked(self._read(entry, found), len(labels))
        name = found.name if task.layer.network else ""
        handed_rows = LayerRows(rows, labels, name, found.pool, found.width or rows.shape[1], found.varying)
        try:
            return reduced_where_wide(handed_rows)
        except ValueError as error:
            raise MeasureError(safe_text(error, 300)) from None

    def _read(self, entry: Path, found: SubmittedLayer) -> NDArray[Any]:
        assert found.rows is not None
        try:
            return self._inbox.array(entry, found.rows)
        except StoreError as error:
            raise MeasureError(str(error)) from None

    def _checked(self, rows: NDArray[Any], count: int) -> NDArray[np.floating]:
        if rows.ndim != 2 or len(rows) != count or rows.dtype.kind != "f":
            raise MeasureError(f"rows of shape {rows.shape} were handed over for a sample of {count:,}")
        return rows

    def _sample_labels(self, name: str) -> NDArray[np.int64]:
        if name not in self._labels:
            drawn = self._journal.snapshot.samples[name]
            self._labels[name] = read_arrays(self._journal.paths.root, drawn.file)["label"]
        return self._labels[name]

    def seed(self, task: Task) -> int:
        """Return the seed of an embedding: the same for all layers, as for those from files (`FileRows`)."""
        return stream_seed(self._journal.snapshot.plan.settings.machine.seed, "", 0, f"embedding/{task.method}")
