"""A person at a terminal: runs a program on a real pseudo-terminal, presses keys, and sees what the screen shows."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Sequence
from types import TracebackType

import pyte

KEYS = {
    "enter": "\r",
    "escape": "\x1b",
    "tab": "\t",
    "up": "\x1b[A",
    "down": "\x1b[B",
    "right": "\x1b[C",
    "left": "\x1b[D",
    "space": " ",
}
# pyte prints private sequences that it does not know: modes with '<', '>', '=' or '$', and device control strings.
_UNKNOWN = re.compile(rb"\x1b\[[<>=][0-9;]*[a-zA-Z]|\x1b\[\?[0-9;]*\$p|\x1bP[^\x1b]*\x1b\\")
# No byte for this long: the program has finished drawing.
_SETTLED_S = 0.25


class Terminal:
    """A program on a pseudo-terminal of `columns` × `rows`; `raw` keeps every byte it printed."""

    def __init__(
        self, command: Sequence[str], columns: int = 80, rows: int = 24, environment: dict[str, str] | None = None
    ) -> None:
        self.screen = pyte.Screen(columns, rows)
        self.raw = bytearray()
        self._stream = pyte.ByteStream(self.screen)
        self._code: int | None = None
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            settings = {"TERM": "xterm-256color", "LANG": "C.UTF-8", "COLUMNS": "", "LINES": ""}
            os.environ.update(settings | (environment or {}))
            for name in ("COLUMNS", "LINES", "COLORTERM"):
                os.environ.pop(name, None)
            try:
                os.execvp(command[0], list(command))
            finally:
                os._exit(127)
        self.resize(columns, rows)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hang_up()
        if self.wait(3) is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait(3)

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if (columns, rows) != (self.screen.columns, self.screen.lines):
            self.screen.resize(rows, columns)

    def _pump(self, seconds: float) -> bool:
        """Read what the program printed, waiting at most `seconds`; True where there was something."""
        if self._fd < 0 or not select.select([self._fd], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._fd, 65536)
        except OSError as error:
            if error.errno != errno.EIO:  # the program's end of the terminal is closed
                raise
            data = b""
        if not data:
            self.hang_up()
            return False
        self.raw += data
        self._stream.feed(_UNKNOWN.sub(b"", data))
        return True

    def settle(self, limit: float = 3.0) -> None:
        """Let the program draw until it is quiet, at most `limit` seconds."""
        end = time.monotonic() + limit
        while time.monotonic() < end and self._pump(_SETTLED_S):
            pass

    def send(self, key: str) -> None:
        """Press a key, named as in KEYS, `ctrl+x`, or a single character, and do not wait."""
        os.write(self._fd, (chr(ord(key[-1]) - 96) if key.startswith("ctrl+") else KEYS.get(key, key)).encode())

    def watch(self, seconds: float) -> None:
        """Look at the screen for `seconds`."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._pump(left)

    def press(self, *keys: str) -> None:
        """Press keys one after the other, each when the screen has settled."""
        for key in keys:
            self.send(key)
            self.settle(1.5)

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())
        self.settle(1.5)

    def text(self) -> str:
        """Return what the screen shows."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    def expect(self, wanted: str, seconds: float = 30.0) -> None:
        """Wait until `wanted` is on the screen; fails with the screen where it does not come."""
        end = time.monotonic() + seconds
        while wanted not in self.text():
            if time.monotonic() > end or (self._fd < 0 and wanted not in self.text()):
                raise AssertionError(f"{wanted!r} is not on the screen:\n{self.text()}")
            self._pump(0.1)

    def hang_up(self) -> None:
        """Close the terminal, as a dropped connection does."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def wait(self, seconds: float) -> int | None:
        """Return the program's exit code, or None where it still runs after `seconds`."""
        end = time.monotonic() + seconds
        while self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > end:
                break
            elif not self._pump(0.02):
                time.sleep(0.02)
        return self._code
