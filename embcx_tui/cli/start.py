"""Starting studies: presets, run, resume."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from embcx_tui.cli import OK
from embcx_tui.store.paths import StudyPaths
from embcx_tui.study.datafiles import with_absolute_datasets
from embcx_tui.study.errors import RequestError
from embcx_tui.study.preset import load_preset, preset_names
from embcx_tui.study.settings import StudySettings, apply_overrides, read_study_file, validate
from embcx_tui.study.text import safe_text


def requested_settings(study: str, assignments: tuple[str, ...], name: str | None) -> StudySettings:
    """Return the settings that `run` asks for: a preset or a file, then --set, then --name; raises RequestError."""
    if study in preset_names():
        values = load_preset(study).settings.model_dump(mode="json")
    else:
        path = Path(study).expanduser()
        if not path.exists() and path.suffix != ".toml" and "/" not in study:
            raise RequestError(
                f"{safe_text(study, 60)!r} is no preset ({', '.join(preset_names())}) and no file; "
                "embcx-tui presets lists the presets"
            )
        values = with_absolute_datasets({"name": path.stem, **read_study_file(path)}, path.parent)
    values = with_absolute_datasets(apply_overrides(values, assignments), Path())
    if name is not None:
        values["name"] = name
    return validate(values)


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
    width = max(len(one.name) for one in presets)
    for one in presets:
        click.echo(f"{one.name:{width}}  {one.about}")


@click.command("run")
@click.argument("study")
@click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Set a key of the study file; repeatable."
)
@click.option("--name", metavar="TEXT", help="What to call the study.")
@click.option("--detach", is_flag=True, help="Return once it has begun, printing its id.")
@click.option("--json", "as_json", is_flag=True, help="Print the measurements (with --detach: the id) as JSON.")
@click.pass_context
def run_command(
    ctx: click.Context, study: str, assignments: tuple[str, ...], name: str | None, detach: bool, as_json: bool
) -> None:
    """Run STUDY, a preset's name or a TOML file, and follow it.

    Ctrl-C stops it cleanly and says how to go on. Exit codes: 0 complete, 1 failed, 2 bad request, 3 partly failed
    (a network diverged or a layer could not be measured), 4 stopped, 130 stopped by Ctrl-C.
    """
    from embcx_tui.worker.launch import begin

    _went(ctx, begin(requested_settings(study, assignments, name)), detach, as_json)


@click.command("resume")
@click.argument("study")
@click.option("--detach", is_flag=True, help="Return once it has begun, printing its id.")
@click.option("--json", "as_json", is_flag=True, help="Print the measurements (with --detach: the id) as JSON.")
@click.pass_context
def resume_command(ctx: click.Context, study: str, detach: bool, as_json: bool) -> None:
    """Go on with STUDY from its last checkpoint and follow it; exit codes as `run`."""
    from embcx_tui.store.library import find_study
    from embcx_tui.worker.launch import await_acceptance, start

    paths = find_study(study)
    start(paths)
    try:
        await_acceptance(paths)
    except KeyboardInterrupt:
        from rich.console import Console

        from embcx_tui.cli.follow import interrupted

        ctx.exit(interrupted(paths, Console(stderr=True, highlight=False)))
    _went(ctx, paths, detach, as_json)


def _went(ctx: click.Context, paths: StudyPaths, detach: bool, as_json: bool) -> None:
    """Follow a study that has begun, or leave it to itself, and end with its exit code."""
    if detach:
        click.echo(json.dumps({"id": paths.id}) if as_json else paths.id)
        ctx.exit(OK)
    from embcx_tui.cli.follow import follow

    code = follow(paths, quiet=as_json)
    if as_json:
        from embcx_tui.cli.studies import print_measurements

        print_measurements(paths)
    ctx.exit(code)
