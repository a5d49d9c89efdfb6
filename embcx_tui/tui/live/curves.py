"""Which training curves are shown: those of marked networks, else the means of each activation."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from embcx_tui.analysis.selection import flaw_predicate
from embcx_tui.figures.builders import QUANTITIES, training_curves
from embcx_tui.figures.model import Curve, Curves
from embcx_tui.store.snapshot import Quantity, Snapshot
from embcx_tui.study.naming import activation_index, run_name
from embcx_tui.study.text import safe_text

ORDER: tuple[Quantity, ...] = ("loss", "test_accuracy", "train_accuracy")
# Colour indices that no activation has: that of the chosen network, and the first of networks with shuffled labels.
_CHOSEN_COLOUR, _SHUFFLED_COLOUR = 5, 6


def curves(snapshot: Snapshot, marked: Sequence[str], chosen: str | None, quantity: Quantity) -> Curves:
    """Return the curves of the `marked` networks, else the mean of each activation and that of the `chosen` network."""
    name, unit = QUANTITIES[quantity]
    title = "Training loss" if quantity == "loss" else name.capitalize()
    if marked:
        drawn = training_curves(snapshot, marked, quantity)
        return replace(drawn, title=f"{title} of the marked networks", y_label=unit)
    lines = _means(snapshot, quantity)
    if chosen:
        own = training_curves(snapshot, [chosen], quantity).lines
        label = safe_text(run_name(snapshot.networks[chosen].network), 40)
        lines += [Curve(label, line.x, line.y, _CHOSEN_COLOUR) for line in own]
    plan = snapshot.plan.settings
    runs, mixed = plan.networks.runs, 1 if _apart(snapshot) else len(plan.networks.depths) * len(plan.data.datasets)
    count, kind = (runs, "runs") if mixed == 1 else (mixed * runs, "networks")
    words = "" if count == 1 else f", mean of {count:,} {kind}"
    return Curves(f"{title}{words}{_counted(snapshot)}", "epoch", unit, tuple(lines), "")


def _counted(snapshot: Snapshot) -> str:
    """Return in words how many networks at chance the means contain, and how many diverged ones."""
    flaws = [state.flaw for state in snapshot.networks.values() if state.at_chance and not state.network.control]
    parts = [f"{len(flaws):,} {flaw_predicate(flaws)}"] if flaws else []
    # These have no numbers after the epoch in which they diverged.
    parts += [f"{len(snapshot.diverged):,} diverged"] if snapshot.diverged else []
    return f" ({', '.join(parts)})" if parts else ""


def _apart(snapshot: Snapshot) -> bool:
    """Return whether each dataset and depth has its own curves: where these are at most two per activation."""
    settings = snapshot.plan.settings
    trained = 1 + ("shuffled" in settings.measure.controls)
    return len(settings.networks.depths) * len(settings.data.datasets) * trained <= 2


def _means(snapshot: Snapshot, quantity: Quantity) -> list[Curve]:
    """Return one mean per activation, or per dataset, depth and activation where `_apart`.

    Networks with shuffled labels always have their own curves: a mean with the others would describe neither.
    """
    groups: dict[tuple[str, ...], list[NDArray[np.float64]]] = defaultdict(list)
    grid, datasets = snapshot.plan.settings.networks, snapshot.plan.settings.data.datasets
    whole = _apart(snapshot)
    shuffled: set[tuple[str, ...]] = set()
    for history in snapshot.histories.values():
        for network_id in history.networks if history.last else ():
            network = snapshot.networks[network_id].network
            extra: tuple[str, ...] = (f"{network.depth} layers",) if whole and len(grid.depths) > 1 else ()
            extra += (network.dataset,) if whole and len(datasets) > 1 else ()
            extra += (network.control,) if network.control else ()
            key = (network.activation, *extra)
            groups[key].append(history.curve(network_id, quantity))
            if network.control:
                shuffled.add(key)
    means = []
    for key, values in sorted(groups.items(), key=lambda pair: activation_index(pair[0][0], snapshot.plan.settings)):
        longest = max(len(curve) for curve in values)
        table = np.full((len(values), longest), np.nan)
        for row, curve in zip(table, values, strict=True):
            row[: len(curve)] = curve
        with warnings.catch_warnings():
            # Where all networks of a group have diverged there is no mean, but a gap.
            warnings.simplefilter("ignore", RuntimeWarning)
            mean = np.nanmean(table, axis=0)
        x = np.arange(1, longest + 1, dtype=np.float64)
        colour = activation_index(key[0], snapshot.plan.settings) + (_SHUFFLED_COLOUR if key in shuffled else 0)
        means.append(Curve(safe_text(" ".join(key), 40), x, mean, colour))
    return means
