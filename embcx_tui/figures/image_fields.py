"""Dots (one quantity against another) and heat maps on matplotlib's axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from embcx_tui.figures import ticks
from embcx_tui.figures.image_style import GRID, INK, LARGEST, hex_of, marker, say
from embcx_tui.figures.palette import colour, ink_on, ramp
from embcx_tui.figures.values import Dots, Heat

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Told apart at 3 points: circle, square, triangle, diamond, cross, pentagon, star, plus; then again.
_MARKERS = "osD^vPX*p<>h"
_MOST_CELLS_WITH_NUMBERS = 220


def _sign(mark: int, marks: list[int]) -> str:
    return _MARKERS[marks.index(mark) % len(_MARKERS)]


def draw_dots(axes: Axes, dots: Dots) -> None:
    """Draw every group in its colour and marker; what is not finite is left out."""
    marks = sorted({group.mark for group in dots.groups})
    drawn = False
    for group in dots.groups:
        x, y = (np.asarray(one, dtype=np.float64) for one in (group.x, group.y))
        good = (np.abs(x) < LARGEST) & (np.abs(y) < LARGEST)
        if good.any():
            drawn = True
            sign, fill = _sign(group.mark, marks), hex_of(colour(group.place))
            axes.scatter(
                x[good], y[good], s=13, marker=sign, c=fill, alpha=0.85, edgecolors=INK, linewidths=0.25
            )  # fmt: skip
    if not drawn:
        say(axes, dots.note or "nothing measured yet")
        return
    axes.set_xlabel(dots.x_label, labelpad=2)
    axes.set_ylabel(dots.y_label)
    axes.grid(color=GRID, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.margins(0.05)
    labels = {group.label: group.place for group in dots.groups}
    handles: list[Any] = [marker(place, "s", 3.6) for place in labels.values()]
    names = list(labels)
    if len(marks) > 1:
        handles += [_outline(_sign(mark, marks)) for mark in marks]
        names += [f"{mark} layers" if dots.mark_label == "hidden layers" else f"{mark}" for mark in marks]
    axes.legend(
        handles, names, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, handletextpad=0.1,
        borderaxespad=0.2, labelspacing=0.35,
    )  # fmt: skip


def _outline(sign: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], linestyle="", marker=sign, markersize=3.6, markerfacecolor="white", markeredgecolor=INK,
                  markeredgewidth=0.6)  # fmt: skip


def draw_heat(axes: Axes, heat: Heat) -> None:
    """Draw every measured cell in its colour with its number; a cell without one stays empty with a cross line."""
    values = np.asarray(heat.values, dtype=np.float64)
    finite = np.isfinite(values) & (np.abs(values) < LARGEST)
    if not finite.any():
        say(axes, heat.note or "nothing measured yet")
        return
    low, high = heat.limits
    rows, columns = values.shape
    numbers = values.size <= _MOST_CELLS_WITH_NUMBERS
    shown = values[finite]
    decimals = 2 if float(np.abs(shown).max()) < 100 else 0
    for row, column in np.ndindex(rows, columns):
        if not finite[row, column]:
            axes.plot(
                [column - 0.3, column + 0.3], [row + 0.3, row - 0.3], color=GRID, linewidth=0.6
            )  # fmt: skip
            continue
        value = float(values[row, column])
        fill = ramp(ticks.share(value, low, high))
        axes.fill(
            [column - 0.5, column + 0.5, column + 0.5, column - 0.5],
            [row - 0.5, row - 0.5, row + 0.5, row + 0.5],
            color=hex_of(fill),
            linewidth=0,
        )
        if numbers:
            text = f"{value:.{decimals}f}"
            size = 5.5 if columns <= 8 else 4.6
            axes.text(column, row, text, ha="center", va="center", fontsize=size, color=hex_of(ink_on(fill)))
    axes.set_xticks(range(columns), heat.columns)
    axes.set_yticks(range(rows), heat.rows)
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.tick_params(length=0)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.set_xlabel(heat.x_label, labelpad=2)
    axes.set_ylabel(heat.y_label)
    axes.annotate(
        f"dark {low:.2f} … {high:.2f} light", (1, 1), xycoords="axes fraction", xytext=(0, 3),
        textcoords="offset points", ha="right", va="bottom", fontsize=5,
    )  # fmt: skip
