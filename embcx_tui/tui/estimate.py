"""What a study that is being configured asks for: how many networks and embeddings, and about how long."""

from __future__ import annotations

from dataclasses import dataclass

from embcx_tui.study.catalogue import facts
from embcx_tui.study.settings import StudySettings
from embcx_tui.tui.rows import Rates, weights

# Two CPU cores, measured with the demo and figure 2: what is said before this machine has completed a study.
ROUGH = Rates(input_weight=2.5e-11, pair=1.5e-7)
# A dataset from a file is known only once it is loaded; until then it counts as MNIST.
_UNKNOWN_INPUTS, _UNKNOWN_FEATURES, _UNKNOWN_CLASSES = 50_000, 784, 10


@dataclass(frozen=True, slots=True)
class Estimate:
    """Counts are exact, `seconds` is rough. `controls` networks are measured but not trained."""

    networks: int
    controls: int
    embeddings: int
    points: int
    seconds: float


def estimate(settings: StudySettings, rates: Rates) -> Estimate:
    """Return what `settings` ask for; counted without spelling the plan out, so that it keeps up with typing."""
    grid, measure = settings.networks, settings.measure
    sets = settings.data.datasets
    copies = 1 + len(measure.controls)
    hidden = len(sets) * sum(grid.depths) * len(grid.activations) * grid.runs * copies
    inputs = len(sets) * grid.runs
    each = settings.network_count / len(sets)
    seconds = 0.0
    points = 0
    for name in sets:
        known = facts(name)
        n_train, features, classes = (
            (known.n_train, known.features, len(known.classes))
            if known
            else (_UNKNOWN_INPUTS, _UNKNOWN_FEATURES, _UNKNOWN_CLASSES)
        )
        used = min(n_train, settings.data.train_limit or n_train)
        points = max(points, classes * settings.data.samples_per_class)
        seconds += each * settings.training.epochs * used * weights(settings, features) * rates.input_weight
        here = (hidden + inputs) / len(sets) * len(measure.methods) * measure.restarts
        seconds += here * (classes * settings.data.samples_per_class) ** 2 * rates.pair
    return Estimate(
        networks=settings.network_count,
        controls=settings.network_count * len(measure.controls),
        embeddings=(hidden + inputs) * len(measure.methods),
        points=points,
        seconds=seconds,
    )
