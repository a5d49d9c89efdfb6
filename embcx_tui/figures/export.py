"""Figures as files: formats, sizes, names, and an image with its numbers beside it.

matplotlib is imported only when a figure is drawn.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from embcx_tui.figures.image.render import COLUMN_WIDTH_IN, Format, render, width_of
from embcx_tui.figures.model import Figure, FigureBuilder
from embcx_tui.figures.serialization import figure_csv
from embcx_tui.store.files import make_folder, publish
from embcx_tui.study.errors import StoreError
from embcx_tui.study.text import safe_text

FORMATS: tuple[Format, ...] = ("png", "svg", "pdf")
# The width in inches of each --size; None: the width that suits the figure.
WIDTHS_IN: dict[str, float | None] = {
    "auto": None,
    "column": COLUMN_WIDTH_IN,
    "page": 2 * COLUMN_WIDTH_IN,
    "slide": 10.0,
}
SIZES = tuple(WIDTHS_IN)
MIN_DPI, MAX_DPI = 50, 1200
# A preview of more pixels is no clearer, and takes longer over a slow line.
_MAX_PREVIEW_PIXELS = 800
_MIN_PREVIEW_DPI = 40


def file_name(name: str, format: str) -> str:
    """Return the name of a figure's file: its name without any character that could lead out of the folder."""
    return f"{re.sub(r'[^A-Za-z0-9._-]', '-', name)}.{format}"


def write_figures(
    figures: Mapping[str, FigureBuilder], format: Format, folder: Path, size: str = "auto", dpi: int = 300
) -> Iterator[tuple[str, Path]]:
    """Draw each of `figures` (by name) into `folder`; yield its name and the path of its image."""
    make_folder(folder)
    for name, build in figures.items():
        yield name, write_figure(build(), name, format, folder, size, dpi)


def write_figure(figure: Figure, name: str, format: Format, folder: Path, size: str = "auto", dpi: int = 300) -> Path:
    """Draw a figure into an existing folder, with a .csv of its numbers beside it; return the path of the image."""
    target = folder / file_name(name, format)
    image = render(figure, format, width_in=WIDTHS_IN[size], dpi=dpi)
    write_files(folder, ((target.name, image), (target.with_suffix(".csv").name, figure_csv(figure).encode())))
    return target


def write_files(folder: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write files (name, content) into `folder`; raises StoreError, whose one line names the file."""
    for name, content in files:
        try:
            publish(folder / name, content)
        except OSError as error:
            raise StoreError(f"{safe_text(folder / name)}: cannot be written ({error.strerror})") from None


def draw_preview(
    figure: Figure, room: tuple[int, int], cell: tuple[int, int], size: str = "auto"
) -> tuple[int, int, bytes]:
    """Draw a figure for a terminal that shows images.

    Parameters
    ----------
    room: columns and rows that are free.
    cell: width and height of a cell in pixels.

    Returns
    -------
    The columns and rows (at most `room`) that the figure takes without distortion, and its PNG.
    """
    inches = WIDTHS_IN[size] or width_of(figure)
    wide = min(room[0] * cell[0], _MAX_PREVIEW_PIXELS)
    png = render(figure, "png", width_in=inches, dpi=max(round(wide / inches), _MIN_PREVIEW_DPI))
    width, height = struct.unpack(">II", png[16:24])
    rows_at_full_width = room[0] * cell[0] * height / width / cell[1]
    share = min(1.0, room[1] / rows_at_full_width)
    return max(round(room[0] * share), 1), max(min(round(rows_at_full_width * share), room[1]), 1), png
