"""Studies compared: complexity along the layers, a panel per activation, in it a line per study on one axis."""

from __future__ import annotations

from dataclasses import replace

from embcx_tui.analysis.comparison import Comparison
from embcx_tui.figures import builders, ticks
from embcx_tui.figures.complexity_lines import columns_of
from embcx_tui.figures.model import BarGroup, Lines, Panels
from embcx_tui.study.naming import hidden_layers, title_of


def comparison_lines(comparison: Comparison, dataset: str, depth: int) -> Panels:
    """Return a panel for each activation that a study has at this dataset and depth; all have one y axis.

    A line's colour is its study's, and controls are dashed. What makes the studies less than comparable stands below.
    """
    activations: dict[str, None] = {}
    for selection in comparison.selections:
        for key in selection.architectures():
            if (key.dataset, key.depth) == (dataset, depth):
                activations[key.activation] = None
    panels = [_panel(comparison, dataset, depth, activation) for activation in activations]
    values = [value for panel in panels for value in panel.values]
    scale = ticks.bounds(values) if values else None
    figures = tuple(replace(panel, scale=scale) for panel in panels)
    title = title_of(dataset, hidden_layers(depth), "KL (nats)")
    return Panels(title, figures, columns_of(len(figures)), " · ".join(comparison.caveats))


def _panel(comparison: Comparison, dataset: str, depth: int, activation: str) -> Lines:
    groups: list[BarGroup] = []
    for place, (name, selection) in enumerate(zip(comparison.names, comparison.selections, strict=True)):
        for control in (None, *selection.snapshot.plan.settings.controls):
            networks = builders.networks_at(selection.snapshot, dataset, depth, activation, control)
            if networks:
                group = builders.architecture_bars(selection, networks, depth, name, activation)
                groups.append(replace(group, place=place, control=control or ""))
    return Lines(activation, "KL (nats)", tuple(groups), "layer")
