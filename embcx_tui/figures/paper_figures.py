"""The eight figures of Kuzma & Farkaš 2019, from any study that holds their data.

A figure is built for the paper's dataset or, labelled so, for another one. The note under it names what the paper
shows and the study does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from embcx_tui.analysis.selection import Exclusion, Selection, select
from embcx_tui.figures import builders
from embcx_tui.figures.builders import missing, missing_words
from embcx_tui.figures.model import Bars, Figure, Panels
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.naming import METHOD_NAMES, printed_name
from embcx_tui.study.plan import Network
from embcx_tui.study.settings import ACTIVATIONS, SCORE_METHOD, Method

# The order of the paper's list, "of increasing sophistication".
_METHOD_ORDER: tuple[Method, ...] = ("pca", "lle", "mds", "isomap", SCORE_METHOD)
_PAPER_RUNS = 5
_DEEP = 7


@dataclass(frozen=True)
class PaperFigure:
    """One figure of the paper: its number, its dataset, what it shows, and the networks it needs.

    `depths`, `activations`, `runs` and `methods` (of embedding) are the paper's. `least_depths` is the number of those
    depths that a study must have for the figure to make sense.
    """

    number: int
    dataset: str
    about: str
    depths: tuple[int, ...]
    activations: tuple[str, ...]
    runs: int = _PAPER_RUNS
    least_depths: int = 1
    methods: tuple[Method, ...] = (SCORE_METHOD,)

    @property
    def name(self) -> str:
        return f"fig{self.number}"

    @property
    def needs(self) -> str:
        """The networks that a study must have measured, in words."""
        depths = ", ".join(str(depth) for depth in self.depths)
        some = f"at least {self.least_depths} of the depths {depths}" if self.least_depths > 1 else f"depth {depths}"
        methods = ", and methods beside t-SNE" if len(self.methods) > 1 else ""
        return f"networks of {some} with {' or '.join(self.activations)}{methods}"


FIGURES = (
    PaperFigure(1, "svhn", "embedding methods compared", (_DEEP,), ("softsign",), 1, methods=_METHOD_ORDER),
    PaperFigure(2, "mnist", "5 hidden layers", (5,), ACTIVATIONS),
    PaperFigure(3, "mnist", "relu, 3 to 5 hidden layers", (3, 4, 5), ("relu",), least_depths=2),
    PaperFigure(4, "svhn", "7 hidden layers", (_DEEP,), ACTIVATIONS),
    PaperFigure(5, "svhn", "embeddings of one run, 7 hidden layers", (_DEEP,), ACTIVATIONS, 1),
    PaperFigure(6, "svhn", "relu, 4 to 7 hidden layers", (4, 5, 6, 7), ("relu",), least_depths=2),
    PaperFigure(7, "svhn", "last layers, relu, 4 to 7 hidden layers", (4, 5, 6, 7), ("relu",), 1, least_depths=2),
    # The paper does not say which activation its figure 8 shows: relu where the study has it.
    PaperFigure(8, "svhn", "last four layers of 7", (_DEEP,), ("relu", "softsign", "tanh", "logsig"), 1),
)
BY_NAME: Mapping[str, PaperFigure] = {figure.name: figure for figure in FIGURES}


def is_available(selection: Selection, figure: PaperFigure, dataset: str) -> bool:
    """Tell whether a study has measured enough of `dataset` to draw `figure`."""
    networks = _networks(selection, figure, dataset)
    depths = {one.depth for one in networks if _measured(selection, one, figure)}
    return len(depths) >= figure.least_depths


def _measured(selection: Selection, network: Network, figure: PaperFigure) -> bool:
    beside = [method for method in figure.methods if method != SCORE_METHOD]
    if beside:
        return any(selection.layer(network, network.depth, method) for method in beside)
    return any(selection.layer(network, layer) for layer in range(1, network.depth + 1))


def _networks(selection: Selection, figure: PaperFigure, dataset: str) -> list[Network]:
    return [
        network
        for depth in figure.depths
        for activation in figure.activations
        for network in builders.networks_at(selection.snapshot, dataset, depth, activation)
    ]


def build(
    snapshot: Snapshot, figure: PaperFigure, dataset: str, load: builders.Load, exclude_chance: Exclusion
) -> Figure:
    """Return `figure` with the data of `dataset`; its note says what differs from the paper."""
    selection = select(snapshot, exclude_chance)
    return BUILDERS[figure.number](selection, figure, dataset, load)


def _title(figure: PaperFigure, dataset: str, networks: Sequence[Network]) -> str:
    like = "" if dataset == figure.dataset else "like "
    return f"{like}Fig. {figure.number} · {printed_name(dataset)} · {_about(figure, networks)}"


def _about(figure: PaperFigure, networks: Sequence[Network]) -> str:
    """Return what a figure shows, with the study's depths where some of the paper's are missing."""
    depths = sorted({one.depth for one in networks})
    if len(figure.depths) == 1 or tuple(depths) == figure.depths:
        return figure.about
    words = " and ".join(filter(None, [", ".join(str(depth) for depth in depths[:-1]), str(depths[-1])]))
    return figure.about.replace(f"{figure.depths[0]} to {figure.depths[-1]}", words)


def _differences(selection: Selection, figure: PaperFigure, dataset: str, networks: Sequence[Network]) -> list[str]:
    """Return in what the study differs from the paper, in words."""
    grid = selection.snapshot.plan.settings.networks
    parts = []
    if dataset != figure.dataset:
        parts.append(f"not the paper's dataset ({printed_name(figure.dataset)})")
    depths = [str(depth) for depth in figure.depths if depth not in {one.depth for one in networks}]
    if depths:
        parts.append(f"not in this study: depth {', '.join(depths)}")
    absent = [activation for activation in figure.activations if activation not in grid.activations]
    if absent and figure.number != 8:
        parts.append(f"not in this study: {', '.join(absent)}")
    if grid.runs < figure.runs:
        parts.append(f"the paper has {figure.runs} runs")
    return parts


def _note(
    selection: Selection,
    figure: PaperFigure,
    dataset: str,
    networks: Sequence[Network],
    layers: Sequence[int] | None = None,
    gone: Sequence[str] | None = None,
) -> str:
    """Return how the values were measured, what is missing (`gone`; None: of these `layers`) and what differs."""
    gone = missing(selection, networks, layers=layers) if gone is None else gone
    parts = [builders.how_words(selection, networks, runs=figure.runs > 1), *missing_words(gone)]
    parts += builders.chance_words(selection, networks) + _differences(selection, figure, dataset, networks)
    return " · ".join(filter(None, parts))


def _bars(selection: Selection, figure: PaperFigure, dataset: str, load: builders.Load) -> Bars:
    """Return a group of bars per depth and activation, named by whichever of the two differs."""
    networks = _networks(selection, figure, dataset)
    groups = tuple(
        builders.architecture_bars(
            selection, found, depth, f"{depth} layers" if len(figure.depths) > 1 else activation, activation
        )
        for depth in figure.depths
        for activation in figure.activations
        if (found := [one for one in networks if (one.depth, one.activation) == (depth, activation)])
    )
    note = _note(selection, figure, dataset, networks)
    return Bars(_title(figure, dataset, networks), builders.COMPLEXITY, groups, "layer", note=note)


def _one_run(selection: Selection, networks: Sequence[Network]) -> list[Network]:
    """Return the networks of the run with the most measured layers, of the first such run."""
    counts: dict[int, int] = {}
    for network in networks:
        known = sum(selection.layer(network, layer) is not None for layer in range(network.depth + 1))
        counts[network.run] = counts.get(network.run, 0) + known
    best = min(counts, key=lambda run: (-counts[run], run), default=None)
    return [network for network in networks if network.run == best]


def _run_title(figure: PaperFigure, dataset: str, networks: Sequence[Network], *more: str) -> str:
    return " · ".join([_title(figure, dataset, networks), *more, *[f"run {one.run}" for one in networks[:1]]])


def _methods(selection: Selection, figure: PaperFigure, dataset: str, load: builders.Load) -> Panels:
    networks = _one_run(selection, _networks(selection, figure, dataset))
    (network,) = networks
    asked = selection.snapshot.plan.settings.measure.methods
    panels = []
    for method in figure.methods:
        if method in asked:
            name = METHOD_NAMES[method]
            measured = selection.layer(network, network.depth, method)
            right = measured.quality.get("knn_2d") if measured else None
            panel = builders.embedding(selection.snapshot, network, network.depth, load, method, name)
            title = panel.title if right is None else f"{panel.title} · k-NN {right:.2f}"
            panels.append(replace(panel, title=title))
    gone = [METHOD_NAMES[method] for method in figure.methods if method not in asked]
    parts = [_note(selection, figure, dataset, networks, [network.depth])]
    parts += [f"methods not in this study: {', '.join(gone)}"] if gone else []
    title = _run_title(figure, dataset, networks, network.activation, f"layer {network.depth}")
    return Panels(title, tuple(panels), 3, " · ".join(parts))


def _all_layers(selection: Selection, figure: PaperFigure, dataset: str, load: builders.Load) -> Panels:
    networks = _one_run(selection, _networks(selection, figure, dataset))
    panels = tuple(
        panel
        for one in networks
        for panel in builders.layers_turned(
            [
                builders.embedding(selection.snapshot, one, layer, load, name=f"{one.activation} {layer or 'input'}")
                for layer in range(one.depth + 1)
            ]
        )
    )
    note = f"{_note(selection, figure, dataset, networks)} · {builders.TURNED}"
    return Panels(_run_title(figure, dataset, networks), panels, _DEEP + 1, note)


def _last_layers(selection: Selection, figure: PaperFigure, dataset: str, load: builders.Load) -> Panels:
    networks = _one_run(selection, _networks(selection, figure, dataset))
    panels = tuple(
        builders.embedding(selection.snapshot, one, one.depth, load, name=f"{one.depth} layers") for one in networks
    )
    parts = [missing(selection, [one], layers=[one.depth]) for one in networks]
    gone = [f"{one.depth} layers: {words}" for one, found in zip(networks, parts, strict=True) for words in found]
    note = _note(selection, figure, dataset, networks, gone=gone)
    return Panels(_run_title(figure, dataset, networks), panels, 2, note)


def _last_four(selection: Selection, figure: PaperFigure, dataset: str, load: builders.Load) -> Panels:
    all_networks = _networks(selection, figure, dataset)
    known = [one for one in all_networks if _measured(selection, one, figure)]
    activation = known[0].activation
    networks = _one_run(selection, [one for one in all_networks if one.activation == activation])
    (network,) = networks
    layers = range(network.depth - 3, network.depth + 1)
    panels = builders.layers_turned([builders.embedding(selection.snapshot, network, layer, load) for layer in layers])
    note = f"{_note(selection, figure, dataset, networks, layers)} · {builders.TURNED}"
    return Panels(_run_title(figure, dataset, networks, activation), panels, 2, note)


BUILDERS: dict[int, Callable[[Selection, PaperFigure, str, builders.Load], Figure]] = {
    1: _methods,
    2: _bars,
    3: _bars,
    4: _bars,
    5: _all_layers,
    6: _bars,
    7: _last_layers,
    8: _last_four,
}
