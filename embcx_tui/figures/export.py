"""Figures as PNG, SVG and PDF in print quality: formats, sizes and resolution, names of files, the image and its CSV.

The same figure gives the same bytes. matplotlib is imported only when a figure is drawn.
"""

from __future__ import annotations

import io
import math
import os
import re
import struct
import textwrap
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import chdir, suppress
from dataclasses import fields, is_dataclass, replace
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from embcx_tui.figures.matplotlib_axes import (
    GREY,
    INK,
    draw_bars,
    draw_curves,
    draw_dots,
    draw_heat,
    draw_scatter,
    marker,
)
from embcx_tui.figures.matplotlib_lines import draw_lines, lines_legend
from embcx_tui.figures.model import (
    MOST_RUNS_SHOWN,
    Bars,
    Curves,
    Dots,
    Figure,
    FigureBuilder,
    Heat,
    Lines,
    Panels,
    Scatter,
    Single,
)
from embcx_tui.figures.palette import class_names
from embcx_tui.figures.serialization import figure_csv
from embcx_tui.store.files import make_folder, publish, reason_of
from embcx_tui.store.paths import home
from embcx_tui.study.errors import StoreError
from embcx_tui.study.text import safe_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

T = TypeVar("T")
Format = Literal["png", "svg", "pdf"]
FORMATS: tuple[Format, ...] = get_args(Format)
COLUMN_WIDTH_IN = 3.35  # 85 mm, one column of a journal
# The width in inches of each --size; None: the width that suits the figure.
WIDTHS_IN: dict[str, float | None] = {
    "auto": None,
    "column": COLUMN_WIDTH_IN,
    "page": 2 * COLUMN_WIDTH_IN,
    "slide": 10.0,
}
SIZES = tuple(WIDTHS_IN)
# What the export window calls each size.
SIZE_WORDS = {"fitting": "auto", "one column": "column", "two columns": "page", "slide": "slide"}
MIN_DPI, DEFAULT_DPI, MAX_DPI = 50, 300, 1200
# A preview of more pixels is no clearer, and takes longer over a slow line.
_MAX_PREVIEW_PIXELS = 800
_MIN_PREVIEW_DPI = 40
_TITLE_PT, _NOTE_PT = 8.0, 5.5
_TITLE_LINE_IN, _LINE_IN = 0.15, 0.1
# rcParams are the process's: one image at a time.
_LOCK = threading.Lock()
_SETTINGS: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],  # comes with matplotlib, so every machine sets the same text
    "font.size": 7.0,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7.0,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "axes.linewidth": 0.6,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "text.parse_math": False,  # a "$" in a dataset's name is a dollar
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "embcx-tui",
    "pdf.fonttype": 42,  # TrueType, embedded and searchable
    "path.simplify": True,
}
# No dates and no version: the bytes depend on the figure alone.
_METADATA: dict[Format, dict[str, str | None]] = {
    "png": {"Software": "embcx-tui"},
    "svg": {"Date": None, "Creator": "embcx-tui"},
    "pdf": {"CreationDate": None, "ModDate": None, "Creator": "embcx-tui", "Producer": "embcx-tui"},
}


def file_name(name: str, format: str) -> str:
    """Return the name of a figure's file: its name without any character that could lead out of the folder."""
    return f"{re.sub(r'[^A-Za-z0-9._-]', '-', name)}.{format}"


def file_names(name: str, format: Format) -> tuple[str, str]:
    """Return the names of a figure's two files: its image and the numbers beside it."""
    image = file_name(name, format)
    return image, Path(image).with_suffix(".csv").name


def write_figures(
    figures: Mapping[str, FigureBuilder], format: Format, folder: Path, size: str = "auto", dpi: int = DEFAULT_DPI
) -> Iterator[tuple[str, Path]]:
    """Draw each of `figures` (by name) into `folder`; yield its name and the path of its image."""
    make_folder(folder)
    for name, build in figures.items():
        yield name, write_figure(build(), name, format, folder, size, dpi)


def write_figure(
    figure: Figure, name: str, format: Format, folder: Path, size: str = "auto", dpi: int = DEFAULT_DPI
) -> Path:
    """Draw a figure into an existing folder, with a .csv of its numbers beside it; return the path of the image."""
    target, numbers = file_names(name, format)
    image = render(figure, format, width_in=WIDTHS_IN[size], dpi=dpi)
    write_files(folder, ((target, image), (numbers, figure_csv(figure).encode())))
    return folder / target


def write_files(folder: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write files (name, content) into `folder`; raises StoreError, whose one line names the file."""
    for name, content in files:
        try:
            publish(folder / name, content, follow=True)
        except OSError as error:
            raise StoreError(f"{safe_text(folder / name)}: cannot be written ({reason_of(error)})") from None


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


def render(figure: Figure, format: Format, *, width_in: float | None = None, dpi: int = DEFAULT_DPI) -> bytes:
    """Return `figure` as the bytes of an image `width_in` inches wide (None: what suits it); `dpi` is for PNG."""
    matplotlib = _load_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Canvas

    figure = _harmless(figure)
    with _LOCK, matplotlib.rc_context(), warnings.catch_warnings():
        # A class name in a script the font lacks is drawn as boxes; that is no reason for words on stderr.
        warnings.simplefilter("ignore")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        width = width_in or width_of(figure)
        canvas = Canvas(figsize=(width, _height(figure, width)), dpi=dpi, layout="constrained")
        # Points, as everywhere in print: 2 pt around everything.
        canvas.get_layout_engine().set(w_pad=2 / 72, h_pad=2 / 72)  # type: ignore[union-attr, call-arg]
        _draw(canvas, figure)
        backend = {"png": FigureCanvasAgg, "svg": FigureCanvasSVG, "pdf": FigureCanvasPdf}[format](canvas)
        buffer = io.BytesIO()
        backend.print_figure(buffer, format=format, dpi=dpi, metadata=_METADATA[format])
        return buffer.getvalue()


@cache
def _load_matplotlib() -> ModuleType:
    """Import matplotlib as if nobody had set it up: figures have settings of their own.

    A notebook's MPLBACKEND is none for a process outside of it, and a `matplotlibrc` (of this folder, of the user) that
    cannot be decoded ends the import. matplotlib looks into the current folder first: where it is imported that is the
    one of its own defaults. It needs a place for its list of fonts, which those without a home have in ours.
    """
    os.environ.pop("MPLBACKEND", None)
    if not os.access(os.path.expanduser("~"), os.W_OK):  # noqa: PTH111  # Path's raises where nobody knows the home
        os.environ.setdefault("MPLCONFIGDIR", str(home() / ".cache" / "matplotlib"))
    found = find_spec("matplotlib")
    if found and found.origin:
        with suppress(OSError), chdir(Path(found.origin).with_name("mpl-data")):
            return import_module("matplotlib")
    return import_module("matplotlib")


def _harmless(value: T) -> T:
    """Return `value` with texts that can be written: no control characters, which would end an SVG's XML."""
    if isinstance(value, str):
        return safe_text(value)  # type: ignore[return-value]  # a text for a text
    if isinstance(value, tuple):
        return tuple(_harmless(one) for one in value)  # type: ignore[return-value]  # a tuple for a tuple
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{one.name: _harmless(getattr(value, one.name)) for one in fields(value)})
    return value


def width_of(figure: Figure) -> float:
    """Return one column, or two for what does not read at one."""
    if isinstance(figure, Bars):
        return COLUMN_WIDTH_IN * (1 if sum(len(group.bars) for group in figure.groups) <= 12 else 2)
    if isinstance(figure, Lines):
        return COLUMN_WIDTH_IN * (1 if len(figure.groups) <= 4 else 2)
    if isinstance(figure, Heat):
        return COLUMN_WIDTH_IN * (1 if len(figure.columns) <= 8 else 2)
    if isinstance(figure, Panels):
        # Two embeddings stand side by side in a column; charts with axes do not.
        most = 2 if all(isinstance(one, Scatter) for one in figure.figures) else 1
        wide = figure.columns > most or any(width_of(one) > COLUMN_WIDTH_IN for one in figure.figures)
        return COLUMN_WIDTH_IN * (2 if wide else 1)
    return COLUMN_WIDTH_IN


def _height(figure: Figure, width: float) -> float:
    note = _LINE_IN * len(_fold(_caption(figure), width, _NOTE_PT))
    if isinstance(figure, Panels):
        columns, rows = _grid(figure)
        title = _TITLE_LINE_IN * len(_fold(figure.title, width, _TITLE_PT))
        return (
            rows * max((_panel_height(one, width / columns) for one in figure.figures), default=1.0)
            + 0.2
            + note
            + title
        )
    return _panel_height(figure, width) + note


def _panel_height(figure: Single, width: float) -> float:
    if isinstance(figure, Scatter):
        return width * 0.86 + 0.15
    if isinstance(figure, Heat):
        return 0.62 + 0.2 * len(figure.rows)
    return min(width * (0.78 if isinstance(figure, Dots) else 0.68), 2.6)


def _grid(panels: Panels) -> tuple[int, int]:
    """Return columns and rows of panels."""
    columns = max(min(panels.columns, len(panels.figures)), 1)
    return columns, max(math.ceil(len(panels.figures) / columns), 1)


def _fold(text: str, width_in: float, size_pt: float) -> list[str]:
    """Return `text` in lines that fit `width_in`: a character is about 0.58 of its size wide, a bold one 0.68.

    No line begins with what belongs to the one before: a dot between parts, a per cent sign.
    """
    wide = 0.68 if size_pt == _TITLE_PT else 0.58
    bound = text.replace(" · ", "\u00a0· ").replace(" %", "\u00a0%")
    lines = textwrap.wrap(bound, max(int(width_in * 72 / (wide * size_pt)), 8))
    return [line.replace("\u00a0", " ") for line in lines]


def _draw(canvas: Canvas, figure: Figure) -> None:
    width = float(canvas.get_figwidth())
    note = "\n".join(_fold(_caption(figure), width, _NOTE_PT))
    if not isinstance(figure, Panels):
        _draw_one(canvas.add_subplot(), figure, width)
        _add_note(canvas, note)
        return
    if figure.title:
        canvas.suptitle("\n".join(_fold(figure.title, width, _TITLE_PT)), fontsize=_TITLE_PT, fontweight="bold")
    columns, rows = _grid(figure)
    scatters = [one for one in figure.figures if isinstance(one, Scatter)]
    lines = [one for one in figure.figures if isinstance(one, Lines)]
    shared = (len({one.classes for one in scatters}) == 1 and len(scatters) > 1) or len(lines) > 1
    for place, one in enumerate(figure.figures):
        axes = canvas.add_subplot(rows, columns, place + 1)
        _draw_one(axes, one, width / columns, legend=not shared)
    from_zero = [axes for axes, one in zip(canvas.axes, figure.figures, strict=True) if _from_zero(one)]
    top = 1.12 * max((axes.get_ylim()[1] for axes in from_zero), default=1.0)
    for axes in from_zero:  # what is compared has one scale
        axes.set_ylim(0, top)
    handles: list[Any] = []
    if shared and lines:
        handles, names = lines_legend(lines[0])
    elif shared:
        handles, names = (
            [marker(place) for place in range(len(scatters[0].classes))],
            [*class_names(scatters[0].classes)],
        )
    if handles:
        title = canvas.legend(
            handles,
            names,
            loc="outside lower center",
            ncols=min(len(handles), 10),
            frameon=False,
            handletextpad=0.4 if lines else 0.1,
            columnspacing=1.0,
            title=note,
            title_fontproperties={"size": _NOTE_PT},
        ).get_title()
        title.set_color(GREY)
        title.set_multialignment("center")
    else:
        _add_note(canvas, note)


def _from_zero(figure: Single) -> bool:
    return isinstance(figure, Curves) and figure.zero and bool(figure.lines)


def _caption(figure: Figure) -> str:
    """Return the figure's note, and what its signs mean."""
    parts = [figure.note]
    if isinstance(figure, Bars):
        bars = [bar for group in figure.groups for bar in group.bars]
        if any(len(bar.values) > 1 for bar in bars):
            parts.append("line: mean; each run a translucent bar")
        if figure.highlight is not None:
            parts.append(f"dot: run {figure.highlight}")
        if any(any(bar.flagged) for bar in bars):
            parts.append("! degenerate, not in the mean")
    lines = figure.figures[0] if isinstance(figure, Panels) and figure.figures else figure
    if isinstance(lines, Lines):
        parts.append("line: mean of the runs")
        if lines.runs > 1:
            parts.append("band: lowest to highest run" + ", dots: runs" * (lines.runs <= MOST_RUNS_SHOWN))
        if any(any(bar.flagged) for group in lines.groups for bar in group.bars):
            parts.append("! degenerate, not in the mean")
    return " · ".join(filter(None, parts))


def _add_note(canvas: Canvas, note: str) -> None:
    if note:
        canvas.supxlabel(note, fontsize=_NOTE_PT, color=GREY)


def _draw_one(axes: Axes, figure: Single, width: float, *, legend: bool = True) -> None:
    """Draw one figure on axes about `width` inches wide."""
    if isinstance(figure, Bars):
        draw_bars(axes, figure)
    elif isinstance(figure, Lines):
        draw_lines(axes, figure, legend=legend)
    elif isinstance(figure, Scatter):
        draw_scatter(axes, figure, legend=legend)
    elif isinstance(figure, Dots):
        draw_dots(axes, figure)
    elif isinstance(figure, Heat):
        draw_heat(axes, figure)
    else:
        draw_curves(axes, figure)
    if figure.title:
        # A narrow panel's title gets smaller before it runs into its neighbour's.
        room = width * 0.9 * 72 / (0.56 * max(len(figure.title), 1))
        axes.set_title(figure.title, loc="left", pad=3, fontsize=min(max(room, 4.5), 7.5))
