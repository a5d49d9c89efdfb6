"""The cache of unpacked files, and torchvision as the reader of them."""

from __future__ import annotations

import errno
import gzip
import os
import pickle
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from embcx_tui.compute import datasets
from embcx_tui.compute.datasets import load
from embcx_tui.study.errors import DataError
from tests.compute.fake_datasets import fake_source, files, images, put

UNPACKED = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", "train-images-idx3-ubyte", "train-labels-idx1-ubyte")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a data folder with a small gzipped MNIST, a small SVHN and nothing else."""
    folder = tmp_path / "data"
    for name in ("mnist", "svhn"):
        monkeypatch.setitem(datasets.SOURCES, name, fake_source(name))
        put(folder, files(name))
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "home" / "unpacked"


def refusal(name: str, data: Path, cache: Path) -> str:
    with pytest.raises(DataError) as caught:
        load(name, data, cache)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_unpacked_files_are_private_and_written_once(data: Path, cache: Path) -> None:
    cache.parent.mkdir()
    before = os.umask(0)
    try:
        first = load("mnist", data, cache)
    finally:
        os.umask(before)
    paths = sorted((cache / "mnist").iterdir())
    assert tuple(path.name for path in paths) == UNPACKED
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o600}
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (cache, cache / "mnist")} == {0o700}
    inodes = [path.stat().st_ino for path in paths]
    np.testing.assert_array_equal(load("mnist", data, cache).x_train, first.x_train)
    assert [path.stat().st_ino for path in paths] == inodes
    assert sorted(path.suffix for path in (data / "MNIST" / "raw").iterdir()) == [".gz"] * 4


@pytest.mark.parametrize("damage", ["flipped", "short", "empty", "of another file", "a link to nothing"])
def test_a_damaged_file_in_the_cache_is_unpacked_again(data: Path, cache: Path, damage: str) -> None:
    whole = load("mnist", data, cache)
    path = cache / "mnist" / "train-images-idx3-ubyte"
    content = path.read_bytes()
    if damage == "a link to nothing":
        path.unlink()
        path.symlink_to(cache / "nothing")
    else:
        flipped = content[:-1] + bytes([content[-1] ^ 1])
        other = path.with_name("t10k-images-idx3-ubyte").read_bytes()
        path.write_bytes({"flipped": flipped, "short": content[:-1], "empty": b"", "of another file": other}[damage])
    np.testing.assert_array_equal(load("mnist", data, cache).x_train, whole.x_train)
    assert path.read_bytes() == content and not path.is_symlink()


def test_plain_files_among_gzipped_ones(data: Path, cache: Path) -> None:
    packed = data / "MNIST" / "raw" / "train-labels-idx1-ubyte.gz"
    packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    np.testing.assert_array_equal(load("mnist", data, cache).y_train, images("mnist")[1][:50])


def test_only_plain_files_need_no_cache(data: Path) -> None:
    for path in (data / "MNIST" / "raw").glob("*.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert load("mnist", data, Path("/dev/null/nowhere")).features == 20
    assert load("svhn", data, Path("/dev/null/nowhere")).features == 60


def test_a_full_disk_is_one_line_and_leaves_nothing(data: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: object, target: object, length: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    text = refusal("mnist", data, cache)
    assert f"cannot be unpacked into {cache / 'mnist'} (No space left on device)" in text and "EMBCX_HOME" in text
    assert not list((cache / "mnist").iterdir())


def test_a_cache_that_cannot_be_made_is_one_line(data: Path) -> None:
    text = refusal("mnist", data, Path("/dev/null/nowhere"))
    assert "cannot be unpacked into /dev/null/nowhere/mnist (Not a directory)" in text


def test_processes_that_unpack_at_once_all_load_the_whole(data: Path, cache: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from embcx_tui.compute.datasets.readers import read_mnist
from tests.compute.fake_datasets import fake_source
import torchvision.datasets
facts = fake_source("mnist").facts
data, cache = map(Path, sys.argv[1:])
forms = tuple((data / part.distributed.path,) for part in facts.files)
start, began = os.pipe()  # one process imports torchvision; its three forks begin when the last of them is there
workers = []
for _ in range(3):
    if pid := os.fork():
        workers.append(pid)
        continue
    os.close(began)
    os.read(start, 1)
    lines = []
    for number in range(50):
        (x, y), (x_test, y_test) = read_mnist(facts, forms, cache / str(number))
        lines.append(f"{int(x.sum())} {int(y.sum())} {int(x_test.sum())} {int(y_test.sum())}\\n")
    os.write(1, "".join(lines).encode())
    os._exit(0)
os.close(began)
for pid in workers:
    assert os.waitpid(pid, 0)[1] == 0
"""
    done = subprocess.run([sys.executable, "-c", code, str(data), str(cache)], capture_output=True, text=True)
    sums = " ".join(str(int(part.sum())) for part in images("mnist"))
    assert done.returncode == 0 and done.stdout.splitlines() == [sums] * 150, done.stderr
    assert sorted(path.name for path in cache.glob("*/mnist/*")) == sorted(UNPACKED * 50)


def test_torchvisions_old_pickles_are_never_opened(data: Path, cache: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (os.mkdir, (str(cache.parent / "sprung"),))

    processed = data / "MNIST" / "processed"
    processed.mkdir()
    for name in ("training.pt", "test.pt"):
        (processed / name).write_bytes(pickle.dumps(Trap()))
    for path in (data / "MNIST" / "raw").glob("*.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
    np.testing.assert_array_equal(load("mnist", data, cache).y_train, images("mnist")[1][:50])
    assert not (cache.parent / "sprung").exists()


@pytest.mark.parametrize("name", ["mnist", "svhn"])
def test_a_torchvision_that_does_not_fit_is_one_line(
    data: Path, cache: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = data.parent / "broken" / "torchvision"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('raise RuntimeError("operator torchvision::nms does not exist")')
    for module in ("torchvision", "torchvision.datasets"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.syspath_prepend(package.parent)
    text = refusal(name, data, cache)
    assert "cannot be imported (operator torchvision::nms does not exist)" in text
    assert "pip install --force-reinstall torch torchvision" in text


def test_digits_and_files_do_not_import_torchvision(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", X=np.random.default_rng(0).random((60, 3)), y=np.arange(60) % 2)
    code = (
        "import sys; from pathlib import Path; from embcx_tui.compute.datasets import load; here = Path(sys.argv[1]);"
        "load('digits', here, here); load(f'file:{here}/own.npz', here, here);"
        "sys.exit('torchvision' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path], check=False).returncode == 0


@pytest.mark.parametrize("dotted", [True, False])
@pytest.mark.parametrize("form", ["packed", "plain", "plain under the packed name", "mixed"])
def test_mnist_under_the_names_that_others_give_it(data: Path, cache: Path, form: str, dotted: bool) -> None:
    wanted = load("mnist", data, cache / "before")
    for number, path in enumerate(sorted((data / "MNIST" / "raw").iterdir())):
        plain = form != "packed" and (form != "mixed" or number % 2 == 0)
        content = gzip.decompress(path.read_bytes()) if plain else path.read_bytes()
        name = path.name.removesuffix(".gz") if form == "plain" else path.name
        path.unlink()
        path.with_name(name.replace("-idx", ".idx") if dotted else name).write_bytes(content)
    names = sorted(path.name for path in (data / "MNIST" / "raw").iterdir())
    found = load("mnist", data, cache)
    for part in ("x_train", "y_train", "x_test", "y_test"):
        np.testing.assert_array_equal(getattr(found, part), getattr(wanted, part))
    assert all(file.state == "ok" for file in datasets.check("mnist", data).files)
    assert sorted(path.name for path in (data / "MNIST" / "raw").iterdir()) == names


def test_a_damaged_file_under_another_name_is_said_by_that_name(data: Path, cache: Path) -> None:
    path = data / "MNIST" / "raw" / "t10k-labels-idx1-ubyte.gz"
    flipped = bytearray(gzip.decompress(path.read_bytes()))
    flipped[-1] ^= 1
    path.unlink()
    path.with_name("t10k-labels.idx1-ubyte").write_bytes(bytes(flipped))
    assert "t10k-labels.idx1-ubyte is damaged (wrong checksum)" in refusal("mnist", data, cache)
