"""Figures for a file of what the layer browser shows: the values on the screen, with words that need no screen.

A file does not depend on the size of the window: it holds just the rectangle that is zoomed to, and all of several
panels, including those for which the screen has no room. The names of files are made of ids.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from embcx_tui.analysis.selection import select
from embcx_tui.figures.builders import hidden_layers, how_words, printed_name, title_of
from embcx_tui.figures.model import Bars, Dots, Figure, Heat, Panels, Scatter
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study import ids
from embcx_tui.study.plan import Network
from embcx_tui.tui.export.save import ExportFigure
from embcx_tui.tui.layers.charts import NO_MEAN, flaws
from embcx_tui.tui.layers.controller import LayersController
from embcx_tui.tui.layers.embeddings import VOTERS, AlignedEmbedding, neighbour_accuracy
from embcx_tui.tui.layers.messages import method_words
from embcx_tui.tui.layers.selection import LayerSelection, NetworkLayer

# Ids of more networks than this make a name too long to read.
_MOST_IDS = 3
_MOST_COLUMNS = 4
_ACCURACY = "test accuracy"


def named_figure(network: Network, chart: bool) -> str:
    """Return the name, as in `embcx-tui export --figure`, of the study's figure nearest to what is shown."""
    key = ids.dataset_key(network.dataset)
    control = f"-{network.control}" if network.control else ""
    if chart:
        return f"complexity-{key}-{network.depth}{control}"
    return f"embedding-{key}-{network.depth}-{network.activation}-run{network.run}{control}"


async def figures_shown(
    controller: LayersController, chart: Figure | None, scatter: Figure | None
) -> dict[str, ExportFigure]:
    """Return the figures of what is on the screen, by their words in the export window.

    Parameters
    ----------
    chart : the figure of the upper panel; None where there is none
    scatter : the points of one layer, or several layers side by side; None where there are none
    """
    snapshot, shown, selection = controller.snapshot, controller.shown, controller.selection
    figures: dict[str, ExportFigure] = {}
    if snapshot is None or shown is None:
        return figures
    if chart is not None:
        figures["chart shown"] = chart_figure(chart, snapshot, shown.network, selection)
    if isinstance(scatter, Scatter) and (embedding := controller.embedding(shown)):
        points = await asyncio.to_thread(points_figure, scatter, embedding, snapshot, shown, selection)
        figures["points shown"] = points
    elif isinstance(scatter, Panels):
        panels, networks = await controller.full_grid()
        if panels:
            figures["points shown"] = grid_figure(panels, snapshot, shown, selection, networks)
    return figures


def chart_figure(figure: Figure, snapshot: Snapshot, network: Network, selection: LayerSelection) -> ExportFigure:
    """Return the chart `figure` of the upper panel; its name and note say where networks at chance are left out."""
    compared = selection.compared
    without = "-without-chance" if selection.exclude_chance else ""
    key = ids.dataset_key(network.dataset)
    control = f"-{network.control}" if network.control else ""
    if isinstance(figure, Bars):
        figure = replace(figure, chosen=None)
        if len(compared) > 1:
            words = [*flaws(snapshot, compared), NO_MEAN, how_words(select(snapshot), compared, runs=False)]
            figure = replace(figure, title=_common(compared), note=" · ".join(filter(None, words)))
            return ExportFigure(f"complexity-{_names(compared)}", f"complexity of {len(compared)} networks", figure)
        if selection.node and selection.node.activation is None:
            name = f"complexity-{key}-{network.depth}{control}{without}"
            return ExportFigure(name, "complexity of all activations", figure)
        name = f"complexity-{key}-{network.depth}-{network.activation}{control}{without}"
        return ExportFigure(name, f"complexity of {network.activation}, {hidden_layers(network.depth)}", figure)
    if selection.chart == "accuracy" and isinstance(figure, Dots):
        # On a small screen the title stands for the labels of the axes.
        title = title_of(network.dataset, "complexity against accuracy")
        figure = replace(figure, title=title, y_label=_ACCURACY, chosen=None)
        return ExportFigure(f"accuracy-{key}{without}", "complexity against accuracy", figure)
    activation = ""
    if isinstance(figure, Panels):
        heats = (replace(heat, chosen=None) if isinstance(heat, Heat) else heat for heat in figure.figures)
        figure = replace(figure, figures=tuple(heats), chosen=None)
        if len(figure.figures) == 1:
            # A narrow panel leaves out of its title what the tree shows.
            parts = hidden_layers(network.depth), "complexity over training", network.activation
            figure, activation = replace(figure, title=title_of(network.dataset, *parts)), f"-{network.activation}"
    name = f"{selection.chart}-{key}-{network.depth}{activation}{without}"
    return ExportFigure(name, f"complexity over {selection.chart}", figure)


def points_figure(
    figure: Scatter,
    embedding: AlignedEmbedding,
    snapshot: Snapshot,
    shown: NetworkLayer,
    selection: LayerSelection,
) -> ExportFigure:
    """Return the points of one layer; its note has the accuracy of neighbours' votes (12 ms for 1,000 points)."""
    network, layer = shown
    measured = snapshot.layer(network, layer, selection.method)
    score = None if measured is None or measured.kl is None else f"KL {measured.kl:.3f}"
    layer_name = "input" if layer == 0 else f"layer {layer}"
    method = None if selection.method == "tsne" else method_words(selection.method)
    title = title_of(network.dataset, *_who(network, layer), layer_name, method, score)
    figure = replace(figure, view=selection.viewport.rect)
    visible = figure.seen
    parts = [_how(snapshot, [network], selection, aligned=layer > 0), *_left_out(selection, figure, embedding)]
    if selection.viewport.rect is not None:
        parts.append(f"enlarged ×{selection.viewport.magnification(embedding.bounds):.1f}")
    if selection.viewport.rect is not None or not visible.all():
        parts.append(f"{int(visible.sum()):,} of {len(visible):,} points in sight")
    accuracy = neighbour_accuracy(embedding.points[visible], embedding.sample.labels[visible])
    if accuracy is not None:
        parts.append(f"{VOTERS}-NN accuracy in the plane {100 * accuracy:.1f} %")
    if figure.chosen is not None and visible[figure.chosen]:
        parts.append(_ring(figure, embedding, figure.chosen))
    figure = replace(figure, title=title, note=" · ".join(filter(None, parts)))
    name = f"embedding-{_name(network, layer)}-{'input' if layer == 0 else f'layer{layer}'}{_suffix(selection)}"
    return ExportFigure(name, f"points of {layer_name}, {network.activation}, run {network.run}", figure)


def grid_figure(
    figure: Panels,
    snapshot: Snapshot,
    shown: NetworkLayer,
    selection: LayerSelection,
    networks: Sequence[Network],
) -> ExportFigure:
    """Return several layers side by side: those of one network, of all activations, or of the compared `networks`."""
    network, layer = shown
    layer_name = "input" if layer == 0 else f"layer {layer}"
    method = None if selection.method == "tsne" else method_words(selection.method)
    if selection.grid == "layers":
        title = title_of(network.dataset, *_who(network), method)
        name, words = f"embedding-{_name(network)}-layers", "points of all layers"
    elif selection.grid == "activations":
        control, run = network.control, f"run {network.run}"
        title = title_of(network.dataset, hidden_layers(network.depth), control, run, layer_name, method)
        group = f"{ids.dataset_key(network.dataset)}-{network.depth}-run{network.run}{f'-{control}' if control else ''}"
        name, words = f"embedding-{group}-layer{layer}", f"points of {layer_name}, all activations"
    else:
        title = " · ".join(filter(None, [_common(networks), layer_name, method]))
        name, words = f"embedding-{_names(networks)}-layer{layer}", f"points of {len(networks)} networks, {layer_name}"
    scatters = [panel for panel in figure.figures if isinstance(panel, Scatter)]
    parts = [_how(snapshot, networks, selection)]
    if selection.class_index is not None and scatters and selection.class_index < len(scatters[0].classes):
        parts.append(f"class {scatters[0].classes[selection.class_index]} alone")
    parts += ["misclassified points alone"] if selection.misclassified else []
    parts += ["the same part of each plane"] if selection.viewport.rect is not None else []
    parts += ["ring: the same input"] if any(scatter.chosen is not None for scatter in scatters) else []
    count = len(figure.figures)
    columns = count if count <= _MOST_COLUMNS else 3 if count in (5, 6, 9) else _MOST_COLUMNS
    figure = replace(figure, title=title, columns=columns, note=" · ".join(parts))
    return ExportFigure(f"{name}{_suffix(selection)}", words, figure)


def _who(network: Network, layer: int = 1) -> tuple[str | None, ...]:
    """Return which network this is, in parts of a title; all of a run share the input."""
    if layer == 0:
        return (f"run {network.run}",)
    return (hidden_layers(network.depth), network.activation, network.control, f"run {network.run}")


def _common(networks: Sequence[Network]) -> str:
    """Return what all these networks have in common, which the names of panels and groups leave out."""
    parts = [
        (printed_name(one.dataset), hidden_layers(one.depth), one.activation, one.control or "", f"run {one.run}")
        for one in networks
    ]
    same = (kinds.pop() for place in range(5) if len(kinds := {part[place] for part in parts}) == 1)
    return " · ".join(filter(None, same)) or f"{len(networks)} networks"


def _how(snapshot: Snapshot, networks: Sequence[Network], selection: LayerSelection, aligned: bool = True) -> str:
    # As on the screen: rotation, mirroring and size, which a method leaves open, are chosen so that points stay near.
    words = "Procrustes-aligned to the layer before" if aligned else ""
    return " · ".join(filter(None, [how_words(select(snapshot), networks, selection.method, runs=False), words]))


def _left_out(selection: LayerSelection, figure: Scatter, embedding: AlignedEmbedding) -> list[str]:
    parts = []
    if selection.class_index is not None and selection.class_index < len(figure.classes):
        parts.append(f"class {figure.classes[selection.class_index]} alone")
    if selection.misclassified:
        known = embedding.misclassified is not None
        parts.append("misclassified points alone" if known else "this network's answers are not known")
    return parts


def _ring(figure: Scatter, embedding: AlignedEmbedding, row: int) -> str:
    def class_name(label: int) -> str:
        return figure.classes[label] if 0 <= label < len(figure.classes) else str(label)

    sample, predicted = embedding.sample, embedding.predicted
    words = f"ring: training input {int(sample.index[row])}, class {class_name(int(sample.labels[row]))}"
    return words if predicted is None else f"{words}, taken for {class_name(int(predicted[row]))}"


def _name(network: Network, layer: int = 1) -> str:
    key = ids.dataset_key(network.dataset)
    if layer == 0:
        return f"{key}-run{network.run}"
    control = f"-{network.control}" if network.control else ""
    return f"{key}-{network.depth}-{network.activation}-run{network.run}{control}"


def _names(networks: Sequence[Network]) -> str:
    named = [network.id for network in networks]
    if len(named) <= _MOST_IDS:
        return "_".join(named)
    return f"{named[0]}-and-{len(named) - 1}-more-{ids.short_hash(*named, length=4)}"


def _suffix(selection: LayerSelection) -> str:
    """Return the end of a file's name, which says which points are shown; empty: all, by t-SNE."""
    parts = [
        selection.method if selection.method != "tsne" else "",
        "" if selection.class_index is None else f"class{selection.class_index}",
        "misclassified" if selection.misclassified else "",
        "part" if selection.viewport.rect is not None else "",
    ]
    return "".join(f"-{part}" for part in parts if part)
