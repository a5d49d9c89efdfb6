"""The balanced sample of inputs on which every layer of a run is measured."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.datasets.dataset import Dataset, Labels
from embcx_tui.study.errors import DataError
from embcx_tui.study.plan import Source
from embcx_tui.study.seeds import stream_seed
from embcx_tui.study.text import safe_text


def balanced_sample(
    y: Labels, per_class: int, seed: int, classes: tuple[str, ...] | None = None, part: str = "training"
) -> NDArray[np.int64]:
    """Return indices [classes · per_class] into the inputs of labels `y`, `per_class` of each class, ordered by class.

    Drawn without replacement; within a class in the drawn order. Without `classes` they are the labels that occur.
    Raises DataError with the smallest class and its count where a class has too few.
    """
    labels = range(len(classes)) if classes is not None else range(int(y.max()) + 1)
    members = [np.flatnonzero(y == label) for label in labels]
    smallest = min(labels, key=lambda label: len(members[label]))
    if len(members[smallest]) < per_class:
        name = safe_text(classes[smallest], 60) if classes is not None else str(smallest)
        most = len(members[smallest])
        remedy = f"lower data.samples_per_class to at most {most}" if most > 1 else "leave out that class"
        raise DataError(
            f"samples_per_class = {per_class} is too many: the smallest class, {name}, has {most} {part} inputs;"
            f" {remedy}"
        )
    generator = np.random.Generator(np.random.PCG64(seed))
    return np.concatenate([generator.permutation(indices)[:per_class] for indices in members]).astype(np.int64)


def run_sample(
    dataset: Dataset, per_class: int, study_seed: int, run: int, source: Source = "train"
) -> NDArray[np.int64]:
    """Return the sample of one run, shared by all networks of the run; raises DataError as `balanced_sample` does."""
    part, purpose = ("training", "sample") if source == "train" else ("test", "sample/test")
    key = stream_seed(study_seed, dataset.stream_key, run, purpose)
    try:
        return balanced_sample(dataset.labelled(source)[1], per_class, key, dataset.classes, part)
    except DataError as error:
        raise DataError(f"{safe_text(dataset.name)}: {error}") from None


def measured_sample(labels: Labels, classes: tuple[str, ...], points: int, per_class: int, seed: int) -> Labels:
    """Return indices into rows handed over with `labels` [n] of the classes, on which their layers are measured.

    All rows, in their order, where there are no more than `points`; else as many of each class as make up so many
    points, 2 at least. `per_class`, where it is not 0, says how many. Without classes (one alone) `points` of all rows.
    Raises DataError with the smallest class and its count where a class has too few.
    """
    if not per_class and len(labels) <= points:
        return np.arange(len(labels), dtype=np.int64)
    if len(classes) == 1:
        generator = np.random.Generator(np.random.PCG64(seed))
        return np.sort(generator.permutation(len(labels))[: per_class or points]).astype(np.int64)
    wanted = per_class or max(points // len(classes), 2)
    counts = np.bincount(labels, minlength=len(classes))
    smallest = int(counts.argmin())
    if counts[smallest] < wanted:
        most = int(counts[smallest])
        remedy = f"set sample.per_class (--per-class) to {most} or less" if most > 1 else "leave out that class"
        raise DataError(
            f"the smallest class, {safe_text(classes[smallest], 60)}, has {most} rows, and {wanted} of each of the "
            f"{len(classes)} classes are needed; {remedy}"
        )
    return balanced_sample(labels, wanted, seed, classes)
