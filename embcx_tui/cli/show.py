"""The measurements of a study: `show` as tables, JSON and CSV."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean

import click

from embcx_tui.analysis.correlation import Relation, relations
from embcx_tui.analysis.formatting import (
    break_words,
    effect_words,
    interval_words,
    missing_pictures,
    p_words,
    runs_words,
    signed,
    unscored_layers,
    width_words,
)
from embcx_tui.analysis.json_csv import TABLES
from embcx_tui.analysis.selection import Exclusion, Selection, select
from embcx_tui.analysis.summary import LayerSummary, by_architecture, summarise_selection
from embcx_tui.analysis.trend import Difference, Trend, control_differences, trends
from embcx_tui.cli import studies_like, table_lines
from embcx_tui.cli.studies import DAMAGED, ask_for_jobs, say_damage
from embcx_tui.store.library import find_study
from embcx_tui.store.snapshot import Snapshot, read_study
from embcx_tui.study.naming import architecture_name, dataset_title, layer_tick, sample_size_words
from embcx_tui.study.plan import Architecture
from embcx_tui.study.settings import SCORE_METHOD
from embcx_tui.study.text import safe_text


def exclude_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that leave networks at chance, or those with one flaw, out of means, tests and figures."""
    options: tuple[tuple[str, Exclusion, str], ...] = (
        ("--exclude-chance", True, "Leave networks at chance out of means, tests and figures."),
        ("--exclude-did-not-train", "did not train", "Leave out those at chance on training inputs too."),
        ("--exclude-does-not-generalise", "does not generalise", "Leave out those that learnt training inputs alone."),
    )
    for name, value, words in reversed(options):
        option = click.option(
            name, "exclude_chance", flag_value=value, default=False, type=click.UNPROCESSED, help=words
        )
        command = option(command)
    return command


@click.command("show")
@click.argument("study", shell_complete=studies_like)
@click.option("--json", "as_json", is_flag=True, help="Every network and layer, means and statistics as JSON.")
@click.option(
    "--csv", "as_csv", is_flag=True, help="A table as CSV: one line per measured layer, unless --table names another."
)
@click.option("--table", type=click.Choice(TABLES), help="Which table as CSV.  [default: layers]")
@exclude_options
@click.pass_context
def show_command(
    ctx: click.Context, study: str, as_json: bool, as_csv: bool, table: str | None, exclude_chance: Exclusion
) -> None:
    """Print the measurements of STUDY: KL of each layer, mean ± standard deviation over runs, and the statistics."""
    if as_json and (as_csv or table):
        raise click.UsageError("--json and --csv are two answers; ask for one")
    paths = find_study(study)
    ask_for_jobs([paths])
    snapshot = read_study(paths)
    if as_json:
        print_measurements(snapshot, exclude_chance)
    elif as_csv or table:
        from embcx_tui.analysis.json_csv import csv_table

        click.echo(csv_table(snapshot, table or TABLES[0], exclude_chance), nl=False)
    else:
        click.echo(summary_text(snapshot, exclude_chance))
    ctx.exit(say_damage(snapshot))


def print_measurements(snapshot: Snapshot, exclude_chance: Exclusion = False) -> None:
    """Print the JSON document of `show --json`."""
    from embcx_tui.analysis.json_csv import measurements

    click.echo(json.dumps(measurements(snapshot, exclude_chance), indent=1, allow_nan=False))


def summary_text(snapshot: Snapshot, exclude_chance: Exclusion = False) -> str:
    """Return tables: KL of each layer of an architecture as mean ± standard deviation over the runs, and statistics."""
    settings = snapshot.plan.settings
    selection = select(snapshot, exclude_chance)
    # What moved the points of large samples is not what the settings name (docs/embedding-engine.md).
    engines = {one.engine for one in snapshot.measured.values() if one.method == SCORE_METHOD}
    engine = " and ".join(sorted(engines or {settings.measure.engine}))
    lines = [
        f"{snapshot.name} ({snapshot.id}): {snapshot.state}"
        + f", {DAMAGED}" * bool(snapshot.damage)
        + (f", {snapshot.job.words}" if snapshot.job else "")
        + (f"; go on with: embcx-tui resume {snapshot.id}" if snapshot.waiting and not snapshot.waiting.waits else ""),
        "accuracy on training and test inputs; "
        * (not snapshot.plan.is_measured)
        + f"KL in nats, mean ± sd over runs; t-SNE, {engine} engine, perplexity "
        f"{settings.measure.perplexity:g}, {sample_size_words(settings)}",
    ]
    groups = by_architecture(summarise_selection(selection))
    if not groups:
        return "\n".join([*lines, "nothing measured yet", *filter(None, [selection.words])])
    deepest = max(key.depth for key in groups)
    first = min(network.first_layer for network in snapshot.plan.networks)
    accuracies = [] if snapshot.plan.is_measured else ["train", "test"]
    heads = ["network", "n", *accuracies, *map(layer_tick, range(first, deepest + 1))]
    lines += [
        "",
        *table_lines(heads, (_summary_row(selection, key, layers, deepest) for key, layers in groups.items())),
    ]
    lines += model_lines(snapshot)
    lines += _trend_lines(snapshot, trends(selection)) + _control_lines(snapshot, control_differences(selection))
    if found := relations(selection):
        lines += ["", *(_relation_words(one) for one in found)]
    # Of layers, not of means: a run's input is in the mean of every architecture.
    degenerate = sum(one.degenerate for one in snapshot.measured.values())
    if degenerate:
        words = "1 degenerate layer is" if degenerate == 1 else f"{degenerate:,} degenerate layers are"
        lines.append(f"{words} left out of the means (show --json lists them)")
    lines += [f"{words} (show --json lists them)" for words in unscored_layers(snapshot) + missing_pictures(snapshot)]
    if selection.words:
        lines.append(selection.words)
    return "\n".join(lines)


def model_lines(snapshot: Snapshot) -> list[str]:
    """Return a table of the layers of each model that was handed over: number, name, pooling, units and points."""
    lines: list[str] = []
    shown: set[tuple[str, str]] = set()
    for network in snapshot.plan.networks if snapshot.plan.is_measured else ():
        if (network.dataset, network.activation) in shown:
            continue
        found = [(layer, one) for layer in network.layers if (one := snapshot.layer(network, layer))]
        if found:
            shown.add((network.dataset, network.activation))
            rows = [
                [layer_tick(layer), safe_text(one.name, 200), width_words(one), f"{one.points:,}"]
                for layer, one in found
            ]
            head = [f"layers of {safe_text(network.activation, 60)}", "name", "units", "points"]
            lines += ["", *table_lines(head, rows, left=(0, 1, 2))]
    return lines


def _label(snapshot: Snapshot, key: Architecture) -> str:
    return f"{dataset_title(key.dataset)} {architecture_name(key, snapshot.plan.settings.networks.width)}"


def _trend_lines(snapshot: Snapshot, found: Sequence[Trend]) -> list[str]:
    if not found:
        return []
    head = ["does it fall toward the output?", "per layer", "95 %", "fall", "p", "rise", "p", "effect", "first rise at"]
    rows = [
        [
            _label(snapshot, trend.architecture),
            signed(trend.slope, 3),
            interval_words(trend.slope_ci_low, trend.slope_ci_high),
            runs_words(trend.runs_falling, trend),
            p_words(trend.sign_p),
            runs_words(trend.runs_rising, trend),
            p_words(trend.sign_p_increase),
            effect_words(trend),
            break_words(trend),
        ]
        for trend in found
    ]
    reasons = dict.fromkeys(trend.reason for trend in found if trend.reason)
    return ["", *table_lines(head, rows), _TREND_NOTE, *(f"–: {reason}" for reason in reasons)]


_TREND_NOTE = (
    "per layer: change of KL in nats, mean slope of the runs; fall, rise: runs that do, with the p of a sign test over "
    "runs; effect: mean rank correlation of the runs with a decrease, −1 … 1; show --json has Page's test"
)


def _control_lines(snapshot: Snapshot, found: Sequence[Difference]) -> list[str]:
    """Return a table of the trained networks less their controls, layer by layer, within runs."""
    groups = by_architecture(found)
    if not groups:
        return []
    deepest = max(key.depth for key in groups)
    rows = [
        [f"less {_label(snapshot, key)}", *(_difference_cell(layers.get(layer)) for layer in range(1, deepest + 1))]
        for key, layers in groups.items()
    ]
    head = ["trained less control, within runs, 95 %", *(str(layer) for layer in range(1, deepest + 1))]
    return ["", *table_lines(head, rows)]


def _difference_cell(one: Difference | None) -> str:
    if one is None:
        return ""
    interval = f" ({interval_words(one.ci_low, one.ci_high, 2)})" if one.ci_low is not None else ""
    return f"{signed(one.difference, 2, plus=True)}{interval}"


def _relation_words(one: Relation) -> str:
    """Return complexity against accuracy of one dataset as one sentence."""
    start = f"{dataset_title(one.dataset)}: complexity of the last hidden layer against test accuracy"
    if one.rho is None:
        return f"{start}: no correlation ({one.reason})"
    counts = f"{one.n} networks of {one.architectures} architecture{'s' * (one.architectures != 1)}"
    text = f"{start}: Spearman's ρ {signed(one.rho)} over {counts}"
    if one.rho_within is not None:
        text += f", {signed(one.rho_within)} within architectures"
    return f"{text}; {one.interval_reason or f'95 % interval {interval_words(one.rho_low, one.rho_high, 2)}'}"


def _summary_row(selection: Selection, key: Architecture, layers: dict[int, LayerSummary], deepest: int) -> list[str]:
    states = [
        selection.snapshot.networks[network.id]
        for network in selection.architectures()[key]
        if selection.enters(network)
    ]
    trains = [state.train_accuracy for state in states if state.train_accuracy is not None]
    tests = [state.test_accuracy for state in states if state.test_accuracy is not None]
    accuracies = [f"{fmean(values):.4f}" if values else "" for values in (trains, tests)]
    plan = selection.snapshot.plan
    return [
        _label(selection.snapshot, key),
        _counts(layers.values()),
        *([] if plan.is_measured else accuracies),
        *(_cell(layers.get(layer)) for layer in range(min(n.first_layer for n in plan.networks), deepest + 1)),
    ]


def _counts(layers: Iterable[LayerSummary]) -> str:
    """Return over how many runs the means of `layers` are, "2–5" where that differs."""
    counts = {one.n for one in layers}
    return str(*counts) if len(counts) == 1 else f"{min(counts)}–{max(counts)}"


def _cell(one: LayerSummary | None) -> str:
    if one is None or one.kl_mean is None:
        return "degenerate" if one and one.degenerate else ""
    return f"{one.kl_mean:.3f}" + (f" ± {one.kl_sd:.3f}" if one.kl_sd is not None else "")
