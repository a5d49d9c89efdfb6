"""Studies or groups compared: complexity along the layers, a panel per activation, in it a line for each of them."""

from __future__ import annotations

from dataclasses import replace

from embcx_tui.analysis.comparison import SEPARATOR, Comparison
from embcx_tui.figures import builders, ticks
from embcx_tui.figures.complexity_lines import columns_of
from embcx_tui.figures.model import BarGroup, Lines, Panels
from embcx_tui.study.naming import compared_name, dataset_title, title_of
from embcx_tui.study.plan import Architecture


def comparison_lines(comparison: Comparison, dataset: str, depth: int) -> Panels:
    """Return a panel for each activation that a study has at this dataset and depth; all have one y axis.

    A line's colour is its study's, and controls are dashed. What makes the studies less than comparable stands below.
    """
    keys = [key for group in comparison.groups for key in group if (key.dataset, key.depth) == (dataset, depth)]
    panels = [_panel(comparison, dataset, depth, name) for name in dict.fromkeys(key.activation for key in keys)]
    values = [value for panel in panels for value in panel.values]
    scale = ticks.bounds(values) if values else None
    figures = tuple(replace(panel, scale=scale) for panel in panels)
    title = title_of(dataset, *comparison.place_words(depth), "KL (nats)")
    return Panels(title, figures, columns_of(len(figures)), " · ".join(comparison.caveats))


def _panel(comparison: Comparison, dataset: str, depth: int, activation: str) -> Lines:
    groups: list[BarGroup] = []
    for place, (name, selection) in enumerate(zip(comparison.names, comparison.selections, strict=True)):
        for control in (None, *selection.snapshot.plan.settings.controls):
            key = Architecture(dataset, depth, activation, control)
            if networks := comparison.groups[place].get(key):
                bars = builders.architecture_bars(selection, networks, networks[0].depth, name, activation)
                groups.append(replace(bars, place=place, control=control or ""))
    return Lines(activation, "KL (nats)", tuple(groups), "layer")


def comparison_name(comparison: Comparison, dataset: str, depth: int) -> str:
    """Return the name of the figure of a place, which is that of its file: what is compared, where."""
    keys = [key for group in comparison.groups for key in group if (key.dataset, key.depth) == (dataset, depth)]
    activations = {key.activation for key in keys}
    one = activations.pop() if len(activations) == 1 else ""
    # What the groups differ in is in their names.
    where = [dataset_title(dataset) if SEPARATOR not in dataset else "", "" if comparison.depths else f"{depth}"]
    return compared_name(comparison.names, *where, one if SEPARATOR not in one else "", comparison.common)


def differences_name(comparison: Comparison) -> str:
    """Return the name of the file of all differences."""
    return compared_name(comparison.names, comparison.common, "differences")
