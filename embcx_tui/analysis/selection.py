"""Which networks enter means, tests and figures, and which are left out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from embcx_tui.store.chance import Flaw
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.events import LayerMeasured
from embcx_tui.study.plan import Architecture, Network
from embcx_tui.study.settings import SCORE_METHOD

# Which networks at chance are left out: none, all, or those with one flaw.
Exclusion = bool | Flaw


@dataclass(frozen=True)
class Selection:
    """A snapshot and the rule by which its networks enter means, tests and figures.

    Diverged networks never enter. Networks at chance (trained on true labels, yet no better on the test set than its
    largest class) enter unless `exclude_chance` says otherwise; `at_chance` names them either way. Both kinds are
    `left_out` of figures too. Networks with a degenerate layer (`degenerate`) are drawn, and flagged, but count
    nowhere. A network enters whole or not at all: its run's input (layer 0) does not enter its architecture's mean
    either, so that the layers of a mean always belong to the same networks.
    """

    snapshot: Snapshot
    exclude_chance: Exclusion
    diverged: tuple[str, ...]
    degenerate: frozenset[str]
    at_chance: tuple[str, ...]
    left_out: frozenset[str]

    def layer(self, network: Network, layer: int, method: str = SCORE_METHOD) -> LayerMeasured | None:
        """Return the measurement of a layer; None where it is not measured or its network is left out."""
        return None if network.id in self.left_out else self.snapshot.layer(network, layer, method)

    def score(self, network: Network, layer: int) -> float | None:
        """Return the complexity (nats) of a layer of a network that enters."""
        measured = self.layer(network, layer)
        return measured.kl if measured and self.enters(network) else None

    def enters(self, network: Network) -> bool:
        """Return whether a network enters means and tests."""
        return network.id not in self.left_out and network.id not in self.degenerate

    def scores(self, network: Network) -> list[float | None]:
        """Return the complexities (nats) of a network's layers, from the input on where that is known, None for those
        that do not count.
        """
        return [self.score(network, layer) for layer in network.layers]

    def absence(self, network: Network) -> str:
        """Return why not all layers of a network count, as a predicate: `diverged`, `lack a layer`."""
        if network.id in self.diverged:
            return "diverged"
        if network.id in self.degenerate:
            return "have a degenerate layer"
        return "at chance, left out as asked" if network.id in self.left_out else "lack a layer"

    def architectures(self) -> Mapping[Architecture, tuple[Network, ...]]:
        """Return the networks of every architecture, by run, in the plan's order; those left out are among them."""
        groups: dict[Architecture, list[Network]] = defaultdict(list)
        for network in self.snapshot.plan.networks:
            groups[network.architecture].append(network)
        return {key: tuple(sorted(networks, key=lambda network: network.run)) for key, networks in groups.items()}

    @property
    def flaw_words(self) -> str:
        """How many of the networks at chance did not train, and how many learnt the training inputs alone."""
        return flaw_counts(self.snapshot.networks[name].flaw for name in self.at_chance)

    @property
    def excluded(self) -> tuple[str, ...]:
        """The networks at chance that are left out, as asked."""
        return tuple(name for name in self.at_chance if name in self.left_out)

    @property
    def how_excluded(self) -> str:
        """What becomes of the networks at chance, in words."""
        if not self.exclude_chance:
            return "included; --exclude-chance leaves them out"
        if self.exclude_chance is True:
            return "left out, as asked"
        return f"those that {_PLURAL.get(self.exclude_chance, self.exclude_chance)} left out, as asked"

    @property
    def words(self) -> str:
        """Which networks are left out or at chance, in one line; empty where there are none."""
        parts = []
        if self.diverged:
            parts.append(f"{_networks(len(self.diverged))} diverged (left out)")
        if self.degenerate:
            parts.append(f"{_networks(len(self.degenerate))} with a degenerate layer (in no mean)")
        if self.at_chance:
            parts.append(f"{_networks(len(self.at_chance))} at chance: {self.flaw_words} ({self.how_excluded})")
        elif self.exclude_chance:
            parts.append("no network at chance to leave out")
        return "; ".join(parts)


_PLURAL: dict[str | None, str] = {"does not generalise": "do not generalise"}


def flaw_counts(flaws: Iterable[Flaw | None]) -> str:
    """Return how many networks at chance have which flaw: `1 did not train, 2 do not generalise`."""
    counts = Counter(flaw for flaw in flaws if flaw)
    return ", ".join(f"{count} {flaw if count == 1 else _PLURAL.get(flaw, flaw)}" for flaw, count in counts.items())


def flaw_predicate(flaws: Collection[Flaw | None]) -> str:
    """Return what networks at chance have in common, for where there is little room; `at chance` if they differ."""
    kinds = set(flaws)
    flaw = kinds.pop() if len(kinds) == 1 else None
    return (flaw if len(flaws) == 1 else _PLURAL.get(flaw, flaw)) or "at chance"


def _networks(count: int) -> str:
    return f"{count} network{'s' * (count != 1)}"


def select(snapshot: Snapshot, exclude_chance: Exclusion = False) -> Selection:
    """Return the selection of a snapshot; the one switch is whether networks at chance are left out."""
    diverged = tuple(network.id for network in snapshot.plan.networks if network.id in snapshot.diverged)
    degenerate = frozenset(
        network.id
        for network in snapshot.plan.networks
        if network.id not in snapshot.diverged and degenerate_layers(snapshot, network)
    )
    at_chance = tuple(name for name, state in snapshot.networks.items() if state.at_chance and name not in diverged)
    excluded = (name for name in at_chance if exclude_chance in (True, snapshot.networks[name].flaw))
    left_out = frozenset(diverged) | frozenset(excluded)
    return Selection(snapshot, exclude_chance, diverged, degenerate, at_chance, left_out)


def degenerate_layers(snapshot: Snapshot, network: Network) -> list[int]:
    """Return the degenerate layers of a network, 0 being the input."""
    layers = ((layer, snapshot.layer(network, layer)) for layer in network.layers)
    return [layer for layer, measured in layers if measured is not None and measured.degenerate]


def other_methods(snapshot: Snapshot, network: Network) -> list[tuple[int, LayerMeasured]]:
    """Return (layer, embedding) of a network's layers by all methods but t-SNE, layer by layer."""
    methods = [method for method in snapshot.plan.settings.measure.methods if method != SCORE_METHOD]
    found = ((layer, snapshot.layer(network, layer, m)) for layer in network.layers for m in methods)
    return [(layer, measured) for layer, measured in found if measured]


def earlier(snapshot: Snapshot, network: Network) -> list[tuple[int, int, LayerMeasured]]:
    """Return (epoch, layer, score) of a network's hidden layers measured before the last epoch."""
    found = [
        (epoch, layer, one)
        for layer, name in enumerate(network.layer_ids())
        if layer
        for epoch in snapshot.epochs
        if (one := snapshot.earlier.get((name, epoch)))
    ]
    return sorted(found, key=lambda entry: entry[:2])


def start_spread(measured: LayerMeasured) -> float | None:
    """Return how far the KL divergences of a layer's kept starts lay apart, as a share of the lowest; None where none
    were compared.
    """
    kls = [kl for kl in measured.start_kls if kl is not None]
    return (max(kls) - min(kls)) / min(kls) if len(kls) > 1 and min(kls) > 0 else None
