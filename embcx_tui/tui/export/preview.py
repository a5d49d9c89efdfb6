"""Previews of the figure that will be written: an image where the terminal shows images, beside the form or in full.

The protocol is read from the environment. The terminal is never asked: its reply arrives among the keys and would be
taken for some, or would delay the first frame. Three protocols: Kitty's graphics with placeholders (Kitty, Ghostty),
iTerm2's inline images (iTerm2, WezTerm, mintty), Sixel (foot, Windows Terminal, mlterm, contour).
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import re
import struct
import sys
import termios
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import PurePath
from typing import Any, ClassVar, Literal, get_args

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

from embcx_tui.figures.palette import quantise, terminal_rgb
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.errors import EmbcxError
from embcx_tui.study.text import safe_text
from embcx_tui.tui import keys
from embcx_tui.tui.export.figure_list import named_figure
from embcx_tui.tui.export.save import EMBCX, ExportFigure, run_drawing
from embcx_tui.tui.minimum_size import MinimumSizeScreen
from embcx_tui.tui.terminal import Abilities
from embcx_tui.tui.widgets.figure_view import FigureView

Protocol = Literal["kitty", "iterm2", "sixel"]
VARIABLE = "EMBCX_IMAGES"
"""The user's choice: kitty, iterm2, sixel or none."""

# The cell of a VT340, in pixels: terminals that do not report theirs draw Sixel at this size (Windows Terminal does).
_CELL = (10, 20)
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_SIXEL = re.compile(r"\x1bP[0-9;]*q[!-~\s]*\x1b\\")
_SIXEL_TERMS = ("foot", "foot-extra", "foot-direct", "mlterm", "contour", "contour-latest", "yaft-256color")
_INLINE_PROGRAMS = ("iTerm.app", "WezTerm", "mintty")

# Kitty: a cell with this character shows the part of the image that two marks over it name, row and column.
_PLACEHOLDER = "\U0010eeee"
_MARKS = (
    "0305 030d 030e 0310 0312 033d 033e 033f 0346 034a 034b 034c 0350 0351 0352 0357 035b 0363 0364 0365 0366 0367 "
    "0368 0369 036a 036b 036c 036d 036e 036f 0483 0484 0485 0486 0487 0592 0593 0594 0595 0597 0598 0599 059c 059d "
    "059e 059f 05a0 05a1 05a8 05a9 05ab 05ac 05af 05c4 0610 0611 0612 0613 0614 0615 0616 0617 0657 0658"
)
MARKS = tuple(chr(int(one, 16)) for one in _MARKS.split())
"""Kitty's marks for rows and columns 0 … 63."""
_CHUNK = 4096  # the most base64 characters in one of Kitty's messages

# Moving over the choices changes the figure at each step: it is drawn once the user stays on one for this long.
_PAUSE_S = 0.4
# Textual sends the cells under an image first; the image follows after this time.
_AFTER_FRAME_S = 0.03
# Kitty's placeholders name rows and columns by marks, and there are this many of them.
_MOST_CELLS = len(MARKS)


def protocol_of(environment: Mapping[str, str]) -> Protocol | None:
    """Return the protocol of a terminal with this environment; None where it shows no images or is unknown."""
    chosen = environment.get(VARIABLE, "").strip().lower()
    if chosen:
        return next((protocol for protocol in get_args(Protocol) if protocol == chosen), None)
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if environment.get("TMUX") or term.startswith(("tmux", "screen")):
        return None
    if term.startswith(("xterm-kitty", "xterm-ghostty")) or program == "ghostty":
        return "kitty"
    if program in _INLINE_PROGRAMS or environment.get("LC_TERMINAL") == "iTerm2":
        return "iterm2"
    return "sixel" if term in _SIXEL_TERMS or environment.get("WT_SESSION") else None


def why_unavailable(environment: Mapping[str, str], colours: bool, unicode: bool) -> str:
    """Return in one line why a terminal shows no preview; empty where it does.

    `colours` says whether it has 256 colours or more and NO_COLOR does not forbid them.
    """
    protocol = protocol_of(environment)
    if protocol is None:
        multiplexer = environment.get("TMUX") or environment.get("TERM", "").startswith(("tmux", "screen"))
        return f"No preview: {'tmux and screen show' if multiplexer else 'this terminal shows'} no images"
    if not colours:
        return "No preview without colours"
    if protocol == "kitty" and not unicode:
        return "No preview: Kitty's images need UTF-8"
    if protocol == "sixel" and find_spec("textual_image") is None:
        return "pip install 'embcx-tui[images]' for a preview"
    return ""


def cell_pixels() -> tuple[int, int]:
    """Return the width and height of this terminal's cells in pixels, a VT340's if unreported."""
    try:
        answer = fcntl.ioctl(sys.__stdin__.fileno() if sys.__stdin__ else 0, termios.TIOCGWINSZ, b"\0" * 8)
    except (OSError, ValueError):
        return _CELL
    rows, columns, width, height = struct.unpack("HHHH", answer)
    cell = (width // max(columns, 1), height // max(rows, 1))
    return cell if 2 <= cell[0] <= 100 and 4 <= cell[1] <= 200 else _CELL


def placeholder_rgb(image: int, truecolor: bool) -> tuple[int, int, int]:
    """Return the colour of placeholders, from which Kitty reads the image's number."""
    return (image >> 16, image >> 8 & 255, image & 255) if truecolor else terminal_rgb(image)


def image_number(truecolor: bool) -> int:
    """Return this process's number for its image, one that the colour of a placeholder can carry."""
    if truecolor:
        return (os.getpid() % 255 + 1) << 16 | 0x5EED
    # In 256 colours Kitty takes the colour's number. The greys of the cube are sent as other colours.
    sent = [number for number in range(16, 232) if quantise(terminal_rgb(number)) == number]
    return sent[os.getpid() % len(sent)]


def kitty(png: str, image: int, columns: int, rows: int) -> str:
    """Return the messages that give Kitty an image (`png` in base64) for `columns` × `rows` placeholders.

    They ask for no reply (q=2).
    """
    _check(_BASE64, png)
    pieces = [png[at : at + _CHUNK] for at in range(0, len(png), _CHUNK)]
    messages = []
    for number, piece in enumerate(pieces):
        head = f"a=T,U=1,f=100,i={image},c={columns},r={rows},q=2," if number == 0 else "q=2,"
        messages.append(f"\x1b_G{head}m={int(number + 1 < len(pieces))};{piece}\x1b\\")
    return "".join(messages)


def kitty_delete(image: int) -> str:
    """Return the message that deletes an image in Kitty."""
    return f"\x1b_Ga=d,d=I,i={image},q=2\x1b\\"


def placeholders(row: int, columns: int) -> str:
    """Return the placeholders in which Kitty shows a row of an image, `columns` cells wide."""
    return "".join(_PLACEHOLDER + MARKS[row] + MARKS[column] for column in range(columns))


def inline(png: str, columns: int, rows: int) -> str:
    """Return the message that makes iTerm2 show an image at the cursor."""
    _check(_BASE64, png)
    return f"\x1b]1337;File=inline=1;width={columns};height={rows};preserveAspectRatio=0:{png}\a"


def sixel(data: str) -> str:
    """Return `data` unchanged, once it is checked to be Sixel and nothing else."""
    return _check(_SIXEL, data)


def at(column: int, row: int, text: str) -> str:
    """Return `text` for another cell of the screen (counted from 0); the cursor comes back."""
    return f"\x1b7\x1b[{row + 1};{column + 1}H{text}\x1b8"


def _check(pattern: re.Pattern[str], text: str) -> str:
    # It comes from a process of ours, but the terminal obeys whatever it is sent.
    if not pattern.fullmatch(text):
        raise ValueError("not an image")
    return text


class Preview(Static):
    """Shows a figure as an image, drawn by another process; words while there is none."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._protocol: Protocol | None = None
        self._pause: Timer | None = None
        self._requested: tuple[object, ...] | None = None
        self._columns = self._rows = 0
        self._data = ""  # what iTerm2 or Sixel terminals are sent at the image's position
        self._number = 0  # the number of Kitty's image, 0 where there is none
        self._ink = Style()

    def on_mount(self) -> None:
        self._protocol = None if self.unavailable else protocol_of(os.environ)
        self.display = self._protocol is not None

    @property
    def unavailable(self) -> str:
        """Why this terminal shows no preview, in one line; empty where it does."""
        can: Abilities = getattr(self.app, "abilities", Abilities())
        if self.app.is_headless:
            return why_unavailable({}, True, True)
        return why_unavailable(os.environ, can.colours and not self.app.no_color, can.unicode)

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
        cell_width, cell_height = cell_pixels()
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
            number = image_number(truecolor)
            self._send(kitty(drawn["png"], number, self._columns, self._rows))
            self._number = number
            self._ink = Style(color=Color.from_rgb(*placeholder_rgb(number, truecolor)))
        elif self._protocol == "iterm2":
            self._data = inline(drawn["png"], self._columns, self._rows)
        else:
            self._data = sixel(drawn["sixel"])
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
                Segment(placeholders(y, self._columns), self._ink + Style(bgcolor=background)),
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
            self._send(at(region.x, region.y, self._data))

    def _send(self, text: str) -> None:
        # Private to Textual, which has no public way to write bytes in order with what it draws.
        if self.app._driver:
            self.app._driver.write(text)

    def _remove_image(self) -> None:
        """Remove the image; one that stands in cells goes with the next text there."""
        if self._number:
            self._send(kitty_delete(self._number))
        self._number, self._data = 0, ""


class FullScreenPreview(MinimumSizeScreen, ModalScreen[None]):
    """Shows a figure on the whole screen before it is saved; as cells where the terminal shows no"""

    CSS_PATH: ClassVar[list[str | PurePath]] = ["export.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [*keys.DIALOG, keys.hidden("enter,q,space,f3", "cancel")]

    def __init__(
        self, paths: StudyPaths, snapshot: Snapshot | None, figure: str | ExportFigure, size: str, exclude_chance: bool
    ) -> None:
        super().__init__()
        self._paths, self._snapshot, self._figure = paths, snapshot, figure
        self._figure_size, self._exclude_chance = size, exclude_chance

    def compose(self) -> ComposeResult:
        with Container(id="full-preview") as frame:
            name = self._figure if isinstance(self._figure, str) else self._figure.name
            frame.border_title = safe_text(name, 100)
            yield Preview(id="image")
            yield FigureView("Drawing …", id="cells")

    def on_mount(self) -> None:
        image, cells = self.query_one("#image", Preview), self.query_one("#cells", FigureView)
        cells.display = bool(image.unavailable)
        frame = self.query_one("#full-preview")
        if not image.unavailable:
            frame.border_subtitle = "esc closes"
            self.call_after_refresh(self._request_image)
            return
        reason = image.unavailable.removeprefix("No preview").removeprefix(":").strip()
        frame.border_subtitle = f"drawn in cells: {reason} · esc closes"
        if not isinstance(self._figure, str):
            cells.show(self._figure.figure)
        elif self._snapshot:
            self._build(self._snapshot, self._figure)

    def _request_image(self) -> None:
        self.query_one("#image", Preview).request(self._paths, self._figure, self._figure_size, self._exclude_chance)

    def on_resize(self, event: Resize) -> None:
        self.call_after_refresh(self._request_image)

    @work(exclusive=True)
    async def _build(self, snapshot: Snapshot, name: str) -> None:
        cells = self.query_one("#cells", FigureView)
        try:
            figure = await asyncio.to_thread(named_figure, self._paths, snapshot, name, self._exclude_chance)
        except (EmbcxError, OSError) as error:
            cells.show(None, f"No preview.\n{safe_text(error)}")
            return
        cells.show(figure)

    def action_cancel(self) -> None:
        self.dismiss()
