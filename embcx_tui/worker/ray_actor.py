"""What runs on a machine of a Ray cluster: it starts a hand there and passes bytes on, in both directions.

Ray imports this module by name on that machine. It unpickles what methods are called with and return: bytes, numbers
and words alone.
"""

from __future__ import annotations

import os
import socket
import threading

from embcx_tui.study.text import safe_text
from embcx_tui.worker.hand_process import HandDevice, HandProcess

# A hand that takes nothing in for so long hangs; the worker gives it up after as long.
_PATIENCE_S = 60.0


class HandRelay:
    """Starts hand `number` on `device` ("cuda": the GPU that Ray has given this process, or "cpu")."""

    def __init__(self, number: int, device: str) -> None:
        self._number = number
        self._device = device
        self._hand: HandProcess | None = None
        self._failure = ""

    def where(self) -> tuple[str, str]:
        """Return the id of the node, and the name of its machine."""
        import ray

        return str(ray.get_runtime_context().get_node_id()), safe_text(socket.gethostname(), 60)

    def begin(self, share: int, shares: int, cores: int) -> None:
        """Start the hand: number `share` of `shares` on this node, on a CPU with so many `cores` of its own."""
        begun = threading.Event()

        def start() -> None:
            # Ray allows its workers as many threads as processors that were asked for; a hand knows its share.
            os.environ.pop("OMP_NUM_THREADS", None)
            on = HandDevice("cuda")
            if self._device == "cpu":
                on = HandDevice("cpu", {"CUDA_VISIBLE_DEVICES": ""}, _cores_of(share, cores))
            try:
                self._hand = HandProcess(self._number, on, shares, _PATIENCE_S)
            except Exception as error:
                self._failure = safe_text(error, 300)
            begun.set()
            threading.Event().wait()  # a hand dies with the thread that started it

        threading.Thread(target=start, name="hand", daemon=True).start()
        begun.wait()
        if self._hand is None:
            raise RuntimeError(self._failure)

    def put(self, data: bytes) -> None:
        """Pass bytes on to the hand. Raises OSError where it takes nothing in."""
        assert self._hand
        self._hand.link.write(data)

    def take(self) -> bytes:
        """Return the hand's next bytes, none at their end; it waits for them."""
        assert self._hand
        return self._hand.link.read()

    def how_it_ended(self) -> str:
        """Return in words how the hand ended."""
        assert self._hand
        return self._hand.how_it_ended("it closed its pipe")


def _cores_of(share: int, cores: int) -> tuple[int, ...]:
    """Return the processor cores of share number `share`, none where a process cannot be kept to some."""
    if not hasattr(os, "sched_getaffinity"):
        return ()
    allowed = sorted(os.sched_getaffinity(0))
    # Ray may have been told of more cores than there are.
    return tuple(sorted({allowed[(share * cores + place) % len(allowed)] for place in range(cores)}))
