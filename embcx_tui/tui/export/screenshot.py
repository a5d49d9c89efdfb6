"""The screen as a file: what a person sees, as text or as SVG."""

from __future__ import annotations

import io

from rich.console import Console
from rich.segment import Segment, Segments
from textual.screen import Screen

from embcx_tui.study.text import safe_text


def screen_text(screen: Screen[object]) -> str:
    """Return a screen's cells as lines of text."""
    return "".join(f"{_safe_line(strip.text.rstrip())}\n" for strip in _strips(screen))


def _safe_line(text: str) -> str:
    indent = len(text) - len(text.lstrip())
    return " " * indent + safe_text(text, 2_000)


def screen_svg(screen: Screen[object], title: str) -> str:
    """Return a screen as an SVG picture with a frame that bears `title`."""
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


def _strips(screen: Screen[object]) -> list:  # type: ignore[type-arg]  # of Textual's strips
    return screen._compositor.render_strips()
