"""The user's own data: `file:PATH.npz` with X, y and optionally X_test, y_test, group."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.datasets.dataset import Dataset, Inputs, Labels, make_dataset, not_finite
from embcx_tui.compute.datasets.npz import NpzFile
from embcx_tui.study.dataset_catalogue import FILE_PREFIX
from embcx_tui.study.errors import DataError
from embcx_tui.study.seeds import stream_seed
from embcx_tui.study.text import safe_text

# `house` is the name in the extract of SVHN on which the paper's figures are tried: crops of one photograph.
GROUP_NAMES = ("group", "house")
_NAMES = ("X", "y", "X_test", "y_test", *GROUP_NAMES)
# What Keras' datasets, scikit-learn's and MedMNIST's call the same arrays, in small letters.
_ALSO = {
    "X": ("x", "x_train", "train_images", "images", "data"),
    "y": ("y", "y_train", "train_labels", "labels", "target"),
    "X_test": ("x_test", "test_images"),
    "y_test": ("y_test", "test_labels"),
}
# Beyond these a value does not fit float32 with room for differences: a factor brings it back.
_SMALLEST, _LARGEST = 1e-30, 1e30
MAX_INPUTS = 10_000_000
# A colour image of 288×288; the first layer of a network has 100 weights per feature.
MAX_FEATURES = 250_000
MAX_CLASSES = 1_000
_MAX_WHOLE = 2.0**53  # the whole numbers that floating point holds without gaps
_MAX_CLASS_NAME = 40
# At most one in so many inputs of each class is set aside, rounded down: a class of 66 keeps 60 for training.
TEST_SHARE = 10
# The split belongs to the data, not to a study's seed or to the file's path: accuracies compare across studies.
_SPLIT_SEED = stream_seed(0, "file", 0, "test split")


@dataclass(frozen=True, slots=True)
class _Part:
    """Inputs [n, ...] as the file shapes them, and their labels [n] before they become class numbers."""

    x: Inputs
    y: NDArray[Any]


def load_user_file(name: str, train_limit: int = 0) -> Dataset:
    """Return the dataset of a `file:PATH.npz`; PATH is absolute.

    X is [n, d], [n, rows, columns] or [n, rows, columns, channels]: uint8 stays, other numbers become float32. y [n]
    is whole numbers or text, or one-hot rows; its sorted distinct values are the classes. Arrays may have the names
    that Keras, scikit-learn and MedMNIST give them. Without X_test and y_test a tenth of each
    class is set aside for testing (`select_test_inputs`), each group as a whole. Raises DataError.
    """
    path = Path(name.removeprefix(FILE_PREFIX))
    where = safe_text(path, 200)
    if not path.is_absolute():
        raise DataError(f"{where}: write the whole path, from / on")
    with NpzFile(path) as file:
        names = {name: _name_of(name, file, where) for name in _ALSO}
        _refuse_similar_names(file, where, names.values())
        part = _part(file, where, names["X"], names["y"])
        rounding = file.rounding(names["X"])
        test_names = names["X_test"], names["y_test"]
        test = _part(file, where, *test_names) if set(test_names) & set(file.names) else None
        group = None if test else _group(file, where, len(part.y))
    classes, labels = np.unique(part.y, return_inverse=True)
    class_names = _class_names(classes, where)
    y = labels.reshape(-1).astype(np.int64)
    x = part.x.reshape(len(part.x), -1)
    if test:
        if test.x.shape[1:] != part.x.shape[1:]:
            raise DataError(
                f"{where}: X is {_sizes(part.x.shape)}, X_test {_sizes(test.x.shape)}; all after the first must agree"
            )
        if test.x.dtype != part.x.dtype:
            raise DataError(
                f"{where}: X is kept as {part.x.dtype}, X_test as {test.x.dtype}; both must be uint8 or neither"
            )
        pairs = (x, y), (test.x.reshape(len(test.x), -1), _test_labels(test.y, classes, where))
    else:
        chosen = select_test_inputs(y, group)
        if not chosen.any():
            raise DataError(
                f"{where}: no inputs can be set aside for testing (at most 1 in {TEST_SHARE} of each class"
                f"{', groups whole' if group is not None else ''}, and the largest has {np.bincount(y).max():,});"
                " add X_test and y_test"
            )
        pairs = (x[~chosen], y[~chosen]), (x[chosen], y[chosen])
    return make_dataset(name, *pairs, class_names, _image_shape(part.x.shape), train_limit, rounding)


def select_test_inputs(labels: Labels, group: NDArray[np.integer] | None = None) -> NDArray[np.bool_]:
    """Choose the test inputs of a file that has none of its own: the same ones in every study.

    Parameters
    ----------
    labels : class numbers [n], from 0.
    group : integers [n]; inputs of one group are never split between training and test.

    Returns
    -------
    True for each test input [n]: of each class at most a tenth, rounded down. Groups are taken in a fixed shuffled
    order, and each is set aside if no class then loses more than its tenth.
    """
    generator = np.random.Generator(np.random.PCG64(_SPLIT_SEED))
    chosen = np.zeros(len(labels), np.bool_)
    spare = np.bincount(labels) // TEST_SHARE
    if group is None:
        for label, count in enumerate(spare):
            chosen[generator.permutation(np.flatnonzero(labels == label))[:count]] = True
        return chosen
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=group[order[0]] - 1))
    members = np.split(order, starts[1:])
    for index in generator.permutation(len(members)):
        touched, counts = np.unique(labels[members[index]], return_counts=True)
        if (counts <= spare[touched]).all():
            spare[touched] -= counts
            chosen[members[index]] = True
    return chosen


def _name_of(name: str, file: NpzFile, where: str) -> str:
    """Return what the file calls array `name`: that, or one of its other names; raises DataError for two of them."""
    others = [] if name in file.names else [other for other in file.names if other.lower() in _ALSO[name]]
    if len(others) > 1:
        some = " and ".join(safe_text(other, 40) for other in others)
        raise DataError(f"{where}: it holds {some}, which mean the same; call the one that counts {name}")
    return others[0] if others else name


def _refuse_similar_names(file: NpzFile, where: str, used: Collection[str]) -> None:
    """Refuse names that nearly match ours: a typing error must not leave out a test set."""
    by_lower = {name.lower().replace("-", "_"): name for name in _NAMES}
    for name in file.names:
        if name in _NAMES or name in used:
            continue
        near = difflib.get_close_matches(name.lower()[:20], [*by_lower, "xtest", "ytest"], n=1, cutoff=0.8)
        if near:
            meant = by_lower.get(near[0], {"xtest": "X_test", "ytest": "y_test"}.get(near[0], ""))
            raise DataError(f"{where}: it holds {safe_text(name, 40)!r}; did you mean {meant!r}?")


def _part(file: NpzFile, where: str, x_name: str, y_name: str) -> _Part:
    for name in (x_name, y_name):
        if name not in file.names:
            raise DataError(f"{where}: there is no array {name} in it (it holds {_listed(file.names)})")
    header = file.header(x_name)
    shape = header.shape
    if len(shape) not in (2, 3, 4):
        raise DataError(
            f"{where}: {x_name} is {_sizes(shape)}; [n, d], [n, rows, columns] or [n, rows, columns, channels] fits"
        )
    features = math.prod(shape[1:])
    if not 1 <= shape[0] <= MAX_INPUTS or not 1 <= features <= MAX_FEATURES:
        raise DataError(
            f"{where}: {x_name} holds {shape[0]:,} inputs of {features:,} values;"
            f" 1 to {MAX_INPUTS:,} of 1 to {MAX_FEATURES:,} are needed"
        )
    if header.dtype.kind not in "biuf":
        raise DataError(f"{where}: {x_name} is {safe_text(header.dtype, 40)}; uint8 or floating point is needed")
    x = file.read(x_name, np.dtype(np.uint8 if header.dtype == np.uint8 else np.float32))
    _check_range(file, where, x_name, x)
    return _Part(x, _labels(file, where, x_name, y_name, shape[0]))


def _check_range(file: NpzFile, where: str, name: str, x: Inputs) -> None:
    largest = file.largest(name)
    if largest > _LARGEST or 0 < largest < _SMALLEST:
        raise DataError(
            f"{where}: {name} has values up to {largest:.3g}, out of float32's range; multiply X and X_test by"
            f" 1e{-round(math.log10(largest)):+03d}"
        )
    if x.dtype != np.uint8 and (fault := not_finite(x.reshape(len(x), -1))):
        raise DataError(f"{where}: {name} holds {fault}; leave them out or fill them in")


def _labels(file: NpzFile, where: str, x_name: str, name: str, count: int) -> NDArray[Any]:
    """Return the labels of `count` inputs [count], whole numbers or text; one-hot rows become columns' numbers."""
    header = file.header(name)
    shape, kind = header.shape, header.dtype.kind
    one_hot = len(shape) == 2 and shape[0] == count and 1 < shape[1] <= MAX_CLASSES and kind in "biuf"
    if not one_hot and shape not in ((count,), (count, 1)):
        raise DataError(f"{where}: {name} is {_sizes(shape)}; {x_name} has {count:,} inputs")
    if kind not in "biufSU":
        raise DataError(f"{where}: {name} is {safe_text(header.dtype, 40)}; whole numbers or text is needed")
    y = file.read(name, header.dtype)
    if one_hot:
        if not (np.count_nonzero(y, axis=1) == 1).all() or not (y.max(axis=1) == 1).all():
            raise DataError(
                f"{where}: {name} is {_sizes(shape)} and not one-hot (a single 1 in each row); one class each is needed"
            )
        numbers: NDArray[np.int64] = y.argmax(axis=1)
        return numbers
    if kind == "f":
        whole = y.reshape(-1).astype(np.int64) if np.isfinite(y).all() and (abs(y) < _MAX_WHOLE).all() else None
        if whole is None or not (whole == y.reshape(-1)).all():
            raise DataError(f"{where}: {name} is {header.dtype} with fractions; whole numbers or text is needed")
        return whole
    return y.reshape(-1)


def _group(file: NpzFile, where: str, count: int) -> NDArray[np.int64] | None:
    """Return each input's group as a number from 0; None where the file has no groups."""
    given = [name for name in GROUP_NAMES if name in file.names]
    if not given:
        return None
    if len(given) > 1:
        raise DataError(f"{where}: it holds both {given[0]} and {given[1]}, which mean the same; keep one")
    header = file.header(given[0])
    if header.shape not in ((count,), (count, 1)) or header.dtype.kind not in "biuSU":
        raise DataError(
            f"{where}: {given[0]} is {_sizes(header.shape)} of {safe_text(header.dtype, 40)};"
            f" {count:,} whole numbers or texts are needed"
        )
    values = file.read(given[0], header.dtype).reshape(-1)
    return np.unique(values, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _class_names(classes: NDArray[Any], where: str) -> tuple[str, ...]:
    if not 2 <= len(classes) <= MAX_CLASSES:
        only = f" ({_text(classes[0])})" if len(classes) == 1 else ""
        raise DataError(f"{where}: y has {len(classes):,} classes{only}; 2 to {MAX_CLASSES:,} are needed")
    names = tuple(_text(value) for value in classes)
    for position, name in enumerate(names):
        if name in names[:position]:
            raise DataError(f"{where}: two classes are both shown as {name!r}; give them other labels")
    return names


def _test_labels(y: NDArray[Any], classes: NDArray[Any], where: str) -> Labels:
    if (y.dtype.kind in "SU") != (classes.dtype.kind in "SU") or (y.dtype.kind == "S") != (classes.dtype.kind == "S"):
        raise DataError(f"{where}: y is {classes.dtype}, y_test is {y.dtype}; both must be numbers or both text")
    # numpy compares a signed and an unsigned 64-bit integer as floats, which round.
    if y.dtype.kind == "u" and classes.dtype.kind == "i" and y.size and int(y.max()) <= np.iinfo(np.int64).max:
        y = y.astype(np.int64)
    labels = np.searchsorted(classes, y).clip(max=len(classes) - 1)
    unknown = np.flatnonzero(classes[labels] != y)
    if len(unknown):
        raise DataError(f"{where}: y_test holds {_text(y[unknown[0]])!r}, which is no class of y")
    return labels.astype(np.int64)


def _text(value: object) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return safe_text(text, _MAX_CLASS_NAME) or "(empty)"


def _image_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return rows, columns, channels; a vector is one row."""
    if len(shape) == 2:
        return 1, shape[1], 1
    return shape[1], shape[2], shape[3] if len(shape) == 4 else 1


def _sizes(shape: tuple[int, ...]) -> str:
    return f"[{', '.join(f'{length:,}' for length in shape[:6])}]"


def _listed(names: tuple[str, ...]) -> str:
    return safe_text(", ".join(name[:40] for name in names[:10]), 120) or "nothing"
