"""A hand: the process `python -m embcx_tui.worker hand NUMBER DEVICE CORES HANDS`, which computes parts of a study.

Its worker speaks to it through standard input and output, in frames. It writes nothing into the study's folder and ends
as soon as the worker does.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from types import FrameType
from typing import TYPE_CHECKING

from embcx_tui.store.machine_records import numeric_versions, stored_calibration
from embcx_tui.store.snapshot import Snapshot, fold
from embcx_tui.study.errors import DeviceFailed, EmbcxError, RequestError
from embcx_tui.study.events import AnyEvent, HandJoined, SealedFile, decode
from embcx_tui.study.measured import validate_study
from embcx_tui.study.parts import as_cohorts
from embcx_tui.study.plan import Cohort, make_plan
from embcx_tui.study.settings import parse_toml
from embcx_tui.study.text import safe_text
from embcx_tui.worker.child import begin_child
from embcx_tui.worker.frames import Failure, FileReader, Kind, Link, MalformedFrame, PartTask, read_message
from embcx_tui.worker.hand_outlet import HandOutlet
from embcx_tui.worker.pipe_link import PipeLink
from embcx_tui.worker.process import failure_reason, prepare_environment

if TYPE_CHECKING:
    import torch

    from embcx_tui.worker.dataset_cache import DatasetCache

# The worker gives a hand up that is silent for a minute.
PULSE_S = 5.0


@dataclass(eq=False)
class _Task:
    """A part to compute, with what the worker says of it."""

    asked: PartTask
    events: list[AnyEvent] = field(default_factory=list)
    files: dict[SealedFile, bytes] = field(default_factory=dict)

    def snapshot(self) -> Snapshot:
        plan = make_plan(validate_study(parse_toml(self.asked.study_file)))
        return fold(Snapshot(self.asked.study_id, plan), self.events)


class Hand:
    """Computes tasks one after the other; a thread of its own takes in frames, another sends a sign of life."""

    def __init__(self, link: Link, number: int, device: str, hands: int = 1) -> None:
        self._link = link
        self._hands = hands
        self._number = number
        self._wanted = device
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._stop = False
        self._asked_to_end = False
        self._described = False
        self._cache: DatasetCache | None = None

    def stop(self) -> bool:
        """Tell whether the part is to be saved and left: the worker says so, or SIGTERM came."""
        return self._stop

    def end(self, number: int, frame: FrameType | None) -> None:
        """Handle SIGTERM."""
        self._stop = self._asked_to_end = True

    def work(self, ended: Callable[[], None]) -> None:
        """Compute what the worker asks for; `ended` is called when there is no worker any more."""
        threading.Thread(target=self._take_in, args=(ended,), name="frames", daemon=True).start()
        threading.Thread(target=self._live, name="pulse", daemon=True).start()
        try:
            device = self._join()
        except Exception as error:  # a device that cannot be used, a library that cannot be imported
            self._fail(error, final=isinstance(error, EmbcxError) and not isinstance(error, DeviceFailed))
            return
        while not self._asked_to_end:
            task = self._tasks.get()
            if task is None:
                return
            try:
                self._compute(task, device)
            except BrokenPipeError:
                return
            except Exception as error:
                # What no other process would do better: wrong data, a network that is too large for the memory.
                self._fail(error, final=isinstance(error, EmbcxError) and not isinstance(error, DeviceFailed))
                continue
            if self._asked_to_end:
                self._fail(EmbcxError("it was asked to end (SIGTERM)"), final=False)
            else:
                self._link.send(Kind.DONE)

    def _take_in(self, ended: Callable[[], None]) -> None:
        task: _Task | None = None
        files = FileReader()
        try:
            while frame := self._link.receive():
                if whole := files.take(frame):
                    if task:
                        task.files[whole[0]] = whole[1]
                elif frame.kind is Kind.TASK:
                    task = _Task(read_message(PartTask, frame))
                elif frame.kind is Kind.EVENT and task:
                    task.events.append(decode(frame.payload))
                elif frame.kind is Kind.BEGIN and task:
                    self._tasks.put(task)
                    task = None
                elif frame.kind is Kind.STOP:
                    self._stop = True
                elif frame.kind is not Kind.FILE and frame.kind is not Kind.CHUNK:
                    raise MalformedFrame(f"a frame {frame.kind.name} out of its place")
        except Exception:  # whatever it is: without its worker a hand is of no use
            traceback.print_exc()
        self._tasks.put(None)
        ended()

    def _live(self) -> None:
        with suppress(OSError):
            while True:
                self._link.send(Kind.PULSE)
                time.sleep(PULSE_S)

    def _join(self) -> torch.device:
        from embcx_tui.compute.device import choose_device, cores, describe
        from embcx_tui.compute.memory import host_share

        host_share.processes = self._hands
        device = choose_device(self._wanted)
        facts = describe(device)
        joined = HandJoined(
            hand=self._number,
            host=safe_text(socket.gethostname(), 200),
            pid=os.getpid(),
            device=f"{facts.device} ({facts.name})",
            cores=cores(),
            memory=facts.memory_bytes,
            versions=numeric_versions(),
            uuid=facts.uuid,
        )
        self._link.send(Kind.JOINED, joined.model_dump_json().encode())
        return device

    def _compute(self, task: _Task, device: torch.device) -> None:
        from embcx_tui.compute.device import one_blas_thread
        from embcx_tui.worker.background import BackgroundQueue, worthwhile
        from embcx_tui.worker.dataset_cache import DatasetCache
        from embcx_tui.worker.part import compute_part

        outlet = HandOutlet(self._link, task.snapshot(), task.files)
        part = _part_of(outlet.snapshot, task.asked.part)
        self._describe(outlet, device)
        loaded = self._cache.loaded if self._cache else None
        self._cache = DatasetCache(outlet, loaded)
        dataset = self._cache.dataset(part.dataset)
        if dataset is not loaded:
            self._cache.compare(dataset)
        with one_blas_thread(), BackgroundQueue(worthwhile(device), device) as background:
            compute_part(outlet, part, dataset, device, background, self.stop)
            background.join()

    def _describe(self, outlet: HandOutlet, device: torch.device) -> None:
        """Before the first part: check a GPU, and say what is computed on."""
        from embcx_tui.compute.device import is_accelerator
        from embcx_tui.compute.precision import forbid_tf32
        from embcx_tui.worker.gpu import follow_gpu_path, prepare_device
        from embcx_tui.worker.machine import card_words, machine_described

        if self._described:
            return
        self._described = True
        forbid_tf32()
        follow_gpu_path(outlet)
        if is_accelerator(device):
            prepare_device(outlet, device)
        # Not measured here: all hands would do so at once, and on a CPU with a share of the cores.
        outlet.append(machine_described(device, stored_calibration(card_words(device) or str(device))))

    def _fail(self, error: Exception, *, final: bool) -> None:
        lines = traceback.format_exception(error)
        with suppress(OSError):
            if not isinstance(error, EmbcxError) or error.__cause__:
                for line in "".join(lines).splitlines():
                    self._link.send(Kind.LOG, safe_text(line, 2_000).encode())
            failure = Failure(reason=safe_text(failure_reason(error), 500), final=final)
            self._link.send(Kind.FAILED, failure.model_dump_json().encode())


def _part_of(snapshot: Snapshot, wanted: str) -> Cohort:
    for cohort in snapshot.plan.cohorts:
        chosen = snapshot.parts.get(cohort.id)
        for part in as_cohorts(cohort, chosen.parts) if chosen else (cohort,):
            if part.id == wanted:
                return part
    raise RequestError(f"{safe_text(wanted, 100)} is no part of this study")


def run_hand(number: str, device: str, cores: str, hands: str) -> int:
    """Compute for the worker that started this process, on `device` with the processor cores `cores` (`0,1`; empty:
    all), one of `hands` on this machine, until the worker has ended; return the exit code.
    """
    streams = begin_child()
    if streams is None:
        return 1
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    hand = Hand(PipeLink(*streams), int(number), device, int(hands))
    signal.signal(signal.SIGTERM, hand.end)
    prepare_environment()
    # At once, whatever the threads do: a hand has nothing of its own to save.
    hand.work(lambda: os._exit(0))
    sys.stderr.flush()
    os._exit(1)
