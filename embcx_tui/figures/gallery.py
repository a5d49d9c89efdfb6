"""Every figure that a study has data for, by the name that `embcx-tui export --figure` takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from numpy.typing import NDArray

from embcx_tui.analysis.correlation import points
from embcx_tui.analysis.selection import Exclusion, select
from embcx_tui.figures import builders, complexity_lines, extra_figures, paper_figures
from embcx_tui.figures.model import FigureBuilder, Panels
from embcx_tui.store.history import Quantity
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.events import SealedFile
from embcx_tui.study.naming import dataset_title, figure_kind, figure_name, network_figure_name, title_of


class _CachedLabels:
    """Loads arrays and keeps the labels of samples, which every panel of a figure asks for."""

    def __init__(self, load: builders.Load) -> None:
        self._load = load
        self._labels: dict[str, Mapping[str, NDArray[Any]]] = {}

    def __call__(self, sealed: SealedFile) -> Mapping[str, NDArray[Any]]:
        if sealed.sha256 not in self._labels:
            arrays = self._load(sealed)
            if "label" not in arrays:
                return arrays
            self._labels[sealed.sha256] = {"label": arrays["label"]}
        return self._labels[sealed.sha256]


def study_figures(
    snapshot: Snapshot, load: builders.Load, exclude_chance: Exclusion = False
) -> dict[str, FigureBuilder]:
    """Return the figures that this study has data for now, by name; each is built when it is called.

    First the paper's, `fig1` … `fig8`, with `-DATASET` after it where the dataset is not the paper's. Then for each
    dataset with several depths `lines-DATASET`, for each `accuracy-DATASET`, `training-DATASET`, for each depth
    `lines-DATASET-DEPTH`, `complexity-DATASET-DEPTH[-CONTROL]`, `controls-DATASET-DEPTH`, `epochs-DATASET-DEPTH`, for
    each activation `methods-DATASET-DEPTH-ACTIVATION`, and for each network
    `embedding-DATASET-DEPTH-ACTIVATION-runRUN[-CONTROL]`.
    """
    load = _CachedLabels(load)
    figures: dict[str, FigureBuilder] = {}
    datasets = snapshot.plan.settings.data.datasets
    selection = select(snapshot, exclude_chance)
    for figure in () if snapshot.plan.is_measured else paper_figures.FIGURES:
        for dataset in sorted(datasets, key=lambda name: name != figure.dataset):
            if paper_figures.is_available(selection, figure, dataset):
                name = figure.name if dataset == figure.dataset else figure_name(figure.name, dataset)
                figures[name] = partial(paper_figures.build, snapshot, figure, dataset, load, exclude_chance)
    hidden = {one.network for one in snapshot.measured.values() if one.network}
    for dataset in datasets:
        depths = {network.depth for network in snapshot.plan.networks if network.dataset == dataset}
        if len(depths) > 1 and any(n.id in hidden for n in snapshot.plan.networks if n.dataset == dataset):
            name = figure_name("lines", dataset)
            figures[name] = partial(complexity_lines.dataset_lines, snapshot, dataset, exclude_chance)
        if points(selection, dataset):
            name = figure_name("accuracy", dataset)
            figures[name] = partial(extra_figures.accuracy_dots, snapshot, dataset, exclude_chance)
        for depth in snapshot.plan.settings.networks.depths:
            figures |= _depth_figures(snapshot, dataset, depth, hidden, exclude_chance)
        trained = [n.id for n in snapshot.plan.networks if n.dataset == dataset and n.control is None]
        if any(history.last and set(history.networks) & set(trained) for history in snapshot.histories.values()):
            figures[figure_name("training", dataset)] = partial(_training, snapshot, dataset, trained)
    for network in snapshot.plan.networks:
        if network.id in hidden:
            figures[network_figure_name("embedding", network)] = partial(
                builders.network_embeddings, snapshot, network, load
            )
    return figures


def _depth_figures(
    snapshot: Snapshot, dataset: str, depth: int, hidden: set[str], exclude_chance: Exclusion
) -> dict[str, FigureBuilder]:
    figures: dict[str, FigureBuilder] = {}
    settings = snapshot.plan.settings
    known = [
        control
        for control in (None, *settings.controls)
        if any(one.id in hidden for one in builders.networks_at(snapshot, dataset, depth, None, control))
    ]
    if known:
        name = figure_name("lines", dataset, depth=depth)
        figures[name] = partial(complexity_lines.depth_lines, snapshot, dataset, depth, exclude_chance)
    for control in known:
        name = figure_name("complexity", dataset, depth=depth, control=control)
        figures[name] = partial(
            builders.activation_bars, snapshot, dataset, depth, control, exclude_chance=exclude_chance
        )
    if None in known and len(known) > 1:
        name = figure_name("controls", dataset, depth=depth)
        figures[name] = partial(extra_figures.control_curves, snapshot, dataset, depth, exclude_chance)
    if extra_figures.has_epochs(snapshot, dataset, depth):
        name = figure_name("epochs", dataset, depth=depth)
        figures[name] = partial(extra_figures.epoch_heat, snapshot, dataset, depth, exclude_chance)
    for activation in settings.networks.activations:
        if extra_figures.has_methods(snapshot, dataset, depth, activation):
            arguments = (snapshot, dataset, depth, activation, exclude_chance)
            name = figure_name("methods", dataset, depth=depth, activation=activation)
            figures[name] = partial(extra_figures.method_tables, *arguments)
    return figures


def _training(snapshot: Snapshot, dataset: str, networks: Sequence[str]) -> Panels:
    quantities: tuple[Quantity, ...] = ("loss", "test_accuracy")
    panels = tuple(
        replace(builders.training_curves(snapshot, networks, quantity), title=builders.QUANTITIES[quantity][0])
        for quantity in quantities
    )
    return Panels(title_of(dataset, "training"), panels, 1, "")


_ABOUT = {
    "accuracy": "complexity against test accuracy",
    "complexity": "complexity over layers, all activations",
    "controls": "trained networks against their controls",
    "embedding": "points of all layers",
    "epochs": "complexity over layer and epoch",
    "lines": "complexity along the layers, trained and controls",
    "methods": "quality of the embedding methods",
    "training": "loss and accuracy over epochs",
}


def about(name: str) -> str:
    """Return in a few words what the figure of this name shows; empty where there is no such kind of figure."""
    kind = figure_kind(name)
    figure = paper_figures.BY_NAME.get(kind)
    return f"the paper's: {figure.about}" if figure else _ABOUT.get(kind, "")


def resolve(figures: Mapping[str, object], name: str) -> str | None:
    """Return the full name of the figure that `name` means; None where there is none.

    The name of a figure of the paper, such as `fig2`, also means that figure for another dataset, if there is just one.
    """
    if name in figures:
        return name
    others = [known for known in figures if name in paper_figures.BY_NAME and figure_kind(known) == name]
    return others[0] if len(others) == 1 else None


def missing_paper_figures(figures: Mapping[str, object]) -> tuple[str, ...]:
    """Return the paper's figures that a study has no data for, each with the networks it needs."""
    return tuple(
        f"{one.name} ({one.needs})"
        for one in paper_figures.FIGURES
        if not any(figure_kind(known) == one.name for known in figures)
    )


def explain_missing(snapshot: Snapshot, figures: Mapping[str, object], name: str) -> str:
    """Return what a study lacks for the figure `name`, or which figures there are, in words."""
    figure = paper_figures.BY_NAME.get(figure_kind(name))
    if figure is None:
        known = ", ".join(list(figures)[:12]) + (", …" if len(figures) > 12 else "")
        return f"it has {known}, or all"
    others = [known for known in figures if figure_kind(known) == name]
    if others:
        return f"its dataset is not the paper's; it has {', '.join(others)}"
    settings = snapshot.plan.settings
    have = (
        f"{', '.join(dataset_title(one) for one in settings.data.datasets)}; depth "
        f"{', '.join(str(one) for one in settings.networks.depths)}; {', '.join(settings.networks.activations)}; "
        f"{', '.join(settings.measure.methods)}"
    )
    return f"it needs measured {figure.needs}; the study asks for {have}"
