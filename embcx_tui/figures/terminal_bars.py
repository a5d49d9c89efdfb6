"""The paper's bars in terminal cells: one translucent rectangle a run, a bold mean, numbers below."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embcx_tui.figures import ticks
from embcx_tui.figures.model import Bar, BarGroup, Bars
from embcx_tui.figures.palette import WARNING, Rgb, blend, colour, stack_opacity
from embcx_tui.figures.terminal_cells import Cells, Look, pack

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_SHADES = " ░▒▓█"
_ASCII_SHADES = " .:+#"
_MOST_SLOT = 26  # cells from one bar to the next: wider and the eye no longer compares heights
_MOST_BAR = 16
_LEAST_WIDTH, _LEAST_HEIGHT = 12, 4
NOTHING = "nothing measured yet"


@dataclass(frozen=True, slots=True)
class _Rows:
    """Which rows a chart of some height has; each is a row number, None: left out."""

    title: int | None
    plot: tuple[int, int]
    axis: int | None
    labels: int | None
    mean: int | None
    sd: int | None
    groups: int | None
    key: int | None
    note: int | None


def _plan_rows(height: int, *, groups: bool, numbers: bool, note: bool, single: bool) -> _Rows:
    """Give each line its row, the least needed ones only where at least five rows of plot remain.

    Where each bar is a `single` value there is no spread to tell, and no key to what is a mean.
    """
    wanted = [
        name
        for name, has in (
            ("labels", True),
            ("title", True),
            ("groups", groups),
            ("mean", numbers),
            ("axis", True),
            ("key", not single),
            ("sd", numbers and not single),
            ("note", note),
        )
        if has
    ]
    chosen = set(wanted[:2]) if height >= 4 else set()
    for name in wanted[2:]:
        if height - len(chosen) - 1 >= 5:
            chosen.add(name)
    top = int("title" in chosen)
    below = [name for name in ("axis", "labels", "mean", "sd", "groups", "key", "note") if name in chosen]
    end = height - len(below)
    place = {name: end + offset for offset, name in enumerate(below)}
    get = place.get
    return _Rows(
        0 if top else None, (top, end), get("axis"), get("labels"), get("mean"), get("sd"), get("groups"), get("key"),
        get("note"),
    )  # fmt: skip


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
        starts += [column + place * slot for place in range(size)]
        column += size * slot + between
    fitting = [start for start in starts if start + bar <= width]
    return _Columns(gutter, tuple(fitting), bar, slot, len(starts) - len(fitting))


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where everything of a chart stands, and the numbers below the bars that fit (None: none)."""

    rows: _Rows
    columns: _Columns
    high: float
    means: tuple[str, ...] | None
    spreads: tuple[str, ...] | None
    single: bool


def _is_single(bars: Bars) -> bool:
    """Tell whether no bar is more than one value: then it is no mean, and needs no line to tell it from its runs."""
    return all(len(bar.values) == 1 for group in bars.groups for bar in group.bars)


def _flat(bars: Bars) -> list[tuple[BarGroup, Bar]]:
    return [(group, bar) for group in bars.groups for bar in group.bars]


def _lay_out(bars: Bars, width: int, height: int) -> _Layout | None:
    """Return where `bars` stand on `width` × `height` cells; None where no value is known."""
    flat = _flat(bars)
    finite = [value for _, bar in flat for value in bar.values if np.isfinite(value)]
    if not finite:
        return None
    high = ticks.bounds(finite, zero=True)[1]
    sizes = [len(group.bars) for group in bars.groups]
    # Ticks are known only with the rows; a taller plot never needs longer labels by more than one character.
    marks = ticks.ticks(0.0, high, 5)
    longest = max(len(text) for text in ticks.tick_labels(marks)) + 1
    columns = _plan_columns(width, longest + 2, sizes)
    roomy = _plan_columns(width, max(longest, len(bars.x_label), 4) + 3, sizes)
    # The words beside the numbers are worth a gutter, but not narrower bars where bars are narrow.
    if roomy.slot == columns.slot or roomy.slot >= 6:
        columns = roomy
    shown = flat[: len(columns.starts)]
    means = ticks.fitted((bar.mean for _, bar in shown), columns.slot - 1) if columns.slot >= 4 else None
    spreads = ticks.fitted((bar.sd for _, bar in shown), columns.slot - 1) if means else None
    single = _is_single(bars) and not columns.left_out
    rows = _plan_rows(
        height, groups=len(bars.groups) > 1, numbers=bool(means), note=bool(bars.note), single=single
    )  # fmt: skip
    return _Layout(rows, columns, high, means, spreads, single)


def draw_bars(bars: Bars, width: int, height: int, look: Look) -> Cells:
    """Return `bars` painted on `width` × `height` cells."""
    cells = Cells(width, height, look)
    layout = _lay_out(bars, width, height)
    if layout is None:
        return cells.words(bars.title, bars.note or NOTHING) if bars.title else cells.words(bars.note or NOTHING)
    if width < _LEAST_WIDTH or height < _LEAST_HEIGHT:
        return cells.words("too small", "for bars")
    rows, columns = layout.rows, layout.columns
    plot_height = rows.plot[1] - rows.plot[0]
    top, step, every = ticks.row_scale(layout.high, plot_height)
    _draw_axis(cells, rows, columns, step, every)
    for start, (group, bar) in zip(columns.starts, _flat(bars), strict=False):
        ink = _Brush(look, colour(group.place), len(bar.values))
        _draw_bar(cells, bar, ink, (start, columns.bar), rows.plot, top, bars.highlight)
    _draw_texts(cells, bars, rows, columns, layout.means, layout.spreads)
    return cells


def bars_at(bars: Bars, width: int, height: int, column: int, row: int) -> tuple[int, int] | None:
    """Return the (group, bar) whose place a cell is in, from the top of the plot to the numbers below; None: none."""
    layout = _lay_out(bars, width, height)
    if layout is None or width < _LEAST_WIDTH or height < _LEAST_HEIGHT:
        return None
    rows, columns = layout.rows, layout.columns
    below = [one for one in (rows.axis, rows.labels, rows.mean, rows.sd) if one is not None]
    if not rows.plot[0] <= row < max([rows.plot[1], *(one + 1 for one in below)]):
        return None
    places = [(group, place) for group, one in enumerate(bars.groups) for place in range(len(one.bars))]
    for start, place in zip(columns.starts, places, strict=False):
        if 0 <= column - columns.text_start(start) < columns.slot:
            return place
    return None


@dataclass(frozen=True, slots=True)
class _Brush:
    """How `count` of `runs` rectangles of one colour look on top of each other."""

    look: Look
    base: Rgb
    runs: int

    def shade(self, count: float) -> int:
        """Return the packed colour of `count` rectangles; -1 for none."""
        if count <= 0:
            return -1
        return pack(blend(self.look.paper, self.base, stack_opacity(count, self.runs)))

    def sign(self, count: float) -> str:
        """Return the character of `count` rectangles where there is no colour."""
        shades = _SHADES if self.look.unicode else _ASCII_SHADES
        return shades[min(int(np.ceil(4 * count / max(self.runs, 1))), 4)] if count > 0.25 else " "


def _heights(bar: Bar, top: float, levels: int) -> NDArray[np.float64]:
    """Return the measured values of `bar` in eighths of a row, 0 … levels."""
    values = np.asarray(bar.values, dtype=float)
    heights: NDArray[np.float64] = np.clip(values[np.isfinite(values)] / top, 0.0, 1.0) * levels
    return heights


def _draw_bar(
    cells: Cells,
    bar: Bar,
    brush: _Brush,
    span: tuple[int, int],
    plot: tuple[int, int],
    top: float,
    highlight: int | None,
) -> None:
    start, width = span
    height = plot[1] - plot[0]
    heights = _heights(bar, top, height * 8)
    # How many rectangles cover each eighth of each row, from the bottom row up [height, 8].
    cover = (heights[None, :] > np.arange(height * 8)[:, None] + 0.5).sum(1).reshape(height, 8)
    across = slice(start, start + width)
    for up in range(height):
        row = plot[1] - 1 - up
        lower, upper = int(cover[up, 0]), int(cover[up, 7])
        if not lower:
            break
        if not cells.look.colours and brush.runs == 1 and cells.look.unicode:
            cells.chars[row, across] = _EIGHTHS[int(cover[up].sum())]
            continue
        if not cells.look.colours:
            cells.chars[row, across] = brush.sign(float(cover[up].mean()))
            cells.fg[row, across] = brush.shade(lower)
            continue
        # Several edges in one row share it: the one edge drawn stands at their average.
        part = round(float((cover[up] - upper).sum()) / (lower - upper)) if lower > upper else 8
        if part >= 8:
            cells.bg[row, across] = brush.shade(lower)
        elif part > 0 and cells.look.unicode:
            cells.chars[row, across] = _EIGHTHS[part]
            cells.fg[row, across] = brush.shade(lower)
            cells.bg[row, across] = brush.shade(upper)
        else:
            cells.bg[row, across] = brush.shade(float(cover[up].mean()))
    _draw_marks(cells, bar, span, plot, top, highlight)


def _row_of(value: float, plot: tuple[int, int], top: float) -> tuple[int, float]:
    """Return the row a value lies in and how far up in it (0 … 1)."""
    height = plot[1] - plot[0]
    at = min(max(value / top, 0.0), 1.0) * height
    up = min(int(at), height - 1)
    return plot[1] - 1 - up, at - up


def _flatten(cells: Cells, row: int, across: slice, *, filled: bool = False) -> None:
    """Make cells that show an edge one colour, that of their larger part (or the lower one where `filled`).

    A sign over them needs their foreground.
    """
    edge = _EIGHTHS.find(str(cells.chars[row, across.start]))
    if cells.look.colours and (edge >= 4 or (filled and edge > 0)):
        cells.bg[row, across] = cells.fg[row, across]


def _draw_marks(
    cells: Cells, bar: Bar, span: tuple[int, int], plot: tuple[int, int], top: float, highlight: int | None
) -> None:
    start, width = span
    look = cells.look
    # A single value is the edge of its bar, where that can be drawn to an eighth of a row.
    if bar.mean is not None and not (len(bar.values) == 1 and look.unicode):
        row, part = _row_of(bar.mean, plot, top)
        sign = "━"
        if look.colours and look.unicode and abs(part - 0.5) > 0.25:  # against full blocks only the middle line shows
            sign = "▁" if part < 0.5 else "▔"
        # The line may not float: below a line that is not at the foot of its row the bar is filled.
        _flatten(cells, row, slice(start, start + width), filled=sign != "▁")
        cells.put(start, row, sign * width, look.ink, bold=True)
    values, flagged = bar.values, bar.flagged or (False,) * len(bar.values)
    if highlight is not None and 0 <= highlight < len(values) and np.isfinite(values[highlight]):
        row, _ = _row_of(values[highlight], plot, top)
        middle = start + width // 2
        _flatten(cells, row, slice(middle, middle + 1))
        cells.put(middle, row, "●", look.ink, bold=True, width=1)
    bad = [value for value, flag in zip(values, flagged, strict=False) if flag and np.isfinite(value)]
    if bad:
        row, _ = _row_of(max(max(bad), bar.mean or 0.0), plot, top)
        cells.put(start + width // 2, max(row - 1, plot[0]), "!", WARNING, bold=True, width=1)
    elif any(flagged) and not np.isfinite(values).any():  # degenerate without a score: there is no bar to stand on
        cells.put(start + width // 2, plot[1] - 1, "!", WARNING, bold=True, width=1)


def _draw_axis(cells: Cells, rows: _Rows, columns: _Columns, step: float, every: int) -> None:
    plot, at = rows.plot, columns.axis
    for row in range(*plot):
        cells.muted(at, row, "│", width=1)
    marks = tuple(place * step for place in range((plot[1] - plot[0] - 1) // every + 1))
    for place, text in enumerate(ticks.tick_labels(marks) if len(marks) > 1 else ("0",)):
        # A label stands on its line: the lower edge of its row is its value.
        row = plot[1] - 1 - place * every
        cells.muted(0, row, text, width=at - 1, align=1.0)
        cells.muted(at - 1, row, "▁", width=1)
    if rows.axis is not None:
        cells.muted(at - 1, rows.axis, "▔" * (columns.end - at + 1))


def _draw_texts(
    cells: Cells,
    bars: Bars,
    rows: _Rows,
    columns: _Columns,
    numbers: tuple[str, ...] | None,
    spreads: tuple[str, ...] | None,
) -> None:
    look = cells.look
    if rows.title is not None:
        used = cells.put(0, rows.title, bars.title, look.ink, bold=True)
        if bars.y_label and used + 3 + len(bars.y_label) <= cells.width:
            cells.muted(used + 3, rows.title, bars.y_label)
    head = columns.axis
    for row, text in ((rows.labels, bars.x_label), (rows.mean, "KL" if _is_single(bars) else "mean"), (rows.sd, "sd")):
        if row is not None and len(text) <= head:
            cells.muted(0, row, text, width=head, align=1.0)
    places = [(group, place) for group, one in enumerate(bars.groups) for place in range(len(one.bars))]
    for order, (start, (group, place)) in enumerate(zip(columns.starts, places, strict=False)):
        left = columns.text_start(start)
        room = max(columns.slot - 1, 1)
        if rows.labels is not None:
            _draw_label(
                cells, left, rows.labels, bars.groups[group].bars[place].label, room, bars.chosen == (group, place)
            )
        if rows.mean is not None and numbers:
            cells.put(left, rows.mean, numbers[order], look.ink, width=room, align=0.5)
        if rows.sd is not None and spreads:
            cells.muted(left, rows.sd, spreads[order], width=room, align=0.5)
    if rows.groups is not None:
        _draw_group_names(cells, bars, rows.groups, columns)
    if rows.key is not None:
        _draw_key(cells, bars, rows.key, columns, bool(numbers))
    if rows.note is not None:
        cells.muted(0, rows.note, bars.note)


def _draw_label(cells: Cells, left: int, row: int, label: str, room: int, chosen: bool) -> None:
    look = cells.look
    text = label if len(label) <= room else label[: min(room, 3)]  # input: inp, in, i
    if not chosen:
        cells.put(left, row, text, look.ink, width=room, align=0.5)
    elif look.colours:
        padded = f" {text} " if len(text) + 2 <= room else text
        cells.put(left, row, padded, look.paper, bg=look.ink, bold=True, width=room, align=0.5)
    else:
        marked = f"[{text}]" if len(text) + 2 <= room else f">{text}" if len(text) < room else ">"
        cells.put(left, row, marked, look.ink, bold=True, width=room, align=0.5)


def _draw_group_names(cells: Cells, bars: Bars, row: int, columns: _Columns) -> None:
    first = 0
    for group in bars.groups:
        mine = columns.starts[first : first + len(group.bars)]
        first += len(group.bars)
        if mine:
            width = mine[-1] + columns.bar - mine[0]
            text = colour(group.place) if cells.look.colours else None
            cells.put(mine[0], row, group.label, text, bold=True, width=width, align=0.5)


def _draw_key(cells: Cells, bars: Bars, row: int, columns: _Columns, numbers: bool) -> None:
    every = [bar for group in bars.groups for bar in group.bars]
    runs = max(int(np.isfinite(np.asarray(bar.values, dtype=np.float64)).sum()) for bar in every)
    parts = ["━ mean", f"{'▇' if cells.look.unicode else '#'} one translucent bar a run ({runs})"]
    if bars.highlight is not None:
        parts.append(f"● run {bars.highlight}")
    if any(flag for bar in every for flag in bar.flagged):
        parts.append("! degenerate, not in the mean")
    if columns.left_out:
        parts.insert(0, f"{columns.left_out} of {len(every)} bars do not fit")
    elif not numbers:
        parts.append("wider shows numbers")
    while len(parts) > 1 and sum(len(part) + 3 for part in parts) - 3 > cells.width:
        parts.pop(1 if columns.left_out else -1 if len(parts) < 3 else 1)
    cells.muted(0, row, "   ".join(parts))
