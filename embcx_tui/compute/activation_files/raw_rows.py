"""Rows of an array that lies uncompressed in a file, read one by one: no more of it is ever in memory.

Read, not mapped: a file that is cut short while it is read is an error of one line, where a mapping would kill the
process, and pages of a mapping would count as memory of ours.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.activation_files.base import PIECE_BYTES, Index
from embcx_tui.study.errors import DataError
from embcx_tui.study.text import safe_text


def open_regular(path: Path, *, follow: bool = True) -> int:
    """Return a descriptor for reading the regular file at `path`; raises DataError for what is none, and without
    `follow` for a link.
    """
    where = safe_text(path, 200)
    try:
        # A pipe would keep its reader waiting: opened without waiting, then looked at.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
    except FileNotFoundError:
        raise DataError(f"{where}: there is no such file") from None
    except (OSError, ValueError) as error:
        if not follow and path.is_symlink():
            raise DataError(f"{where}: a link in a folder of activations is not followed; copy the file") from None
        raise DataError(f"{where}: cannot be read ({getattr(error, 'strerror', None) or 'no path'})") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise DataError(f"{where}: not a file")
    return fd


def read_exactly(fd: int, count: int, offset: int) -> bytes:
    """Return `count` bytes from `offset` on; raises ValueError where the file ends before."""
    parts = []
    while count:
        part = os.pread(fd, min(count, 1 << 30), offset)
        if not part:
            raise ValueError("it is cut short")
        parts.append(part)
        count -= len(part)
        offset += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


@dataclass(frozen=True, slots=True)
class RawArray:
    """Where an array of `shape` lies in a file: from byte `offset` on, in C order or `fortran`."""

    fd: int
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool = False

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def pieces(self, index: Index) -> Iterator[NDArray[Any]]:
        """Yield rows `index`, ascending, some at a time, [k, …] each; raises ValueError and OSError.

        All at once where they lie in columns.
        """
        row_shape = self.shape[1:]
        columns = math.prod(row_shape)
        if self.fortran and row_shape:
            yield self._columns(index, columns).reshape(*row_shape[::-1], len(index)).T
            return
        width = columns * self.dtype.itemsize
        start = 0
        for end in _ends_of_runs(index, max(PIECE_BYTES // max(width, 1), 1)):
            piece = read_exactly(self.fd, (end - start) * width, self.offset + int(index[start]) * width)
            yield np.frombuffer(piece, self.dtype).reshape(end - start, *row_shape)
            start = end

    def _columns(self, index: Index, columns: int) -> NDArray[Any]:
        """Return the rows of an array in Fortran order, transposed [columns, k], some columns at a time."""
        height = self.shape[0] * self.dtype.itemsize
        found = np.empty((columns, len(index)), self.dtype)
        step = max(PIECE_BYTES // max(height, 1), 1)
        for first in range(0, columns, step):
            count = min(step, columns - first)
            piece = read_exactly(self.fd, count * height, self.offset + first * height)
            found[first : first + count] = np.frombuffer(piece, self.dtype).reshape(count, self.shape[0])[:, index]
        return found


def _ends_of_runs(index: Index, most: int) -> list[int]:
    """Return where each run of consecutive indices, of at most so many, ends: rows side by side are read at once."""
    ends: list[int] = []
    start = 0
    for position in range(1, len(index) + 1):
        if position == len(index) or index[position] != index[position - 1] + 1 or position - start == most:
            ends.append(position)
            start = position
    return ends
