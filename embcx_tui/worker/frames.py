"""Frames: what the worker and a hand say to each other, whatever carries the bytes.

A *hand* is a process that computes parts of a study for its worker, which alone writes the study's folder. They talk in
frames, `kind (1 byte) · length (4 bytes, big-endian) · payload`, never in pickles. A carrier (a pipe here, a bridge to
a cluster elsewhere) moves bytes in order and knows no kinds:

    pack(kind, payload) -> bytes            one frame; raises MalformedFrame where the payload is too long for its kind
    file_frames(file, data) -> bytes, …     a file: its FILE frame, then CHUNK frames of 16 MB at most
    FrameReader().feed(bytes) -> Frame, …   the whole frames so far; the rest waits for more bytes
    FileReader().take(frame) -> file | None collects FILE and CHUNK frames; (SealedFile, bytes) once a file is whole
    Link                                    both ends of a carrier, as `worker.hand` and `worker.hands` use it

| kind | direction | payload |
|---|---|---|
| TASK | to the hand | `PartTask` as JSON: the part to compute; its events and files follow |
| EVENT | both | one event as in the journal (`study.events`), JSON |
| FILE, CHUNK | both | `FileHeader` as JSON, then the bytes |
| BEGIN | to the hand | empty: everything of the task is there |
| STOP | to the hand | empty: finish the epoch, save, say DONE |
| JOINED | to the worker | a `HandJoined` event as JSON: the hand waits for tasks |
| PULSE | to the worker | empty, every few seconds |
| LOG | to the worker | one line of text for worker.log |
| DONE | to the worker | empty: the part is computed, or saved after STOP |
| FAILED | to the worker | `Failure` as JSON |

Lengths are bounded by kind, texts by `safe_text` where they are shown. Whatever does not fit is a MalformedFrame: the
worker gives such a hand up, with that reason.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from embcx_tui.study.events import CohortName, SealedFile
from embcx_tui.study.text import safe_text

HEADER = struct.Struct(">BI")
CHUNK_BYTES = 16 << 20
# As long as the longest line of a journal may be (store.journal.MAX_LINE_BYTES).
_MAX_EVENT_BYTES = 4_000_000
_MAX_LOG_BYTES = 8_192
# The checkpoint of a part lies in the worker's memory until it is whole: 20,000 of the paper's networks take 20 GB.
MAX_FILE_BYTES = 32 << 30


class MalformedFrame(Exception):
    """Bytes that are no frame, or a frame out of its place: one line for the user."""


class Kind(IntEnum):
    """The kinds of frames; their numbers are part of the protocol."""

    TASK = 1
    EVENT = 2
    FILE = 3
    CHUNK = 4
    BEGIN = 5
    STOP = 6
    JOINED = 7
    PULSE = 8
    LOG = 9
    DONE = 10
    FAILED = 11


_MOST = {
    Kind.TASK: _MAX_EVENT_BYTES,
    Kind.EVENT: _MAX_EVENT_BYTES,
    Kind.FILE: 1_000,
    Kind.CHUNK: CHUNK_BYTES,
    Kind.BEGIN: 0,
    Kind.STOP: 0,
    Kind.JOINED: 100_000,
    Kind.PULSE: 0,
    Kind.LOG: _MAX_LOG_BYTES,
    Kind.DONE: 0,
    Kind.FAILED: 10_000,
}


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame."""

    kind: Kind
    payload: bytes = b""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


Message = TypeVar("Message", bound=_Message)


class FileHeader(_Message):
    """What FILE announces: a file of the study and the number of its bytes."""

    file: SealedFile
    size: Annotated[int, Field(ge=0, le=MAX_FILE_BYTES)]


class PartTask(_Message):
    """What TASK asks for: a part of a cohort of the plan of `study_file`, the text of study.toml."""

    study_id: str
    study_file: Annotated[str, Field(max_length=1_000_000)]
    part: CohortName


class Failure(_Message):
    """Why a part was not computed; `final`: no other hand would fare better, and the study ends with `reason`."""

    reason: str
    final: bool = False


class Link(Protocol):
    """One end of a carrier."""

    def send(self, kind: Kind, payload: bytes = b"") -> None:
        """Send a frame after those sent before; from any thread. Raises OSError where the other end is gone."""

    def send_file(self, file: SealedFile, data: bytes) -> None:
        """Send a file, no other frame between its frames. Raises OSError where the other end is gone."""

    def receive(self, patience_s: float | None = None) -> Frame | None:
        """Return the next frame; None at the end of the stream, which may be within a frame.

        Raises TimeoutError where nothing comes for `patience_s` seconds, MalformedFrame where it is no frame.
        """


def pack(kind: Kind, payload: bytes = b"") -> bytes:
    """Return a frame as bytes."""
    if len(payload) > _MOST[kind]:
        raise MalformedFrame(f"a frame {kind.name} of {len(payload):,} bytes; at most {_MOST[kind]:,} are allowed")
    return HEADER.pack(kind, len(payload)) + payload


def file_frames(file: SealedFile, data: bytes) -> Iterator[bytes]:
    """Yield the frames of a file, in order."""
    yield pack(Kind.FILE, FileHeader(file=file, size=len(data)).model_dump_json().encode())
    for start in range(0, len(data), CHUNK_BYTES):
        yield pack(Kind.CHUNK, data[start : start + CHUNK_BYTES])


class FrameReader:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that `data` completes; raises MalformedFrame at the first that is none."""
        self._rest += data
        while len(self._rest) >= HEADER.size:
            number, length = HEADER.unpack_from(self._rest)
            if number not in Kind.__members__.values():
                raise MalformedFrame(f"a frame of the unknown kind {number}")
            kind = Kind(number)
            if length > _MOST[kind]:
                raise MalformedFrame(f"a frame {kind.name} of {length:,} bytes; at most {_MOST[kind]:,} are allowed")
            end = HEADER.size + length
            if len(self._rest) < end:
                return
            payload = bytes(self._rest[HEADER.size : end])
            del self._rest[:end]
            yield Frame(kind, payload)


class FileReader:
    """Collects the frames of one file after the other."""

    def __init__(self) -> None:
        self._header: FileHeader | None = None
        self._data = bytearray()

    def take(self, frame: Frame) -> tuple[SealedFile, bytes] | None:
        """Take the next frame; return the file that it completes, with its bytes. Raises MalformedFrame."""
        if frame.kind is Kind.FILE:
            if self._header:
                raise MalformedFrame("a file within a file")
            self._header = read_message(FileHeader, frame)
            self._data = bytearray()
        elif frame.kind is not Kind.CHUNK:
            if self._header:
                raise MalformedFrame(f"a frame {frame.kind.name} within a file")
            return None
        elif self._header is None:
            raise MalformedFrame("a part of no file")
        else:
            self._data += frame.payload
        if len(self._data) < self._header.size:
            return None
        header, data = self._header, bytes(self._data)
        self._header, self._data = None, bytearray()
        if len(data) > header.size or hashlib.sha256(data).hexdigest() != header.file.sha256:
            raise MalformedFrame(f"{safe_text(header.file.name, 100)} came with other bytes than announced")
        return header.file, data


def read_message(model: type[Message], frame: Frame) -> Message:
    """Return the message in a frame; raises MalformedFrame where there is none."""
    try:
        return model.model_validate_json(frame.payload)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise MalformedFrame(
            f"a frame {frame.kind.name} that cannot be read ({safe_text(first['msg'], 100)})"
        ) from None
