"""What the export window saves: a figure, drawn by another process, or the screen as SVG or text."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.segment import Segment, Segments
from textual.screen import Screen
from textual.strip import Strip

from embcx_tui.figures.export import DEFAULT_DPI, FORMATS, MAX_DPI, MIN_DPI, SIZE_WORDS
from embcx_tui.figures.model import Figure
from embcx_tui.figures.serialization import figure_text
from embcx_tui.store.paths import StudyPaths, typed_path
from embcx_tui.study.naming import figure_kind
from embcx_tui.study.text import safe_text

# The report as one HTML file, among the names of figures.
REPORT_FIGURE = "report"
# Shown whole, since users copy it; only what is no path any more is cut.
LONGEST_PATH = 4_000
# -P: a file named like one of our modules in the current directory must not be imported instead.
EMBCX = (sys.executable, "-P", "-m", "embcx_tui")


@dataclass(frozen=True)
class ExportFigure:
    """A figure of what is on the screen: its file's `name` (without format), and the `title` shown to the user."""

    name: str
    title: str
    figure: Figure


@dataclass(frozen=True, slots=True)
class ExportText:
    """A table that can be saved as CSV: its file's `name` (without format), and the `title` shown to the user."""

    name: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """How a figure is saved; an empty `folder` means the study's own exports."""

    format: str = "png"
    size: str = "fitting"
    dpi: int = DEFAULT_DPI
    folder: str = ""

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> ExportOptions:
        """Return the options that were remembered, with defaults for what is missing or impossible."""
        format, size, dpi, folder = (values.get(name) for name in ("format", "size", "dpi", "folder"))
        return cls(
            format if format in FORMATS else "png",
            size if size in SIZE_WORDS else "fitting",
            dpi if isinstance(dpi, int) and MIN_DPI <= dpi <= MAX_DPI else DEFAULT_DPI,
            folder if isinstance(folder, str) else "",
        )

    def folder_of(self, paths: StudyPaths) -> Path:
        """Return the folder that files are written to; raises RequestError where what was typed names none."""
        return typed_path(self.folder) if self.folder else paths.exports


def flight_format(format: str) -> str:
    """Return the format in which a flight is saved where a figure is saved as `format`."""
    return "svg" if format == "svg" else "gif"


def export_command(
    paths: StudyPaths, figure: str | ExportFigure, options: ExportOptions, exclude_chance: bool = False
) -> tuple[str, ...]:
    """Return the command that draws `figure` and prints the path of its file; REPORT_FIGURE: that of the report.

    A figure given by name is built from the study, with `exclude_chance` without networks at chance. An
    `ExportFigure` is read from standard input and drawn as it is.
    """
    if figure == REPORT_FIGURE:
        exclude = ("--exclude-chance",) if exclude_chance else ()
        where = ("--out", str(options.folder_of(paths)))
        return (*EMBCX, "report", paths.id, "--html", "--overwrite", *exclude, *where)
    format = options.format
    if isinstance(figure, str):
        format = flight_format(format) if figure_kind(figure) == "flight" else format
        # The window asks before it replaces a file.
        what: tuple[str, ...] = ("export", paths.id, "--figure", figure, "--overwrite")
        what += ("--exclude-chance",) if exclude_chance else ()
    else:
        what = ("draw", figure.name)
    how = ("--format", format, "--size", SIZE_WORDS[options.size], "--dpi", str(options.dpi))
    return (*EMBCX, *what, *how, "--out", str(options.folder_of(paths)))


async def run_drawing(command: tuple[str, ...], figure: str | ExportFigure) -> tuple[int, str, str]:
    """Run a command of `embcx-tui` that draws, with the values of an `ExportFigure` on its standard input.

    It is another process because matplotlib takes half a second to import and has no place in the application. It is
    killed where the task is cancelled, as when the window closes.

    Returns
    -------
    The exit code, the standard output, and the last line of the standard error, which is empty where there is none.
    """
    values = b"" if isinstance(figure, str) else (await asyncio.to_thread(figure_text, figure.figure)).encode("ascii")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        out, errors = await process.communicate(values)
    except asyncio.CancelledError:
        process.kill()
        raise
    assert process.returncode is not None
    return process.returncode, out.decode(errors="replace"), _last_line(errors.decode(errors="replace"))


async def export(
    paths: StudyPaths, figure: str | ExportFigure, options: ExportOptions, exclude_chance: bool = False
) -> tuple[str, bool]:
    """Draw a figure and write its file.

    Returns
    -------
    The file's path and True, or one line that says what went wrong and False.
    """
    code, out, error = await run_drawing(export_command(paths, figure, options, exclude_chance), figure)
    # 3: drawn, but something of the study was lost, as the screens say.
    if code in (0, 3) and (path := _last_line(out)):
        return safe_text(path, LONGEST_PATH), True
    return safe_text(error or f"the drawing process ended with code {code} and no message"), False


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")


def screen_text(screen: Screen[object]) -> str:
    """Return the cells of a screen as lines of text."""
    lines = (strip.text.rstrip() for strip in _strips(screen))
    # `safe_text` takes away the blanks at the beginning of a line, which are layout.
    return "".join(" " * (len(line) - len(line.lstrip())) + safe_text(line, 2_000) + "\n" for line in lines)


def screen_svg(screen: Screen[object], title: str) -> str:
    """Return a screen as an SVG picture in a frame that bears `title`."""
    width, height = screen.size
    console = Console(
        width=width,
        height=height,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        record=True,
        legacy_windows=False,
        safe_box=False,
    )
    for strip in _strips(screen):
        console.print(Segments([*strip.crop(0, width), Segment.line()]), end="")
    return console.export_svg(title=title)


def _strips(screen: Screen[object]) -> list[Strip]:
    # Private to Textual: `App.export_screenshot` shows the screen on top, which is the export window.
    return screen._compositor.render_strips()
