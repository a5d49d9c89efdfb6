"""A part of a study's networks: what of it is left to compute, and its computation, in the worker or in a hand."""

from __future__ import annotations

from collections.abc import Callable

import torch

from embcx_tui.compute.datasets import Dataset
from embcx_tui.study.events import PartsChosen
from embcx_tui.study.parts import as_cohorts, deal
from embcx_tui.study.plan import Cohort
from embcx_tui.worker.background import BackgroundQueue
from embcx_tui.worker.journal import Journal
from embcx_tui.worker.measure import Measuring
from embcx_tui.worker.outlet import Outlet
from embcx_tui.worker.pending import has_failed_layers, has_torn_curves, pending_tasks, unreported_networks
from embcx_tui.worker.train import train_cohort


def study_parts(journal: Journal) -> tuple[Cohort, ...]:
    """Return the parts of a study, as its journal has them, or as they are dealt now, which is then recorded."""
    parts: list[Cohort] = []
    for cohort in journal.snapshot.plan.cohorts:
        recorded = journal.snapshot.parts.get(cohort.id)
        dealt = recorded.parts if recorded else deal(cohort, journal.snapshot.plan.settings.machine.parts or 1)
        if recorded is None and len(dealt) > 1:
            journal.append(PartsChosen(cohort=cohort.id, parts=dealt))
        parts += as_cohorts(cohort, dealt)
    return tuple(parts)


def is_done(outlet: Outlet, part: Cohort) -> bool:
    """Tell whether nothing of a part is left to compute."""
    of_part = outlet.is_intact, outlet.snapshot, part
    done = not pending_tasks(*of_part) and not unreported_networks(*of_part)
    return done and not has_torn_curves(outlet.snapshot, part)


def compute_part(
    outlet: Outlet,
    part: Cohort,
    dataset: Dataset,
    device: torch.device,
    background: BackgroundQueue,
    stop: Callable[[], bool],
) -> None:
    """Train the networks of a part and measure what is pending of it, in `background` where that is a thread."""

    def end_training() -> bool:
        return stop() or background.failed

    measuring = Measuring(outlet, part, dataset, background, stop)
    for training in train_cohort(outlet, part, dataset, device, measuring, end_training):
        measuring.at_end(training)


def clear_checkpoints(journal: Journal, part: Cohort, stop: Callable[[], bool]) -> None:
    """Remove the checkpoints of a measured part, the paper's take 1.5 GB; unless its measurement was stopped, or a
    layer failed, which a resumed study tries again.
    """
    if stop() or has_failed_layers(journal.snapshot, part):
        return
    for path in journal.paths.checkpoints.glob(f"{part.id}.*"):
        path.unlink(missing_ok=True)
