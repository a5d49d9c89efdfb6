"""A figure made ready for a terminal that shows images: the application's own command, run beside it."""

from __future__ import annotations

import io
import json
import os
import struct
import sys
from base64 import b64encode
from typing import TYPE_CHECKING

import click

from embcx_tui.cli.figures import SIZES, figures_of, widths
from embcx_tui.cli.studies import EXCLUDE_CHANCE
from embcx_tui.study.errors import RequestError

if TYPE_CHECKING:
    from embcx_tui.figures.values import Figure

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
    from embcx_tui.figures.wire import figure_of

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
    from embcx_tui.figures.image import render, width_of

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
