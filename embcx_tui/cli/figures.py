"""Figures of a study as files, the hidden command that draws for the application, and the report."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import click
from click.core import ParameterSource

from embcx_tui.analysis.report import report
from embcx_tui.analysis.selection import Exclusion, select
from embcx_tui.cli import echo_path, studies_like
from embcx_tui.cli.show import exclude_options
from embcx_tui.cli.studies import say_damage
from embcx_tui.figures.export import (
    DEFAULT_DPI,
    FORMATS,
    MAX_DPI,
    MIN_DPI,
    SIZES,
    Format,
    draw_preview,
    file_name,
    file_names,
    render,
    write_figure,
    write_figures,
    write_files,
)
from embcx_tui.figures.flight import FLIGHT_FORMATS, Flight, render_flight
from embcx_tui.figures.gallery import (
    about,
    explain_missing,
    missing_paper_figures,
    resolve,
    study_figures,
    study_flights,
)
from embcx_tui.figures.inline_svg import inline_svg
from embcx_tui.figures.model import Figure, FigureBuilder
from embcx_tui.figures.serialization import figure_csv, figure_of
from embcx_tui.store.files import make_folder, read_arrays
from embcx_tui.store.library import find_study
from embcx_tui.store.paths import StudyPaths, studies_folder, typed_path
from embcx_tui.store.snapshot import Snapshot, read_study
from embcx_tui.store.written_files import not_ours, remember
from embcx_tui.study.errors import RequestError
from embcx_tui.study.naming import figure_kind
from embcx_tui.study.text import safe_text

FORMAT = click.option("--format", "format", type=click.Choice(FORMATS), default="png", show_default=True)
SIZE = click.option(
    "--size",
    type=click.Choice(SIZES),
    default="auto",
    show_default=True,
    help="One column, a page's width, a slide, or what suits the figure.",
)
OVERWRITE = click.option(
    "--overwrite", is_flag=True, help="With --out: replace files of the same names that embcx-tui did not write."
)
DPI = click.option(
    "--dpi", type=click.IntRange(MIN_DPI, MAX_DPI), default=DEFAULT_DPI, show_default=True, help="For PNG."
)


@click.command("export")
@click.argument("study", shell_complete=studies_like)
@click.option(
    "--figure",
    "name",
    default="all",
    metavar="NAME",
    show_default=True,
    help="One figure, or all there are; flight: the points moving from layer to layer.",
)
@click.option(
    "--format",
    "format",
    type=click.Choice((*FORMATS, "gif")),
    default="png",
    show_default=True,
    help="A flight is gif or svg.",
)
@SIZE
@DPI
@click.option("--out", type=click.Path(path_type=Path), help="The folder to write to; else the study's own exports.")
@click.option("--list", "listing", is_flag=True, help="Print the names of the figures of this study and end.")
@OVERWRITE
@exclude_options
@click.pass_context
def export_command(
    ctx: click.Context,
    study: str,
    name: str,
    format: Format | Literal["gif"],
    size: str,
    dpi: int,
    out: Path | None,
    listing: bool,
    overwrite: bool,
    exclude_chance: Exclusion,
) -> None:
    """Draw figures of STUDY, a .csv with the numbers beside each, and print the path of each image.

    --figure flight is the points of a network moving from layer to layer, as GIF or SVG; flight-… another network's.
    """
    paths = find_study(study)
    snapshot = read_study(paths)
    code = say_damage(snapshot)
    figures = figures_of(paths, snapshot, exclude_chance)
    flights = study_flights(snapshot, partial(read_arrays, paths.root))
    if listing:
        for known in (*figures, *flights):
            click.echo(known)
        ctx.exit(code)
    if not figures:
        raise RequestError(f"study {paths.id} has nothing measured yet; there is no figure to draw")
    folder = (typed_path(out) if out else paths.exports).absolute()
    asked_format = format if ctx.get_parameter_source("format") is ParameterSource.COMMANDLINE else None
    if flight := next(iter(flights), None) if name == "flight" else name if name in flights else None:
        say_left_out(snapshot, exclude_chance)
        echo_path(_export_flight(flights[flight](), flight, asked_format, folder, overwrite))
        ctx.exit(code)
    if format == "gif":
        raise RequestError(f"only a flight is a GIF (--figure flight); others are {', '.join(FORMATS)}")
    chosen = name if name == "all" else resolve(figures, name)
    if chosen is None:
        asked = safe_text(name, 60)
        raise RequestError(f"study {paths.id} has no figure {asked!r} ({explain_missing(snapshot, figures, asked)})")
    drawn = figures if chosen == "all" else {chosen: figures[chosen]}
    files = [file for figure in drawn for file in file_names(figure, format)]
    say_left_out(snapshot, exclude_chance)
    papers = chosen == "all" and not snapshot.plan.is_measured
    if papers and (without := missing_paper_figures(figures)):
        click.echo(f"embcx-tui: of the paper's figures this study lacks {'; '.join(without)}", err=True)
    with sparing(folder, files, overwrite):
        for _, target in write_figures(drawn, format, folder, size, dpi):
            echo_path(target)
    ctx.exit(code)


def _export_flight(flight: Flight, name: str, format: str | None, folder: Path, overwrite: bool) -> Path:
    """Write a flight, a GIF unless told, with the .csv of its layers; return its path."""
    asked = next((known for known in FLIGHT_FORMATS if known == (format or "gif")), None)
    if asked is None:
        raise RequestError(f"a flight moves: --format {' or '.join(FLIGHT_FORMATS)}, not {format}")
    image, numbers = file_name(name, asked), file_name(name, "csv")
    with sparing(folder, [image, numbers], overwrite):
        make_folder(folder)
        write_files(folder, ((image, render_flight(flight, asked)), (numbers, figure_csv(flight.panels).encode())))
    return folder / image


@contextlib.contextmanager
def sparing(folder: Path, files: Sequence[str], overwrite: bool) -> Iterator[None]:
    """Let the block write `files` into `folder`; raises RequestError before where one is there that is somebody's own.

    In the folder of a study all files are ours.
    """
    targets = [folder / file for file in files]
    if studies_folder() in folder.parents:
        yield
        return
    taken = [] if overwrite else not_ours(targets)
    if taken:
        more = f" and {len(taken) - 1} more" if len(taken) > 1 else ""
        raise RequestError(
            f"{safe_text(taken[0])}{more}: already there, and not as embcx-tui wrote it; --overwrite replaces it"
        )
    try:
        yield
    finally:
        remember(targets)


class Pair(click.ParamType[tuple[int, int]]):
    """`44x20`: two numbers from 1 to 2,000."""

    name = "pair"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        first, _, second = value.partition("x")
        if not (first.isdecimal() and second.isdecimal() and 0 < int(first) <= 2000 and 0 < int(second) <= 2000):
            self.fail(f"{value!r} is not two numbers, such as 44x20", param, ctx)
        return int(first), int(second)


@click.command("draw", hidden=True)
@click.argument("name", required=False)
@click.option("--out", type=click.Path(path_type=Path), help="Write the image as NAME to this folder.")
@FORMAT
@DPI
@click.option("--room", type=Pair(), help="Print a preview for so many columns and rows.")
@click.option("--cell", type=Pair(), default="10x20", help="Width and height of a cell in pixels.")
@click.option("--sixel", is_flag=True, help="The preview as Sixel (needs textual-image), else as PNG.")
@SIZE
@click.option("--study", help="Draw --figure of this study instead of the figure on standard input.")
@click.option("--figure")
@exclude_options
def draw_command(
    name: str | None,
    out: Path | None,
    format: Format,
    dpi: int,
    room: tuple[int, int] | None,
    cell: tuple[int, int],
    sixel: bool,
    size: str,
    study: str | None,
    figure: str | None,
    exclude_chance: Exclusion,
) -> None:
    """Draw a figure for the application: to a file, whose path is printed, or as a preview for its terminal.

    The figure is on standard input (`figures.serialization`): what the screen shows is drawn as it is. A preview is
    JSON: the `columns` and `rows` it takes, and its `png` (base64) or `sixel`.
    """
    drawn = _requested_figure(study, figure, exclude_chance)
    if room:
        columns, rows, png = draw_preview(drawn, room, cell, size)
        data = {"sixel": _sixel(png, columns, rows, cell)} if sixel else {"png": b64encode(png).decode("ascii")}
        click.echo(json.dumps({"columns": columns, "rows": rows, **data}))
    elif name and out:
        make_folder(out.absolute())
        echo_path(write_figure(drawn, name, format, out.absolute(), size, dpi))
    else:
        raise click.UsageError("give NAME and --out, or --room")


def _requested_figure(study: str | None, name: str | None, exclude_chance: Exclusion) -> Figure:
    if study is None or name is None:
        return figure_of(sys.stdin.read())
    paths = find_study(study)
    snapshot = read_study(paths)
    if flight := study_flights(snapshot, partial(read_arrays, paths.root)).get(name):
        return flight().panels
    figures = figures_of(paths, snapshot, exclude_chance)
    if name not in figures:
        raise RequestError(f"study {paths.id} has no such figure yet")
    return figures[name]()


def figures_of(paths: StudyPaths, snapshot: Snapshot, exclude_chance: Exclusion) -> dict[str, FigureBuilder]:
    """Return the figures that a study has data for, which read its array files when they are built."""
    return study_figures(snapshot, lambda sealed: read_arrays(paths.root, sealed), exclude_chance)


def say_left_out(snapshot: Snapshot, exclude_chance: Exclusion) -> None:
    """Say on standard error which networks diverged or are at chance, and whether they were left out."""
    words = select(snapshot, exclude_chance).words
    if words:
        click.echo(f"embcx-tui: {words}", err=True)


def _sixel(png: bytes, columns: int, rows: int, cell: tuple[int, int]) -> str:
    """Return the image as Sixel of exactly that many cells; this process has no terminal, so none is asked anything."""
    # textual-image takes the size of a cell from here where there is no terminal to ask.
    os.environ["TEXTUAL_CELL_WIDTH"], os.environ["TEXTUAL_CELL_HEIGHT"] = str(cell[0]), str(cell[1])
    try:
        from PIL import Image as Pillow
        from rich.console import Console
        from textual_image.renderable.sixel import Image
    except ImportError as error:
        raise RequestError(f"pip install 'embcx-tui[images]' for a preview ({error.name} is missing)") from None
    image = Pillow.open(io.BytesIO(png)).convert("RGB").resize((columns * cell[0], rows * cell[1]))
    console = Console(file=io.StringIO(), width=columns)
    parts = Image(image, width=columns, height=rows).__rich_console__(console, console.options)
    return next(text for part in parts if (text := getattr(part, "text", "")).startswith("\x1bP"))


@click.command("report")
@click.argument("study", shell_complete=studies_like)
@click.option("--html", is_flag=True, help="One HTML file that holds its figures and tables and needs nothing else.")
@click.option("--out", type=click.Path(path_type=Path), help="The folder to write to; else the study's exports/report.")
@OVERWRITE
@exclude_options
@click.pass_context
def report_command(
    ctx: click.Context, study: str, html: bool, out: Path | None, overwrite: bool, exclude_chance: Exclusion
) -> None:
    """Write a report of STUDY, one Markdown page with figures and tables beside it, and print its path.

    It has every figure except the embeddings of single networks, which `export` draws.
    """
    from embcx_tui.analysis.json_csv import TABLES, csv_table

    paths = find_study(study)
    snapshot = read_study(paths)
    code = say_damage(snapshot)
    folder = (typed_path(out) if out else paths.exports / "report").absolute()
    say_left_out(snapshot, exclude_chance)
    figures = figures_of(paths, snapshot, exclude_chance)
    chosen = {name: build for name, build in figures.items() if figure_kind(name) != "embedding"}
    tables = tuple(f"{table}.csv" for table in TABLES)
    if html:
        with sparing(folder, ["report.html"], overwrite):
            make_folder(folder)
            write_files(folder, [("report.html", _html_report(snapshot, chosen, exclude_chance).encode())])
        echo_path(folder / "report.html")
        ctx.exit(code)
    files = [*(file for name in chosen for file in file_names(name, "png")), *tables, "report.md"]
    with sparing(folder, files, overwrite):
        images = {name: target.name for name, target in write_figures(chosen, "png", folder)}
        written = {f"{table}.csv": csv_table(snapshot, table, exclude_chance) for table in TABLES}
        written["report.md"] = report(snapshot, images, tables, exclude_chance)
        write_files(folder, ((name, text.encode()) for name, text in written.items()))
    echo_path(folder / "report.md")
    ctx.exit(code)


def _html_report(snapshot: Snapshot, figures: Mapping[str, FigureBuilder], exclude_chance: Exclusion) -> str:
    """Return the report as one HTML page, with its figures as SVG and its tables as text in it."""
    from embcx_tui.analysis.html_page import html_page
    from embcx_tui.analysis.json_csv import TABLES, csv_table

    places = {name: f"figure-{place}" for place, name in enumerate(figures)}
    drawn = {
        places[name]: inline_svg(render(build(), "svg"), places[name], about(name) or name)
        for name, build in figures.items()
    }
    tables = {f"{table}.csv": csv_table(snapshot, table, exclude_chance) for table in TABLES}
    return html_page(report(snapshot, places, tuple(tables), exclude_chance, single=True), drawn, tables)
