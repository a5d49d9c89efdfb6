"""How fast a running study trains and embeds, from its newest events."""

from __future__ import annotations

from embcx_tui.store.snapshot import Snapshot

# Only the newest epochs of the newest cohort, and the newest layers, count: older ones ran beside other work.
_EPOCHS, _LAYERS = 10, 50


def throughput(snapshot: Snapshot) -> tuple[str, ...]:
    """Return what is known of a running study's speed: `1.2 M samples/s`, `3.1 embeddings/s`.

    Samples are training inputs of all networks together.
    """
    if snapshot.state != "running":
        return ()
    rates = ((_samples(snapshot), "samples/s"), (_embeddings(snapshot), "embeddings/s"))
    return tuple(f"{short(rate)} {unit}" for rate, unit in rates if rate is not None)


def _samples(snapshot: Snapshot) -> float | None:
    for cohort in reversed(snapshot.plan.cohorts):
        history, data = snapshot.histories.get(cohort.id), snapshot.datasets.get(cohort.dataset)
        if not history or not history.last or not data:
            continue
        newest = [history.epochs[epoch] for epoch in range(history.last, 0, -1)[:_EPOCHS] if epoch in history.epochs]
        seconds = sum(event.seconds for event in newest)
        training = snapshot.plan.settings.training
        # Once all is trained, no samples are seen any more.
        if history.last >= training.epochs or not seconds:
            return None
        limit = snapshot.plan.settings.data.train_limit
        inputs = min(data.n_train, limit) if limit else data.n_train
        return inputs * len(history.networks) * len(newest) / seconds
    return None


def _embeddings(snapshot: Snapshot) -> float | None:
    finished = sorted(event.at for event in snapshot.measured.values())[-_LAYERS:]
    if len(finished) < 2 or finished[-1] <= finished[0]:
        return None
    return (len(finished) - 1) / (finished[-1] - finished[0])


def short(value: float) -> str:
    """Return a number in at most 5 characters: `0.42`, `8.1`, `950`, `41 k`, `1.2 M`."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= 0.9995 * size:
            scaled = value / size
            return f"{scaled:.1f}{unit}" if scaled < 9.95 else f"{scaled:.0f}{unit}"
    return f"{value:.2f}" if value < 0.995 else f"{value:.1f}" if value < 9.95 else f"{value:.0f}"
