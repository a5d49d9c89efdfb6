"""The worker's side of one hand: a thread that gives it parts and writes what comes of them."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue

from pydantic import ValidationError

from embcx_tui.store.machine_records import numeric_versions
from embcx_tui.study.errors import EmbcxError
from embcx_tui.study.events import HandJoined
from embcx_tui.study.plan import Cohort
from embcx_tui.study.text import safe_text
from embcx_tui.worker.frames import Failure, Frame, Kind, MalformedFrame, read_message
from embcx_tui.worker.hand_process import Carrier
from embcx_tui.worker.journal import Journal
from embcx_tui.worker.part_writer import PartWriter, send_task

# What a thread writes after its hand was given up: one event.
_END_S = 60.0


class HandsFailed(EmbcxError):
    """The study cannot go on with hands; resume may."""


class _Lost(Exception):
    """A hand is given up; `final`: another process on its device would fare no better."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """What the thread of a hand tells the main one.

    It waits for a part, with `done` computed or, after a request to stop, saved; it is `lost`, for good where `final`;
    or an `error` ends the study.
    """

    hand: HandThread
    done: Cohort | None = None
    lost: str = ""
    final: bool = False
    error: Exception | None = None


class HandThread:
    """Speaks with hand `number`; whatever happens becomes a Report. Silence for `patience_s` is a loss."""

    def __init__(
        self, number: int, carrier: Carrier, journal: Journal, reports: SimpleQueue[Report], patience_s: float
    ) -> None:
        self.number = number
        self.carrier = carrier
        self.part: Cohort | None = None
        self._journal = journal
        self._reports = reports
        self._patience_s = patience_s
        self._host = ""  # where hands are on several machines
        self._parts: SimpleQueue[Cohort | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name=f"hand {number}", daemon=True)
        self._thread.start()

    def give(self, part: Cohort) -> None:
        """Let it compute a part."""
        self.part = part
        self._parts.put(part)

    def ask_to_stop(self) -> None:
        """Let it finish its epoch and save; it then reports its part as done."""
        with suppress(OSError):  # it is gone: its thread says so
            self.carrier.link.send(Kind.STOP)

    def end(self, *, at_once: bool = False) -> None:
        """End the hand and its thread; with `at_once` by killing it."""
        self._parts.put(None)
        if at_once:
            self.carrier.kill()
        self._thread.join(_END_S)
        self.carrier.close()

    def _serve(self) -> None:
        try:
            self._journal.append(self._joined())
            self._reports.put(Report(self))
            while part := self._parts.get():
                self._follow(part)
                self._reports.put(Report(self, done=part))
        except _Lost as error:
            self._reports.put(Report(self, lost=self._with_host(str(error)), final=error.final))
        except MalformedFrame as error:
            self._reports.put(Report(self, lost=self._with_host(f"it sent {error}")))
        except Exception as error:  # of the journal, on a full disk: the main thread raises it
            self._reports.put(Report(self, error=error))

    def _with_host(self, text: str) -> str:
        """Return `text` with the name of the hand's machine, where there are several and it does not say so itself."""
        return text if self._host in text else f"on {self._host}: {text}"

    def _joined(self) -> HandJoined:
        while (frame := self._receive()).kind is not Kind.JOINED:
            self._aside(frame)
        try:
            joined = HandJoined.model_validate_json(frame.payload)
        except ValidationError:
            raise MalformedFrame("a first word that cannot be read") from None
        if self._journal.snapshot.plan.settings.machine.cluster:
            self._host = safe_text(joined.host, 60)
        ours, theirs = numeric_versions(), joined.versions
        if other := [name for name in ours if theirs.get(name) != ours[name]]:
            listed = ", ".join(f"{name} {safe_text(theirs.get(name), 40)} instead of {ours[name]}" for name in other)
            text = f"hand {self.number} has {listed}: install the same everywhere, then resume"
            raise HandsFailed(self._with_host(text))
        return joined.model_copy(update={"hand": self.number})

    def _follow(self, part: Cohort) -> None:
        """Send a part and write what comes of it, until it is done."""
        writer = PartWriter(self._journal, part, self.number)
        try:
            send_task(self.carrier.link, self._journal, part)
        except (TimeoutError, BrokenPipeError):
            raise _Lost(self.carrier.how_it_ended("it takes nothing in")) from None
        while (frame := self._receive()).kind is not Kind.DONE:
            if not writer.take(frame):
                self._aside(frame)

    def _receive(self) -> Frame:
        try:
            frame = self.carrier.link.receive(self._patience_s)
        except TimeoutError:
            raise _Lost(f"no sign of life for {self._patience_s:g} s") from None
        if frame is None:
            raise _Lost(self.carrier.how_it_ended("it closed its pipe"))
        return frame

    def _aside(self, frame: Frame) -> None:
        """Take a frame that belongs to no part."""
        if frame.kind is Kind.LOG:
            line = safe_text(frame.payload.decode(errors="replace"), 2_000)
            with suppress(OSError):  # a full disk
                print(f"hand {self.number}: {line}", file=sys.stderr, flush=True)
        elif frame.kind is Kind.FAILED:
            failure = read_message(Failure, frame)
            if failure.final and self.part is not None:
                raise HandsFailed(self._with_host(safe_text(failure.reason, 500)))
            raise _Lost(safe_text(failure.reason, 500), final=failure.final)
        elif frame.kind is not Kind.PULSE:
            raise MalformedFrame(f"a frame {frame.kind.name} out of its place")
