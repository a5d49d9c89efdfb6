"""Datasets: real MNIST where it is at hand, hand-made files of its format in every state of damage, a local mirror."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import stat
import struct
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from embcx_tui.compute import datasets
from embcx_tui.compute.datasets import check, fetch, load, make_dataset, status
from embcx_tui.compute.datasets.download import download
from embcx_tui.compute.datasets.idx import IdxFile, IdxSource
from embcx_tui.compute.datasets.mnist import MNIST
from embcx_tui.study.catalogue import CATALOGUE
from embcx_tui.study.errors import DataError

SHAPES = {"train-images": (60, 4, 4), "train-labels": (60,), "test-images": (20, 4, 4), "test-labels": (20,)}


def arrays() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {
        name: generator.integers(0, 256 if "images" in name else 10, shape).astype(np.uint8)
        for name, shape in SHAPES.items()
    }


def idx_bytes(values: np.ndarray) -> bytes:
    return struct.pack(f">{1 + values.ndim}I", 0x0800 | values.ndim, *values.shape) + values.tobytes()


def packed(values: np.ndarray) -> bytes:
    return gzip.compress(idx_bytes(values), mtime=0)


def source(mirrors: tuple[str, ...] = ()) -> IdxSource:
    first, second, third, fourth = (
        IdxFile(
            name,
            values.shape,
            len(packed(values)),
            hashlib.md5(packed(values)).hexdigest(),
            hashlib.md5(idx_bytes(values)).hexdigest(),
        )
        for name, values in arrays().items()
    )
    return IdxSource("mnist", "Tiny", (first, second, third, fourth), 50, tuple("0123456789"), lambda: mirrors)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the raw folder of a complete dataset of tiny .gz files that answers to the name mnist."""
    monkeypatch.setitem(datasets._IDX, "mnist", source())
    folder = tmp_path / "Tiny" / "raw"
    folder.mkdir(parents=True)
    for name, values in arrays().items():
        (folder / f"{name}.gz").write_bytes(packed(values))
    return folder


def refusal(data_dir: Path) -> str:
    with pytest.raises(DataError) as caught:
        load("mnist", data_dir)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_digits_are_split_by_class_and_always_the_same() -> None:
    digits, again = load("digits", Path("/nowhere")), load("digits", Path("/nowhere"))
    facts = CATALOGUE["digits"]
    assert (digits.x_train.shape, digits.x_test.shape) == ((facts.n_train, 64), (facts.n_test, 64))
    assert digits.shape == facts.shape and digits.classes == facts.classes and digits.x_train.max() == 16
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


def test_gz_files_of_a_folder_that_cannot_be_written(tiny: Path, tmp_path: Path) -> None:
    tiny.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        found = load("mnist", tmp_path)
    finally:
        tiny.chmod(0o700)
    expected = arrays()
    np.testing.assert_array_equal(found.x_train, expected["train-images"].reshape(60, 16)[:50])
    np.testing.assert_array_equal(found.y_test, expected["test-labels"])
    assert found.shape == (4, 4, 1) and found.y_train.dtype == np.int64
    assert sorted(path.suffix for path in tiny.iterdir()) == [".gz"] * 4
    assert check("mnist", tmp_path).state == "present"


def test_unpacked_files(tiny: Path, tmp_path: Path) -> None:
    for name, values in arrays().items():
        (tiny / f"{name}.gz").unlink()
        (tiny / name).write_bytes(idx_bytes(values))
    np.testing.assert_array_equal(load("mnist", tmp_path).y_train, arrays()["train-labels"][:50])
    assert [file.state for file in check("mnist", tmp_path).files] == ["ok"] * 4


def test_missing_files_are_named_with_place_and_command(tiny: Path, tmp_path: Path) -> None:
    (tiny / "train-labels.gz").unlink()
    (tiny / "test-images.gz").unlink()
    text = refusal(tmp_path)
    assert "train-labels.gz, test-images.gz belong in" in text and str(tiny) in text
    assert "embcx-tui data fetch mnist" in text and "train-images" not in text
    found = status("mnist", tmp_path)
    assert found.state == "incomplete"
    assert [file.state for file in found.files] == ["present", "missing", "missing", "present"]
    assert status("mnist", tmp_path / "elsewhere").state == "missing"


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda raw: raw[: len(raw) // 2], "ended|ends"),
        (lambda raw: b"", "ends inside its header"),
        (lambda raw: b"<html>not found</html>", "gzip"),
        (lambda raw: raw[:40] + bytes([raw[40] ^ 255]) + raw[41:], "damaged"),
        (lambda raw: raw[:-8] + bytes(4) + raw[-4:], "CRC"),
        (lambda raw: packed(np.zeros((60, 4, 5), np.uint8)), "60×4×5 where 60×4×4"),
        (lambda raw: packed(np.zeros(60, np.uint8)), "not an IDX file of 3 dimensions"),
        (lambda raw: gzip.compress(idx_bytes(np.zeros((60, 4, 4), np.uint8)) + b"more"), "goes on"),
        (lambda raw: gzip.compress(idx_bytes(np.zeros((60, 4, 4), np.uint8))[:-5]), "ends after 955 of 960"),
        (lambda raw: gzip.compress(struct.pack(">4I", 0x0803, 2**32 - 1, 2**32 - 1, 2**32 - 1)), "4294967295"),
        (lambda raw: packed(np.zeros((60, 4, 4), np.uint8)), "all training inputs are the same"),
    ],
)
def test_damaged_files_are_one_line(tiny: Path, tmp_path: Path, damage: object, says: str) -> None:
    assert callable(damage)
    path = tiny / "train-images.gz"
    path.write_bytes(damage(path.read_bytes()))
    text = refusal(tmp_path)
    assert re.search(says, text), text
    assert check("mnist", tmp_path).state == "damaged"


def test_labels_out_of_range_are_refused(tiny: Path, tmp_path: Path) -> None:
    (tiny / "train-labels.gz").write_bytes(packed(np.full(60, 11, np.uint8)))
    assert "training labels run from 11 to 11; 0 to 9 is needed" in refusal(tmp_path)


def test_values_that_no_dataset_may_hold() -> None:
    good = np.random.default_rng(0).random((6, 4)).astype(np.float32)
    labels = np.array([0, 1, 0, 1, 0, 1])

    def make(x: np.ndarray = good, y: np.ndarray = labels) -> datasets.Dataset:
        return make_dataset("made\x1b[2J", (x, y), (good, labels), ("a", "b"), (2, 2, 1))

    assert make().mean == pytest.approx(float(good.mean()))
    bad = good.copy()
    bad[1, 1] = np.nan
    wrong: list[tuple[dict[str, np.ndarray], str]] = [
        ({"x": bad}, "not finite"),
        ({"x": good.astype(np.float64)}, "float64"),
        ({"x": good[:, :3]}, "do not fit"),
        ({"x": good[:5]}, "5 inputs and 6 labels"),
        ({"y": labels - 1}, "from -1 to 0"),
        ({"y": labels.astype(float)}, "labels run"),
        ({"x": good[:0], "y": labels[:0]}, "0 inputs"),
    ]
    for arguments, says in wrong:
        with pytest.raises(DataError, match=says) as caught:
            make(**arguments)
        assert "\x1b" not in str(caught.value)


def test_an_unknown_name_is_one_line() -> None:
    with pytest.raises(DataError, match="is not a dataset"):
        load("mnist\n\x1b[31m", Path("/nowhere"))


class Mirror(BaseHTTPRequestHandler):
    files: dict[str, bytes]

    def do_GET(self) -> None:
        body = self.files.get(self.path.rpartition("/")[2])
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def mirror() -> Iterator[tuple[str, dict[str, bytes]]]:
    files = {f"{name}.gz": packed(values) for name, values in arrays().items()}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Mirror,), {"files": files}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", files
    server.shutdown()
    server.server_close()
    thread.join()


def test_fetching_from_a_mirror(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirror: tuple[str, dict[str, bytes]]
) -> None:
    url, files = mirror
    # The first mirror is dead, as one of torchvision's usually is.
    monkeypatch.setitem(datasets._IDX, "mnist", source(("http://127.0.0.1:9/", url)))
    calls: list[tuple[int, int]] = []
    fetch("mnist", tmp_path, lambda done, total: calls.append((done, total)))
    assert calls == sorted(calls) and calls[-1] == (sum(map(len, files.values())),) * 2
    assert check("mnist", tmp_path).state == "present" and load("mnist", tmp_path).features == 16
    folder = tmp_path / "Tiny" / "raw"
    assert sorted(path.name for path in folder.iterdir()) == sorted(files)
    (folder / "test-labels.gz").write_bytes(b"damaged")
    (folder / "train-labels").write_bytes(b"an unpacked one, damaged as well")
    fetch("mnist", tmp_path)
    assert check("mnist", tmp_path).state == "present"


def test_what_a_mirror_may_do_wrong(tmp_path: Path, mirror: tuple[str, dict[str, bytes]]) -> None:
    url, files = mirror
    good = files["test-labels.gz"]
    md5 = hashlib.md5(good).hexdigest()
    for body, says in [(good[:-3], "broke off after"), (good + b"x", "more than"), (bytes(len(good)), "checksum")]:
        files["test-labels.gz"] = body
        with pytest.raises(DataError, match=says) as caught:
            download([f"{url}test-labels.gz", f"{url}nothing"], tmp_path / "test-labels.gz", md5, len(good))
        assert "Not Found" in str(caught.value) and "\n" not in str(caught.value)
        assert not list(tmp_path.iterdir())


def test_without_a_network_the_files_and_their_place_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(datasets._IDX, "mnist", source(("http://127.0.0.1:9/",)))
    with pytest.raises(DataError, match="mnist could not be fetched") as caught:
        fetch("mnist", tmp_path)
    text = str(caught.value)
    assert "train-images.gz, train-labels.gz, test-images.gz, test-labels.gz belong in" in text
    assert str(tmp_path / "Tiny" / "raw") in text and "\n" not in text
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(datasets._IDX, "mnist", source(("http://127.0.0.1:9/",)))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot be made"):
        fetch("mnist", tmp_path / "file")


def test_mirrors_and_checksums_are_torchvisions() -> None:
    from torchvision.datasets import MNIST as LAYOUT

    assert MNIST.mirrors() == tuple(LAYOUT.mirrors)
    assert [(f"{file.name}.gz", file.gz_md5) for file in MNIST.files] == list(LAYOUT.resources)


# Taken when the tests are collected: while they run, the environment is theirs alone.
DATA_DIR = Path(os.environ.get("EMBCX_DATA_DIR", "/nowhere"))


@pytest.mark.skipif(not (DATA_DIR / "MNIST" / "raw").is_dir(), reason="EMBCX_DATA_DIR names no folder with MNIST/raw")
def test_mnist_itself() -> None:
    found = load("mnist", DATA_DIR)
    facts = CATALOGUE["mnist"]
    assert found.x_train.shape == (50_000, 784) and found.x_test.shape == (10_000, 784)
    assert found.shape == facts.shape and found.x_train.dtype == np.uint8
    # The first labels of both parts, as every description of MNIST shows them.
    assert found.y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert found.y_test[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    # The customary 0.1307 and 0.3081 are those of all 60,000.
    assert found.mean / 255 == pytest.approx(0.1307, abs=5e-4) and found.std / 255 == pytest.approx(0.3081, abs=5e-4)
    assert check("mnist", DATA_DIR).state == "present"
