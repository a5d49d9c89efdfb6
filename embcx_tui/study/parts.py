"""The parts that the networks of a study are dealt into: what hands compute at the same time, one part each.

On a GPU the last digits of a network depend on its company in a batch. So the parts follow from the study file alone
(`[machine] parts`, chosen when the study is created) and never from the number of devices that happen to be there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from embcx_tui.study.measured import MeasuredSettings
from embcx_tui.study.plan import Cohort, Network
from embcx_tui.study.settings import StudySettings

# The cost of a network beside its hidden layers, in layers: layer 1 has seven times the weights of another, and the
# accuracies take a pass.
_BESIDE_LAYERS = 5

Family = tuple[int, int, str]  # (run, depth, activation): a network and its controls


def with_parts(settings: StudySettings, gpus: int = 1) -> StudySettings:
    """Return `settings` with the number of parts chosen where they leave it open.

    `gpus`: how many devices "all" means.
    """
    machine = settings.machine
    if machine.parts or isinstance(settings, MeasuredSettings):
        return settings
    devices = machine.devices
    parts = devices if isinstance(devices, int) else len(devices) if isinstance(devices, tuple) else max(gpus, 1)
    return settings.model_copy(update={"machine": machine.model_copy(update={"parts": parts})})


def deal(cohort: Cohort, parts: int) -> tuple[tuple[str, ...], ...]:
    """Return the ids of the trained networks of `cohort` in at most `parts` parts of about equal cost, none empty.

    Run after run, so that runs stay whole where their number is a multiple of that of the parts: networks of a run
    share minibatches. A network and its controls are never parted.
    """
    members: dict[Family, list[Network]] = {}
    for network in sorted(cohort.networks + cohort.controls, key=lambda one: one.run):
        members.setdefault(_family(network), []).append(network)
    costs = {family: sum(one.depth + _BESIDE_LAYERS for one in networks) for family, networks in members.items()}
    total, before = sum(costs.values()), 0.0
    place: dict[Family, int] = {}
    for family, cost in costs.items():
        # By the middle of what it costs: the part that most of it lies in.
        place[family] = int((before + cost / 2) * parts / total)
        before += cost
    dealt: list[list[str]] = [[] for _ in range(parts)]
    for network in cohort.networks:
        dealt[place[_family(network)]].append(network.id)
    return tuple(tuple(part) for part in dealt if part)


def as_cohorts(cohort: Cohort, dealt: Sequence[Sequence[str]]) -> tuple[Cohort, ...]:
    """Return the parts of `cohort` as cohorts, `mnist.part0` …: their networks, those networks' controls and inputs.

    The inputs of a run that is in several parts belong to the first of them. One part alone is the cohort itself.
    """
    if len(dealt) == 1:
        return (cohort,)
    parts: list[Cohort] = []
    for number, names in enumerate(dealt):
        chosen = set(names)
        networks = tuple(network for network in cohort.networks if network.id in chosen)
        families = {_family(network) for network in networks}
        controls = tuple(network for network in cohort.controls if _family(network) in families)
        taken = frozenset(sample for part in parts for sample in part.samples)
        parts.append(Cohort(f"{cohort.id}.part{number}", cohort.dataset, networks, controls, taken))
    return tuple(parts)


def cost(part: Cohort) -> int:
    """Return about what a part costs, in hidden layers."""
    return sum(network.depth + _BESIDE_LAYERS for network in part.networks + part.controls)


def largest_first(parts: Iterable[Cohort]) -> list[Cohort]:
    """Return parts in the order in which hands take them: the last to end are then short."""
    return sorted(parts, key=cost, reverse=True)


def _family(network: Network) -> Family:
    return network.run, network.depth, network.activation
