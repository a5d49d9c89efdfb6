"""`measure`: a study of the layers of networks that were trained elsewhere, from files of their activations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from embcx_tui.cli import OK, print_table
from embcx_tui.cli.run import follow_or_detach
from embcx_tui.store.paths import typed_path
from embcx_tui.study.pooling import POOLS
from embcx_tui.study.text import safe_text
from embcx_tui.worker import launch
from embcx_tui.worker.measure_request import (
    DEFAULT_DATASET,
    LAYER_COLUMNS,
    MeasureRequest,
    ModelFiles,
    file_facts,
    layer_rows,
    look_into,
    settings_of,
    split_labels,
)

# How options that belong to the files after them stand among those: no path holds a zero byte.
_MARK = "\0"


class _InOrder(click.Command):
    """Keeps `--model NAME` and `--untrained FILE` where they stand among the files."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        kept: list[str] = []
        rest = iter(args)
        for argument in rest:
            option, equals, value = argument.partition("=")
            if option in ("--model", "--untrained"):
                given = value if equals else next(rest, None)
                if not given:
                    raise click.UsageError(f"{option} needs a value", ctx)
                kept.append(f"{_MARK}{option}={given}")
            elif argument == "--":
                kept += [argument, *rest]
            else:
                kept.append(argument)
        return super().parse_args(ctx, kept)


@click.command("measure", cls=_InOrder)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--labels", metavar="FILE[:NAME]", help="Labels of the rows, where the files have no y or labels.")
@click.option("--untrained", metavar="FILE", help="The same network before training, a control; repeatable per run.")
@click.option("--model", metavar="NAME", help="The files that follow are runs of the model NAME; repeatable.")
@click.option("--layers", multiple=True, metavar="GLOB", help="Layers to measure, in this order; repeatable.")
@click.option(
    "--pool",
    type=click.Choice(POOLS),
    default="flatten",
    show_default=True,
    help="What becomes of maps [channels, …] and tokens [tokens, units].",
)
@click.option("--points", type=int, metavar="N", help="Rows measured of each network, of all classes.  [default: 1000]")
@click.option("--per-class", type=int, metavar="N", help="Rows measured of each class, instead of --points.")
@click.option("--classes", metavar="FILE", help="Text file with the name of a class per line, of the labels 0, 1, …")
@click.option(
    "--dataset", metavar="TEXT", default=DEFAULT_DATASET, show_default=True, help="What the inputs are called."
)
@click.option("--name", metavar="TEXT", help="What to call the study, and the model where --model does not.")
@click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Set a key of the study file; repeatable."
)
@click.option("--list", "list_only", is_flag=True, help="Print what would be measured, and measure nothing.")
@click.option("--detach", is_flag=True, help="Return once it has begun, printing its id.")
@click.option("--json", "as_json", is_flag=True, help="Print the measurements (with --list: the layers) as JSON.")
@click.pass_context
def measure_command(ctx: click.Context, /, files: tuple[str, ...], list_only: bool, **given: Any) -> None:
    """Measure the layers of a network from files of its activations, and follow it.

    FILE is .npz, .npy, .safetensors, .tsv, .csv, .h5 or .parquet, or a folder of .npy; several are runs of one model.
    Every array of floating-point numbers with a row per input is a layer; y, labels, label or targets are the labels,
    input or X is layer 0. Nothing is unpickled. docs/measure.md says more. Exit codes as `run`.
    """
    request = _request(files, given)
    found = look_into(request)
    settings = settings_of(request, found)
    if list_only:
        _print_list(request, found, given["as_json"])
        ctx.exit(OK)
    follow_or_detach(ctx, launch.begin(settings), given["detach"], given["as_json"])


def _request(files: tuple[str, ...], given: dict[str, Any]) -> MeasureRequest:
    labels, array = split_labels(given["labels"]) if given["labels"] else (None, "")
    return MeasureRequest(
        models=_models(files),
        labels=labels,
        labels_array=array,
        classes=typed_path(given["classes"]) if given["classes"] else None,
        layers=given["layers"],
        pool=given["pool"],
        points=given["points"],
        per_class=given["per_class"],
        name=given["name"] or "",
        dataset=given["dataset"],
        assignments=given["assignments"],
    )


def _models(files: tuple[str, ...]) -> tuple[ModelFiles, ...]:
    """Return the models that the command line names, each with the files after it."""
    models: list[tuple[str, list[Path], list[Path]]] = [("", [], [])]
    for one in files:
        _, _, value = one.removeprefix(_MARK).partition("=")
        if one.startswith(f"{_MARK}--model"):
            models.append((value, [], []))
        elif one.startswith(f"{_MARK}--untrained"):
            models[-1][2].append(typed_path(value))
        else:
            models[-1][1].append(typed_path(one))
    found = tuple(ModelFiles(name, tuple(runs), tuple(controls)) for name, runs, controls in models if runs or controls)
    for model in found:
        if not model.runs:
            raise click.UsageError(f"no FILE of {safe_text(model.name, 60) or 'a trained network'} beside --untrained")
    for name, runs, _ in models[1:]:
        if not runs:
            raise click.UsageError(f"--model {safe_text(name, 60)} has no FILE after it")
    return found


def _print_list(request: MeasureRequest, found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"files": found["files"], "classes": found["classes"]}, indent=2))
        return
    for one in found["files"]:
        click.echo(f"{one['path']}: {file_facts(request, one)}")
        print_table(LAYER_COLUMNS, layer_rows(one), left=(1, 2, 3))
        for skipped in one["skipped"]:
            click.echo(f"skipped: {skipped['name']} ({skipped['reason']})")
