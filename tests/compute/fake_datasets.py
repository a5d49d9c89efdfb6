"""Small files in the real formats of the named datasets, and sources that expect them."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat

from embcx_tui.compute import datasets
from embcx_tui.compute.datasets.source import Source
from embcx_tui.study.dataset_catalogue import CATALOGUE, DatasetFile, StoredFile

Bytes = NDArray[np.uint8]

N_STORED, N_TRAIN, N_TEST = 60, 50, 20
CIFAR_BATCHES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")


def images(name: str) -> tuple[Bytes, Bytes, Bytes, Bytes]:
    """Return training images, labels, test images, labels: rows, columns, channels as the program keeps them."""
    shape = small_shape(name)
    generator = np.random.default_rng(len(name))

    def part(count: int) -> tuple[Bytes, Bytes]:
        x = generator.integers(0, 256, (count, *shape)).astype(np.uint8)
        return x, (np.arange(count) % 10).astype(np.uint8)

    return *part(N_STORED), *part(N_TEST)


def small_shape(name: str) -> tuple[int, int, int]:
    # Unequal sides, so that swapped axes show.
    return (5, 4, CATALOGUE[name].shape[2])


def files(name: str) -> dict[str, bytes]:
    """Return the content of each distributed file of `name`, by its path below the data folder."""
    x, y, x_test, y_test = images(name)
    if name == "svhn":
        return {"train_32x32.mat": mat_bytes(x, y), "test_32x32.mat": mat_bytes(x_test, y_test)}
    if name == "cifar10":
        return {"cifar-10-binary.tar.gz": archive_bytes(cifar_batches())}
    paths = [part.distributed.path for part in CATALOGUE[name].files]
    contents = (x[..., 0], y, x_test[..., 0], y_test)
    return {path: packed(values) for path, values in zip(paths, contents, strict=True)}


def idx_bytes(values: Bytes) -> bytes:
    return struct.pack(f">{1 + values.ndim}I", 0x0800 | values.ndim, *values.shape) + values.tobytes()


def packed(values: Bytes) -> bytes:
    return gzip.compress(idx_bytes(values), mtime=0)


def mat_bytes(x: NDArray[Any], y: NDArray[Any], compressed: bool = True, **more: object) -> bytes:
    """Return a .mat file of SVHN's form: X [rows, columns, channels, n], y [n, 1] in which 10 means 0."""
    stream = io.BytesIO()
    labels = np.where(y == 0, 10, y).astype(y.dtype).reshape(-1, 1)
    savemat(stream, {"X": x.transpose(1, 2, 3, 0), "y": labels, **more}, do_compression=compressed)
    # scipy writes the time into the header, and the files of two calls must have one checksum.
    return b"MATLAB 5.0 MAT-file".ljust(116) + stream.getvalue()[116:]


def cifar_batches() -> dict[str, bytes]:
    x, y, x_test, y_test = images("cifar10")

    def records(x: Bytes, y: Bytes) -> bytes:
        return b"".join(bytes([label]) + image.transpose(2, 0, 1).tobytes() for image, label in zip(x, y, strict=True))

    per_batch = N_STORED // 5
    parts = [
        records(x[start : start + per_batch], y[start : start + per_batch]) for start in range(0, N_STORED, per_batch)
    ]
    return dict(zip(CIFAR_BATCHES, [*parts, records(x_test, y_test)], strict=True))


def archive_bytes(members: dict[str, bytes], folder: str = "cifar-10-batches-bin") -> bytes:
    stream = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=stream, mode="wb", mtime=0) as packing,
        tarfile.open(fileobj=packing, mode="w") as archive,
    ):
        for name, content in {"readme.html": b"<html/>", **members}.items():
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def fake_source(name: str, urls: tuple[str, ...] = (), content: dict[str, bytes] | None = None) -> Source:
    """Return a source like that of `name` for the small files; `urls` are folders that may have them."""
    contents = files(name) if content is None else content
    facts = CATALOGUE[name]

    def stored(file: StoredFile) -> StoredFile:
        raw = next((raw for path, raw in contents.items() if path.endswith(file.name)), None)
        if raw is not None:
            return StoredFile(file.path, len(raw), hashlib.md5(raw).hexdigest())
        if name == "cifar10":
            return StoredFile(file.path, len(cifar_batches()[file.name]))
        unpacked = gzip.decompress(contents[f"{file.path}.gz"])
        return StoredFile(file.path, len(unpacked), hashlib.md5(unpacked).hexdigest())

    def part(old: DatasetFile) -> DatasetFile:
        forms = tuple(tuple(stored(file) for file in form) for form in old.forms)
        file = stored(old.distributed)
        return DatasetFile(forms, file, tuple(f"{url}{file.name}" for url in urls))

    n_train = N_TRAIN if name == "mnist" else N_STORED
    small = replace(
        facts,
        n_train=n_train,
        n_stored=N_STORED,
        n_test=N_TEST,
        shape=small_shape(name),
        files=tuple(part(old) for old in facts.files),
    )
    return Source(small, datasets.SOURCES[name].read)


def put(folder: Path, content: dict[str, bytes]) -> None:
    for path, raw in content.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(raw)
