"""A canvas of points: they are picked, walked, dragged, zoomed where the wheel points, and fly from layer to layer."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from textual.events import Click, MouseDown, MouseEvent, MouseMove, MouseScrollDown, MouseScrollUp, MouseUp
from textual.message import Message
from textual.timer import Timer

from embcx_tui.figures.alignment import between
from embcx_tui.figures.cells import Part, data_at, draw, locate, nearest_cell, next_in_direction, part_at, parts
from embcx_tui.figures.model import Figure, Panels, Scatter
from embcx_tui.figures.spans import Row
from embcx_tui.tui.widgets.figure_view import NEAR_CLICK, FigureView
from embcx_tui.tui.widgets.line_widget import Ink, ink_of

# A flight from layer to layer: a quarter of a second, so short that nobody waits for it; 25 frames a second are some
# 75 kB/s while it lasts. It begins fast and ends softly: legs a second are these, with how many are still to go.
_FRAME_S = 0.04
_LEGS_EACH_S, _LEGS_S, MOST_LEGS_S = 6.0, 2.0, 7.0
# A held key sends some 30 layers a second. The points pass through all of them, but no further behind than this.
_MOST_LEGS = 8
# Frames nearer together than this cannot be told apart: a key that comes in a flight does not draw one more.
_LEAST_FRAME_S = 0.02
# A panel of 1,000 points is 7 ms to draw: with more of them a frame would be late, and a key behind it.
_MOST_FLYING = 4
# A point is under the pointer up to so many columns beside it.
_NEAR_POINTER = 1.0


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


class PointsCanvas(FigureView):
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

    class Pointed(Message):
        """The pointer came to a point, or with None left it: `row` of the figure of a panel."""

        def __init__(self, place: int, row: int | None) -> None:
            self.place, self.row = place, row
            super().__init__()

    class Dragged(Message):
        """The plane of a panel was dragged, in all `by` (x, y) in its units since the button was `pressed`."""

        def __init__(self, place: int, by: tuple[float, float], pressed: bool) -> None:
            self.place, self.by, self.pressed = place, by, pressed
            super().__init__()

    def __init__(self, words: str = "", *, id: str | None = None) -> None:
        super().__init__(words, id=id)
        # Where the button was pressed: the part as it was then, and the place in its plane.
        self._held: tuple[Part, tuple[float, float]] | None = None
        self._dragged = False
        self._pointed: tuple[int, int | None] = (0, None)
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
        speed = min(_LEGS_EACH_S * (legs - self._flown) + _LEGS_S, MOST_LEGS_S)
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

    def on_mouse_down(self, event: MouseDown) -> None:
        self._dragged = False
        if event.button == 1 and (under := self._under(event)) and (at := self._place(under)):
            self._held = under[0], at
            self.capture_mouse()

    def on_mouse_up(self, event: MouseUp) -> None:
        self._held = None
        self.release_mouse()

    def on_mouse_move(self, event: MouseMove) -> None:
        if self._held is None:
            self._point(event)
            return
        part, start = self._held
        offset = event.get_content_offset(self)
        # In the plane as it was when the button was pressed: what is shown meanwhile may be a move behind.
        at = self._place((part, offset.x - part.column, offset.y - part.row)) if offset is not None else None
        if at is not None and (self._dragged or at != start):
            self.post_message(self.Dragged(part.place, (at[0] - start[0], at[1] - start[1]), not self._dragged))
            self._dragged = True

    def on_leave(self) -> None:
        self._say((self._pointed[0], None))

    def _point(self, event: MouseMove) -> None:
        """Say which point the pointer is on."""
        under = self._under(event) if self._flight is None else None
        row = nearest_cell(self._cells(under[0]), under[1], under[2], _NEAR_POINTER) if under else None
        self._say((under[0].place if under else self._pointed[0], row))

    def _say(self, pointed: tuple[int, int | None]) -> None:
        if pointed != self._pointed:
            self._pointed = pointed
            self.post_message(self.Pointed(*pointed))

    def on_click(self, event: Click) -> None:
        if self._dragged:
            event.stop()
        elif under := self._under(event):
            part, column, row = under
            event.stop()
            self.post_message(self.Picked(part.place, nearest_cell(self._cells(part), column, row, NEAR_CLICK)))

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        self._wheel(event, 1)

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        self._wheel(event, -1)

    def _wheel(self, event: MouseEvent, steps: int) -> None:
        if (under := self._under(event)) and (at := self._place(under)):
            event.stop()
            self.post_message(self.Wheeled(under[0].place, at, steps))

    def _place(self, under: tuple[Part, int, int]) -> tuple[float, float] | None:
        """Return the place in its plane that a cell of a part shows; None beside the plot."""
        part, column, row = under
        assert isinstance(part.figure, Scatter)
        return data_at(part.figure, part.width, part.height, column, row, ink_of(self.app).look, legend=part.legend)
