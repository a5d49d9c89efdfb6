"""Studies beside each other: how the complexity of each layer differs from that of a first study, with intervals.
`analysis.groups` makes the same of groups within one study.

Runs are paired where two studies drew the same sample of the same dataset with the same seed: then run 3 of one is
run 3 of the other with other settings. Else their runs are independent, and Welch's interval is taken.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from embcx_tui.analysis.formatting import signed
from embcx_tui.analysis.layer_table import NOTHING, Cell, LayerTable, TableRow
from embcx_tui.analysis.selection import Exclusion, Selection, select
from embcx_tui.analysis.statistics import CONFIDENCE, t_interval, welch_interval
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.naming import hidden_layers, layer_tick
from embcx_tui.study.plan import Architecture, Network
from embcx_tui.study.text import safe_text

# The networks of architectures, by run.
Networks = Mapping[Architecture, tuple[Network, ...]]
# Between the values of what groups differ in, where they stand for one.
SEPARATOR = " / "
# More studies are neither lines that can be told apart nor a table that can be read.
MOST_STUDIES = 6


@dataclass(frozen=True, slots=True)
class StudyDifference:
    """How one layer of an architecture differs between the first study and the one with this number (1, 2, …).

    `difference`: mean KL (nats) of the other study less that of the first; `ci_low` and `ci_high` its 95 % interval,
    None below two runs. `paired`: over the `n` runs that both have, else Welch's over `n` and `n_first` runs.
    """

    study: int
    architecture: Architecture
    """Under which it is compared: a key of `Comparison.groups`."""
    layer: int
    difference: float
    ci_low: float | None
    ci_high: float | None
    n: int
    n_first: int
    paired: bool


@dataclass(frozen=True)
class Comparison:
    """Studies, or groups within one, each with the name that tells it from the others, and how those after the first
    differ from it.

    `groups` has the networks of each, by what they are compared under: of studies the architecture, of groups what is
    left of it without that in which they differ. `caveats` are sentences on what makes their numbers less than
    comparable, the gravest first.
    """

    names: tuple[str, ...]
    selections: tuple[Selection, ...]
    groups: tuple[Networks, ...]
    differences: tuple[StudyDifference, ...]
    caveats: tuple[str, ...]
    paired: tuple[bool, ...]
    """For each study after the first, whether its runs are paired with the first one's."""
    common: str = ""
    """What groups of one study have in common beside dataset and depth, in words."""
    depths: str = ""
    """The depths of groups that differ in it, in words; else a place has one depth."""

    @property
    def places(self) -> tuple[tuple[str, int], ...]:
        """Every (dataset, depth) that a study has, those of most studies first, then in the first study's order."""
        counts: dict[tuple[str, int], int] = {}
        for group in self.groups:
            for place in dict.fromkeys((key.dataset, key.depth) for key in group):
                counts[place] = counts.get(place, 0) + 1
        return tuple(sorted(counts, key=lambda place: -counts[place]))

    def place_words(self, depth: int) -> tuple[str, str]:
        """Return a place without its dataset, in the parts of a title: the depth, and what groups have in common."""
        return self.depths or hidden_layers(depth), self.common


def compare(snapshots: Sequence[Snapshot], exclude_chance: Exclusion = False) -> Comparison:
    """Return studies compared with the first of them; takes some ms, more for hundreds of networks."""
    selections = tuple(select(snapshot, exclude_chance) for snapshot in snapshots)
    first = selections[0]
    paired = tuple(_is_paired(first.snapshot, other.snapshot) for other in selections[1:])
    groups = tuple(selection.architectures() for selection in selections)
    found = differences(selections, groups, paired)
    nothing = () if found else ("no dataset, depth and activation in common: there is nothing to subtract",)
    said = (*nothing, *caveats(snapshots))
    return Comparison(distinct_names(snapshots), selections, groups, found, said, paired)


def distinct_names(snapshots: Sequence[Snapshot]) -> tuple[str, ...]:
    """Return the studies' names, with the beginning of the id where two have one name."""
    names = [snapshot.name for snapshot in snapshots]
    return tuple(
        f"{name} ({snapshot.id[:4]})" if names.count(name) > 1 else name
        for name, snapshot in zip(names, snapshots, strict=True)
    )


def _is_paired(one: Snapshot, other: Snapshot) -> bool:
    """Tell whether the runs of two studies are the same runs: one seed, and one sample in each run that both have."""
    if one.plan.settings.machine.seed != other.plan.settings.machine.seed:
        return False
    both = one.samples.keys() & other.samples.keys()
    # The file of a sample holds the inputs themselves.
    return bool(both) and all(one.samples[key].file.sha256 == other.samples[key].file.sha256 for key in both)


def differences(
    selections: Sequence[Selection], groups: Sequence[Networks], paired: Sequence[bool]
) -> tuple[StudyDifference, ...]:
    """Return how each of `groups` (its networks are in the selection of that number) differs from the first, at every
    layer that both have. A layer that both share, such as the input of one sample, has no difference.
    """
    found = []
    first = groups[0]
    for number, (group, pairs) in enumerate(zip(groups[1:], paired, strict=True), start=1):
        for key in (key for key in first if key in group):
            ours, theirs = first[key], group[key]
            for layer in range(min(ours[0].depth, theirs[0].depth) + 1):
                if selections[0].snapshot is selections[number].snapshot and _share(ours, theirs, layer):
                    continue
                a, b = _scores(selections[0], ours, layer), _scores(selections[number], theirs, layer)
                if difference := _difference(number, key, layer, a, b, pairs):
                    found.append(difference)
    return tuple(found)


def _share(ours: Sequence[Network], theirs: Sequence[Network], layer: int) -> bool:
    mine = {network.layer_ids()[layer] for network in ours}
    return any(network.layer_ids()[layer] in mine for network in theirs)


def _scores(selection: Selection, networks: Sequence[Network], layer: int) -> dict[int, float]:
    """Return the complexities of a layer that count, by run."""
    scores = ((network.run, selection.score(network, layer)) for network in networks)
    return {run: score for run, score in scores if score is not None}


def _difference(
    number: int, architecture: Architecture, layer: int, a: Mapping[int, float], b: Mapping[int, float], paired: bool
) -> StudyDifference | None:
    if paired:
        values = [b[run] - a[run] for run in a if run in b]
        if not values:
            return None
        mean = fmean(values)
        interval = t_interval(mean, stdev(values) if len(values) > 1 else None, len(values))
        n = n_first = len(values)
    else:
        if not (a and b):
            return None
        mean = fmean(b.values()) - fmean(a.values())
        interval = welch_interval(list(a.values()), list(b.values()))
        n, n_first = len(b), len(a)
    low, high = interval or (None, None)
    return StudyDifference(number, architecture, layer, mean, low, high, n, n_first, paired)


# What is said where studies differ in it: a score under another perplexity, or of another number of points, has another
# scale. In the order of their weight.
_CAVEATS = (
    ("measure.perplexity", "perplexity", "their KL are on different scales"),
    ("points", "points per sample", "their KL are on different scales"),
    ("measure.engine", "engine", "t-SNE minimises differently"),
    ("measure.search", "search for starts", "one finds lower KL than the other"),
    ("measure.large", "large samples", "they converge by another tolerance"),
    ("measure.restarts", "restarts", "more of them find lower KL"),
    ("data.sample_from", "sample from", "the points are of another kind"),
    ("version", "version of embcx-tui", "its engine may have changed"),
)


def caveats(snapshots: Sequence[Snapshot]) -> tuple[str, ...]:
    """Return what makes the numbers of studies less than comparable: `perplexity 30, 20: …`, the gravest first."""
    said = []
    common = set.intersection(*({sample.dataset for sample in one.samples.values()} for one in snapshots))
    for key, words, consequence in _CAVEATS:
        values = [_value(snapshot, key, common) for snapshot in snapshots]
        if len(set(values)) > 1:
            said.append(f"{words} {' / '.join(values)}: {consequence}")
    return tuple(said)


def _value(snapshot: Snapshot, key: str, datasets: Collection[str]) -> str:
    """Return a study's setting, its version, or the sizes of its samples of these `datasets`, as text."""
    if key == "version":
        return safe_text(snapshot.version, 20) or "unknown"
    if key == "points":
        points = {sample.points for sample in snapshot.samples.values() if sample.dataset in datasets}
        return ", ".join(f"{count:,}" for count in sorted(points)) or "unknown"
    section, _, name = key.partition(".")
    value = getattr(getattr(snapshot.plan.settings, section, None), name, "–")
    return f"{value:g}" if isinstance(value, float) else safe_text(value, 40)


def comparison_table(comparison: Comparison, dataset: str, depth: int) -> LayerTable:
    """Return the differences of each study from the first, with half their 95 % intervals, then the means of each."""
    rows: list[TableRow] = []
    by_layer = {(one.study, one.architecture, one.layer): one for one in comparison.differences}
    for number, paired in enumerate(comparison.paired, start=1):
        how = "paired by run" if paired else "Welch, not paired"
        title = f"{comparison.names[number]} − {comparison.names[0]} ± {100 * CONFIDENCE:.0f} % interval ({how})"
        for key, networks in _at(comparison.groups[0], dataset, depth):
            found = [by_layer.get((number, key, layer)) for layer in range(depth + 1)]
            if any(found):
                who = _difference_name(comparison.groups[number][key][0], networks[0])
                counts = [one.n for one in found if one]
                rows.append(_row(key, who, title, counts, [_cell(one) for one in found]))
    for name, selection, group in zip(comparison.names, comparison.selections, comparison.groups, strict=True):
        for key, networks in _at(group, dataset, depth):
            layers = networks[0].layers
            values = [
                list(_scores(selection, networks, layer).values()) if layer in layers else []
                for layer in range(depth + 1)
            ]
            counts = [len(values[layer]) for layer in layers]
            rows.append(_row(key, _name(networks[0]), name, counts, [_mean_cell(one) for one in values]))
    return LayerTable(("network", "quantity", "n", *map(layer_tick, range(depth + 1))), tuple(rows))


def _at(group: Networks, dataset: str, depth: int) -> list[tuple[Architecture, tuple[Network, ...]]]:
    return [(key, networks) for key, networks in group.items() if (key.dataset, key.depth) == (dataset, depth)]


def _name(network: Network) -> str:
    return f"{network.activation} {network.control}" if network.control else network.activation


def _difference_name(other: Network, first: Network) -> str:
    return _name(other) if _name(other) == _name(first) else f"{_name(other)} − {_name(first)}"


def _row(key: Architecture, name: str, quantity: str, counts: Sequence[int], cells: Sequence[Cell]) -> TableRow:
    least, most = min(counts), max(counts)
    n = str(most) if least == most else f"{least}–{most}"
    return TableRow(key, quantity, (Cell(name), Cell(quantity), Cell(n, float(most)), *cells))


def _mean_cell(values: Sequence[float]) -> Cell:
    if not values:
        return Cell(NOTHING)
    spread = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
    return Cell(signed(fmean(values), 3) + spread, fmean(values))


def _cell(one: StudyDifference | None) -> Cell:
    if one is None:
        return Cell(NOTHING)
    half = "" if one.ci_high is None else f" ± {one.ci_high - one.difference:.3f}"
    return Cell(signed(one.difference, 3, plus=True) + half, one.difference)


def comparison_record(comparison: Comparison) -> dict[str, Any]:
    """Return the JSON document of `compare --json`."""
    studies = zip(comparison.names, comparison.selections, strict=True)
    return {
        "studies": [{"id": selection.snapshot.id, "name": name} for name, selection in studies],
        "caveats": list(comparison.caveats),
        "differences": difference_records(comparison),
    }


def difference_records(comparison: Comparison) -> list[dict[str, Any]]:
    """Return one flat record per difference, for JSON and CSV; differences and intervals in nats."""
    ids = [selection.snapshot.id for selection in comparison.selections]
    return [
        {
            "study": ids[one.study],
            "less": ids[0],
            **_fields(comparison.groups[one.study][one.architecture][0]),
            "layer": one.layer,
            "difference": one.difference,
            "ci_low": one.ci_low,
            "ci_high": one.ci_high,
            "n": one.n,
            "n_less": one.n_first,
            "interval": "paired" if one.paired else "welch",
            "name": comparison.names[one.study],
            "name_less": comparison.names[0],
            **{f"{field}_less": value for field, value in _fields(comparison.groups[0][one.architecture][0]).items()},
        }
        for one in comparison.differences
    ]


def _fields(network: Network) -> dict[str, Any]:
    return network.architecture._asdict()


def difference_csv(comparison: Comparison) -> str:
    """Return `difference_records` as CSV with a header; empty where there is no difference."""
    records = difference_records(comparison)
    text = io.StringIO()
    if records:
        writer = csv.DictWriter(text, records[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
    return text.getvalue()
