"""Files whose formats are parsed by foreign libraries in C (HDF5, Parquet) are read in a process of their own: bytes on
which such a library crashes cost a layer, not the study.

One process reads for a study, one file at a time. It is asked in lines of JSON on its standard input (`path` opens a
file; `name` and `rows`, followed by so many int64, asks for rows) and answers in lines of JSON, arrays' bytes behind
theirs. It ends with its input, so that it cannot outlive the worker for long.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from embcx_tui.compute.activation_files import FOREIGN, open_activations
from embcx_tui.compute.activation_files.base import ActivationFile, ArrayInfo, Index
from embcx_tui.study.errors import DataError, EmbcxError, import_failure
from embcx_tui.study.text import safe_text

COMMAND = (sys.executable, "-P", "-m", "embcx_tui.worker", "read")
# What numbers and text may be; never objects.
_KINDS = "biufcSU"
_PATIENCE_S = 10.0


class IsolatedReader:
    """Opens files of activations, those of foreign formats in a process of their own, which is begun when needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def open(self, path: Path) -> ActivationFile:
        """Return the open file; one of a foreign format is closed by the next. Raises DataError."""
        if path.suffix.lower() not in FOREIGN or path.is_dir():
            return open_activations(path)
        return _IsolatedFile(self, path)

    def close(self) -> None:
        """End the process."""
        if process := self._process:
            self._process = None
            process.kill()
            assert process.stdin and process.stdout
            with contextlib.suppress(OSError):
                process.stdin.close()
            process.stdout.close()
            process.wait()

    def ask(self, where: str, request: dict[str, Any], data: bytes = b"") -> Iterator[tuple[dict[str, Any], bytes]]:
        """Yield the answers to a request, the last of which is `end`; raises DataError, also where the process dies."""
        if self._process is None:
            self._process = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        process = self._process
        assert process.stdin and process.stdout
        ended = False
        try:
            with contextlib.suppress(BrokenPipeError):  # it has died: its output ends too, and says so below
                process.stdin.write(json.dumps(request).encode() + b"\n" + data)
                process.stdin.flush()
            while not ended:
                answer = _answer(process.stdout)
                if answer is None:
                    raise DataError(f"{where}: {_end_of(process)}")
                ended = "end" in answer[0]
                if "error" in answer[0]:
                    ended = True
                    raise DataError(safe_text(answer[0]["error"], 500))
                yield answer
        finally:
            if not ended:  # what comes next would answer another request
                self.close()


class _IsolatedFile(ActivationFile):
    def __init__(self, reader: IsolatedReader, path: Path) -> None:
        super().__init__(safe_text(path, 200))
        self._reader = reader
        for answer, _ in reader.ask(self.where, {"path": os.fspath(path)}):
            self.arrays = tuple(
                ArrayInfo(name, tuple(shape), dtype, nbytes) for name, shape, dtype, nbytes in answer["arrays"]
            )
        self._check()

    def pieces(self, name: str, index: Index) -> Iterator[NDArray[Any]]:
        request = {"name": name, "rows": len(index)}
        for answer, data in self._reader.ask(self.where, request, np.ascontiguousarray(index, np.int64).tobytes()):
            if "end" not in answer:
                yield np.frombuffer(data, answer["dtype"]).reshape(answer["shape"])


def _end_of(process: subprocess.Popen[bytes]) -> str:
    """Return how a process that answers no more has ended."""
    try:
        code = process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        return "the reader answers no more"
    return f"the reader crashed (signal {-code})" if code < 0 else f"the reader ended without an answer (code {code})"


def _answer(stream: IO[bytes]) -> tuple[dict[str, Any], bytes] | None:
    """Return the next answer with the bytes of its array; None where there is none any more."""
    try:
        answer = json.loads(stream.readline())
        if not isinstance(answer, dict):
            return None
        if "dtype" not in answer:
            return answer, b""
        dtype = np.dtype(answer["dtype"])
        size = math.prod(answer["shape"]) * dtype.itemsize
        data = stream.read(size) if dtype.kind in _KINDS else b""
    except (ValueError, TypeError):
        return None
    return (answer, data) if len(data) == size else None


def serve() -> int:
    """Answer requests until there are no more: the process itself."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    file: ActivationFile | None = None
    for line in requests:
        request = json.loads(line)
        index = np.frombuffer(requests.read(8 * request.get("rows", 0)), np.int64)
        try:
            if "path" in request:
                if file:
                    file.close()
                file = open_activations(Path(request["path"]))
                _send(answers, {"arrays": [(a.name, a.shape, a.dtype, a.nbytes) for a in file.arrays], "end": True})
                continue
            assert file
            for piece in file.pieces(request["name"], index):
                whole = np.ascontiguousarray(piece)
                _send(answers, {"dtype": whole.dtype.str, "shape": piece.shape}, whole.tobytes())
            _send(answers, {"end": True})
        except EmbcxError as error:
            _send(answers, {"error": str(error)})
        except Exception as error:
            if not (broken := import_failure(error)):
                raise
            _send(answers, {"error": broken})
    return 0


def _send(stream: IO[bytes], answer: dict[str, Any], data: bytes = b"") -> None:
    stream.write(json.dumps(answer).encode() + b"\n" + data)
    stream.flush()
