"""Hands: processes that compute parts of a study at the same time, one per device.

The worker deals the parts out, largest first, and is the only writer of journal and files: what a hand sends is
compared with the plan and then written (worker/part_writer.py). A hand that ends, hangs or sends something else is
lost: its part goes back into the queue and on from its last checkpoint, and another process takes the hand's place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

from embcx_tui.study.events import HandLost, Noted
from embcx_tui.study.parts import largest_first
from embcx_tui.study.plan import Cohort
from embcx_tui.worker.cluster import Cluster
from embcx_tui.worker.hand_loads import HandLoads
from embcx_tui.worker.hand_process import Carrier, HandDevice, HandProcess
from embcx_tui.worker.hand_thread import HandsFailed, HandThread, Report
from embcx_tui.worker.journal import Journal
from embcx_tui.worker.part import clear_checkpoints, is_done, study_parts

# A hand sends a sign of life every five seconds; one that is silent for so long hangs.
PATIENCE_S = 60.0
# The third loss of a part, or of a hand that has computed no part since, is no accident.
MOST_LOSSES = 3
_POLL_S = 0.1


def compute_by_hands(
    journal: Journal, start: Callable[[int], Carrier], count: int, stop: Callable[[], bool], loads: HandLoads
) -> None:
    """Compute what is left of a study whose datasets and samples are accepted, by `count` hands, each from
    `start(number)`, which tells `loads` what to watch.
    """
    parts, left = study_parts(journal), []
    if len(parts) < count:
        text = (
            f"machine.parts is {journal.snapshot.plan.settings.machine.parts}: {len(parts)} of {count} devices "
            "compute; a new study with machine.parts = 0 has a part for each"
        )
        journal.append(Noted(level="warning", text=text))
    for part in parts:
        if is_done(journal, part):
            clear_checkpoints(journal, part, stop)  # an earlier worker may have died before it did
        else:
            left.append(part)

    with HandPool(journal, start, min(count, len(left)), PATIENCE_S) as hands:
        loads.follow(hands.parts)
        hands.compute(left, stop)


def start_here(devices: Sequence[HandDevice], loads: HandLoads) -> Callable[[int], Carrier]:
    """Return what starts hand `number` on `devices[number]` of this machine."""

    def start(number: int) -> Carrier:
        process = HandProcess(number, devices[number], len(devices), PATIENCE_S)
        loads.begin(number, process.pid, devices[number].uuid)
        return process

    return start


@contextmanager
def started(start: Callable[[int], Carrier], count: int) -> Iterator[Callable[[int], Carrier]]:
    """Start the first `count` hands at once: they import torch while the worker loads its data. Yields what gives each
    of them out, and starts those that are asked for after; ends those that nobody took.
    """
    waiting: dict[int, Carrier] = {}
    try:
        for number in range(count):
            waiting[number] = start(number)
        yield lambda number: waiting.pop(number) if number in waiting else start(number)
    finally:
        for hand in waiting.values():
            hand.kill()
            hand.close()


def start_in_cluster(cluster: Cluster, loads: HandLoads) -> Callable[[int], Carrier]:
    """Return what starts hand `number` somewhere in `cluster`."""

    def start(number: int) -> Carrier:
        loads.begin_elsewhere(number)
        return cluster.start(number)

    return start


class HandPool:
    """`count` hands, each from `start(number)`, which is called in the caller's thread, also for one in a lost one's
    place. Leaving the context ends them.
    """

    def __init__(self, journal: Journal, start: Callable[[int], Carrier], count: int, patience_s: float) -> None:
        self._journal = journal
        self._start = start
        self._patience_s = patience_s
        self._reports: SimpleQueue[Report] = SimpleQueue()
        self._idle: list[HandThread] = []
        self._hands: dict[int, HandThread] = {}
        self._losses_of_hand: Counter[int] = Counter()
        self._losses_of_part: Counter[str] = Counter()
        self._lost_by: Counter[tuple[str, int]] = Counter()
        self._numbers = range(count)

    def __enter__(self) -> Self:
        for number in self._numbers:
            self._begin(number)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for hand in self._hands.values():
            hand.end(at_once=True)  # it has nothing of its own to save

    def compute(self, parts: Iterable[Cohort], stop: Callable[[], bool]) -> None:
        """Compute `parts`, and return once they are, or saved after `stop`.

        Raises HandsFailed where a part was lost too often or no hand is left, after the other hands have saved theirs,
        and what the journal raises on a full disk.
        """
        queue = largest_first(parts)
        stopping = False
        failure: HandsFailed | None = None
        while self._busy or (queue and not stopping):
            if (stop() or failure) and not stopping:
                stopping = True
                for hand in self._busy:
                    hand.ask_to_stop()
            if not stopping:
                self._deal(queue)
            try:
                report = self._reports.get(timeout=_POLL_S)
            except Empty:
                continue
            try:
                self._take(report, queue, stop, stopping=stopping)
            except HandsFailed as error:
                failure = failure or error
        if failure:
            raise failure

    def parts(self) -> dict[int, str]:
        """Return the part of each hand that is at work; from any thread."""
        return {hand.number: part.id for hand in list(self._hands.values()) if (part := hand.part)}

    @property
    def _busy(self) -> list[HandThread]:
        return [hand for hand in self._hands.values() if hand.part]

    def _begin(self, number: int) -> None:
        self._hands[number] = HandThread(number, self._start(number), self._journal, self._reports, self._patience_s)

    def _deal(self, queue: list[Cohort]) -> None:
        """Give each hand that waits the largest part; none that it has lost twice, where there is another hand."""
        for hand in list(self._idle):
            alone = len(self._hands) == 1
            fit = next((one for one in queue if alone or self._lost_by[one.id, hand.number] < MOST_LOSSES - 1), None)
            if fit:
                queue.remove(fit)
                self._idle.remove(hand)
                hand.give(fit)

    def _take(self, report: Report, queue: list[Cohort], stop: Callable[[], bool], *, stopping: bool) -> None:
        hand = report.hand
        if report.error:
            hand.part = None
            hand.end(at_once=True)
            del self._hands[hand.number]
            raise report.error
        if not report.lost:
            hand.part = None
            self._idle.append(hand)
            if report.done:
                self._losses_of_hand[hand.number] = 0
                if not stopping:
                    clear_checkpoints(self._journal, report.done, stop)
            return
        part, hand.part = hand.part, None
        hand.end(at_once=True)
        del self._hands[hand.number]
        if stopping and not part:
            return
        self._journal.append(HandLost(hand=hand.number, reason=report.lost, part=part.id if part else ""))
        if not stopping:
            self._replace(report, part, queue)

    def _replace(self, report: Report, part: Cohort | None, queue: list[Cohort]) -> None:
        """Put the part of a lost hand back into the queue, and another process in the hand's place."""
        number = report.hand.number
        self._losses_of_hand[number] += 1
        if part:
            self._losses_of_part[part.id] += 1
            self._lost_by[part.id, number] += 1
            if self._losses_of_part[part.id] >= MOST_LOSSES:
                raise HandsFailed(
                    f"part {part.id} was lost {MOST_LOSSES} times, at last with hand {number} ({report.lost}); "
                    "resume goes on from its last checkpoint"
                )
            queue[:] = largest_first((*queue, part))
        if not report.final and self._losses_of_hand[number] < MOST_LOSSES:
            self._begin(number)
            return
        self._journal.append(Noted(level="warning", text=f"hand {number} is left out from here on: {report.lost}"))
        if not self._hands:
            raise HandsFailed(f"no hand is left ({report.lost}); resume goes on from the last checkpoints")
