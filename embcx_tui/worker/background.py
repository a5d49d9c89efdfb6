"""Threads beside the one that trains: a queue of writes, and a queue of measurements where processors are free."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Self

import torch

from embcx_tui.compute.device import is_accelerator


class ThreadQueue:
    """Runs calls in order in a thread of its own; the error of one is raised by the next `submit` or by `join`.

    `submit` waits while more than `max_pending` calls are pending: a slow disk then slows the caller down instead of
    filling memory. A `with` block waits for pending calls.
    """

    def __init__(self, name: str, max_pending: int = sys.maxsize) -> None:
        self._max_pending = max_pending
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._pending: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(wait=True)

    def submit(self, call: Callable[[], None]) -> None:
        while self._pending and (self._pending[0].done() or len(self._pending) > self._max_pending):
            self._pending.popleft().result()
        self._pending.append(self._pool.submit(call))

    def join(self) -> None:
        """Wait until all calls have run; raises the error of one that failed."""
        while self._pending:
            self._pending.popleft().result()


def worthwhile(device: torch.device) -> bool:
    """Return whether measuring beside the training on `device` saves time.

    A GPU trains while the processors compute metrics, quality numbers and files, and its own descents fill the gaps of
    a training step's small kernels. On a CPU both keep every core busy alone (docs/bench.md has the measurement).
    """
    return is_accelerator(device)


class BackgroundQueue(ThreadQueue):
    """Runs calls in order in a second thread, or, where `possible` is False, at once in the caller's.

    `failed` says that a call raised an error; the next `submit` or `join` raises it. Later calls are not run.
    """

    def __init__(self, possible: bool, device: torch.device) -> None:
        super().__init__("background")
        self.possible = possible
        self.failed = False
        self._device = device

    def __exit__(self, *error: object) -> None:
        # The running call finishes (it asks for a stop itself); pending calls are not started.
        self._pool.shutdown(wait=True, cancel_futures=True)

    def submit(self, call: Callable[[], None]) -> None:
        """Run `call` now, in this thread, or later, after the calls before it."""
        if self.possible:
            super().submit(partial(self._run, call))
        else:
            call()

    def _run(self, call: Callable[[], None]) -> None:
        if self.failed:
            return
        try:
            with _own_stream(self._device):
                call()
        except BaseException:
            self.failed = True
            raise


@contextmanager
def _own_stream(device: torch.device) -> Iterator[None]:
    """On a GPU, issue this thread's work on a stream of its own, after everything issued on the training's stream."""
    if device.type != "cuda":
        yield
        return
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch gives it no types
    stream.wait_stream(torch.cuda.default_stream(device))
    with torch.cuda.device(device), torch.cuda.stream(stream):
        yield
    stream.synchronize()
