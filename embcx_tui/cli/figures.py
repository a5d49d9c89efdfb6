"""Figures of a study as files."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

import click

from embcx_tui.cli.studies import EXCLUDE_CHANCE
from embcx_tui.figures.gallery import Makers
from embcx_tui.figures.values import Figure
from embcx_tui.store.arrays import read_arrays
from embcx_tui.store.files import make_folder, publish
from embcx_tui.store.library import find_study
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.reader import read_study
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.errors import RequestError, StoreError
from embcx_tui.study.text import safe_text

FORMATS = ("png", "svg", "pdf")
SIZES = ("auto", "column", "page", "slide")
DPI = click.IntRange(50, 1200)


@click.command("export")
@click.argument("study")
@click.option(
    "--figure", "name", default="all", metavar="NAME", show_default=True, help="One figure, or all it can serve."
)
@click.option("--format", "kind", type=click.Choice(FORMATS), default="png", show_default=True)
@click.option(
    "--size",
    type=click.Choice(SIZES),
    default="auto",
    show_default=True,
    help="One column, a page's width, a slide, or what suits the figure.",
)
@click.option("--dpi", type=DPI, default=300, show_default=True, help="For PNG.")
@click.option("--out", type=click.Path(path_type=Path), help="The folder to write to; else the study's own exports.")
@click.option("--list", "listing", is_flag=True, help="Name the figures this study can serve and end.")
@EXCLUDE_CHANCE
def export_command(
    study: str, name: str, kind: str, size: str, dpi: int, out: Path | None, listing: bool, exclude_chance: bool
) -> None:
    """Draw figures of STUDY, a .csv with the numbers beside each, and print the path of each image."""
    from embcx_tui.figures.gallery import lacking, resolve, why_not

    paths = find_study(study)
    snapshot = read_study(paths)
    figures = figures_of(paths, snapshot, exclude_chance)
    if listing:
        for known in figures:
            click.echo(known)
        return
    if not figures:
        raise RequestError(f"study {paths.id} has nothing measured yet; there is no figure to draw")
    chosen = name if name == "all" else resolve(figures, name)
    if chosen is None:
        asked = safe_text(name, 60)
        raise RequestError(f"study {paths.id} has no figure {asked!r} ({why_not(snapshot, figures, asked)})")
    folder = (out.expanduser() if out else paths.exports).absolute()
    say_left_out(snapshot, exclude_chance)
    names = figures if chosen == "all" else (chosen,)
    if chosen == "all" and (without := lacking(figures)):
        click.echo(f"embcx-tui: of the paper's figures this study lacks {'; '.join(without)}", err=True)
    for _, target in write_figures(figures, names, kind, folder, widths()[size], dpi):
        click.echo(str(target))


@click.command("draw", hidden=True)
@click.argument("name")
@click.option("--format", "kind", type=click.Choice(FORMATS), default="png")
@click.option("--size", type=click.Choice(SIZES), default="auto")
@click.option("--dpi", type=DPI, default=300)
@click.option("--out", type=click.Path(path_type=Path), required=True)
def draw_command(name: str, kind: str, size: str, dpi: int, out: Path) -> None:
    """Draw the figure whose values stand on standard input (`figures.wire`) as the file NAME, and print its path.

    The application's own: what it shows is not rebuilt from the study, it is drawn as it is.
    """
    from embcx_tui.figures.wire import figure_of

    figure = figure_of(sys.stdin.read())
    make_folder(out.absolute())
    click.echo(str(write_figure(figure, name, kind, out.absolute(), widths()[size], dpi)))


def widths() -> dict[str, float | None]:
    """Return the width of each size in inches; None: what suits the figure."""
    from embcx_tui.figures.image import COLUMN_WIDTH_IN

    return {"auto": None, "column": COLUMN_WIDTH_IN, "page": 2 * COLUMN_WIDTH_IN, "slide": 10.0}


def figures_of(paths: StudyPaths, snapshot: Snapshot, exclude_chance: bool) -> Makers:
    """Return the figures a study can serve, with its own array files behind them."""
    from embcx_tui.figures.gallery import study_figures

    return study_figures(snapshot, lambda sealed: read_arrays(paths.root, sealed), exclude_chance)


def say_left_out(snapshot: Snapshot, exclude_chance: bool) -> None:
    """Say on standard error which networks diverged or are at chance, and whether they were left out."""
    from embcx_tui.analysis.selection import select

    words = select(snapshot, exclude_chance).words
    if words:
        click.echo(f"embcx-tui: {words}", err=True)


def write_figures(
    figures: Makers, names: Iterable[str], kind: str, folder: Path, width_in: float | None = None, dpi: int = 300
) -> Iterable[tuple[str, Path]]:
    """Draw each figure into `folder` with its numbers beside it; yield its name and the image's path."""
    make_folder(folder)
    for name in names:
        yield name, write_figure(figures[name](), name, kind, folder, width_in, dpi)


def write_figure(figure: Figure, name: str, kind: str, folder: Path, width_in: float | None, dpi: int) -> Path:
    """Draw a figure into `folder` (which exists) under `name`, its numbers beside it; return the image's path."""
    from embcx_tui.figures.image import render
    from embcx_tui.figures.numbers import figure_csv

    # The names are ours, but hold a dataset's key: nothing of it may leave the folder.
    target = folder / f"{re.sub(r'[^A-Za-z0-9._-]', '-', name)}.{kind}"
    _write(target, render(figure, kind, width_in=width_in, dpi=dpi))  # type: ignore[arg-type]  # click.Choice has checked it
    _write(target.with_suffix(".csv"), figure_csv(figure).encode())
    return target


def _write(target: Path, data: bytes) -> None:
    try:
        publish(target, data)
    except OSError as error:
        raise StoreError(f"{safe_text(target)}: cannot be written ({error.strerror})") from None
