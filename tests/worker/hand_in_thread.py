"""A hand in a thread of the test's own process: the same frames through the same pipes, without 3 s of imports."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from embcx_tui.worker.frames import Frame, Kind
from embcx_tui.worker.hand import Hand
from embcx_tui.worker.pipe_link import PipeLink

Talk = Callable[[PipeLink], None]


class CountingLink(PipeLink):
    """The worker's end; `on_frame` sees the number of each frame from 1 and the frame, before the worker does."""

    on_frame: Callable[[int, Frame], None] = staticmethod(lambda number, frame: None)
    _count = 0

    def receive(self, patience_s: float | None = None) -> Frame | None:
        frame = super().receive(patience_s)
        if frame and frame.kind is not Kind.PULSE:
            self._count += 1
            self.on_frame(self._count, frame)
        return frame


class HandInThread:
    """A carrier whose hand, or whatever `talk` does in a hand's place, is a thread."""

    def __init__(self, number: int, patience_s: float, talk: Talk | None = None) -> None:
        to_hand, to_worker = os.pipe(), os.pipe()
        self.link = CountingLink(to_worker[0], to_hand[1], patience_s)
        self._theirs = (to_hand[0], to_worker[1])
        link = PipeLink(*self._theirs)
        work = Hand(link, number, "cpu").work if talk is None else lambda ended: talk(link)
        self._thread = threading.Thread(target=work, args=(lambda: None,), daemon=True)
        self._thread.start()

    def how_it_ended(self, otherwise: str) -> str:
        return "it was killed"

    def kill(self) -> None:
        """Cut its pipes, as the death of a process does; the thread talks to nobody from then on."""
        null = os.open(os.devnull, os.O_RDWR)
        for fd in self._theirs:
            os.dup2(null, fd)
        os.close(null)

    def close(self) -> None:
        self.kill()
        self.link.close()
