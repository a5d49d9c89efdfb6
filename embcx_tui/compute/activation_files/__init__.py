"""Activations from files: layers by name, of which only a sample's rows are ever read in full. Nothing is unpickled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from embcx_tui.compute.activation_files.base import ActivationFile, ArrayInfo
from embcx_tui.compute.activation_files.hdf5_file import Hdf5
from embcx_tui.compute.activation_files.npy_files import NpyFolder, Npz, converting_line
from embcx_tui.compute.activation_files.parquet_file import Parquet
from embcx_tui.compute.activation_files.safetensors_file import Safetensors
from embcx_tui.compute.activation_files.text_file import TextFile
from embcx_tui.study.errors import DataError
from embcx_tui.study.text import safe_text

__all__ = ["FOREIGN", "ActivationFile", "ArrayInfo", "open_activations"]

_PICKLES = (".pt", ".pth", ".bin", ".pkl", ".pickle", ".joblib", ".ckpt")
_READERS: dict[str, Callable[[Path], ActivationFile]] = {
    ".npz": Npz,
    ".npy": NpyFolder,
    ".safetensors": Safetensors,
    ".tsv": TextFile,
    ".csv": TextFile,
    ".txt": TextFile,
    ".h5": Hdf5,
    ".hdf5": Hdf5,
    ".parquet": Parquet,
}
# Parsed by libraries in C, which foreign bytes may crash.
FOREIGN = (".h5", ".hdf5", ".parquet")
FORMATS = f"{', '.join(_READERS)} or a folder of .npy"


def open_activations(path: Path) -> ActivationFile:
    """Open the file or folder of activations at `path`; raises DataError with one line where it cannot be read."""
    where = safe_text(path, 200)
    suffix = path.suffix.lower()
    if suffix in _PICKLES:
        raise DataError(f"{where}: reading a pickle can run any program, so it is not read; {converting_line(suffix)}")
    if path.is_dir():
        return NpyFolder(path)
    if suffix not in _READERS:
        raise DataError(f"{where}: {safe_text(suffix, 20) or 'a file without an ending'} is not read; {FORMATS} is")
    return _READERS[suffix](path)
