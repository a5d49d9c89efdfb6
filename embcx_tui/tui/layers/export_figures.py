"""Figures for a file of what the layer browser shows: the values on the screen, with words that need no screen.

A file does not depend on the size of the window: it holds just the rectangle that is zoomed to, and all of several
panels, including those for which the screen has no room. The names of files are made of ids.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from embcx_tui.analysis.selection import select
from embcx_tui.figures.builders import how_words
from embcx_tui.figures.model import Bars, Dots, Figure, Heat, Lines, Panels, Scatter
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.naming import (
    common_title,
    comparison_name,
    figure_name,
    hidden_layers,
    layer_name,
    method_name,
    network_figure_name,
    title_of,
)
from embcx_tui.study.plan import Network, Source
from embcx_tui.study.settings import SCORE_METHOD
from embcx_tui.tui.export.save import ExportFigure
from embcx_tui.tui.layers.charts import NO_MEAN, flaws
from embcx_tui.tui.layers.controller import LayersController
from embcx_tui.tui.layers.embeddings import VOTERS, AlignedEmbedding, measured_at, neighbour_accuracy
from embcx_tui.tui.layers.scatter_cache import ScatterResult, layer_grid
from embcx_tui.tui.layers.selection import Chart, LayerSelection, NetworkLayer

_MOST_COLUMNS = 4
_ROOM_FOR_ALL = (10_000, 10_000)  # cells: more than any grid takes
_ACCURACY = "test accuracy"
_TAKEN = "misclassified points in colour, with the class they are taken for"


def nearest_figure(network: Network, chart: Chart | None) -> str:
    """Return the name of the study's figure nearest to the `chart` shown of `network`, or to its points (None)."""
    if chart == "lines":
        return figure_name("lines", network.dataset, depth=network.depth)
    if chart:
        return figure_name("complexity", network.dataset, depth=network.depth, control=network.control)
    return network_figure_name("embedding", network)


async def figures_shown(
    controller: LayersController, chart: Figure | None, scatter: Figure | None, chart_first: bool
) -> dict[str, ExportFigure]:
    """Return the figures of what is on the screen, by their words in the export window.

    Parameters
    ----------
    chart : the figure of the upper panel; None where there is none
    scatter : the points of one layer, or several layers side by side; None where there are none
    chart_first : which of the two comes first
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
        panels, networks = await _full_grid(controller, snapshot, shown)
        if panels:
            figures["points shown"] = grid_figure(panels, snapshot, shown, selection, networks)
    return figures if chart_first else dict(reversed(figures.items()))


async def _full_grid(
    controller: LayersController, snapshot: Snapshot, shown: NetworkLayer
) -> tuple[Panels | None, tuple[Network, ...]]:
    """Return all panels side by side, also those for which the screen has no room, and their networks."""
    figure: Figure | None = None
    selection, scatters = controller.selection, controller.scatters
    grid = layer_grid(snapshot, shown, selection)
    for _ in range(2):  # the panels that are not on the screen may have to be read first
        result = scatters.grid(snapshot, grid, selection, _ROOM_FOR_ALL) if scatters else ScatterResult()
        figure = result.figure
        if scatters is None or not await scatters.embeddings.arrays.fetch(result.missing):
            break
    networks = dict.fromkeys(target.network for target in grid.layers)
    return figure if isinstance(figure, Panels) else None, tuple(networks)


def chart_figure(figure: Figure, snapshot: Snapshot, network: Network, selection: LayerSelection) -> ExportFigure:
    """Return the chart `figure` of the upper panel; its name and note say where networks at chance are left out."""
    compared, endings = selection.compared, ("without-chance",) if selection.exclude_chance else ()
    dataset, depth, activation, control = network.architecture
    if isinstance(figure, (Bars, Lines)):
        figure = replace(figure, chosen=None)
        kind = "complexity" if isinstance(figure, Bars) else "lines"
        if len(compared) > 1:
            words = [*flaws(snapshot, compared), NO_MEAN, how_words(select(snapshot), compared, runs=False)]
            figure = replace(figure, title=common_title(compared), note=" · ".join(filter(None, words)))
            name = comparison_name(kind, compared)
            return ExportFigure(name, f"complexity of {len(compared)} networks", figure)
    if selection.chart == "lines":
        several = isinstance(figure, Panels)
        if isinstance(figure, Panels):
            panels = (replace(one, chosen=None) for one in figure.figures if isinstance(one, Lines))
            figure = replace(figure, figures=tuple(panels), chosen=None)
        elif isinstance(figure, Lines):
            figure = replace(figure, highlight=None)
        name = figure_name("lines", dataset, depth=None if several else depth, endings=endings)
        return ExportFigure(name, f"lines of {'all depths' if several else hidden_layers(depth)}", figure)
    if isinstance(figure, Bars):
        all_activations = selection.node is not None and selection.node.activation is None
        title = f"complexity of {'all activations' if all_activations else f'{activation}, {hidden_layers(depth)}'}"
        name = figure_name(
            "complexity",
            dataset,
            depth=depth,
            activation=None if all_activations else activation,
            control=control,
            endings=endings,
        )
        return ExportFigure(name, title, figure)
    if selection.chart == "accuracy" and isinstance(figure, Dots):
        # On a small screen the title stands for the labels of the axes.
        title = "complexity against accuracy"
        figure = replace(figure, title=title_of(dataset, title), y_label=_ACCURACY, chosen=None)
        return ExportFigure(figure_name("accuracy", dataset, endings=endings), title, figure)
    if isinstance(figure, Heat):
        figure = replace(figure, chosen=None)
        return ExportFigure(network_figure_name("confusion", network), "confusion matrix", figure)
    single = isinstance(figure, Panels) and len(figure.figures) == 1
    if isinstance(figure, Panels):
        heats = (replace(heat, chosen=None) if isinstance(heat, Heat) else heat for heat in figure.figures)
        # A narrow panel leaves out of its title what the tree shows.
        title = title_of(dataset, hidden_layers(depth), "complexity over training", activation)
        figure = replace(figure, title=title if single else figure.title, figures=tuple(heats), chosen=None)
    only = activation if single else None
    name = figure_name(selection.chart, dataset, depth=depth, activation=only, endings=endings)
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
    measured = measured_at(snapshot, network, layer, selection.method, selection.epoch)
    epoch = measured.epoch if measured else None
    score = None if measured is None or measured.kl is None else f"KL {measured.kl:.3f}"
    method = None if selection.method == SCORE_METHOD else method_name(selection.method)
    after = None if epoch is None else f"epoch {epoch}"
    title = title_of(network.dataset, *_who(network, layer), layer_name(layer), after, method, score)
    figure = replace(figure, view=selection.viewport.rect)
    visible = figure.seen
    parts = [_how(snapshot, [network], selection, aligned=layer > 0), *_left_out(selection, figure, embedding)]
    if selection.viewport.rect is not None:
        parts.append(f"enlarged ×{selection.viewport.magnification(embedding.bounds):.1f}")
    if selection.viewport.rect is not None or not visible.all():
        how = "in colour" if figure.context else "in sight"
        parts.append(f"{int(visible.sum()):,} of {len(visible):,} points {how}")
    accuracy = neighbour_accuracy(embedding.points[visible], embedding.sample.labels[visible])
    if accuracy is not None:
        parts.append(f"{VOTERS}-NN accuracy in the plane {100 * accuracy:.1f} %")
    if figure.chosen is not None and visible[figure.chosen]:
        parts.append(_ring(figure, embedding, figure.chosen, network.source))
    figure = replace(figure, title=title, note=" · ".join(filter(None, parts)))
    if layer == 0:
        name = figure_name("embedding", network.dataset, run=network.run, endings=("input", *_endings(selection)))
    else:
        name = network_figure_name("embedding", network, f"layer{layer}", *_endings(selection, epoch))
    return ExportFigure(name, f"points of {layer_name(layer)}, {network.activation}, run {network.run}", figure)


def grid_figure(
    figure: Panels,
    snapshot: Snapshot,
    shown: NetworkLayer,
    selection: LayerSelection,
    networks: Sequence[Network],
) -> ExportFigure:
    """Return several layers side by side: those of one network, of all activations, or of the compared `networks`."""
    network, layer = shown
    method = None if selection.method == SCORE_METHOD else method_name(selection.method)
    epoch = selection.epoch
    endings = (f"layer{layer}", *_endings(selection, epoch))
    if selection.grid == "layers":
        title = title_of(network.dataset, *_who(network), method)
        name = network_figure_name("embedding", network, "layers", *_endings(selection, epoch))
        words = "points of all layers"
    elif selection.grid == "activations":
        dataset, depth, control, run = network.dataset, network.depth, network.control, network.run
        title = title_of(dataset, hidden_layers(depth), control, f"run {run}", layer_name(layer), method)
        name = figure_name("embedding", dataset, depth=depth, run=run, control=control, endings=endings)
        words = f"points of {layer_name(layer)}, all activations"
    else:
        title = " · ".join(filter(None, [common_title(networks), layer_name(layer), method]))
        name = comparison_name("embedding", networks, *endings)
        words = f"points of {len(networks)} networks, {layer_name(layer)}"
    scatters = [panel for panel in figure.figures if isinstance(panel, Scatter)]
    parts = [_how(snapshot, networks, selection)]
    if selection.class_index is not None and scatters and selection.class_index < len(scatters[0].classes):
        parts.append(f"class {scatters[0].classes[selection.class_index]} in colour")
    parts += [_TAKEN] if selection.misclassified else []
    parts += ["the same part of each plane"] if selection.viewport.rect is not None else []
    parts += ["ring: the same input"] if any(scatter.chosen is not None for scatter in scatters) else []
    count = len(figure.figures)
    columns = count if count <= _MOST_COLUMNS else 3 if count in (5, 6, 9) else _MOST_COLUMNS
    figure = replace(figure, title=title, columns=columns, note=" · ".join(parts))
    return ExportFigure(name, words, figure)


def _who(network: Network, layer: int = 1) -> tuple[str | None, ...]:
    """Return which network this is, in parts of a title; all of a run share the input."""
    if layer == 0:
        return (f"run {network.run}",)
    return (hidden_layers(network.depth), network.activation, network.control, f"run {network.run}")


def _how(snapshot: Snapshot, networks: Sequence[Network], selection: LayerSelection, aligned: bool = True) -> str:
    # As on the screen: rotation, mirroring and size, which a method leaves open, are chosen so that points stay near.
    words = "Procrustes-aligned to the layer before" if aligned else ""
    return " · ".join(filter(None, [how_words(select(snapshot), networks, selection.method, runs=False), words]))


def _left_out(selection: LayerSelection, figure: Scatter, embedding: AlignedEmbedding) -> list[str]:
    parts = []
    if selection.class_index is not None and selection.class_index < len(figure.classes):
        parts.append(f"class {figure.classes[selection.class_index]} in colour")
    if selection.misclassified:
        known = embedding.misclassified is not None
        parts.append(_TAKEN if known else "this network's predictions are not known")
    return parts


def _ring(figure: Scatter, embedding: AlignedEmbedding, row: int, source: Source) -> str:
    def class_name(label: int) -> str:
        return figure.classes[label] if 0 <= label < len(figure.classes) else str(label)

    sample, predicted = embedding.sample, embedding.predicted
    part = "training" if source == "train" else "test"
    near = "; its neighbours: discs in the layer, rings in the plane" if figure.near_plane else ""
    words = f"ring: {part} input {int(sample.index[row])}, class {class_name(int(sample.labels[row]))}"
    return f"{words if predicted is None else f'{words}, taken for {class_name(int(predicted[row]))}'}{near}"


def _endings(selection: LayerSelection, epoch: int | None = None) -> tuple[str, ...]:
    """Return the endings of a file's name that say which points are shown; none: all, by t-SNE, at the end."""
    endings = (
        "" if epoch is None else f"epoch{epoch}",
        selection.method if selection.method != SCORE_METHOD else "",
        "" if selection.class_index is None else f"class{selection.class_index}",
        "misclassified" if selection.misclassified else "",
        "part" if selection.viewport.rect is not None else "",
    )
    return tuple(filter(None, endings))
