"""Speed on this machine: `bench embed`, `bench train`, `bench paper`; measured in the numerics process, shown here."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from embcx_tui.analysis.formatting import long_duration
from embcx_tui.cli import table_lines
from embcx_tui.study.text import safe_text

if TYPE_CHECKING:
    from embcx_tui.bench.results import Clock, CostRow, Difference, EmbedResult, Machine, PaperResult, TrainResult

PARTS = ("embed", "train", "paper")
_WIDTH = 100
_CHART_ROWS = 14
_MB = 1e6


@click.command("bench")
@click.argument("what", type=click.Choice(PARTS), required=False)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--quick", is_flag=True, help="Small sets, once each: shows that it works, not how fast.")
@click.option(
    "--large",
    is_flag=True,
    help="embed: with 5,000 and 10,000 points in the growth table; paper: the whole of fig2. Minutes more.",
)
@click.option(
    "--points",
    multiple=True,
    type=click.IntRange(100, 20_000),
    help="embed: the numbers of points of the growth table, one each.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
def bench_command(
    what: str | None, as_json: bool, quick: bool, large: bool, points: tuple[int, ...], device: str
) -> None:
    """Measure speed here, beside openTSNE (embed) and a plain PyTorch loop (train), in one run; `paper` extrapolates.

    Without a name: embed and train. Takes some minutes; a busy machine's times say little, its ratios more.
    """
    from embcx_tui.worker.launch import ask

    console = Console(stderr=True, highlight=False)
    options = [*["quick"] * quick, *["large"] * large, f"device={device}"]
    if points:
        options.append("points=" + ",".join(str(one) for one in points))
    results: dict[str, Any] = {}
    for part in (what,) if what else PARTS[:2]:
        with console.status(part) as status:

            def show(line: dict[str, Any], part: str = part) -> None:
                status.update(f"{part}: {safe_text(line.get('doing', ''), 100)}")

            results[part] = ask(part, *options, module="embcx_tui.bench", on_line=show)["result"]
    if as_json:
        click.echo(json.dumps(results[what] if what else results, indent=2))
        return
    lines_of: dict[str, Callable[[Any], list[str]]]
    lines_of = {"embed": _embed_lines, "train": _train_lines, "paper": _paper_lines}
    for part, result in results.items():
        click.echo("\n".join([*lines_of[part](result), "", *_machine_lines(result["machine"]), ""]))


def _headline(result: EmbedResult | TrainResult, unit: str, quality: str, qualities: Sequence[float]) -> list[str]:
    """Return the first lines; `qualities` are numbers of the quality so called, ours and the reference's."""
    idle = f"; {result['idle_ratio']:.1f} if every thread had a core of its own" if result["idle_ratio"] else ""
    sides = (("ours", result["ours"]), ("reference", result["reference"]))
    return [
        f"{result['ratio']:.1f} times as fast as {safe_text(result['reference']['name'])} "
        f"({result['cpu_ratio']:.1f} times in processor time{idle})",
        *table_lines(
            ["", f"s {unit}", "CPU s", quality, "settings"],
            [
                [name, *_times(side), f"{value:.4f}", side["settings"]]
                for (name, side), value in zip(sides, qualities, strict=True)
            ],
            left=(0, 4),
        ),
        f"on {safe_text(result['material'], 300)}",
    ]


def _embed_lines(result: EmbedResult) -> list[str]:
    lines = _headline(result, "an embedding", "exact KL", [result["ours"]["exact_kl"], result["reference"]["exact_kl"]])
    heads = ["layer", "engine", "s", "CPU s", "exact KL", "iterations"]
    rows = [
        [row["layer"], row["engine"], *_times(row), f"{row['exact_kl']:.4f}", str(row["iterations"])]
        for row in result["rows"]
    ]
    lines += ["", "each layer by itself", *table_lines(heads, rows, left=(0, 1))]
    heads = ["points", "ours, s", "CPU s", "openTSNE, s", "CPU s", "ratio", "exact KL", "its exact KL"]
    rows = [
        [
            f"{row['n']:,}",
            *_times(row),
            _seconds(row["reference_seconds"]),
            _seconds(row["reference_cpu_seconds"]),
            f"{row['ratio']:.1f}",
            _number(row["exact_kl"]),
            _number(row["reference_exact_kl"]),
        ]
        for row in result["growth"]
    ]
    lines += ["", "how cost grows with points", *table_lines(heads, rows)]
    ours = [row["seconds"] for row in result["growth"]]
    theirs = [row["reference_seconds"] for row in result["growth"]]
    names = [f"{row['n']:,}" for row in result["growth"]]
    lines += _chart("seconds an embedding", "points", names, {"ours": ours, "openTSNE": theirs})
    rows = [[str(row["embeddings"]), *_times(row)] for row in result["counts"]]
    lines += ["", *table_lines(["embeddings at once", "s each", "CPU s each"], rows)]
    lines += _settings_tried("openTSNE's settings", result)
    memory = result["memory"]
    lines += ["", f"peak memory: {_memory(memory['ours'])} (ours), {_memory(memory['reference'])} (openTSNE)"]
    return lines + _first_call(result)


def _train_lines(result: TrainResult) -> list[str]:
    learnt = result["agreement"]
    accuracy = learnt["test_accuracy"]
    lines = _headline(result, "a network-epoch", "test accuracy", [accuracy["ours"], accuracy["reference"]])
    rows = [[str(row["networks"]), *_times(row), _memory(row["peak_memory"])] for row in result["rows"]]
    lines += ["", *table_lines(["networks in a cohort", "s a network-epoch", "CPU s", "peak memory"], rows)]
    ours = [row["seconds"] for row in result["rows"]]
    theirs = [result["reference"]["seconds"]] * len(ours)
    names = [str(row["networks"]) for row in result["rows"]]
    lines += _chart("seconds a network-epoch", "networks in a cohort", names, {"ours": ours, "plain loop": theirs})
    lines += _settings_tried("the plain loop's settings (relu)", result)
    rows = [_difference("test accuracy", accuracy), _difference("exact KL, last layer", learnt["exact_kl"])]
    heads = ["learnt the same", "ours", "plain loop", "difference", "its standard error"]
    lines += ["", *table_lines(heads, rows), safe_text(learnt["what"], 200)]
    return lines + _first_call(result)


def _difference(words: str, found: Difference) -> list[str]:
    numbers = (found["ours"], found["reference"], found["difference"], found["standard_error"])
    return [words, *(f"{number:.4f}" for number in numbers)]


def _settings_tried(head: str, result: EmbedResult | TrainResult) -> list[str]:
    rows = [[row["settings"], *_times(row)] for row in result["settings_tried"]]
    return ["", *table_lines([head, "s", "CPU s"], rows)]


def _first_call(result: EmbedResult | TrainResult) -> list[str]:
    first = result["first_call"]
    if not first:
        return []
    return [f"first call: {first['compiling']:.1f} s compiling, {first['cached']:.2f} s in later processes"]


def _paper_lines(result: PaperResult) -> list[str]:
    lines = [
        f"the whole paper on this machine: about {long_duration(result['seconds'])} (extrapolated)",
        *_cost_table(result["rows"]),
        f"on {safe_text(result['material'], 300)}",
        f"{safe_text(result['preset_what'], 200)}: about {long_duration(result['preset_seconds'])}",
    ]
    for study in result["breakdowns"]:
        rows = [
            [part["part"], f"{part['seconds']:.2f}", f"{part['cpu_seconds']:.2f}", f"{part['share']:.0%}"]
            for part in study["parts"]
        ]
        lines += [
            "",
            f"where the time of {study['study']} goes ({safe_text(study['what'], 200)}; wall {study['wall']:.1f} s, "
            f"estimated {study['estimated_seconds']:.1f} s; peak memory {_memory(study['peak_memory'])})",
            *table_lines(["", "thread seconds", "CPU s", "share"], rows),
        ]
    for cost in result["libraries"]:
        lines += [
            "",
            f"{cost['study']} ({safe_text(cost['what'], 200)}) with openTSNE and a plain PyTorch loop: about "
            f"{long_duration(cost['seconds'])} (extrapolated)",
            *_cost_table(cost["rows"]),
        ]
    return lines


def _cost_table(costs: Sequence[CostRow]) -> list[str]:
    rows = [
        [cost["part"], f"{cost['count']:,}", _seconds(cost["seconds_each"]), f"{cost['seconds']:,.0f}", cost["from"]]
        for cost in costs
    ]
    return table_lines(["part", "count", "s each", "s in all", "from"], rows, left=(0, 4))


def _machine_lines(machine: Machine) -> list[str]:
    before, after = machine["load"][0], machine.get("load_after", machine["load"])[0]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    gpu = f"; {machine['gpu']}, driver {machine['driver']}" if machine["gpu"] else ""
    facts = f"{machine['cpu']}, {machine['cores']} cores, load {before} before and {after} after{gpu}"
    return [safe_text(facts, 300), safe_text(versions, 300)]


def _chart(title: str, x: str, names: Sequence[str], lines: dict[str, Sequence[float]]) -> list[str]:
    """Return a small chart of values over the named positions of the x axis; coloured on a terminal."""
    import sys

    import numpy as np

    from embcx_tui.figures.cells import draw_text
    from embcx_tui.figures.model import Curve, Curves
    from embcx_tui.figures.spans import Look

    positions = np.arange(len(names), dtype=float)
    curves = tuple(
        Curve(label, positions, np.asarray(values, dtype=float), index)
        for index, (label, values) in enumerate(lines.items())
    )
    figure = Curves(title, x, "s", curves, zero=True, x_names=tuple(names))
    look = Look(colours=sys.stdout.isatty(), unicode=(sys.stdout.encoding or "").lower().startswith("utf"))
    return ["", draw_text(figure, _WIDTH, _CHART_ROWS, look)]


def _times(row: Clock) -> list[str]:
    return [_seconds(row["seconds"]), _seconds(row["cpu_seconds"])]


def _seconds(value: float) -> str:
    """Return seconds with three significant digits."""
    return f"{value:#.3g}" if value < 100 else f"{value:,.0f}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _memory(value: float) -> str:
    return f"{value / _MB:,.0f} MB"
