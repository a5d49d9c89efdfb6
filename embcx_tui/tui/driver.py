"""Textual's driver for Unix terminals, reading input that no byte of it can end.

Textual decodes strictly and stops reading at the first number that it does not expect: one `é` of a latin-1 terminal,
a mouse report in the encoding of X10 or a key's release ended the application.
"""

from __future__ import annotations

import os
import re
import selectors
import sys
import time
from codecs import getincrementaldecoder
from collections.abc import Iterator
from typing import Any

from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver
from textual.events import Paste, Resize
from textual.message import Message

from embcx_tui.tui.terminal_picture import TerminalPicture

_READ_BYTES = 4_096
# How often the input is looked at where nothing comes: an escape key is one once nothing has followed it.
_LOOK_S = 0.1
# A sequence that is cut off by the end of what was read comes whole within this; longer, and it is what it looks like.
_REST_S = 0.02
_CUT_OFF = re.compile(rb"\x1b(?:\[(?:M[ -\xff]{0,2}|[<?]?[0-9;:]*))?\Z")
# A mouse report in the encoding of X10, which terminals send that do not know SGR's: beyond column 95 it is no UTF-8.
_X10_MOUSE = re.compile(rb"\x1b\[M([ -\xff])([!-\xff])([!-\xff])")
_PASTE_BEGINS, _PASTE_ENDS = "\x1b[200~", "\x1b[201~"
# Characters of a paste that are kept; the application takes its first line, of 4,096 at most.
_LONGEST_PASTE = 1 << 16
# A paste of which nothing more has come for so long has lost its end.
_PASTE_OVER_S = 2.0
# Between these a terminal that can waits with what it shows.
_FRAME_BEGINS, _FRAME_ENDS = "\x1b[?2026h", "\x1b[?2026l"
# No terminal has more columns or rows.
_LARGEST = 5_000


class TerminalInput:
    """Turns the bytes that a terminal sends into Textual's messages; what is none is left out."""

    def __init__(self, encoding: str) -> None:
        # Where the terminal's encoding is not UTF-8, its letters are understood.
        self._decode = getincrementaldecoder(encoding)("ignore").decode
        self._parser = XTermParser()
        self._rest = b""
        self._paste: str | None = None
        self._last = 0.0

    @property
    def waits(self) -> bool:
        """Whether the rest of a sequence is to come."""
        return bool(self._rest)

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yield the messages of `data`; empty where nothing came for a while: what was begun is then over."""
        if data:
            self._last = time.monotonic()
        given, self._rest = self._rest + data, b""
        if data and (cut := _CUT_OFF.search(given)):
            given, self._rest = given[: cut.start()], cut[0]
        text = self._decode(_X10_MOUSE.sub(_sgr_mouse, given))
        while text:
            if self._paste is None:
                keys, begins, text = text.partition(_PASTE_BEGINS)
                for key in keys:
                    yield from self._parse(key)
                self._paste = "" if begins else None
            else:
                pasted, ends, text = (self._paste + text).partition(_PASTE_ENDS)
                # The last signs may be the beginning of its end.
                self._paste = pasted if len(pasted) < _LONGEST_PASTE else pasted[:_LONGEST_PASTE] + pasted[-5:]
                if ends:
                    yield self._pasted()
        if not data:
            yield from self._parse("")
            if self._paste is not None and time.monotonic() - self._last > _PASTE_OVER_S:
                yield self._pasted()

    def _pasted(self) -> Paste:
        text, self._paste = self._paste or "", None
        return Paste(text)

    def _parse(self, key: str) -> Iterator[Message]:
        """Yield the messages that `key`, one character, completes; with none those that have waited long enough."""
        try:
            yield from self._parser.feed(key) if key else self._parser.tick()
        except Exception:  # the edge of the process: whatever Textual raises for a code that it does not know
            parser = XTermParser()
            # What it has learnt of the mouse's unit stays.
            for name in ("mouse_pixels", "terminal_size", "terminal_pixel_size"):
                setattr(parser, name, getattr(self._parser, name))
            self._parser = parser


def _sgr_mouse(report: re.Match[bytes]) -> bytes:
    """Return a mouse report as SGR's encoding writes it."""
    buttons, column, row = (part[0] - 32 for part in report.groups())
    # The third button of X10 is a release of any; with 32 the pointer moves, and 64 is the wheel.
    released = buttons & 0b1100011 == 3
    return b"\x1b[<%d;%d;%d%c" % (buttons & ~3 if released else buttons, column, row, b"m" if released else b"M")


class TerminalDriver(LinuxDriver):
    """Textual's driver, whose input ends with the application alone and whose output is what has changed."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.picture = TerminalPicture()
        self._begun = False

    def write(self, data: str) -> None:
        """Send what a frame changes; one that changes nothing is not begun either."""
        if data == _FRAME_BEGINS:
            self._begun = True
            return
        if data == _FRAME_ENDS and self._begun:
            self._begun = False
            return
        if sent := self.picture.update(data):
            super().write(_FRAME_BEGINS + sent if self._begun else sent)
            self._begun = False

    def run_input_thread(self) -> None:
        """Read the terminal until the application ends, and send it what was typed."""
        source = TerminalInput(sys.__stdin__.encoding if sys.__stdin__ else "utf-8")
        with selectors.SelectSelector() as selector:  # macOS has no other for a terminal
            selector.register(self.fileno, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                data = b""
                if selector.select(_REST_S if source.waits else _LOOK_S):
                    try:
                        data = os.read(self.fileno, _READ_BYTES)
                    except OSError:  # the terminal has gone, which `TerminalWatch` sees
                        self.exit_event.wait(_LOOK_S)
                for message in source.feed(data):
                    self.process_message(message)

    def process_message(self, message: Message) -> None:
        """Hand a message on, unless it gives the terminal a size that none has."""
        if isinstance(message, Resize) and not all(0 < length <= _LARGEST for length in message.size):
            return
        super().process_message(message)
