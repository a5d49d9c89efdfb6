"""Hostile files of activations: one line each, exit code 2, and no other file is opened."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib  # type: ignore[import-untyped]  # it has no types
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file

from embcx_tui.study.errors import RequestError
from embcx_tui.study.text import safe_text
from embcx_tui.worker import launch
from embcx_tui.worker.measure_request import MeasureRequest, ModelFiles
from embcx_tui.worker.measure_request import look_into as look_into_request
from tests.activations import (
    labels,
    layers_of,
    raw_safetensors,
    write_hdf5,
    write_npz,
    write_parquet,
    write_safetensors,
)

# Answers queries as the numerics process does, and reports every file that is opened while it does so.
WATCHED = """
import json, os, sys
from embcx_tui.compute.activation_files import hdf5_file, parquet_file
from embcx_tui.worker import inspect_files
from embcx_tui.worker.__main__ import main
for name in ("h5py", "pyarrow.parquet"):
    try:
        __import__(name)
    except ImportError:
        pass
opened = []
def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        opened.append(os.fsdecode(arguments[0]))
sys.addaudithook(watch)
for request in sys.stdin:
    opened.clear()
    code = main("activations", request)
    print(json.dumps({"code": code, "opened": opened}), flush=True)
"""
ESCAPE = "\x1b]0;owned\x07"


class Unpickled:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def _npy(header: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text + data


def _described(shape: str, dtype: str = "'<f4'") -> str:
    return f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}}}"


def _zipped(name: str, data: bytes, flag: int = 0) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, data)
    raw = bytearray(buffer.getvalue())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        raw[raw.index(mark) + place] |= flag
    return bytes(raw)


def _good(**more: NDArray[Any]) -> dict[str, NDArray[Any]]:
    return {**layers_of(1), "y": labels(), **more}


def _objects(folder: Path) -> NDArray[Any]:
    return np.array([Unpickled(folder / "unpickled")] * 60, dtype=object)


def _bytes(name: str, data: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return write


def _arrays(**more: Any) -> Callable[[Path], Path]:
    return lambda folder: write_npz(folder / "acts.npz", _good(**more))


def _header(entry: Any, length: int | None = None, data: bytes = b"\0" * 480) -> Callable[[Path], Path]:
    return lambda folder: raw_safetensors(folder / "acts.safetensors", entry, data, length)


def _tensor(shape: Any = (60, 2), offsets: Any = (0, 480), dtype: str = "F32", name: str = "l1") -> Any:
    return {name: {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


def _pickled(name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(pickle.dumps(Unpickled(folder / "unpickled")))
        return folder / name

    return write


def _saved(folder: Path) -> Path:
    np.save(folder / "acts.npy", _objects(folder), allow_pickle=True)
    return folder / "acts.npy"


def _empty_folder(folder: Path) -> Path:
    (folder / "acts.npz").mkdir()
    return folder / "acts.npz"


def _fifo(folder: Path) -> Path:
    os.mkfifo(folder / "acts.npz")
    return folder / "acts.npz"


def _folder(**files: bytes | None) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / "acts").mkdir()
        for name, data in files.items():
            path = folder / "acts" / f"{name}.npy"
            if data is None:
                os.mkfifo(path)
            else:
                path.write_bytes(data)
        return folder / "acts"

    return write


def _link(folder: Path) -> Path:
    np.save(folder / "secret.npy", np.zeros((60, 8), np.float32))
    (folder / "acts").mkdir()
    (folder / "acts" / "l1.npy").symlink_to(folder / "secret.npy")
    return folder / "acts"


def _linked_folder(folder: Path) -> Path:
    (folder / "secrets").mkdir()
    np.save(folder / "secrets" / "features_0-60.npy", np.zeros((60, 8), np.float32))
    (folder / "acts").mkdir()
    (folder / "acts" / "conv").symlink_to(folder / "secrets")
    return folder / "acts"


def _pieces(folder: Path) -> Path:
    (folder / "acts" / "conv").mkdir(parents=True)
    for start, units in ((0, 8), (30, 9)):
        np.save(folder / "acts" / "conv" / f"features_{start}-{start + 30}.npy", np.zeros((30, units), np.float32))
    return folder / "acts"


DEEP = "[" * 100_000
CASES: dict[str, Callable[[Path], Path]] = {
    "npy: pickled objects": _saved,
    "npy: a shape bomb": _bytes("acts.npy", _npy(_described("(1000000000000000, 1000000)"))),
    "npy: cut short": _bytes("acts.npy", _npy(_described("(60, 8)"), b"\0" * 100)),
    "npy: a negative length": _bytes("acts.npy", _npy(_described("(-60, 8)"), b"\0" * 100)),
    "npy: records": _bytes("acts.npy", _npy(_described("(60,)", "[('a', '<f4')]"), b"\0" * 240)),
    "npy: an unknown version": _bytes("acts.npy", _npy(_described("(60, 8)"), version=b"\x09\x09")),
    "npy: a header that calls": _bytes("acts.npy", _npy("__import__('os').getcwd()")),
    "npy: a header without an end": _bytes("acts.npy", _npy("{'descr': ((((((")),
    "npy: nothing in it": _bytes("acts.npy", b""),
    "npy: a million dimensions": _bytes("acts.npy", _npy(_described("(" + "1, " * 2000 + ")"), b"\0" * 4)),
    "npz: objects": lambda folder: write_npz(folder / "acts.npz", {**_good(), "meta": _objects(folder)}),
    "npz: no zip": _bytes("acts.npz", b"PK\x03\x04 and no more"),
    "npz: half a zip": _bytes("acts.npz", _zipped("l1.npy", b"\0" * 1000)[:60]),
    "npz: a member that promises more": _bytes("acts.npz", _zipped("l1.npy", _npy(_described("(60, 8000000)")))),
    "npz: encrypted": _bytes("acts.npz", _zipped("l1.npy", _npy(_described("(60, 8)"), b"\0" * 1920), flag=1)),
    "npz: a pickle of torch's": _bytes("acts.npz", _zipped("archive/data.pkl", b"\x80\x02.")),
    "npz: whole numbers alone": lambda folder: write_npz(folder / "acts.npz", {"a": np.zeros((60, 8), np.int64)}),
    "npz: no rows": lambda folder: write_npz(folder / "acts.npz", {"a": np.zeros((0, 8), np.float32)}),
    "npz: complex numbers": lambda folder: write_npz(folder / "acts.npz", {"a": np.zeros((60, 8), np.complex64)}),
    "npz: nine dimensions": _arrays(deep=np.zeros((60, 1, 1, 1, 1, 1, 1, 1, 1), np.float32)),
    "npz: escape bytes in a layer's name": _arrays(**{f"l2{ESCAPE}": np.zeros((60, 8), np.float32)}),
    "npz: a name that turns the text around": _arrays(**{"l2\u202egnp": np.zeros((60, 8), np.float32)}),
    "npz: a name of a thousand letters": _arrays(**{"l" * 1000: np.zeros((60, 8), np.float32)}),
    "npz: escape bytes in a class": _arrays(y=np.array(["cat", f"dog{ESCAPE}"] * 30)),
    "npz: fractions for labels": _arrays(y=np.linspace(0, 1, 60)),
    "npz: labels of another length": _arrays(y=labels()[:-1]),
    "npz: two labels per row": _arrays(y=np.zeros((60, 2), np.int64)),
    "npz: complex labels": _arrays(y=np.zeros(60, np.complex64)),
    "npz: labels that are not finite": _arrays(y=np.full(60, np.nan)),
    "npz: a pipe": _fifo,
    "npz: an empty folder": _empty_folder,
    "npz: not there": lambda folder: folder / "acts.npz",
    "folder: nothing in it": _folder(),
    "folder: a pipe in it": _folder(l1=None),
    "folder: damage in one file": _folder(l1=_npy(_described("(60, 8)"), b"\0" * 1920), l2=b"\x93NUMPY"),
    "folder: pieces that differ": _pieces,
    "folder: a link out of it": _link,
    "folder: a folder that is a link": _linked_folder,
    "torch's .pt": _pickled("acts.pt"),
    "torch's .pth": _pickled("acts.pth"),
    "torch's .bin": _pickled("acts.bin"),
    "torch's .ckpt": _pickled("acts.ckpt"),
    "a pickle": _pickled("acts.pkl"),
    "joblib's": _pickled("acts.joblib"),
    "safetensors: a header longer than the file": _header(_tensor(), length=1 << 62),
    "safetensors: a header of 90 MB": _header(_tensor(), length=90_000_000),
    "safetensors: no JSON": _bytes("acts.safetensors", (9).to_bytes(8, "little") + b"not JSON!"),
    "safetensors: JSON without an end": _bytes(
        "acts.safetensors", len(DEEP).to_bytes(8, "little") + DEEP.encode()
    ),
    "safetensors: a list": _header([1, 2, 3]),
    "safetensors: an entry that is none": _header({"l1": 3}),
    "safetensors: offsets beyond the file": _header(_tensor(offsets=(480, 960))),
    "safetensors: offsets of another size": _header(_tensor(shape=(60, 3))),
    "safetensors: offsets the wrong way round": _header(_tensor(offsets=(480, 0))),
    "safetensors: a negative length": _header(_tensor(shape=(-60, -2))),
    "safetensors: a length with a fraction": _header(_tensor(shape=(60.0, 2))),
    "safetensors: a shape bomb": _header(_tensor(shape=(2**40, 2**40))),
    "safetensors: eight bits": _header(_tensor(dtype="F8_E4M3")),
    "safetensors: escape bytes in a name": _header(_tensor(name=f"l1{ESCAPE}")),
    "safetensors: an order that is none": lambda folder: write_safetensors(
        folder / "acts.safetensors", layers_of(1), metadata={"layers": "l1, l2"}
    ),
    "safetensors: nothing in it": _bytes("acts.safetensors", b""),
    "tsv: a word among numbers": _bytes("acts.tsv", b"1\t2\n3\t4\n5\tsix\n"),
    "tsv: rows of different lengths": _bytes("acts.tsv", b"1\t2\n3\t4\t5\n"),
    "tsv: bytes that are no text": _bytes("acts.tsv", b"1\t2\n\xff\xfe\t4\n"),
    "tsv: nothing in it": _bytes("acts.tsv", b"\n\n"),
    "csv: a field without an end": _bytes("acts.csv", b'1,2\n"' + b"3" * 200_000 + b",4\n"),
    "no format": _bytes("acts.xyz", b"1 2 3"),
    "no ending": _bytes("acts", b"1 2 3"),
}  # fmt: skip


@pytest.fixture(scope="module")
def looking() -> Any:
    """A process that looks into files as the numerics process does."""
    command = [sys.executable, "-P", "-c", WATCHED]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def look_into(process: subprocess.Popen[str], path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the process answers, and its exit code with the files that it opened meanwhile."""
    request = {
        "files": [str(path)], "labels": "", "labels_array": "", "classes": "", "layers": [], "pool": "flatten",
    }  # fmt: skip
    assert process.stdin and process.stdout
    process.stdin.write(json.dumps(request) + "\n")
    process.stdin.flush()
    lines = [process.stdout.readline() for _ in range(3)]
    assert all(lines), "the process has crashed"
    opening, answer, ended = map(json.loads, lines)
    assert opening == {"file": safe_text(path, 200)}
    return answer, ended


@pytest.mark.parametrize("case", CASES)
def test_a_hostile_file_is_one_line(case: str, tmp_path: Path, looking: subprocess.Popen[str]) -> None:
    path = CASES[case](tmp_path)
    answer, ended = look_into(looking, path)
    line = answer["error"]
    assert ended["code"] == 2 and len(line) <= 500
    assert line.isprintable() and str(path) in line
    foreign = [name for name in ended["opened"] if not Path(name).is_relative_to(path)]
    assert [name for name in foreign if not name.endswith((".py", ".pyc", ".so"))] == []
    assert not (tmp_path / "unpickled").exists()


def test_there_are_forty_of_them() -> None:
    assert len(CASES) >= 40


def test_a_good_file_passes_the_same_way(tmp_path: Path, looking: subprocess.Popen[str]) -> None:
    path = write_npz(tmp_path / "acts.npz", _good())
    answer, ended = look_into(looking, path)
    assert "error" not in answer and ended["code"] == 0
    assert [layer["name"] for layer in answer["files"][0]["layers"]] == ["l1"]
    assert str(path) in ended["opened"]


@pytest.mark.parametrize("ending", ["pt", "pkl", "joblib"])
def test_the_line_that_converts_a_pickle_converts_it(
    ending: str, tmp_path: Path, looking: subprocess.Popen[str]
) -> None:
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    path = tmp_path / f"acts.{ending}"
    match ending:
        case "pt":
            torch.save({"l1": torch.from_numpy(rows)}, path)
        case "pkl":
            path.write_bytes(pickle.dumps({"l1": rows}))
        case _:
            joblib.dump({"l1": rows}, path)
    answer, _ = look_into(looking, path)
    _, _, line = answer["error"].partition("convert it where you trust it: ")
    subprocess.run([sys.executable, "-c", f"path = {str(path)!r}; {line}"], cwd=tmp_path, check=True)
    found = load_file(tmp_path / "acts.safetensors") if ending == "pt" else np.load(tmp_path / "acts.npz")
    assert np.array_equal(found["l1"], rows)


def _external_link(h5py: Any, folder: Path, file: Any) -> None:
    file["l1"] = h5py.ExternalLink(str(folder / "secret.h5"), "/l1")


def _symbolic_link(h5py: Any, folder: Path, file: Any) -> None:
    file["l1"] = h5py.SoftLink("/elsewhere")


def _external_storage(h5py: Any, folder: Path, file: Any) -> None:
    file.create_dataset("l1", (60, 8), "f4", external=[(str(folder / "secret.raw"), 0, 1920)])


def _virtual(h5py: Any, folder: Path, file: Any) -> None:
    layout = h5py.VirtualLayout(shape=(60, 8), dtype="f4")
    layout[:] = h5py.VirtualSource(str(folder / "secret.h5"), "l1", shape=(60, 8))
    file.create_virtual_dataset("l1", layout)


def _growing_virtual(h5py: Any, folder: Path, file: Any) -> None:
    """Its shape is that of the files it is made of: to ask for it is to open them."""
    source = h5py.VirtualSource(str(folder / "secret.h5"), "l1", shape=(60, 8), maxshape=(None, 8))
    layout = h5py.VirtualLayout(shape=(60, 8), dtype="f4", maxshape=(None, 8))
    layout[: h5py.h5s.UNLIMITED, :] = source[: h5py.h5s.UNLIMITED, :]
    file.create_virtual_dataset("l1", layout)


def _shape_bomb(h5py: Any, folder: Path, file: Any) -> None:
    file.create_dataset("l1", (1 << 40, 1 << 16), "f4", chunks=(1, 1024))


def _piece_bomb(h5py: Any, folder: Path, file: Any) -> None:
    file.create_dataset("l1", (20_000, 20_000), "f4", chunks=(20_000, 20_000), compression="gzip")
    file.create_dataset("fill", data=np.random.default_rng(0).random(400_000))


def _plugin(h5py: Any, folder: Path, file: Any) -> None:
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((60, 8))
    plist.set_filter(32_001, h5py.h5z.FLAG_OPTIONAL)
    space = h5py.h5s.create_simple((60, 8))
    h5py.h5d.create(file.id, b"l1", h5py.h5t.IEEE_F32LE, space, plist)


def _circle(h5py: Any, folder: Path, file: Any) -> None:
    file.create_group("a")["again"] = file["/"]


def _references(h5py: Any, folder: Path, file: Any) -> None:
    file.create_dataset("l1", (60, 8), dtype=h5py.ref_dtype)


HDF5: dict[str, Callable[[Any, Path, Any], None]] = {
    "an external link": _external_link,
    "a symbolic link": _symbolic_link,
    "external storage": _external_storage,
    "a virtual dataset": _virtual,
    "a virtual dataset that grows": _growing_virtual,
    "a shape bomb": _shape_bomb,
    "pieces of 1.6 GB": _piece_bomb,
    "a filter from a plugin": _plugin,
    "groups in a circle": _circle,
    "references": _references,
}


@pytest.mark.parametrize("case", HDF5)
def test_a_hostile_hdf5_is_one_line(case: str, tmp_path: Path, looking: subprocess.Popen[str]) -> None:
    h5py = pytest.importorskip("h5py", reason="HDF5 needs the extra `files`")
    path = tmp_path / "acts.h5"
    with h5py.File(path, "w") as file:
        HDF5[case](h5py, tmp_path, file)
    for secret in ("secret.raw", "secret.h5"):
        os.mkfifo(tmp_path / secret)  # the library's own opening is no event of Python's: this one would wait for ever
    answer, ended = look_into(looking, path)
    assert ended["code"] == 2 and answer["error"].isprintable() and str(path) in answer["error"]
    assert not [name for name in ended["opened"] if "secret" in name]


@pytest.mark.parametrize("damage", ["half of it", "noise in it", "no HDF5", "nothing in it"])
@pytest.mark.parametrize("ending", ["h5", "parquet"])
def test_damaged_hdf5_and_parquet_are_one_line(
    ending: str, damage: str, tmp_path: Path, looking: subprocess.Popen[str]
) -> None:
    write = write_hdf5 if ending == "h5" else write_parquet
    path = write(tmp_path / f"acts.{ending}", layers_of(3))
    whole = path.read_bytes()
    middle = len(whole) // 2
    noise = np.random.default_rng(1).bytes(64)
    place = 40 if ending == "h5" else len(whole) - 100
    path.write_bytes(
        {
            "half of it": whole[:middle],
            "noise in it": whole[:place] + noise + whole[place + 64 :],
            "no HDF5": b"PK" + whole[2:-4],
            "nothing in it": b"",
        }[damage]
    )
    answer, ended = look_into(looking, path)
    assert ended["code"] == 2 and answer["error"].isprintable() and str(path) in answer["error"]


def test_a_process_that_crashes_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_command", lambda *_: [sys.executable, "-c", "import os; os.abort()"])
    with pytest.raises(RequestError, match=r"acts.h5: the reader crashed \(signal 6\)"):
        look_into_request(MeasureRequest((ModelFiles("", (tmp_path / "acts.h5",)),)))
