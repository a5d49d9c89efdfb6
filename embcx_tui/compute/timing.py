"""Wall and processor time: of one piece of work, and of the parts of a whole study while a benchmark records them."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Timing:
    """Wall seconds, and processor seconds of all threads of this process."""

    seconds: float
    cpu_seconds: float

    def per(self, units: float) -> Timing:
        """Return the time of one of `units` equal pieces of work."""
        return Timing(self.seconds / units, self.cpu_seconds / units)


def timed(work: Callable[[], Value]) -> tuple[Value, Timing]:
    """Return what `work` returns and how long it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    value = work()
    return value, Timing(time.perf_counter() - wall, time.process_time() - cpu)


def medians(timings: Sequence[Timing]) -> Timing:
    """Return the median of each clock over `timings` (one or more)."""
    return Timing(median(one.seconds for one in timings), median(one.cpu_seconds for one in timings))


class PartTimes:
    """Own time of the parts of a study, summed over all threads: a part within a part counts for the inner one only.

    `seconds` is wall time within a part, `cpu_seconds` the processor time of the thread that ran it.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.cpu_seconds: dict[str, float] = defaultdict(float)
        self._local = threading.local()
        self._lock = threading.Lock()

    @contextmanager
    def record(self, part: str) -> Iterator[None]:
        """Add the time of the block to `part`, less that of the parts within it."""
        stack: list[list[float]] = self._local.__dict__.setdefault("stack", [])
        inner = [0.0, 0.0]
        stack.append(inner)
        wall, cpu = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            wall, cpu = time.perf_counter() - wall, time.thread_time() - cpu
            stack.pop()
            if stack:
                stack[-1][0] += wall
                stack[-1][1] += cpu
            with self._lock:
                self.seconds[part] += wall - inner[0]
                self.cpu_seconds[part] += cpu - inner[1]


_recording: PartTimes | None = None


@contextmanager
def record_parts() -> Iterator[PartTimes]:
    """Record the time of every `timed_part` of this process, in all threads, for as long as the block runs."""
    global _recording
    _recording = times = PartTimes()
    try:
        yield times
    finally:
        _recording = None


@contextmanager
def timed_part(part: str) -> Iterator[None]:
    """Mark a block, or as a decorator a function, as `part` of a study; about 1 µs while nothing is recorded."""
    times = _recording
    if times is None:
        yield
        return
    with times.record(part):
        yield
