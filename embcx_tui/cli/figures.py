"""Figures of a study as files."""

from __future__ import annotations

import re
from pathlib import Path

import click

from embcx_tui.store.arrays import read_arrays
from embcx_tui.store.files import make_folder, publish
from embcx_tui.store.library import find_study
from embcx_tui.store.reader import read_study
from embcx_tui.study.errors import RequestError, StoreError
from embcx_tui.study.text import safe_text


@click.command("export")
@click.argument("study")
@click.option(
    "--figure", "name", default="all", metavar="NAME", show_default=True, help="One figure, or all it can serve."
)
@click.option("--format", "kind", type=click.Choice(("png", "svg", "pdf")), default="png", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="The folder to write to; else the study's own exports.")
@click.option("--list", "listing", is_flag=True, help="Name the figures this study can serve and end.")
def export_command(study: str, name: str, kind: str, out: Path | None, listing: bool) -> None:
    """Draw figures of STUDY and print the path of each file."""
    from embcx_tui.figures.build import study_figures

    paths = find_study(study)
    snapshot = read_study(paths)
    figures = study_figures(snapshot, lambda sealed: read_arrays(paths.root, sealed))
    if listing:
        for known in figures:
            click.echo(known)
        return
    if not figures:
        raise RequestError(f"study {paths.id} has nothing measured yet; there is no figure to draw")
    if name != "all" and name not in figures:
        known = ", ".join(list(figures)[:12]) + (", …" if len(figures) > 12 else "")
        raise RequestError(f"study {paths.id} has no figure {safe_text(name, 60)!r} (it has {known}, or all)")
    folder = (out.expanduser() if out else paths.exports).absolute()
    make_folder(folder)
    from embcx_tui.figures.image import render

    for chosen in figures if name == "all" else (name,):
        # The names are ours, but hold a dataset's key: nothing of it may leave the folder.
        target = folder / f"{re.sub(r'[^A-Za-z0-9._-]', '-', chosen)}.{kind}"
        data = render(figures[chosen](), kind)  # type: ignore[arg-type]  # click.Choice has checked it
        try:
            publish(target, data)
        except OSError as error:
            raise StoreError(f"{safe_text(target)}: cannot be written ({error.strerror})") from None
        click.echo(str(target))
