"""Parquet, by the extra `files` (pyarrow): a column of vectors is a layer, a column of whole numbers or text labels."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.activation_files.base import PIECE_BYTES, ActivationFile, ArrayInfo, Index
from embcx_tui.compute.activation_files.raw_rows import open_regular
from embcx_tui.study.errors import DataError
from embcx_tui.study.text import safe_text

_MOST_UNITS = 50_000_000


class Parquet(ActivationFile):
    def __init__(self, path: Path) -> None:
        super().__init__(safe_text(path, 200))
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise DataError("Parquet needs pyarrow: pip install 'embcx-tui[files]'") from None
        self._arrow = pyarrow
        self._errors = (pyarrow.ArrowException, OSError, ValueError, TypeError, KeyError, MemoryError)
        self._raw = os.fdopen(open_regular(path), "rb")
        try:
            self._file = pyarrow.parquet.ParquetFile(self._raw)
            self.arrays = tuple(self._column(field) for field in self._file.schema_arrow)
            self._check()
        except self._errors as error:
            self.close()
            raise DataError(f"{self.where}: not a readable Parquet file ({safe_text(error, 100)})") from None
        except BaseException:
            self.close()
            raise

    def _column(self, field: Any) -> ArrayInfo:
        types = self._arrow.types
        rows, kind = self._file.metadata.num_rows, field.type
        if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
            inner = kind.value_type
            if not types.is_floating(inner):
                return ArrayInfo(field.name, (rows,), "unreadable", 0)
            units = kind.list_size if types.is_fixed_size_list(kind) else self._first_length(field.name)
            if not 0 <= units <= _MOST_UNITS:
                raise ValueError(f"{safe_text(field.name, 60)} would have {units:,} numbers per row")
            dtype = np.dtype(inner.to_pandas_dtype())
            return ArrayInfo(field.name, (rows, units), dtype.name, rows * units * dtype.itemsize)
        if types.is_integer(kind) or types.is_floating(kind):
            dtype = np.dtype(kind.to_pandas_dtype())
            return ArrayInfo(field.name, (rows,), dtype.name, rows * dtype.itemsize)
        text = types.is_string(kind) or types.is_large_string(kind) or types.is_dictionary(kind)
        return ArrayInfo(field.name, (rows,), "text" if text else "unreadable", 0)

    def _first_length(self, name: str) -> int:
        for batch in self._file.iter_batches(batch_size=1, columns=[name]):
            return len(batch.column(0)[0]) if len(batch) else 0
        return 0

    def close(self) -> None:
        self._raw.close()

    def pieces(self, name: str, index: Index) -> Iterator[NDArray[Any]]:
        info = self.info(name)
        if info.dtype == "unreadable":
            raise DataError(f"{self.where}: {safe_text(name, 60)} holds no numbers")
        per_batch = max(PIECE_BYTES // max(info.units * 8, 8), 1)
        try:
            start = 0
            for batch in self._file.iter_batches(batch_size=min(per_batch, 65_536), columns=[name]):
                wanted = index[(index >= start) & (index < start + len(batch))] - start
                if len(wanted):
                    yield self._values(batch.column(0).take(self._arrow.array(wanted)), info, name)
                start += len(batch)
        except self._errors as error:
            raise DataError(f"{self.where}: {safe_text(name, 60)} cannot be read ({safe_text(error, 100)})") from None

    def _values(self, column: Any, info: ArrayInfo, name: str) -> NDArray[Any]:
        if info.dtype == "text":
            return np.array([str(value) for value in column.to_pylist()])
        if len(info.shape) == 1:
            return np.asarray(column.to_numpy(zero_copy_only=False))
        flat = column.flatten().to_numpy(zero_copy_only=False)
        if column.null_count or len(flat) != len(column) * info.units:
            raise DataError(
                f"{self.where}: rows of {safe_text(name, 60)} are missing or not all of {info.units:,} numbers"
            )
        return np.asarray(flat).reshape(len(column), info.units)
