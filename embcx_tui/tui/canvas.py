"""A widget that shows one figure, drawn in cells by `figures.terminal`."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import replace

from rich.cells import cell_len
from textual.content import Content
from textual.events import Click, Resize
from textual.message import Message
from textual.timer import Timer

from embcx_tui.figures.terminal import Look, Row, draw, locate
from embcx_tui.figures.values import Figure, Scatter
from embcx_tui.tui.alignment import between
from embcx_tui.tui.painted import Ink, Painted, ink_of, span
from embcx_tui.tui.plane import nearest_cell, next_in_direction

# Flipping back and forth between neighbouring layers finds both drawn; a picture of 200×60 is about 1 MB of spans.
_KEPT_PICTURES = 12

# A flight from layer to layer: short enough not to be waited for; 20 frames a second are some 60 kB/s while it lasts.
_FLIGHT_S = 0.2
_FRAME_S = 0.05
# Keys nearer together than this are held: each goes straight to its layer.
_HELD_S = 0.25
# A click this many columns beside a point still means it.
_NEAR_CLICK = 4.0


class Canvas(Painted, can_focus=True):
    """Shows `figure`, or `words` where there is none; a drawn picture is kept by (figure, size, look)."""

    def __init__(self, words: str = "", *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._figure: Figure | None = None
        self._words = words
        # The figure stands in the value too: while it does, no other object can have its id.
        self._drawn: OrderedDict[tuple[int, int, int, Look], tuple[Figure, tuple[Row, ...]]] = OrderedDict()

    @property
    def figure(self) -> Figure | None:
        return self._figure

    @property
    def words(self) -> str:
        return self._words

    def show(self, figure: Figure | None, words: str = "") -> None:
        """Show `figure`, or `words` in its place; nothing is drawn where neither changed."""
        # By identity: figures hold arrays, and the screens keep theirs while nothing in them changes.
        if figure is self._figure and words == self._words:
            return
        self._figure, self._words = figure, words
        self.repaint()

    def paint(self, width: int, height: int, ink: Ink) -> tuple[Row, ...]:
        if self._figure is None:
            return _said(self._words, width, height, ink)
        key = (id(self._figure), width, height, ink.look)
        known = self._drawn.get(key)
        if known:
            self._drawn.move_to_end(key)
            return known[1]
        rows = draw(self._figure, width, height, ink.look)
        self._drawn[key] = (self._figure, rows)
        if len(self._drawn) > _KEPT_PICTURES:
            self._drawn.popitem(last=False)
        return rows


def _said(words: str, width: int, height: int, ink: Ink) -> tuple[Row, ...]:
    """Return `words` (lines of plain text), wrapped and centred; the first line stands out."""
    lines = [
        (line.plain.strip(), number == 0)
        for number, text in enumerate(words.splitlines())
        for line in Content(text).wrap(max(width - 4, 1))
    ]
    above = max((height - len(lines)) // 2, 0)
    rows: list[Row] = [()] * above
    for text, first in lines:
        indent = " " * max((width - cell_len(text)) // 2, 0)
        rows.append((span(indent), span(text, ink.text if first else ink.muted)))
    return tuple(rows)


class PointsCanvas(Canvas):
    """A canvas whose points can be picked, and that lets the same points fly to where the next layer has them."""

    class Picked(Message):
        """A point was clicked: `row` of the figure."""

        def __init__(self, row: int) -> None:
            self.row = row
            super().__init__()

    class Sized(Message):
        """The canvas has another size."""

    def __init__(self, words: str = "", *, id: str | None = None) -> None:
        super().__init__(words, id=id)
        self._flight: Timer | None = None
        self._start: Scatter | None = None  # where the points came from
        self._target: Scatter | None = None
        self._left_at = 0.0

    def on_resize(self, event: Resize) -> None:
        super().on_resize(event)
        self.post_message(self.Sized())

    @property
    def target(self) -> Figure | None:
        """The figure shown, or the one that is flown to."""
        return self._target or self.figure

    def show(self, figure: Figure | None, words: str = "") -> None:
        """Show `figure` at once; a flight under way ends."""
        self._land()
        super().show(figure, words)

    def fly(self, figure: Scatter) -> None:
        """Show `figure`; where it has the points that are shown, in other places, they move there in a few frames."""
        shown = self.figure
        now = time.monotonic()
        if self._target and self._target.points is figure.points:
            # Only words have changed: the flight goes on.
            self._target = figure
            return
        held = now - self._left_at < _HELD_S
        self._left_at = now
        same = (
            isinstance(shown, Scatter) and shown.labels is figure.labels and shown.points.shape == figure.points.shape
        )
        still = not same or held or self.app.animation_level == "none" or not self.is_on_screen
        if still or (isinstance(shown, Scatter) and shown.points is figure.points):
            self.show(figure)
            return
        assert isinstance(shown, Scatter)
        self._land()
        self._start, self._target = shown, figure
        self._left_at = now
        self._frame()
        self._flight = self.set_interval(_FRAME_S, self._frame)

    def _frame(self) -> None:
        start, target = self._start, self._target
        if start is None or target is None:
            return
        share = (time.monotonic() - self._left_at + _FRAME_S) / _FLIGHT_S
        if share >= 1:
            self.show(target)
            return
        eased = 1 - (1 - share) ** 2
        self._figure = replace(target, points=between(start.points, target.points, eased))
        self.repaint()

    def _land(self) -> None:
        if self._flight:
            self._flight.stop()
        self._flight = self._start = self._target = None

    def paint(self, width: int, height: int, ink: Ink) -> tuple[Row, ...]:
        if self._target is not None and isinstance(self._figure, Scatter):
            return draw(self._figure, width, height, ink.look)  # seen once: not kept
        return super().paint(width, height, ink)

    # Points

    def step(self, start: int, dx: int, dy: int) -> int | None:
        """Return the point next to point `start` in a direction on the screen; None where there is none."""
        figure = self.target
        if not isinstance(figure, Scatter):
            return None
        cells = locate(figure, *self.content_size, ink_of(self.app).look)
        if cells[start, 0] < 0:
            return self.first()
        return next_in_direction(cells, start, dx, dy)

    def first(self) -> int | None:
        """Return the point to begin with: the one nearest to the middle of the picture."""
        figure = self.target
        if not isinstance(figure, Scatter):
            return None
        width, height = self.content_size
        cells = locate(figure, width, height, ink_of(self.app).look)
        return nearest_cell(cells, width // 2, height // 2, float("inf"))

    def on_click(self, event: Click) -> None:
        figure = self.target
        offset = event.get_content_offset(self)
        if offset is None or not isinstance(figure, Scatter):
            return
        cells = locate(figure, *self.content_size, ink_of(self.app).look)
        row = nearest_cell(cells, offset.x, offset.y, _NEAR_CLICK)
        if row is not None:
            event.stop()
            self.post_message(self.Picked(row))
