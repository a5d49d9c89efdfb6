"""What the layer browser points at: a dataset, a depth, an activation function, one run, or the untrained branch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from embcx_tui.study.plan import Network, Plan


@dataclass(frozen=True, slots=True)
class NodeKey:
    """A node of the tree; what is None is left open, from right to left. `control` None means trained networks."""

    dataset: str
    depth: int | None = None
    activation: str | None = None
    run: int | None = None
    control: str | None = None

    def holds(self, network: Network) -> bool:
        """Tell whether `network` lies under this node."""
        return (
            network.dataset == self.dataset
            and network.control == self.control
            and self.depth in (None, network.depth)
            and self.activation in (None, network.activation)
            and self.run in (None, network.run)
        )

    def network(self, plan: Plan) -> Network | None:
        """Return the network that stands for the node: its own, else the first run of its first activation."""
        held = [network for network in plan.networks if self.holds(network)]
        shallow = min((network.depth for network in held), default=0)
        return next((network for network in held if network.depth == shallow), None)


def node_key_of(network: Network) -> NodeKey:
    """Return the leaf of one network."""
    return NodeKey(network.dataset, network.depth, network.activation, network.run, network.control)


@dataclass(frozen=True, slots=True)
class Branch:
    """A node to build: its words, what it points at, and what is under it."""

    words: str
    place: NodeKey
    under: tuple[Branch, ...] = ()


def branches(plan: Plan) -> Iterator[Branch]:
    """Yield the tree of a study, dataset by dataset; controls come under their own word, after the trained ones."""
    settings = plan.settings
    for dataset in settings.data.datasets:
        depths: list[Branch] = []
        for depth in sorted(settings.networks.depths):
            controls = (
                Branch(control, NodeKey(dataset, depth, control=control), _activations(plan, dataset, depth, control))
                for control in settings.measure.controls
            )
            words = "1 layer" if depth == 1 else f"{depth} layers"
            under = (*_activations(plan, dataset, depth, None), *controls)
            depths.append(Branch(words, NodeKey(dataset, depth), under))
        yield Branch(dataset, NodeKey(dataset), tuple(depths))


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
