"""Threads that share the work on one layer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self


class Team:
    """`threads` threads for the equal pieces of one piece of work: `run`. Use as a context manager.

    Which thread takes which piece is left to chance: what a piece computes must not depend on it.
    """

    def __init__(self, threads: int) -> None:
        self._helpers = threads - 1
        self._pool = ThreadPoolExecutor(max(1, self._helpers), thread_name_prefix="layer")

    def run(self, piece: Callable[[int], None], count: int) -> None:
        """Call piece(0) … piece(count - 1), each once, and return when all are done; raises what a piece raises."""
        waiting = iter(range(count))

        def work() -> None:
            # `next` holds the interpreter lock: no number is taken twice.
            for number in waiting:
                piece(number)

        others = [self._pool.submit(work) for _ in range(min(self._helpers, count - 1))]
        try:
            work()
        finally:
            for other in others:
                other.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()
