"""Text: a row per line, a unit per column. One layer per file, with a column of labels where its head names one; or
labels alone, one per line or in columns with a head.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.activation_files.base import ActivationFile, ArrayInfo, Index
from embcx_tui.compute.activation_files.labels import LABEL_NAMES
from embcx_tui.compute.activation_files.raw_rows import open_regular
from embcx_tui.study.errors import DataError
from embcx_tui.study.text import safe_text

_MAX_LINE_BYTES = 64 << 20
_MAX_COLUMNS = 4_000_000
_ROWS_PER_PIECE = 64
# What a column of classes is headed, beside the names of an array of labels.
_HEADS = (*LABEL_NAMES, "class", "target")


class TextFile(ActivationFile):
    """Rows in lines: of tabs (`.tsv`), commas or semicolons (`.csv`), or spaces (`.txt`)."""

    def __init__(self, path: Path) -> None:
        super().__init__(safe_text(path, 200))
        self._file = os.fdopen(open_regular(path), "rb")
        try:
            self._look(path)
            self._check()
        except BaseException:
            self.close()
            raise

    def _look(self, path: Path) -> None:
        lines = self._lines()
        first = next((line for _, line in lines if line), None)
        if first is None:
            raise DataError(f"{self.where}: there is nothing in it")
        self._separator = {".tsv": "\t", ".csv": ";" if ";" in first and "," not in first else ","}.get(
            path.suffix.lower()
        )
        fields = self._fields(1, first)
        if self._separator is None and not all(map(_is_number, fields)):
            self._separator, fields = "\n", [first]  # labels in words, one per line
        if len(fields) > _MAX_COLUMNS:
            raise DataError(f"{self.where}: {len(fields):,} columns are too many")
        only = len(fields) == 1
        self._has_head = fields[0].lower() in _HEADS if only else not any(map(_is_number, fields))
        heads = [safe_text(field, 200) for field in fields] if self._has_head else []
        self._columns: dict[str, list[int]] = {}
        if only:
            self._columns[heads[0] if heads else path.stem] = [0]
        elif heads and not self._is_numeric(heads):
            self._columns = {head: [place] for place, head in enumerate(heads)}
        else:
            labels = [place for place, head in enumerate(heads) if head.lower() in _HEADS]
            self._columns[path.stem] = [place for place in range(len(fields)) if place not in labels]
            for place in labels:
                self._columns[heads[place]] = [place]
        self._width = len(fields)
        count = self._count()
        self.arrays = tuple(
            ArrayInfo(name, (count, len(places)), "float64", count * len(places) * 8)
            if len(places) > 1
            else ArrayInfo(name, (count,), "text", count * 8)
            for name, places in self._columns.items()
        )

    def _count(self) -> int:
        """Return the number of rows; raises DataError for the first that does not fit: a mistake far down is found now,
        not after an hour.
        """
        units = next((places for places in self._columns.values() if len(places) > 1), [])
        count = -self._has_head
        for number, line in self._lines():
            if line:
                fields = self._fields(number, line)
                self._check_width(number, fields)
                if count >= 0 and units:
                    self._numbers(number, fields, units)
                count += 1
        return int(count)

    def _check_width(self, number: int, fields: list[str]) -> None:
        if len(fields) != self._width:
            raise DataError(f"{self.where}: line {number:,} has {len(fields):,} columns, the first {self._width:,}")

    def _is_numeric(self, heads: list[str]) -> bool:
        """Return whether the first row under a head holds numbers, but for columns of labels."""
        rows = (line for _, line in self._lines() if line)
        next(rows, None)
        fields = self._fields(2, next(rows, ""))
        units = [field for head, field in zip(heads, fields, strict=False) if head.lower() not in _HEADS]
        return len(fields) == len(heads) and all(map(_is_number, units))

    def _lines(self) -> Iterator[tuple[int, str]]:
        """Yield the lines with their numbers, without their ends; raises DataError."""
        self._file.seek(0)
        number = 0
        while raw := self._file.readline(_MAX_LINE_BYTES):
            number += 1
            if len(raw) == _MAX_LINE_BYTES:
                raise DataError(f"{self.where}: line {number:,} is longer than {_MAX_LINE_BYTES:,} bytes")
            try:
                yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8").strip("\r\n ")
            except UnicodeDecodeError:
                raise DataError(f"{self.where}: line {number:,} is not UTF-8 text") from None

    def _fields(self, number: int, line: str) -> list[str]:
        if self._separator is None:
            return line.split()
        if self._separator != "," and self._separator != ";":
            return line.split(self._separator)
        try:
            return next(csv.reader([line], delimiter=self._separator), [])
        except csv.Error as error:
            raise DataError(f"{self.where}: line {number:,}: {safe_text(error, 100)}") from None

    def close(self) -> None:
        self._file.close()

    def pieces(self, name: str, index: Index) -> Iterator[NDArray[Any]]:
        info = self.info(name)
        places = self._columns[name]
        waiting: list[Any] = []
        wanted = iter(index.tolist())
        next_row = next(wanted, None)
        row = -1 - self._has_head
        for number, line in self._lines():
            row += bool(line)
            if next_row is None:
                break
            if row != next_row or not line:
                continue
            fields = self._fields(number, line)
            self._check_width(number, fields)
            waiting.append(fields[places[0]] if info.dtype == "text" else self._numbers(number, fields, places))
            next_row = next(wanted, None)
            if len(waiting) == _ROWS_PER_PIECE:
                yield np.array(waiting)
                waiting = []
        if waiting:
            yield np.array(waiting)

    def _numbers(self, number: int, fields: list[str], places: list[int]) -> NDArray[np.float64]:
        try:
            return np.array([float(fields[place]) for place in places])
        except ValueError:
            place = next(place for place in places if not _is_number(fields[place]))
            raise DataError(
                f"{self.where}: line {number:,}, column {place + 1:,}: {safe_text(fields[place], 30)!r} is no number"
            ) from None

    def values(self, name: str) -> NDArray[Any]:
        """Return a column as whole numbers where all of it are, else as text."""
        found = super().values(name)
        if found.dtype.kind == "U" and found.ndim == 1:
            try:
                return found.astype(np.float64)
            except ValueError:
                return found
        return found


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True
