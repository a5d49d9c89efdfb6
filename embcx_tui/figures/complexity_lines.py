"""The main figure: complexity along the layers as lines, all activations, trained networks and controls on one axis."""

from __future__ import annotations

from dataclasses import replace

from embcx_tui.analysis.selection import Exclusion, Selection, select
from embcx_tui.figures import builders, ticks
from embcx_tui.figures.model import BarGroup, Lines, Panels
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.naming import hidden_layers, title_of
from embcx_tui.study.plan import Network


def depth_lines(snapshot: Snapshot, dataset: str, depth: int, exclude_chance: Exclusion = False) -> Lines:
    """Return the complexity along the layers of all networks of a depth: a line per activation and control."""
    selection = select(snapshot, exclude_chance)
    groups, networks = _groups(selection, dataset, depth)
    note = builders.measure_note(selection, dataset, networks)
    title = title_of(dataset, hidden_layers(depth, measured=snapshot.plan.is_measured))
    names = {network.names for network in networks}
    common = names.pop() if len(names) == 1 else ()
    return Lines(title, builders.COMPLEXITY, groups, "layer", note=note, layer_names=common)


def study_lines(snapshot: Snapshot) -> Lines:
    """Return the figure that stands for a study: `depth_lines` of its first dataset and its deepest networks."""
    first = snapshot.plan.networks[0]
    depth = max(network.depth for network in snapshot.plan.networks if network.dataset == first.dataset)
    return depth_lines(snapshot, first.dataset, depth)


def dataset_lines(snapshot: Snapshot, dataset: str, exclude_chance: Exclusion = False) -> Panels:
    """Return `depth_lines` of every depth of a dataset, which all have one y axis."""
    selection = select(snapshot, exclude_chance)
    every: list[Network] = []
    panels = []
    for depth in sorted(snapshot.plan.settings.networks.depths):
        groups, networks = _groups(selection, dataset, depth)
        every += networks
        panels.append(Lines(f"{depth} layer{'s' * (depth > 1)}", "KL (nats)", groups, "layer"))
    values = [value for panel in panels for value in panel.values]
    scale = ticks.bounds(values) if values else None
    figures = tuple(replace(panel, scale=scale) for panel in panels)
    note = builders.measure_note(selection, dataset, every)
    return Panels(title_of(dataset, "KL (nats) along the layers"), figures, columns_of(len(figures)), note)


def columns_of(count: int) -> int:
    """Return in how many columns so many panels stand: rows as even as they can be, four columns at most."""
    rows = -(-count // 4)
    return -(-count // rows) if rows else 1


def _groups(selection: Selection, dataset: str, depth: int) -> tuple[tuple[BarGroup, ...], list[Network]]:
    """Return a group of bars for each activation and control that the study has, and all their networks."""
    settings = selection.snapshot.plan.settings
    groups, every = [], []
    for control in (None, *settings.controls):
        for activation in selection.snapshot.plan.activations_at(dataset, depth, control):
            networks = builders.networks_at(selection.snapshot, dataset, depth, activation, control)
            group = builders.architecture_bars(selection, networks, depth, activation, activation)
            groups.append(replace(group, control=control or ""))
            every += networks
    return tuple(groups), every
