"""Which chart Live shows: the complexity by layer, or the training curves of marked networks or of activations."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from embcx_tui.analysis.selection import flaw_predicate
from embcx_tui.figures.builders import QUANTITIES, training_curves
from embcx_tui.figures.complexity_lines import columns_of, dataset_lines, depth_lines
from embcx_tui.figures.model import Curve, Curves, Lines, Panels
from embcx_tui.store.history import Quantity
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.naming import activation_index, hidden_layers, run_name
from embcx_tui.study.text import safe_text

# What a chart of Live shows, in the order of the key.
Chart = Literal["kl", "loss", "test_accuracy", "train_accuracy"]
ORDER: tuple[Chart, ...] = ("kl", "loss", "test_accuracy", "train_accuracy")
# A panel of several is at least so large, in cells.
_PANEL_WIDTH, _PANEL_HEIGHT = 30, 9
# Colour indices that no activation has: that of the chosen network, and the first of networks with shuffled labels.
_CHOSEN_COLOUR, _SHUFFLED_COLOUR = 5, 6
NOTHING_MEASURED = "No layer is measured yet.\nLines begin with the first; b shows the training."


def natural_chart(snapshot: Snapshot) -> Chart:
    """Return the chart that fits what the study does: its loss while it trains, the complexity once it measures."""
    epochs = snapshot.plan.settings.training.epochs
    training = any(0 < history.last < epochs for history in snapshot.histories.values())
    return "kl" if snapshot.measured and (not training or snapshot.state != "running") else "loss"


def nothing_trained(snapshot: Snapshot) -> str:
    """Return what stands in place of training curves before the first epoch, or where nothing is trained."""
    if snapshot.plan.is_measured:
        return "These networks were trained elsewhere.\nTheir layers are on the Layers screen."
    return "No epoch is trained yet.\nCurves begin with the first."


def complexity(snapshot: Snapshot, chosen: str | None, size: tuple[int, int]) -> Lines | Panels | None:
    """Return the complexity by layer of the `chosen` network's dataset, else of the one measured last; None if none is.

    All depths side by side where `size` (columns, rows) has room for them, else one.
    """
    if not snapshot.measured:
        return None
    if chosen is None:
        newest = next(reversed(list(snapshot.measured.values())))
        same = (one.id for one in snapshot.plan.networks if one.dataset == newest.dataset)
        chosen = newest.network or next(same)
    network = snapshot.networks[chosen].network
    depths = snapshot.plan.settings.networks.depths
    across = columns_of(len(depths))
    if len(depths) > 1 and _has_room(size, len(depths), across):
        return dataset_lines(snapshot, network.dataset)
    return depth_lines(snapshot, network.dataset, network.depth)


def _has_room(size: tuple[int, int], panels: int, across: int) -> bool:
    rows = -(-panels // across)
    return size[0] >= across * _PANEL_WIDTH and size[1] >= rows * _PANEL_HEIGHT + 2


def curves(
    snapshot: Snapshot,
    marked: Sequence[str],
    chosen: str | None,
    quantity: Quantity,
    size: tuple[int, int] = (0, 0),
    log: bool = False,
) -> Curves | Panels:
    """Return the curves of the `marked` networks, else the mean of each activation and that of the `chosen` network.

    Where `size` (columns, rows) has room for them, each depth has a panel of its own. `log`: a logarithmic y axis.
    """
    name, unit = QUANTITIES[quantity]
    title = f"{'Training loss' if quantity == 'loss' else name.capitalize()}{', log axis' if log else ''}"
    if marked:
        drawn = training_curves(snapshot, marked, quantity)
        return replace(drawn, title=f"{title} of the marked networks", y_label=unit, log=log)
    depths, panels = snapshot.plan.settings.networks.depths, []
    across = columns_of(len(depths))
    if len(depths) > 1 and len(snapshot.plan.settings.data.datasets) == 1 and _has_room(size, len(depths), across):
        for depth in sorted(depths):
            lines = [*_means(snapshot, quantity, depth), *_own(snapshot, chosen, quantity, depth)]
            panels.append(Curves(hidden_layers(depth), "epoch", unit, tuple(lines), log=log))
        return Panels(f"{title}{_of_runs(snapshot, 1)}{_counted(snapshot)}", tuple(panels), across)
    lines = [*_means(snapshot, quantity), *_own(snapshot, chosen, quantity)]
    mixed = 1 if _apart(snapshot) else len(depths) * len(snapshot.plan.settings.data.datasets)
    return Curves(f"{title}{_of_runs(snapshot, mixed)}{_counted(snapshot)}", "epoch", unit, tuple(lines), log=log)


def _own(snapshot: Snapshot, chosen: str | None, quantity: Quantity, depth: int | None = None) -> list[Curve]:
    """Return the curve of the chosen network, where it has this depth."""
    if chosen is None or depth not in (None, snapshot.networks[chosen].network.depth):
        return []
    own = training_curves(snapshot, [chosen], quantity).lines
    label = safe_text(run_name(snapshot.networks[chosen].network), 40)
    return [Curve(label, line.x, line.y, _CHOSEN_COLOUR) for line in own]


def _of_runs(snapshot: Snapshot, mixed: int) -> str:
    """Return in words what the means are of; `mixed`: how many kinds of networks are in each."""
    runs = snapshot.plan.settings.networks.runs
    count, kind = (runs, "runs") if mixed == 1 else (mixed * runs, "networks")
    return "" if count == 1 else f", mean of {count:,} {kind}"


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


def _means(snapshot: Snapshot, quantity: Quantity, depth: int | None = None) -> list[Curve]:
    """Return one mean per activation, of one `depth` or all, or per dataset, depth and activation where `_apart`.

    Networks with shuffled labels always have their own curves: a mean with the others would describe neither.
    """
    groups: dict[tuple[str, ...], list[NDArray[np.float64]]] = defaultdict(list)
    grid, datasets = snapshot.plan.settings.networks, snapshot.plan.settings.data.datasets
    whole = _apart(snapshot) and depth is None
    shuffled: set[tuple[str, ...]] = set()
    for history in snapshot.histories.values():
        for network_id in history.networks if history.last else ():
            network = snapshot.networks[network_id].network
            if depth not in (None, network.depth):
                continue
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
