"""How long the parts of a study take, predicted from a calibration of the machine, and how much is left."""

from __future__ import annotations

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from embcx_tui.store.machine_records import ROUGH, Calibration, calibration_of
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.dataset_catalogue import MOSTLY_ZERO, facts
from embcx_tui.study.measured import MeasuredSettings
from embcx_tui.study.parts import as_cohorts, deal, largest_first, with_parts
from embcx_tui.study.plan import Cohort, Network, Plan
from embcx_tui.study.settings import SCORE_METHOD, MachineSettings, StudySettings

# Rows that a calibration's `embedding` and `metrics` are for; both grow with the number of pairs.
CALIBRATED_POINTS = 1_000
# One plain descent in units of a search for starts (docs/embedding-engine.md).
PLAIN_COST = 0.72
# The search for an input that is thorough, in the same units: 11,000 iterations.
INPUT_COST = 4.8
# CPU time of an embedding by another method in units of a layer's `metrics` (measured at 1,000 × 100: MDS takes 4 s).
METHODS = {"pca": 0.6, "lle": 4.5, "mds": 21.0, "isomap": 3.5}
_METRICS = 6  # a calibration measures all of them


@dataclass(frozen=True, slots=True)
class Sizes:
    """Training and test inputs, features and classes of a dataset, and the share of its pixels that are not zero."""

    n_train: int
    n_test: int
    features: int
    classes: int
    nonzero: float


# A dataset from a file is known only once it is loaded; until then MNIST's sizes are assumed.
UNKNOWN = Sizes(50_000, 10_000, 784, 10, 1.0)


@dataclass(frozen=True, slots=True)
class Forecast:
    """Seconds that a study takes: `epochs` one epoch of each cohort, `embeddings` one embedding by each method."""

    epochs: tuple[float, ...]
    embeddings: dict[str, float]
    total: float


def sizes(dataset: str, settings: StudySettings) -> Sizes:
    """Return the sizes of a dataset as `settings` use it."""
    known = facts(dataset)
    found = UNKNOWN
    if known:
        found = Sizes(known.n_train, known.n_test, known.features, len(known.classes), known.nonzero)
    return replace(found, n_train=min(found.n_train, settings.data.train_limit or found.n_train))


def forecast(plan: Plan, calibration: Calibration) -> Forecast:
    """Return the time that `plan` takes on the calibrated device, or on as many of its kind as the study asks for;
    takes some ms for the paper's 280 networks.
    """
    settings = plan.settings
    known = [sizes(cohort.dataset, settings) for cohort in plan.cohorts]
    epochs = tuple(
        epoch_seconds(cohort.networks, data, settings, calibration)
        for cohort, data in zip(plan.cohorts, known, strict=True)
    )
    points = max((_points(data, settings) for data in known), default=0)
    methods: tuple[str, ...] = settings.measure.methods
    embeddings = {method: embedding_seconds(method, points, settings, calibration) for method in methods}
    chosen = with_parts(settings).machine
    parts: Sequence[Cohort] = plan.cohorts
    if chosen.parts > 1:
        parts = [part for cohort in parts for part in as_cohorts(cohort, deal(cohort, chosen.parts))]
    # Hands on one CPU share its cores.
    devices = 1 if chosen.device == "cpu" else _device_count(chosen)
    free = [0.0] * min(devices, len(parts))
    for part in largest_first(parts):
        heapq.heapreplace(free, free[0] + _part_seconds(plan, part, calibration))
    return Forecast(epochs, embeddings, calibration.start + max(free, default=0.0))


def _device_count(machine: MachineSettings) -> int:
    """Return how many devices a study asks for; all of them are as many as it has parts."""
    devices = machine.devices
    return devices if isinstance(devices, int) else machine.parts if devices == "all" else len(devices)


def _part_seconds(plan: Plan, part: Cohort, calibration: Calibration) -> float:
    settings = plan.settings
    data = sizes(part.dataset, settings)
    # The accuracies of every network, trained or not, on all inputs, before it is measured.
    total = _pass_seconds(part.networks + part.controls, data, settings, calibration) * (data.n_train + data.n_test)
    total += settings.training.epochs * epoch_seconds(part.networks, data, settings, calibration)
    points = _points(data, settings)
    for method, count in _counts(plan, part).items():
        total += count * embedding_seconds(method, points, settings, calibration)
    total += len(part.samples) * _of_thoroughness(points, settings, calibration)
    return total + calibration.write * (len(part.networks) + len(part.controls) + settings.training.epochs)


def _points(data: Sizes, settings: StudySettings) -> int:
    """Return the rows of a sample."""
    if isinstance(settings, MeasuredSettings):
        return data.classes * settings.sample.per_class or settings.sample.points
    return data.classes * settings.data.samples_per_class


def epoch_seconds(networks: Sequence[Network], data: Sizes, settings: StudySettings, calibration: Calibration) -> float:
    """Return the seconds that one epoch of a cohort takes, with its test accuracy."""
    calls, work, sparse, weights = step_parts(networks, data, settings)
    steps = math.ceil(data.n_train / settings.training.batch_size)
    step = calibration.operation * calls + calibration.work * work
    step += calibration.sparse * sparse + calibration.weight * weights
    return steps * step + _pass_seconds(networks, data, settings, calibration) * data.n_test


def step_parts(networks: Sequence[Network], data: Sizes, settings: StudySettings) -> tuple[float, float, float, float]:
    """Return the cost of one training step of a cohort.

    Returns
    -------
    Numbers of calls, of floating-point operations, of those on inputs that are mostly zero, and of weights.
    """
    batch = settings.training.batch_size
    if not networks:  # a measured study of controls alone
        return 0.0, 0.0, 0.0, 0.0
    # A layer is some products, and two or three calls per slice of equal activations (compute.training.trainer_gpu).
    calls = 30.0
    for layer in range(1, max(network.depth for network in networks) + 1):
        slices = {(network.depth, network.activation) for network in networks if network.depth >= layer}
        calls += 8 + 3 * len(slices)
    first, above = _weights(networks, data, settings)
    # Forward, backward and gradient take two operations per weight and input each; the inputs need no gradient.
    work, sparse = _split(4 * batch * first, data)
    return calls, work + 6 * batch * above, sparse, first + above


def _split(work: float, data: Sizes) -> tuple[float, float]:
    """Return the operations of layer 1 as (dense, sparse): one of the two is 0."""
    return (0.0, work * data.nonzero) if data.nonzero < MOSTLY_ZERO else (work, 0.0)


def _pass_seconds(networks: Sequence[Network], data: Sizes, settings: StudySettings, calibration: Calibration) -> float:
    """Return the seconds of a forward pass of one input through all networks."""
    first, above = _weights(networks, data, settings)
    work, sparse = _split(2 * first, data)
    return calibration.work * (work + 2 * above) + calibration.sparse * sparse


def _weights(networks: Sequence[Network], data: Sizes, settings: StudySettings) -> tuple[float, float]:
    """Return the number of weights of the networks: in layer 1, and in all later layers."""
    width = settings.networks.width
    above = sum(width * ((network.depth - 1) * width + data.classes) for network in networks)
    return float(data.features * width * len(networks)), float(above)


def _pairs(points: int) -> float:
    """Return the pairs of `points` rows, in units of those of a calibration."""
    return (points / CALIBRATED_POINTS) ** 2


def embedding_seconds(method: str, points: int, settings: StudySettings, calibration: Calibration) -> float:
    """Return the seconds of one embedding of `points` rows by `method`, one of many, with its metrics."""
    pairs = _pairs(points)
    if method != SCORE_METHOD:
        return pairs * calibration.metrics * METHODS.get(method, 1.0) + calibration.write
    metrics = calibration.metrics * (1 + len(settings.measure.metrics)) / (1 + _METRICS)
    descents = settings.measure.restarts * (PLAIN_COST if settings.measure.search == "plain" else 1.0)
    return pairs * (calibration.embedding * descents + metrics) + calibration.write


def _of_thoroughness(points: int, settings: StudySettings, calibration: Calibration) -> float:
    """Return the seconds by which the embedding of an input takes longer than that of another layer."""
    measure = settings.measure
    if (measure.search, measure.engine) != ("thorough", "exact") or SCORE_METHOD not in measure.methods:
        return 0.0
    return (INPUT_COST - 1.0) * measure.restarts * calibration.embedding * _pairs(points)


def _counts(plan: Plan, cohort: Cohort) -> dict[str, int]:
    """Return the number of embeddings of `cohort` by method."""
    hidden = sum(network.depth for network in cohort.networks + cohort.controls)
    again = sum(network.depth for network in cohort.networks if network.control is None) * len(plan.epochs)
    methods = plan.settings.measure.methods
    return {method: len(cohort.samples) + hidden + (again if method == SCORE_METHOD else 0) for method in methods}


@dataclass(frozen=True, slots=True)
class Progress:
    """Work done and planned. `fraction` (0 … 1) is of the time; `seconds_left` is None while nothing is known.

    `impossible` of the planned embeddings are never made: those of diverged networks, and where a method failed.
    """

    network_epochs: int
    network_epochs_planned: int
    embeddings: int
    embeddings_planned: int
    fraction: float
    seconds_left: float | None
    impossible: int = 0


def progress(snapshot: Snapshot) -> Progress:
    """Return the progress of a study, by its own speed where that is known, else by its machine's calibration."""
    plan = snapshot.plan
    calibration = calibration_of(snapshot.machine.calibration) if snapshot.machine else None
    expected = forecast(plan, calibration or ROUGH)
    done, planned, impossible = _embeddings(snapshot)
    embedding_s = _embedding_rates(snapshot, expected)
    epochs = sum(
        # A network that diverged was not trained any further.
        min(history.last, snapshot.diverged[network].epoch) if network in snapshot.diverged else history.last
        for history in snapshot.histories.values()
        for network in history.networks
    )
    epochs_spent, epochs_whole = _epochs(snapshot, expected)
    spent = epochs_spent + sum(count * embedding_s[method] for method, count in done.items())
    whole = epochs_whole + sum(count * embedding_s[method] for method, count in planned.items())
    complete = snapshot.state == "complete"
    known = calibration is not None or epochs > 0
    return Progress(
        network_epochs=epochs,
        network_epochs_planned=plan.network_epochs,
        embeddings=done.total() - impossible,
        embeddings_planned=plan.embeddings,
        fraction=1.0 if complete else min(spent / whole, 1.0) if whole else 0.0,
        # Hands compute at the same time what is timed for each of them.
        seconds_left=0.0 if complete else max(whole - spent, 0.0) / max(len(snapshot.hands), 1) if known else None,
        impossible=impossible,
    )


def embedding_words(done: Progress) -> str:
    """Return how many embeddings are made: `44 of 50 embeddings, 6 impossible`."""
    words = f"{done.embeddings:,} of {done.embeddings_planned:,} embeddings"
    return f"{words}, {done.impossible:,} impossible" if done.impossible else words


def _embeddings(snapshot: Snapshot) -> tuple[Counter[str], Counter[str], int]:
    """Return embeddings done and planned, by method, and how many of those done are not made: those of diverged
    networks, and those that failed.
    """
    plan = snapshot.plan
    methods: tuple[str, ...] = plan.settings.measure.methods
    planned = Counter({method: len(plan.layers) for method in methods})
    planned[SCORE_METHOD] += plan.embeddings - planned.total()
    lost = {layer.id for layer in plan.layers if layer.network in snapshot.diverged}
    done = Counter(method for _, method in snapshot.measured.keys() | snapshot.failed.keys())
    done[SCORE_METHOD] += len(snapshot.earlier.keys() | snapshot.earlier_failed.keys())
    made = len(snapshot.measured) + len(snapshot.earlier)
    for method in methods:
        done[method] += len(lost)
    done[SCORE_METHOD] += sum(
        (layer.id, epoch) not in snapshot.earlier
        for layer in plan.layers
        if layer.id in lost and layer.network and plan.network_by_id[layer.network].control is None
        for epoch in plan.epochs
    )
    return done, planned, done.total() - made


def _epochs(snapshot: Snapshot, expected: Forecast) -> tuple[float, float]:
    """Return the seconds of training done and planned.

    They follow from a cohort's own time per network and epoch; where it has none, from the forecast's, corrected by how
    much slower or faster than forecast the other cohorts were.
    """
    plan = snapshot.plan
    rates = [
        epoch_s / max(len(cohort.networks), 1) for cohort, epoch_s in zip(plan.cohorts, expected.epochs, strict=True)
    ]
    of_network = {network.id: place for place, cohort in enumerate(plan.cohorts) for network in cohort.networks}
    seconds: dict[int, float] = defaultdict(float)
    counted: dict[int, int] = defaultdict(int)
    done: dict[int, int] = defaultdict(int)
    for history in snapshot.histories.values():
        place = of_network[history.networks[0]]
        done[place] += history.last * len(history.networks)
        for epoch, event in history.epochs.items():
            # The first epoch also warms up caches: it counts only while it is the only one.
            if epoch > 1 or history.last == 1:
                seconds[place] += event.seconds
                counted[place] += len(history.networks)
    foreseen = sum(rates[place] * counted[place] for place in seconds)
    correction = sum(seconds.values()) / foreseen if foreseen else 1.0
    spent = whole = 0.0
    for place, cohort in enumerate(plan.cohorts):
        rate = seconds[place] / counted[place] if counted[place] else rates[place] * correction
        spent += done[place] * rate
        whole += len(cohort.networks) * plan.settings.training.epochs * rate
    return spent, whole


def _embedding_rates(snapshot: Snapshot, expected: Forecast) -> dict[str, float]:
    """Return the seconds per embedding by method: measured, else forecast and corrected by t-SNE's where known."""
    found: dict[str, list[float]] = defaultdict(list)
    for (_, method), event in snapshot.measured.items():
        found[method].append(event.seconds)
    for event in snapshot.earlier.values():
        found[SCORE_METHOD].append(event.seconds)
    own = {method: sum(seconds) / len(seconds) for method, seconds in found.items()}
    correction = own[SCORE_METHOD] / expected.embeddings[SCORE_METHOD] if SCORE_METHOD in own else 1.0
    return {method: own.get(method, rate * correction) for method, rate in expected.embeddings.items()}
