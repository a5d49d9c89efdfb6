"""Where the single figures of a drawing stand: the grid of small multiples, and which of them a cell belongs to."""

from __future__ import annotations

from dataclasses import dataclass

from embcx_tui.figures.model import Figure, Panels, Scatter, Single

# Below this a panel shows nothing that can be read.
LEAST_PANEL = (14, 6)


@dataclass(frozen=True, eq=False)
class Part:
    """A single figure and its rectangle in cells; `place` is its place in the panels, 0 for a figure by itself."""

    place: int
    figure: Single
    column: int
    row: int
    width: int
    height: int
    legend: bool = True
    """Whether it has a legend of its own, not the panels' one."""

    def holds(self, column: int, row: int) -> bool:
        return 0 <= column - self.column < self.width and 0 <= row - self.row < self.height


@dataclass(frozen=True)
class Grid:
    """How panels are laid out: the parts that fit, and whether title, legend and note have a row each."""

    parts: tuple[Part, ...]
    title: bool
    legend: tuple[str, ...]
    note: bool


def grid_of(panels: Panels, width: int, height: int) -> Grid:
    """Return how `panels` stand on `width` × `height` cells; no parts where they are too small to be read."""
    title = bool(panels.title) and height >= 8
    note = bool(panels.note) and height >= 16
    classes = _shared_classes(panels) if height >= 12 else ()
    room = height - title - note - bool(classes)
    count = len(panels.figures)
    columns = max(min(panels.columns, count, (width + 1) // (LEAST_PANEL[0] + 1)), 1)
    rows = max(min(-(-count // columns), room // LEAST_PANEL[1]), 1)
    wide, high = (width - (columns - 1)) // columns, room // rows
    if wide < LEAST_PANEL[0] or high < LEAST_PANEL[1]:
        return Grid((), title, classes, note)
    parts = tuple(
        Part(place, one, place % columns * (wide + 1), title + place // columns * high, wide, high, not classes)
        for place, one in enumerate(panels.figures[: rows * columns])
    )
    return Grid(parts, title, classes, note)


def _shared_classes(panels: Panels) -> tuple[str, ...]:
    """Return the classes that all scatters of `panels` have; empty where they differ: then each has its own legend."""
    every = {one.classes for one in panels.figures if isinstance(one, Scatter)}
    return every.pop() if len(every) == 1 else ()


def parts(figure: Figure, width: int, height: int) -> tuple[Part, ...]:
    """Return the single figures of `figure` where `draw` puts them at this size; one by itself has it all."""
    if isinstance(figure, Panels):
        return grid_of(figure, width, height).parts
    return (Part(0, figure, 0, 0, width, height),)


def part_at(figure: Figure, width: int, height: int, column: int, row: int) -> Part | None:
    """Return the single figure that a cell belongs to; None between panels, on their title, legend and note."""
    return next((part for part in parts(figure, width, height) if part.holds(column, row)), None)
