"""The part of the plane that scatters show: zooming and panning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Rect = tuple[float, float, float, float]
"""Left, bottom, right, top, in the units of aligned points (1: their root mean square distance from the centre)."""

_ZOOM_STEP = 2**0.5  # two steps make everything twice as large
_PAN_STEP = 0.2  # of the visible width or height
_SMALLEST = 0.01  # the side of the smallest rectangle; within one of this size no two points of an embedding lie


@dataclass(frozen=True)
class Viewport:
    """The visible rectangle, or None for all points. It stays while layers and networks change.

    `bounds` is everywhere the rectangle that holds all points of the embedding in question.
    """

    rect: Rect | None = None

    def zoom(self, steps: int, bounds: Rect, centre: tuple[float, float] | None = None) -> Viewport:
        """Zoom in (`steps` 1) or out (-1), with `centre`, or else the present centre, in the middle."""
        left, bottom, right, top = self.rect or bounds
        x, y = centre or ((left + right) / 2, (bottom + top) / 2)
        factor = _ZOOM_STEP**-steps
        width, height = (right - left) * factor, (top - bottom) * factor
        if max(width, height) < _SMALLEST:
            return self
        if width >= 0.999 * (bounds[2] - bounds[0]) and height >= 0.999 * (bounds[3] - bounds[1]):
            return Viewport()
        return _around(x, y, width / 2, height / 2)

    def zoom_at(self, steps: int, bounds: Rect, fixed: tuple[float, float]) -> Viewport:
        """Zoom in or out as `zoom` does, while the point `fixed` stays where it is on the screen."""
        left, bottom, right, top = self.rect or bounds
        factor = _ZOOM_STEP**-steps
        x, y = fixed[0] + ((left + right) / 2 - fixed[0]) * factor, fixed[1] + ((bottom + top) / 2 - fixed[1]) * factor
        return self.zoom(steps, bounds, (x, y))

    def pan(self, dx: int, dy: int, bounds: Rect) -> Viewport:
        """Move to the right (`dx` 1) or up (`dy` 1); the centre never leaves `bounds`."""
        left, bottom, right, top = self.rect or bounds
        x = np.clip((left + right) / 2 + dx * _PAN_STEP * (right - left), bounds[0], bounds[2])
        y = np.clip((bottom + top) / 2 + dy * _PAN_STEP * (top - bottom), bounds[1], bounds[3])
        return _around(float(x), float(y), (right - left) / 2, (top - bottom) / 2)

    def drag(self, by: tuple[float, float], bounds: Rect) -> Viewport:
        """Move what is seen `by` (x, y) in the points' units; the centre never leaves `bounds`."""
        left, bottom, right, top = self.rect or bounds
        x = np.clip((left + right) / 2 - by[0], bounds[0], bounds[2])
        y = np.clip((bottom + top) / 2 - by[1], bounds[1], bounds[3])
        return _around(float(x), float(y), (right - left) / 2, (top - bottom) / 2)

    def follow(self, x: float, y: float) -> Viewport:
        """Centre on a point that is out of sight; nothing moves while it is visible."""
        if self.rect is None:
            return self
        left, bottom, right, top = self.rect
        if left <= x <= right and bottom <= y <= top:
            return self
        return _around(x, y, (right - left) / 2, (top - bottom) / 2)

    def magnification(self, bounds: Rect) -> float:
        """Return how many times larger the points appear than when all of them are visible."""
        if self.rect is None:
            return 1.0
        left, bottom, right, top = self.rect
        return max((bounds[2] - bounds[0]) / max(right - left, 1e-9), (bounds[3] - bounds[1]) / max(top - bottom, 1e-9))

    @staticmethod
    def from_value(value: Any) -> Viewport:
        """Return the viewport of a remembered rectangle; all points where it is missing or wrong."""
        match value:
            case [float(left), float(bottom), float(right), float(top)] if left < right and bottom < top:
                return Viewport((left, bottom, right, top))
        return Viewport()


def _around(x: float, y: float, half_width: float, half_height: float) -> Viewport:
    return Viewport((x - half_width, y - half_height, x + half_width, y + half_height))
