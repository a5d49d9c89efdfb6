"""A person at a terminal: runs a program on a real pseudo-terminal, presses keys, and sees what the screen shows."""

from __future__ import annotations

import contextlib
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
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

import psutil
import pyte

KEYS = {
    "enter": "\r",
    "escape": "\x1b",
    "tab": "\t",
    "up": "\x1b[A",
    "down": "\x1b[B",
    "right": "\x1b[C",
    "left": "\x1b[D",
    "home": "\x1b[H",
    "end": "\x1b[F",
    "shift+right": "\x1b[1;2C",
    "space": " ",
    "delete": "\x1b[3~",
    "f3": "\x1bOR",
}
# pyte prints private sequences that it does not know: modes with '<', '>', '=' or '$', and device control strings.
_UNKNOWN = re.compile(rb"\x1b\[[<>=][0-9;]*[a-zA-Z]|\x1b\[\?[0-9;]*\$p|\x1bP[^\x1b]*\x1b\\")
# No byte for this long while none of its threads wants a processor: the program has finished drawing.
_SETTLED_S = 0.25
# Nor is there more to come from one that has had a processor for so long and printed nothing.
_SILENT_S = 0.5
# Far beyond any wait of a healthy run on a crowded machine: reached only where something hangs.
PATIENCE_S = 120.0
# What a program may switch on and must switch off again: how the mouse, the focus and what is pasted are reported.
ALTERNATE_SCREEN = 1049
REPORTS = (1000, 1002, 1003, 1004, 1006, 1015, 1016, 2004, 2048)
_CURSOR = 25


class Screen(pyte.Screen):
    """What the terminal shows; pyte has one screen, so coming to the alternate one and leaving it empties it."""

    def set_mode(self, *modes: int, **given: bool) -> None:
        if given.get("private") and ALTERNATE_SCREEN in modes:
            self.erase_in_display(2)
        super().set_mode(*modes, **given)

    def reset_mode(self, *modes: int, **given: bool) -> None:
        if given.get("private") and ALTERNATE_SCREEN in modes:
            self.erase_in_display(2)
        super().reset_mode(*modes, **given)

    def is_on(self, mode: int) -> bool:
        """Whether a private mode is switched on."""
        return mode << 5 in self.mode


class Replay:
    """What a terminal of `columns` × `rows` shows after `printed`, and after each piece that follows."""

    def __init__(self, columns: int, rows: int, printed: bytes) -> None:
        self.screen = Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self.feed(printed)

    def feed(self, printed: bytes) -> None:
        self._stream.feed(_UNKNOWN.sub(b"", printed))


class Terminal:
    """A program on a pseudo-terminal of `columns` × `rows`; `raw` keeps every byte it printed."""

    def __init__(
        self, command: Sequence[str], columns: int = 80, rows: int = 24, environment: dict[str, str] | None = None
    ) -> None:
        self.screen = Screen(columns, rows)
        self.raw = bytearray()
        self._stream = pyte.ByteStream(self.screen)
        self._code: int | None = None
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            for name in ("COLUMNS", "LINES", "COLORTERM"):
                os.environ.pop(name, None)
            os.environ.update({"TERM": "xterm-256color", "LANG": "C.UTF-8"} | (environment or {}))
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
        """Let the program draw until it is quiet and idle; at most `limit` seconds where it prints all the time."""
        begun, worked = time.monotonic(), self._worked()
        while (spent := time.monotonic() - begun) < PATIENCE_S:
            if self._pump(_SETTLED_S):
                worked = self._worked()
                if spent > limit:
                    return
            elif not self._at_work() or self._worked() - worked > _SILENT_S:
                return

    def _worked(self) -> float:
        """Return the processor time of the program so far, in seconds."""
        with contextlib.suppress(psutil.Error):
            times = psutil.Process(self.pid).cpu_times()
            return float(times.user + times.system)
        return 0.0

    def _at_work(self) -> bool:
        """Return whether a thread of the program, or of what it started on this terminal, has a processor or waits for
        one: on a crowded machine silence alone does not mean that it has finished.
        """
        with contextlib.suppress(psutil.Error):
            family = [self.pid, *(one.pid for one in psutil.Process(self.pid).children(recursive=True))]
            # A worker has a session of its own: it is at work for hours.
            return any(_wants_processor(pid, session=self.pid) for pid in family)
        return False

    def send(self, key: str) -> None:
        """Press a key, named as in KEYS, `ctrl+x`, or a single character, and do not wait."""
        os.write(self._fd, (chr(ord(key[-1]) - 96) if key.startswith("ctrl+") else KEYS.get(key, key)).encode())

    def watch(self, seconds: float) -> None:
        """Look at the screen for `seconds`."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._pump(left)

    def press(self, *keys: str) -> None:
        """Press keys one after the other, letting the screen settle after each."""
        for key in keys:
            self.send(key)
            self.settle(1.5)

    def click(self, column: int, row: int) -> None:
        """Press and let go the left button over a cell (0 …), as the SGR mouse protocol reports it."""
        self.write(f"\x1b[<0;{column + 1};{row + 1}M\x1b[<0;{column + 1};{row + 1}m")
        self.settle(1.5)

    def find(self, words: str) -> tuple[int, int]:
        """Wait until `words` are on the screen; return column and row of their first cell."""
        self.expect(words)
        row = next(row for row, line in enumerate(self.screen.display) if words in line)
        return self.screen.display[row].index(words), row

    def write(self, text: str | bytes) -> None:
        """Send `text` in one piece, and do not wait."""
        os.write(self._fd, text.encode() if isinstance(text, str) else text)

    def cost(self, *keys: str) -> int:
        """Press keys one after the other; return how many bytes the program printed, once it has settled."""
        before = len(self.raw)
        self.press(*keys)
        self.settle()
        return len(self.raw) - before

    def type(self, text: str) -> None:
        self.write(text)
        self.settle(1.5)

    def text(self) -> str:
        """Return what the screen shows."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    def modes_left_on(self) -> list[int]:
        """Return the modes that a shell would suffer from: mouse, focus and paste reports, the screen, the cursor."""
        on = [mode for mode in (ALTERNATE_SCREEN, *REPORTS) if self.screen.is_on(mode)]
        return on if self.screen.is_on(_CURSOR) else [*on, _CURSOR]

    def echoes(self) -> bool:
        """Return whether the terminal's driver shows what is typed, line by line, as a shell expects."""
        flags = termios.tcgetattr(self._fd)[3]
        return bool(flags & termios.ECHO and flags & termios.ICANON and flags & termios.ISIG)

    def stays_silent(self, seconds: float) -> bool:
        """Look at a screen that has settled for `seconds`; return whether the program printed nothing."""
        before = len(self.raw)
        self.watch(seconds)
        return len(self.raw) == before

    def expect(self, wanted: str, seconds: float = PATIENCE_S) -> None:
        """Wait until `wanted` is on the screen; fails with the screen where it does not come."""
        self.until(lambda: wanted in self.text(), f"{wanted!r} is not on the screen", seconds)

    def shows(self, whole: str, seconds: float = PATIENCE_S) -> None:
        """Wait until the screen shows exactly `whole`."""
        self.until(lambda: self.text() == whole, f"not the screen that was expected:\n{whole}\n\nbut", seconds)

    def until(self, holds: Callable[[], bool], complaint: str, seconds: float = PATIENCE_S) -> None:
        """Wait until `holds` is true of what was printed; fails with the screen where it does not come to be."""
        end = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > end or (self._fd < 0 and not holds()):
                raise AssertionError(f"{complaint}:\n{self.text()}")
            self._pump(0.1)

    def hang_up(self) -> None:
        """Close the terminal, as a dropped connection does."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def wait(self, seconds: float = PATIENCE_S) -> int | None:
        """Return the program's exit code, or None where it still runs after `seconds`; what it printed is read."""
        end = time.monotonic() + seconds
        while self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
                while self._pump(0.0):  # its last words
                    pass
            elif time.monotonic() > end:
                break
            elif not self._pump(0.02):
                time.sleep(0.02)
        return self._code

    def gone_within(self, seconds: float) -> bool:
        """Wait for the program to end; return whether it took at most `seconds`, less the time for which other
        programs kept its main thread from a processor.
        """
        begun, kept = time.monotonic(), _kept_waiting(self.pid)
        held_up = 0.0
        while self.wait(0.0) is None:
            held_up = max(held_up, _kept_waiting(self.pid) - kept)
            if time.monotonic() - begun - held_up > seconds:
                return False
        return True


def _wants_processor(pid: int, session: int) -> bool:
    """Return whether a thread of a process of `session` is running or ready to run."""
    try:
        threads = Path(f"/proc/{pid}/task").iterdir() if os.getsid(pid) == session else ()
        return any(one.joinpath("stat").read_text().rpartition(")")[2].split()[0] in "RD" for one in threads)
    except OSError:
        return False


def _kept_waiting(pid: int) -> float:
    """Return for how many seconds a process's main thread was ready to run and had no processor; 0 if unknown."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0
