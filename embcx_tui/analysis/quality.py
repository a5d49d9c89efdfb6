"""How well each embedding method did: quality numbers as means over runs."""

from __future__ import annotations

from collections import defaultdict

from embcx_tui.analysis.selection import Selection
from embcx_tui.study.plan import Network

# The numbers everybody knows, in this order; others follow.
QUALITY = ("trustworthiness", "continuity", "knn_2d")

Means = dict[str, dict[tuple[str, int], float]]


def quality_means(selection: Selection, networks: tuple[Network, ...]) -> Means:
    """Return, for each quality number, its mean over the networks that enter, by (method, layer).

    Degenerate layers never enter, whatever the method: the plane of equal rows says nothing of it.
    """
    found: dict[str, dict[tuple[str, int], list[float]]] = {name: defaultdict(list) for name in QUALITY}
    for network in networks:
        for layer in range(network.depth + 1):
            scored = selection.layer(network, layer)
            if scored is not None and scored.degenerate:
                continue
            for method in selection.snapshot.plan.settings.measure.methods:
                measured = selection.layer(network, layer, method)
                for name, value in (measured.quality if measured else {}).items():
                    if value is not None:
                        found.setdefault(name, defaultdict(list))[method, layer].append(value)
    return {
        name: {place: sum(values) / len(values) for place, values in cells.items()}
        for name, cells in found.items()
        if cells
    }
