"""Groups of networks within one study beside each other: activations, depths, datasets, models, trained and controls.

A group is what some fields of an architecture are. Groups have the same fields; those in which they differ are what is
compared, and of the rest each architecture of one group is compared with that of the other: two depths activation by
activation, trained networks with untrained ones at each depth.

Runs are paired as everywhere: where both saw the same sample, and a network with its control (`analysis.trend`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from embcx_tui.analysis.comparison import MOST_STUDIES, SEPARATOR, Comparison, Networks, differences
from embcx_tui.analysis.selection import Exclusion, Selection, select
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.errors import RequestError
from embcx_tui.study.naming import dataset_title
from embcx_tui.study.plan import Architecture, Network
from embcx_tui.study.text import safe_text

# What groups can be made of, as `compare --by` has it; a measured study's activations are its models.
FIELDS = ("dataset", "depth", "activation", "control")
TRAINED = "trained"
_LONGEST_NAME = 40


@dataclass(frozen=True)
class Group:
    """The networks of a study that have these values of `FIELDS`, of one `run` or all. `control` None: trained."""

    fields: Mapping[str, str | int | None]
    run: int | None = None

    def networks(self, selection: Selection) -> dict[Architecture, tuple[Network, ...]]:
        """Return its networks by architecture, in the plan's order."""
        found = {}
        for key, networks in selection.architectures().items():
            if all(getattr(key, field) == value for field, value in self.fields.items()):
                found[key] = tuple(one for one in networks if self.run in (None, one.run))
        return {key: networks for key, networks in found.items() if networks}


def groups_by(snapshot: Snapshot, asked: str) -> tuple[Group, ...]:
    """Return the groups of `FIELD` or `FIELD=VALUE,VALUE`, in that order; RequestError says what a study does not have.

    The first one is that from which the others' differences are taken.
    """
    field, _, text = asked.partition("=")
    field = {"model": "activation", "datasets": "dataset"}.get(field, field)
    if field not in FIELDS:
        raise RequestError(f"groups are by {', '.join(FIELDS)} or model, not by {safe_text(field, 40)!r}")
    known = {_word(field, getattr(one, field)): getattr(one, field) for one in snapshot.plan.networks}
    wanted = [word.strip() for word in text.split(",")] if text else list(known)
    if missing := [word for word in wanted if word not in known]:
        raise RequestError(f"this study has no {field} {safe_text(missing[0], 40)!r}, only {', '.join(known)}")
    return tuple(Group({field: known[word]}) for word in dict.fromkeys(wanted))


def _word(field: str, value: str | int | None) -> str:
    """Return a value of a field as a user writes it."""
    return TRAINED if value is None else safe_text(value, 200) if field != "dataset" else dataset_title(str(value))


def compare_groups(snapshot: Snapshot, groups: Sequence[Group], exclude_chance: Exclusion = False) -> Comparison:
    """Return groups of a study compared with the first of them; raises RequestError where they cannot be."""
    if not 2 <= len(groups) <= MOST_STUDIES:
        raise RequestError(f"2 to {MOST_STUDIES} groups of a study can be compared, not {len(groups)}")
    selection = select(snapshot, exclude_chance)
    groups = [_whole(group, selection) for group in groups]
    if len({(frozenset(group.fields), group.run is None) for group in groups}) > 1:
        raise RequestError("only groups of one kind can be compared, such as two activations or two depths")
    differing = [field for field in FIELDS if len({group.fields.get(field) for group in groups}) > 1]
    if not differing and len({group.run for group in groups}) < len(groups):
        raise RequestError("these groups are the same networks")
    keyed = [_keyed(group.networks(selection), differing, groups) for group in groups]
    paired = [_is_paired(snapshot, keyed[0], other) for other in keyed[1:]]
    selections = (selection,) * len(groups)
    found = differences(selections, keyed, paired)
    nothing = () if found else ("they have no measured layer in common: there is nothing to subtract",)
    said = (*nothing, *_caveats(snapshot, keyed, differing))
    depths = f"{SEPARATOR.join(_values(groups, 'depth'))} hidden layers" if "depth" in differing else ""
    common, names = _common(groups, differing), _names(groups, differing)
    return Comparison(names, selections, tuple(keyed), found, said, tuple(paired), common, depths)


def _whole(group: Group, selection: Selection) -> Group:
    """Return a group of one run as that of all runs where it is the only one: a model that was measured once."""
    every = replace(group, run=None)
    return every if every.networks(selection) == group.networks(selection) else group


def _values(groups: Sequence[Group], field: str) -> list[str]:
    return [_word(field, value) for value in dict.fromkeys(group.fields.get(field) for group in groups)]


def _keyed(found: Networks, differing: Sequence[str], groups: Sequence[Group]) -> Networks:
    """Return networks by their architecture without that in which the groups differ, which is the same for all."""
    same: dict[str, str | int | None] = {}
    for field in differing:
        if field == "depth":
            same[field] = max(value for group in groups if isinstance(value := group.fields["depth"], int))
        else:
            same[field] = None if field == "control" else SEPARATOR.join(_values(groups, field))
    return {key._replace(**same): networks for key, networks in found.items()}  # type: ignore[arg-type]


def _is_paired(snapshot: Snapshot, first: Networks, other: Networks) -> bool:
    """Tell whether run 3 of one group belongs to run 3 of the other wherever they are compared."""
    pairs = [(a, b) for key in first.keys() & other.keys() for a in first[key] for b in other[key] if a.run == b.run]
    return bool(pairs) and all(_belong_together(snapshot, a, b) for a, b in pairs)


def _belong_together(snapshot: Snapshot, a: Network, b: Network) -> bool:
    if None in (a.control, b.control) and a.architecture[:3] == b.architecture[:3]:
        return True  # a network and its control
    one, other = snapshot.sample(a), snapshot.sample(b)
    return one is not None and other is not None and one.file.sha256 == other.file.sha256


def _names(groups: Sequence[Group], differing: Sequence[str]) -> tuple[str, ...]:
    runs = len({group.run for group in groups}) > 1
    return tuple(
        safe_text(" ".join([*(_title(field, group) for field in differing), *_run_words(group, runs)]), _LONGEST_NAME)
        for group in groups
    )


def _run_words(group: Group, needed: bool) -> list[str]:
    return [f"run {group.run}"] if needed and group.run is not None else []


def _title(field: str, group: Group) -> str:
    value = group.fields.get(field)
    if field == "depth":
        return f"{value} layer{'s' * (value != 1)}"
    return _word(field, value)


def _common(groups: Sequence[Group], differing: Sequence[str]) -> str:
    """Return what the groups have in common that the title of a place does not say: `untrained`, `run 1`."""
    first = groups[0]
    words = [first.fields["control"]] if first.fields.get("control") and "control" not in differing else []
    runs = {group.run for group in groups}
    return " · ".join([*map(str, words), *(_run_words(first, True) if len(runs) == 1 else [])])


def _caveats(snapshot: Snapshot, groups: Sequence[Networks], differing: Sequence[str]) -> list[str]:
    """Return what makes the numbers of groups less than comparable, the gravest first."""
    said = []
    every = [[network for networks in group.values() for network in networks] for group in groups]
    sizes = [{sample.points for network in networks if (sample := snapshot.sample(network))} for networks in every]
    if len({frozenset(size) for size in sizes}) > 1:
        points = " / ".join(", ".join(f"{count:,}" for count in sorted(size)) or "unknown" for size in sizes)
        said.append(f"points per sample {points}: their KL are on different scales")
    if len({network.source for networks in every for network in networks}) > 1:
        sources = " / ".join(dict.fromkeys("test" if one[0].source == "test" else "training" for one in every if one))
        said.append(f"inputs {sources}: the points are of another kind")
    if "depth" in differing:
        said.append("layers are compared by their number from the input, not by their distance from the output")
    return said
