"""Figures of a study as files, a preview for terminals that show images, and the report."""

from __future__ import annotations

import io
import json
import os
import re
import struct
import sys
from base64 import b64encode
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from embcx_tui.cli.studies import EXCLUDE_CHANCE
from embcx_tui.figures.gallery import Makers
from embcx_tui.figures.model import Figure
from embcx_tui.store.arrays import read_arrays
from embcx_tui.store.files import make_folder, publish
from embcx_tui.store.library import find_study
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.reader import read_study
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.errors import RequestError, StoreError
from embcx_tui.study.naming import figure_kind
from embcx_tui.study.text import safe_text

if TYPE_CHECKING:
    from embcx_tui.figures.model import Figure


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
    """Draw the figure that standard input holds (`figures.serialization`) as the file NAME, and print its path.

    The application's own: what it shows is not rebuilt from the study, it is drawn as it is.
    """
    from embcx_tui.figures.serialization import figure_of

    figure = figure_of(sys.stdin.read())
    make_folder(out.absolute())
    click.echo(str(write_figure(figure, name, kind, out.absolute(), widths()[size], dpi)))


def widths() -> dict[str, float | None]:
    """Return the width of each size in inches; None: what suits the figure."""
    from embcx_tui.figures.image.render import COLUMN_WIDTH_IN

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
    from embcx_tui.figures.image.render import render
    from embcx_tui.figures.serialization import figure_csv

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


# More pixels than this make a preview no clearer, and a slow line slower.
_MOST_PIXELS_WIDE = 800
_LEAST_DPI = 40


class Pair(click.ParamType[tuple[int, int]]):
    """`44x20`: two numbers from 1 to 2,000."""

    name = "pair"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        one, _, other = value.partition("x")
        if not (one.isdecimal() and other.isdecimal() and 0 < int(one) <= 2000 and 0 < int(other) <= 2000):
            self.fail(f"{value!r} is not two numbers, such as 44x20", param, ctx)
        return int(one), int(other)


@click.command("preview", hidden=True)
@click.option("--room", type=Pair(), required=True, help="Columns and rows there are.")
@click.option("--cell", type=Pair(), required=True, help="Width and height of a cell in pixels.")
@click.option("--size", type=click.Choice(SIZES), default="auto")
@click.option("--sixel", is_flag=True, help="As Sixel (needs textual-image), else as PNG.")
@click.option("--study", help="Draw --figure of this study, not what stands on standard input.")
@click.option("--figure")
@EXCLUDE_CHANCE
def preview_command(
    room: tuple[int, int],
    cell: tuple[int, int],
    size: str,
    sixel: bool,
    study: str | None,
    figure: str | None,
    exclude_chance: bool,
) -> None:
    """Print a figure as JSON: `columns` and `rows` it takes, and its `png` (base64) or `sixel`."""
    drawn = _figure(study, figure, exclude_chance)
    width_in = widths()[size]
    columns, rows, png = draw_into(drawn, room, cell, width_in)
    data = {"sixel": _sixel(png, columns, rows, cell)} if sixel else {"png": b64encode(png).decode("ascii")}
    click.echo(json.dumps({"columns": columns, "rows": rows, **data}))


def _figure(study: str | None, name: str | None, exclude_chance: bool) -> Figure:
    from embcx_tui.figures.serialization import figure_of

    if study is None or name is None:
        return figure_of(sys.stdin.read())
    from embcx_tui.store.library import find_study
    from embcx_tui.store.reader import read_study

    paths = find_study(study)
    figures = figures_of(paths, read_study(paths), exclude_chance)
    if name not in figures:
        raise RequestError(f"study {paths.id} has no such figure yet")
    return figures[name]()


def draw_into(
    figure: Figure, room: tuple[int, int], cell: tuple[int, int], width_in: float | None
) -> tuple[int, int, bytes]:
    """Return the columns and rows (at most `room`) that a figure takes without being distorted, and its PNG."""
    from embcx_tui.figures.image.render import render, width_of

    inches = width_in or width_of(figure)
    wide = min(room[0] * cell[0], _MOST_PIXELS_WIDE)
    png = render(figure, "png", width_in=inches, dpi=max(round(wide / inches), _LEAST_DPI))
    width, height = struct.unpack(">II", png[16:24])
    # In units of a cell: how high the figure is where it is as wide as the room.
    rows_at_full = room[0] * cell[0] * height / width / cell[1]
    share = min(1.0, room[1] / rows_at_full)
    return max(round(room[0] * share), 1), max(min(round(rows_at_full * share), room[1]), 1), png


def _sixel(png: bytes, columns: int, rows: int, cell: tuple[int, int]) -> str:
    """Return the image as Sixel of exactly that many cells; this process has no terminal, so none is asked anything."""
    # What textual-image takes for a cell where there is no terminal to ask.
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
@click.argument("study")
@click.option("--out", type=click.Path(path_type=Path), help="The folder to write to; else the study's exports/report.")
@EXCLUDE_CHANCE
def report_command(study: str, out: Path | None, exclude_chance: bool) -> None:
    """Write a report of STUDY, one Markdown page with figures and tables beside it, and print its path.

    Every figure but the embeddings of single networks: `export` draws those.
    """
    from embcx_tui.analysis.report import report
    from embcx_tui.analysis.tables import TABLES, csv_table

    paths = find_study(study)
    snapshot = read_study(paths)
    folder = (out.expanduser() if out else paths.exports / "report").absolute()
    make_folder(folder)
    say_left_out(snapshot, exclude_chance)
    figures = figures_of(paths, snapshot, exclude_chance)
    chosen = [name for name in figures if figure_kind(name) != "embedding"]
    drawn = {name: target.name for name, target in write_figures(figures, chosen, "png", folder)}
    files = {f"{table}.csv": csv_table(snapshot, table, exclude_chance) for table in TABLES}
    page = report(snapshot, drawn, tuple(files), exclude_chance)
    for name, text in {**files, "report.md": page}.items():
        try:
            publish(folder / name, text.encode())
        except OSError as error:
            raise StoreError(f"{safe_text(folder / name)}: cannot be written ({error.strerror})") from None
    click.echo(str(folder / "report.md"))
