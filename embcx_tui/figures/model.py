"""What is drawn: plain frozen values that know nothing of terminals, images or studies.

Colours are never part of a value: a series or a class has a place (0, 1, …), and `palette` says what it looks like.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# So many runs (the paper's number) are drawn one by one; more are a band.
MOST_RUNS_SHOWN = 5
# A class of fewer points has no label: it would hide them.
_LEAST_POINTS = 8


@dataclass(frozen=True, slots=True)
class Bar:
    """One place on the x axis of a bar chart: a value for each run (NaN: not measured) and which runs are flagged.

    The mean is drawn bold over one translucent rectangle per run. `flagged` runs (degenerate networks) are drawn but do
    not enter the mean.
    """

    label: str
    values: tuple[float, ...]
    flagged: tuple[bool, ...] = ()

    @property
    def counted(self) -> NDArray[np.float64]:
        """The values that enter the mean [k]."""
        values = np.asarray(self.values, dtype=float)
        flagged = np.asarray(self.flagged or (False,) * len(self.values), dtype=bool)
        counted: NDArray[np.float64] = values[np.isfinite(values) & ~flagged]
        return counted

    @property
    def mean(self) -> float | None:
        counted = self.counted
        return float(counted.mean()) if counted.size else None

    @property
    def sd(self) -> float | None:
        """The sample standard deviation over runs; None below two."""
        counted = self.counted
        return float(counted.std(ddof=1)) if counted.size > 1 else None


@dataclass(frozen=True, slots=True)
class BarGroup:
    """Bars that belong together, such as the layers of one architecture; `place` gives its colour.

    `control` says which control the networks are; empty for trained ones.
    """

    label: str
    bars: tuple[Bar, ...]
    place: int = 0
    control: str = ""


@dataclass(frozen=True, slots=True)
class Bars:
    """A bar chart: groups side by side; `highlight` is the run (place in every bar) to show before others."""

    title: str
    y_label: str
    groups: tuple[BarGroup, ...]
    x_label: str = ""
    highlight: int | None = None
    chosen: tuple[int, int] | None = None  # (group, bar) that the screen has selected
    note: str = ""


@dataclass(frozen=True, slots=True)
class Lines:
    """Values along the layers: a line per group through the means of its bars, with the runs at each layer.

    `scale` (low, high) is what the y axis has to hold, so that several such figures can have one; None: the values' own
    range. `highlight` is the (group, run) to draw as a line of its own, `chosen` the (group, layer) that the screen has
    selected. `layer_names` are those of a measured model, from layer 1 on, where all groups have the same.
    """

    title: str
    y_label: str
    groups: tuple[BarGroup, ...]
    x_label: str = ""
    scale: tuple[float, float] | None = None
    highlight: tuple[int, int] | None = None
    chosen: tuple[int, int] | None = None
    note: str = ""
    layer_names: tuple[str, ...] = ()

    @property
    def values(self) -> tuple[float, ...]:
        """All finite values: of every run, those that enter no mean included."""
        every = (value for group in self.groups for bar in group.bars for value in bar.values)
        return tuple(value for value in every if np.isfinite(value))

    @property
    def kinds(self) -> tuple[str, ...]:
        """The controls that groups are, in their order, trained networks (an empty text) first."""
        return tuple(sorted(dict.fromkeys(group.control for group in self.groups), key=bool))

    @property
    def runs(self) -> int:
        """The most values that a layer of a group has."""
        bars = (bar for group in self.groups for bar in group.bars)
        return max((int(np.isfinite(bar.values).sum()) for bar in bars), default=0)

    @property
    def ends(self) -> tuple[tuple[int, int], ...]:
        """The last layer with a mean of each group that has one, as (group, layer).

        Groups of which the input alone is known have no line and no end, unless there are no others.
        """
        found = tuple(
            (index, max(means))
            for index, group in enumerate(self.groups)
            if (means := [layer for layer, bar in enumerate(group.bars) if bar.mean is not None])
        )
        return tuple(end for end in found if end[1]) or found


@dataclass(frozen=True)
class Scatter:
    """Points in the plane with a class each: `points` [n, 2], `labels` [n] ints into `classes`.

    `chosen` is the row of a point shown larger; `shown` [n] bools leaves points out (isolated classes). `view` is the
    rectangle (left, bottom, right, top) to show, in the points' own units; None: all points. Scatters with the same
    `key` show the same points, perhaps at other positions; without a key nothing is known of that.

    With `context` the points that are left out stay in sight, in grey. `taken` [n] are the classes that points are
    taken for, whose signs stand at the points that are shown; -1: a dot. `near_layer` and `near_plane` are the rows of
    the chosen point's neighbours in the layer and in the plane. `table` has a row of cells for each class, which stands
    in the legend under `heads`.
    """

    title: str
    points: NDArray[np.float32]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    note: str = ""
    chosen: int | None = None
    shown: NDArray[np.bool_] | None = None
    view: tuple[float, float, float, float] | None = None
    key: str = ""
    context: bool = False
    taken: NDArray[np.int64] | None = None
    near_layer: tuple[int, ...] = ()
    near_plane: tuple[int, ...] = ()
    heads: tuple[str, ...] = ()
    table: tuple[tuple[str, ...], ...] = ()

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Which points [n] are in sight: finite, not left out, within the view."""
        points = np.asarray(self.points, dtype=np.float64).reshape(-1, 2)
        seen: NDArray[np.bool_] = np.asarray(np.isfinite(points).all(axis=1))
        if self.shown is not None:
            seen = seen & self.shown
        if self.view is not None:
            left, bottom, right, top = self.view
            x, y = points[:, 0], points[:, 1]
            seen = seen & (x >= left) & (x <= right) & (y >= bottom) & (y <= top)
        return seen


def label_positions(points: NDArray[np.generic], labels: NDArray[np.int64], classes: int) -> Iterator[tuple[int, int]]:
    """Yield (class, row): of `points` [n, 2], all finite, the one nearest to its class's median (a medoid).

    `labels` [n] are 0 … `classes` - 1; others have no name. A class of a few points yields nothing, nor does one that
    stands by itself: there is nothing to tell it from.
    """
    counts = np.bincount(labels[(labels >= 0) & (labels < classes)], minlength=classes)
    named = np.flatnonzero(counts >= _LEAST_POINTS)
    if len(named) < 2:
        return
    for index in named.tolist():
        rows = np.flatnonzero(labels == index)
        mine = points[rows].astype(np.float64)
        yield index, int(rows[np.abs(mine - np.median(mine, axis=0)).sum(axis=1).argmin()])


@dataclass(frozen=True)
class Curve:
    """One line: `x` [k], `y` [k] (NaN: a gap); `place` gives its colour, `name` tells it from others of its label."""

    label: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    place: int = 0
    name: str = ""


@dataclass(frozen=True)
class Curves:
    """Lines over a common x axis; with `zero` the y axis begins at 0, and `x_names` name the places 0, 1, … of x.

    `log`: the y axis is logarithmic, and values that are not above 0 are gaps.
    """

    title: str
    x_label: str
    y_label: str
    lines: tuple[Curve, ...]
    note: str = ""
    zero: bool = False
    x_names: tuple[str, ...] = ()
    log: bool = False


@dataclass(frozen=True)
class DotGroup:
    """Dots that look the same: `x`, `y` [k], the colour of `place` (named `label`), the marker of `mark` (1, 2, …).

    `names` [k] say what each dot is.
    """

    label: str
    mark: int
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    place: int = 0
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dots:
    """One quantity against another; `mark_label` says what the number of a group's marker is ("hidden layers")."""

    title: str
    x_label: str
    y_label: str
    groups: tuple[DotGroup, ...]
    mark_label: str = ""
    note: str = ""
    chosen: tuple[int, int] | None = None  # (group, dot) that the screen has selected


@dataclass(frozen=True)
class Heat:
    """A heat map: `values` [rows, columns] (NaN: not measured), drawn as coloured cells with their numbers.

    `scale` (low, high) is what dark and light mean; None: the values' own range.
    """

    title: str
    x_label: str
    y_label: str
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    values: NDArray[np.float64]
    scale: tuple[float, float] | None = None
    note: str = ""
    chosen: int | None = None  # the row that the screen has selected
    first: int = 0  # of a part of a map: which row of the whole is its first

    @property
    def limits(self) -> tuple[float, float]:
        """Return (low, high) of the colours, low < high."""
        finite = self.values[np.isfinite(self.values)]
        low, high = self.scale or ((float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0))
        return (low, high) if low < high else (low - 0.5, low + 0.5)


Single = Bars | Lines | Scatter | Curves | Dots | Heat


@dataclass(frozen=True)
class Panels:
    """Figures in a grid, row by row, `columns` wide: the paper's small multiples."""

    title: str
    figures: tuple[Single, ...]
    columns: int
    note: str = ""
    chosen: int | None = None  # the figure that the screen has selected


Figure = Single | Panels
FigureBuilder = Callable[[], Figure]  # a figure that is built when it is called
