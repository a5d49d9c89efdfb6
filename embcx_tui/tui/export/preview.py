"""A picture of the figure as it will be written, where the terminal shows images; elsewhere a line says why not."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual import work
from textual.content import Content
from textual.geometry import Region
from textual.strip import Strip
from textual.timer import Timer
from textual.widgets import Static

from embcx_tui.figures.serialization import figure_text
from embcx_tui.store.paths import StudyPaths
from embcx_tui.study.text import safe_text
from embcx_tui.tui.export import images
from embcx_tui.tui.layers.export_figures import Shown
from embcx_tui.tui.terminal import Abilities

# Choices made by moving over them are drawn once the person stands still.
_PAUSE_S = 0.4
# What stands under the picture is on the screen first.
_AFTER_FRAME_S = 0.03
# As many marks as Kitty's rows and columns have here.
_MOST_CELLS = len(images.MARKS)


class Preview(Static):
    """Shows what `ask` names, drawn by another process; words while there is nothing to see."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._way: images.Way | None = None
        self._wait: Timer | None = None
        self._asked: tuple[object, ...] | None = None
        self._columns = self._rows = 0
        self._data = ""  # what the terminal is sent where the picture stands (iTerm2, Sixel)
        self._number = 0  # Kitty's, 0: none
        self._ink = Style()

    def on_mount(self) -> None:
        self._way = None if self.why_not else images.way_of(os.environ)
        self.display = self._way is not None

    @property
    def why_not(self) -> str:
        """Why this terminal shows no preview, in a line; empty where it does."""
        can: Abilities = getattr(self.app, "abilities", Abilities())
        if self.app.is_headless:
            return images.why_not({}, True, True)
        return images.why_not(os.environ, can.colours and not self.app.no_color, can.unicode)

    def on_unmount(self) -> None:
        self._forget()

    def ask(self, paths: StudyPaths, figure: str | Shown | None, size: str, exclude_chance: bool = False) -> None:
        """Show a figure at a `--size`, soon; None: there is nothing to preview."""
        named = figure if isinstance(figure, str) or figure is None else figure.name
        asked = (named, size, self.content_size)
        if self._way is None or not self.content_size or asked == self._asked:
            return
        self._asked = asked
        if self._wait:
            self._wait.stop()
        self._forget()
        self.update(Content("Drawing …") if figure else "")
        if figure is not None:
            self._wait = self.set_timer(_PAUSE_S, lambda: self._draw(paths, figure, size, exclude_chance))

    @work(exclusive=True)
    async def _draw(self, paths: StudyPaths, figure: str | Shown, size: str, exclude_chance: bool) -> None:
        width, height = (min(room, _MOST_CELLS) for room in self.content_size)
        if not width or not height:
            return
        cell = images.cell_pixels()
        command = [sys.executable, "-P", "-m", "embcx_tui", "draw", "--room", f"{width}x{height}", "--size", size]
        command += ["--cell", f"{cell[0]}x{cell[1]}", *(("--sixel",) if self._way == "sixel" else ())]
        values = b""
        if isinstance(figure, str):
            command += ["--study", paths.id, "--figure", figure, *(("--exclude-chance",) if exclude_chance else ())]
        else:
            values = (await asyncio.to_thread(figure_text, figure.figure)).encode("ascii")
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
        try:
            out, errors = await process.communicate(values)
        except asyncio.CancelledError:
            process.kill()
            raise
        try:
            self._take(json.loads(out))
        except (ValueError, KeyError, TypeError):
            told = errors.decode(errors="replace").strip().splitlines()
            self.update(Content(f"No preview: {safe_text(told[-1], 200) if told else 'it could not be drawn'}"))

    def _take(self, made: dict[str, Any]) -> None:
        self._columns, self._rows = (min(int(made[name]), _MOST_CELLS) for name in ("columns", "rows"))
        if self._way == "kitty":
            many = str(self.app.console.color_system) == "truecolor"
            number = images.image_number(many)
            self._send(images.kitty(made["png"], number, self._columns, self._rows))
            self._number = number
            self._ink = Style(color=Color.from_rgb(*images.colour_of(number, many)))
        elif self._way == "iterm2":
            self._data = images.inline(made["png"], self._columns, self._rows)
        else:
            self._data = images.sixel(made["sixel"])
        self.update("")
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return a line of placeholders where Kitty shows the image; else what a Static shows."""
        strip = super().render_line(y)
        if not self._number or y >= self._rows:
            return strip
        ground = self.background_colors[1].rich_color
        room = self.size.width - self._columns
        return Strip(
            [
                Segment(images.placeholders(y, self._columns), self._ink + Style(bgcolor=ground)),
                Segment(" " * room, Style(bgcolor=ground)),
            ],
            self.size.width,
        )

    def render_lines(self, crop: Region) -> list[Strip]:
        if self._data:
            # These stand in the terminal's cells until something is written there: as now.
            self.set_timer(_AFTER_FRAME_S, self._place)
        return super().render_lines(crop)

    def _place(self) -> None:
        region = self.content_region
        if self._data and self.screen.is_active and self.screen.region.contains_region(region):
            self._send(images.at(region.x, region.y, self._data))

    def _send(self, text: str) -> None:
        # Through the application's own queue: whole, and in order with what else is drawn.
        if self.app._driver:
            self.app._driver.write(text)

    def _forget(self) -> None:
        """Show no image any more; what stood in cells goes with their next text."""
        if self._number:
            self._send(images.kitty_forgets(self._number))
        self._number, self._data = 0, ""
