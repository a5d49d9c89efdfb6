"""HDF5, by the extra `files` (h5py). The library parses foreign bytes in C, so it does so in a process of its own:
that of `worker.launch.ask` at the first look, that of `worker.isolated_reader` for the rows.

Of what can make a file read other files nothing is followed: external and symbolic links, external storage, virtual
datasets, filters from plugins.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.activation_files.base import (
    MAX_ARRAYS,
    PIECE_BYTES,
    ActivationFile,
    ArrayInfo,
    Index,
    natural_key,
)
from embcx_tui.compute.activation_files.raw_rows import open_regular
from embcx_tui.study.errors import DataError
from embcx_tui.study.text import safe_text

# Deflate cannot compress better: a dataset that claims more is damaged, or a bomb.
_MAX_RATIO = 1_040
_MAX_CHUNK_BYTES = 1 << 30
_MAX_DEPTH = 16
# Deflate, shuffle, checksum, szip, n-bit, scale-offset, and h5py's own LZF.
_FILTERS = (1, 2, 3, 4, 5, 6, 32_000)


def _library() -> Any:
    """Return h5py, plugins off; raises DataError where it is not installed."""
    os.environ["HDF5_PLUGIN_PATH"] = ""
    try:
        import h5py
    except ImportError:
        raise DataError("HDF5 needs h5py: pip install 'embcx-tui[files]'") from None
    while h5py.h5pl.size():
        h5py.h5pl.remove(0)
    return h5py


class Hdf5(ActivationFile):
    """The datasets of an HDF5 file, in the order in which they were made, or in natural order where it has none."""

    def __init__(self, path: Path) -> None:
        super().__init__(safe_text(path, 200))
        os.close(open_regular(path))
        self._h5 = _library()
        self._size = path.stat().st_size
        try:
            # A file that somebody writes cannot be locked, and on a network disk locking may hang.
            self._file = self._h5.File(path, "r", locking=False)
        except (OSError, ValueError, RuntimeError) as error:
            raise DataError(f"{self.where}: not a readable HDF5 file ({safe_text(error, 100)})") from None
        try:
            self.arrays = tuple(self._walk(self._file.id, "", 0, set()))
            self._check()
        except (OSError, ValueError, RuntimeError, KeyError, TypeError, OverflowError, RecursionError) as error:
            self.close()
            raise DataError(f"{self.where}: damaged ({safe_text(error, 100)})") from None
        except BaseException:
            self.close()
            raise

    def _walk(self, group: Any, prefix: str, depth: int, seen: set[int]) -> Iterator[ArrayInfo]:
        h5 = self._h5
        if depth > _MAX_DEPTH or len(seen) > MAX_ARRAYS:
            raise DataError(f"{self.where}: too many groups within groups")
        links = {name: group.links.get_info(name) for name in group}
        tracked = all(info.corder_valid for info in links.values())
        for raw in sorted(links, key=lambda raw: links[raw].corder if tracked else natural_key(_text(raw))):
            name = prefix + _text(raw)
            if links[raw].type != h5.h5l.TYPE_HARD:
                raise DataError(
                    f"{self.where}: {safe_text(name, 60)} is a link, which is not followed; copy what it means"
                )
            found = h5.h5o.open(group, raw)
            address = hash(h5.h5o.get_info(found))
            if isinstance(found, h5.h5g.GroupID):
                if address not in seen:
                    seen.add(address)
                    yield from self._walk(found, f"{name}/", depth + 1, seen)
            elif isinstance(found, h5.h5d.DatasetID):
                yield self._dataset(found, name)

    def _dataset(self, found: Any, name: str) -> ArrayInfo:
        shown = safe_text(name, 60)
        plist = found.get_create_plist()
        # Before its shape is asked for: that of a virtual dataset may depend on other files.
        if plist.get_layout() == self._h5.h5d.VIRTUAL or plist.get_external_count():
            raise DataError(f"{self.where}: {shown} lies in other files, which are not read; copy it into this one")
        for position in range(plist.get_nfilters()):
            if (code := plist.get_filter(position)[0]) not in _FILTERS:
                raise DataError(
                    f"{self.where}: {shown} is packed by filter {code}, which is not loaded; save it as gzip"
                )
        dtype, shape = found.dtype, tuple(found.shape)
        nbytes = math.prod(shape) * dtype.itemsize
        if nbytes > _MAX_RATIO * self._size:
            raise DataError(f"{self.where}: {shown} would have {nbytes:,} bytes, the file has {self._size:,}")
        if plist.get_layout() == self._h5.h5d.CHUNKED:
            chunk = math.prod(plist.get_chunk()) * dtype.itemsize
            if chunk > _MAX_CHUNK_BYTES:
                raise DataError(f"{self.where}: {shown} is kept in pieces of {chunk:,} bytes; save it in smaller ones")
        text = self._h5.check_string_dtype(dtype) is not None
        if dtype.kind not in "biufcS" and not text:
            return ArrayInfo(name, shape, "unreadable", nbytes)
        return ArrayInfo(name, shape, "text" if text else dtype.name, nbytes)

    def close(self) -> None:
        self._file.close()

    def pieces(self, name: str, index: Index) -> Iterator[NDArray[Any]]:
        info = self.info(name)
        if info.dtype == "unreadable":
            raise DataError(f"{self.where}: {safe_text(name, 60)} holds no numbers")
        try:
            dataset = self._file[name]
            source = dataset.asstr() if info.dtype == "text" else dataset
            # Whole pieces of those that the file keeps: each is unpacked once.
            chunk = dataset.chunks[0] if dataset.chunks else 1
            step = chunk * max(PIECE_BYTES // max(info.units * dataset.dtype.itemsize * chunk, 1), 1)
            for start in range(0, info.rows, step):
                wanted = index[(index >= start) & (index < start + step)]
                if len(wanted):
                    first, last = int(wanted[0]), int(wanted[-1])
                    block = np.asarray(source[first : last + 1])
                    yield block.astype(str) if info.dtype == "text" else block[wanted - first]
        except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
            raise DataError(f"{self.where}: {safe_text(name, 60)} cannot be read ({safe_text(error, 100)})") from None


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
