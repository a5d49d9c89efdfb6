"""`embcx-tui` and `embcx-tui open`."""

from __future__ import annotations

from typing import NoReturn

import click


def open_application(study: str | None) -> NoReturn:
    """Open the application, on one study where `study` names one, and end with its exit code."""
    from embcx_tui.store.library import find_study
    from embcx_tui.tui.terminal import unusable

    context = click.get_current_context()
    wanted = find_study(study) if study else None
    # Said before Textual is imported: a terminal that cannot show it should not wait for it.
    if reason := unusable():
        click.echo(reason, err=True)
        context.exit(2)
    from embcx_tui.tui.app import run_app

    context.exit(run_app(wanted))


@click.command("open")
@click.argument("study")
def open_command(study: str) -> None:
    """Open the application on STUDY: live while it runs, its layers otherwise."""
    open_application(study)
