"""numpy's files: a `.npy` is one layer, a `.npz` and a folder of `.npy` have one per array.

A folder holds `LAYER.npy`, or per layer a folder of pieces of its rows, `LAYER/features_0-500.npy`, as thingsvision
writes them.
"""

from __future__ import annotations

import os
import struct
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.activation_files.base import MAX_ARRAYS, ActivationFile, ArrayInfo, Index, natural_key
from embcx_tui.compute.activation_files.raw_rows import RawArray, open_regular
from embcx_tui.compute.datasets.npz import NpzFile
from embcx_tui.study.errors import DataError
from embcx_tui.study.text import safe_text

_NONSENSE = (
    ValueError, TypeError, SyntaxError, LookupError, EOFError, OverflowError, MemoryError, OSError, AttributeError,
    RecursionError, struct.error, tokenize.TokenError,
)  # fmt: skip
OBJECTS = (
    "holds Python objects, which only unpickling could read; save plain arrays: "
    "numpy.savez(path, layer1=numpy.stack(rows))"
)
_TEXT = "SU"


def type_name(dtype: np.dtype[Any]) -> str:
    """Return how `ArrayInfo` names a type of numpy."""
    return "text" if dtype.kind in _TEXT else dtype.name


class Npz(ActivationFile):
    """The arrays of a `.npz`, in their order."""

    def __init__(self, path: Path) -> None:
        super().__init__(safe_text(path, 200))
        self._file = NpzFile(path)
        try:
            if any(name.endswith(".pkl") for name in self._file.names):
                raise DataError(f"{self.where}: this is a pickle of torch's, not an .npz; {converting_line('.pt')}")
            self.arrays = tuple(self._header(name) for name in self._file.names)
            self._check()
        except BaseException:
            self.close()
            raise

    def _header(self, name: str) -> ArrayInfo:
        try:
            header = self._file.header(name)
        except DataError as error:
            if "Python objects" in str(error):
                raise DataError(f"{self.where}: {safe_text(name, 60)} {OBJECTS}") from None
            raise
        return ArrayInfo(name, header.shape, type_name(header.dtype), header.size * header.dtype.itemsize)

    def close(self) -> None:
        self._file.__exit__()

    def pieces(self, name: str, index: Index) -> Iterator[NDArray[Any]]:
        self.info(name)
        return self._file.row_pieces(name, index)


class NpyFolder(ActivationFile):
    """The arrays of `.npy` files: of one, or of all in a folder, in natural order."""

    def __init__(self, path: Path) -> None:
        super().__init__(safe_text(path, 200))
        self._parts: dict[str, list[RawArray]] = {}
        self._fds: list[int] = []
        try:
            for name, files in _found(path, self.where).items():
                self._parts[name] = [self._open(file, follow=file == path) for file in files]
            self.arrays = tuple(self._joined(name, parts) for name, parts in self._parts.items())
            self._check()
        except BaseException:
            self.close()
            raise

    def _open(self, path: Path, *, follow: bool) -> RawArray:
        where = safe_text(path, 200)
        fd = open_regular(path, follow=follow)
        self._fds.append(fd)
        try:
            with os.fdopen(os.dup(fd), "rb") as stream:
                shape, fortran, dtype = _npy_header(stream)
                offset = stream.tell()
                size = os.fstat(fd).st_size - offset
        except _NONSENSE as error:
            raise DataError(f"{where}: not a readable .npy file ({safe_text(error, 100)})") from None
        if dtype.hasobject:
            raise DataError(f"{where}: {OBJECTS}")
        if any(length < 0 for length in shape):
            raise DataError(f"{where}: a length of its shape is negative")
        if dtype.kind not in "biufcSU" or dtype.shape:
            raise DataError(f"{where}: holds {safe_text(dtype, 60)}; numbers or text of fixed width are needed")
        array = RawArray(fd, offset, shape, dtype, fortran)
        if array.nbytes > size:
            raise DataError(f"{where}: its header promises {array.nbytes:,} bytes, it has {size:,}")
        return array

    def _joined(self, name: str, parts: list[RawArray]) -> ArrayInfo:
        first = parts[0]
        if any((part.shape[1:], part.dtype) != (first.shape[1:], first.dtype) or not part.shape for part in parts[1:]):
            raise DataError(f"{self.where}: the pieces of {safe_text(name, 60)} differ in shape or type")
        rows = sum(part.shape[0] for part in parts) if first.shape else 0
        shape = (rows, *first.shape[1:]) if first.shape else ()
        return ArrayInfo(name, shape, type_name(first.dtype), sum(part.nbytes for part in parts))

    def close(self) -> None:
        while self._fds:
            os.close(self._fds.pop())

    def pieces(self, name: str, index: Index) -> Iterator[NDArray[Any]]:
        self.info(name)
        start = 0
        try:
            for part in self._parts[name]:
                end = start + part.shape[0]
                yield from part.pieces(index[(index >= start) & (index < end)] - start)
                start = end
        except _NONSENSE as error:
            raise DataError(f"{self.where}: {safe_text(name, 60)} cannot be read ({safe_text(error, 100)})") from None


def _npy_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    if version in ((2, 0), (3, 0)):  # 3.0 differs in the encoding of field names, which no array of numbers has
        return np.lib.format.read_array_header_2_0(stream)
    raise ValueError(f"version {version[0]}.{version[1]} of the format is unknown")


def _found(path: Path, where: str) -> dict[str, list[Path]]:
    """Return the `.npy` files of each array: a file is one array, and so is a folder of pieces within a folder."""
    if not path.is_dir():
        return {path.stem: [path]}
    found: dict[str, list[Path]] = {}
    try:
        for entry in sorted(path.iterdir(), key=lambda entry: natural_key(entry.name)):
            if entry.suffix == ".npy":
                found[entry.stem] = [entry]
            elif entry.is_dir() and not entry.is_symlink() and not entry.name.startswith("."):
                pieces = sorted(entry.glob("*.npy"), key=lambda piece: natural_key(piece.name))
                if pieces:
                    found.setdefault(entry.name, []).extend(pieces)
            if sum(len(files) for files in found.values()) > MAX_ARRAYS:
                raise DataError(f"{where}: more than {MAX_ARRAYS:,} files are too many")
    except OSError as error:
        raise DataError(f"{where}: cannot be read ({error.strerror})") from None
    if not found:
        raise DataError(f"{where}: there is no .npy file in this folder")
    return found


def converting_line(suffix: str) -> str:
    """Return the line of Python that turns a pickle into a file that can be read."""
    load = {
        ".joblib": "import joblib; a = joblib.load(path)",
        ".pkl": "import pickle; a = pickle.load(open(path, 'rb'))",
        ".pickle": "import pickle; a = pickle.load(open(path, 'rb'))",
    }.get(suffix, "import torch; a = torch.load(path)")
    save = "numpy.savez('acts.npz', **{k: numpy.asarray(v) for k, v in a.items()})"
    if "torch" in load:
        save = "from safetensors.torch import save_file; save_file(a, 'acts.safetensors')"
    return f"convert it where you trust it: {load}; {save if 'torch' in load else 'import numpy; ' + save}"
