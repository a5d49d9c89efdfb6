"""Figures as PNG, SVG and PDF in print quality; the same figure gives the same bytes."""

from __future__ import annotations

import io
import math
import threading
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from embcx_tui.figures import ticks
from embcx_tui.figures.palette import FULL_OPACITY, Rgb, colour
from embcx_tui.figures.values import Bar, Bars, Curves, Figure, Panels, Scatter
from embcx_tui.study.text import safe_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

Format = Literal["png", "svg", "pdf"]
# matplotlib's own arithmetic overflows beyond some 1e150; no number of ours comes near.
_LARGEST = 1e30
COLUMN_WIDTH_IN = 3.35  # 85 mm, one column of a journal
_INK, _GREY, _GRID = "#262626", "#6c6c6c", "#e4e4e4"
# rcParams are the process's: one image at a time.
_LOCK = threading.Lock()
_SETTINGS: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],  # comes with matplotlib, so every machine sets the same text
    "font.size": 7.0,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7.0,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "axes.linewidth": 0.6,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "text.parse_math": False,  # a "$" in a dataset's name is a dollar
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "embcx-tui",
    "pdf.fonttype": 42,  # TrueType, embedded and searchable
    "path.simplify": True,
}
# No dates and no version: the bytes depend on the figure alone.
_METADATA: dict[Format, dict[str, str | None]] = {
    "png": {"Software": "embcx-tui"},
    "svg": {"Date": None, "Creator": "embcx-tui"},
    "pdf": {"CreationDate": None, "ModDate": None, "Creator": "embcx-tui", "Producer": "embcx-tui"},
}


def render(figure: Figure, format: Format, *, width_in: float | None = None, dpi: int = 300) -> bytes:
    """Return `figure` as the bytes of an image `width_in` inches wide (None: what suits it); `dpi` is for PNG."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Canvas

    figure = _harmless(figure)
    with _LOCK, matplotlib.rc_context(), warnings.catch_warnings():
        # A class name in a script the font lacks is drawn as boxes; that is no reason for words on stderr.
        warnings.simplefilter("ignore")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)  # type: ignore[arg-type]  # it wants a Literal of every name
        width = width_in or _width(figure)
        canvas = Canvas(figsize=(width, _height(figure, width)), dpi=dpi, layout="constrained")
        # Points, as everywhere in print: 2 pt around everything.
        canvas.get_layout_engine().set(w_pad=2 / 72, h_pad=2 / 72)  # type: ignore[union-attr, call-arg]
        _draw(canvas, figure)
        backend = {"png": FigureCanvasAgg, "svg": FigureCanvasSVG, "pdf": FigureCanvasPdf}[format](canvas)
        buffer = io.BytesIO()
        backend.print_figure(buffer, format=format, dpi=dpi, metadata=_METADATA[format])
        return buffer.getvalue()


def _harmless(figure: Figure) -> Figure:
    """Return `figure` with texts that can be written: no control characters, which would end an SVG's XML."""
    if isinstance(figure, Panels):
        parts = tuple(one for part in figure.figures if not isinstance(one := _harmless(part), Panels))
        return Panels(safe_text(figure.title), parts, figure.columns, safe_text(figure.note))
    title, note = safe_text(figure.title), safe_text(figure.note)
    if isinstance(figure, Bars):
        groups = tuple(
            replace(
                group,
                label=safe_text(group.label),
                bars=tuple(replace(bar, label=safe_text(bar.label)) for bar in group.bars),
            )
            for group in figure.groups
        )
        y_label, x_label = safe_text(figure.y_label), safe_text(figure.x_label)
        return replace(figure, title=title, note=note, groups=groups, y_label=y_label, x_label=x_label)
    if isinstance(figure, Scatter):
        return replace(figure, title=title, note=note, classes=tuple(safe_text(name, 40) for name in figure.classes))
    lines = tuple(replace(line, label=safe_text(line.label, 60)) for line in figure.lines)
    x_label, y_label = safe_text(figure.x_label), safe_text(figure.y_label)
    return replace(figure, title=title, note=note, lines=lines, x_label=x_label, y_label=y_label)


def _width(figure: Figure) -> float:
    """Return one column, or two for what does not read at one."""
    if isinstance(figure, Bars):
        return COLUMN_WIDTH_IN * (1 if sum(len(group.bars) for group in figure.groups) <= 12 else 2)
    if isinstance(figure, Panels):
        return COLUMN_WIDTH_IN * (1 if figure.columns == 1 else 2)
    return COLUMN_WIDTH_IN


def _height(figure: Figure, width: float) -> float:
    if isinstance(figure, Scatter):
        return width * 0.86 + 0.15
    if isinstance(figure, Panels):
        columns = max(min(figure.columns, len(figure.figures)), 1)
        rows = max(math.ceil(len(figure.figures) / columns), 1)
        square = all(isinstance(one, Scatter) for one in figure.figures)
        return rows * width / columns * (1.08 if square else 0.62) + 0.35 + 0.2 * bool(figure.note)
    return min(width * 0.68, 2.6) + 0.12 * bool(figure.note)


def _hex(rgb: Rgb) -> str:
    return "#{:02x}{:02x}{:02x}".format(*rgb)


def _draw(canvas: Canvas, figure: Figure) -> None:
    if not isinstance(figure, Panels):
        _draw_one(canvas.add_subplot(), figure)
        _add_note(canvas, _caption(figure))
        return
    if figure.title:
        canvas.suptitle(figure.title, fontsize=8, fontweight="bold")
    columns = max(min(figure.columns, len(figure.figures)), 1)
    rows = max(math.ceil(len(figure.figures) / columns), 1)
    scatters = [one for one in figure.figures if isinstance(one, Scatter)]
    shared = len({one.classes for one in scatters}) == 1 and len(scatters) > 1
    for place, one in enumerate(figure.figures):
        axes = canvas.add_subplot(rows, columns, place + 1)
        _draw_one(axes, one, legend=not shared)
    if shared and scatters[0].classes:
        handles = [_dot(place) for place in range(len(scatters[0].classes))]
        canvas.legend(
            handles,
            scatters[0].classes,
            loc="outside lower center",
            ncols=min(len(handles), 10),
            frameon=False,
            handletextpad=0.1,
            columnspacing=1.0,
            title=figure.note,
            title_fontproperties={"size": 5.5},
        ).get_title().set_color(_GREY)
    else:
        _add_note(canvas, figure.note)


def _caption(figure: Bars | Scatter | Curves) -> str:
    """Return the figure's note, and what its warning signs mean."""
    flagged = isinstance(figure, Bars) and any(any(bar.flagged) for group in figure.groups for bar in group.bars)
    return " · ".join([*filter(None, [figure.note]), *(["! degenerate, not in the mean"] if flagged else [])])


def _add_note(canvas: Canvas, note: str) -> None:
    if note:
        canvas.supxlabel(note, fontsize=5.5, color=_GREY, wrap=True)


def _draw_one(axes: Axes, figure: Bars | Scatter | Curves, *, legend: bool = True) -> None:
    if isinstance(figure, Bars):
        _draw_bars(axes, figure)
    elif isinstance(figure, Scatter):
        _draw_scatter(axes, figure, legend=legend)
    else:
        _draw_curves(axes, figure)
    if figure.title:
        axes.set_title(figure.title, loc="left", pad=3)


def _say(axes: Axes, words: str) -> None:
    """Write why there is nothing to see."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, words, ha="center", va="center", color=_GREY, transform=axes.transAxes, wrap=True)


def _draw_bars(axes: Axes, bars: Bars) -> None:
    values = [value for group in bars.groups for bar in group.bars for value in bar.values]
    if not any(math.isfinite(value) for value in values):
        _say(axes, bars.note or "nothing measured yet")
        return
    top = min(ticks.bounds(values, zero=True)[1], _LARGEST)
    at, labels, places = 0.0, [], []
    for group in bars.groups:
        first = at
        for bar in group.bars:
            _draw_bar(axes, bar, at, _hex(colour(group.place)), top)
            labels.append(bar.label)
            places.append(at)
            at += 1.0
        if len(bars.groups) > 1:
            axes.annotate(
                group.label, ((first + at - 1) / 2, 0), xycoords=axes.get_xaxis_transform(), xytext=(0, -13),
                textcoords="offset points", ha="center", va="top", fontweight="bold",
            )  # fmt: skip
        at += 0.7
    crowded = len(places) > 30
    axes.set_xticks(
        places,
        [
            label[:1] if crowded else {"input": "in"}.get(label, label) if len(places) > 12 else label
            for label in labels
        ],
    )
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.7, at - 1.0)
    axes.set_ylim(0, top * 1.06)
    axes.set_ylabel(bars.y_label)
    axes.set_xlabel(bars.x_label, labelpad=12 if len(bars.groups) > 1 else 2)
    axes.grid(axis="y", color=_GRID, linewidth=0.5)
    axes.set_axisbelow(True)


def _draw_bar(axes: Axes, bar: Bar, at: float, fill: str, top: float) -> None:
    width = 0.78
    alpha = 1 - (1 - FULL_OPACITY) ** (1 / max(len(bar.values), 1))
    # White under the translucent rectangles: the grid must not show through.
    highest = max((value for value in bar.values if math.isfinite(value)), default=0.0)
    axes.bar(at, min(max(highest, 0.0), top), width, color="white", linewidth=0)
    flagged = bar.flagged or (False,) * len(bar.values)
    for value, flag in zip(bar.values, flagged, strict=False):
        if math.isfinite(value):
            height = min(max(value, 0.0), top)
            axes.bar(at, height, width, color=fill, alpha=alpha, linewidth=0)
            # The edge of each rectangle: without it close runs melt into one.
            axes.hlines(height, at - width / 2, at + width / 2, color=fill, linewidth=0.4, alpha=0.9)
            if flag:
                axes.text(at, height + 0.01 * top, "!", ha="center", va="bottom", fontweight="bold")
    if bar.mean is not None:
        axes.hlines(min(max(bar.mean, 0.0), top), at - width / 2, at + width / 2, color=_INK, linewidth=1.6)


def _dot(place: int) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], linestyle="", marker="o", markersize=3.2, markeredgewidth=0, color=_hex(colour(place)))


def _draw_scatter(axes: Axes, scatter: Scatter, *, legend: bool) -> None:
    points = np.asarray(scatter.points, dtype=np.float64).reshape(-1, 2)
    finite: NDArray[np.bool_] = np.isfinite(points[:, 0]) & np.isfinite(points[:, 1])
    shown: NDArray[np.bool_] = finite if scatter.shown is None else finite & scatter.shown
    if not shown.any():
        _say(axes, scatter.note or "nothing measured yet")
        return
    labels = np.asarray(scatter.labels)
    colours = np.array([[*(channel / 255 for channel in colour(place)), 1.0] for place in range(len(scatter.classes))])
    grey = np.array([0.6, 0.6, 0.6, 1.0])
    known = (labels >= 0) & (labels < len(scatter.classes))
    paint = np.tile(grey, (len(points), 1))
    if len(colours):
        paint[known] = colours[labels[known]]
    inches = axes.get_position().width * axes.get_figure().get_figwidth()  # type: ignore[union-attr]
    # There are no ticks: any scale will do, and this one never overflows.
    low, high = points[finite].min(0), points[finite].max(0)
    points = (points - (low + high) / 2) / (max(float((high - low).max()) / 2, 1e-30))
    axes.scatter(points[shown, 0], points[shown, 1], s=max(1.2, 1.1 * inches), c=paint[shown], linewidths=0)
    if scatter.chosen is not None and 0 <= scatter.chosen < len(points) and shown[scatter.chosen]:
        x, y = points[scatter.chosen]
        axes.scatter([x], [y], s=22, facecolors="none", edgecolors=_INK, linewidths=0.9)
    axes.set_xlim(-1.06, 1.06)
    axes.set_ylim(-1.06, 1.06)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    for side in ("left", "bottom", "top", "right"):
        axes.spines[side].set_visible(True)
        axes.spines[side].set_color("#c6c6c6")
    if legend and scatter.classes:
        axes.legend(
            [_dot(place) for place in range(len(scatter.classes))],
            scatter.classes,
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
            frameon=False,
            handletextpad=0.1,
            borderaxespad=0.2,
            labelspacing=0.35,
        )


def _draw_curves(axes: Axes, curves: Curves) -> None:
    cleaned = [(line, np.where(np.abs(line.y) < _LARGEST, line.y, np.nan)) for line in curves.lines]
    if not any(np.isfinite(y).any() for _, y in cleaned):
        _say(axes, curves.note or "nothing to draw yet")
        return
    named: set[tuple[str, int]] = set()
    for line, y in cleaned:
        key = (line.label, line.place)
        label = line.label if key not in named else None
        named.add(key)
        single = np.isfinite(y).sum() == 1
        axes.plot(
            line.x, y, color=_hex(colour(line.place)), linewidth=0.9, label=label, solid_capstyle="round",
            marker="o" if single else "", markersize=2.5,
        )  # fmt: skip
    axes.set_xlabel(curves.x_label, labelpad=2)
    axes.set_ylabel(curves.y_label)
    axes.grid(color=_GRID, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.margins(x=0.02)
    if any(label for label, _ in named):
        axes.legend(
            frameon=True, facecolor="white", edgecolor="none", framealpha=0.85, handlelength=1.2, labelspacing=0.3,
            borderaxespad=0.2,
        )  # fmt: skip
