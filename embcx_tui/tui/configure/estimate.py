"""What a study that is being configured asks for: how many networks and embeddings, and about how long."""

from __future__ import annotations

from dataclasses import dataclass

from embcx_tui.analysis.forecast import forecast, sizes
from embcx_tui.store.calibration import Calibration
from embcx_tui.study.plan import make_plan
from embcx_tui.study.settings import StudySettings


@dataclass(frozen=True, slots=True)
class Estimate:
    """Counts are exact, `seconds` is rough. `controls` are networks beside the `networks` that the study is about."""

    networks: int
    controls: int
    embeddings: int
    points: int
    seconds: float


def estimate(settings: StudySettings, calibration: Calibration) -> Estimate:
    """Return what `settings` ask for on a machine of this speed; some milliseconds for the paper's 280 networks."""
    plan = make_plan(settings)
    per_class = settings.data.samples_per_class
    return Estimate(
        networks=settings.network_count,
        controls=len(plan.networks) - settings.network_count,
        embeddings=plan.embeddings,
        points=max(sizes(dataset, settings).classes * per_class for dataset in settings.data.datasets),
        seconds=forecast(plan, calibration).total,
    )
