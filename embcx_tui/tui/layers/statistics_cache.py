"""What the layer browser says of runs together: intervals and trends, counted off the loop (scipy takes a second)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from embcx_tui.analysis.selection import select
from embcx_tui.analysis.statistics import Trend, trends
from embcx_tui.analysis.summary import LayerSummary, summarise_selection
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.plan import Architecture

Basis = tuple[object, ...]


@dataclass(frozen=True)
class Counted:
    """The statistics of one study, the very numbers of `show --json`; `basis` is what they were counted from."""

    basis: Basis
    trends: Mapping[Architecture, Trend] = field(default_factory=dict)
    layers: Mapping[tuple[Architecture, int], LayerSummary] = field(default_factory=dict)
    intervals: Mapping[tuple[Architecture, int], tuple[float, float] | None] = field(default_factory=dict)


def count(snapshot: Snapshot, exclude_chance: bool) -> Counted:
    """Return a study's trends and intervals (a second the first time, then 20 ms for 60 networks)."""
    selection = select(snapshot, exclude_chance)
    layers = {(one.architecture, one.layer): one for one in summarise_selection(selection)}
    return Counted(
        _basis(snapshot),
        {one.architecture: one for one in trends(selection)},
        layers,
        {key: one.kl_interval for key, one in layers.items()},
    )


def _basis(snapshot: Snapshot) -> Basis:
    # A snapshot keeps the mappings of the one before wherever nothing was added.
    return snapshot.id, snapshot.measured, snapshot.trained, snapshot.diverged, snapshot.datasets


def _same(one: Basis, other: Basis) -> bool:
    return one[0] == other[0] and all(a is b for a, b in zip(one[1:], other[1:], strict=True))


class StudyStatistics:
    """Counts the newest wish, one at a time; what was counted before stays known until then, with and without."""

    def __init__(self, arrived: Callable[[], None]) -> None:
        self._arrived = arrived
        self._known: dict[bool, Counted] = {}
        self._wish: tuple[Snapshot, bool] | None = None
        self._under_way: tuple[Basis, bool] | None = None

    def known(self, snapshot: Snapshot, exclude_chance: bool) -> Counted | None:
        """Return what was counted of this study last, maybe of fewer layers; None before the first time."""
        counted = self._known.get(exclude_chance)
        return counted if counted and counted.basis[0] == snapshot.id else None

    def wish(self, snapshot: Snapshot, exclude_chance: bool) -> bool:
        """Ask for the statistics of a snapshot unless they are known; tell whether `run` has to be started."""
        known, basis = self.known(snapshot, exclude_chance), _basis(snapshot)
        self._wish = None
        if known and _same(known.basis, basis):
            return False
        if self._under_way and self._under_way[1] == exclude_chance and _same(self._under_way[0], basis):
            return False
        self._wish = (snapshot, exclude_chance)
        return self._under_way is None

    @property
    def may_run(self) -> bool:
        """Tell whether something is wished for and nothing is being counted."""
        return self._wish is not None and self._under_way is None

    async def run(self) -> None:
        """Count until nothing is wished for."""
        try:
            while self._wish is not None:
                (snapshot, exclude_chance), self._wish = self._wish, None
                self._under_way = _basis(snapshot), exclude_chance
                self._known[exclude_chance] = await asyncio.to_thread(count, snapshot, exclude_chance)
                self._arrived()
        finally:
            self._under_way = None
