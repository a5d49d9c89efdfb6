"""Safetensors: a JSON header and raw tensors. Read here, without torch: of a tensor only the sample's rows.

The format keeps no order of its tensors: writers sort their keys. Layers come in the order that the metadata's `layers`
gives (a JSON list of names), else in natural order.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.activation_files.base import (
    ActivationFile,
    ArrayInfo,
    Index,
    bfloat16_to_float32,
    natural_key,
)
from embcx_tui.compute.activation_files.raw_rows import RawArray, open_regular, read_exactly
from embcx_tui.study.errors import DataError
from embcx_tui.study.text import safe_text

# The library's own bound.
_MAX_HEADER_BYTES = 100_000_000
_TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip
_BRAIN = "BF16"


class Safetensors(ActivationFile):
    def __init__(self, path: Path) -> None:
        super().__init__(safe_text(path, 200))
        self._fd = open_regular(path)
        self._tensors: dict[str, tuple[RawArray, str]] = {}
        try:
            self._read_header()
            self._check()
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError, OSError) as error:
            self.close()
            raise DataError(f"{self.where}: not a readable .safetensors file ({safe_text(error, 100)})") from None
        except BaseException:
            self.close()
            raise

    def _read_header(self) -> None:
        size = os.fstat(self._fd).st_size
        length = int.from_bytes(read_exactly(self._fd, 8, 0), "little") if size >= 8 else 0
        if not 2 <= length <= min(_MAX_HEADER_BYTES, size - 8):
            raise ValueError(f"its header would have {length:,} bytes, the file has {size:,}")
        header = json.loads(read_exactly(self._fd, length, 8).decode("utf-8"))
        if not isinstance(header, dict):
            raise ValueError("its header is no table")
        metadata = header.pop("__metadata__", None) or {}
        start = 8 + length
        for name, entry in header.items():
            self._tensors[name] = self._tensor(name, entry, start, size - start)
        names = list(self._tensors)
        given = json.loads(metadata["layers"]) if "layers" in metadata else []
        if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
            raise ValueError("its metadata's layers are no list of names")
        place = {name: position for position, name in enumerate(given)}
        names.sort(key=lambda name: (place.get(name, len(place)), natural_key(name)))
        self.arrays = tuple(self._info(name) for name in names)

    def _tensor(self, name: str, entry: Any, start: int, held: int) -> tuple[RawArray, str]:
        if not isinstance(entry, dict):
            raise ValueError(f"{safe_text(name, 60)} is not described by a table")
        kind, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        shown = safe_text(name, 60)
        if kind not in _TYPES:
            raise ValueError(f"{shown} is {safe_text(kind, 20)}, which is not read; save it as float32")
        if not all(type(length) is int and 0 <= length < 2**48 for length in (*shape, begin, end)):
            raise ValueError(f"{shown} has a length that is none")
        array = RawArray(self._fd, start + begin, shape, np.dtype(_TYPES[kind]))
        if end > held:
            raise ValueError(f"{shown} would end beyond the file")
        if array.nbytes != end - begin:
            raise ValueError(f"{shown} would need {array.nbytes:,} bytes; its header gives it {end - begin:,}")
        return array, kind

    def _info(self, name: str) -> ArrayInfo:
        array, kind = self._tensors[name]
        return ArrayInfo(name, array.shape, "bfloat16" if kind == _BRAIN else array.dtype.name, array.nbytes)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def pieces(self, name: str, index: Index) -> Iterator[NDArray[Any]]:
        self.info(name)
        array, kind = self._tensors[name]
        try:
            for piece in array.pieces(index):
                yield bfloat16_to_float32(piece) if kind == _BRAIN else piece
        except (ValueError, OSError) as error:
            raise DataError(f"{self.where}: {safe_text(name, 60)} cannot be read ({safe_text(error, 100)})") from None
