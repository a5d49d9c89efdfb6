"""Values along the layers as lines on matplotlib's axes, with names and last values at the lines' ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from embcx_tui.figures import ticks
from embcx_tui.figures.matplotlib_axes import GREY, GRID, LARGEST, LINE_SIGNS, hex_of, say
from embcx_tui.figures.model import MOST_RUNS_SHOWN, BarGroup, Lines
from embcx_tui.figures.palette import colour
from embcx_tui.study.text import safe_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_END_PT = 5.5
# Of a measured model: characters of a layer's name on the axis, and names that a page has room for.
_LONGEST_NAME = 20
_MOST_MARKS = 48
_DASHES = ("-", "--", ":")


def draw_lines(axes: Axes, lines: Lines, *, legend: bool) -> None:
    """Draw the mean of each group as a line, its runs as a band and, where they are few, as dots.

    Controls are dashed. With `legend` names and last values stand at the lines' ends.
    """
    values = [value for value in lines.values if abs(value) < LARGEST]
    if not values:
        say(axes, lines.note or "nothing measured yet")
        return
    low, high = ticks.from_zero(*ticks.bounds([*values, *(lines.scale or ())]))
    names = list(dict.fromkeys(group.label for group in lines.groups))
    for group in sorted(lines.groups, key=lambda group: not group.control):  # trained networks on top
        _draw_group(axes, group, _line_look(group, names, lines), lines.runs)
    axes.set_ylim(low if low == 0 else low - 0.04 * (high - low), high + 0.04 * (high - low))
    longest = max((group.bars for group in lines.groups), key=len)
    marks = [bar.label for bar in longest]
    if lines.layer_names:
        marks[1:] = [safe_text(name, _LONGEST_NAME) for name in lines.layer_names]
    slanted: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if lines.layer_names else {}
    every = -(-len(marks) // _MOST_MARKS)
    axes.set_xticks(range(0, len(marks), every), marks[::every], **slanted)
    axes.set_xlabel(lines.x_label, labelpad=2)
    place = axes.get_subplotspec()
    if place is None or place.colspan.start == 0:
        axes.set_ylabel(lines.y_label)
    axes.grid(axis="y", color=GRID, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.margins(x=0.03)
    if legend:
        _label_ends(axes, lines, names)


def _line_look(group: BarGroup, names: list[str], lines: Lines) -> dict[str, Any]:
    """Return colour, dashes and marker of a group's line: a marker for each name, dashes for each control."""
    return {
        "color": hex_of(colour(group.place)),
        "linestyle": _DASHES[lines.kinds.index(group.control) % len(_DASHES)],
        "marker": LINE_SIGNS[names.index(group.label) % len(LINE_SIGNS)][1],
    }


def _draw_group(axes: Axes, group: BarGroup, look: dict[str, Any], runs: int) -> None:
    means = np.array([np.nan if bar.mean is None else min(max(bar.mean, -LARGEST), LARGEST) for bar in group.bars])
    x = np.arange(len(means))
    counted = [bar.counted[np.abs(bar.counted) < LARGEST] for bar in group.bars]
    if runs > 1:
        low, high = (np.array([edge(one) if len(one) else np.nan for one in counted]) for edge in (np.min, np.max))
        axes.fill_between(x, low, high, color=look["color"], alpha=0.18, linewidth=0)
    if 1 < runs <= MOST_RUNS_SHOWN:
        spots = [(layer, value) for layer, one in enumerate(counted) for value in one]
        axes.plot(*(zip(*spots, strict=True) if spots else ((), ())), ".", color=look["color"], markersize=2, alpha=0.8)
    axes.plot(x, means, linewidth=1.0, markersize=2.6, solid_capstyle="round", **look)
    for layer, bar in enumerate(group.bars):
        for value, flag in zip(bar.values, bar.flagged, strict=False):
            if flag and abs(value) < LARGEST:
                axes.text(layer, value, "!", ha="center", va="center", fontweight="bold", color=look["color"])


def _label_ends(axes: Axes, lines: Lines, names: list[str]) -> None:
    """Write name, control, mean and sd of each group's last layer beside its line, none over another."""
    low, high = axes.get_ylim()
    figure = axes.get_figure(root=True)
    assert figure is not None
    ends = sorted(
        ((lines.groups[group], layer, lines.groups[group].bars[layer]) for group, layer in lines.ends),
        key=lambda end: end[2].mean or 0.0,
    )
    room = max(axes.get_position().height * figure.get_figheight() * 72 / (1.3 * _END_PT), len(ends))
    wanted = [ticks.share(min(max(bar.mean or 0.0, low), high), low, high) * room - 0.5 for _, _, bar in ends]
    for (group, layer, bar), at in zip(ends, ticks.spread(wanted, room), strict=True):
        spread = "" if bar.sd is None else f" ± {bar.sd:.3f}"
        look = _line_look(group, names, lines)
        axes.annotate(
            f"{group.label} {group.control}".strip() + f"  {bar.mean:.3f}{spread}",
            (layer, min(max(bar.mean or 0.0, low), high)), xytext=(1.07, (at + 0.5) / room),
            textcoords="axes fraction", va="center", fontsize=_END_PT, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": look["color"], "linestyle": look["linestyle"], "linewidth": 0.6,
                        "relpos": (0, 0.5),
                        "shrinkA": 1, "shrinkB": 3},
        )  # fmt: skip


def lines_legend(lines: Lines) -> tuple[list[Any], list[str]]:
    """Return the handles and names of a legend that several charts of lines share."""
    from matplotlib.lines import Line2D

    names = list(dict.fromkeys(group.label for group in lines.groups))
    first = {group.label: group for group in reversed(lines.groups)}
    looks = [{**_line_look(first[name], names, lines), "linestyle": "-"} for name in names]
    texts = list(names)
    if len(lines.kinds) > 1:
        looks += [{"color": GREY, "linestyle": _DASHES[index % len(_DASHES)]} for index in range(len(lines.kinds))]
        texts += [kind or "trained" for kind in lines.kinds]
    return [Line2D([], [], linewidth=1.0, markersize=2.6, **look) for look in looks], texts
