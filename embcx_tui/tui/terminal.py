"""What kind of terminal this is, and what happens when it goes away."""

from __future__ import annotations

import contextlib
import locale
import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from typing import NamedTuple

# The application must end within 2 s of its terminal; if it has not by now, it is killed.
GRACE_S = 1.2
# What a shell reports for a process that SIGHUP ended.
HANGUP_EXIT = 128 + signal.SIGHUP
# The only variables of Textual that the application follows: others are for those who develop with it, open files or
# end it where they hold nonsense.
_FOLLOWED = ("ANIMATIONS", "FPS", "DISABLE_KITTY_KEY", "SMOOTH_SCROLL", "DIM_FACTOR", "COLOR_SYSTEM")
_COLOUR_SYSTEMS = ("auto", "standard", "256", "truecolor")
# How often the terminal is checked where the kernel sends no hangup event (macOS sends none for terminals).
_LOOK_EVERY_MS = 1_000


class Abilities(NamedTuple):
    """What the terminal can show: more than 16 colours, and more than ASCII."""

    colours: bool = True
    unicode: bool = True


def abilities() -> Abilities:
    """Return what this process's terminal can show, from its environment."""
    return Abilities(colour_depth() > 16, _encoding() == "utf8")


def _encoding() -> str:
    # Python writes UTF-8 in the C locale too (PEP 540). A user who sets that locale by LC_ALL asks for ASCII; where no
    # locale is set at all, as in containers, the terminal usually shows UTF-8.
    if os.environ.get("LC_ALL") in ("C", "POSIX") and "PYTHONUTF8" not in os.environ:
        return "ascii"
    return (sys.stdout.encoding or locale.getpreferredencoding(False)).lower().replace("-", "")


def colour_depth() -> int:
    """Return how many colours the terminal shows: 16, 256 or 2^24.

    As rich decides, which writes the colours: a TERM that does not name a number of colours has 16.
    """
    forced = os.environ.get("TEXTUAL_COLOR_SYSTEM", "auto")
    if forced != "auto":
        return {"256": 256, "truecolor": 1 << 24}.get(forced, 16)
    if os.environ.get("COLORTERM", "").strip().lower() in ("truecolor", "24bit"):
        return 1 << 24
    term = os.environ.get("TERM", "").strip().lower().rpartition("-")[2]
    return 256 if term in ("256color", "kitty", "direct") else 16


def unusable() -> str | None:
    """Return one line that says why the application cannot be shown here and what to use; None where it can."""
    if not all(stream and stream.isatty() for stream in (sys.stdin, sys.stdout)):
        return "embcx-tui: the application needs a terminal; without one use: embcx-tui list, run, show --json"
    term = os.environ.get("TERM", "")
    if term in ("", "dumb", "unknown"):
        said = f"TERM={term}" if term else "TERM is not set"
        return f"embcx-tui: this terminal cannot show the application ({said}); use: embcx-tui list, run, logs -f"
    return None


def ignore_foreign_settings() -> None:
    """Take out of the environment what would mislead Textual; call it before Textual is imported."""
    for name in [name for name in os.environ if name == "TEXTUAL" or name.startswith("TEXTUAL_")]:
        if name.removeprefix("TEXTUAL_") not in _FOLLOWED:
            del os.environ[name]
    if os.environ.get("TEXTUAL_COLOR_SYSTEM") not in _COLOUR_SYSTEMS:
        os.environ.pop("TEXTUAL_COLOR_SYSTEM", None)
    # A terminal knows its size, and tells when it changes. Only where it does not (a serial line) do these say it.
    with contextlib.suppress(OSError, ValueError):
        if all(os.get_terminal_size(sys.stdout.fileno())):
            for name in ("COLUMNS", "LINES"):
                os.environ.pop(name, None)


class TerminalWatch:
    """Ends the process when its terminal goes away, or on SIGTERM: through `leave`, and for certain after `GRACE_S`.

    Textual 8 reads a closed terminal in a loop on a full core, and never ends where SIGHUP is ignored (nohup).
    """

    def __init__(self, leave: Callable[[], object]) -> None:
        self._leave = leave
        self._gone = threading.Event()

    def start(self) -> None:
        """Begin to watch; call it from the main thread."""
        for number in (signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, lambda *_: self._end())
        threading.Thread(target=self._watch, name="terminal-watch", daemon=True).start()

    def _watch(self) -> None:
        poll = select.poll()
        # No event is requested: a hangup is always reported, and keys do not wake this thread.
        poll.register(sys.stdin.fileno(), 0)
        while not self._gone.is_set():
            if any(
                event & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, event in poll.poll(_LOOK_EVERY_MS)
            ):
                self._end()

    def _end(self) -> None:
        if self._gone.is_set():
            return
        self._gone.set()
        # A daemon thread: where `leave` works, this one ends with the process before it acts.
        last = threading.Timer(GRACE_S, os._exit, (HANGUP_EXIT,))
        last.daemon = True
        last.start()
        with contextlib.suppress(Exception):
            self._leave()
