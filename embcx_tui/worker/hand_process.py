"""A hand on this machine: its process, pinned to a device or to a share of the processor cores, and its two pipes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from embcx_tui.study.errors import StoreError
from embcx_tui.worker.frames import Link
from embcx_tui.worker.pipe_link import PipeLink

# A process whose pipe is closed ends at once; one that hangs in a driver is killed.
_END_S = 5.0


class Carrier(Protocol):
    """A hand as its worker has it, wherever it runs."""

    @property
    def link(self) -> Link: ...

    def how_it_ended(self, otherwise: str) -> str:
        """Return in words how it ended, whose stream has; `otherwise` where it goes on or nobody knows."""

    def kill(self) -> None:
        """End it, whatever it does; return at once. What it sent before may still be received."""

    def close(self) -> None:
        """Close the stream, by which it ends, and wait until it is gone."""


@dataclass(frozen=True, slots=True)
class HandDevice:
    """What a hand computes on: `device` as torch names it there, what it finds in its environment, the processor cores
    that it keeps to (none: all), and of a GPU CUDA's UUID.
    """

    device: str
    environment: Mapping[str, str] = field(default_factory=dict)
    cores: tuple[int, ...] = ()
    uuid: str = ""


class HandProcess:
    """Starts a process for hand `number` of `hands` on this machine; a send or a word that it lets wait for
    `patience_s` is a TimeoutError. Start it from the main thread: it dies with the thread that started it.
    """

    def __init__(self, number: int, on: HandDevice, hands: int, patience_s: float) -> None:
        cores = ",".join(map(str, on.cores))
        # -P: a file named like one of our modules in the current directory must not be imported instead.
        command = [sys.executable, "-P", "-m", "embcx_tui.worker", "hand", str(number), on.device, cores, str(hands)]
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env={**os.environ, **on.environment})
        except OSError as error:
            raise StoreError(f"hand {number} cannot be started ({error.strerror})") from None
        assert self._process.stdin is not None and self._process.stdout is not None
        self.pid = self._process.pid
        self.link = PipeLink(os.dup(self._process.stdout.fileno()), os.dup(self._process.stdin.fileno()), patience_s)
        self._process.stdin.close()
        self._process.stdout.close()

    def how_it_ended(self, otherwise: str) -> str:
        """Return in words how it ended, whose stream has; `otherwise` where it goes on."""
        try:
            code = self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            return otherwise
        if code == -9:
            return "its process was killed (signal 9; was it out of memory?)"
        return f"its process crashed (signal {-code})" if code < 0 else f"its process ended (code {code})"

    def kill(self) -> None:
        """Kill the process."""
        with suppress(OSError):
            self._process.kill()

    def close(self) -> None:
        """Close the pipes, by which it ends, and wait until it is gone."""
        self.link.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            with suppress(subprocess.TimeoutExpired):  # a process within a driver that hangs cannot be killed either
                self._process.wait(_END_S)
