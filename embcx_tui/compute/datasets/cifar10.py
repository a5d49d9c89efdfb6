"""CIFAR-10's binary version: records of one label byte and 3,072 pixel bytes, in six files or in their archive.

Not the Python version that torchvision keeps: that one is pickle, and opening a pickle can run any code.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.datasets.idx import read_bytes
from embcx_tui.compute.datasets.source import DamagedError, Pair
from embcx_tui.study.dataset_catalogue import DatasetFacts

_NAMES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
_FOLDER = "cifar-10-batches-bin"
# What an archive may hold beside its records: headers, padding, two texts.
_SPARE_BYTES = 1 << 20


def read_cifar10(facts: DatasetFacts, forms: tuple[tuple[Path, ...], ...]) -> tuple[Pair, Pair]:
    """Return training and test pairs from the archive or the six files; raises DamagedError."""
    (paths,) = forms
    counts = dict.fromkeys(_NAMES[:-1], facts.n_stored // (len(_NAMES) - 1)) | {_NAMES[-1]: facts.n_test}
    if len(paths) == 1:
        batches = _archive(paths[0], counts, facts.features + 1)
    else:
        batches = {path.name: _file(path, counts[path.name], facts.features + 1) for path in paths}
    train = np.concatenate([batches[name] for name in _NAMES[:-1]])
    return _pair(train, facts), _pair(batches[_NAMES[-1]], facts)


def _pair(records: NDArray[np.uint8], facts: DatasetFacts) -> Pair:
    """Return inputs and labels of records whose colours come one plane after the other."""
    rows, columns, channels = facts.shape
    planes = records[:, 1:].reshape(len(records), channels, rows, columns)
    return planes.transpose(0, 2, 3, 1).reshape(len(records), -1), records[:, 0]


def _file(path: Path, count: int, size: int) -> NDArray[np.uint8]:
    try:
        with path.open("rb") as stream:
            records = read_bytes(stream, count * size).reshape(count, size)
            if stream.read(1):
                raise ValueError(f"it goes on after {count:,} images")
            return records
    except (OSError, ValueError) as error:
        raise DamagedError(path, error) from None


def _archive(path: Path, counts: dict[str, int], size: int) -> dict[str, NDArray[np.uint8]]:
    """Read the six files out of the archive, in memory: nothing is unpacked to the disk."""
    found: dict[str, NDArray[np.uint8]] = {}
    limit = sum(counts.values()) * size + _SPARE_BYTES
    try:
        with path.open("rb") as raw, gzip.GzipFile(fileobj=raw) as unpacked:
            bounded = _Bounded(unpacked, limit)
            with tarfile.open(fileobj=bounded, mode="r|") as archive:
                for name, member in _members(archive):
                    if name in counts:
                        if member.size != counts[name] * size:
                            raise ValueError(f"{name} has {member.size:,} bytes, not {counts[name] * size:,}")
                        content = archive.extractfile(member)
                        if content is None:
                            raise ValueError(f"{name} is no file")
                        with content:
                            found[name] = read_bytes(content, member.size).reshape(counts[name], size)  # type: ignore[arg-type]  # IO[bytes] reads as BinaryIO does
            while bounded.read(1 << 20):  # makes gzip compare its checksum
                pass
    except (OSError, EOFError, zlib.error, ValueError, OverflowError, tarfile.TarError) as error:
        raise DamagedError(path, error) from None
    missing = [name for name in counts if name not in found]
    if missing:
        raise DamagedError(path, f"it lacks {', '.join(missing)}")
    return found


def _members(archive: tarfile.TarFile) -> Iterator[tuple[str, tarfile.TarInfo]]:
    for member in archive:
        folder, _, name = member.name.removeprefix("./").rpartition("/")
        if folder == _FOLDER and member.isreg():
            yield name, member


class _Bounded(io.RawIOBase):
    """A stream that ends in ValueError after `limit` bytes: an archive that unpacks to more is none of ours."""

    def __init__(self, stream: gzip.GzipFile, limit: int) -> None:
        self._stream = stream
        self._left = limit

    def read(self, size: int = -1) -> bytes:
        # A crafted header may ask for gigabytes at once.
        chunk = self._stream.read(min(size, self._left + 1) if size >= 0 else self._left + 1)
        self._left -= len(chunk)
        if self._left < 0:
            raise ValueError("it unpacks to more than the images")
        return chunk
