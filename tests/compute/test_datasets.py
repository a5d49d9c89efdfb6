"""Named datasets: real MNIST where it is available, and small files of every format, intact and damaged."""

from __future__ import annotations

import gzip
import os
import re
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from embcx_tui.compute import datasets
from embcx_tui.compute.datasets import check, fetch, load, make_dataset, status
from embcx_tui.compute.datasets.readers import read_cifar10, read_mnist, read_svhn
from embcx_tui.compute.datasets.source import DamagedError
from embcx_tui.study.dataset_catalogue import CATALOGUE
from embcx_tui.study.errors import DataError
from tests.compute.fake_datasets import (
    N_STORED,
    N_TEST,
    archive_bytes,
    cifar_batches,
    fake_source,
    files,
    idx_bytes,
    images,
    mat_bytes,
    packed,
    put,
    small_shape,
)

NOWHERE = Path("/nowhere")
NAMES = ("mnist", "svhn", "fashion-mnist", "kmnist", "cifar10")


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a data folder in which small files of every named dataset lie, and answer to their names."""
    for name in NAMES:
        monkeypatch.setitem(datasets.SOURCES, name, fake_source(name))
        put(tmp_path, files(name))
    return tmp_path


def refusal(name: str, data_dir: Path) -> str:
    with pytest.raises(DataError) as caught:
        load(name, data_dir, data_dir / "cache")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_digits_are_split_by_class_and_always_the_same() -> None:
    digits, again = load("digits", NOWHERE, NOWHERE), load("digits", NOWHERE, NOWHERE)
    facts = CATALOGUE["digits"]
    assert (digits.x_train.shape, digits.x_test.shape) == ((facts.n_train, 64), (facts.n_test, 64))
    assert digits.shape == facts.shape and digits.classes == facts.classes and digits.x_train.max() == 16
    assert np.bincount(digits.y_train).min() == facts.smallest_class
    share = np.bincount(digits.y_train) / facts.n_train - np.bincount(digits.y_test) / facts.n_test
    assert np.abs(share).max() < 0.005
    np.testing.assert_array_equal(digits.x_train, again.x_train)
    assert digits.mean == pytest.approx(digits.x_train.astype(float).mean(), rel=1e-12)
    assert digits.std == pytest.approx(digits.x_train.astype(float).std(), rel=1e-12)
    layer0 = digits.standardised(digits.x_train)
    assert abs(layer0.mean()) < 1e-5 and layer0.std() == pytest.approx(1, abs=1e-5)
    assert status("digits", NOWHERE).state == "embedded"
    fetch("digits", NOWHERE)


def test_train_limit_keeps_the_first() -> None:
    digits, few = load("digits", NOWHERE, NOWHERE), load("digits", NOWHERE, NOWHERE, train_limit=200)
    np.testing.assert_array_equal(few.x_train, digits.x_train[:200])
    assert few.x_test.shape == digits.x_test.shape and few.mean != digits.mean


@pytest.mark.parametrize("name", NAMES)
def test_every_format_gives_rows_columns_channels_and_labels_from_0(data_dir: Path, name: str) -> None:
    loaded = load(name, data_dir, data_dir / "cache")
    x, y, x_test, y_test = images(name)
    n_train = 50 if name == "mnist" else N_STORED
    np.testing.assert_array_equal(loaded.x_train, x.reshape(N_STORED, -1)[:n_train])
    np.testing.assert_array_equal(loaded.x_test, x_test.reshape(N_TEST, -1))
    np.testing.assert_array_equal(loaded.y_train, y[:n_train])
    np.testing.assert_array_equal(loaded.y_test, y_test)
    assert loaded.shape == small_shape(name) and loaded.classes == CATALOGUE[name].classes
    assert loaded.y_train.dtype == np.int64 and loaded.x_train.dtype == np.uint8 and loaded.x_train.flags.writeable
    assert check(name, data_dir).state == "present" and {file.state for file in check(name, data_dir).files} == {"ok"}


@pytest.mark.parametrize("name", NAMES)
def test_a_flipped_byte_is_noticed_when_checked_and_when_loaded(data_dir: Path, name: str) -> None:
    path = data_dir / next(iter(files(name)))
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    assert check(name, data_dir).state == "damaged"
    text = refusal(name, data_dir)
    assert f"{path} is damaged (wrong checksum)" in text and f"embcx-tui data fetch {name}" in text


def test_files_of_a_folder_that_cannot_be_written(data_dir: Path) -> None:
    folder = data_dir / "MNIST" / "raw"
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert load("mnist", data_dir, data_dir / "cache").features == 20
    finally:
        folder.chmod(0o700)
    assert sorted(path.suffix for path in folder.iterdir()) == [".gz"] * 4


def test_unpacked_idx_files(data_dir: Path) -> None:
    for path in (data_dir / "MNIST" / "raw").glob("*.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    np.testing.assert_array_equal(load("mnist", data_dir, data_dir / "cache").y_train, images("mnist")[1][:50])
    assert [file.state for file in check("mnist", data_dir).files] == ["ok"] * 4


def test_svhn_lies_in_the_data_folder_or_in_one_of_its_own(data_dir: Path) -> None:
    (data_dir / "svhn").mkdir()
    for name in files("svhn"):
        (data_dir / name).rename(data_dir / "svhn" / name)
    assert load("svhn", data_dir, data_dir / "cache").features == 60
    assert [file.path.parent.name for file in check("svhn", data_dir).files] == ["svhn", "svhn"]


def test_cifar10_unpacked_and_the_python_version_that_will_not_do(data_dir: Path) -> None:
    (data_dir / "cifar-10-binary.tar.gz").unlink()
    (data_dir / "cifar-10-batches-py").mkdir()
    text = refusal("cifar10", data_dir)
    assert "cifar-10-binary.tar.gz belongs in" in text and "cifar-10-batches-py is Python pickle" in text
    put(data_dir / "cifar-10-batches-bin", cifar_batches())
    np.testing.assert_array_equal(load("cifar10", data_dir, data_dir / "cache").y_test, images("cifar10")[3])
    # Nobody publishes a checksum of the unpacked files; their size is known.
    assert {file.state for file in check("cifar10", data_dir).files} == {"no checksum"}
    last = data_dir / "cifar-10-batches-bin" / "test_batch.bin"
    last.write_bytes(last.read_bytes()[:-1])
    assert "damaged (wrong size)" in refusal("cifar10", data_dir)
    last.unlink()
    assert "test_batch.bin belongs in" in refusal("cifar10", data_dir)
    assert status("cifar10", data_dir).state == "incomplete"


def test_missing_files_are_named_with_place_and_command(data_dir: Path) -> None:
    folder = data_dir / "MNIST" / "raw"
    (folder / "train-labels-idx1-ubyte.gz").unlink()
    (folder / "t10k-images-idx3-ubyte.gz").unlink()
    text = refusal("mnist", data_dir)
    assert "train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz belong in" in text and str(folder) in text
    assert "embcx-tui data fetch mnist" in text and "train-images" not in text
    state = status("mnist", data_dir)
    assert state.state == "incomplete"
    assert [file.state for file in state.files] == ["present", "missing", "missing", "present"]
    assert status("mnist", data_dir / "elsewhere").state == "missing"


def refused(read: Callable[[], object]) -> str:
    with pytest.raises(DamagedError) as caught:
        read()
    return caught.value.reason


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda raw: raw[: len(raw) // 2], "ended|ends"),
        (lambda raw: b"", "unpack requires|does not begin|ended"),
        (lambda raw: b"<html>not loaded</html>", "gzip"),
        (lambda raw: raw[:40] + bytes([raw[40] ^ 255]) + raw[41:], "invalid|Error|CRC|magic|block"),
        (lambda raw: raw[:-8] + bytes(4) + raw[-4:], "CRC"),
        (lambda raw: packed(np.zeros((60, 4, 5), np.uint8)), "an IDX file of 60×5×4"),
        (lambda raw: packed(np.zeros(60, np.uint8)), "an IDX file of 60×5×4"),
        (lambda raw: gzip.compress(idx_bytes(np.zeros((60, 5, 4), np.uint8)) + b"more"), "1,220 bytes, not 1,216"),
        (lambda raw: gzip.compress(idx_bytes(np.zeros((60, 5, 4), np.uint8))[:-5]), "1,211 bytes, not 1,216"),
        (lambda raw: gzip.compress(struct.pack(">4I", 0x0803, *[2**32 - 1] * 3)), "an IDX file of 60×5×4"),
    ],
)
def test_damaged_idx_files_are_one_line(tmp_path: Path, damage: Callable[[bytes], bytes], says: str) -> None:
    facts = fake_source("mnist").facts
    put(tmp_path, files("mnist"))
    forms = tuple((tmp_path / part.distributed.path,) for part in facts.files)
    path = forms[0][0]
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DamagedError) as caught:
        read_mnist(facts, forms, tmp_path / "cache")
    assert re.search(says, caught.value.reason), caught.value.reason
    assert caught.value.path == path


def test_mat_files_that_are_not_svhn(tmp_path: Path) -> None:
    x, y, *_ = images("svhn")
    facts = fake_source("svhn").facts
    put(tmp_path, files("svhn"))
    forms = ((tmp_path / "train_32x32.mat",), (tmp_path / "test_32x32.mat",))
    for raw in (b"", b"\0" * 200, b"<html>no such page</html>" * 20, b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM"):
        forms[0][0].write_bytes(raw)
        assert refused(lambda: read_svhn(facts, forms, tmp_path))
    # The labels are uint8 in the real files and doubles in the copies of some tools.
    more = {"other": np.ones(3), "words": np.array(["a", "b"]), "one": np.uint8(1), "turned": np.ones(2) * 1j}
    for packed_inside in (True, False):
        forms[0][0].write_bytes(mat_bytes(x, y.astype(np.float64), packed_inside, **more))
        (read, labels), _ = read_svhn(facts, forms, tmp_path)
        np.testing.assert_array_equal(labels, y)
        np.testing.assert_array_equal(read, x.reshape(N_STORED, -1))
        assert read.flags.writeable and read.flags.c_contiguous


def test_archives_that_are_not_cifar10(tmp_path: Path) -> None:
    path = tmp_path / "cifar-10-binary.tar.gz"
    facts = fake_source("cifar10").facts
    batches = cifar_batches()

    def reason(raw: bytes) -> str:
        path.write_bytes(raw)
        return refused(lambda: read_cifar10(facts, ((path,),), tmp_path))

    whole = archive_bytes(batches)
    assert "it lacks test_batch.bin" in reason(archive_bytes({k: v for k, v in batches.items() if k[0] == "d"}))
    assert "it lacks data_batch_1.bin" in reason(archive_bytes(batches, "../elsewhere"))
    assert "test_batch.bin has 1 bytes, not 1,220" in reason(archive_bytes({**batches, "test_batch.bin": b"x"}))
    for raw in (b"", b"<html/>", whole[: len(whole) // 2], gzip.compress(b"no archive")):
        assert reason(raw)
    assert not (tmp_path / "cifar-10-batches-bin").exists()  # nothing is unpacked to the disk


def test_labels_out_of_range_are_refused(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = files("mnist")
    labels = next(path for path in content if "train-labels" in path)
    content[labels] = packed(np.full(60, 11, np.uint8))
    monkeypatch.setitem(datasets.SOURCES, "mnist", fake_source("mnist", content=content))
    put(data_dir, content)
    assert "training labels run from 11 to 11; 0 to 9 is needed" in refusal("mnist", data_dir)


def test_values_that_no_dataset_may_hold() -> None:
    good = np.random.default_rng(0).random((6, 4)).astype(np.float32)
    labels = np.array([0, 1, 0, 1, 0, 1])

    def make(x: NDArray[Any] = good, y: NDArray[Any] = labels) -> datasets.Dataset:
        return make_dataset("made\x1b[2J", (x, y), (good, labels), ("a", "b"), (2, 2, 1))

    assert make().mean == pytest.approx(float(good.mean()))
    assert make().std == pytest.approx(float(good.std()))
    bad = good.copy()
    bad[1, 1] = np.nan
    wrong: list[tuple[dict[str, NDArray[Any]], str]] = [
        ({"x": bad}, "not finite"),
        ({"x": good.astype(np.float64)}, "float64"),
        ({"x": good[:, :3]}, "do not fit"),
        ({"x": good[:5]}, "5 inputs and 6 labels"),
        ({"y": labels - 1}, "from -1 to 0"),
        ({"y": labels.astype(float)}, "labels run"),
        ({"x": good[:0], "y": labels[:0]}, "0 inputs"),
        ({"x": np.ones_like(good)}, "all training inputs are the same"),
        ({"x": good * np.float32(1e38)}, "out of range; rescale"),
        ({"x": good * np.float32(1e-38)}, "out of range; rescale"),
    ]
    for arguments, says in wrong:
        with pytest.raises(DataError, match=says) as caught:
            make(**arguments)
        assert "\x1b" not in str(caught.value)


def test_an_unknown_name_is_one_line() -> None:
    with pytest.raises(DataError, match="is not a dataset"):
        load("mnist\n\x1b[31m", NOWHERE, NOWHERE)


# Taken when the tests are collected: while they run, the environment is theirs alone.
DATA_DIR = Path(os.environ.get("EMBCX_DATA_DIR", "/nowhere")).absolute()


@pytest.mark.skipif(not (DATA_DIR / "MNIST" / "raw").is_dir(), reason="EMBCX_DATA_DIR names no folder with MNIST/raw")
def test_mnist_itself(tmp_path: Path) -> None:
    loaded = load("mnist", DATA_DIR, tmp_path)
    facts = CATALOGUE["mnist"]
    assert loaded.x_train.shape == (50_000, 784) and loaded.x_test.shape == (10_000, 784)
    assert loaded.shape == facts.shape and loaded.x_train.dtype == np.uint8
    assert np.bincount(loaded.y_train).min() == facts.smallest_class
    # The first labels of both parts, as every description of MNIST shows them.
    assert loaded.y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert loaded.y_test[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    # The customary 0.1307 and 0.3081 are those of all 60,000.
    assert loaded.mean / 255 == pytest.approx(0.1307, abs=5e-4) and loaded.std / 255 == pytest.approx(0.3081, abs=5e-4)
    assert check("mnist", DATA_DIR).state == "present"
