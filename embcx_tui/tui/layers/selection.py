"""What is selected in the layer browser: a node of the tree, a layer, networks to compare, and which of the points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from embcx_tui.analysis.groups import Group
from embcx_tui.study.naming import network_name
from embcx_tui.study.plan import Network, Plan
from embcx_tui.study.settings import METHODS, SCORE_METHOD
from embcx_tui.tui.layers.embeddings import AlignedEmbedding
from embcx_tui.tui.layers.viewport import Viewport

Chart = Literal["lines", "bars", "table", "confusion", "epochs", "accuracy"]
Grid = Literal["layers", "activations", "runs"]


@dataclass(frozen=True, slots=True)
class NodeKey:
    """A node of the tree. A field that is None is left open, from right to left; `control` None: trained networks."""

    dataset: str
    depth: int | None = None
    activation: str | None = None
    run: int | None = None
    control: str | None = None

    def contains(self, network: Network) -> bool:
        """Tell whether `network` lies under this node."""
        return (
            network.dataset == self.dataset
            and network.control == self.control
            and self.depth in (None, network.depth)
            and self.activation in (None, network.activation)
            and self.run in (None, network.run)
        )

    @property
    def group(self) -> Group:
        """The networks under this node, as a group that is compared."""
        named = (("dataset", self.dataset), ("depth", self.depth), ("activation", self.activation))
        fields = {name: value for name, value in named if value is not None}
        return Group({**fields, "control": self.control}, self.run)

    def holds(self, other: NodeKey) -> bool:
        """Tell whether `other` is this node, or under it in the tree."""
        fields = ((self.depth, other.depth), (self.activation, other.activation), (self.run, other.run))
        # Controls stand under the nodes of datasets and depths.
        control = self.control == other.control or (self.control is None and self.activation is None)
        return self.dataset == other.dataset and control and all(mine in (None, theirs) for mine, theirs in fields)

    def network(self, plan: Plan) -> Network | None:
        """Return the network shown for the node: its own, or the first run of its first activation and least depth."""
        under = [network for network in plan.networks if self.contains(network)]
        least_depth = min((network.depth for network in under), default=0)
        return next((network for network in under if network.depth == least_depth), None)


def node_key_of(network: Network) -> NodeKey:
    """Return the leaf of one network."""
    return NodeKey(network.dataset, network.depth, network.activation, network.run, network.control)


class NetworkLayer(NamedTuple):
    """A layer of a network; layer 0 is the input."""

    network: Network
    layer: int


@dataclass(frozen=True, slots=True)
class Branch:
    """A node to build, with its label and the nodes under it."""

    label: str
    node: NodeKey
    under: tuple[Branch, ...] = ()

    def nodes(self) -> Iterator[NodeKey]:
        """Yield this node and all under it, from top to bottom."""
        yield self.node
        for branch in self.under:
            yield from branch.nodes()

    def matching(self, plan: Plan, words: tuple[str, ...]) -> Branch | None:
        """Return the part that leads to networks whose names hold all `words`; None where there are none."""
        if self.node.run is not None:
            network = self.node.network(plan)
            name = network_name(network).lower() if network else ""
            return self if all(word in name for word in words) else None
        under = tuple(part for branch in self.under if (part := branch.matching(plan, words)))
        return Branch(self.label, self.node, under) if under else None


class StudyTree:
    """The networks of a study as a tree: those whose names hold all `words`, which are in lower case."""

    def __init__(self, plan: Plan, words: tuple[str, ...] = ()) -> None:
        self.settings = plan.settings
        self.words = words
        self.branches = tuple(part for branch in _branches(plan) if (part := branch.matching(plan, words)))
        self.nodes = tuple(node for branch in self.branches for node in branch.nodes())
        self.leaves = tuple(node for node in self.nodes if node.run is not None)

    @property
    def first_activation(self) -> NodeKey | None:
        """The first node that stands for several runs, where browsing begins; a model has perhaps one alone."""
        several = next((node for node in self.nodes if node.activation and node.run is None), None)
        return several or next(iter(self.leaves), None)


def _branches(plan: Plan) -> Iterator[Branch]:
    """Yield the branch of each dataset; controls come under their own word, after the trained networks."""
    settings = plan.settings
    if plan.is_measured:
        yield from _model_branches(plan)
        return
    for dataset in settings.data.datasets:
        depths: list[Branch] = []
        for depth in sorted(settings.networks.depths):
            controls = (
                Branch(control, NodeKey(dataset, depth, control=control), _activations(plan, dataset, depth, control))
                for control in settings.controls
            )
            label = "1 layer" if depth == 1 else f"{depth} layers"
            under = (*_activations(plan, dataset, depth, None), *controls)
            depths.append(Branch(label, NodeKey(dataset, depth), under))
        yield Branch(dataset, NodeKey(dataset), tuple(depths))


def _model_branches(plan: Plan) -> Iterator[Branch]:
    """Yield the branch of each dataset of a measured study: its models with their runs, then the controls' under their
    own word. A model of one run is a leaf.
    """
    for dataset in plan.settings.data.datasets:
        controls = (
            Branch(control, NodeKey(dataset, control=control), models)
            for control in plan.settings.controls
            if (models := _models(plan, dataset, control))
        )
        yield Branch(dataset, NodeKey(dataset), (*_models(plan, dataset, None), *controls))


def _models(plan: Plan, dataset: str, control: str | None) -> tuple[Branch, ...]:
    groups: dict[NodeKey, list[Branch]] = {}
    for network in plan.networks:
        if (network.dataset, network.control) == (dataset, control):
            model = NodeKey(dataset, network.depth, network.activation, control=control)
            leaf = Branch(f"run {network.run}", node_key_of(network))
            groups.setdefault(model, []).append(leaf)
    return tuple(
        Branch(str(model.activation), model, tuple(runs))
        if len(runs) > 1
        else Branch(str(model.activation), runs[0].node)
        for model, runs in groups.items()
    )


def _activations(plan: Plan, dataset: str, depth: int, control: str | None) -> tuple[Branch, ...]:
    grid = plan.settings.networks
    return tuple(
        Branch(
            activation,
            NodeKey(dataset, depth, activation, control=control),
            tuple(Branch(f"run {run}", NodeKey(dataset, depth, activation, run, control)) for run in range(grid.runs)),
        )
        for activation in grid.activations
    )


@dataclass(frozen=True)
class LayerSelection:
    """The selection and what else is set; all of it stays while layers and networks change."""

    node: NodeKey | None = None
    layer: int | None = None
    """The layer that was selected; a shallower network shows its last. None selects the last layer of every network."""
    marked: tuple[NodeKey, ...] = ()
    """Marked nodes, in the order of marking: networks, or groups of them."""
    compared: tuple[Network, ...] = ()
    """The networks shown for the marked nodes; two or more are compared."""
    grid: Grid | None = None
    chart: Chart = "lines"
    exclude_chance: bool = False
    """Whether networks at chance are left out of every mean and test."""
    method: str = SCORE_METHOD
    class_index: int | None = None
    """The class of points shown before the others, which are dimmed; None: all classes."""
    misclassified: bool = False
    """Whether points that the network misclassifies are shown before the others, which are dimmed."""
    epoch: int | None = None
    """The epoch after which the points were measured; None: the last. Layers not measured after it show the last."""
    point: tuple[str, int] | None = None
    """The chosen point: the set that its index counts in (`Network.input_set`), and the index."""
    viewport: Viewport = field(default_factory=Viewport)

    @property
    def is_single(self) -> bool:
        """Whether the points of one layer are shown, not several layers side by side."""
        return self.grid is None and len(self.compared) < 2

    def mask(self, embedding: AlignedEmbedding) -> NDArray[np.bool_] | None:
        """Return which points [n] are not dimmed; None: all. Without known predictions `misclassified` dims none."""
        mask: NDArray[np.bool_] | None = None
        if self.class_index is not None:
            mask = np.asarray(embedding.sample.labels == self.class_index)
        if self.misclassified and embedding.misclassified is not None:
            mask = embedding.misclassified if mask is None else mask & embedding.misclassified
        return mask

    def row(self, embedding: AlignedEmbedding, input_set: str) -> int | None:
        """Return the row of the chosen point; None where none is chosen or this run's sample does not hold it."""
        if self.point is None or self.point[0] != input_set:
            return None
        return embedding.sample.row_of(self.point[1])

    def to_values(self) -> dict[str, Any]:
        """Return what comes back on the next start, as plain values; what is not set is left out."""
        values: dict[str, Any] = asdict(self.node) if self.node else {}
        values |= {"layer": self.layer, "chart": self.chart, "without_chance": self.exclude_chance}
        values |= {"class": self.class_index, "missed": self.misclassified, "method": self.method}
        values["epoch"] = self.epoch
        values["point"] = list(self.point) if self.point else None
        values["part"] = list(self.viewport.rect) if self.viewport.rect else None
        return {name: value for name, value in values.items() if value is not None}

    @staticmethod
    def from_values(values: Mapping[str, Any], tree: StudyTree) -> LayerSelection:
        """Return the selection that `to_values` described; what is missing or wrong has its default."""
        fields = {name: values.get(name) for name in ("dataset", "depth", "activation", "run", "control")}
        layer, class_index, method = values.get("layer"), values.get("class"), values.get("method")
        epoch = values.get("epoch")
        point: tuple[str, int] | None = None
        match values.get("point"):
            case [str(dataset), int(index)]:
                point = (dataset, index)
        return LayerSelection(
            node=next((node for node in tree.nodes if asdict(node) == fields), None),
            layer=layer if isinstance(layer, int) and layer >= 0 else None,
            chart=next((chart for chart in get_args(Chart) if chart == values.get("chart")), "lines"),
            exclude_chance=values.get("without_chance") is True,
            method=method if method in METHODS else SCORE_METHOD,
            class_index=class_index if isinstance(class_index, int) and 0 <= class_index < 10 else None,
            misclassified=values.get("missed") is True,
            epoch=epoch if isinstance(epoch, int) and epoch >= 0 else None,
            point=point,
            viewport=Viewport.from_value(values.get("part")),
        )
