"""Datasets: list, fetch, check."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from embcx_tui.cli import OK, PARTLY, print_table
from embcx_tui.store.paths import data_folder
from embcx_tui.study.dataset_catalogue import CATALOGUE, DatasetFacts, missing_files
from embcx_tui.study.errors import RequestError
from embcx_tui.study.text import safe_text


@click.group("data")
def data_command() -> None:
    """Datasets in $EMBCX_DATA_DIR (torchvision's layout): list, fetch, check."""


@data_command.command("list", epilog="Example: embcx-tui data list")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def list_command(as_json: bool) -> None:
    """List the datasets and which of their files are missing."""
    folder = data_folder()
    rows = [_row(facts) for facts in CATALOGUE.values()]
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "datasets": rows}, indent=2))
        return
    click.echo(f"datasets in {safe_text(folder)}")
    print_table((), ((row["name"], row["state"], _about(row)) for row in rows), left=(0, 1, 2))
    click.echo("your own: file:PATH.npz with X, y and optionally X_test, y_test, group")


def _row(facts: DatasetFacts) -> dict[str, Any]:
    missing = missing_files(facts, data_folder())
    state = "embedded" if not facts.files else "present" if not missing else "missing"
    return {
        "name": facts.name,
        "title": facts.title,
        "state": state,
        "n_train": facts.n_train,
        "n_test": facts.n_test,
        "features": facts.features,
        "classes": len(facts.classes),
        "source": facts.source,
        "missing": list(missing),
    }


def _about(row: dict[str, Any]) -> str:
    size = f"{row['n_train']:,} training, {row['n_test']:,} test inputs of {row['features']} values; {row['source']}"
    if not row["missing"]:
        return size
    return f"{size}\nmissing {_some_files(row['missing'])}: embcx-tui data fetch {row['name']}"


def _some_files(files: list[str]) -> str:
    """Return the names of one or two files; of more only their number and folder."""
    return ", ".join(files) if len(files) <= 2 else f"{len(files)} files of {files[0].rpartition('/')[0]}"


@data_command.command("fetch", epilog="Example: embcx-tui data fetch mnist")
@click.argument("name")
@click.option("--offline", is_flag=True, help="Only say what is missing, where it belongs and where it comes from.")
@click.pass_context
def fetch_command(ctx: click.Context, name: str, offline: bool) -> None:
    """Download dataset NAME where it is missing or damaged, with progress and checksums.

    An interrupted download continues where it stopped. With --offline nothing is downloaded: exit code 3 where files
    are missing.
    """
    from embcx_tui.worker.launch import ask

    if name not in CATALOGUE:
        raise RequestError(
            f"{safe_text(name, 60)!r} is not a dataset that can be fetched (known: {', '.join(CATALOGUE)})"
        )
    if offline:
        ctx.exit(_say_missing(CATALOGUE[name]))
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as display:
        task = display.add_task(name, total=None)
        ask("data-fetch", name, on_line=lambda line: display.update(task, completed=line["bytes"], total=line["total"]))
    where = f"is in {safe_text(data_folder())}" if CATALOGUE[name].files else CATALOGUE[name].source
    click.echo(f"{name} {where}")


def _say_missing(facts: DatasetFacts) -> int:
    """Print which files the user must bring here from a machine that has a network; return the exit code."""
    folder = data_folder()
    wanted = [part.distributed for part in facts.files if part.complete_form(folder) is None]
    if not wanted:
        click.echo(f"{facts.name}: nothing is missing" + (f" in {safe_text(folder)}" if facts.files else ""))
        return OK
    for part in facts.files:
        file = part.distributed
        if file in wanted:
            click.echo(f"{safe_text(folder / file.path)} is missing ({file.size:,} bytes, MD5 {file.md5})")
            for url in part.urls:
                click.echo(f"  from {url}")
    return PARTLY


@data_command.command("check", epilog="Example: embcx-tui data check mnist")
@click.argument("names", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def check_command(ctx: click.Context, names: tuple[str, ...], as_json: bool) -> None:
    """Compare the checksums of the datasets' files; exit code 3 where one is damaged."""
    from embcx_tui.worker.launch import ask

    for name in names:
        if name not in CATALOGUE:
            raise RequestError(f"{safe_text(name, 60)!r} is not a dataset (known: {', '.join(CATALOGUE)})")
    answer = ask("data-check", *names)
    if as_json:
        click.echo(json.dumps({key: answer[key] for key in ("folder", "datasets")}, indent=2))
    else:
        for one in answer["datasets"]:
            click.echo(f"{one['name']}: {one['state']}")
            for file in one["files"]:
                click.echo(f"  {file['state']:14} {safe_text(file['path'])}")
    if any(one["state"] == "damaged" for one in answer["datasets"]):
        ctx.exit(PARTLY)
