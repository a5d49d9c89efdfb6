"""What there is and what it says: list, show, logs, stop, delete."""

from __future__ import annotations

import json
import math
import sys
from datetime import datetime
from typing import Any

import click

from embcx_tui.analysis.progress import progress
from embcx_tui.analysis.tables import TABLES
from embcx_tui.store.library import delete_study, find_study, list_studies
from embcx_tui.store.paths import StudyPaths, studies_folder
from embcx_tui.store.reader import read_study
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.errors import EmbcxError
from embcx_tui.study.text import safe_text


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def list_command(as_json: bool) -> None:
    """List the studies, newest first."""
    rows: list[dict[str, Any]] = []
    for paths in list_studies():
        try:
            rows.append(_row(read_study(paths)))
        except EmbcxError as error:
            click.echo(f"embcx-tui: study {paths.id}: {error}", err=True)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    elif not rows:
        click.echo(f"no studies yet in {safe_text(studies_folder())}; start one with: embcx-tui run demo")
    else:
        width = max(4, *(len(row["name"]) for row in rows))
        click.echo(f"{'id':10}  {'name':{width}}  {'state':8}  {'done':>5}  created")
        for row in rows:
            created = f"{datetime.fromisoformat(row['created']).astimezone():%Y-%m-%d %H:%M}"
            done = f"{row['progress']:4.0%}"
            click.echo(f"{row['id']:10}  {row['name']:{width}}  {row['state']:8}  {done:>5}  {created}")


def _row(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "id": snapshot.id,
        "name": snapshot.name,
        "state": snapshot.state,
        "created": datetime.fromtimestamp(snapshot.created).astimezone().isoformat(timespec="seconds"),
        "progress": round(progress(snapshot).fraction, 4),
    }


EXCLUDE_CHANCE = click.option(
    "--exclude-chance", is_flag=True, help="Leave networks that stayed at chance out of means, tests and figures."
)


@click.command("show")
@click.argument("study")
@click.option("--json", "as_json", is_flag=True, help="Every network and layer, means and statistics as JSON.")
@click.option(
    "--csv", "as_csv", is_flag=True, help="A table as CSV: one line a measured layer, unless --table says else."
)
@click.option("--table", type=click.Choice(TABLES), help="Which table as CSV.  [default: layers]")
@EXCLUDE_CHANCE
def show_command(study: str, as_json: bool, as_csv: bool, table: str | None, exclude_chance: bool) -> None:
    """Print the measurements of STUDY: KL of each layer, mean ± standard deviation over runs, and the statistics."""
    if as_json and (as_csv or table):
        raise click.UsageError("--json and --csv are two answers; ask for one")
    paths = find_study(study)
    if as_json:
        print_measurements(paths, exclude_chance)
    elif as_csv or table:
        from embcx_tui.analysis.tables import csv_table

        click.echo(csv_table(read_study(paths), table or TABLES[0], exclude_chance), nl=False)
    else:
        from embcx_tui.cli.tables import summary_text

        click.echo(summary_text(read_study(paths), exclude_chance))


def print_measurements(paths: StudyPaths, exclude_chance: bool = False) -> None:
    """Print the JSON document of `show --json`."""
    from embcx_tui.analysis.summary import measurements

    click.echo(json.dumps(measurements(read_study(paths), exclude_chance), indent=1, allow_nan=False))


@click.command("logs")
@click.argument("study")
@click.option("-f", "--follow", "following", is_flag=True, help="Go on until the study ends.")
def logs_command(study: str, following: bool) -> None:
    """Print the log of STUDY."""
    paths = find_study(study)
    if following:
        from embcx_tui.cli.follow import follow_log

        follow_log(paths)
        return
    for line in read_study(paths).log:
        click.echo(str(line))


@click.command("stop")
@click.argument("study")
@click.option("--now", is_flag=True, help="Do not finish the epoch; its work since the last checkpoint is lost.")
def stop_command(study: str, now: bool) -> None:
    """Stop STUDY after its epoch and return when it has ended."""
    from embcx_tui.worker.launch import stop

    paths = find_study(study)
    stop(paths, at_once=now, wait_s=math.inf)
    click.echo(f"stopped; go on with: embcx-tui resume {paths.id}")


@click.command("delete")
@click.argument("study")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete_command(study: str, yes: bool) -> None:
    """Delete STUDY with all its files."""
    paths = find_study(study)
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("deleting asks for a yes; without a terminal give --yes")
        snapshot = read_study(paths)
        click.confirm(f"delete study {paths.id} ({snapshot.name}, {len(snapshot.measured)} embeddings)?", abort=True)
    delete_study(paths)
    click.echo(f"deleted {paths.id}")
