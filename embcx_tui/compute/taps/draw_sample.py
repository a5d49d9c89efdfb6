"""Which inputs of a loader are measured: a balanced, keyed sample of its dataset, or the first of each class."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, Subset, TensorDataset

from embcx_tui.compute.samples import measured_sample
from embcx_tui.compute.taps.batches import LABEL_NAMES, as_labels, batch_labels, batch_rows, nbytes, take
from embcx_tui.compute.taps.hooks import untouched_streams
from embcx_tui.study.errors import RequestError
from embcx_tui.study.text import safe_text

# A loader whose dataset cannot be asked for single inputs is read up to so many times the points.
MOST_READ = 50
# Inputs per batch where a loader has no batch size of its own: as many as take so many bytes, within these bounds. An
# image of 224 x 224 in colour has 0.6 MB, and the outputs of a convolution over 64 such images twenty times as much.
_BATCH_BYTES = 4 << 20
_BATCH_BOUNDS = (8, 64)

Encode: TypeAlias = Callable[[NDArray[Any]], tuple[NDArray[np.int64], tuple[str, ...]]]
"""From labels [n] of any kind to class numbers [n], from 0, and the names of the classes."""


class MapDataset(Protocol):
    """A dataset that can be asked for single inputs."""

    def __getitem__(self, place: int) -> Any: ...
    def __len__(self) -> int: ...


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """The inputs that are measured."""

    batches: tuple[Any, ...]
    """As the loader gives them, on the CPU."""
    index: NDArray[np.int64]
    """[n]: the place of each input in its dataset, or in the order of the loader."""
    labels: NDArray[np.int64]
    """[n]: class numbers from 0; all 0 where there are no labels."""
    classes: tuple[str, ...]
    total: int
    """Inputs among which they were drawn."""
    words: str
    """How they were drawn, where it was not from the whole dataset; else empty."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for. `given`: labels of all inputs, [total]; `is_labelled`: False where there are to be none."""

    points: int
    per_class: int
    seed: int
    encode: Encode
    given: NDArray[Any] | None = None
    is_labelled: bool = True


UNLABELLED: tuple[str, ...] = ("all",)


def draw(loader: Any, wanted: Wanted) -> Drawn:
    """Return the sample of `loader`: a DataLoader, any iterable of batches, a dataset, or inputs [total, …].

    Where labels are known before inputs are read (`wanted.given`, `targets` or `labels` of the dataset, or the last
    tensor of a TensorDataset), or there are to be none, and the dataset can be asked for single inputs, only those of
    the balanced sample are read. Elsewhere the loader is read, and the first of each class are taken. Streams of random
    numbers are seeded by the sample's key and left as they were, the loader's too. RequestError where labels and
    inputs do not fit.
    """
    if isinstance(loader, (Tensor, np.ndarray)):
        loader = _batches_of(torch.as_tensor(loader))
    elif not isinstance(loader, (DataLoader, list, tuple)) and _is_map(loader):
        with untouched_streams():
            loader = DataLoader(loader, batch_size=_batch_size(loader[0] if len(loader) else None))
    found = (getattr(loader, "generator", None), getattr(getattr(loader, "sampler", None), "generator", None))
    generators = {id(one): one for one in found if isinstance(one, torch.Generator)}
    with untouched_streams(generators.values()):
        _seed_streams(wanted.seed)
        dataset = _map_dataset(loader)
        if dataset is None:
            return _first_of_each(loader, wanted)
        labels = _known_labels(dataset) if wanted.given is None else wanted.given
        if wanted.given is not None and len(wanted.given) != len(dataset):
            raise RequestError(f"{len(wanted.given):,} labels, but {len(dataset):,} inputs in the loader's dataset")
        if labels is None and wanted.is_labelled:
            return _first_of_each(loader, wanted)
        return _balanced(loader, dataset, labels if wanted.is_labelled else None, wanted)


def _seed_streams(seed: int) -> None:
    """Seed the streams of random numbers by the sample's key: an input that is augmented is the same at every turn."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed % 2**63)  # not `manual_seed`, which reaches the GPUs' too


def _is_map(dataset: Any) -> bool:
    return hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")


def _batches_of(inputs: Tensor) -> list[Tensor]:
    if inputs.dim() < 2:
        raise RequestError(f"inputs must be [total, …], not of shape {tuple(inputs.shape)}")
    size = _batch_size(inputs[0] if len(inputs) else None)
    return [inputs[start : start + size] for start in range(0, len(inputs), size)]


def _batch_size(one: Any) -> int:
    """Return how many inputs like this one make a batch."""
    low, high = _BATCH_BOUNDS
    return max(low, min(high, _BATCH_BYTES // max(nbytes(one), 1)))


def _map_dataset(loader: Any) -> MapDataset | None:
    """Return the dataset of a loader that can be asked for single inputs; None where there is none."""
    dataset = getattr(loader, "dataset", None)
    fits = isinstance(loader, DataLoader) and _is_map(dataset) and loader.batch_size is not None
    return dataset if fits else None


def _known_labels(dataset: Any) -> NDArray[Any] | None:
    """Return the labels [total] that a dataset has beside its inputs; None where it has none."""
    if isinstance(dataset, Subset):
        labels = _known_labels(dataset.dataset)
        return None if labels is None else labels[list(dataset.indices)]
    if isinstance(dataset, ConcatDataset):
        parts = [_known_labels(part) for part in dataset.datasets]
        known = [part for part in parts if part is not None]
        return np.concatenate(known) if len(known) == len(parts) else None
    if isinstance(dataset, TensorDataset):
        last = dataset.tensors[-1]
        return last.cpu().numpy() if len(dataset.tensors) > 1 and last.dim() == 1 else None
    found = next((value for name in LABEL_NAMES if (value := getattr(dataset, name, None)) is not None), None)
    if found is None and (columns := getattr(dataset, "column_names", None)):  # a table of Hugging Face's `datasets`
        found = next((dataset[name] for name in LABEL_NAMES if name in columns), None)
    return None if found is None or callable(found) else as_labels(found, len(dataset))


def _balanced(loader: Any, dataset: MapDataset, labels: NDArray[Any] | None, wanted: Wanted) -> Drawn:
    """Return the balanced sample of a dataset, of which only those inputs are read."""
    total = len(dataset)
    if labels is None:
        numbers, classes = np.zeros(total, dtype=np.int64), UNLABELLED
    else:
        numbers, classes = wanted.encode(labels)
    index = measured_sample(numbers, classes, wanted.points, wanted.per_class, wanted.seed)
    size = loader.batch_size
    batches = []
    for start in range(0, len(index), size):
        places = index[start : start + size].tolist()
        several = getattr(dataset, "__getitems__", None)
        rows = several(places) if several else [dataset[place] for place in places]
        batch = loader.collate_fn(rows)
        if (found := batch_rows(batch)) != len(places):
            raise RequestError(f"{len(places)} inputs make a batch of {found}: a row per input is needed")
        batches.append(take(batch, range(found), found))
    return Drawn(tuple(batches), index, numbers[index], classes, total, "")


@dataclass(slots=True)
class _Part:
    """The rows that were kept of one batch, by their places in it, in the whole, and their labels."""

    batch: Any
    rows: list[int]
    places: list[int]
    labels: list[Any]


def _first_of_each(loader: Iterable[Any], wanted: Wanted) -> Drawn:
    """Return the first inputs of each class that a loader gives: points / classes of each, with all classes that occur
    in MOST_READ times the points.
    """
    parts: list[_Part] = []
    kept: dict[Any, list[tuple[_Part, int]]] = defaultdict(list)
    total = 0
    most = MOST_READ * wanted.points
    for batch, labels in _labelled(loader, wanted):
        rows = batch_rows(batch)
        limit = wanted.per_class or max(2, wanted.points // max(1, len(kept)))
        part = _Part(None, [], [], [])
        for row in range(rows):
            label = None if labels is None else labels[row]
            if len(kept[label]) < (limit if labels is not None else wanted.points):
                kept[label].append((part, len(part.rows)))
                part.rows.append(row)
                part.places.append(total + row)
                part.labels.append(label)
        if part.rows:
            part.batch = take(batch, part.rows, rows)
            parts.append(part)
        total += rows
        if total >= most or (None in kept and len(kept[None]) >= wanted.points):
            break
    if not parts:
        raise RequestError("the loader gives no inputs")
    if wanted.given is not None and total < most and total != len(wanted.given):
        raise RequestError(f"{len(wanted.given):,} labels, but {total:,} inputs from the loader")
    return _joined(parts, kept, total, wanted)


def _labelled(loader: Iterable[Any], wanted: Wanted) -> Iterator[tuple[Any, NDArray[Any] | None]]:
    """Yield the batches of a loader with their labels; None where there are to be none, or are none."""
    total = 0
    none_at_first: bool | None = None
    for batch in loader:
        rows = batch_rows(batch)
        if not wanted.is_labelled:
            yield batch, None
        elif wanted.given is not None:
            labels = wanted.given[total : total + rows]
            if len(labels) < rows:
                raise RequestError(f"{len(wanted.given):,} labels, but more inputs from the loader")
            yield batch, labels
        else:
            found = batch_labels(batch)
            none_at_first = found is None if none_at_first is None else none_at_first
            if (found is None) != none_at_first:
                raise RequestError("some batches have labels and others none: give labels=, or labels=None")
            yield batch, found
        total += rows


def _joined(parts: Sequence[_Part], kept: dict[Any, list[tuple[_Part, int]]], total: int, wanted: Wanted) -> Drawn:
    """Return the sample of what was kept: as many of each class, the first ones."""
    values = np.array([label for part in parts for label in part.labels])
    numbers, classes = np.zeros(len(values), dtype=np.int64), UNLABELLED
    if None not in kept:
        numbers, classes = wanted.encode(values)
    few = min(kept, key=lambda label: len(kept[label]))
    smallest = len(kept[few])
    if len(classes) == 1:
        limit = wanted.points
    elif not wanted.per_class and len(values) <= wanted.points:
        limit = len(values)  # all that there are
    else:
        limit = wanted.per_class or min(max(2, wanted.points // len(classes)), max(2, smallest))
        if smallest < limit:
            raise RequestError(
                f"the smallest class, {safe_text(few, 60)}, has {smallest} of the {total:,} inputs read, and {limit}"
                f" of each of the {len(classes)} classes are needed; lower per_class, or leave out that class"
            )
    taken: dict[int, int] = defaultdict(int)
    batches, index, labels = [], [], []
    position = 0
    for part in parts:
        rows = []
        for row, place in enumerate(part.places):
            number = int(numbers[position])
            position += 1
            if taken[number] < limit:
                taken[number] += 1
                rows.append(row)
                index.append(place)
                labels.append(number)
        if rows:
            batches.append(take(part.batch, rows, len(part.places)))
    words = f"the first inputs of each class among the {total:,} that the loader gave" if len(classes) > 1 else ""
    return Drawn(
        tuple(batches), np.array(index, dtype=np.int64), np.array(labels, dtype=np.int64), classes, total,
        words or f"the first {len(index):,} inputs that the loader gave",
    )  # fmt: skip
