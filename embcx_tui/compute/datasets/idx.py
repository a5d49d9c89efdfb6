"""MNIST's own format: IDX files of unsigned bytes, plain or gzipped."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.datasets.source import DamagedError, Pair
from embcx_tui.study.dataset_catalogue import DatasetFacts

_MAGIC_UINT8 = 0x0800  # the type byte of an IDX file of unsigned bytes; the lowest byte is the number of dimensions


def read_idx(facts: DatasetFacts, forms: tuple[tuple[Path, ...], ...]) -> tuple[Pair, Pair]:
    """Return training and test pairs from four files: images, labels, images, labels; raises DamagedError."""
    (x_train,), (y_train,), (x_test,), (y_test,) = forms
    image = facts.shape[:2]
    return (
        (_images(x_train, (facts.n_stored, *image)), read_idx_file(y_train, (facts.n_stored,))),
        (_images(x_test, (facts.n_test, *image)), read_idx_file(y_test, (facts.n_test,))),
    )


def _images(path: Path, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    return read_idx_file(path, shape).reshape(shape[0], -1)


def read_idx_file(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the unsigned bytes of an IDX file that must have `shape`; raises DamagedError."""
    try:
        with path.open("rb") as raw:
            if path.suffix != ".gz":
                return _read(raw, shape)
            with gzip.GzipFile(fileobj=raw) as unpacked:
                return _read(unpacked, shape)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DamagedError(path, error) from None


def _read(stream: BinaryIO | gzip.GzipFile, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Read no more than what `shape` needs, so that a crafted file cannot fill the memory."""
    header = stream.read(4 + 4 * len(shape))
    if len(header) < 4 + 4 * len(shape):
        raise ValueError("it ends inside its header")
    magic, *sizes = struct.unpack(f">{1 + len(shape)}I", header)
    if magic != _MAGIC_UINT8 | len(shape):
        raise ValueError(f"not an IDX file of {len(shape)} dimensions: it begins with {magic:#010x}")
    if tuple(sizes) != shape:
        raise ValueError(f"it says {'×'.join(map(str, sizes))} where {'×'.join(map(str, shape))} is expected")
    values = read_bytes(stream, int(np.prod(shape)))
    if stream.read(1):  # also makes gzip compare its checksum
        raise ValueError(f"it goes on after {values.size:,} values")
    return values.reshape(shape)


def read_bytes(stream: BinaryIO | gzip.GzipFile, size: int) -> NDArray[np.uint8]:
    """Return the next `size` bytes of a stream; raises ValueError where it ends before, and what the stream raises."""
    values = np.empty(size, np.uint8)  # read into, not np.frombuffer: torch wants memory that may be written
    done = 0
    while done < size:
        chunk = stream.read(min(size - done, 1 << 20))
        if not chunk:
            raise ValueError(f"it ends after {done:,} of {size:,} values")
        values[done : done + len(chunk)] = np.frombuffer(chunk, np.uint8)
        done += len(chunk)
    return values
