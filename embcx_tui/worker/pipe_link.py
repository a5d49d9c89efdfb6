"""Frames through a stream of bytes; through a pair of pipes it is the carrier between a worker and the hands on its own
machine. No port, no name.
"""

from __future__ import annotations

import os
import select
import threading
from abc import ABC, abstractmethod
from collections import deque

from embcx_tui.study.events import SealedFile
from embcx_tui.worker.frames import Frame, FrameReader, Kind, file_frames, pack

_READ_BYTES = 1 << 20


class StreamLink(ABC):
    """One end of a stream of bytes in both directions, which carries frames."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reader = FrameReader()
        self._frames: deque[Frame] = deque()

    @abstractmethod
    def read(self, patience_s: float | None = None) -> bytes:
        """Return the next bytes, none at the end; raises TimeoutError where there are none within `patience_s`."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Write all of `data`; raises OSError where the other end does not take it, or is gone."""

    def send(self, kind: Kind, payload: bytes = b"") -> None:
        """Send a frame after those sent before; from any thread."""
        frame = pack(kind, payload)
        with self._lock:
            self.write(frame)

    def send_file(self, file: SealedFile, data: bytes) -> None:
        """Send a file, no other frame between its frames."""
        with self._lock:
            for frame in file_frames(file, data):
                self.write(frame)

    def receive(self, patience_s: float | None = None) -> Frame | None:
        """Return the next frame; None at the end of the stream, which may be within a frame.

        Raises TimeoutError where nothing comes for `patience_s` seconds, MalformedFrame where it is no frame.
        """
        while not self._frames:
            data = self.read(patience_s)
            if not data:
                return None  # within a frame too: whoever is killed ends anywhere
            self._frames.extend(self._reader.feed(data))
        return self._frames.popleft()


class PipeLink(StreamLink):
    """One end of two pipes, which it owns. A send that the other end does not take within `patience_s` seconds is a
    TimeoutError (None: it waits); one to an end that is gone is a BrokenPipeError.
    """

    def __init__(self, incoming: int, outgoing: int, patience_s: float | None = None) -> None:
        super().__init__()
        self._incoming, self._outgoing = incoming, outgoing
        self._patience_s = patience_s
        # Only this end: the other one has a description of its own.
        os.set_blocking(outgoing, False)

    def read(self, patience_s: float | None = None) -> bytes:
        """Return the next bytes, none at the end; raises TimeoutError where there are none within `patience_s`."""
        if not _ready(self._incoming, select.POLLIN, patience_s):
            raise TimeoutError
        return os.read(self._incoming, _READ_BYTES)

    def write(self, data: bytes) -> None:
        """Write all of `data`."""
        view = memoryview(data)
        while view:
            if not _ready(self._outgoing, select.POLLOUT, self._patience_s):
                raise TimeoutError
            try:
                view = view[os.write(self._outgoing, view) :]
            except BlockingIOError:  # less room than a pipe writes at once
                continue

    def hang_up(self) -> None:
        """Close the outgoing pipe: the other end reads the end of the stream, and what it says still comes."""
        if self._outgoing >= 0:
            os.close(self._outgoing)
            self._outgoing = -1

    def close(self) -> None:
        """Close both pipes."""
        self.hang_up()
        os.close(self._incoming)


def _ready(fd: int, event: int, patience_s: float | None) -> bool:
    poll = select.poll()
    poll.register(fd, event)
    return bool(poll.poll(None if patience_s is None else patience_s * 1_000))
