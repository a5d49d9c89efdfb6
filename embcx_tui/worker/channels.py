"""Many streams through one pair of pipes: the worker speaks with each hand of a cluster through the bridge to it.

What goes through the pipes is `channel (4 bytes) · operation (1) · length (4) · payload`, big-endian. A channel is a
stream of bytes in both directions that no other one holds up: who sends waits once 16 MB have not been taken yet.

| operation | payload |
|---|---|
| OPEN | what the channel is for; from the worker alone |
| BYTES | 1 MB of the stream at most |
| TAKEN | how many bytes the other end has read (4 bytes) |
| END | why the stream ends, a text; nothing comes after it |
| SAY | a text beside all channels: what the bridge found of the cluster |
"""

from __future__ import annotations

import struct
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum

from embcx_tui.worker.frames import MalformedFrame
from embcx_tui.worker.pipe_link import PipeLink, StreamLink

PIECE_BYTES = 1 << 20
_WINDOW_BYTES = 16 << 20
_HEADER = struct.Struct(">IBI")
_COUNT = struct.Struct(">I")


class _Operation(IntEnum):
    OPEN = 1
    BYTES = 2
    TAKEN = 3
    END = 4
    SAY = 5


class Channel(StreamLink):
    """One end of one stream. A write that the other end does not take within `patience_s` is a TimeoutError (None: it
    waits), one to a channel that has ended a BrokenPipeError.
    """

    def __init__(self, channels: Channels, number: int, patience_s: float | None, greeting: str = "") -> None:
        super().__init__()
        self.greeting = greeting
        self.reason = ""
        """Why the other end ended it."""
        self.ended = threading.Event()
        self.on_end: Callable[[], None] = lambda: None
        """Called once, in a thread of the channels, when either end ends it."""
        self._channels = channels
        self._number = number
        self._patience_s = patience_s
        self._change = threading.Condition()
        self._came: deque[bytes] = deque()
        self._on_the_way = 0

    def read(self, patience_s: float | None = None) -> bytes:
        """Return the next bytes, none at the end; raises TimeoutError where there are none within `patience_s`."""
        with self._change:
            if not self._change.wait_for(lambda: self._came or self.ended.is_set(), patience_s):
                raise TimeoutError
            if not self._came:
                return b""
            data = self._came.popleft()
        with suppress(OSError):  # what came before the end may be read after it
            self._channels.put(self._number, _Operation.TAKEN, _COUNT.pack(len(data)))
        return data

    def write(self, data: bytes) -> None:
        """Write all of `data`, in pieces, as the other end takes them."""
        view = memoryview(data)
        while view:
            with self._change:
                free = self._change.wait_for(lambda: self._is_free or self.ended.is_set(), self._patience_s)
                if not free:
                    raise TimeoutError
                if self.ended.is_set():
                    raise BrokenPipeError
                piece, view = view[:PIECE_BYTES], view[PIECE_BYTES:]
                self._on_the_way += len(piece)
            self._channels.put(self._number, _Operation.BYTES, bytes(piece))

    def end(self, reason: str = "") -> None:
        """End it, at once; the other end is told why. What came may still be read."""
        if not self.ended.is_set():
            with suppress(OSError):
                self._channels.put(self._number, _Operation.END, reason.encode()[:2_000])
        self.take_end("")

    @property
    def _is_free(self) -> bool:
        return self._on_the_way + PIECE_BYTES <= _WINDOW_BYTES

    def take_bytes(self, data: bytes) -> None:
        """Take in what came."""
        with self._change:
            if not self.ended.is_set():  # of one that was ended here nobody reads the rest
                self._came.append(data)
                self._change.notify_all()

    def take_taken(self, count: int) -> None:
        """Take in how much the other end has read."""
        with self._change:
            self._on_the_way -= count
            self._change.notify_all()

    def take_end(self, reason: str) -> None:
        """Take in that it has ended."""
        with self._change:
            if self.ended.is_set():
                return
            self.reason = reason
            self.ended.set()
            self._change.notify_all()
        self.on_end()


_MOST = {
    _Operation.OPEN: 1_000,
    _Operation.BYTES: PIECE_BYTES,
    _Operation.TAKEN: _COUNT.size,
    _Operation.END: 2_000,
    _Operation.SAY: 10_000,
}


class Channels:
    """One end of all channels, over pipes that it owns. `opened` gets each channel that the other end opens, `said`
    each text beside them; both are called in the thread that reads, which no channel holds up.
    """

    def __init__(
        self,
        pipes: PipeLink,
        patience_s: float | None = None,
        opened: Callable[[Channel], None] | None = None,
        said: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.gone = threading.Event()
        """The other end is."""
        self._pipes = pipes
        self._patience_s = patience_s
        self._opened = opened
        self._said = said
        self._lock = threading.Lock()
        self._known: dict[int, Channel] = {}
        self._next = 0
        self._thread = threading.Thread(target=self._read, name="channels", daemon=True)

    def begin(self) -> None:
        """Begin to read."""
        self._thread.start()

    def open(self, greeting: str) -> Channel:
        """Return a new channel, which the other end gets too."""
        with self._lock:
            self._next += 1
            channel = self._known[self._next] = Channel(self, self._next, self._patience_s, greeting)
            number = self._next
        if self.gone.is_set():
            channel.take_end("")
        with suppress(OSError):
            self.put(number, _Operation.OPEN, greeting.encode())
        return channel

    def hang_up(self) -> None:
        """Let the other end read the end of everything, and read it here too, once it has ended."""
        with self._lock:
            self.gone.set()
            self._pipes.hang_up()

    def close(self) -> None:
        """Close the pipes, the other end of which is gone."""
        self._thread.join()
        self._pipes.close()

    def say(self, text: str) -> None:
        """Tell the other end something beside all channels."""
        self.put(0, _Operation.SAY, text.encode())

    def put(self, number: int, operation: _Operation, payload: bytes) -> None:
        """Write one operation; raises OSError where the other end is gone, or hangs."""
        with self._lock:
            if self.gone.is_set():
                raise BrokenPipeError
            try:
                self._pipes.write(_HEADER.pack(number, operation, len(payload)) + payload)
            except OSError:
                self.gone.set()  # what was half written cannot be gone on from
                raise

    def _read(self) -> None:
        rest = bytearray()
        # A stream that cannot be read ends all channels, as the death of the other end does.
        with suppress(OSError, MalformedFrame):
            while data := self._pipes.read():
                rest += data
                while len(rest) >= _HEADER.size:
                    number, operation, length = _HEADER.unpack_from(rest)
                    if length > _MOST.get(operation, -1):
                        raise MalformedFrame(f"an operation {operation} of {length:,} bytes")
                    end = _HEADER.size + length
                    if len(rest) < end:
                        break
                    self._take(number, _Operation(operation), bytes(rest[_HEADER.size : end]))
                    del rest[:end]
        self.gone.set()
        for channel in list(self._known.values()):
            channel.take_end("")

    def _take(self, number: int, operation: _Operation, payload: bytes) -> None:
        channel = self._known.get(number)
        if operation is _Operation.SAY:
            self._said(payload.decode(errors="replace"))
        elif operation is _Operation.OPEN and self._opened and channel is None:
            channel = self._known[number] = Channel(self, number, self._patience_s, payload.decode(errors="replace"))
            self._opened(channel)
        elif channel is None:
            raise MalformedFrame(f"channel {number}, which is not open")
        elif operation is _Operation.BYTES:
            channel.take_bytes(payload)
        elif operation is _Operation.TAKEN and len(payload) == _COUNT.size:
            channel.take_taken(_COUNT.unpack(payload)[0])
        elif operation is _Operation.END:
            channel.take_end(payload.decode(errors="replace"))
