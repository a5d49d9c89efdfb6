"""What the images share: ink, and words where there is nothing to see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from embcx_tui.figures.palette import Rgb, colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# matplotlib's own arithmetic overflows beyond some 1e150; no number of ours comes near.
LARGEST = 1e30
INK, GREY, GRID = "#262626", "#6c6c6c", "#e4e4e4"


def hex_of(rgb: Rgb) -> str:
    return "#{:02x}{:02x}{:02x}".format(*rgb)


def say(axes: Axes, words: str) -> None:
    """Write why there is nothing to see."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, words, ha="center", va="center", color=GREY, transform=axes.transAxes, wrap=True)


def marker(place: int, sign: str = "o", size: float = 3.2) -> Any:
    """Return what a legend shows for a colour and a marker."""
    from matplotlib.lines import Line2D

    return Line2D([], [], linestyle="", marker=sign, markersize=size, markeredgewidth=0, color=hex_of(colour(place)))
