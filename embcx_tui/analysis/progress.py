"""How far a study is and how long it still takes."""

from __future__ import annotations

from dataclasses import dataclass

from embcx_tui.store.snapshot import Snapshot

# Before the first measurement of this study: seconds on two CPU cores, from `embcx-tui bench` on such a machine. Only
# their ratio matters for the fraction done; the time left uses this study's own rates as soon as there are any.
_SECONDS_PER_INPUT_AND_WEIGHT = 2.5e-11
_EMBEDDING_SECONDS_PER_PAIR = 1.5e-7


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
    """Return the progress of a study, from its own rates where it has measured any."""
    plan = snapshot.plan
    # Work that a diverged network no longer needs counts as done.
    lost = {layer.id for layer in plan.layers if layer.network in snapshot.diverged}
    methods = plan.settings.measure.methods
    finished = len(snapshot.measured.keys() | snapshot.failed.keys())
    finished += len(snapshot.earlier.keys() | snapshot.earlier_failed.keys())
    needless = sum(layer.id in lost for layer in plan.layers) * len(methods)
    needless += sum(
        (layer.id, epoch) not in snapshot.earlier
        for layer in plan.layers
        if layer.id in lost and not str(layer.network).endswith("-shuffled")
        for epoch in plan.epochs
    )
    done_layers = finished + needless
    epochs = sum(history.last * len(history.networks) for history in snapshot.histories.values())
    epoch_s, embedding_s = _rates(snapshot)
    spent = epochs * epoch_s + done_layers * embedding_s
    whole = plan.network_epochs * epoch_s + plan.embeddings * embedding_s
    complete = snapshot.state == "complete"
    return Progress(
        network_epochs=epochs,
        network_epochs_planned=plan.network_epochs,
        embeddings=done_layers,
        embeddings_planned=plan.embeddings,
        fraction=1.0 if complete else min(spent / whole, 1.0) if whole else 0.0,
        seconds_left=0.0 if complete else max(whole - spent, 0.0) if epochs else None,
    )


def _rates(snapshot: Snapshot) -> tuple[float, float]:
    """Return seconds a network-epoch and seconds an embedding: measured, else guessed from the sizes."""
    plan = snapshot.plan
    # The first epoch warms caches up and would spoil the forecast where more are known.
    timed = [
        (event.seconds, len(history.networks))
        for history in snapshot.histories.values()
        for epoch, event in history.epochs.items()
        if epoch > 1 or history.last == 1
    ]
    measured = [event.seconds for event in snapshot.measured.values()]
    settings = plan.settings
    known = next(iter(snapshot.datasets.values()), None)
    inputs, features = (known.n_train, known.features) if known else (50_000, 784)
    points = (len(known.classes) if known else 10) * settings.data.samples_per_class
    weights = features * settings.networks.width + settings.networks.width**2 * max(settings.networks.depths)
    epoch_s = (
        sum(seconds for seconds, _ in timed) / sum(count for _, count in timed)
        if timed
        else inputs * weights * _SECONDS_PER_INPUT_AND_WEIGHT
    )
    embedding_s = sum(measured) / len(measured) if measured else points**2 * _EMBEDDING_SECONDS_PER_PAIR
    return epoch_s, embedding_s
