"""Statistics over the runs of a study, intervals and trends, computed in a thread: importing scipy takes a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from embcx_tui.analysis.selection import Selection, select
from embcx_tui.analysis.summary import LayerSummary, summarise_selection
from embcx_tui.analysis.trend import Difference, Trend, control_differences, layer_differences, trends
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.naming import layer_name
from embcx_tui.study.plan import Architecture
from embcx_tui.tui.latest_request import LatestRequest

Basis = tuple[object, ...]


@dataclass(frozen=True)
class RunStatistics:
    """The statistics of one study, the numbers of `show --json`; `basis` is what they were computed from."""

    basis: Basis
    trends: Mapping[Architecture, Trend]
    layers: Mapping[tuple[Architecture, int], LayerSummary]
    differences: Mapping[tuple[Architecture, int], Sequence[tuple[str, Difference]]]
    """By architecture and layer: the differences from the layer before and from each control, with what each is from.
    """


def compute_statistics(snapshot: Snapshot, exclude_chance: bool) -> RunStatistics:
    """Return a study's trends and intervals; a second the first time, then 20 ms for 60 networks."""
    selection = select(snapshot, exclude_chance)
    return RunStatistics(
        _basis(snapshot),
        {trend.architecture: trend for trend in trends(selection)},
        {(summary.architecture, summary.layer): summary for summary in summarise_selection(selection)},
        _differences(selection),
    )


def _differences(selection: Selection) -> dict[tuple[Architecture, int], list[tuple[str, Difference]]]:
    found: dict[tuple[Architecture, int], list[tuple[str, Difference]]] = {}
    for one in layer_differences(selection):
        found[one.architecture, one.layer] = [(layer_name(one.layer - 1), one)]
    for one in control_differences(selection):
        trained = one.architecture._replace(control=None)
        found.setdefault((trained, one.layer), []).append((one.architecture.control or "", one))
    return found


def _basis(snapshot: Snapshot) -> Basis:
    # A new snapshot shares the mappings to which nothing was added with the one before.
    return snapshot.id, snapshot.measured, snapshot.trained, snapshot.diverged, snapshot.datasets


def _same(basis: Basis, other: Basis) -> bool:
    return basis[0] == other[0] and all(a is b for a, b in zip(basis[1:], other[1:], strict=True))


class StudyStatistics:
    """Computes the statistics asked for last; the previous ones stay available until then, with and without chance."""

    def __init__(self, computed: Callable[[], None]) -> None:
        self._computed = computed
        self._kept: dict[bool, RunStatistics] = {}
        self._latest = LatestRequest(self._compute)
        self.run = self._latest.run

    def get(self, snapshot: Snapshot, exclude_chance: bool) -> RunStatistics | None:
        """Return the newest statistics of this study, perhaps over fewer layers; None before the first time."""
        kept = self._kept.get(exclude_chance)
        return kept if kept and kept.basis[0] == snapshot.id else None

    def submit(self, snapshot: Snapshot, exclude_chance: bool) -> bool:
        """Ask for the statistics of a snapshot unless they are there; tell whether `run` has to be started."""
        self._latest.withdraw()
        kept, basis, current = self.get(snapshot, exclude_chance), _basis(snapshot), self._latest.current
        if kept and _same(kept.basis, basis):
            return False
        if current and current[1] == exclude_chance and _same(_basis(current[0]), basis):
            return False
        return self._latest.submit((snapshot, exclude_chance))

    @property
    def ready(self) -> bool:
        """Whether `run` still has to be started."""
        return self._latest.ready

    async def _compute(self, request: tuple[Snapshot, bool]) -> None:
        self._kept[request[1]] = await asyncio.to_thread(compute_statistics, *request)
        self._computed()
