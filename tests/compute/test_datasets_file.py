"""The user's own .npz: what is accepted, how it is split, and one line for everything else."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from embcx_tui.compute.datasets import Dataset, load, npz
from embcx_tui.compute.datasets.user_file import select_test_inputs
from embcx_tui.compute.samples import run_sample
from embcx_tui.study.errors import DataError

GENERATOR = np.random.default_rng(0)
X = GENERATOR.integers(0, 256, (60, 5, 4, 3)).astype(np.uint8)
Y = np.arange(60) % 3


def saved(folder: Path, **arrays: ArrayLike) -> str:
    np.savez_compressed(folder / "made.npz", **arrays)  # type: ignore[arg-type]  # its stub takes a bool among them
    return f"file:{folder / 'made.npz'}"


def loaded(folder: Path, **arrays: ArrayLike) -> Dataset:
    return load(saved(folder, **arrays), folder, folder)


def refusal(folder: Path, **arrays: ArrayLike) -> str:
    return refused(saved(folder, **arrays))


def refused(name: str) -> str:
    with pytest.raises(DataError) as caught, warnings.catch_warnings():
        warnings.simplefilter("error")
        load(name, Path("/nowhere"), Path("/nowhere"))
    text = str(caught.value)
    assert "\n" not in text and "\x1b" not in text and len(text) < 500
    return text


@pytest.mark.parametrize(
    ("x", "shape"),
    [(X, (5, 4, 3)), (X[..., 0], (5, 4, 1)), (X.reshape(60, 60), (1, 60, 1)), (np.asfortranarray(X), (5, 4, 3))],
    ids=["colour", "grey", "vectors", "fortran"],
)
@pytest.mark.parametrize("dtype", ["u1", "f2", "f4", "f8", ">f4", "i8", "?"])
def test_images_and_vectors_of_every_kind(
    tmp_path: Path, x: NDArray[Any], shape: tuple[int, int, int], dtype: str
) -> None:
    values = x.astype(dtype, order="K")
    found = loaded(tmp_path, X=values, y=Y, X_test=values[:7], y_test=Y[:7])
    assert found.shape == shape and found.name == f"file:{tmp_path / 'made.npz'}"
    assert found.x_train.dtype == (np.uint8 if dtype == "u1" else np.float32)
    np.testing.assert_array_equal(found.x_train, values.reshape(60, -1).astype(found.x_train.dtype))
    np.testing.assert_array_equal(found.x_test, found.x_train[:7])
    np.testing.assert_array_equal(found.y_train, Y)
    assert found.classes == ("0", "1", "2")


def test_float64_is_read_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "CHUNK_BYTES", 1_000)
    values = GENERATOR.normal(size=(300, 7))
    found = loaded(tmp_path, X=values, y=np.arange(300) % 2, X_test=values, y_test=np.arange(300) % 2)
    np.testing.assert_array_equal(found.x_train, values.astype(np.float32))


@pytest.mark.parametrize(
    "values",
    [
        GENERATOR.normal(size=(60, 5)) + 1e7,
        GENERATOR.normal(size=(60, 5)) + 1.7e9,  # seconds since 1970
        2**40 + GENERATOR.integers(0, 1_000, (60, 5)),
        np.hstack([GENERATOR.normal(size=(60, 5)), np.full((60, 1), 1e9)]).astype(np.float32),  # which moves the mean
    ],
    ids=["offset", "time", "whole", "mean"],
)
def test_inputs_that_float32_would_not_tell_apart_are_refused(tmp_path: Path, values: NDArray[Any]) -> None:
    """They would give a KL of rounding: 0.465 for 0.511 at an offset of 1e7."""
    assert "float32 rounds" in refusal(tmp_path, X=values, y=Y)


@pytest.mark.parametrize("scale", [1e-25, 1e-6, 1.0, 1e6, 1e25])
@pytest.mark.parametrize("offset", [0.0, 1e3])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_layer_0_keeps_the_distances_of_the_file(tmp_path: Path, scale: float, offset: float, dtype: str) -> None:
    values = ((GENERATOR.normal(size=(60, 5)) + offset) * scale).astype(dtype)
    found = loaded(tmp_path, X=values, y=Y, X_test=values, y_test=Y)
    true = (values.astype(np.float64) - values.mean(dtype=np.float64)) / values.std(dtype=np.float64)
    kept = found.inputs(np.arange(60)).astype(np.float64)
    for one in range(60):
        gaps = np.linalg.norm(true - true[one], axis=1)
        np.testing.assert_allclose(np.linalg.norm(kept - kept[one], axis=1), gaps, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ([7, -3, 1_000_000_007], ("-3", "7", "1000000007")),
        (["cat", "ant", "b\x1b[31med"], ("ant", "bed", "cat")),
        ([b"cat", b"\xff", b"bed"], ("bed", "cat", "\ufffd")),
        ([True, False, True], ("False", "True")),
        (["", "x", "y"], ("(empty)", "x", "y")),
        ([2**63, 1, 2], ("1", "2", str(2**63))),
    ],
    ids=["integers", "text", "bytes", "bools", "empty", "unsigned"],
)
def test_labels_become_class_numbers_in_sorted_order(
    tmp_path: Path, labels: list[Any], classes: tuple[str, ...]
) -> None:
    kinds = np.array(labels, dtype=np.uint64 if 2**63 in labels else None)
    y = kinds[Y]
    found = loaded(tmp_path, X=X, y=y.reshape(-1, 1), X_test=X[:3], y_test=kinds)
    assert found.classes == classes
    order = np.unique(kinds)
    np.testing.assert_array_equal(order[found.y_train], y)
    np.testing.assert_array_equal(order[found.y_test], kinds)


@pytest.mark.parametrize(
    "names",
    [("x_train", "y_train", "x_test", "y_test"), ("train_images", "train_labels", "test_images", "test_labels"),
     ("x", "Y", "X_test", "Y_test"), ("X", "labels", "x_test", "test_labels")],
)  # fmt: skip
def test_names_that_other_tools_give_are_understood(tmp_path: Path, names: tuple[str, ...]) -> None:
    arrays: dict[str, ArrayLike] = dict(zip(names, (X, Y, X[:9], Y[:9]), strict=True))
    found, wanted = loaded(tmp_path, **arrays), loaded(tmp_path, X=X, y=Y, X_test=X[:9], y_test=Y[:9])
    for part in ("x_train", "y_train", "x_test", "y_test"):
        np.testing.assert_array_equal(getattr(found, part), getattr(wanted, part))
    # Where our own name is there, another array of a similar meaning is one of the others, which are ignored.
    if "X" in names or "x" in names:
        return
    assert loaded(tmp_path, **{**arrays, "X": X[::-1], "y": Y[::-1]}).y_train[0] == Y[-1]


@pytest.mark.parametrize("dtype", ["f4", "f8", "u1", "?", "i8"])
def test_one_hot_labels_and_whole_floats_are_classes(tmp_path: Path, dtype: str) -> None:
    rows = np.eye(4)[Y + 1].astype(dtype)  # a column of its own for a class that never occurs
    found = loaded(tmp_path, X=X, y=rows, X_test=X[:9], y_test=rows[:9])
    assert found.classes == ("1", "2", "3")
    np.testing.assert_array_equal(found.y_train, Y)
    np.testing.assert_array_equal(found.y_test, Y[:9])
    assert loaded(tmp_path, X=X, y=Y.astype("f8")).classes == ("0", "1", "2")


def test_without_a_test_set_a_tenth_of_each_class_is_set_aside_always_the_same(tmp_path: Path) -> None:
    y = np.repeat(np.arange(4), [9, 10, 25, 400])
    x = np.arange(len(y) * 3, dtype=np.float32).reshape(-1, 3)
    (tmp_path / "elsewhere").mkdir()
    found, again = loaded(tmp_path, X=x, y=y), loaded(tmp_path / "elsewhere", X=x, y=y)
    assert np.bincount(found.y_test, minlength=4).tolist() == [0, 1, 2, 40]
    assert np.bincount(found.y_train).tolist() == [9, 9, 23, 360]
    np.testing.assert_array_equal(found.x_test, again.x_test)
    np.testing.assert_array_equal(np.sort(np.concatenate([found.x_train, found.x_test])[:, 0]), x[:, 0])
    # In the file's order, so that train_limit means its first inputs.
    assert (np.diff(found.x_train[:, 0]) > 0).all()


@pytest.mark.parametrize("name", ["group", "house"])
def test_a_group_is_never_torn_apart(tmp_path: Path, name: str) -> None:
    group = np.repeat(np.arange(100), np.arange(100) % 4 + 1)
    y = GENERATOR.integers(0, 3, len(group))
    x = np.stack([group, np.arange(len(group))], axis=1).astype(np.float32)
    found = loaded(tmp_path, X=x, y=y, **{name: group})
    assert not set(found.x_train[:, 0]) & set(found.x_test[:, 0])
    counts, held = np.bincount(y), np.bincount(found.y_test, minlength=3)
    assert (held <= counts // 10).all() and held.sum() >= 0.7 * (counts // 10).sum()
    words = np.array([f"house {number}" for number in group])
    np.testing.assert_array_equal(loaded(tmp_path, X=x, y=y, group=words).y_test.shape, found.y_test.shape)


def test_groups_that_are_single_are_no_groups() -> None:
    y = GENERATOR.integers(0, 3, 500)
    assert select_test_inputs(y, np.arange(500)).sum() == select_test_inputs(y).sum() == (np.bincount(y) // 10).sum()


# Taken when the tests are collected: while they run, the environment is theirs alone.
SVHN_PIECE = Path(os.environ.get("EMBCX_DATA_DIR", "/nowhere")).absolute() / "svhn" / "svhn_train_first1083_32x32.npz"


@pytest.mark.skipif(not SVHN_PIECE.is_file(), reason="EMBCX_DATA_DIR holds no piece of SVHN")
def test_the_genuine_piece_of_svhn() -> None:
    found = load(f"file:{SVHN_PIECE}", Path("/nowhere"), Path("/nowhere"))
    assert found.shape == (32, 32, 3) and found.classes == tuple("0123456789")
    assert (len(found.x_train), len(found.x_test)) == (979, 104) and np.bincount(found.y_train).min() == 60
    with np.load(SVHN_PIECE, allow_pickle=False) as whole:
        houses = {row.tobytes(): house for row, house in zip(whole["X"].reshape(1083, -1), whole["house"], strict=True)}
    parts = [{houses[row.tobytes()] for row in part} for part in (found.x_train, found.x_test)]
    assert not parts[0] & parts[1]
    assert len(run_sample(found, 60, 0, 0)) == 600
    with pytest.raises(DataError, match=r"samples_per_class = 100 is too many: the smallest class, 0, has 60"):
        run_sample(found, 100, 0, 0)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"y": Y}, "there is no array X in it (it holds y)"),
    ({"X": X}, "there is no array y in it (it holds X)"),
    ({"X": X, "y": Y, "X_test": X}, "there is no array y_test"),
    ({"X": X, "y": Y, "y_test": Y}, "there is no array X_test"),
    ({"X": X, "y": Y, "x_test": X}, "there is no array y_test"),
    ({"X": X, "y": Y, "x_tests": X}, "it holds 'x_tests'; did you mean 'X_test'?"),
    ({"x_train": X, "images": X, "y": Y}, "it holds x_train and images, which mean the same; call the one that"),
    ({"X": X, "y": Y, "Xtest": X}, "did you mean 'X_test'?"),
    ({"X": X, "y": Y, "groups": Y}, "did you mean 'group'?"),
    ({"X": X, "y": Y, "group": Y, "house": Y}, "both group and house"),
    ({"X": X, "y": Y, "group": Y[:5]}, "group is [5] of int64; 60 whole numbers"),
    ({"X": X, "y": Y, "group": Y + 0.5}, "group is [60] of float64"),
    ({"X": X, "y": Y, "group": np.zeros(60, int)}, "no inputs can be set aside for testing"),
    ({"X": X[:6], "y": Y[:6]}, "at most 1 in 10 of each class, and the largest has 2); add X_test and y_test"),
    ({"X": X[0, 0, 0], "y": Y}, "X is [3]; [n, d]"),
    ({"X": X.reshape(60, 5, 2, 2, 3), "y": Y}, "X is [60, 5, 2, 2, 3]"),
    ({"X": X[:0], "y": Y[:0]}, "X holds 0 inputs of 60 values"),
    ({"X": X[:, :0], "y": Y}, "X holds 60 inputs of 0 values"),
    ({"X": np.zeros((2, 300_000), np.uint8), "y": Y[:2]}, "2 inputs of 300,000 values"),
    ({"X": X, "y": Y[:-1]}, "y is [59]; X has 60 inputs"),
    ({"X": X, "y": np.eye(59)}, "y is [59, 59]; X has 60 inputs"),
    ({"X": X, "y": np.eye(60) + 0.5}, "y is [60, 60] and not one-hot (a single 1 in each row)"),
    ({"X": X, "y": np.zeros((60, 3))}, "not one-hot"),
    ({"X": X, "y": 2 * np.eye(3)[Y]}, "not one-hot"),
    ({"X": X, "y": np.eye(3)[Y] - 1}, "not one-hot"),
    ({"X": X, "y": Y + 0.5}, "y is float64 with fractions; whole numbers or text"),
    ({"X": X, "y": np.where(Y, 1.0, np.nan)}, "with fractions"),
    ({"X": X, "y": Y * 1e300}, "with fractions"),
    ({"X": X, "y": Y.astype("M8[s]")}, "y holds datetime64[s]"),
    ({"X": X * 1j, "y": Y}, "X is complex128; uint8 or floating point"),
    ({"X": X.astype("U3"), "y": Y}, "X is <U3; uint8"),
    ({"X": X.astype(object), "y": Y}, "X holds Python objects"),
    ({"X": X, "y": Y.astype(object)}, "y holds Python objects"),
    ({"X": X, "y": np.zeros(60, [("a", "i4"), ("b", "i4")])}, "y holds"),
    ({"X": X, "y": np.zeros(60, int)}, "y has 1 classes (0); 2 to 1,000"),
    ({"X": np.zeros((1_200, 2)), "y": np.arange(1_200)}, "y has 1,200 classes"),
    ({"X": X, "y": np.array(["a", "a\x07", "b"])[Y]}, "two classes are both shown as 'a'"),
    (
        {"x": np.where(np.arange(60)[:, None] % 20 == 7, np.nan, X[:, 0, 0]), "y": Y},
        "x holds values that are not finite (NaN, infinite) in 3 of 60 inputs, first in number 7; leave",
    ),
    (
        {"X": X / 255 * 4e300, "y": Y},
        "values up to 4e+300, out of float32's range; multiply X and X_test by 1e-301",
    ),
    (
        {"X": X / 255 * 2e-200, "y": Y},
        "values up to 2e-200, out of float32's range; multiply X and X_test by 1e+200",
    ),
    ({"X": X * np.float32(1e36), "y": Y}, "out of range; rescale them: subtract 1.2"),
    ({"X": np.ones_like(X), "y": Y}, "all training inputs are the same"),
    ({"X": X, "y": Y, "X_test": X[:, :4], "y_test": Y}, "X is [60, 5, 4, 3], X_test [60, 4, 4, 3]"),
    ({"X": X, "y": Y, "X_test": X / 255, "y_test": Y}, "X is kept as uint8, X_test as float32"),
    ({"X": X, "y": Y, "X_test": X[:0], "y_test": Y[:0]}, "X_test holds 0 inputs"),
    ({"X": X, "y": Y, "X_test": X, "y_test": Y + 1}, "y_test holds '3', which is no class of y"),
    ({"X": X, "y": Y, "X_test": X, "y_test": (Y - 1).astype(np.int8)}, "y_test holds '-1'"),
    ({"X": X, "y": Y, "X_test": X, "y_test": Y.astype(str)}, "y is int64, y_test is <U21"),
    ({"X": X, "y": Y, "X_test": X, "y_test": Y.astype(np.uint64) + np.uint64(2**63)}, "which is no class of y"),
]


@pytest.mark.parametrize(("arrays", "says"), BAD, ids=[says[:40] for _, says in BAD])
def test_what_cannot_be_used_is_one_line_that_says_why(tmp_path: Path, arrays: dict[str, Any], says: str) -> None:
    text = refusal(tmp_path, **arrays)
    assert text.startswith((str(tmp_path), f"file:{tmp_path}")) and says in text, text


def test_files_that_are_no_npz(tmp_path: Path) -> None:
    path = tmp_path / "made.npz"
    name = f"file:{path}"
    assert "there is no such file" in refused(name)
    assert "write the whole path" in refused("file:made.npz")
    assert "not a readable .npz file" in refused(f"file:{tmp_path}\0.npz")
    path.mkdir()
    assert "not a file" in refused(name)
    path.rmdir()
    os.mkfifo(path)
    assert "not a file" in refused(name)
    path.unlink()
    for raw in (b"", b"PK", b"<html/>", bytes(1_000)):
        path.write_bytes(raw)
        assert "not a readable .npz file" in refused(name)


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def zipped(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> str:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, raw in members.items():
            archive.writestr(name, raw)
    return f"file:{path}"


def test_crafted_files_take_no_memory_and_run_nothing(tmp_path: Path) -> None:
    path = tmp_path / "made.npz"
    labels = io.BytesIO()
    np.save(labels, Y)

    def reason(x: bytes, method: int = zipfile.ZIP_DEFLATED) -> str:
        return refused(zipped(path, {"X.npy": x, "y.npy": labels.getvalue()}, method))

    good = "{'descr': '|u1', 'fortran_order': False, 'shape': (60, 4), }"
    assert "X is damaged (its header promises 240 bytes" in reason(npy(good))
    assert "it goes on after" in reason(npy(good, bytes(300)))
    huge = good.replace("(60, 4)", "(60, 99999999999999999999)")
    assert "promises 5,999,999,999,999,999,999,940 bytes" in reason(npy(huge))
    assert "negative" in reason(npy(good.replace("60, 4", "60, -4"), bytes(400)))
    assert "Python objects" in reason(npy(good.replace("|u1", "|O"), b"cos\nsystem\n(S'true'\ntR." * 20))
    for header in ("{", "(" * 100, "{'descr': __import__('os'), 'shape': (1,), 'fortran_order': False}", "[]", "{}"):
        assert "X is damaged" in reason(npy(header))
    assert "none of numpy's" in reason(npy(good, bytes(240)), zipfile.ZIP_LZMA)
    # A directory that claims 50 MB of what are 368 bytes, as the header does: nothing is set aside for it.
    large = npy(good.replace("(60, 4)", "(60, 800000)"), bytes(240))
    reason(large)
    whole, claimed = path.read_bytes(), struct.pack("<L", 48_000_128)
    at = whole.rindex(b"PK\x01\x02", 0, whole.rindex(b"y.npy"))
    at = whole.rindex(b"PK\x01\x02", 0, at) + 24
    assert whole[at : at + 4] == struct.pack("<L", len(large)), "the uncompressed size in the central directory"
    path.write_bytes(whole[:at] + claimed + whole[at + 4 :])
    assert "cannot unpack to 48,000,128" in refused(f"file:{path}")
    # 100 million zeros as the largest promise that is kept: refused by its shape before it is read.
    bomb = npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1, 100000000), }", bytes(100_000_000))
    assert "1 inputs of 100,000,000 values" in reason(bomb)


def test_an_array_too_large_for_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "MAX_ARRAY_BYTES", 10_000)
    assert "X would take 14,400 bytes of memory; at most 10,000" in refusal(tmp_path, X=X.astype(np.float64), y=Y)
    assert loaded(tmp_path, X=X, y=Y).features == 60
