"""Handing rows over to the worker: the study file, its sample, one handover per network and epoch."""

from __future__ import annotations

import math
import re
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import psutil
from numpy.typing import NDArray

from embcx_tui.compute.activation_files.labels import Labels, labels_of, unlabelled
from embcx_tui.store import lock
from embcx_tui.store.inbox import HandedArray, HandedLayers, HandedSample, Producer, SubmittedLayer
from embcx_tui.store.paths import StudyPaths
from embcx_tui.study.errors import DataError, RequestError, StoreError
from embcx_tui.study.events import LayerDescribed
from embcx_tui.study.measured import MeasuredSettings, shown_name, validate_study
from embcx_tui.study.plan import measured_network
from embcx_tui.study.sample_sizes import MAX_EXACT_POINTS, MAX_POINTS
from embcx_tui.study.seeds import stream_seed
from embcx_tui.study.settings import POINTS_PER_PERPLEXITY
from embcx_tui.study.text import safe_text
from embcx_tui.worker import launch

Control = Literal["", "untrained", "shuffled"]
Shape = tuple[int, int, int]

# Inputs of more bytes are not kept beside a sample: the screens show single ones.
MOST_INPUT_BYTES = 64 << 20
# What may wait to be measured: a training whose epochs are shorter than their measurement would fill the disk.
MOST_WAITING_BYTES = 8 << 30
# Rows of wide layers are handed over as they are, for the worker to reduce, up to so many bytes per handover and while
# no more wait. A reduction's result depends on the rows alone, so that it changes no number who computes it.
RAW_BYTES = 256 << 20
_MOST_RAW_WAITING_BYTES = 1 << 30
# Bytes per pair that measuring a large layer takes at most, P in blocks and openTSNE's own.
_BYTES_PER_PAIR = 10
_UNITS_OF_MEMORY = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}


@dataclass(frozen=True, slots=True)
class Options:
    """What a study is asked for, whoever hands over; see `measuring.measure`."""

    name: str
    dataset: str
    points: int = 1_000
    per_class: int = 0
    pool: Any = "flatten"
    run: int = 0
    perplexity: float = 30.0
    engine: str = "exact"
    device: str = "cpu"
    seed: int = 0

    @property
    def sample_seed(self) -> int:
        """The seed of the sample: that of a study from files, so that the same rows are measured."""
        return stream_seed(self.seed, self.dataset, self.run, "sample")

    def check_points(self, n: int) -> None:
        """Raise RequestError where so many points cannot be measured."""
        if self.perplexity * POINTS_PER_PERPLEXITY >= n:
            most = (n - 1) // POINTS_PER_PERPLEXITY
            remedy = f"; perplexity={most} fits" if most > 1 else ""
            raise RequestError(
                f"perplexity {self.perplexity:g} needs more than {POINTS_PER_PERPLEXITY} times as many points, and"
                f" there are {n:,}{remedy}"
            )
        if n <= MAX_EXACT_POINTS:
            return
        if self.engine == "exact":
            raise RequestError(f'{n:,} points need engine="opentsne" (the exact one holds up to {MAX_EXACT_POINTS:,})')
        if n > MAX_POINTS:
            raise RequestError(f"{n:,} points are too many: at most {MAX_POINTS:,} can be measured")
        room = int(psutil.virtual_memory().available) // 2
        if n * n * _BYTES_PER_PAIR > room:
            fits = math.isqrt(room // _BYTES_PER_PAIR)
            raise RequestError(
                f"{n:,} points need {n * n * _BYTES_PER_PAIR / 1e9:.1f} GB, more than half of the free memory; points="
                f"{fits // 100 * 100:,} fit"
            )

    def settings(self, models: Sequence[tuple[Control, Sequence[str], bool]]) -> MeasuredSettings:
        """Return the study file for models (control, names of layers, whether there is an input); SettingsError."""
        settings = validate_study(
            {
                "kind": "measured",
                "name": self.name,
                "source": {"from": "recorder"},
                "models": [
                    {
                        "name": safe_text(self.name, 40),
                        "dataset": self.dataset,
                        "run": self.run,
                        "control": control,
                        "layers": list(names),
                        "input": "input" if has_input else "",
                    }
                    for control, names, has_input in models
                ],
                "sample": {
                    "points": max(10, self.points),
                    "per_class": self.per_class,
                    "pool": self.pool if isinstance(self.pool, str) else "flatten",
                },
                "measure": {"perplexity": self.perplexity, "engine": self.engine},
                "machine": {"device": self.device, "seed": self.seed},
            }
        )
        assert isinstance(settings, MeasuredSettings)
        return settings


def bytes_of(memory: int | str) -> int:
    """Return the bytes of `memory`: a number of them, or text as "4 GiB"; RequestError for other text."""
    if isinstance(memory, int):
        return memory
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmg]i?b)?\s*", memory.lower())
    if found is None:
        raise RequestError(f"memory={safe_text(repr(memory), 40)} is no amount of memory; write it as 4 GiB")
    return int(float(found[1]) * _UNITS_OF_MEMORY[found[2] or ""])


def encoder(classes: Sequence[str] | None) -> Callable[[NDArray[Any]], tuple[NDArray[np.int64], tuple[str, ...]]]:
    """Return what makes class numbers and names of labels [n]; `classes` are the names of labels 0 … K - 1."""
    names = None if classes is None else tuple(safe_text(name, 40) for name in classes)

    def encode(values: NDArray[Any]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        found = encoded(values, names)
        return found.numbers, found.classes

    return encode


def encoded(values: Any, names: tuple[str, ...] | None) -> Labels:
    """Return labels as classes; None: one class. RequestError where they are none."""
    if values is None:
        raise RequestError("labels are missing")
    array = np.asarray(values)
    if array.dtype.kind == "O":
        array = np.array([value if isinstance(value, str) else repr(value) for value in array.ravel().tolist()])
    try:
        return labels_of(array, "labels", names)
    except DataError as error:
        raise RequestError(f"{error}; give labels=, or labels=None") from None


def no_labels(rows: int) -> Labels:
    return unlabelled(rows)


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """The sample of a run: places and class numbers [n], names of classes, among how many it was drawn."""

    index: NDArray[np.int64]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    total: int
    words: str = ""
    inputs: NDArray[Any] | None = None
    """[n, features], as rows, columns, channels of `shape`; None where they cannot be shown."""
    shape: Shape | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """The rows of one layer: [n, units], of a reduced layer its coordinates; None with an `error`.

    `width`: the units of a wide layer.
    """

    described: LayerDescribed
    rows: NDArray[np.floating] | None
    width: int = 0
    varying: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Handover:
    """All layers of a network at one moment."""

    layers: Sequence[Row]
    parameters: int = 0
    input: Row | None = None
    control: Control = ""
    epoch: int | None = None
    is_control_too: bool = False
    """Whether it is the untrained control as well: before the first epoch."""


def picture_shape(shape: Sequence[int]) -> Shape | None:
    """Return (rows, columns, channels) of inputs of `shape`, without the batch; None where they are no picture."""
    if len(shape) == 2:
        return shape[0], shape[1], 1
    if len(shape) == 3 and shape[0] in (1, 3):
        return shape[1], shape[2], shape[0]
    return (1, shape[0], 1) if len(shape) == 1 else None


def pictures(inputs: NDArray[Any]) -> tuple[NDArray[Any] | None, Shape | None]:
    """Return inputs [n, …] as the screens show them, [n, features], with their shape; None where they cannot."""
    shape = picture_shape(inputs.shape[1:])
    if shape is None or inputs[0].size * len(inputs) * 4 > MOST_INPUT_BYTES:
        return None, None
    turned = inputs.transpose(0, 2, 3, 1) if inputs.ndim == 4 else inputs
    flat = turned.reshape(len(inputs), -1)
    return (flat if flat.dtype == np.uint8 else flat.astype(np.float32)), shape


@dataclass(slots=True, eq=False, weakref_slot=True)
class SubmittedStudy:
    """A study that is handed over: it begins with its first handover, its worker with it."""

    options: Options
    sample: Sample
    paths: StudyPaths | None = None
    _settings: MeasuredSettings | None = None
    _producer: Producer | None = None
    _closing: Any = field(default=None)

    def begin(self, first: Sequence[Handover]) -> StudyPaths:
        """Create the study with the sample and the first handovers, and start its worker.

        Returns once the worker has accepted it; raises RequestError or StoreError, and leaves nothing then.
        """
        models: list[tuple[Control, Sequence[str], bool]] = []
        for handover in first:
            try:
                names = [shown_name(row.described.name, 200) for row in handover.layers]
            except ValueError as error:
                raise RequestError(str(error)) from None
            models.append((handover.control, names, handover.input is not None))
            if handover.is_control_too:
                models.append(("untrained", names, handover.input is not None))
        self._settings = self.options.settings(models)

        def created(paths: StudyPaths) -> None:
            self._producer = Producer(paths)
            self._hand_sample()
            for handover in first:
                self._hand(handover)
            if all(handover.epoch is None for handover in first):
                self._producer.close()

        self.paths = launch.begin(self._settings, created)
        producer = self._producer
        assert producer is not None
        # A recorder that is dropped is done: its study must not wait for it for ever.
        self._closing = weakref.finalize(self, _close_quietly, producer)
        self._closing.atexit = False
        return self.paths

    def hand_over(self, handover: Handover) -> None:
        """Hand over, and start the worker again where it is gone; raises RequestError or StoreError."""
        assert self.paths is not None
        assert self._producer is not None
        if (waiting := self._producer.waiting_bytes()) > MOST_WAITING_BYTES:
            self.ensure_worker()
            raise StoreError(f"{waiting / 1e9:.0f} GB wait to be measured: record fewer epochs")
        self._hand(handover)
        self.ensure_worker()

    @property
    def raw_bytes(self) -> int:
        """How many bytes of wide layers the next handover may hold as they are."""
        waits = self._producer.waiting_bytes() if self._producer else 0
        return RAW_BYTES if waits <= _MOST_RAW_WAITING_BYTES else 0

    def ensure_worker(self) -> None:
        """Start the worker where it is gone."""
        assert self.paths is not None
        if not lock.is_running(self.paths):
            launch.start(self.paths)

    def close(self) -> None:
        """Say that nothing more comes, and see to it that what waits is measured."""
        if self._producer is None or self._closing is None or not self._closing.alive:
            return
        self._closing.detach()
        self._producer.close()
        assert self.paths is not None
        if not lock.is_running(self.paths) and any(self.paths.inbox.glob("[0-9]*")):
            launch.start(self.paths)

    def _hand_sample(self) -> None:
        assert self._producer is not None
        sample = self.sample
        arrays: dict[str, NDArray[Any]] = {"index": sample.index, "label": sample.labels}
        if sample.inputs is not None:
            arrays["input"] = sample.inputs

        def describe(files: Mapping[str, HandedArray]) -> HandedSample:
            return HandedSample(
                dataset=self.options.dataset,
                run=self.options.run,
                total=sample.total,
                classes=sample.classes,
                shape=sample.shape,
                words=sample.words,
                index=files["index"],
                label=files["label"],
                input=files.get("input"),
            )

        self._producer.hand_over(arrays, describe)

    def _hand(self, handover: Handover) -> None:
        assert self._producer is not None and self._settings is not None
        ids = {model.control: measured_network(self._settings, model).id for model in self._settings.models}
        rows = [*handover.layers, *filter(None, [handover.input])]
        arrays = {str(place): row.rows for place, row in enumerate(rows) if row.rows is not None}

        def describe(files: Mapping[str, HandedArray]) -> HandedLayers:
            handed = [_handed(row, files.get(str(place))) for place, row in enumerate(rows)]
            return HandedLayers(
                network=ids[handover.control],
                also=ids["untrained"] if handover.is_control_too else "",
                epoch=handover.epoch,
                parameters=handover.parameters,
                described=tuple(row.described for row in handover.layers),
                layers=tuple(handed[: len(handover.layers)]),
                input=handed[-1] if handover.input else None,
            )

        self._producer.hand_over(arrays, describe)


def _handed(row: Row, file: HandedArray | None) -> SubmittedLayer:
    return SubmittedLayer(
        name=row.described.name,
        pool=row.described.pool,
        width=row.width,
        varying=row.varying,
        rows=file,
        error=safe_text(row.error, 300),
    )


def _close_quietly(producer: Producer) -> None:
    try:
        producer.close()
    except Exception:  # at the end of an object's life there is nobody to tell
        return
