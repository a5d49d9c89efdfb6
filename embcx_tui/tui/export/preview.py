"""Previews of the figure that will be written: an image where the terminal shows images, beside the form or in full."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import PurePath
from typing import Any, ClassVar

from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.content import Content
from textual.events import Resize
from textual.geometry import Region
from textual.screen import ModalScreen
from textual.strip import Strip
from textual.timer import Timer
from textual.widgets import Static

from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.errors import EmbcxError
from embcx_tui.study.text import safe_text
from embcx_tui.tui import keys
from embcx_tui.tui.export import images
from embcx_tui.tui.export.figure_list import named_figure
from embcx_tui.tui.export.save import EMBCX, ExportFigure, run_drawing
from embcx_tui.tui.mode_screen import MinimumSizeScreen
from embcx_tui.tui.terminal import Abilities
from embcx_tui.tui.widgets.canvas import Canvas

# Moving over the choices changes the figure at each step: it is drawn once the user stays on one for this long.
_PAUSE_S = 0.4
# Textual sends the cells under an image first; the image follows after this time.
_AFTER_FRAME_S = 0.03
# Kitty's placeholders name rows and columns by marks, and there are this many of them.
_MOST_CELLS = len(images.MARKS)


class Preview(Static):
    """Shows a figure as an image, drawn by another process; words while there is none."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._protocol: images.Protocol | None = None
        self._pause: Timer | None = None
        self._requested: tuple[object, ...] | None = None
        self._columns = self._rows = 0
        self._data = ""  # what iTerm2 or Sixel terminals are sent at the image's position
        self._number = 0  # the number of Kitty's image, 0 where there is none
        self._ink = Style()

    def on_mount(self) -> None:
        self._protocol = None if self.unavailable else images.protocol_of(os.environ)
        self.display = self._protocol is not None

    @property
    def unavailable(self) -> str:
        """Why this terminal shows no preview, in one line; empty where it does."""
        can: Abilities = getattr(self.app, "abilities", Abilities())
        if self.app.is_headless:
            return images.why_unavailable({}, True, True)
        return images.why_unavailable(os.environ, can.colours and not self.app.no_color, can.unicode)

    def on_unmount(self) -> None:
        self._remove_image()

    def request(
        self, paths: StudyPaths, figure: str | ExportFigure | None, size: str, exclude_chance: bool = False
    ) -> None:
        """Show a figure at a `--size` after a short pause; None clears the preview."""
        name = figure.name if isinstance(figure, ExportFigure) else figure
        requested = (name, size, self.content_size)
        if self._protocol is None or not self.content_size or requested == self._requested:
            return
        self._requested = requested
        if self._pause:
            self._pause.stop()
        self._remove_image()
        self.update(Content("Drawing …") if figure else "")
        if figure is not None:
            self._pause = self.set_timer(_PAUSE_S, lambda: self._draw(paths, figure, size, exclude_chance))

    @work(exclusive=True)
    async def _draw(self, paths: StudyPaths, figure: str | ExportFigure, size: str, exclude_chance: bool) -> None:
        width, height = (min(room, _MOST_CELLS) for room in self.content_size)
        if not width or not height:
            return
        cell_width, cell_height = images.cell_pixels()
        command = [*EMBCX, "draw", "--room", f"{width}x{height}", "--size", size]
        command += ["--cell", f"{cell_width}x{cell_height}", *(("--sixel",) if self._protocol == "sixel" else ())]
        if isinstance(figure, str):
            command += ["--study", paths.id, "--figure", figure, *(("--exclude-chance",) if exclude_chance else ())]
        _, out, error = await run_drawing(tuple(command), figure)
        try:
            self._show_image(json.loads(out))
        except (ValueError, KeyError, TypeError):
            self.update(Content(f"No preview: {safe_text(error, 200) if error else 'it could not be drawn'}"))

    def _show_image(self, drawn: dict[str, Any]) -> None:
        self._columns, self._rows = (min(int(drawn[name]), _MOST_CELLS) for name in ("columns", "rows"))
        if self._protocol == "kitty":
            truecolor = str(self.app.console.color_system) == "truecolor"
            number = images.image_number(truecolor)
            self._send(images.kitty(drawn["png"], number, self._columns, self._rows))
            self._number = number
            self._ink = Style(color=Color.from_rgb(*images.placeholder_rgb(number, truecolor)))
        elif self._protocol == "iterm2":
            self._data = images.inline(drawn["png"], self._columns, self._rows)
        else:
            self._data = images.sixel(drawn["sixel"])
        self.update("")
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return a line of placeholders where Kitty shows the image, elsewhere the line of a `Static`."""
        strip = super().render_line(y)
        if not self._number or y >= self._rows:
            return strip
        background = self.background_colors[1].rich_color
        room = self.size.width - self._columns
        return Strip(
            [
                Segment(images.placeholders(y, self._columns), self._ink + Style(bgcolor=background)),
                Segment(" " * room, Style(bgcolor=background)),
            ],
            self.size.width,
        )

    def render_lines(self, crop: Region) -> list[Strip]:
        if self._data:
            # Such an image stays in the terminal's cells until text is written there, as it is now.
            self.set_timer(_AFTER_FRAME_S, self._send_image)
        return super().render_lines(crop)

    def _send_image(self) -> None:
        region = self.content_region
        if self._data and self.screen.is_active and self.screen.region.contains_region(region):
            self._send(images.at(region.x, region.y, self._data))

    def _send(self, text: str) -> None:
        # Private to Textual, which has no public way to write bytes in order with what it draws.
        if self.app._driver:
            self.app._driver.write(text)

    def _remove_image(self) -> None:
        """Remove the image; one that stands in cells goes with the next text there."""
        if self._number:
            self._send(images.kitty_delete(self._number))
        self._number, self._data = 0, ""


class FullScreenPreview(MinimumSizeScreen, ModalScreen[None]):
    """Shows a figure on the whole screen before it is saved; as cells where the terminal shows no images."""

    CSS_PATH: ClassVar[list[str | PurePath]] = ["export.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [*keys.DIALOG, keys.hidden("enter,q,space,f3", "cancel")]

    def __init__(
        self, paths: StudyPaths, snapshot: Snapshot, figure: str | ExportFigure, size: str, exclude_chance: bool
    ) -> None:
        super().__init__()
        self._paths, self._snapshot, self._figure = paths, snapshot, figure
        self._figure_size, self._exclude_chance = size, exclude_chance

    def compose(self) -> ComposeResult:
        with Container(id="full-preview") as frame:
            name = self._figure if isinstance(self._figure, str) else self._figure.name
            frame.border_title = safe_text(name, 100)
            yield Preview(id="image")
            yield Canvas("Drawing …", id="cells")

    def on_mount(self) -> None:
        image, cells = self.query_one("#image", Preview), self.query_one("#cells", Canvas)
        cells.display = bool(image.unavailable)
        frame = self.query_one("#full-preview")
        if not image.unavailable:
            frame.border_subtitle = "esc closes"
            self.call_after_refresh(self._request_image)
            return
        reason = image.unavailable.removeprefix("No preview").removeprefix(":").strip()
        frame.border_subtitle = f"drawn in cells: {reason} · esc closes"
        if isinstance(self._figure, str):
            self._build(self._figure)
        else:
            cells.show(self._figure.figure)

    def _request_image(self) -> None:
        self.query_one("#image", Preview).request(self._paths, self._figure, self._figure_size, self._exclude_chance)

    def on_resize(self, event: Resize) -> None:
        self.call_after_refresh(self._request_image)

    @work(exclusive=True)
    async def _build(self, name: str) -> None:
        cells = self.query_one("#cells", Canvas)
        try:
            figure = await asyncio.to_thread(named_figure, self._paths, self._snapshot, name, self._exclude_chance)
        except (EmbcxError, OSError) as error:
            cells.show(None, f"No preview.\n{safe_text(error)}")
            return
        cells.show(figure)

    def action_cancel(self) -> None:
        self.dismiss()
