"""What a person has set to see of the points: classes, mistakes, a part of the plane, one point, a method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from embcx_tui.study.settings import METHODS, SCORE_METHOD
from embcx_tui.tui.layers.embeddings import AlignedEmbedding

Rect = tuple[float, float, float, float]
"""Left, bottom, right, top, in the units of aligned points (1: their root mean square distance from the middle)."""
Grid = Literal["layers", "activations"]

_ZOOM_STEP = 2**0.5  # twice: everything twice as large
_PAN_STEP = 0.2  # of what is seen
_CLOSEST = 0.01  # a rectangle of this size holds no two points of any embedding


@dataclass(frozen=True)
class View:
    """Everything here stays while layers and networks change; `chosen` is (dataset, place in the training set)."""

    isolated: int | None = None
    missed: bool = False
    rect: Rect | None = None
    chosen: tuple[str, int] | None = None
    method: str = SCORE_METHOD
    grid: Grid | None = None

    def plain(self) -> dict[str, Any]:
        """Return what should come back on the next start, as plain values; what is not set is left out."""
        values: dict[str, Any] = {"class": self.isolated, "missed": self.missed, "method": self.method}
        if self.rect:
            values["part"] = list(self.rect)
        if self.chosen:
            values["point"] = list(self.chosen)
        return {name: value for name, value in values.items() if value is not None}

    @staticmethod
    def of_plain(values: Mapping[str, Any]) -> View:
        """Return the view that `plain` described; what is missing or wrong is as if it was never set."""
        view = View()
        match values.get("class"):
            case int(place) if 0 <= place < 10:
                view = view.isolate(place)
        match values.get("part"):
            case [float(left), float(bottom), float(right), float(top)] if left < right and bottom < top:
                view = replace(view, rect=(left, bottom, right, top))
        match values.get("point"):
            case [str(dataset), int(index)]:
                view = replace(view, chosen=(dataset, index))
        method = values.get("method")
        return replace(view, missed=values.get("missed") is True, method=method if method in METHODS else SCORE_METHOD)

    def isolate(self, place: int) -> View:
        """Show only one class; the same again, or a place below 0: all of them."""
        return replace(self, isolated=None if place < 0 or place == self.isolated else place)

    def zoom(self, steps: int, whole: Rect, about: tuple[float, float] | None = None) -> View:
        """Come nearer (`steps` 1) or go back (-1), `about` a point or the middle; `whole` is where all points are."""
        left, bottom, right, top = self.rect or whole
        x, y = about or ((left + right) / 2, (bottom + top) / 2)
        factor = _ZOOM_STEP**-steps
        width, height = (right - left) * factor, (top - bottom) * factor
        if max(width, height) < _CLOSEST:
            return self
        if width >= 0.999 * (whole[2] - whole[0]) and height >= 0.999 * (whole[3] - whole[1]):
            return replace(self, rect=None)
        return replace(self, rect=(x - width / 2, y - height / 2, x + width / 2, y + height / 2))

    def zoom_at(self, steps: int, whole: Rect, at: tuple[float, float]) -> View:
        """Come nearer or go back as `zoom` does, with the point `at` staying where it is on the screen."""
        left, bottom, right, top = self.rect or whole
        factor = _ZOOM_STEP**-steps
        middle = at[0] + ((left + right) / 2 - at[0]) * factor, at[1] + ((bottom + top) / 2 - at[1]) * factor
        return self.zoom(steps, whole, middle)

    def pan(self, dx: int, dy: int, whole: Rect) -> View:
        """Look further right (`dx` 1) or up (`dy` 1), never past the last point."""
        left, bottom, right, top = self.rect or whole
        x = np.clip((left + right) / 2 + dx * _PAN_STEP * (right - left), whole[0], whole[2])
        y = np.clip((bottom + top) / 2 + dy * _PAN_STEP * (top - bottom), whole[1], whole[3])
        width, height = (right - left) / 2, (top - bottom) / 2
        return replace(self, rect=(float(x - width), float(y - height), float(x + width), float(y + height)))

    def hold(self, x: float, y: float, whole: Rect) -> View:
        """Move the rectangle so that a point is in it; nothing moves where it is."""
        if self.rect is None:
            return self
        left, bottom, right, top = self.rect
        if left <= x <= right and bottom <= y <= top:
            return self
        width, height = (right - left) / 2, (top - bottom) / 2
        return replace(self, rect=(x - width, y - height, x + width, y + height))

    def magnification(self, whole: Rect) -> float:
        """Return how many times larger than all points together the part seen is."""
        if self.rect is None:
            return 1.0
        spans = [
            (whole[2] - whole[0]) / max(self.rect[2] - self.rect[0], 1e-9),
            (whole[3] - whole[1]) / max(self.rect[3] - self.rect[1], 1e-9),
        ]
        return max(spans)

    def shown(self, cloud: AlignedEmbedding) -> NDArray[np.bool_] | None:
        """Return which points [n] are shown; None: all. Where no answers are known, mistakes hide nothing."""
        shown: NDArray[np.bool_] | None = None
        if self.isolated is not None:
            shown = np.asarray(cloud.sample.labels == self.isolated)
        if self.missed and cloud.missed is not None:
            shown = cloud.missed if shown is None else shown & cloud.missed
        return shown

    def row(self, cloud: AlignedEmbedding, dataset: str) -> int | None:
        """Return the row of the chosen point; None where none is chosen or this run's sample does not hold it."""
        if self.chosen is None or self.chosen[0] != dataset:
            return None
        return cloud.sample.row_of(self.chosen[1])


def extent(cloud: AlignedEmbedding) -> Rect:
    """Return the rectangle that holds all points."""
    finite = cloud.points[np.isfinite(cloud.points).all(axis=1)]
    if not len(finite):
        return (-1.0, -1.0, 1.0, 1.0)
    (left, bottom), (right, top) = finite.min(axis=0), finite.max(axis=0)
    return float(left), float(bottom), float(right), float(top)
