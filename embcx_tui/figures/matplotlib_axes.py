"""Bars, embeddings, curves, dots and heat maps on matplotlib's axes, and the ink and words that they share."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from embcx_tui.figures import ticks
from embcx_tui.figures.model import Bar, Bars, Curves, Dots, Heat, Scatter, label_positions
from embcx_tui.figures.palette import FULL_OPACITY, Rgb, class_colour, class_names, colour, ink_on, signs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# matplotlib's own arithmetic overflows beyond some 1e150; no number of ours comes near.
LARGEST = 1e30
INK, GREY, GRID = "#262626", "#6c6c6c", "#e4e4e4"
# Width of a letter in units of its size, on average over DejaVu Sans.
_LETTER = 0.55
# Told apart at 3 points: circle, square, triangle, diamond, cross, pentagon, star, plus; then again.
_MARKERS = "osD^vPX*p<>h"
_MAX_CELLS_WITH_NUMBERS = 220
# Line style and marker of the first, second, … label.
LINE_SIGNS = (("-", "o"), ("--", "s"), (":", "^"), ("-.", "D"))


def hex_of(rgb: Rgb) -> str:
    return "#{:02x}{:02x}{:02x}".format(*rgb)


def width_of(axes: Axes) -> float:
    """Return about how many inches wide `axes` are."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    return float(axes.get_position().width * figure.get_figwidth())


def say(axes: Axes, words: str) -> None:
    """Write why there is nothing to see, in lines that fit; the layout makes no room for them."""
    axes.set_axis_off()
    size, inches = float(axes.xaxis.label.get_fontsize()), width_of(axes)
    lines = textwrap.wrap(words, max(int(72 * inches / (_LETTER * size)), 8))
    text = axes.text(0.5, 0.5, "\n".join(lines), ha="center", va="center", color=GREY, transform=axes.transAxes)
    text.set_in_layout(False)


def marker(place: int, sign: str = "o", size: float = 3.2) -> Any:
    """Return what a legend shows for a colour and a marker."""
    from matplotlib.lines import Line2D

    return Line2D(
        [], [], linestyle="", marker=sign, markersize=size, markeredgewidth=0, color=hex_of(class_colour(place))
    )


def draw_bars(axes: Axes, bars: Bars) -> None:
    values = [value for group in bars.groups for bar in group.bars for value in bar.values]
    if not any(math.isfinite(value) for value in values):
        say(axes, bars.note or "nothing measured yet")
        return
    top = min(ticks.bounds(values, zero=True)[1], LARGEST)
    at, labels, places = 0.0, [], []
    for group in bars.groups:
        first = at
        for bar in group.bars:
            _draw_bar(axes, bar, at, hex_of(colour(group.place)), top)
            if bars.highlight is not None and bars.highlight < len(bar.values):
                _draw_dot(axes, at, bar.values[bars.highlight], top)
            labels.append(bar.label)
            places.append(at)
            at += 1.0
        if len(bars.groups) > 1:
            axes.annotate(
                group.label, ((first + at - 1) / 2, 0), xycoords=axes.get_xaxis_transform(), xytext=(0, -13),
                textcoords="offset points", ha="center", va="top", fontweight="bold",
            )  # fmt: skip
        at += 0.7
    crowded, short = len(places) > 30, len(places) > 12
    axes.set_xticks(
        places,
        [label[:1] if crowded else {"input": "in"}.get(label, label) if short else label for label in labels],
    )
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.7, at - 1.0)
    axes.set_ylim(0, top * 1.06)
    axes.set_ylabel(bars.y_label)
    key = " (i: input)" if crowded else " (in: input)" if short else ""
    axes.set_xlabel(bars.x_label + key * ("input" in labels), labelpad=12 if len(bars.groups) > 1 else 2)
    axes.grid(axis="y", color=GRID, linewidth=0.5)
    axes.set_axisbelow(True)


def _draw_bar(axes: Axes, bar: Bar, at: float, fill: str, top: float) -> None:
    width = 0.78
    alpha = 1 - (1 - FULL_OPACITY) ** (1 / max(len(bar.values), 1))
    # White below the translucent rectangles, so that the grid does not show through.
    highest = max((value for value in bar.values if math.isfinite(value)), default=0.0)
    axes.bar(at, min(max(highest, 0.0), top), width, color="white", linewidth=0)
    flagged = bar.flagged or (False,) * len(bar.values)
    for value, flag in zip(bar.values, flagged, strict=False):
        if math.isfinite(value):
            height = min(max(value, 0.0), top)
            axes.bar(at, height, width, color=fill, alpha=alpha, linewidth=0)
            # The upper edge of each rectangle; without it runs with close values look like one.
            axes.hlines(height, at - width / 2, at + width / 2, color=fill, linewidth=0.4, alpha=0.9)
            if flag:
                axes.text(at, height + 0.01 * top, "!", ha="center", va="bottom", fontweight="bold")
    if any(flagged) and not any(math.isfinite(value) for value in bar.values):
        axes.text(at, 0.01 * top, "!", ha="center", va="bottom", fontweight="bold")
    if bar.mean is not None and len(bar.values) > 1:
        axes.hlines(min(max(bar.mean, 0.0), top), at - width / 2, at + width / 2, color=INK, linewidth=1.6)


def _draw_dot(axes: Axes, at: float, value: float, top: float) -> None:
    """Draw the highlighted run, white on the dark mean."""
    if math.isfinite(value):
        height = min(max(value, 0.0), top)
        axes.plot(
            [at], [height], "o", markersize=3.2, color="white", zorder=3, markeredgecolor=INK, markeredgewidth=0.7
        )


def _draw_names(
    axes: Axes, points: NDArray[np.float64], labels: NDArray[np.int64], classes: tuple[str, ...], inches: float
) -> None:
    """Write the sign of each class in the middle of its points, so that classes can be told apart without colour.

    Small axes, `inches` wide, have small signs, which cover less of the points.
    """
    from matplotlib.patheffects import withStroke

    glyphs, size = signs(classes), min(max(3.5 + inches, 4.5), 6.0)
    for place, row in label_positions(points, labels, len(classes)):
        axes.annotate(
            glyphs[place], points[row], ha="center", va="center", fontsize=size, fontweight="bold", clip_on=True,
            path_effects=[withStroke(linewidth=1.6, foreground="white")],
        )  # fmt: skip


def draw_scatter(axes: Axes, scatter: Scatter, *, legend: bool) -> None:
    points = np.asarray(scatter.points, dtype=np.float64).reshape(-1, 2)
    finite: NDArray[np.bool_] = np.isfinite(points[:, 0]) & np.isfinite(points[:, 1])
    shown = scatter.seen
    if not shown.any():
        say(axes, scatter.note or "nothing measured yet")
        axes.set_box_aspect(1)  # as large as its neighbours
        return
    labels = np.asarray(scatter.labels)
    colours = np.array(
        [[*(channel / 255 for channel in class_colour(place)), 1.0] for place in range(len(scatter.classes))]
    )
    grey = np.array([0.6, 0.6, 0.6, 1.0])
    known = (labels >= 0) & (labels < len(scatter.classes))
    paint = np.tile(grey, (len(points), 1))
    if len(colours):
        paint[known] = colours[labels[known]]
    inches = width_of(axes)
    # There are no ticks: any scale will do, and this one never overflows.
    low, high = points[finite].min(0), points[finite].max(0)
    middle, reach = (low + high) / 2, max(float((high - low).max()) / 2, 1e-30)
    points = (points - middle) / reach
    size = max(1.2, 1.1 * inches)
    if scatter.context and scatter.shown is not None:
        rest = finite & ~scatter.shown
        axes.scatter(points[rest, 0], points[rest, 1], s=size, c=GRID, linewidths=0)
    axes.scatter(points[shown, 0], points[shown, 1], s=size, c=paint[shown], linewidths=0)
    if scatter.taken is None:
        _draw_names(axes, points[shown], labels[shown], scatter.classes, inches)
    else:
        _draw_taken(axes, scatter, points, shown, paint)
    _draw_neighbours(axes, scatter, points, finite)
    if scatter.chosen is not None and 0 <= scatter.chosen < len(points) and shown[scatter.chosen]:
        x, y = points[scatter.chosen]
        axes.scatter([x], [y], s=22, facecolors="none", edgecolors=INK, linewidths=0.9)
    if scatter.view is None:
        axes.set_xlim(-1.06, 1.06)
        axes.set_ylim(-1.06, 1.06)
    else:
        left, bottom, right, top = ((side - middle[place % 2]) / reach for place, side in enumerate(scatter.view))
        axes.set_xlim(left, right)
        axes.set_ylim(bottom, top)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    for side in ("left", "bottom", "top", "right"):
        axes.spines[side].set_visible(True)
        axes.spines[side].set_color("#c6c6c6")
    if legend and scatter.classes:
        # Only the classes that are shown, if some are left out.
        present = range(len(scatter.classes)) if scatter.shown is None else sorted(set(labels[shown & known].tolist()))
        names = class_names(scatter.classes)
        _legend_beside(axes, [marker(place) for place in present], [names[place] for place in present])


def _draw_taken(
    axes: Axes, scatter: Scatter, points: NDArray[np.float64], shown: NDArray[np.bool_], paint: NDArray[np.float64]
) -> None:
    """Write the sign of the class that a point is taken for, in the colour of its own."""
    glyphs, taken = signs(scatter.classes), np.asarray(scatter.taken)
    for row in np.flatnonzero(shown & (taken >= 0) & (taken < len(glyphs))).tolist():
        x, y = points[row]
        axes.text(
            x, y, glyphs[taken[row]], color=paint[row], fontsize=5, fontweight="bold", ha="center", va="center",
            clip_on=True,
        )  # fmt: skip


def _draw_neighbours(axes: Axes, scatter: Scatter, points: NDArray[np.float64], finite: NDArray[np.bool_]) -> None:
    """Draw the chosen point's neighbours: a disc in the layer, a ring in the plane."""
    for rows, size, face in ((scatter.near_plane, 13, "none"), (scatter.near_layer, 3, INK)):
        known = [row for row in rows if row < len(points) and finite[row]]
        if known:
            axes.scatter(points[known, 0], points[known, 1], s=size, facecolors=face, edgecolors=INK, linewidths=0.5)


def _legend_beside(axes: Axes, handles: list[Any], names: list[str]) -> None:
    axes.legend(
        handles, names, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, handletextpad=0.1,
        borderaxespad=0.2, labelspacing=0.35,
    )  # fmt: skip


def draw_curves(axes: Axes, curves: Curves) -> None:
    cleaned = [(line, np.where(np.abs(line.y) < LARGEST, line.y, np.nan)) for line in curves.lines]
    if not any(np.isfinite(y).any() for _, y in cleaned):
        say(axes, curves.note or "nothing to draw yet")
        return
    named: set[tuple[str, int]] = set()
    order = {label: place for place, label in enumerate(dict.fromkeys(line.label for line in curves.lines))}
    for line, y in cleaned:
        key = (line.label, line.place)
        label = line.label if key not in named else None
        named.add(key)
        single = np.isfinite(y).sum() == 1
        # Where x has few positions there is room for dashes and markers, which tell lines apart without colour.
        sign = LINE_SIGNS[order[line.label] % len(LINE_SIGNS)] if curves.x_names else ("-", "o")
        axes.plot(
            line.x, y, color=hex_of(colour(line.place)), linewidth=0.9, label=label, solid_capstyle="round",
            linestyle=sign[0], marker=sign[1] if single or curves.x_names else "", markersize=2.5 if single else 1.8,
        )  # fmt: skip
    axes.set_xlabel(curves.x_label, labelpad=2)
    axes.set_ylabel(curves.y_label)
    axes.grid(color=GRID, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.margins(x=0.02)
    if curves.x_names:
        axes.set_xticks(range(len(curves.x_names)), curves.x_names)
    if curves.log:
        axes.set_yscale("log", nonpositive="mask")
    if curves.zero:
        axes.set_ylim(bottom=0)
    if any(label for label, _ in named):
        axes.legend(
            frameon=True, facecolor="white", edgecolor="none", framealpha=0.85, labelspacing=0.3,
            handlelength=2.0 if curves.x_names else 1.2, borderaxespad=0.2,
        )  # fmt: skip


def _sign(mark: int, marks: list[int]) -> str:
    return _MARKERS[marks.index(mark) % len(_MARKERS)]


def draw_dots(axes: Axes, dots: Dots) -> None:
    """Draw every group in its colour and marker; values that are not finite are left out."""
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
    _legend_beside(axes, handles, names)


def _outline(sign: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], linestyle="", marker=sign, markersize=3.6, markerfacecolor="white", markeredgecolor=INK,
                  markeredgewidth=0.6)  # fmt: skip


def draw_heat(axes: Axes, heat: Heat) -> None:
    """Draw every measured cell in its colour with its number; a cell without a value is empty with a diagonal line.

    The colours are cividis (Nuñez, Anderton & Renslow 2018), which looks the same with and without colour blindness and
    grows evenly in lightness.
    """
    from matplotlib import colormaps

    values = np.asarray(heat.values, dtype=np.float64)
    finite = np.isfinite(values) & (np.abs(values) < LARGEST)
    if not finite.any():
        say(axes, heat.note or "nothing measured yet")
        return
    low, high = heat.limits
    rows, columns = values.shape
    # Halves, since the difference of two huge values overflows.
    shares = np.where(finite, np.clip((values / 2 - low / 2) / (high / 2 - low / 2), 0, 1), np.nan)
    cividis = colormaps["cividis"]
    edges = np.arange(columns + 1) - 0.5, np.arange(rows + 1) - 0.5
    axes.pcolormesh(*edges, shares, cmap=cividis, vmin=0, vmax=1)
    numbers = values.size <= _MAX_CELLS_WITH_NUMBERS
    whole = bool((values[finite] == np.round(values[finite])).all())
    decimals = 0 if whole or float(np.abs(values[finite]).max()) >= 100 else 2
    for row, column in np.ndindex(rows, columns):
        if not finite[row, column]:
            axes.plot(
                [column - 0.3, column + 0.3], [row + 0.3, row - 0.3], color=GRID, linewidth=0.6
            )  # fmt: skip
            continue
        if numbers:
            red, green, blue, _ = cividis(shares[row, column], bytes=True)
            text = f"{values[row, column]:.{decimals}f}"
            size = 5.5 if columns <= 8 else 4.6
            ink = hex_of(ink_on((int(red), int(green), int(blue))))
            axes.text(column, row, text, ha="center", va="center", fontsize=size, color=ink)
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
