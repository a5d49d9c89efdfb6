"""The protocol of what layers' rows come from: a network trained here, or what was handed over from elsewhere.

`Measurer` (worker/measure.py) asks for a task's rows when its turn comes and never for those of two networks in turn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from embcx_tui.compute.memory import free_bytes
from embcx_tui.compute.reduction import is_wide, reduce_layer
from embcx_tui.compute.timing import timed_part
from embcx_tui.worker.pending import Task


@dataclass(frozen=True, slots=True, eq=False)
class LayerRows:
    """The rows [n, units] of one layer with their labels [n], and of a measured study what the layer is called, how it
    was pooled and its units before they were reduced (0: they were not). Of a reduced layer, also how many of its units
    varied (`reduction.Reduction`); 0 where rows are the units themselves.
    """

    rows: NDArray[np.floating]
    labels: NDArray[np.int64]
    name: str = ""
    pool: str = ""
    width: int = 0
    varying: int = 0


def reduced_where_wide(given: LayerRows) -> LayerRows:
    """Return a layer's rows, reduced where they are wide; raises ValueError where that cannot be."""
    if not is_wide(*given.rows.shape):
        return given
    with timed_part("reduction"):
        reduced = reduce_layer(given.rows, budget_bytes=free_bytes(torch.device("cpu")))
    return replace(given, rows=reduced.rows, varying=reduced.varying)


class RowSource(Protocol):
    """Gives the rows of layers, and the seeds of their embeddings."""

    def rows(self, task: Task) -> LayerRows:
        """Return the rows of the layer of `task`, after its epoch.

        Raises MeasureError where this layer alone cannot be had: the study goes on without it.
        """

    def seed(self, task: Task) -> int:
        """Return the seed of the embedding of `task`: it depends on what the layer is, never on what came before."""
