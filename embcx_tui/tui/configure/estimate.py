"""How large the study of the form is, and how long it takes."""

from __future__ import annotations

from dataclasses import dataclass

from embcx_tui.analysis.forecast import forecast, sizes
from embcx_tui.store.machine_records import Calibration
from embcx_tui.study.plan import make_plan
from embcx_tui.study.settings import StudySettings


@dataclass(frozen=True, slots=True)
class Estimate:
    """The size of a study, exact, and a rough time; `controls` are counted apart from `networks`."""

    networks: int
    controls: int
    embeddings: int
    points: int
    seconds: float


def estimate(settings: StudySettings, calibration: Calibration) -> Estimate:
    """Return the size and time of a study on this machine; takes some milliseconds for the paper's 280 networks."""
    plan = make_plan(settings)
    per_class = settings.data.samples_per_class
    return Estimate(
        networks=settings.network_count,
        controls=len(plan.networks) - settings.network_count,
        embeddings=plan.embeddings,
        points=max(sizes(dataset, settings).classes * per_class for dataset in settings.data.datasets),
        seconds=forecast(plan, calibration).total,
    )
