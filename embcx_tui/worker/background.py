"""A second thread beside the one that trains: it measures where the device leaves processors free."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType

import torch


def worthwhile(device: torch.device) -> bool:
    """Return whether measuring beside the training on `device` saves time.

    A GPU trains while the processors compute metrics, quality numbers and files, and its own descents fill the gaps of
    a training step's small kernels. On a CPU both keep every core busy alone (docs/bench.md has the measurement).
    """
    return device.type == "cuda"


class BackgroundQueue:
    """Runs calls in order in a second thread, or, where `possible` is False, at once in the caller's.

    `failed` says that a call raised an error; the next `submit` or `join` raises it. Later calls are not run.
    """

    def __init__(self, possible: bool, device: torch.device) -> None:
        self.possible = possible
        self._device = device
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="background") if possible else None
        self._pending: deque[Future[None]] = deque()
        self._failed = False

    def __enter__(self) -> BackgroundQueue:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            # The running call finishes (it asks for a stop itself); pending calls are not started.
            self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def failed(self) -> bool:
        return self._failed

    def submit(self, call: Callable[[], None]) -> None:
        """Run `call` now, in this thread, or later, after the calls before it."""
        if self._pool is None:
            call()
            return
        while self._pending and self._pending[0].done():
            self._pending.popleft().result()
        self._pending.append(self._pool.submit(self._run, call))

    def join(self) -> None:
        """Wait until all calls have run; raises the error of one that failed."""
        while self._pending:
            self._pending.popleft().result()

    def _run(self, call: Callable[[], None]) -> None:
        if self._failed:
            return
        try:
            with _own_stream(self._device):
                call()
        except BaseException:
            self._failed = True
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
