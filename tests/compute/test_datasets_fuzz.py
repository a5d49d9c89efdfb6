"""Damaged files of every format, some hundreds each: DataError in one line, or a dataset; never anything else."""

from __future__ import annotations

import gzip
import io
import os
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from embcx_tui.compute.datasets import load
from embcx_tui.compute.datasets.readers import read_cifar10, read_mnist
from embcx_tui.compute.datasets.source import DamagedError
from embcx_tui.study.errors import DataError
from embcx_tui.study.text import safe_text
from tests.compute.fake_datasets import cifar_batches, fake_source, files, put

# More of them by hand: EMBCX_FUZZ=20000 (2 minutes a format).
COUNT = int(os.environ.get("EMBCX_FUZZ", "300"))


def mutated(raw: bytes, generator: np.random.Generator) -> bytes:
    """Return `raw` cut short, with bytes flipped, replaced, moved, removed or added, mostly near its beginning."""
    kind = generator.integers(0, 6)
    span = len(raw) if generator.random() < 0.4 else min(len(raw), 400)
    place = int(generator.integers(0, max(span, 1)))
    if kind == 0:
        return raw[:place]
    if kind == 1:
        return raw[:place] + raw[place + int(generator.integers(1, 50)) :]
    if kind == 2:
        return raw[:place] + generator.bytes(int(generator.integers(1, 50))) + raw[place:]
    changed = bytearray(raw)
    for _ in range(int(generator.integers(1, 6))):
        place = int(generator.integers(0, span))
        changed[place] = (0, 255, changed[place] ^ (1 << int(generator.integers(0, 8))))[int(generator.integers(0, 3))]
    return bytes(changed)


def survive(path: Path, raw: bytes, read: Callable[[], object], seed: int) -> int:
    """Read mutated files at `path`; return how many were refused."""
    generator = np.random.default_rng(seed)
    refused = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(COUNT):
            while (damaged := mutated(raw, generator)) == raw:
                pass
            path.write_bytes(damaged)
            try:
                read()
            except (DamagedError, DataError) as error:
                refused += 1
                assert safe_text(error) == str(error)
    path.write_bytes(raw)
    read()
    return refused


@pytest.mark.parametrize("unpacked", [False, True])
def test_idx(tmp_path: Path, unpacked: bool) -> None:
    facts = fake_source("mnist").facts
    put(tmp_path, files("mnist"))
    paths = [tmp_path / part.distributed.path for part in facts.files]
    if unpacked:  # no checksum is published of these, and torchvision checks little
        for path in paths:
            path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        paths = [path.with_suffix("") for path in paths]
    forms = tuple((path,) for path in paths)
    for path in paths[:2]:
        assert survive(path, path.read_bytes(), lambda: read_mnist(facts, forms, tmp_path / "cache"), 1) > COUNT / 4


def test_svhn(tmp_path: Path) -> None:
    # The checksum refuses them all, and it must: one such file in 4,000 crashes the process in scipy 1.17.1's parser.
    source = fake_source("svhn")
    put(tmp_path, files("svhn"))
    train = tmp_path / "train_32x32.mat"
    assert survive(train, train.read_bytes(), lambda: source.load(tmp_path, tmp_path), 2) == COUNT


@pytest.mark.parametrize("form", ["archive", "tar", "records"])
def test_cifar10(tmp_path: Path, form: str) -> None:
    facts = fake_source("cifar10").facts
    put(tmp_path, {**files("cifar10"), **cifar_batches()})
    archive = tmp_path / "cifar-10-binary.tar.gz"
    whole = archive.read_bytes()
    if form == "archive":
        assert survive(archive, whole, lambda: read_cifar10(facts, ((archive,),), tmp_path), 3) > COUNT / 3
    elif form == "tar":
        # Damage inside a sound gzip: what tarfile makes of it.
        plain, inner = gzip.decompress(whole), tmp_path / "inner"

        def read() -> None:
            archive.write_bytes(gzip.compress(inner.read_bytes(), 1))
            read_cifar10(facts, ((archive,),), tmp_path)

        assert survive(inner, plain, read, 4) > COUNT / 4
    else:
        paths = tuple(tmp_path / name for name in cifar_batches())
        read_records = lambda: read_cifar10(facts, (paths,), tmp_path)  # noqa: E731
        assert survive(paths[2], paths[2].read_bytes(), read_records, 5) > COUNT / 4


@pytest.mark.parametrize("inside", [False, True])
def test_npz(tmp_path: Path, inside: bool) -> None:
    path = tmp_path / "made.npz"
    generator = np.random.default_rng(0)
    x = generator.normal(size=(60, 5, 4)).astype(np.float32)
    np.savez(path, X=x, y=np.arange(60) % 3, group=np.arange(60) // 2)
    raw = path.read_bytes()
    if not inside:
        assert survive(path, raw, lambda: load(f"file:{path}", tmp_path, tmp_path), 6) > COUNT / 4
        return
    # Damage in an array's header inside a sound zip.
    other, inner = io.BytesIO(raw), tmp_path / "inner"
    with zipfile.ZipFile(other) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}

    def read() -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in {**members, "X.npy": inner.read_bytes()}.items():
                archive.writestr(name, content)
        load(f"file:{path}", tmp_path, tmp_path)

    assert survive(inner, members["X.npy"], read, 7) > COUNT / 4
