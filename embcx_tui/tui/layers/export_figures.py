"""What the layer browser shows, as figures for a file: the values on the screen, in words that stand without it.

A file does not depend on the size of the window: of a part that is enlarged it holds the rectangle alone, and of
several panels all. What its name says comes from ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from embcx_tui.analysis.selection import select
from embcx_tui.figures.builders import how_words
from embcx_tui.figures.model import Bars, Dots, Figure, Heat, Panels, Scatter
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
from embcx_tui.study.plan import Network
from embcx_tui.study.settings import SCORE_METHOD
from embcx_tui.tui.layers.charts import NO_MEAN, Chart, flaws
from embcx_tui.tui.layers.embeddings import AlignedEmbedding
from embcx_tui.tui.layers.plane import VOTERS, neighbour_accuracy
from embcx_tui.tui.layers.viewport import View, extent

_MOST_COLUMNS = 4
_ACCURACY = "test accuracy"


@dataclass(frozen=True)
class Shown:
    """A figure to be saved: its file's `name` (without format), and `title`, what a person calls it."""

    name: str
    title: str
    figure: Figure


def chart_shown(
    figure: Figure,
    chart: Chart,
    snapshot: Snapshot,
    network: Network,
    depth_only: bool,
    marked: Sequence[Network],
    exclude_chance: bool = False,
) -> Shown:
    """Return the chart `figure` of the upper panel; `depth_only`: of all activations of a depth.

    `exclude_chance`: networks at chance are not in it, which its note says; the name does too.
    """
    endings = ("without-chance",) if exclude_chance else ()
    dataset, depth, activation, control = network.architecture
    if isinstance(figure, Bars):
        figure = replace(figure, chosen=None)
        if len(marked) > 1:
            words = [*flaws(snapshot, marked), NO_MEAN, how_words(select(snapshot), marked, runs=False)]
            figure = replace(figure, title=common_title(marked), note=" · ".join(filter(None, words)))
            return Shown(comparison_name("complexity", marked), f"complexity of {len(marked)} networks", figure)
        if depth_only:
            name = figure_name("complexity", dataset, depth=depth, control=control, endings=endings)
            return Shown(name, "complexity of all activations", figure)
        name = figure_name(
            "complexity", dataset, depth=depth, activation=activation, control=control, endings=endings
        )  # fmt: skip
        return Shown(name, f"complexity of {activation}, {hidden_layers(depth)}", figure)
    if chart == "accuracy" and isinstance(figure, Dots):
        # Where there is little room the title stands for the axis' words.
        title = title_of(dataset, "complexity against accuracy")
        figure = replace(figure, title=title, y_label=_ACCURACY, chosen=None)
        return Shown(figure_name("accuracy", dataset, endings=endings), "complexity against accuracy", figure)
    if isinstance(figure, Panels):
        heats = (replace(one, chosen=None) if isinstance(one, Heat) else one for one in figure.figures)
        figure = replace(figure, figures=tuple(heats), chosen=None)
    only = None
    if isinstance(figure, Panels) and len(figure.figures) == 1:
        # A narrow panel leaves out what the tree says.
        only = activation
        title = title_of(dataset, hidden_layers(depth), "complexity over training", activation)
        figure = replace(figure, title=title)
    name = figure_name(chart, dataset, depth=depth, activation=only, endings=endings)
    return Shown(name, f"complexity over {chart}", figure)


def points_shown(
    figure: Scatter, cloud: AlignedEmbedding, snapshot: Snapshot, network: Network, layer: int, view: View
) -> Shown:
    """Return the points of one layer; counts among which of them neighbours agree (12 ms for 1,000 points)."""
    measured = snapshot.layer(network, layer, view.method)
    score = None if measured is None or measured.kl is None else f"KL {measured.kl:.3f}"
    place = layer_name(layer)
    method = None if view.method == SCORE_METHOD else method_name(view.method)
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
    if layer == 0:
        name = figure_name("embedding", network.dataset, run=network.run, endings=("input", *_view_endings(view)))
    else:
        name = network_figure_name("embedding", network, f"layer{layer}", *_view_endings(view))
    return Shown(name, f"points of {place}, {network.activation}, run {network.run}", figure)


def grid_shown(
    figure: Panels, snapshot: Snapshot, network: Network, layer: int, view: View, networks: Sequence[Network]
) -> Shown:
    """Return several layers side by side: of one network, of all activations, or of marked `networks`."""
    place = layer_name(layer)
    method = None if view.method == SCORE_METHOD else method_name(view.method)
    endings = (f"layer{layer}", *_view_endings(view))
    if view.grid == "layers":
        title = title_of(network.dataset, *_who(network), method)
        name = network_figure_name("embedding", network, "layers", *_view_endings(view))
        words = "points of all layers"
    elif view.grid == "activations":
        control = network.control
        title = title_of(network.dataset, hidden_layers(network.depth), control, f"run {network.run}", place, method)
        name = figure_name(
            "embedding", network.dataset, depth=network.depth, run=network.run, control=control, endings=endings
        )  # fmt: skip
        words = f"points of {place}, all activations"
    else:
        title = " · ".join(filter(None, [common_title(networks), place, method]))
        name = comparison_name("embedding", networks, *endings)
        words = f"points of {len(networks)} networks, {place}"
    scatters = [one for one in figure.figures if isinstance(one, Scatter)]
    parts = [_how(snapshot, networks, view)]
    if view.isolated is not None and scatters and view.isolated < len(scatters[0].classes):
        parts.append(f"class {scatters[0].classes[view.isolated]} alone")
    parts += ["misclassified points alone"] if view.missed else []
    parts += ["the same part of each plane"] if view.rect is not None else []
    parts += ["ring: the same input"] if any(one.chosen is not None for one in scatters) else []
    count = len(figure.figures)
    columns = count if count <= _MOST_COLUMNS else 3 if count in (5, 6, 9) else _MOST_COLUMNS
    return Shown(name, words, replace(figure, title=title, columns=columns, note=" · ".join(parts)))


def _who(network: Network, layer: int = 1) -> tuple[str | None, ...]:
    """Return which network this is, in parts of a title; all of a run share the input."""
    if layer == 0:
        return (f"run {network.run}",)
    return (hidden_layers(network.depth), network.activation, network.control, f"run {network.run}")


def _how(snapshot: Snapshot, networks: Sequence[Network], view: View, hidden: bool = True) -> str:
    # As on the screen: what a method leaves open (angle, mirror, size) is chosen so that points stay near.
    aligned = "Procrustes-aligned to the layer before" if hidden or view.method != SCORE_METHOD else ""
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


def _view_endings(view: View) -> tuple[str, ...]:
    """Return what of the points is shown, as endings of a figure's name; none: all points, by t-SNE."""
    endings = (
        view.method if view.method != SCORE_METHOD else "",
        "" if view.isolated is None else f"class{view.isolated}",
        "misclassified" if view.missed else "",
        "part" if view.rect is not None else "",
    )
    return tuple(filter(None, endings))
