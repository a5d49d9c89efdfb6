"""Class labels of rows, from a file of activations or one of their own; and which array of a file is the input."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.activation_files.base import ActivationFile, ArrayInfo, sizes
from embcx_tui.compute.activation_files.raw_rows import open_regular
from embcx_tui.study.errors import DataError
from embcx_tui.study.measured import shown_name
from embcx_tui.study.text import safe_text

LABEL_NAMES = ("y", "labels", "label", "targets")
INPUT_NAMES = ("input", "X")
MAX_CLASSES = 1_000
_MAX_CLASS_NAME = 40
_MAX_NAMES_BYTES = 1_000_000
_MAX_WHOLE = 2.0**53  # the whole numbers that floating point holds without gaps


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """The class numbers [n], from 0, of the rows of a dataset, and what the classes are called. One class, `all`, for
    rows without labels.
    """

    numbers: NDArray[np.int64]
    classes: tuple[str, ...]

    @property
    def are_given(self) -> bool:
        return len(self.classes) > 1


def unlabelled(rows: int) -> Labels:
    """Return the labels of so many rows that have none."""
    return Labels(np.zeros(rows, np.int64), ("all",))


def labels_of(values: NDArray[Any], where: str, names: tuple[str, ...] | None = None) -> Labels:
    """Return the classes of labels [n] or [n, 1]: whole numbers or text, in sorted order.

    `names` [K]: what the classes are called, of the labels 0 … K - 1. Raises DataError, which begins with `where`.
    """
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or not len(values):
        raise DataError(f"{where}: labels of shape {sizes(values.shape)}; one label per row is needed, [n]")
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            raise DataError(f"{where}: labels that are not finite; give every row one")
        different = len(np.unique(values))
        if not ((abs(values) < _MAX_WHOLE) & (values == np.floor(values))).all():
            raise DataError(f"{where}: {different:,} different values with fractions are no classes; give other labels")
        values = values.astype(np.int64)
    if values.dtype.kind not in "biuSU":
        raise DataError(f"{where}: labels of type {safe_text(values.dtype, 40)}; whole numbers or text are needed")
    distinct, numbers = np.unique(values, return_inverse=True)
    if len(distinct) > MAX_CLASSES:
        raise DataError(f"{where}: {len(distinct):,} different values are no classes (at most {MAX_CLASSES:,})")
    numbers = numbers.reshape(-1).astype(np.int64)
    if names is None:
        return Labels(numbers, tuple(_class_name(value, where) for value in distinct))
    if distinct.dtype.kind in "SU" or int(distinct[0]) < 0 or int(distinct[-1]) >= len(names):
        raise DataError(
            f"{where}: {len(names):,} names of classes are for labels from 0 to {len(names) - 1:,};"
            f" there are labels from {_text(distinct[0])} to {_text(distinct[-1])}"
        )
    return Labels(numbers, tuple(names[int(value)] for value in distinct))


def _text(value: object) -> str:
    return safe_text(value.decode("utf-8", "replace") if isinstance(value, bytes) else value, _MAX_CLASS_NAME)


def _class_name(value: object, where: str) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    try:
        return shown_name(text or "(empty)", _MAX_CLASS_NAME)
    except ValueError as error:
        raise DataError(f"{where}: a class: {error}") from None


def class_names(path: Path) -> tuple[str, ...]:
    """Return the names of classes, one per line of a text file; raises DataError."""
    where = safe_text(path, 200)
    lines = text_lines(path, where, _MAX_NAMES_BYTES)
    if not 1 <= len(lines) <= MAX_CLASSES or len(set(lines)) < len(lines):
        raise DataError(f"{where}: {len(lines):,} lines; 1 to {MAX_CLASSES:,} different names of classes are needed")
    return tuple(_class_name(line, where) for line in lines)


def text_lines(path: Path, where: str, most: int) -> list[str]:
    """Return the lines of a text file of at most so many bytes; raises DataError."""
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            data = file.read(most + 1)
        if len(data) > most:
            raise DataError(f"{where}: more than {most:,} bytes are too many")
        return data.decode("utf-8-sig").splitlines()
    except OSError as error:
        raise DataError(f"{where}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise DataError(f"{where}: not UTF-8 text") from None


def label_array(file: ActivationFile, wanted: str = "") -> str:
    """Return the name of the array of `file` that holds labels; empty where there is none. `wanted` must be there."""
    if wanted:
        return file.info(wanted).name
    return next((name for name in LABEL_NAMES for array in file.arrays if array.name == name), "")


def only_label_array(file: ActivationFile) -> str:
    """Return the name of the only array of `file` that could be labels; raises DataError where there are several."""
    fits = [array.name for array in file.arrays if len(array.shape) == 1 or array.shape[1:] == (1,)]
    if len(fits) != 1:
        listed = safe_text(", ".join(name[:40] for name in fits[:8]), 120) or "no array [n]"
        raise DataError(f"{file.where}: which array has the labels? Write FILE:NAME (it holds {listed})")
    return fits[0]


def input_array(arrays: tuple[ArrayInfo, ...], rows: int) -> str:
    """Return the name of the array that holds the inputs; empty where there is none of so many rows."""
    fits = {array.name for array in arrays if len(array.shape) >= 2 and array.rows == rows and array.units}
    return next((name for name in INPUT_NAMES if name in fits), "")
