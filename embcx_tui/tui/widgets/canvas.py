"""A widget that shows one figure, drawn in cells by `figures.cells`."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from textual.content import Content
from textual.events import Click, MouseEvent, MouseScrollDown, MouseScrollUp, Resize
from textual.message import Message
from textual.timer import Timer

from embcx_tui.figures.alignment import between
from embcx_tui.figures.cells import (
    Part,
    bar_at,
    data_at,
    dot_cells,
    draw,
    heat_row,
    line_at,
    locate,
    nearest_cell,
    next_in_direction,
    part_at,
    parts,
)
from embcx_tui.figures.model import Bars, Dots, Figure, Heat, Lines, Panels, Scatter
from embcx_tui.figures.spans import Look, Row
from embcx_tui.tui.widgets.line_widget import Ink, LineWidget, ink_of, span

# Flipping back and forth between neighbouring layers finds both drawn; a picture of 200×60 is about 1 MB of spans.
_KEPT_PICTURES = 12

# A flight from layer to layer: a quarter of a second, so short that nobody waits for it; 25 frames a second are some
# 75 kB/s while it lasts. It begins fast and ends softly: legs a second are these, with how many are still to go.
_FRAME_S = 0.04
_LEGS_EACH_S, _LEGS_S, _MOST_LEGS_S = 6.0, 2.0, 7.0
# A held key sends some 30 layers a second. The points pass through all of them, but no further behind than this.
_MOST_LEGS = 8
# Frames nearer together than this cannot be told apart: a key that comes in a flight does not draw one more.
_LEAST_FRAME_S = 0.02
# A panel of 1,000 points is 7 ms to draw: with more of them a frame would be late, and a key behind it.
_MOST_FLYING = 4
# A click this many columns beside a point still means it.
_NEAR_CLICK = 4.0


class Canvas(LineWidget, can_focus=True):
    """Shows `figure`, or `words` where there is none; a drawn picture is kept by (figure, size, look)."""

    class BarPicked(Message):
        """A bar was clicked: its places in the figure."""

        def __init__(self, group: int, bar: int) -> None:
            self.group, self.bar = group, bar
            super().__init__()

    class LinePicked(Message):
        """A value on a line was clicked: the panel it is in (0 where there is one figure), its group and layer."""

        def __init__(self, place: int, group: int, layer: int) -> None:
            self.place, self.group, self.layer = place, group, layer
            super().__init__()

    class Sized(Message):
        """The canvas has another size."""

    class RowPicked(Message):
        """A row of a heat map was clicked: the map's place among several (else 0), and the row."""

        def __init__(self, place: int, row: int) -> None:
            self.place, self.row = place, row
            super().__init__()

    class DotPicked(Message):
        """A dot was clicked: its places in the figure."""

        def __init__(self, group: int, dot: int) -> None:
            self.group, self.dot = group, dot
            super().__init__()

    def __init__(self, words: str = "", *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._figure: Figure | None = None
        self._words = words
        # The figure stands in the value too: while it does, no other object can have its id.
        self._drawn: OrderedDict[tuple[int, int, int, Look], tuple[Figure, tuple[Row, ...]]] = OrderedDict()

    def on_resize(self, event: Resize) -> None:
        # What LineWidget does then, Textual calls by itself.
        self.post_message(self.Sized())

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

    def on_click(self, event: Click) -> None:
        offset = event.get_content_offset(self)
        if offset is not None and (found := self._picked_at(offset.x, offset.y)):
            event.stop()
            self.post_message(found)

    def _picked_at(self, column: int, row: int) -> Message | None:
        """Return what a click on a cell picks; None where there is nothing to pick."""
        figure, (width, height) = self._figure, self.content_size
        if isinstance(figure, Bars):
            bar = bar_at(figure, width, height, column, row)
            return self.BarPicked(*bar) if bar else None
        if isinstance(figure, Dots):
            cells, owners = dot_cells(figure, width, height)
            near = nearest_cell(cells, column, row, _NEAR_CLICK)
            return None if near is None else self.DotPicked(*owners[near])
        part = part_at(figure, width, height, column, row) if figure else None
        if part is None:
            return None
        inside = column - part.column, row - part.row
        if isinstance(part.figure, Lines):
            look = ink_of(self.app).look
            value = line_at(part.figure, part.width, part.height, *inside, look, part.legend)
            return self.LinePicked(part.place, *value) if value else None
        if not isinstance(part.figure, Heat):
            return None
        line = heat_row(part.figure, part.width, part.height, *inside, ink_of(self.app).look)
        return None if line is None else self.RowPicked(part.place, line)


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


def _pairs(one: Figure, other: Figure) -> tuple[tuple[Scatter, Scatter], ...]:
    """Return the scatters of two figures place by place; none where they are not laid out alike."""
    if isinstance(one, Scatter) and isinstance(other, Scatter):
        return ((one, other),)
    if not (isinstance(one, Panels) and isinstance(other, Panels)) or len(one.figures) != len(other.figures):
        return ()
    both = zip(one.figures, other.figures, strict=True)
    return tuple((a, b) for a, b in both if isinstance(a, Scatter) and isinstance(b, Scatter))


def _moves(one: Scatter, other: Scatter) -> bool:
    """Tell whether two scatters show the same points in other places."""
    return _same_points(one, other) and not np.array_equal(one.points, other.points, equal_nan=True)


def _same_points(one: Scatter, other: Scatter) -> bool:
    return bool(one.key) and one.key == other.key and one.points.shape == other.points.shape


def _on_the_way(here: Figure, there: Figure, target: Scatter | Panels, share: float) -> Figure:
    """Return `target`, those of its points that move at `share` (0 … 1) of the way from `here` to `there`."""
    ends = [there_part for there_part, _ in _pairs(there, target)]
    moved = tuple(
        replace(part, points=between(start.points, end.points, share))
        if _same_points(start, end) and _same_points(end, part)
        else part
        for (start, part), end in zip(_pairs(here, target), ends, strict=True)
    )
    return replace(target, figures=moved) if isinstance(target, Panels) else moved[0]


class PointsCanvas(Canvas):
    """A canvas whose points can be picked, and that lets the same points fly to where the next layer has them.

    `place` is that of a panel where there are several, else 0.
    """

    class Picked(Message):
        """A panel was clicked, and perhaps a point in it: `row` of its figure."""

        def __init__(self, place: int, row: int | None) -> None:
            self.place, self.row = place, row
            super().__init__()

    class Wheeled(Message):
        """The wheel was turned over a panel, `steps` 1 (nearer) or -1, the pointer `at` (x, y) in its plane."""

        def __init__(self, place: int, at: tuple[float, float], steps: int) -> None:
            self.place, self.at, self.steps = place, at, steps
            super().__init__()

    def __init__(self, words: str = "", *, id: str | None = None) -> None:
        super().__init__(words, id=id)
        self._flight: Timer | None = None
        # Where the points fly: from the first figure through the others to the target, `_flown` legs of it done.
        self._route: list[Figure] = []
        self._target: Scatter | Panels | None = None
        self._flown = 0.0
        self._drawn_at = 0.0

    @property
    def target(self) -> Figure | None:
        """The figure shown, or the one that is flown to."""
        return self._target or self.figure

    def show(self, figure: Figure | None, words: str = "") -> None:
        """Show `figure` at once; a flight under way ends."""
        self._land()
        super().show(figure, words)

    def fly(self, figure: Scatter | Panels) -> None:
        """Show `figure`; where it has the points that are shown, in other places, they move there in a few frames.

        Another figure meanwhile, as of a held key, is flown to by way of the one before: no layer is passed over.
        """
        shown = self.figure
        going = _pairs(self._target, figure) if self._target else ()
        if going and all(np.array_equal(one.points, other.points, equal_nan=True) for one, other in going):
            # Only words have changed: the flight goes on.
            self._target = self._route[-1] = figure
            return
        pairs = _pairs(shown, figure) if shown else ()
        still = self.app.animation_level == "none" or not self.is_on_screen or len(pairs) > _MOST_FLYING
        if still or shown is None or not any(_moves(*pair) for pair in pairs):
            self.show(figure)
            return
        if self._flight is None:
            self._route, self._flown = [shown], 0.0
            self._drawn_at = time.monotonic() - _FRAME_S
            self._flight = self.set_interval(_FRAME_S, self._frame)
        elif len(self._route) > _MOST_LEGS or not going:
            self._route, self._flown = [shown], 0.0
        self._target = figure
        self._route.append(figure)
        if time.monotonic() - self._drawn_at > _LEAST_FRAME_S:
            self._frame()

    def _frame(self) -> None:
        target, now = self._target, time.monotonic()
        if target is None:
            return
        legs = len(self._route) - 1
        speed = min(_LEGS_EACH_S * (legs - self._flown) + _LEGS_S, _MOST_LEGS_S)
        # A frame that is late does not jump: what is seen of the way matters more than when it ends.
        self._flown += speed * min(now - self._drawn_at, 2 * _FRAME_S)
        self._drawn_at = now
        if self._flown >= legs:
            self.show(target)
            return
        leg = int(self._flown)
        self._figure = _on_the_way(self._route[leg], self._route[leg + 1], target, self._flown - leg)
        self.repaint()

    def _land(self) -> None:
        if self._flight:
            self._flight.stop()
        self._flight = self._target = None
        self._route = []

    def paint(self, width: int, height: int, ink: Ink) -> tuple[Row, ...]:
        if self._target is not None and self._figure is not None:
            return draw(self._figure, width, height, ink.look)  # seen once: not kept
        return super().paint(width, height, ink)

    # Points

    def _cells(self, part: Part) -> NDArray[np.int64]:
        """Return where the points of a part are [n, 2], in its own cells."""
        assert isinstance(part.figure, Scatter)
        return locate(part.figure, part.width, part.height, ink_of(self.app).look, legend=part.legend)

    def _part(self, place: int) -> Part | None:
        figure = self.target
        found = parts(figure, *self.content_size) if figure else ()
        part = found[place] if place < len(found) else None
        return part if part and isinstance(part.figure, Scatter) else None

    def step(self, start: int, dx: int, dy: int, place: int = 0) -> int | None:
        """Return the point next to point `start` in a direction on the screen; None where there is none."""
        part = self._part(place)
        if part is None:
            return None
        cells = self._cells(part)
        return next_in_direction(cells, start, dx, dy) if cells[start, 0] >= 0 else self.first(place)

    def first(self, place: int = 0) -> int | None:
        """Return the point to begin with: the one nearest to the middle of the picture."""
        part = self._part(place)
        return nearest_cell(self._cells(part), part.width // 2, part.height // 2, float("inf")) if part else None

    def _under(self, event: MouseEvent) -> tuple[Part, int, int] | None:
        """Return the part under the pointer, and the pointer's cell in it; None where no points are."""
        figure, offset = self.target, event.get_content_offset(self)
        part = part_at(figure, *self.content_size, offset.x, offset.y) if figure and offset is not None else None
        if part is None or offset is None or not isinstance(part.figure, Scatter):
            return None
        return part, offset.x - part.column, offset.y - part.row

    def on_click(self, event: Click) -> None:
        if under := self._under(event):
            part, column, row = under
            event.stop()
            self.post_message(self.Picked(part.place, nearest_cell(self._cells(part), column, row, _NEAR_CLICK)))

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        self._wheel(event, 1)

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        self._wheel(event, -1)

    def _wheel(self, event: MouseEvent, steps: int) -> None:
        if under := self._under(event):
            part, column, row = under
            assert isinstance(part.figure, Scatter)
            look = ink_of(self.app).look
            at = data_at(part.figure, part.width, part.height, column, row, look, legend=part.legend)
            if at:
                event.stop()
                self.post_message(self.Wheeled(part.place, at, steps))
