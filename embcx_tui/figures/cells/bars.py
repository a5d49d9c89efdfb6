"""The paper's bars in terminal cells: one translucent rectangle per run, a bold mean, numbers below.

plotext paints the bars, the axis (`value_axis`) and its ticks. Its own `figure.bar` is not used: it fills the whole
cell that a value lies in, so that `figure.bar([1, 2], [1.1, 1.9])` on four rows of 0 … 4 gives two bars of one height.
Here the cell with a bar's upper edge is a mark of its own, one of ▁ … ▇ in two colours.

plotext also leaves out, without a word, labels on the x axis that would touch; ours are cut (input: inp, in, i), and
the selected one is marked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

import numpy as np

from embcx_tui.figures import ticks
from embcx_tui.figures.cells.canvas import Cells, Frame, frame_of
from embcx_tui.figures.cells.plotext_adapter import Axis, Block, Chart, Mark, render
from embcx_tui.figures.cells.value_axis import value_axis
from embcx_tui.figures.model import Bar, BarGroup, Bars
from embcx_tui.figures.palette import Rgb, blend, stack_opacity
from embcx_tui.figures.spans import Look, Style

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_SHADES = " ░▒▓█"
_ASCII_SHADES = " .:+#"
_MOST_SLOT = 26  # cells from one bar to the next: wider and the eye no longer compares heights
_MOST_BAR = 16
_LEAST_WIDTH, _LEAST_HEIGHT = 12, 4
_TIP = 0.65  # how much of the text colour is in the tip of a bar, whose upper edge is the mean
_NOTHING = "nothing measured yet"


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where bars stand: first cell of each, its width, cells from one to the next; how many are left out."""

    gutter: int
    starts: tuple[int, ...]
    bar: int
    slot: int
    left_out: int

    @property
    def axis(self) -> int:
        """The column of the y axis."""
        return self.gutter - (2 if self.slot > 3 else 1)

    def text_start(self, start: int) -> int:
        """Return the first column of the texts under the bar at `start`: centred, they use the gap to its right too."""
        return start - max(self.slot - 1 - self.bar, 0) // 2

    @property
    def end(self) -> int:
        return self.starts[-1] + max(self.slot, self.bar + 1) if self.starts else self.gutter


def _plan_columns(width: int, gutter: int, sizes: list[int]) -> _Columns:
    total, room = sum(sizes), width - gutter
    gaps = len(sizes) - 1
    between = 0 if not gaps else 1 if room < 4 * total else 2
    slot = min(max((room - between * gaps) // max(total, 1), 1), _MOST_SLOT)
    bar = min(slot - (0 if slot == 1 else 1 if slot < 9 else 2), _MOST_BAR)
    spare = max(room - slot * total - between * gaps, 0)
    # What is left goes between groups first, then to both sides.
    more = min(spare // gaps, 2 * slot) if gaps else 0
    between, spare = between + more, spare - more * gaps
    starts: list[int] = []
    column = gutter + (spare // 2 if slot == _MOST_SLOT else 0)
    for size in sizes:
        starts += range(column, column + size * slot, slot)
        column += size * slot + between
    fitting = tuple(start for start in starts if start + bar <= width)
    return _Columns(gutter, fitting, bar, slot, len(starts) - len(fitting))


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything of a bar chart stands, and the numbers below the bars that fit (None: none)."""

    frame: Frame
    columns: _Columns
    high: float
    means: tuple[str, ...] | None
    spreads: tuple[str, ...] | None
    single: bool

    @property
    def rows(self) -> int:
        """The rows of the bars."""
        return self.frame.bottom - self.frame.top


def _flat(bars: Bars) -> list[tuple[BarGroup, Bar]]:
    return [(group, bar) for group in bars.groups for bar in group.bars]


def indices_of(bars: Bars) -> list[tuple[int, int]]:
    """Return (group, bar) of every bar, from left to right."""
    return [(group, index) for group, one in enumerate(bars.groups) for index in range(len(one.bars))]


def layout_of(bars: Bars, width: int, height: int) -> Layout | None:
    """Return where `bars` stand on `width` × `height` cells; None where no value is known or there is no room."""
    flat = _flat(bars)
    finite = [value for _, bar in flat for value in bar.values if np.isfinite(value)]
    if not finite or width < _LEAST_WIDTH or height < _LEAST_HEIGHT:
        return None
    high = ticks.bounds(finite, zero=True)[1]
    sizes = [len(group.bars) for group in bars.groups]
    # Ticks are known only with the rows; a taller plot never needs longer labels by more than one character.
    longest = max(len(text) for text in ticks.tick_labels(ticks.ticks(0.0, high, 5))) + 1
    columns = _plan_columns(width, longest + 2, sizes)
    roomy = _plan_columns(width, max(longest, len(bars.x_label), 4) + 3, sizes)
    # The words beside the numbers are worth a gutter, but not narrower bars where bars are narrow.
    if roomy.slot == columns.slot or roomy.slot >= 6:
        columns = roomy
    shown = flat[: len(columns.starts)]
    means = ticks.fitted((bar.mean for _, bar in shown), columns.slot - 1) if columns.slot >= 4 else None
    spreads = ticks.fitted((bar.sd for _, bar in shown), columns.slot - 1) if means else None
    # Where each bar is a single value there is no spread to tell, and no key to what is a mean.
    single = all(len(bar.values) == 1 for _, bar in flat) and not columns.left_out
    wanted = (
        ("labels", True, 2),
        ("title", True, 2),
        ("groups", len(bars.groups) > 1, 5),
        ("mean", means, 5),
        ("axis", True, 5),
        ("key", not single, 5),
        ("sd", means and not single, 5),
        ("note", bars.note, 5),
    )
    return Layout(frame_of(height, wanted), columns, high, means, spreads, single)


def draw_bars(bars: Bars, width: int, height: int, look: Look) -> Cells:
    """Return `bars` painted on `width` × `height` cells."""
    cells = Cells(width, height, look)
    if not any(np.isfinite(value) for _, bar in _flat(bars) for value in bar.values):
        return cells.say_nothing(bars.title, bars.note or _NOTHING)
    layout = layout_of(bars, width, height)
    if layout is None:
        return cells.words("too small", "for bars")
    cells.paste(_plot(replace(bars, chosen=None), width, height, look), 0, 0)
    layout.frame.draw(cells, bars.title, bars.y_label, note=bars.note)
    _draw_numbers(cells, bars, layout)
    _draw_group_names(cells, bars, layout)
    _draw_key(cells, bars, layout)
    return cells


@lru_cache(maxsize=16)
def _plot(bars: Bars, width: int, height: int, look: Look) -> Cells:
    """Return the bars with their axis and signs, on `width` × `height` cells.

    Kept, since going from layer to layer with a held key changes only which bar is chosen: 1 ms instead of 8.
    """
    cells, layout = Cells(width, height, look), layout_of(bars, width, height)
    assert layout is not None
    frame, columns = layout.frame, layout.columns
    scale = ticks.row_scale(layout.high, layout.rows)
    top = scale.row * layout.rows
    stacks = [
        _Stack(bar, _Brush(look, look.series(group.place), len(bar.values)), layout.rows, top)
        for group, bar in _flat(bars)
    ]
    chart = _chart(layout, stacks, width, scale, look)
    cells.paste(render(chart, width, layout.rows + ("axis" in frame.rows), look), 0, frame.top)
    for start, stack in zip(columns.starts, stacks, strict=False):
        _draw_signs(cells, stack, start + columns.bar // 2, frame, bars.highlight)
    return cells


def _chart(layout: Layout, stacks: list[_Stack], width: int, scale: ticks.RowScale, look: Look) -> Chart:
    """Return what plotext draws: x in cells from the column of the tick marks, y in rows from the bottom."""
    columns, rows, left = layout.columns, layout.rows, layout.columns.axis - 1
    foot = min(columns.end, width) - left if "axis" in layout.frame.rows else 0
    axis = value_axis(scale, rows, left, foot, look.secondary)
    blocks: list[Block] = list(axis.blocks)
    for start, stack in zip(columns.starts, stacks, strict=False):
        blocks += [
            (start - left + 0.5, high + 0.5, columns.bar, high - low + 1, mark) for low, high, mark in stack.pieces()
        ]
    return Chart(Axis((0.0, float(width - left)), edges=True), axis.axis, blocks, points=axis.points)


@dataclass(frozen=True, slots=True)
class _Brush:
    """How `count` of `runs` rectangles of one colour look on top of each other."""

    look: Look
    base: Rgb
    runs: int

    def shade(self, count: int) -> Rgb | None:
        """Return the colour of `count` rectangles; None for none."""
        return blend(self.look.paper, self.base, stack_opacity(count, self.runs)) if count else None

    def filled(self, count: int) -> Mark:
        """Return the mark of a cell that `count` rectangles cover; shades where there is no colour."""
        if self.look.colours:
            return Mark(" ", Style(bg=self.shade(count)))
        shades = _SHADES if self.look.unicode else _ASCII_SHADES
        return Mark(shades[-(-4 * count // self.runs)], Style(self.shade(count)))

    def edge(self, eighths: int, below: int, above: int) -> Mark:
        """Return the mark of a cell that `below` rectangles cover up to `eighths`, and `above` of them wholly."""
        return Mark(_EIGHTHS[eighths], Style(self.shade(below), self.shade(above)))

    def mean(self, eighths: int, above: int) -> Mark:
        """Return the mark of a cell with the mean at `eighths` of its height; `above` rectangles cover all of it."""
        look = self.look
        if not look.unicode:
            return Mark("=", look.strong._replace(bg=self.shade(above) if look.colours else None))
        if not look.colours:
            return Mark(_EIGHTHS[eighths], look.strong)
        return Mark(_EIGHTHS[eighths], Style(blend(self.base, look.ink, _TIP), self.shade(above)))


class _Stack:
    """A bar's rectangles on top of each other, in eighths of `rows` rows up to the value `top`."""

    def __init__(self, bar: Bar, brush: _Brush, rows: int, top: float) -> None:
        self.bar, self.brush, self._rows, self._top = bar, brush, rows, top
        look, single = brush.look, len(bar.values) == 1
        # Where a cell shows no part of itself a run fills those that it covers at least half of.
        in_parts = look.unicode and (look.colours or single)
        heights = [self._height(value) for value in bar.values if np.isfinite(value)]
        self._levels = [round(8 * height) if in_parts else 8 * round(height) for height in heights]
        self._mean = 0
        # A single value is no mean: the edge of its bar shows it, if that can be drawn.
        if bar.mean is not None and not (single and look.unicode):
            height = self._height(bar.mean)
            self._mean = round(8 * height) if look.unicode else 8 * math.ceil(height)

    def _height(self, value: float) -> float:
        """Return how many rows high a value is."""
        return min(max(value / self._top, 0.0), 1.0) * self._rows

    def row_of(self, value: float) -> int:
        """Return the row that a value is in, from the bottom."""
        return max(math.ceil(self._height(value)) - 1, 0)

    def above(self, row: int) -> int:
        """Return how many rectangles reach beyond a row, counted from the bottom, or fill it."""
        return sum(level >= 8 * row + 8 for level in self._levels)

    def pieces(self) -> Iterator[tuple[int, int, Mark]]:
        """Yield the bar from the bottom up: first row, last row and mark of its pieces."""
        cuts = {0, max(self._mean - 1, 0) // 8, -(-self._mean // 8)}
        for level in self._levels:
            cuts |= {level // 8, -(-level // 8)}
        for low, high in pairwise(sorted(cuts)):
            mark = self._mark(low)
            if mark is not None:
                yield low, high - 1, mark

    def _mark(self, row: int) -> Mark | None:
        """Return what a row shows. A cell has two colours: nothing in it is filled beyond the values that it is for.

        The mean goes before the edges of runs, and the highest run's edge before others in the same cell.
        """
        brush, above = self.brush, self.above(row)
        if 0 < self._mean - 8 * row <= 8:
            return brush.mean(self._mean - 8 * row, above)
        edge = max((level - 8 * row for level in self._levels if level < 8 * row + 8), default=0)
        if edge > 0:
            return brush.edge(edge, above + self._levels.count(8 * row + edge), above)
        return brush.filled(above) if above else None


def _draw_signs(cells: Cells, stack: _Stack, column: int, frame: Frame, highlight: int | None) -> None:
    """Draw the run that stands out, and that a run is degenerate."""
    look, bar = cells.look, stack.bar
    values, flagged = bar.values, bar.flagged or (False,) * len(bar.values)
    if highlight is not None and 0 <= highlight < len(values) and np.isfinite(values[highlight]):
        row = stack.row_of(values[highlight])
        paper = (stack.brush.shade(stack.above(row)) or look.paper) if look.colours else None
        cells.put(column, frame.bottom - 1 - row, "●", look.strong._replace(bg=paper), width=1)
    bad = [value for value, flag in zip(values, flagged, strict=False) if flag and np.isfinite(value)]
    if bad:
        row = stack.row_of(max(max(bad), bar.mean or 0.0)) + 1
        cells.put(column, max(frame.bottom - 1 - row, frame.top), "!", Style(cells.look.alarm, bold=True), width=1)
    elif any(flagged) and not np.isfinite(values).any():  # degenerate without a score: there is no bar to stand on
        cells.put(column, frame.bottom - 1, "!", Style(cells.look.alarm, bold=True), width=1)


def _draw_numbers(cells: Cells, bars: Bars, layout: Layout) -> None:
    """Write labels, means and standard deviations under their bars, and before them what they are."""
    rows, columns, look = layout.frame.rows, layout.columns, cells.look
    heads = {"labels": bars.x_label, "mean": "KL" if layout.single else "mean", "sd": "sd"}
    for name, text in heads.items():
        if name in rows and len(text) <= columns.axis:
            cells.muted(0, rows[name], text, width=columns.axis, align=1.0)
    room = max(columns.slot - 1, 1)
    for order, (start, (group, index)) in enumerate(zip(columns.starts, indices_of(bars), strict=False)):
        left = columns.text_start(start)
        if "labels" in rows:
            label, chosen = bars.groups[group].bars[index].label, bars.chosen == (group, index)
            text = label if len(label) <= room else label[: min(room, 3)]  # input: inp, in, i
            style = look.selected if chosen else look.text
            cells.put(left, rows["labels"], _marked(text, room, look) if chosen else text, style, width=room, align=0.5)
        if "mean" in rows and layout.means:
            cells.put(left, rows["mean"], layout.means[order], look.text, width=room, align=0.5)
        if "sd" in rows and layout.spreads:
            cells.muted(left, rows["sd"], layout.spreads[order], width=room, align=0.5)


def _marked(text: str, room: int, look: Look) -> str:
    """Return the selected bar's label with what sets it off, as far as there is room."""
    around = " {} " if look.colours else "[{}]"
    if len(text) + 2 <= room:
        return around.format(text)
    return text if look.colours else f">{text}" if len(text) < room else ">"


def _draw_group_names(cells: Cells, bars: Bars, layout: Layout) -> None:
    if "groups" not in layout.frame.rows:
        return
    first, columns = 0, layout.columns
    for group in bars.groups:
        mine = columns.starts[first : first + len(group.bars)]
        first += len(group.bars)
        if mine:
            width = mine[-1] + columns.bar - mine[0]
            style = Style(cells.look.series(group.place) if cells.look.colours else None, bold=True)
            cells.put(mine[0], layout.frame.rows["groups"], group.label, style, width=width, align=0.5)


def _draw_key(cells: Cells, bars: Bars, layout: Layout) -> None:
    if "key" not in layout.frame.rows:
        return
    every, left_out = [bar for _, bar in _flat(bars)], layout.columns.left_out
    runs = max(int(np.isfinite(np.asarray(bar.values, dtype=np.float64)).sum()) for bar in every)
    parts = [
        (f"{left_out} of {len(every)} bars do not fit", bool(left_out)),
        ("▂ top of the tip: the mean" if cells.look.unicode else "= mean", True),
        (f"● run {bars.highlight}", bars.highlight is not None),
        ("! degenerate, not in the mean", any(flag for bar in every for flag in bar.flagged)),
        (f"▇ one translucent bar per run ({runs})", True),
        ("wider shows numbers", not (layout.means or left_out)),
    ]
    shown = ""
    for part, said in parts:
        longer = f"{shown}   {part}" if shown else part
        if said and len(longer) <= cells.width:
            shown = longer
    cells.muted(0, layout.frame.rows["key"], shown)
