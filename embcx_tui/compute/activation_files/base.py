"""What every reader of activations gives: the arrays of a file by name, and of one array only the rows that are asked
for. Nothing is unpickled, and no reader opens another file than the one it was given.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from embcx_tui.study.errors import DataError
from embcx_tui.study.text import safe_text

Index = NDArray[np.int64]
# Beyond these a header is a mistake or an attack.
MAX_ARRAYS = 10_000
MAX_DIMENSIONS = 8
# Labels are read whole: of so many rows.
MAX_LABELS = 100_000_000
MAX_LABEL_BYTES = 4 << 30
# Rows are read and converted in pieces of so many bytes.
PIECE_BYTES = 2 << 20
_FLOATS = ("float16", "float32", "float64", "bfloat16")


@dataclass(frozen=True, slots=True)
class ArrayInfo:
    """An array as its file's header gives it: `dtype` is numpy's name of the type, `bfloat16`, or `text`."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    nbytes: int

    @property
    def is_floating(self) -> bool:
        return self.dtype in _FLOATS

    @property
    def rows(self) -> int:
        return self.shape[0] if self.shape else 0

    @property
    def units(self) -> int:
        """Numbers in one row."""
        return math.prod(self.shape[1:])


class ActivationFile(ABC):
    """An open file of activations; every error is a DataError that begins with its path."""

    def __init__(self, where: str) -> None:
        self.where = where
        """The path, harmless."""
        self.arrays: tuple[ArrayInfo, ...] = ()
        """Its arrays, in the order of the file, or of their names where that has none."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        return

    def info(self, name: str) -> ArrayInfo:
        """Return the header of array `name`; raises DataError where there is none of that name."""
        for array in self.arrays:
            if array.name == name:
                return array
        listed = safe_text(", ".join(array.name[:40] for array in self.arrays[:10]), 120) or "nothing"
        raise DataError(f"{self.where}: there is no array {safe_text(name, 60)} in it (it holds {listed})")

    @abstractmethod
    def pieces(self, name: str, index: Index) -> Iterator[NDArray[Any]]:
        """Yield the rows `index`, ascending, of array `name` as they are kept, some at a time, [k, …] each; bfloat16 as
        float32.
        """

    def values(self, name: str) -> NDArray[Any]:
        """Return array `name` whole: labels, of which there is one per row."""
        info = self.info(name)
        if info.rows > MAX_LABELS or info.nbytes > MAX_LABEL_BYTES:
            raise DataError(f"{self.where}: {safe_text(name, 60)} is {sizes(info.shape)}, too large for labels")
        found = list(self.pieces(name, np.arange(info.rows, dtype=np.int64)))
        return np.concatenate(found) if found else np.empty(0)

    def _check(self) -> None:
        """Raise DataError where a header is beyond all bounds."""
        if len(self.arrays) > MAX_ARRAYS:
            raise DataError(f"{self.where}: {len(self.arrays):,} arrays are too many (at most {MAX_ARRAYS:,})")
        for array in self.arrays:
            if len(array.shape) > MAX_DIMENSIONS or math.prod(array.shape) >= 2**62:
                raise DataError(f"{self.where}: {safe_text(array.name, 60)} has a shape that no array can have")


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Return a key by which `l2` comes before `l10`."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d{1,18})", name) if part]


def bfloat16_to_float32(raw: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return the float32 numbers that bfloat16's 16 bits are the upper half of: exact."""
    return (raw.astype(np.uint32) << np.uint32(16)).view(np.float32)


def sizes(shape: tuple[int, ...]) -> str:
    """Return a shape in words: `[1,000, 64, 56, 56]`."""
    return f"[{', '.join(f'{length:,}' for length in shape[:MAX_DIMENSIONS])}]"
