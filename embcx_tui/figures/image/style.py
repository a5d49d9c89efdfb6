"""What the images share: ink, and words where there is nothing to see."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from embcx_tui.figures.palette import Rgb, colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# matplotlib's own arithmetic overflows beyond some 1e150; no number of ours comes near.
LARGEST = 1e30
INK, GREY, GRID = "#262626", "#6c6c6c", "#e4e4e4"


def hex_of(rgb: Rgb) -> str:
    return "#{:02x}{:02x}{:02x}".format(*rgb)


# Width of a letter in units of its size, on average over DejaVu Sans.
_LETTER = 0.55


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

    return Line2D([], [], linestyle="", marker=sign, markersize=size, markeredgewidth=0, color=hex_of(colour(place)))
