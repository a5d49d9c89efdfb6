"""What the layer browser shows, as figures for a file: the values on the screen, in words that stand without it.

A file does not depend on the size of the window: of a part that is enlarged it holds the rectangle alone, and of
several panels all. What its name says comes from ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from embcx_tui.analysis.selection import select
from embcx_tui.figures.builders import hidden_layers, how_words, printed_name, title_of
from embcx_tui.figures.model import Bars, Dots, Figure, Heat, Panels, Scatter
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study import ids
from embcx_tui.study.plan import Network
from embcx_tui.tui.export.save import ExportFigure
from embcx_tui.tui.layers.charts import NO_MEAN, Chart, flaws
from embcx_tui.tui.layers.embeddings import AlignedEmbedding
from embcx_tui.tui.layers.messages import method_words
from embcx_tui.tui.layers.plane import VOTERS, neighbour_accuracy
from embcx_tui.tui.layers.viewport import View, extent

# Ids of more networks than this make a name too long to read.
_MOST_IDS = 3
_MOST_COLUMNS = 4
_ACCURACY = "test accuracy"


def chart_shown(
    figure: Figure,
    chart: Chart,
    snapshot: Snapshot,
    network: Network,
    depth_only: bool,
    marked: Sequence[Network],
    exclude_chance: bool = False,
) -> ExportFigure:
    """Return the chart `figure` of the upper panel; `depth_only`: of all activations of a depth.

    `exclude_chance`: networks at chance are not in it, which its note says; the name does too.
    """
    without = "-without-chance" if exclude_chance else ""
    key = ids.dataset_key(network.dataset)
    control = f"-{network.control}" if network.control else ""
    if isinstance(figure, Bars):
        figure = replace(figure, chosen=None)
        if len(marked) > 1:
            words = [*flaws(snapshot, marked), NO_MEAN, how_words(select(snapshot), marked, runs=False)]
            figure = replace(figure, title=_common(marked), note=" · ".join(filter(None, words)))
            return ExportFigure(f"complexity-{_names(marked)}", f"complexity of {len(marked)} networks", figure)
        if depth_only:
            return ExportFigure(
                f"complexity-{key}-{network.depth}{control}{without}", "complexity of all activations", figure
            )
        name = f"complexity-{key}-{network.depth}-{network.activation}{control}{without}"
        return ExportFigure(name, f"complexity of {network.activation}, {hidden_layers(network.depth)}", figure)
    if chart == "accuracy" and isinstance(figure, Dots):
        # Where there is little room the title stands for the axis' words.
        title = title_of(network.dataset, "complexity against accuracy")
        figure = replace(figure, title=title, y_label=_ACCURACY, chosen=None)
        return ExportFigure(f"accuracy-{key}{without}", "complexity against accuracy", figure)
    if isinstance(figure, Panels):
        heats = (replace(one, chosen=None) if isinstance(one, Heat) else one for one in figure.figures)
        figure = replace(figure, figures=tuple(heats), chosen=None)
    one = ""
    if isinstance(figure, Panels) and len(figure.figures) == 1:
        # A narrow panel leaves out what the tree says.
        over = title_of(network.dataset, hidden_layers(network.depth), "complexity over training", network.activation)
        figure, one = replace(figure, title=over), f"-{network.activation}"
    return ExportFigure(f"{chart}-{key}-{network.depth}{one}{without}", f"complexity over {chart}", figure)


def points_shown(
    figure: Scatter, cloud: AlignedEmbedding, snapshot: Snapshot, network: Network, layer: int, view: View
) -> ExportFigure:
    """Return the points of one layer; counts among which of them neighbours agree (12 ms for 1,000 points)."""
    measured = snapshot.layer(network, layer, view.method)
    score = None if measured is None or measured.kl is None else f"KL {measured.kl:.3f}"
    place = "input" if layer == 0 else f"layer {layer}"
    method = None if view.method == "tsne" else method_words(view.method)
    title = title_of(network.dataset, *_who(network, layer), place, method, score)
    figure = replace(figure, view=view.rect)
    seen = figure.seen
    how = (
        how_words(select(snapshot), [network], view.method, runs=False)
        if layer == 0
        else _how(snapshot, [network], view)
    )
    parts = [how, *_left_out(view, figure, cloud)]
    if view.rect is not None:
        parts.append(f"enlarged ×{view.magnification(extent(cloud)):.1f}")
    if view.rect is not None or not seen.all():
        parts.append(f"{int(seen.sum()):,} of {len(seen):,} points in sight")
    accuracy = neighbour_accuracy(cloud.points[seen], cloud.sample.labels[seen])
    if accuracy is not None:
        parts.append(f"{VOTERS}-NN accuracy in the plane {100 * accuracy:.1f} %")
    if figure.chosen is not None and seen[figure.chosen]:
        parts.append(_ring(figure, cloud, figure.chosen))
    figure = replace(figure, title=title, note=" · ".join(filter(None, parts)))
    name = f"embedding-{_name(network, layer)}-{'input' if layer == 0 else f'layer{layer}'}"
    return ExportFigure(
        f"{name}{_seen_name(view)}", f"points of {place}, {network.activation}, run {network.run}", figure
    )


def grid_shown(
    figure: Panels, snapshot: Snapshot, network: Network, layer: int, view: View, networks: Sequence[Network]
) -> ExportFigure:
    """Return several layers side by side: of one network, of all activations, or of marked `networks`."""
    place = "input" if layer == 0 else f"layer {layer}"
    key = ids.dataset_key(network.dataset)
    method = None if view.method == "tsne" else method_words(view.method)
    end = _seen_name(view)
    if view.grid == "layers":
        title = title_of(network.dataset, *_who(network), method)
        name, words = f"embedding-{_name(network)}-layers", "points of all layers"
    elif view.grid == "activations":
        control = network.control
        title = title_of(network.dataset, hidden_layers(network.depth), control, f"run {network.run}", place, method)
        name = f"embedding-{key}-{network.depth}-run{network.run}{f'-{control}' if control else ''}-layer{layer}"
        words = f"points of {place}, all activations"
    else:
        title = " · ".join(filter(None, [_common(networks), place, method]))
        name, words = f"embedding-{_names(networks)}-layer{layer}", f"points of {len(networks)} networks, {place}"
    scatters = [one for one in figure.figures if isinstance(one, Scatter)]
    parts = [_how(snapshot, networks, view)]
    if view.isolated is not None and scatters and view.isolated < len(scatters[0].classes):
        parts.append(f"class {scatters[0].classes[view.isolated]} alone")
    parts += ["misclassified points alone"] if view.missed else []
    parts += ["the same part of each plane"] if view.rect is not None else []
    parts += ["ring: the same input"] if any(one.chosen is not None for one in scatters) else []
    count = len(figure.figures)
    columns = count if count <= _MOST_COLUMNS else 3 if count in (5, 6, 9) else _MOST_COLUMNS
    return ExportFigure(f"{name}{end}", words, replace(figure, title=title, columns=columns, note=" · ".join(parts)))


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


def _how(snapshot: Snapshot, networks: Sequence[Network], view: View, hidden: bool = True) -> str:
    # As on the screen: what a method leaves open (angle, mirror, size) is chosen so that points stay near.
    aligned = "Procrustes-aligned to the layer before" if hidden or view.method != "tsne" else ""
    return " · ".join(filter(None, [how_words(select(snapshot), networks, view.method, runs=False), aligned]))


def _left_out(view: View, figure: Scatter, cloud: AlignedEmbedding) -> list[str]:
    parts = []
    if view.isolated is not None and view.isolated < len(figure.classes):
        parts.append(f"class {figure.classes[view.isolated]} alone")
    if view.missed:
        known = cloud.missed is not None
        parts.append("misclassified points alone" if known else "this network's answers are not known")
    return parts


def _ring(figure: Scatter, cloud: AlignedEmbedding, row: int) -> str:
    def named(label: int) -> str:
        return figure.classes[label] if 0 <= label < len(figure.classes) else str(label)

    words = f"ring: training input {int(cloud.sample.index[row])}, class {named(int(cloud.sample.labels[row]))}"
    return words if cloud.predicted is None else f"{words}, taken for {named(int(cloud.predicted[row]))}"


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


def _seen_name(view: View) -> str:
    """Return what of the points is shown, as the end of a file's name; empty: all, by t-SNE."""
    parts = [
        view.method if view.method != "tsne" else "",
        "" if view.isolated is None else f"class{view.isolated}",
        "misclassified" if view.missed else "",
        "part" if view.rect is not None else "",
    ]
    return "".join(f"-{part}" for part in parts if part)
