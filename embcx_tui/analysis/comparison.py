"""Studies beside each other: how the complexity of each layer differs from that of a first study, with intervals.

Runs are paired where two studies drew the same sample of the same dataset with the same seed: then run 3 of one is
run 3 of the other with other settings. Else their runs are independent, and Welch's interval is taken.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from embcx_tui.analysis.formatting import signed
from embcx_tui.analysis.layer_table import NOTHING, Cell, LayerTable, TableRow
from embcx_tui.analysis.selection import Exclusion, Selection, select
from embcx_tui.analysis.statistics import CONFIDENCE, t_interval, welch_interval
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.naming import layer_tick
from embcx_tui.study.plan import Architecture, Network
from embcx_tui.study.text import safe_text

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
    layer: int
    difference: float
    ci_low: float | None
    ci_high: float | None
    n: int
    n_first: int
    paired: bool


@dataclass(frozen=True)
class Comparison:
    """Studies, each with the name that tells it from the others, and how those after the first differ from it.

    `caveats` are sentences on what makes their numbers less than comparable, the gravest first.
    """

    names: tuple[str, ...]
    selections: tuple[Selection, ...]
    differences: tuple[StudyDifference, ...]
    caveats: tuple[str, ...]
    paired: tuple[bool, ...]
    """For each study after the first, whether its runs are paired with the first one's."""

    @property
    def places(self) -> tuple[tuple[str, int], ...]:
        """Every (dataset, depth) that a study has, those of most studies first, then in the first study's order."""
        counts: dict[tuple[str, int], int] = {}
        for selection in self.selections:
            for place in dict.fromkeys((key.dataset, key.depth) for key in selection.architectures()):
                counts[place] = counts.get(place, 0) + 1
        return tuple(sorted(counts, key=lambda place: -counts[place]))


def compare(snapshots: Sequence[Snapshot], exclude_chance: Exclusion = False) -> Comparison:
    """Return studies compared with the first of them; takes some ms, more for hundreds of networks."""
    selections = tuple(select(snapshot, exclude_chance) for snapshot in snapshots)
    first = selections[0]
    paired = tuple(_is_paired(first.snapshot, other.snapshot) for other in selections[1:])
    found = [
        difference
        for number, (other, pairs) in enumerate(zip(selections[1:], paired, strict=True), start=1)
        for difference in _differences(number, first, other, pairs)
    ]
    nothing = () if found else ("no dataset, depth and activation in common: there is nothing to subtract",)
    return Comparison(distinct_names(snapshots), selections, tuple(found), (*nothing, *caveats(snapshots)), paired)


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


def _differences(number: int, first: Selection, other: Selection, paired: bool) -> list[StudyDifference]:
    ours, theirs = first.architectures(), other.architectures()
    found = []
    for architecture in (key for key in ours if key in theirs):
        for layer in range(architecture.depth + 1):
            a, b = _scores(first, ours[architecture], layer), _scores(other, theirs[architecture], layer)
            if difference := _difference(number, architecture, layer, a, b, paired):
                found.append(difference)
    return found


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
        for key, _ in _at(comparison.selections[0], dataset, depth):
            found = [by_layer.get((number, key, layer)) for layer in range(depth + 1)]
            if any(found):
                rows.append(_row(key, title, [one.n if one else 0 for one in found], [_cell(one) for one in found]))
    for name, selection in zip(comparison.names, comparison.selections, strict=True):
        for key, networks in _at(selection, dataset, depth):
            values = [list(_scores(selection, networks, layer).values()) for layer in range(depth + 1)]
            rows.append(_row(key, name, [len(one) for one in values], [_mean_cell(one) for one in values]))
    return LayerTable(("network", "quantity", "n", *map(layer_tick, range(depth + 1))), tuple(rows))


def _at(selection: Selection, dataset: str, depth: int) -> list[tuple[Architecture, tuple[Network, ...]]]:
    groups = selection.architectures().items()
    return [(key, networks) for key, networks in groups if (key.dataset, key.depth) == (dataset, depth)]


def _row(key: Architecture, quantity: str, counts: Sequence[int], cells: Sequence[Cell]) -> TableRow:
    name = f"{key.activation} {key.control}" if key.control else key.activation
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
            "dataset": one.architecture.dataset,
            "depth": one.architecture.depth,
            "activation": one.architecture.activation,
            "control": one.architecture.control,
            "layer": one.layer,
            "difference": one.difference,
            "ci_low": one.ci_low,
            "ci_high": one.ci_high,
            "n": one.n,
            "n_less": one.n_first,
            "interval": "paired" if one.paired else "welch",
        }
        for one in comparison.differences
    ]
