"""What there is and what it says: list, show, logs, stop, delete."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from embcx_tui.analysis.formatting import ordinal
from embcx_tui.cli import OK, PARTLY, print_table, say_error, studies_like
from embcx_tui.store import queue
from embcx_tui.store.jobs import Job, read_job
from embcx_tui.store.library import created_at, delete_study, find_study, list_studies
from embcx_tui.store.paths import StudyPaths, studies_folder
from embcx_tui.store.plain_files import file_stamp
from embcx_tui.store.study_list_cache import ListRow, StudyListCache
from embcx_tui.study.errors import EmbcxError
from embcx_tui.study.text import safe_text

if TYPE_CHECKING:  # loads pydantic, which a list of unchanged studies does not wait for
    from embcx_tui.store.snapshot import Snapshot


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def list_command(ctx: click.Context, as_json: bool) -> None:
    """List the studies, newest first; exit code 3 where one is damaged."""
    kept, studies = StudyListCache(), list_studies()
    ask_for_jobs(studies)
    rows = [list_row(paths, kept) for paths in studies]
    kept.save()
    waiting = queue.entries()
    places = {entry.paths.id: place for place, entry in enumerate(waiting, start=1)}
    gone = {entry.paths.id for entry in waiting if not entry.waits}
    for row in rows:
        row["queue"] = places.get(row["id"])
    found = {paths.id: job for paths in studies if (job := read_job(paths))}
    for row in rows:
        row["job"] = found[row["id"]].record if row["id"] in found else None
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    elif not rows:
        click.echo(f"no studies yet in {safe_text(studies_folder())}; start one with: embcx-tui run demo")
    else:
        cells = [
            [
                row["id"],
                row["name"],
                _state_words(row, found.get(row["id"])) + (", its process is gone" if row["id"] in gone else ""),
                f"{row['progress']:.0%}",
                f"{datetime.fromisoformat(row['created']).astimezone():%Y-%m-%d %H:%M}",
            ]
            for row in rows
        ]
        print_table(["id", "name", "state", "done", "created"], cells, left=(0, 1, 2, 4))
    for row in rows:
        if row["job"] and row["job"]["state"] == "gone" and row["state"] != "running":
            say_error(f"study {row['id']}: {found[row['id']].words}; go on with: embcx-tui resume {row['id']}")
    damaged = [row for row in rows if row["damage"]]
    for row in damaged:
        words = row["damage"]
        say_error(words if words.startswith("study ") else f"study {row['id']}: {words}")
    ctx.exit(PARTLY if damaged else OK)


def list_row(paths: StudyPaths, kept: StudyListCache | None = None) -> dict[str, Any]:
    """Return what is listed of a study, as `kept` where it did not change; of one that cannot be read, why."""
    try:
        row = kept.row(paths, _read_row) if kept else _read_row(paths)
    except EmbcxError as error:
        row = ListRow("", DAMAGED, created_at(paths), 0.0, str(error))
    return {"id": paths.id, **asdict(row), "created": _iso(row.created), "damage": row.damage or None}


def _read_row(paths: StudyPaths) -> ListRow:
    from embcx_tui.analysis.forecast import progress
    from embcx_tui.store.snapshot import read_study

    snapshot = read_study(paths)
    done = round(progress(snapshot).fraction, 4)
    return ListRow(
        snapshot.name,
        snapshot.state,
        snapshot.created or created_at(paths),
        done,
        damage_words(snapshot),
        snapshot.partly,
        snapshot.label.note,
    )


# The state in the list of a study that cannot be read.
DAMAGED = "damaged"


def ask_for_jobs(studies: Iterable[StudyPaths]) -> None:
    """Let SLURM be asked about the jobs that studies wait for, if any does."""
    if waiting := [paths for paths in studies if file_stamp(paths.job)]:
        from embcx_tui.worker.slurm import refresh

        refresh(waiting)


def _state_words(row: dict[str, Any], job: Job | None) -> str:
    if row["queue"]:
        return f"queued, {ordinal(row['queue'])}"
    if job and row["state"] == "running":
        return f"running, {job.words}" if job.state == "running" else "running"
    if job and job.waits:
        return job.words
    if job and job.state == "gone":
        return f"{row['state']}, SLURM job {job.id} is gone"
    if row["damage"] and row["state"] != DAMAGED:
        return f"{row['state']}, {DAMAGED}"
    return f"{row['state']}, partly" if row["partly"] else str(row["state"])


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().isoformat(timespec="seconds")


def damage_words(snapshot: Snapshot) -> str:
    """Return what of a study was lost and how to get it back; empty where nothing was."""
    if not snapshot.damage:
        return ""
    again = "" if snapshot.state == "running" else f"; embcx-tui resume {snapshot.id} makes it again"
    return f"{DAMAGED}: {snapshot.damage}{again}"


def say_damage(snapshot: Snapshot) -> int:
    """Say on standard error what of a study was lost; return the exit code for that."""
    if words := damage_words(snapshot):
        say_error(f"study {snapshot.id}: {words}")
    return PARTLY if words else OK


# How often `logs --follow` looks at the journal.
_FOLLOW_POLL_S = 0.25


@click.command("logs")
@click.argument("study", shell_complete=studies_like)
@click.option("-f", "--follow", "following", is_flag=True, help="Go on until the study ends.")
def logs_command(study: str, following: bool) -> None:
    """Print the log of STUDY."""
    from embcx_tui.store.snapshot import StudyReader

    reader = StudyReader(find_study(study))
    shown = 0
    while True:
        snapshot = reader.poll()
        for line in snapshot.log[shown:]:
            click.echo(str(line))
        shown = len(snapshot.log)
        goes_on = snapshot.state == "running" or (snapshot.waiting and snapshot.waiting.waits)
        if not following or not goes_on:
            return
        time.sleep(_FOLLOW_POLL_S)


@click.command("stop")
@click.argument("study", shell_complete=studies_like)
@click.option("--now", is_flag=True, help="Do not finish the epoch; its work since the last checkpoint is lost.")
def stop_command(study: str, now: bool) -> None:
    """Stop STUDY after its epoch and return when it has ended."""
    from embcx_tui.worker.launch import stop

    paths = find_study(study)
    stop(paths, at_once=now, wait_s=math.inf)
    click.echo(f"stopped; go on with: embcx-tui resume {paths.id}")


@click.command("delete")
@click.argument("study", shell_complete=studies_like)
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete_command(study: str, yes: bool) -> None:
    """Delete STUDY with all its files."""
    paths = find_study(study)
    ask_for_jobs([paths])
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("deleting a study needs your confirmation; where there is no terminal, pass --yes")
        click.confirm(f"delete study {paths.id} ({_contents(paths)})?", abort=True)
    delete_study(paths)
    click.echo(f"deleted {paths.id}")


def _contents(paths: StudyPaths) -> str:
    from embcx_tui.store.snapshot import read_study

    try:
        snapshot = read_study(paths)
    except EmbcxError:
        return "it cannot be read"
    return f"{snapshot.name}, {len(snapshot.measured)} embeddings"
