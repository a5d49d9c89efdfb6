"""Frames through a pair of pipes: the carrier between a worker and the hands on its own machine. No port, no name."""

from __future__ import annotations

import os
import select
import threading
from collections import deque

from embcx_tui.study.events import SealedFile
from embcx_tui.worker.frames import Frame, FrameReader, Kind, file_frames, pack

_READ_BYTES = 1 << 20


class PipeLink:
    """One end of two pipes, which it owns. A send that the other end does not take within `patience_s` seconds is a
    TimeoutError (None: it waits); one to an end that is gone is a BrokenPipeError.
    """

    def __init__(self, incoming: int, outgoing: int, patience_s: float | None = None) -> None:
        self._incoming, self._outgoing = incoming, outgoing
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._reader = FrameReader()
        self._frames: deque[Frame] = deque()
        # Only this end: the other one has a description of its own.
        os.set_blocking(outgoing, False)

    def send(self, kind: Kind, payload: bytes = b"") -> None:
        """Send a frame after those sent before; from any thread."""
        frame = pack(kind, payload)
        with self._lock:
            self._write(frame)

    def send_file(self, file: SealedFile, data: bytes) -> None:
        """Send a file, no other frame between its frames."""
        with self._lock:
            for frame in file_frames(file, data):
                self._write(frame)

    def receive(self, patience_s: float | None = None) -> Frame | None:
        """Return the next frame; None at the end of the stream, which may be within a frame.

        Raises TimeoutError where nothing comes for `patience_s` seconds, MalformedFrame where it is no frame.
        """
        while not self._frames:
            if not _ready(self._incoming, select.POLLIN, patience_s):
                raise TimeoutError
            data = os.read(self._incoming, _READ_BYTES)
            if not data:
                return None  # within a frame too: whoever is killed ends anywhere
            self._frames.extend(self._reader.feed(data))
        return self._frames.popleft()

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            if not _ready(self._outgoing, select.POLLOUT, self._patience_s):
                raise TimeoutError
            try:
                view = view[os.write(self._outgoing, view) :]
            except BlockingIOError:  # less room than a pipe writes at once
                continue

    def close(self) -> None:
        """Close both pipes: the other end reads the end of the stream."""
        for fd in (self._incoming, self._outgoing):
            os.close(fd)


def _ready(fd: int, event: int, patience_s: float | None) -> bool:
    poll = select.poll()
    poll.register(fd, event)
    return bool(poll.poll(None if patience_s is None else patience_s * 1_000))
