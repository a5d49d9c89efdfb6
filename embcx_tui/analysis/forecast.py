"""How long the parts of a study take, from a calibration of the machine; no numerics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from embcx_tui.store.calibration import Calibration
from embcx_tui.study.catalogue import facts
from embcx_tui.study.plan import Cohort, Network, Plan
from embcx_tui.study.settings import StudySettings

# Rows that a calibration's `embedding` and `metrics` are for; both grow with the number of pairs.
CALIBRATED_POINTS = 1_000
# CPU time of an embedding by another method, in units of a layer's `metrics` (measured at 1,000 × 100: MDS 4 s).
METHODS = {"pca": 0.6, "lle": 4.5, "mds": 21.0, "isomap": 3.5}
_METRICS = 6  # all of them, as a calibration measures them
SCORING = "tsne"


@dataclass(frozen=True, slots=True)
class Sizes:
    """Training and test inputs, features and classes of a dataset."""

    n_train: int
    n_test: int
    features: int
    classes: int


# A dataset from a file is known only once it is loaded; until then it counts as MNIST.
UNKNOWN = Sizes(50_000, 10_000, 784, 10)


@dataclass(frozen=True, slots=True)
class Forecast:
    """Seconds of a study's parts. `epochs`: of each cohort, one epoch; `embeddings`: by method, one embedding."""

    epochs: tuple[float, ...]
    embeddings: dict[str, float]
    accuracies: float
    start: float
    total: float


def sizes(dataset: str, settings: StudySettings) -> Sizes:
    """Return the sizes of a dataset as `settings` use it."""
    known = facts(dataset)
    found = Sizes(known.n_train, known.n_test, known.features, len(known.classes)) if known else UNKNOWN
    limit = settings.data.train_limit or found.n_train
    return Sizes(min(found.n_train, limit), found.n_test, found.features, found.classes)


def forecast(plan: Plan, calibration: Calibration) -> Forecast:
    """Return what the parts of `plan` take on the calibrated device; some milliseconds for the paper's 280 networks."""
    settings = plan.settings
    known = [sizes(cohort.dataset, settings) for cohort in plan.cohorts]
    epochs = tuple(
        epoch_seconds(cohort.networks, data, settings, calibration)
        for cohort, data in zip(plan.cohorts, known, strict=True)
    )
    # Of every network, trained or not, on all inputs, when it is measured.
    accuracies = sum(
        calibration.work
        * 2
        * (data.n_train + data.n_test)
        * _weights(cohort.networks + cohort.controls, data, settings)
        for cohort, data in zip(plan.cohorts, known, strict=True)
    )
    points = max((data.classes for data in known), default=10) * settings.data.samples_per_class
    methods: tuple[str, ...] = settings.measure.methods
    embeddings = {method: embedding_seconds(method, points, settings, calibration) for method in methods}
    total = calibration.start + accuracies + settings.training.epochs * sum(epochs)
    for cohort, data in zip(plan.cohorts, known, strict=True):
        points = data.classes * settings.data.samples_per_class
        for method, count in _counts(plan, cohort).items():
            total += count * embedding_seconds(method, points, settings, calibration)
        total += calibration.write * (len(cohort.networks) + len(cohort.controls) + settings.training.epochs)
    return Forecast(epochs, embeddings, accuracies, calibration.start, total)


def epoch_seconds(networks: Sequence[Network], data: Sizes, settings: StudySettings, calibration: Calibration) -> float:
    """Return the seconds of one epoch of a cohort, its test accuracy included."""
    operations, work, weights = step_parts(networks, data.features, data.classes, settings)
    steps = math.ceil(data.n_train / settings.training.batch_size)
    step = calibration.operation * operations + calibration.work * work + calibration.weight * weights
    return steps * step + calibration.work * 2 * data.n_test * weights


def step_parts(
    networks: Sequence[Network], features: int, classes: int, settings: StudySettings
) -> tuple[float, float, float]:
    """Return calls, floating-point operations and weights of one training step of a cohort."""
    width, batch = settings.networks.width, settings.training.batch_size
    # A layer is some products and two or three calls for each slice of equal activations (compute.block).
    operations = 30.0
    for layer in range(1, max(network.depth for network in networks) + 1):
        slices = {(network.depth, network.activation) for network in networks if network.depth >= layer}
        operations += 8 + 3 * len(slices)
    weights = sum(_parameters(network, features, classes, width) for network in networks)
    # Forward, backward and gradient are two operations a weight and input each; the inputs need no gradient.
    work = batch * (6 * weights - 2 * features * width * len(networks))
    return operations, float(work), float(weights)


def _parameters(network: Network, features: int, classes: int, width: int) -> int:
    return width * (features + (network.depth - 1) * width + classes)


def _weights(networks: Sequence[Network], data: Sizes, settings: StudySettings) -> int:
    width = settings.networks.width
    return sum(_parameters(network, data.features, data.classes, width) for network in networks)


def embedding_seconds(method: str, points: int, settings: StudySettings, calibration: Calibration) -> float:
    """Return the seconds of one embedding of `points` rows by `method`, among many, with what is measured beside it."""
    pairs = (points / CALIBRATED_POINTS) ** 2
    if method != SCORING:
        return pairs * calibration.metrics * METHODS.get(method, 1.0) + calibration.write
    metrics = calibration.metrics * (1 + len(settings.measure.metrics)) / (1 + _METRICS)
    return pairs * (calibration.embedding * settings.measure.restarts + metrics) + calibration.write


def _counts(plan: Plan, cohort: Cohort) -> dict[str, int]:
    """Return how many embeddings of `cohort` there are by method."""
    hidden = sum(network.depth for network in cohort.networks + cohort.controls)
    again = sum(network.depth for network in cohort.networks if network.control is None) * len(plan.epochs)
    methods = plan.settings.measure.methods
    return {method: len(cohort.runs) + hidden + (again if method == SCORING else 0) for method in methods}
