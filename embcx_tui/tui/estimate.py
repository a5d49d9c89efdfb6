"""What a study that is being configured asks for: how many networks and embeddings, and about how long."""

from __future__ import annotations

from dataclasses import dataclass

from embcx_tui.analysis.progress import progress
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.catalogue import facts
from embcx_tui.study.plan import make_plan
from embcx_tui.study.settings import StudySettings
from embcx_tui.tui.rows import Rates, weights

# Two CPU cores, measured with the demo and figure 2: what is said before this machine has completed a study.
ROUGH = Rates(input_weight=2.5e-11, pair=1.5e-7)
# A dataset from a file is known only once it is loaded; until then it counts as MNIST.
_UNKNOWN_INPUTS, _UNKNOWN_FEATURES, _UNKNOWN_CLASSES = 50_000, 784, 10


@dataclass(frozen=True, slots=True)
class Estimate:
    """Counts are exact, `seconds` is rough. `controls` are networks beside the `networks` that the study is about."""

    networks: int
    controls: int
    embeddings: int
    points: int
    seconds: float


def estimate(settings: StudySettings, rates: Rates) -> Estimate:
    """Return what `settings` ask for; some milliseconds for the paper's 280 networks."""
    plan = make_plan(settings)
    planned = progress(Snapshot("", plan))
    seconds = 0.0
    most = 0
    for cohort in plan.cohorts:
        known = facts(cohort.dataset)
        n_train, features = (known.n_train, known.features) if known else (_UNKNOWN_INPUTS, _UNKNOWN_FEATURES)
        used = min(n_train, settings.data.train_limit or n_train)
        points = plan.points(cohort.dataset) or _UNKNOWN_CLASSES * settings.data.samples_per_class
        share = 1 / len(plan.cohorts)
        seconds += share * planned.network_epochs_planned * used * weights(settings, features) * rates.input_weight
        seconds += share * planned.embeddings_planned * settings.measure.restarts * points**2 * rates.pair
        most = max(most, points)
    return Estimate(
        networks=settings.network_count,
        controls=len(plan.networks) - settings.network_count,
        embeddings=planned.embeddings_planned,
        points=most,
        seconds=seconds,
    )
