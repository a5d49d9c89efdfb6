"""Reading single arrays of an untrusted .npz file: nothing is unpickled, sizes are bounded.

`numpy.load` would take whatever memory a header asks for, and reads a float64 array whole before it is converted.
"""

from __future__ import annotations

import math
import stat
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.datasets.dataset import reason_of
from embcx_tui.study.errors import DataError
from embcx_tui.study.text import safe_text

# One array as it is kept in memory; 73,257 colour images of 32×32 take 0.2 GB as bytes, 0.9 GB as floats.
MAX_ARRAY_BYTES = 8 << 30
_MAX_MEMBERS = 1_000
CHUNK_BYTES = 1 << 20
# Deflate cannot compress better: a member that claims more is damaged, or a zip bomb.
_MAX_RATIO = 1_040
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What zipfile and numpy raise when they read nonsense.
_NONSENSE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    struct.error,
    tokenize.TokenError,
    EOFError,
    OSError,
    ValueError,
    TypeError,
    SyntaxError,
    LookupError,
    RuntimeError,
    OverflowError,
    MemoryError,
    AttributeError,
)


@dataclass(frozen=True, slots=True)
class ArrayHeader:
    """An array's shape, memory order and type, as its header gives them."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        return math.prod(self.shape)


class NpzFile:
    """An open .npz; every error is a DataError that begins with the file's path."""

    def __init__(self, path: Path) -> None:
        """Open the file at `path`; raises DataError where it is no readable .npz."""
        self._where = safe_text(path, 200)
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise DataError(f"{self._where}: not a file")
            self._zip = zipfile.ZipFile(path)
        except FileNotFoundError:
            raise DataError(f"{self._where}: there is no such file") from None
        except _NONSENSE as error:
            raise DataError(f"{self._where}: not a readable .npz file ({reason_of(error, 100)})") from None
        self._rounding: dict[str, float] = {}
        self._largest: dict[str, float] = {}
        self._members = {info.filename: info for info in self._zip.infolist()}
        if len(self._members) > _MAX_MEMBERS:
            self._zip.close()
            raise DataError(f"{self._where}: {len(self._members):,} arrays are too many")

    def __enter__(self) -> NpzFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    @property
    def names(self) -> tuple[str, ...]:
        """The arrays' names as they stand in the file: text from outside."""
        return tuple(name.removesuffix(".npy") for name in self._members)

    def header(self, name: str) -> ArrayHeader:
        """Return the header of array `name`."""
        with self._guarded(name), self._open(name) as stream:
            return self._header(name, stream)

    def read(self, name: str, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return array `name` converted to `dtype` in C order; overflow gives infinities, as in numpy."""
        with self._guarded(name), self._open(name) as stream:
            header = self._header(name, stream)
            needed = header.size * dtype.itemsize
            if needed > MAX_ARRAY_BYTES:
                raise DataError(
                    f"{self._where}: {name} would take {needed:,} bytes of memory; at most {MAX_ARRAY_BYTES:,}"
                )
            flat, self._rounding[name], self._largest[name] = _values(stream, header, dtype)
        if header.fortran:
            return np.ascontiguousarray(flat.reshape(header.shape[::-1]).T)
        return flat.reshape(header.shape)

    def row_pieces(self, name: str, index: NDArray[np.int64]) -> Iterator[NDArray[Any]]:
        """Yield the rows `index`, ascending, of array `name` in its own type, some at a time, [k, ...] each.

        The member is read through in pieces, whatever its size. One in Fortran order, whose rows are scattered, gives
        all rows at once.
        """
        with self._guarded(name), self._open(name) as stream:
            header = self._header(name, stream)
            yield from (_from_columns if header.fortran and header.shape[1:] else _from_rows)(stream, header, index)
            if stream.read(1):  # also makes zipfile compare its checksum
                raise ValueError(f"it goes on after {header.size:,} values")

    def rounding(self, name: str) -> float:
        """Return the root mean square of the rounding error that converting array `name` made; 0 if there was none."""
        return self._rounding.get(name, 0.0)

    def largest(self, name: str) -> float:
        """Return the largest finite magnitude in array `name` of the file; 0 where no conversion could lose it."""
        return self._largest.get(name, 0.0)

    def _open(self, name: str) -> IO[bytes]:
        info = self._members.get(f"{name}.npy")
        if info is None:
            raise DataError(f"{self._where}: there is no array {name} in it")
        if info.flag_bits & 1 or info.compress_type not in _METHODS:
            raise ValueError("its compression is none of numpy's")
        if info.file_size > _MAX_RATIO * (info.compress_size + 1):
            raise ValueError(f"{info.compress_size:,} bytes cannot unpack to {info.file_size:,}")
        return self._zip.open(info)

    def _header(self, name: str, stream: IO[bytes]) -> ArrayHeader:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        elif version == (2, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
        else:
            raise ValueError(f"version {version[0]}.{version[1]} of the format is unknown")
        if dtype.hasobject or dtype.kind not in "biufcSU" or dtype.shape:
            raise DataError(
                f"{self._where}: {name} holds {_kind(dtype)}; numbers or text of fixed width (never pickled) are needed"
            )
        if any(length < 0 for length in shape):
            raise ValueError("a length is negative")
        header = ArrayHeader(shape, fortran, dtype)
        told = self._members[f"{name}.npy"].file_size
        if header.size * dtype.itemsize > told:
            raise ValueError(f"its header promises {header.size * dtype.itemsize:,} bytes, it has {told:,}")
        return header

    def _guarded(self, name: str) -> _Guard:
        return _Guard(self._where, name)


class _Guard:
    """Turns the errors of zipfile and numpy into a DataError of one line."""

    def __init__(self, where: str, name: str) -> None:
        self._where = where
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, _NONSENSE):
            raise DataError(f"{self._where}: {self._name} is damaged ({reason_of(error, 100)})") from None


def _values(stream: IO[bytes], header: ArrayHeader, dtype: np.dtype[Any]) -> tuple[NDArray[Any], float, float]:
    """Read and convert in pieces, so that a float64 array is never in memory whole.

    Return the values, flat, the root mean square of the conversion's rounding error, and the largest finite magnitude
    among the values before it (0 where it cannot round).
    """
    flat = np.empty(header.size, dtype)
    rounds = not np.can_cast(header.dtype, dtype)
    squares = largest = 0.0
    width = header.dtype.itemsize
    if width == 0:  # text of no characters at all
        flat[:] = ""
        return flat, 0.0, 0.0
    per_chunk = max(CHUNK_BYTES // width, 1)
    done = 0
    while done < header.size:
        wanted = min(per_chunk, header.size - done) * width
        chunk = stream.read(wanted)
        while len(chunk) < wanted:
            more = stream.read(wanted - len(chunk))
            if not more:
                raise ValueError(f"it ends after {done:,} of {header.size:,} values")
            chunk += more
        with np.errstate(over="ignore", invalid="ignore"):
            given, kept = np.frombuffer(chunk, header.dtype), flat[done : done + wanted // width]
            kept[:] = given
            if rounds:
                squares += float(np.square(np.subtract(kept, given, dtype=np.float64)).sum())
                largest = max(largest, float(np.abs(given).max(initial=0, where=np.isfinite(given))))
        done += wanted // width
    if stream.read(1):  # also makes zipfile compare its checksum
        raise ValueError(f"it goes on after {header.size:,} values")
    return flat, math.sqrt(squares / max(header.size, 1)), largest


def _from_columns(stream: IO[bytes], header: ArrayHeader, index: NDArray[np.int64]) -> Iterator[NDArray[Any]]:
    row_shape, height = header.shape[1:], header.shape[0] * header.dtype.itemsize
    found = np.empty((math.prod(row_shape), len(index)), header.dtype)
    for column in found:
        column[:] = np.frombuffer(_exactly(stream, height), header.dtype)[index]
    yield np.ascontiguousarray(found.reshape(*row_shape[::-1], len(index)).T)


def _from_rows(stream: IO[bytes], header: ArrayHeader, index: NDArray[np.int64]) -> Iterator[NDArray[Any]]:
    row_shape = header.shape[1:]
    width = math.prod(row_shape) * header.dtype.itemsize
    per_piece = max(CHUNK_BYTES // max(width, 1), 1)
    done = 0
    for start in range(0, header.shape[0] if width else 0, per_piece):
        count = min(per_piece, header.shape[0] - start)
        piece = _exactly(stream, count * width)
        last = int(np.searchsorted(index, start + count))
        if last > done:
            yield np.frombuffer(piece, header.dtype).reshape(count, *row_shape)[index[done:last] - start]
        done = last


def _exactly(stream: IO[bytes], wanted: int) -> bytes:
    piece = stream.read(wanted)
    while len(piece) < wanted:
        more = stream.read(wanted - len(piece))
        if not more:
            raise ValueError("it ends before its last row")
        piece += more
    return piece


def _kind(dtype: np.dtype[Any]) -> str:
    return "Python objects" if dtype.hasobject else safe_text(dtype, 60)
