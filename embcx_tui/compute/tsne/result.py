"""The embedding complexity of one layer, and the settings that it is measured with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from embcx_tui.compute.array_types import FloatArray, Points
from embcx_tui.compute.tsne.affinities import AffinityInfo
from embcx_tui.compute.tsne.initialization import oriented
from embcx_tui.compute.tsne.kl_divergence import kl_to_uniform
from embcx_tui.compute.tsne.schedule import DEFAULT_SCHEDULE, DescentResult, Schedule
from embcx_tui.study.sample_sizes import MAX_WHOLE_POINTS, PACKED_FROM
from embcx_tui.study.settings import Engine, Large


@dataclass(frozen=True, slots=True)
class Measurement:
    """How layers are measured; one value for a whole study."""

    perplexity: float = 30.0
    """In points; 1 < perplexity < n / 3."""
    engine: Engine = "exact"
    """"exact" for up to MAX_EXACT_POINTS rows, "opentsne" for up to MAX_POINTS."""
    restarts: int = 1
    """Descents, or searches, of which the best counts. Start 0 is the principal plane, all others are random."""
    device: str = "cpu"
    """"cpu", or a torch device such as "cuda" for the exact engine."""
    threads: int | None = None
    """Layers measured at the same time on a CPU; None: one per core, fewer where memory is short."""
    schedule: Schedule = DEFAULT_SCHEDULE
    input_schedule: Schedule | None = None
    """Of layers that are the input of a run; None: the same."""

    def of_layer(self, is_input: bool) -> Measurement:
        """Return how an input, or another layer, is measured: `schedule` is then its schedule."""
        return replace(self, schedule=self.input_schedule) if is_input and self.input_schedule else self

    large: Large = "packed"
    """How layers of more than PACKED_FROM rows are held on a CPU: "packed", or "whole" as smaller ones, up to
    MAX_WHOLE_POINTS.
    """

    def is_packed(self, n: int) -> bool:
        """Return whether a layer of n rows is measured with P packed, or only ever in blocks for openTSNE."""
        on_cpu = self.device == "cpu" or self.engine == "opentsne" or n > MAX_WHOLE_POINTS
        return self.large == "packed" and n > PACKED_FROM and on_cpu

    def start_indices(self) -> list[range]:
        """Return for each restart the numbers of the starts that it may try: one, or as many as the search takes."""
        search = self.schedule.search if self.engine == "exact" else None
        count = search.taken if search else 1
        return [range(restart * count, (restart + 1) * count) for restart in range(self.restarts)]


DEFAULT_MEASUREMENT = Measurement()


@dataclass(frozen=True, slots=True)
class Complexity:
    """The embedding complexity of one layer."""

    kl: float | None
    """Exact KL divergence in nats, float64, the lowest of all restarts; None where P cannot be calibrated."""
    explained: float | None
    """1 - KL / KL(P‖uniform): 0 where the embedding shows nothing of P, 1 where it shows all; comparable across n and
    perplexity.
    """
    degenerate: bool
    """Near-identical or many identical rows, or no P: not to be read as easy or hard."""
    duplicates: int
    """Rows that equal another row."""
    converged: bool
    """The KL changed by less than the tolerance (relative; 1e-4, packed 3e-4) over the last 50 iterations."""
    iterations: int
    """Of the best restart."""
    gradient_norm: float
    """Of the exact KL at the points, Euclidean, over all 2n coordinates."""
    relative_change: float
    """Of the exact KL over the last 50 iterations of the best restart."""
    restart_kls: tuple[float, ...]
    """The exact KL of every restart: their spread is the embedding's share of the noise."""
    starts: int
    """Starts that were tried, in all restarts."""
    start_kls: tuple[float, ...]
    """The exact KL of the starts that were kept, one window after the exaggeration, where they were compared."""
    points: Points
    """[n, 2], the best restart, centred and rotated to its principal axes; zeros where there is no P."""
    engine: str
    """What moved the points: "exact", "exact-packed" (a large layer's P in 16 bits per pair) or "opentsne"; the KL
    divergence is exact for all.
    """
    spent: int
    """Iterations of all starts together: what the layer cost."""
    point_kls: FloatArray | None = None
    """[n], each point's share of the KL divergence; None where there is no P, or it is not on this machine's CPU."""

    @classmethod
    def of_restarts(
        cls, info: AffinityInfo, restarts: Sequence[DescentResult], entropy: float, engine: str
    ) -> Complexity:
        """Return the complexity of a layer whose P has the given entropy (nats), from the results of its restarts."""
        best = min(restarts, key=lambda result: result.kl)
        return cls(
            kl=best.kl,
            explained=1.0 - best.kl / kl_to_uniform(best.points.shape[0], entropy),
            degenerate=info.degenerate,
            duplicates=info.duplicates,
            converged=best.converged,
            iterations=best.iterations,
            gradient_norm=best.gradient_norm,
            relative_change=best.relative_change,
            restart_kls=tuple(result.kl for result in restarts),
            starts=sum(result.starts for result in restarts),
            start_kls=tuple(kl for result in restarts for kl in result.start_kls),
            spent=sum(result.spent or result.iterations for result in restarts),
            points=oriented(best.points),
            engine=engine,
        )

    @classmethod
    def without_affinities(cls, info: AffinityInfo, n: int, engine: str) -> Complexity:
        """Return the complexity of a layer of n rows that has no P."""
        return cls(
            kl=None,
            explained=None,
            degenerate=True,
            duplicates=info.duplicates,
            converged=False,
            iterations=0,
            gradient_norm=0.0,
            relative_change=0.0,
            restart_kls=(),
            starts=0,
            start_kls=(),
            spent=0,
            points=np.zeros((n, 2), dtype=np.float32),
            engine=engine,
        )
