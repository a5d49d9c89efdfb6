"""Hands on the machines of a Ray cluster, as their worker has them: carriers through one bridge process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from importlib.util import find_spec
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Self

from embcx_tui.store.files import publish, write_all
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.plain_files import open_plain, read_plain
from embcx_tui.study.errors import RequestError, StoreError
from embcx_tui.study.text import safe_text
from embcx_tui.worker.channels import Channel, Channels
from embcx_tui.worker.frames import Link
from embcx_tui.worker.pipe_link import PipeLink

# Ray is imported in 1 s on a quiet machine and joins a cluster in another; one that does not answer is given up in 20.
_BEGIN_S = 180.0
_END_S = 10.0
_MOST_LOG_BYTES = 100_000


def require_ray() -> None:
    """Raise RequestError where Ray is not installed."""
    if find_spec("ray") is None:
        raise RequestError("machine.cluster is ray, and Ray is not installed here: pip install 'embcx-tui[ray]'")


class ClusterHand:
    """A hand somewhere in the cluster."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.link: Link = channel

    def how_it_ended(self, otherwise: str) -> str:
        """Return in words how it ended, whose stream has; `otherwise` where it goes on or nobody knows."""
        if not self._channel.ended.wait(_END_S):
            return otherwise
        return safe_text(self._channel.reason, 500) or "the bridge to the Ray cluster ended; bridge.log has its output"

    def kill(self) -> None:
        """End it, whatever it does."""
        self._channel.end()

    def close(self) -> None:
        """End it."""
        self._channel.end()


class Cluster:
    """The bridge to the cluster that runs, while the context lasts; `hands` and their `note` are what it has room for.

    Raises RequestError where Ray is not installed, no cluster runs, or it lets anybody in.
    """

    def __init__(self, paths: StudyPaths, device: str, devices: int | str, patience_s: float) -> None:
        require_ray()
        self._log = BoundedLog(paths)
        command = [sys.executable, "-P", "-m", "embcx_tui.worker", "ray", device, str(devices)]
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe)
        except OSError as error:
            raise StoreError(f"the bridge to the Ray cluster cannot be started ({error.strerror})") from None
        process = self._process
        assert process.stdin and process.stdout and process.stderr
        pipes = PipeLink(os.dup(process.stdout.fileno()), os.dup(process.stdin.fileno()), patience_s)
        process.stdin.close()
        process.stdout.close()
        self._listener = threading.Thread(target=self._log.fill, args=(process.stderr.fileno(),), daemon=True)
        self._listener.start()
        self._said: SimpleQueue[str] = SimpleQueue()
        self._channels = Channels(pipes, patience_s, said=self._said.put)
        self._channels.begin()

    def __enter__(self) -> Self:
        try:
            facts = self._facts()
            if "error" in facts:
                raise RequestError(safe_text(facts["error"], 500))
            self.hands, self.note = int(facts["hands"]), safe_text(facts["note"], 300)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def start(self, number: int) -> ClusterHand:
        """Let the cluster start hand `number`; raises StoreError where the bridge is gone."""
        if self._channels.gone.is_set():
            raise StoreError("the bridge to the Ray cluster ended (bridge.log has its output); resume goes on")
        return ClusterHand(self._channels.open(str(number)))

    def _facts(self) -> dict[str, Any]:
        for _ in range(int(_BEGIN_S)):
            with suppress(Empty):
                return dict(json.loads(self._said.get(timeout=1)))
            if self._channels.gone.is_set() and self._said.empty():
                self._listener.join(_END_S)
                raise RequestError(
                    f"the bridge to the Ray cluster ended at once ({self._log.last or 'without a word'})"
                )
        raise RequestError(f"the Ray cluster has not answered within {_BEGIN_S:g} s ({self._log.last or 'in silence'})")

    def _end(self) -> None:
        self._channels.hang_up()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._channels.close()
        self._listener.join(_END_S)
        if self._process.stderr and not self._listener.is_alive():
            self._process.stderr.close()


class BoundedLog:
    """`bridge.log`: the newest of what the bridge and Ray print, and in `last` its last line."""

    def __init__(self, paths: StudyPaths) -> None:
        self._path = paths.bridge_log
        self.last = ""

    def fill(self, fd: int) -> None:
        """Keep what comes through `fd` until its end; what the disk refuses is lost, for nobody may wait for it."""
        while data := os.read(fd, 1 << 16):
            if lines := data.decode(errors="replace").strip().splitlines():
                self.last = safe_text(lines[-1], 200)
            with suppress(OSError):
                self._keep(data)

    def _keep(self, data: bytes) -> None:
        file = open_plain(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            size = os.fstat(file).st_size
            if size + len(data) <= _MOST_LOG_BYTES:
                write_all(file, data)
                return
        finally:
            os.close(file)
        kept = (read_plain(self._path, _MOST_LOG_BYTES) + data)[-_MOST_LOG_BYTES // 2 :]
        publish(self._path, kept.partition(b"\n")[2])
