"""By which path a GPU computes: the fast one (Triton, CUDA graphs), or for parts that fail here the plain one.

Each step down is told once, with its cost, to whoever listens: the worker writes it into the journal. What failed for
lack of memory is tried again the next time; everything else is remembered until the process ends.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from embcx_tui.study.errors import DeviceFailed

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the path: what it computes, its fast and its plain way, and what the plain one costs (estimates)."""

    name: str
    fast: str
    plain: str
    cost: str


AFFINITIES, DESCENTS, ACTIVATIONS, GRAPHS = (
    "tsne.affinities_triton",
    "tsne.descent_triton",
    "training.kernels_triton",
    "graphs",
)
# Those of Triton are named by the modules of their kernels. 33 launches per iteration and restart instead of one for
# all restarts of a batch; 438 calls per training step of the paper's networks instead of 41; and those one by one
# instead of one launch per 50 steps.
PARTS = {
    AFFINITIES: Part("P", "Triton", "plain torch", "P takes several times as long"),
    DESCENTS: Part("descents", "Triton", "plain torch", "embeddings run some 100 times slower"),
    ACTIVATIONS: Part("activations", "Triton", "plain torch", "training takes up to twice as long"),
    GRAPHS: Part("training steps", "CUDA graphs", "call by call", "training takes up to twice as long"),
}
TRITON_PARTS = (AFFINITIES, DESCENTS, ACTIVATIONS)
EMBEDDING_PARTS = (AFFINITIES, DESCENTS)
TRAINING_PARTS = (ACTIVATIONS, GRAPHS)


class GpuPath:
    """The path of this process: a worker computes one study, on one device."""

    def __init__(self) -> None:
        self._plain: set[str] = set()
        self._asked: set[str] = set()
        self._told: set[str] = set()
        self._listener: Callable[[str], None] = log.warning

    def begin(self, *, plain: bool = False, listener: Callable[[str], None] = log.warning) -> None:
        """Start anew: with every part `plain`, or with every part fast; `listener` is told of each step down."""
        self._plain = set(PARTS) if plain else set()
        self._asked = set(self._plain)
        self._told = set()
        self._listener = listener

    def is_fast(self, part: str) -> bool:
        return part not in self._plain

    @property
    def is_as_asked(self) -> bool:
        """Whether no part has been stepped down."""
        return self._plain == self._asked

    def step_down(self, parts: Iterable[str], reason: str, remedy: str = "") -> None:
        """Take the plain way for `parts` from now on, and tell why, at what cost, and what helps."""
        taken = [part for part in parts if part not in self._plain]
        self._plain.update(taken)
        costs = " and ".join(dict.fromkeys(PARTS[part].cost for part in taken if part in PARTS))
        self.tell("".join((reason, f": {costs}" if costs else "", f"; {remedy}" if remedy else "")))

    def tell(self, text: str) -> None:
        """Tell the listener, once."""
        if text not in self._told:
            self._told.add(text)
            self._listener(text)

    @contextmanager
    def plain_for_now(self, parts: Iterable[str]) -> Iterator[None]:
        """Take the plain way for `parts` until the context is left."""
        taken = set(parts) - self._plain
        self._plain |= taken
        try:
            yield
        finally:
            self._plain -= taken

    def words(self) -> dict[str, str]:
        """Return how each part is computed: `{"descents": "Triton", …}`."""
        return {part.name: part.fast if self.is_fast(module) else part.plain for module, part in PARTS.items()}


gpu_path = GpuPath()


@contextmanager
def plain_after(failure: DeviceFailed, parts: Iterable[str]) -> Iterator[None]:
    """Take the plain way for `parts` after `failure`: until the context is left where it may pass, else from now on."""
    again = f"{failure}; once more on the plain path"
    if failure.passing:
        gpu_path.tell(again)
        with gpu_path.plain_for_now(parts):
            yield
    else:
        gpu_path.step_down(parts, again)
        yield
