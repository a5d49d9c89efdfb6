"""Starting studies (presets, run, resume) and following them: a progress display on a terminal, the log elsewhere."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.text import Text

from embcx_tui.analysis.forecast import progress
from embcx_tui.analysis.formatting import long_duration, missing_numbers, missing_pictures
from embcx_tui.analysis.summary import summarise
from embcx_tui.cli import FAILED, INTERRUPTED, OK, PARTLY, STOPPED, print_table, say_error, studies_like
from embcx_tui.store.jobs import Job
from embcx_tui.store.library import find_study
from embcx_tui.store.paths import StudyPaths, typed_path
from embcx_tui.store.snapshot import Snapshot, StudyReader, read_study
from embcx_tui.study.dataset_catalogue import with_absolute_datasets
from embcx_tui.study.errors import RequestError
from embcx_tui.study.measured import kind_of, validate_study
from embcx_tui.study.settings import (
    StudySettings,
    apply_overrides,
    load_preset,
    preset_names,
    read_study_file,
)
from embcx_tui.study.text import safe_text
from embcx_tui.worker import launch


def requested_settings(study: str, assignments: tuple[str, ...], name: str | None) -> StudySettings:
    """Return the settings that `run` asks for: a preset or a file, then --set, then --name; raises RequestError."""
    if study in preset_names():
        values = load_preset(study).settings.model_dump(mode="json")
    else:
        path = typed_path(study)
        if not path.exists() and path.suffix != ".toml" and "/" not in study:
            raise RequestError(
                f"{safe_text(study, 60)!r} is no preset ({', '.join(preset_names())}) and no file; "
                "embcx-tui presets lists the presets"
            )
        values = with_absolute_datasets({"name": path.stem, **read_study_file(path)}, path.parent)
    values = with_absolute_datasets(apply_overrides(values, assignments, kind_of(values)), Path())
    if name is not None:
        values["name"] = name
    return validate_study(values)


@click.command("presets")
@click.option("--json", "as_json", is_flag=True, help="As JSON, with the complete settings.")
def presets_command(as_json: bool) -> None:
    """List the ready-made studies; run one with: embcx-tui run NAME"""
    presets = [load_preset(name) for name in preset_names()]
    if as_json:
        documents: list[dict[str, Any]] = [
            {"name": one.name, "about": one.about, "settings": one.settings.model_dump(mode="json")} for one in presets
        ]
        click.echo(json.dumps(documents, indent=2))
        return
    print_table((), ((preset.name, preset.about) for preset in presets), left=(0, 1))


def _presets_like(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the STUDY of `run` for the shell: a preset, or a file."""
    found = [CompletionItem(name) for name in preset_names() if name.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type="file")]


sbatch_option = click.option(
    "--sbatch", metavar="OPTIONS", help="Submit it to SLURM with these options of sbatch; print its id."
)


@click.command("run")
@click.argument("study", shell_complete=_presets_like)
@click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Set a key of the study file; repeatable."
)
@click.option("--name", metavar="TEXT", help="What to call the study.")
@click.option("--detach", is_flag=True, help="Return once it has begun, printing its id.")
@click.option("--queue", "queued", is_flag=True, help="Start it when nothing runs on its device; print its id.")
@sbatch_option
@click.option("--json", "as_json", is_flag=True, help="Print the measurements (with --detach: the id) as JSON.")
@click.pass_context
def run_command(
    ctx: click.Context,
    study: str,
    assignments: tuple[str, ...],
    name: str | None,
    detach: bool,
    queued: bool,
    sbatch: str | None,
    as_json: bool,
) -> None:
    """Run STUDY, a preset's name or a TOML file, and follow it.

    Ctrl-C stops it cleanly and says how to go on. Exit codes: 0 complete, 1 failed, 2 bad request, 3 partly failed
    (a network diverged, a layer could not be measured, or a method failed on one), 4 stopped, 130 stopped by Ctrl-C.
    """
    settings = requested_settings(study, assignments, name)
    _refuse_two_queues(queued, sbatch)
    if sbatch is not None:
        _say_submitted(*launch.submit_new(settings, sbatch), as_json)
        ctx.exit(OK)
    if queued:
        launch.revive_queue()
        _say_id(launch.enqueue_new(settings), as_json)
        ctx.exit(OK)
    follow_or_detach(ctx, launch.begin(settings), detach, as_json)


def _say_id(paths: StudyPaths, as_json: bool) -> None:
    click.echo(json.dumps({"id": paths.id}) if as_json else paths.id)


def _refuse_two_queues(queued: bool, sbatch: str | None) -> None:
    if queued and sbatch is not None:
        raise click.UsageError("--queue waits for this machine, --sbatch for SLURM; give one")


def _say_submitted(paths: StudyPaths, job: Job, as_json: bool) -> None:
    """Print the id of a study that SLURM has, and which job it waits for."""
    click.echo(f"{job.words}; embcx-tui list shows when it begins", err=True)
    click.echo(json.dumps({"id": paths.id, "job": job.record}) if as_json else paths.id)


@click.command("resume")
@click.argument("study", shell_complete=studies_like)
@click.option("--detach", is_flag=True, help="Return once it has begun, printing its id.")
@click.option("--queue", "queued", is_flag=True, help="Start it when nothing runs on its device; print its id.")
@sbatch_option
@click.option("--json", "as_json", is_flag=True, help="Print the measurements (with --detach: the id) as JSON.")
@click.pass_context
def resume_command(
    ctx: click.Context, study: str, detach: bool, queued: bool, sbatch: str | None, as_json: bool
) -> None:
    """Go on with STUDY from its last checkpoint and follow it; exit codes as `run`."""
    _refuse_two_queues(queued, sbatch)
    paths = find_study(study)
    if sbatch is not None:
        _say_submitted(paths, launch.submit(paths, sbatch), as_json)
        ctx.exit(OK)
    if queued:
        launch.revive_queue()  # those that wait for nobody any more go on, before this one
        launch.enqueue(paths)
        _say_id(paths, as_json)
        ctx.exit(OK)
    reader = launch.start(paths)
    try:
        launch.await_acceptance(reader)
    except KeyboardInterrupt:
        ctx.exit(interrupted(paths, Console(stderr=True, highlight=False)))
    follow_or_detach(ctx, paths, detach, as_json)


def follow_or_detach(ctx: click.Context, paths: StudyPaths, detach: bool, as_json: bool) -> None:
    """Follow a study that has begun, or leave it to itself, and end with its exit code."""
    if detach:
        _print_warnings(paths)
        click.echo(json.dumps({"id": paths.id}) if as_json else paths.id)
        ctx.exit(OK)
    code = _follow(paths, quiet=as_json)
    if as_json:
        from embcx_tui.cli.show import print_measurements

        print_measurements(read_study(paths))
    ctx.exit(code)


def _print_warnings(paths: StudyPaths) -> None:
    """Print what the worker has warned of since it began: nobody follows it now."""
    snapshot = StudyReader(paths).poll()
    since = snapshot.worker.at if snapshot.worker else 0.0
    for line in snapshot.log:
        if line.level == "warning" and line.at >= since:
            say_error(line.text)


# How often a study that runs is looked at.
_POLL_S = 0.25


def _follow(paths: StudyPaths, *, quiet: bool) -> int:
    """Show a study until its worker ends; return the exit code. With `quiet` only warnings and errors are shown."""
    console = Console(stderr=True, highlight=False)
    reader = StudyReader(paths)
    try:
        snapshot = _watch(reader, console, quiet)
    except KeyboardInterrupt:
        return interrupted(paths, console)
    return verdict(snapshot, console)


def _watch(reader: StudyReader, console: Console, quiet: bool) -> Snapshot:
    shown = 0
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal, transient=True) as display:
        task = display.add_task("starting", total=1.0, left="")
        while True:
            snapshot = reader.poll()
            for line in snapshot.log[shown:]:
                if line.level != "info" or not (quiet or display.console.is_terminal):
                    console.print(Text(str(line)), soft_wrap=True)
            shown = len(snapshot.log)
            if snapshot.state != "running":
                return snapshot
            now = progress(snapshot)
            epochs = f"{now.network_epochs:,}/{now.network_epochs_planned:,} network epochs, "
            doing = (
                f"{safe_text(snapshot.name)}: {epochs if now.network_epochs_planned else ''}"
                f"{now.embeddings:,}/{now.embeddings_planned:,} embeddings"
            )
            left = "" if now.seconds_left is None else f"about {long_duration(now.seconds_left)} left"
            display.update(task, completed=now.fraction, description=doing, left=left)
            time.sleep(_POLL_S)


def interrupted(paths: StudyPaths, console: Console) -> int:
    """Stop a study as Ctrl-C does: after its epoch, waiting for it; return the exit code."""
    console.print("stopping after this epoch (Ctrl-C again: leave it to do so alone) …")
    try:
        launch.stop(paths, wait_s=math.inf)
    except RequestError:
        pass  # it has ended by itself meanwhile
    except KeyboardInterrupt:
        console.print(f"it stops by itself; see: embcx-tui logs {paths.id}")
        return INTERRUPTED
    console.print(f"stopped; go on with: embcx-tui resume {paths.id}")
    return INTERRUPTED


def verdict(snapshot: Snapshot, console: Console) -> int:
    """Say what became of a study that has ended, and return the exit code."""
    if snapshot.state == "complete":
        scores = len(summarise(snapshot))
        console.print(f"complete: {len(snapshot.measured)} embeddings, {scores} means; embcx-tui show {snapshot.id}")
        if snapshot.partly_failed:
            kinds = (("numbers", missing_numbers(snapshot)), ("pictures", missing_pictures(snapshot)))
            say_error("; ".join(f"{what} are missing: {', '.join(words)}" for what, words in kinds if words))
            return PARTLY
        from embcx_tui.cli.studies import say_damage

        return say_damage(snapshot)
    if snapshot.state == "stopped":
        console.print(f"stopped; go on with: embcx-tui resume {snapshot.id}")
        return STOPPED
    reason = snapshot.ended.reason if snapshot.ended else "the worker ended without a word"
    say_error(f"study {snapshot.id}: {reason}; go on with: embcx-tui resume {snapshot.id}")
    return FAILED


@click.command("open")
@click.argument("study", shell_complete=studies_like)
@click.pass_context
def open_command(ctx: click.Context, study: str | None) -> NoReturn:
    """Open the application on STUDY: live while it runs, its layers otherwise."""
    from embcx_tui.tui.terminal import ignore_foreign_settings, unusable

    paths = find_study(study) if study else None
    # Said before Textual is imported: a terminal that cannot show it should not wait for it.
    if reason := unusable():
        click.echo(reason, err=True)
        ctx.exit(2)
    ignore_foreign_settings()
    from embcx_tui.tui.run import run_app

    ctx.exit(run_app(paths))
