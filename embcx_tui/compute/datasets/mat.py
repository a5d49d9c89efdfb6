"""MATLAB's level-5 files (`-v6`, `-v7`), as far as plain numeric arrays go: headers first, data piece by piece.

Not read by scipy: damaged files end its reader in a segmentation fault (scipy 1.17.1, one of 4,000 mutated files).
After "MAT-File Format", The MathWorks; only little-endian files, which all machines of the last decades write.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

_HEADER_BYTES = 128
_MATRIX = 14
_COMPRESSED = 15
# The format's numbers for how values are stored.
_STORED = {1: "<i1", 2: "<u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8"}
_INT8, _INT32, _UINT32 = 1, 5, 6
# Classes of arrays that are numbers: double, single, and whole numbers of 8 to 64 bits.
_NUMERIC_CLASSES = range(6, 16)
_COMPLEX_FLAG = 0x800
_MAX_DIMENSIONS = 8
_MAX_NAME = 63  # MATLAB's own limit
_CHUNK_BYTES = 1 << 16


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class MatArray:
    """An array of a file: `name`, `shape`, how its values are stored, and a stream at the first of them.

    Values come in MATLAB's order, the first index fastest. The stream serves until the next array is asked for.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    stream: _Readable

    def values(self, count: int) -> NDArray[np.generic]:
        """Return the next `count` values; raises ValueError where the file ends before."""
        return np.frombuffer(_exactly(self.stream, count * self.dtype.itemsize), self.dtype)

    def finish(self) -> None:
        """Read what pads the data, at most 7 bytes, so that zlib compares its checksum; raises ValueError."""
        if len(self.stream.read(8)) > 7:
            raise ValueError(f"{self.name} goes on after its values")


def numeric_arrays(file: BinaryIO) -> Iterator[MatArray]:
    """Give the numeric arrays of a file in their order; others are passed over. Raises ValueError and zlib.error."""
    header = _exactly(file, _HEADER_BYTES)
    if header[124:128] != b"\x00\x01IM":
        if header[:8].startswith(b"MATLAB 7"):
            raise ValueError("it is of MATLAB 7.3, HDF5 inside")
        raise ValueError("not a MATLAB file of level 5")
    size = os.fstat(file.fileno()).st_size
    place = _HEADER_BYTES
    while place < size:
        file.seek(place)
        kind, length = struct.unpack("<II", _exactly(file, 8))
        place += 8 + length
        if place > size:
            raise ValueError(f"it ends {place - size:,} bytes before its array does")
        if kind == _COMPRESSED:
            stream: _Readable = _Inflated(_Part(file, length))
            kind, length = struct.unpack("<II", _exactly(stream, 8))
        else:
            stream = file
        if kind == _MATRIX:
            array = _array(_Part(stream, length))
            if array is not None:
                yield array


def _array(stream: _Readable) -> MatArray | None:
    """Read an array's head; None where it is no array of real numbers."""
    flags = _element(stream, _UINT32, 8)
    if len(flags) < 8:
        raise ValueError("its array's head is damaged")
    word, _ = struct.unpack("<II", flags)
    if word & 0xFF not in _NUMERIC_CLASSES or word & _COMPLEX_FLAG:
        return None
    sizes = _element(stream, _INT32, 4 * _MAX_DIMENSIONS)
    shape = struct.unpack(f"<{len(sizes) // 4}i", sizes[: len(sizes) // 4 * 4])
    name = _element(stream, _INT8, _MAX_NAME).decode("ascii", "replace")
    tag = _exactly(stream, 8)
    stored, length = struct.unpack("<II", tag)
    if stored >> 16:  # up to 4 bytes stand in the tag itself
        stored, length = stored & 0xFFFF, stored >> 16
        stream = _Held(tag[4 : 4 + length], stream)
    if stored not in _STORED:
        raise ValueError(f"values stored as type {stored} are unknown")
    dtype = np.dtype(_STORED[stored])
    count = 1
    for each in shape:
        count *= max(each, 0)
    if count * dtype.itemsize != length:
        raise ValueError(f"its {'×'.join(map(str, shape))} values take {length:,} bytes, which does not fit")
    return MatArray(name, shape, dtype, stream)


def _element(stream: _Readable, kind: int, most: int) -> bytes:
    """Return the content of a small element, which must be of `kind`."""
    tag = _exactly(stream, 8)
    found, length = struct.unpack("<II", tag)
    if found >> 16:
        found, length = found & 0xFFFF, found >> 16
        if found == kind and length <= 4:
            return tag[4 : 4 + length]
    elif found == kind and length <= most:
        return _exactly(stream, (length + 7) // 8 * 8)[:length]
    raise ValueError("its array's head is damaged")


def _exactly(stream: _Readable, size: int) -> bytes:
    parts = []
    left = size
    while left:
        chunk = stream.read(min(left, 1 << 20))
        if not chunk:
            raise ValueError(f"it ends {left:,} bytes too early")
        parts.append(chunk)
        left -= len(chunk)
    return b"".join(parts)


class _Part:
    """The next `size` bytes of a stream."""

    def __init__(self, stream: _Readable, size: int) -> None:
        self._stream = stream
        self._left = size

    def read(self, size: int, /) -> bytes:
        chunk = self._stream.read(min(size, self._left)) if self._left else b""
        self._left -= len(chunk)
        return chunk


class _Held:
    """Bytes already read, then the padding of a stream."""

    def __init__(self, held: bytes, stream: _Readable) -> None:
        self._held = held
        self._stream = stream

    def read(self, size: int, /) -> bytes:
        chunk, self._held = self._held[:size], self._held[size:]
        return chunk or self._stream.read(size)


class _Inflated:
    """What a zlib stream unpacks to, no more at a time than is asked for."""

    def __init__(self, stream: _Readable) -> None:
        self._stream = stream
        self._zlib = zlib.decompressobj()
        self._packed = b""

    def read(self, size: int, /) -> bytes:
        while not self._zlib.eof:
            self._packed = self._packed or self._stream.read(_CHUNK_BYTES)
            chunk = self._zlib.decompress(self._packed, size)
            ended = not self._packed
            self._packed = self._zlib.unconsumed_tail
            if chunk:
                return chunk
            if ended:
                raise ValueError("it ends inside its packed data")
        return b""
