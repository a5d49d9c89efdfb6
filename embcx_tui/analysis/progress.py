"""How far a study is and how long it still takes."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

from embcx_tui.analysis.forecast import SCORING, Forecast, forecast
from embcx_tui.store.calibration import ROUGH, from_values
from embcx_tui.store.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Progress:
    """Work done and planned. `fraction` 0 … 1 by time; `seconds_left` None while nothing is known."""

    network_epochs: int
    network_epochs_planned: int
    embeddings: int
    embeddings_planned: int
    fraction: float
    seconds_left: float | None


def progress(snapshot: Snapshot) -> Progress:
    """Return the progress of a study, by its own rates where it has measured any, else by its machine's calibration."""
    plan = snapshot.plan
    calibration = from_values(snapshot.machine.calibration) if snapshot.machine else None
    expected = forecast(plan, calibration or ROUGH)
    done, planned = _embeddings(snapshot)
    embedding_s = _embedding_rates(snapshot, expected)
    epochs = sum(history.last * len(history.networks) for history in snapshot.histories.values())
    epochs_spent, epochs_whole = _epochs(snapshot, expected)
    spent = epochs_spent + sum(count * embedding_s[method] for method, count in done.items())
    whole = epochs_whole + sum(count * embedding_s[method] for method, count in planned.items())
    complete = snapshot.state == "complete"
    known = calibration is not None or epochs > 0
    return Progress(
        network_epochs=epochs,
        network_epochs_planned=plan.network_epochs,
        embeddings=done.total(),
        embeddings_planned=plan.embeddings,
        fraction=1.0 if complete else min(spent / whole, 1.0) if whole else 0.0,
        seconds_left=0.0 if complete else max(whole - spent, 0.0) if known else None,
    )


def _embeddings(snapshot: Snapshot) -> tuple[Counter[str], Counter[str]]:
    """Return embeddings done and planned, by method; what a diverged network no longer needs counts as done."""
    plan = snapshot.plan
    methods: tuple[str, ...] = plan.settings.measure.methods
    planned = Counter({method: len(plan.layers) for method in methods})
    planned[SCORING] += plan.embeddings - planned.total()
    lost = {layer.id for layer in plan.layers if layer.network in snapshot.diverged}
    done = Counter(method for _, method in snapshot.measured.keys() | snapshot.failed.keys())
    done[SCORING] += len(snapshot.earlier.keys() | snapshot.earlier_failed.keys())
    for method in methods:
        done[method] += len(lost)
    done[SCORING] += sum(
        (layer.id, epoch) not in snapshot.earlier
        for layer in plan.layers
        if layer.id in lost and not str(layer.network).endswith("-shuffled")
        for epoch in plan.epochs
    )
    return done, planned


def _epochs(snapshot: Snapshot, expected: Forecast) -> tuple[float, float]:
    """Return seconds of training done and planned: a cohort's own rate a network-epoch, else the forecast's, corrected
    as far as other cohorts were slower or faster than theirs.
    """
    plan = snapshot.plan
    rates = [epoch_s / len(cohort.networks) for cohort, epoch_s in zip(plan.cohorts, expected.epochs, strict=True)]
    of_network = {network.id: place for place, cohort in enumerate(plan.cohorts) for network in cohort.networks}
    seconds: dict[int, float] = defaultdict(float)
    counted: dict[int, int] = defaultdict(int)
    done: dict[int, int] = defaultdict(int)
    for history in snapshot.histories.values():
        place = of_network[history.networks[0]]
        done[place] += history.last * len(history.networks)
        for epoch, event in history.epochs.items():
            # The first epoch warms caches up and would spoil the forecast where more are known.
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
    """Return seconds an embedding by method: measured, else the forecast's, corrected by t-SNE's where known."""
    found: dict[str, list[float]] = defaultdict(list)
    for (_, method), event in snapshot.measured.items():
        found[method].append(event.seconds)
    for event in snapshot.earlier.values():
        found[SCORING].append(event.seconds)
    own = {method: sum(seconds) / len(seconds) for method, seconds in found.items()}
    correction = own[SCORING] / expected.embeddings[SCORING] if SCORING in own else 1.0
    return {method: own.get(method, rate * correction) for method, rate in expected.embeddings.items()}
