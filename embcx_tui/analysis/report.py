"""A study as one Markdown page, complete enough that a stranger can repeat it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from statistics import fmean, stdev

from embcx_tui.analysis.correlation import Relation, relations
from embcx_tui.analysis.formatting import break_words, effect_words, interval_words, p_words, runs_words, signed
from embcx_tui.analysis.markdown import escaped, fenced, table
from embcx_tui.analysis.report_method import dataset_row, differences, how_measured, layers_of_models, machine_rows
from embcx_tui.analysis.selection import Exclusion, Selection, select, start_spread
from embcx_tui.analysis.summary import LayerSummary, by_architecture, quality_means, summarise_selection
from embcx_tui.analysis.trend import Difference, Trend, control_differences, layer_differences, trends
from embcx_tui.store.log import layer_words
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.events import Noted
from embcx_tui.study.naming import architecture_name, full_title
from embcx_tui.study.plan import Architecture
from embcx_tui.study.settings import SCORE_METHOD, to_toml

# One page must stay one page: more of a kind are counted, and layers.csv names them all.
_MOST_NAMED = 200


def report(
    snapshot: Snapshot,
    figures: Mapping[str, str],
    tables: Sequence[str] = (),
    exclude_chance: Exclusion = False,
    *,
    single: bool = False,
) -> str:
    """Return the page. `figures`: file names of images beside it, by figure; `tables`: names of CSV files beside it,
    or with `single` of those that end it.

    It holds no time of its own: the same study gives the same page.
    """
    selection = select(snapshot, exclude_chance)
    lines = [
        *_head(selection),
        *how_measured(selection),
        *differences(snapshot.plan.settings, {one: full_title(one) for one in snapshot.plan.settings.data.datasets}),
        *layers_of_models(selection),
        *_accuracies(selection),
        *_complexities(selection),
        *_starts(selection),
        *_trends(selection),
        *_differences(
            selection,
            layer_differences(selection),
            "From layer to layer",
            "KL of a layer less that of the layer before, within each run: mean and its 95 % t-interval, in nats.",
        ),
        *_differences(
            selection,
            control_differences(selection),
            "Trained networks less their controls",
            "Within each run, in which both share the sample and the initial weights: mean and its 95 % t-interval, in "
            "nats.",
        ),
        *_relations(relations(selection)),
        *_metrics(selection),
        *_quality(selection),
        *_left_out(selection),
        *_figures(figures, tables, single),
        *_repeat(snapshot, exclude_chance),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _when(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC" if at else "unknown"


def _head(selection: Selection) -> list[str]:
    snapshot = selection.snapshot
    settings = snapshot.plan.settings
    lines = [f"# Embedding complexity: {escaped(snapshot.name)}", ""]
    if snapshot.state != "complete":
        lines += [f"**This study is not complete: it is {snapshot.state}.** What is missing is named below.", ""]
    if snapshot.damage:
        lines += [f"**This study is damaged: {escaped(snapshot.damage)}.**", ""]
    rows = [
        ("study", f"{snapshot.id}, {snapshot.state}"),
        ("created, last written", f"{_when(snapshot.created)}, {_when(snapshot.updated)}"),
        ("embcx-tui", escaped(snapshot.version) or "unknown"),
        ("seed", str(settings.machine.seed)),
        (
            "networks",
            f"{settings.network_count} {'handed over' if snapshot.plan.is_measured else 'trained'}, "
            f"{len(snapshot.plan.networks)} with controls; "
            f"{len(snapshot.measured):,} embeddings of {len(snapshot.plan.layers) * len(settings.measure.methods):,}",
        ),
    ]
    rows += machine_rows(snapshot)
    for name, loaded in snapshot.datasets.items():
        rows.append(dataset_row(name, loaded))
    lines += table(("", ""), rows, left=2)
    return [*lines, escaped(selection.words) + ".", ""] if selection.words else lines


def _label(selection: Selection, key: Architecture) -> str:
    width = selection.snapshot.plan.settings.networks.width
    return f"{escaped(full_title(key.dataset), 60)} {escaped(architecture_name(key, width, times='×'))}"


def _accuracies(selection: Selection) -> list[str]:
    rows = []
    for key, networks in selection.architectures().items():
        states = [selection.snapshot.networks[one.id] for one in networks if selection.enters(one)]
        tests = [state.test_accuracy for state in states if state.test_accuracy is not None]
        trains = [state.train_accuracy for state in states if state.train_accuracy is not None]
        if tests:
            rows.append(
                (_label(selection, key), str(len(tests)), _mean_sd(tests, 4), f"{min(tests):.4f}", _mean_sd(trains, 4))
            )
    if not rows:
        return []
    head = ("network", "runs", "test accuracy", "lowest", "training accuracy")
    return ["## Accuracy", "", "Of the final weights, mean ± standard deviation over runs.", "", *table(head, rows)]


def _mean_sd(values: Sequence[float], decimals: int) -> str:
    if not values:
        return "–"
    spread = f" ± {stdev(values):.{decimals}f}" if len(values) > 1 else ""
    return f"{fmean(values):.{decimals}f}{spread}"


def _complexities(selection: Selection) -> list[str]:
    groups = by_architecture(summarise_selection(selection))
    lines = ["## Complexity of each layer", ""]
    if not groups:
        return [*lines, "Nothing is measured yet.", ""]
    deepest = max(key.depth for key in groups)
    head = ("network", "runs", "input", *(str(layer) for layer in range(1, deepest + 1)))
    rows = []
    for key, layers in groups.items():
        counts = sorted({one.n for one in layers.values()})
        runs = str(counts[0]) if len(counts) == 1 else f"{counts[0]}–{counts[-1]}"
        rows.append((_label(selection, key), runs, *(_cell(layers.get(layer)) for layer in range(deepest + 1))))
    lines += ["KL in nats: mean ± standard deviation over runs, below it the 95 % interval of the mean.", ""]
    return lines + table(head, rows)


def _cell(one: LayerSummary | None) -> str:
    if one is None:
        return ""
    if one.kl_mean is None:
        return "degenerate" if one.degenerate else "–"
    text = f"{one.kl_mean:.3f}" + (f" ± {one.kl_sd:.3f}" if one.kl_sd is not None else "")
    known = one.kl_interval
    return f"{text}<br>{known[0]:.3f} … {known[1]:.3f}" if known else text


def _starts(selection: Selection) -> list[str]:
    """Return how many starts the layers took and how far the kept ones lay apart: the noise of the search."""
    rows = []
    deepest = max((key.depth for key in selection.architectures()), default=0)
    for key, networks in selection.architectures().items():
        cells = []
        for layer in range(key.depth + 1):
            found = [one for network in networks if (one := selection.layer(network, layer))]
            spreads = [spread for one in found if (spread := start_spread(one)) is not None]
            cells.append(f"{fmean(one.starts for one in found):.1f}, {fmean(spreads):.1%}" if spreads else "")
        if any(cells):
            rows.append((_label(selection, key), *cells, *[""] * (deepest - key.depth)))
    if not rows:
        return []
    head = ("network", "input", *(str(layer) for layer in range(1, deepest + 1)))
    return [
        "## Starts of the embeddings",
        "",
        "Mean over runs: starts per layer, and how far the KL of those that were kept lay apart when they were "
        "compared, as a share of the lowest. The lowest went on.",
        "",
        *table(head, rows),
    ]


def _trends(selection: Selection) -> list[str]:
    found = trends(selection)
    if not found:
        return []
    rows = []
    for trend in found:
        change = "–" if trend.slope is None else signed(trend.slope, 3)
        rows.append(
            (
                _label(selection, trend.architecture),
                change,
                interval_words(trend.slope_ci_low, trend.slope_ci_high),
                runs_words(trend.runs_falling, trend),
                p_words(trend.sign_p),
                p_words(trend.sign_p_increase),
                effect_words(trend),
                break_words(trend),
                escaped(trend.reason or ""),
            )
        )
    head = ("network", "change per layer", "95 %", "runs falling", "p falls", "p rises", "effect", "first rise at", "")
    return [
        "## Does complexity fall toward the output?",
        "",
        "The run is the unit. Change per layer: the least-squares slope of a run's KL over its layers, in nats, mean "
        "and 95 % t-interval over runs. p: exact sign test of the runs' rank correlations with the order of layers, "
        "one-sided; with m runs it is 2⁻ᵐ at the least. Effect: the mean of those correlations, +1 where every run "
        "falls at every layer. First break: the first layer whose mean is not below that of the layer before.",
        "",
        *table(head, rows),
        *_page(selection, found),
    ]


def _page(selection: Selection, found: Sequence[Trend]) -> list[str]:
    tested = [trend for trend in found if trend.p_value is not None]
    if not tested:
        return []
    rows = [
        (
            _label(selection, trend.architecture),
            f"{trend.statistic:g}",
            *(p_words(p) for p in (trend.p_value, trend.p_holm, trend.p_increase, trend.p_increase_holm)),
            trend.method or "",
        )
        for trend in tested
    ]
    head = ("network", "Page's L", "p falls", "Holm", "p rises", "Holm", "")
    return [
        "Page's test would give the following if the layers of a network were exchangeable; they are not, since each "
        "is computed from the one before, so these p-values claim more than the runs support.",
        "",
        *table(head, rows),
    ]


def _differences(selection: Selection, found: Sequence[Difference], title: str, intro: str) -> list[str]:
    if not found:
        return []
    groups = by_architecture(found)
    deepest = max(key.depth for key in groups)
    rows = [
        (_label(selection, key), *(_difference(layers.get(layer)) for layer in range(1, deepest + 1)))
        for key, layers in groups.items()
    ]
    head = ("network", *(f"layer {layer}" for layer in range(1, deepest + 1)))
    return [f"### {title}", "", intro, "", *table(head, rows)]


def _difference(one: Difference | None) -> str:
    if one is None:
        return ""
    mean = signed(one.difference, 3, plus=True)
    return mean if one.ci_low is None else f"{mean}<br>{interval_words(one.ci_low, one.ci_high)}"


def _relations(found: Sequence[Relation]) -> list[str]:
    if not found:
        return []
    rows = [
        (
            escaped(full_title(one.dataset), 60),
            str(one.n),
            str(one.architectures),
            escaped(one.reason or "") if one.rho is None else signed(one.rho),
            escaped(one.interval_reason or "") or interval_words(one.rho_low, one.rho_high, 2),
            signed(one.rho_within),
            signed(one.rho_between),
        )
        for one in found
    ]
    head = ("dataset", "networks", "architectures", "Spearman's ρ", "95 %", "ρ within", "ρ between")
    return [
        "## Complexity of the last hidden layer against test accuracy",
        "",
        "Negative: networks whose last layer is easier to embed are more accurate. Within: deviations from the means "
        "of each architecture. Between: those means.",
        "",
        *table(head, rows),
    ]


def _metrics(selection: Selection) -> list[str]:
    """Return what else was measured of the layers of trained networks, means over runs."""
    rows = []
    deepest = max((key.depth for key in selection.architectures()), default=0)
    for key, networks in selection.architectures().items():
        found: dict[str, dict[int, list[float]]] = {}
        for network in networks if key.control is None else ():
            for layer in range(key.depth + 1):
                measured = selection.layer(network, layer)
                values = {"explained": measured.explained, **measured.metrics} if measured else {}
                for name, value in values.items():
                    if value is not None and selection.enters(network):
                        found.setdefault(name, {}).setdefault(layer, []).append(value)
        for name, layers in found.items():
            cells = (f"{fmean(layers[layer]):.4g}" if layer in layers else "" for layer in range(deepest + 1))
            rows.append((_label(selection, key), escaped(name), *cells))
    if not rows:
        return []
    head = ("network", "", "input", *(str(layer) for layer in range(1, deepest + 1)))
    intro = (
        "Means over runs of the trained networks; docs/metrics.md has the definitions. Networks with a degenerate "
        "layer are left out."
    )
    return ["## What else was measured of each layer", "", intro, "", *table(head, rows, 2)]


def _quality(selection: Selection) -> list[str]:
    methods = selection.snapshot.plan.settings.measure.methods
    if len(methods) < 2:
        return []
    rows = []
    names: dict[str, None] = {}
    for key, networks in selection.architectures().items():
        means = quality_means(selection, networks)
        names |= dict.fromkeys(means)
        for method in methods:
            last = {name: cells.get((method, key.depth)) for name, cells in means.items()}
            if key.control is None and any(value is not None for value in last.values()):
                rows.append((_label(selection, key), method, last))
    if not rows:
        return []
    body = [
        (label, method, *(f"{v:.3f}" if (v := last.get(name)) is not None else "–" for name in names))
        for label, method, last in rows
    ]
    head = ("network", "method", *(escaped(name) for name in names))
    return [
        "## Embedding methods on the last hidden layer",
        "",
        "Mean over runs; 1 is best. Networks with a degenerate layer are left out.",
        "",
        *table(head, body, 2),
    ]


def _left_out(selection: Selection) -> list[str]:
    snapshot = selection.snapshot
    called = partial(layer_words, snapshot.plan)
    dead = {layer.id for layer in snapshot.plan.layers if layer.network in snapshot.diverged}
    missing = [
        f"{called(layer.id)} ({method})"
        for layer in snapshot.plan.layers
        for method in snapshot.plan.settings.measure.methods
        if layer.id not in dead
        and (layer.id, method) not in snapshot.measured
        and (layer.id, method) not in snapshot.failed
    ]
    degenerate = [f"{called(layer)} ({method})" for (layer, method), one in snapshot.measured.items() if one.degenerate]
    failed = [f"{called(layer)} ({method}): {one.reason}" for (layer, method), one in snapshot.failed.items()]
    failed += [
        f"{called(layer)} (epoch {epoch}): {one.reason}" for (layer, epoch), one in snapshot.earlier_failed.items()
    ]
    unconverged = [
        called(layer) for (layer, m), one in snapshot.measured.items() if m == SCORE_METHOD and not one.converged
    ]
    noted = [line for line in snapshot.log if isinstance(line.event, Noted) and line.level != "info"]
    warnings = dict.fromkeys(line.text for line in noted)
    chance = selection.how_excluded if selection.exclude_chance else "included"
    lines = ["## What is left out or needs care", ""]
    for title, names in (
        (
            "Diverged networks, left out",
            [f"{one} (epoch {snapshot.diverged[one].epoch})" for one in selection.diverged],
        ),
        (
            f"Networks at chance, {chance}",
            [f"{name} ({snapshot.networks[name].flaw})" for name in selection.at_chance],
        ),
        ("Degenerate layers, whose networks enter no mean", degenerate),
        ("Layers that could not be measured", failed),
        ("Not measured", missing),
        ("Warnings of the worker", [*warnings]),
        ("t-SNE still moving at its last iteration (KL changed by 1e-4 or more), included", unconverged),
    ):
        more = f", and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
        words = ", ".join(escaped(name) for name in names[:_MOST_NAMED]) or "none"
        lines.append(f"- {escaped(title)}: {words}{more}")
    return [*lines, ""]


def _figures(figures: Mapping[str, str], tables: Sequence[str], single: bool) -> list[str]:
    lines = ["## Figures", ""] if figures else []
    for name, file in figures.items():
        lines += [f"### {escaped(name)}", "", f"![{escaped(name)}]({file})", ""]
    if single:
        return [*lines, f"Tables at the end of this page: {', '.join(tables)}.", ""]
    if figures:
        lines += ["Each figure's numbers stand in the .csv of its name.", ""]
    return lines + ([f"Tables beside this page: {', '.join(tables)}.", ""] if tables else [])


def _repeat(snapshot: Snapshot, exclude_chance: Exclusion) -> list[str]:
    flaw = "chance" if exclude_chance is True else exclude_chance
    switch = f" --exclude-{flaw.replace(' ', '-')}" if flaw else ""
    several = (
        "Not all of this study was computed in one way: it went on on another machine, with other software or by "
        "another path of the GPU, all named above. None of them alone repeats it bit for bit."
    )
    mixed = [several, ""] if len(snapshot.machines) > 1 else []
    return [
        "## To repeat it",
        "",
        "Save the following as `study.toml`, then:",
        "",
        *fenced(f"embcx-tui run study.toml\nembcx-tui report last{switch}", "sh"),
        "Every random stream (split, sample, initial weights, order of batches, start of an embedding) has its own "
        "seed, derived from the study's seed, the dataset, the run and the purpose; the seed of every embedding "
        "stands in `layers.csv`. Computed by the same kind of processor with the same versions, the numbers are the "
        "same bit for bit, whatever the number of threads; elsewhere they agree to within the spread between runs.",
        "",
        *mixed,
        *fenced(to_toml(snapshot.plan.settings), "toml"),
    ]
