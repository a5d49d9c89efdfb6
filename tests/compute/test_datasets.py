"""Named datasets: real MNIST where it is at hand, hand-made files of every format, whole and in states of damage."""

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
from embcx_tui.compute.datasets.cifar10 import read_cifar10
from embcx_tui.compute.datasets.idx import read_idx_file
from embcx_tui.compute.datasets.source import DamagedError
from embcx_tui.compute.datasets.svhn import read_mat
from embcx_tui.study.dataset_catalogue import CATALOGUE
from embcx_tui.study.errors import DataError
from tests.compute.made_datasets import (
    N_STORED,
    N_TEST,
    archive_bytes,
    cifar_batches,
    files,
    idx_bytes,
    images,
    made_source,
    mat_bytes,
    packed,
    put,
    small_shape,
)

NAMES = ("mnist", "svhn", "fashion-mnist", "kmnist", "cifar10")


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a data folder in which small files of every named dataset lie, and answer to their names."""
    for name in NAMES:
        monkeypatch.setitem(datasets._SOURCES, name, made_source(name))
        put(tmp_path, files(name))
    return tmp_path


def refusal(name: str, data_dir: Path) -> str:
    with pytest.raises(DataError) as caught:
        load(name, data_dir)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_digits_are_split_by_class_and_always_the_same() -> None:
    digits, again = load("digits", Path("/nowhere")), load("digits", Path("/nowhere"))
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
    assert status("digits", Path("/nowhere")).state == "embedded"
    fetch("digits", Path("/nowhere"))


def test_train_limit_keeps_the_first() -> None:
    digits, few = load("digits", Path("/nowhere")), load("digits", Path("/nowhere"), train_limit=200)
    np.testing.assert_array_equal(few.x_train, digits.x_train[:200])
    assert few.x_test.shape == digits.x_test.shape and few.mean != digits.mean


@pytest.mark.parametrize("name", NAMES)
def test_every_format_gives_rows_columns_channels_and_labels_from_0(made: Path, name: str) -> None:
    found = load(name, made)
    x, y, x_test, y_test = images(name)
    n_train = 50 if name == "mnist" else N_STORED
    np.testing.assert_array_equal(found.x_train, x.reshape(N_STORED, -1)[:n_train])
    np.testing.assert_array_equal(found.x_test, x_test.reshape(N_TEST, -1))
    np.testing.assert_array_equal(found.y_train, y[:n_train])
    np.testing.assert_array_equal(found.y_test, y_test)
    assert found.shape == small_shape(name) and found.classes == CATALOGUE[name].classes
    assert found.y_train.dtype == np.int64 and found.x_train.dtype == np.uint8 and found.x_train.flags.writeable
    assert check(name, made).state == "present" and {file.state for file in check(name, made).files} == {"ok"}


@pytest.mark.parametrize("name", NAMES)
def test_a_flipped_byte_is_noticed_when_checked_and_when_loaded(made: Path, name: str) -> None:
    path = made / next(iter(files(name)))
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    assert check(name, made).state == "damaged"
    text = refusal(name, made)
    assert f"{path} is damaged (wrong checksum)" in text and f"embcx-tui data fetch {name}" in text


def test_files_of_a_folder_that_cannot_be_written(made: Path) -> None:
    folder = made / "MNIST" / "raw"
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert load("mnist", made).features == 20
    finally:
        folder.chmod(0o700)
    assert sorted(path.suffix for path in folder.iterdir()) == [".gz"] * 4


def test_unpacked_idx_files(made: Path) -> None:
    for path in (made / "MNIST" / "raw").glob("*.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    np.testing.assert_array_equal(load("mnist", made).y_train, images("mnist")[1][:50])
    assert [file.state for file in check("mnist", made).files] == ["ok"] * 4


def test_svhn_lies_in_the_data_folder_or_in_one_of_its_own(made: Path) -> None:
    (made / "svhn").mkdir()
    for name in files("svhn"):
        (made / name).rename(made / "svhn" / name)
    assert load("svhn", made).features == 60
    assert [file.path.parent.name for file in check("svhn", made).files] == ["svhn", "svhn"]


def test_cifar10_unpacked_and_the_python_version_that_will_not_do(made: Path) -> None:
    (made / "cifar-10-binary.tar.gz").unlink()
    (made / "cifar-10-batches-py").mkdir()
    text = refusal("cifar10", made)
    assert "cifar-10-binary.tar.gz belongs in" in text and "cifar-10-batches-py is Python pickle" in text
    put(made / "cifar-10-batches-bin", cifar_batches())
    np.testing.assert_array_equal(load("cifar10", made).y_test, images("cifar10")[3])
    # Nobody publishes a checksum of the unpacked files; their size is known.
    assert {file.state for file in check("cifar10", made).files} == {"no checksum"}
    last = made / "cifar-10-batches-bin" / "test_batch.bin"
    last.write_bytes(last.read_bytes()[:-1])
    assert "damaged (wrong size)" in refusal("cifar10", made)
    last.unlink()
    assert "test_batch.bin belongs in" in refusal("cifar10", made)
    assert status("cifar10", made).state == "incomplete"


def test_missing_files_are_named_with_place_and_command(made: Path) -> None:
    folder = made / "MNIST" / "raw"
    (folder / "train-labels-idx1-ubyte.gz").unlink()
    (folder / "t10k-images-idx3-ubyte.gz").unlink()
    text = refusal("mnist", made)
    assert "train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz belong in" in text and str(folder) in text
    assert "embcx-tui data fetch mnist" in text and "train-images" not in text
    found = status("mnist", made)
    assert found.state == "incomplete"
    assert [file.state for file in found.files] == ["present", "missing", "missing", "present"]
    assert status("mnist", made / "elsewhere").state == "missing"


def refused(read: Callable[[], object]) -> str:
    with pytest.raises(DamagedError) as caught:
        read()
    return caught.value.reason


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda raw: raw[: len(raw) // 2], "ended|ends"),
        (lambda raw: b"", "ends inside its header"),
        (lambda raw: b"<html>not found</html>", "gzip"),
        (lambda raw: raw[:40] + bytes([raw[40] ^ 255]) + raw[41:], "invalid|Error|CRC|magic|block"),
        (lambda raw: raw[:-8] + bytes(4) + raw[-4:], "CRC"),
        (lambda raw: packed(np.zeros((60, 4, 5), np.uint8)), "60×4×5 where 60×5×4"),
        (lambda raw: packed(np.zeros(60, np.uint8)), "not an IDX file of 3 dimensions"),
        (lambda raw: gzip.compress(idx_bytes(np.zeros((60, 5, 4), np.uint8)) + b"more"), "goes on"),
        (lambda raw: gzip.compress(idx_bytes(np.zeros((60, 5, 4), np.uint8))[:-5]), "ends after 1,195 of 1,200"),
        (lambda raw: gzip.compress(struct.pack(">4I", 0x0803, 2**32 - 1, 2**32 - 1, 2**32 - 1)), "4294967295"),
    ],
)
def test_damaged_idx_files_are_one_line(tmp_path: Path, damage: Callable[[bytes], bytes], says: str) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(damage(packed(images("mnist")[0][..., 0])))
    text = refused(lambda: read_idx_file(path, (60, 5, 4)))
    assert re.search(says, text), text


def test_mat_files_that_are_none_of_svhn(tmp_path: Path) -> None:
    x, y, *_ = images("svhn")
    path = tmp_path / "made.mat"

    def reason(raw: bytes) -> str:
        path.write_bytes(raw)
        return refused(lambda: read_mat(path, N_STORED, (5, 4, 3)))

    whole = mat_bytes(x, y)
    assert "its X is 5×4×3×50 where 5×4×3×60 is expected" in reason(mat_bytes(x[:50], y[:50]))
    assert "its X is 4×5×3×60 where 5×4×3×60" in reason(mat_bytes(x.transpose(0, 2, 1, 3), y))
    assert "its y is 50×1" in reason(mat_bytes(x, y[:50]))
    assert "uint8" in reason(mat_bytes(x.astype(np.int16), y))
    assert "whole numbers" in reason(mat_bytes(x, y + 0.5))
    for raw in (b"", b"\0" * 200, b"<html>no such page</html>" * 20, whole[: len(whole) // 2], whole[:200]):
        assert reason(raw)
    hdf5 = b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + b"\x89HDF\r\n\x1a\n" * 40
    assert "MATLAB 7.3, HDF5 inside" in reason(hdf5)
    # The labels of the real files are doubles in some tools' copies.
    more = {"other": np.ones(3), "words": np.array(["a", "b"]), "one": np.uint8(1), "turned": np.ones(2) * 1j}
    for packed_inside in (True, False):
        path.write_bytes(mat_bytes(x, y.astype(np.float64), packed_inside, **more))
        found, labels = read_mat(path, N_STORED, (5, 4, 3))
        np.testing.assert_array_equal(labels, y)
        np.testing.assert_array_equal(found, x.reshape(N_STORED, -1))


def test_archives_that_are_none_of_cifar10(tmp_path: Path) -> None:
    path = tmp_path / "cifar-10-binary.tar.gz"
    facts = made_source("cifar10").facts
    batches = cifar_batches()

    def reason(raw: bytes) -> str:
        path.write_bytes(raw)
        return refused(lambda: read_cifar10(facts, ((path,),)))

    whole = archive_bytes(batches)
    assert "it lacks test_batch.bin" in reason(archive_bytes({k: v for k, v in batches.items() if k[0] == "d"}))
    assert "it lacks data_batch_1.bin" in reason(archive_bytes(batches, "../elsewhere"))
    assert "test_batch.bin has 1 bytes, not 1,220" in reason(archive_bytes({**batches, "test_batch.bin": b"x"}))
    assert "unpacks to more" in reason(archive_bytes({**batches, "zeros": bytes(1 << 22)}))
    for raw in (b"", b"<html/>", whole[: len(whole) // 2], whole[:-6], gzip.compress(b"no archive")):
        assert reason(raw)
    assert not (tmp_path / "cifar-10-batches-bin").exists()  # nothing is unpacked to the disk


def test_labels_out_of_range_are_refused(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = files("mnist")
    labels = next(path for path in content if "train-labels" in path)
    content[labels] = packed(np.full(60, 11, np.uint8))
    monkeypatch.setitem(datasets._SOURCES, "mnist", made_source("mnist", content=content))
    put(made, content)
    assert "training labels run from 11 to 11; 0 to 9 is needed" in refusal("mnist", made)


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
        load("mnist\n\x1b[31m", Path("/nowhere"))


# Taken when the tests are collected: while they run, the environment is theirs alone.
DATA_DIR = Path(os.environ.get("EMBCX_DATA_DIR", "/nowhere")).absolute()


@pytest.mark.skipif(not (DATA_DIR / "MNIST" / "raw").is_dir(), reason="EMBCX_DATA_DIR names no folder with MNIST/raw")
def test_mnist_itself() -> None:
    found = load("mnist", DATA_DIR)
    facts = CATALOGUE["mnist"]
    assert found.x_train.shape == (50_000, 784) and found.x_test.shape == (10_000, 784)
    assert found.shape == facts.shape and found.x_train.dtype == np.uint8
    assert np.bincount(found.y_train).min() == facts.smallest_class
    # The first labels of both parts, as every description of MNIST shows them.
    assert found.y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert found.y_test[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    # The customary 0.1307 and 0.3081 are those of all 60,000.
    assert found.mean / 255 == pytest.approx(0.1307, abs=5e-4) and found.std / 255 == pytest.approx(0.3081, abs=5e-4)
    assert check("mnist", DATA_DIR).state == "present"
