"""Values along the layers as lines in terminal cells: the means, a dot for each run, and the last values at the ends.

Everything stands on a grid of dots, 2 × 4 in a cell: plotext gets the middles of dots, so that a mean is where its
number is to half a dot, an eighth of a row. It draws the lines between them and joins the dots of one cell, which takes
the colour of what is drawn last: runs first, then controls, then trained networks, then the group that is chosen.
Without colours lines are made of signs, right to half a cell.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

import numpy as np

from embcx_tui.figures import ticks
from embcx_tui.figures.cells.canvas import Cells, Entry, Frame, frame_of, split_cells
from embcx_tui.figures.cells.plotext_adapter import Axis, Chart, Line, Mark, render
from embcx_tui.figures.cells.value_axis import value_axis
from embcx_tui.figures.model import MOST_RUNS_SHOWN, BarGroup, Lines
from embcx_tui.figures.palette import SIGNS
from embcx_tui.figures.spans import Look, Style

_LEAST = (12, 4)  # width, height
_LEAST_AXIS = 20  # narrower charts have no numbers at the y axis
# Dashes of the first, second, … control in dots: how many of a period are drawn.
_PERIOD, _DASHES = 4.0, (2.0, 1.0)
# What stands for trained networks and the controls in a key.
_KINDS = ("━", "╌", "┈")
# Columns that the plot keeps beside labels with name, control, mean and sd; without the control; with name and mean;
# with the mean alone (in panels); and how many of them are for each layer after the input.
_ROOM = ((40, 5), (20, 3), (14, 2), (16, 1))
_LONGEST_NAME = 14


@dataclass(frozen=True, slots=True)
class _Label:
    """The text at the end of a group's line, and in which of the plot's rows from the top it stands."""

    group: int
    row: int
    text: str


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything of a chart of lines stands.

    `axis` is the column of the y axis, `columns` those of the layers, `end` the first column after the plot. `labels`
    at the lines' ends are those that fit, `without` how many do not.
    """

    frame: Frame
    axis: int
    columns: tuple[int, ...]
    end: int
    scale: ticks.RowScale
    labels: tuple[_Label, ...]
    without: int

    @property
    def rows(self) -> int:
        """The rows of the plot."""
        return self.frame.bottom - self.frame.top

    def dot(self, value: float) -> int:
        """Return in which row of dots a value is, from the bottom."""
        height = self.scale.height(min(max(value, -ticks.LARGEST), ticks.LARGEST))
        return math.floor(min(max(4 * height, 0), 4 * self.rows - 1))

    def row_of(self, value: float) -> int:
        """Return in which row of the drawing a value is, from the top."""
        return self.frame.bottom - 1 - self.dot(value) // 4


def layout_of(lines: Lines, width: int, height: int, look: Look, legend: bool = True) -> Layout | None:
    """Return where `lines` stand on `width` × `height` cells; None without values, or where there is no room.

    Without `legend` labels have no names: panels have them in their own legend.
    """
    values = [value for value in lines.values if abs(value) < ticks.LARGEST]
    if not values or width < _LEAST[0] or height < _LEAST[1]:
        return None
    low, high = ticks.from_zero(*ticks.bounds([*values, *(lines.scale or ())]))
    # The labels at the lines' ends go before the note.
    least = max(6, min(9, len(lines.ends)))
    wanted = (("title", lines.title, 3), ("labels", True, 4), ("note", lines.note if legend else "", least))
    frame = frame_of(height, wanted)
    rows = frame.bottom - frame.top
    scale = ticks.fitted_row_scale(low, high, rows)
    names = ticks.tick_labels(tuple(value for _, value in scale.ticks))
    axis = max(len(name) for name in names) + 1 if width >= _LEAST_AXIS else 0
    layers = max(len(group.bars) for group in lines.groups)
    # In panels, whose legend has the names, values stand at all ends or at none.
    room = legend or rows >= len(lines.ends)
    texts = _fitting_texts(lines, look, width - axis - 1, layers, legend) if room else {}
    end = width - max((len(split_cells(text, look.unicode)) + 1 for text in texts.values()), default=0)
    last = end - axis - 2
    columns = tuple(axis + 1 + round(layer * last / max(layers - 1, 1)) for layer in range(layers))
    found = Layout(frame, axis, columns, end, scale, (), 0)
    return replace(found, labels=(shown := _placed(lines, found, texts)), without=len(texts) - len(shown))


def _fitting_texts(lines: Lines, look: Look, room: int, layers: int, legend: bool) -> dict[int, str]:
    """Return the longest texts at the lines' ends, by group, beside which the plot keeps its room; else none."""
    ends = [(lines.groups[group], group, lines.groups[group].bars[layer]) for group, layer in lines.ends]
    names = [_clipped(group.label) for group, _, _ in ends]
    longest = max((len(split_cells(name, look.unicode)) for name in names), default=0)
    signs = [_sign(lines, group, index, look) for group, index, _ in ends]
    means, short = (ticks.fitted([bar.mean for _, _, bar in ends], wide) for wide in (5, 4))
    spreads = ticks.fitted([bar.sd for _, _, bar in ends], 5)
    flags = ["!" if any(any(bar.flagged) for bar in group.bars) else "" for group, _, _ in ends]
    variants: list[list[str]] = [[], [], [], []]
    kinds = [group.control for group, _, _ in ends]
    kind_width = max(map(len, kinds), default=0)
    for index, (sign, name) in enumerate(zip(signs, names, strict=True)):
        padded = name + " " * (longest - len(split_cells(name, look.unicode)))
        sd = spreads[index] if spreads else "–"
        around = f" ±{sd.removeprefix('0')}" if sd != "–" else ""
        if means:
            kind = f" {kinds[index].ljust(kind_width)}" if kind_width else ""
            variants[0].append(f"{sign} {padded}{kind} {means[index]}{around}{flags[index]}")
            variants[1].append(f"{sign} {padded} {means[index]}{around}{flags[index]}")
            variants[2].append(f"{sign} {padded} {means[index]}{flags[index]}")
        if short:
            variants[3].append(f"{sign}{short[index]}{flags[index]}")
    for variant, (least, each) in list(zip(variants, _ROOM, strict=True))[0 if legend else 3 :]:
        wide = max((len(split_cells(text, look.unicode)) for text in variant), default=room)
        if room - wide - 1 >= max(least, each * (layers - 1) + 1):
            return {group: text for (_, group, _), text in zip(ends, variant, strict=True)}
    return {}


def _clipped(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _placed(lines: Lines, layout: Layout, texts: dict[int, str]) -> tuple[_Label, ...]:
    """Return the labels that fit in the plot's rows, each as near to its line's end as the others allow."""
    chosen = lines.chosen[0] if lines.chosen else None
    ends = {group: lines.groups[group].bars[layer].mean or 0.0 for group, layer in lines.ends if group in texts}
    # Where there are more than rows, the chosen group goes first, then trained networks.
    most = layout.rows if len(ends) <= layout.rows else layout.rows - 1
    first = sorted(ends, key=lambda group: (group != chosen, bool(lines.groups[group].control)))[:most]
    down = sorted(first, key=lambda group: -ends[group])
    wanted = [float(layout.row_of(ends[group]) - layout.frame.top) for group in down]
    places = ticks.spread(wanted, float(most))
    return tuple(
        _Label(group, math.floor(place + 0.5), texts[group]) for group, place in zip(down, places, strict=True)
    )


def _sign(lines: Lines, group: BarGroup, index: int, look: Look) -> str:
    """Return what stands before a group's text: how its line is drawn, and without colours its sign."""
    kind = _KINDS[lines.kinds.index(group.control) % len(_KINDS)]
    return kind if look.colours else f"{SIGNS[index % len(SIGNS)]}{kind}"


def draw_lines(lines: Lines, width: int, height: int, look: Look, *, legend: bool = True) -> Cells:
    """Return `lines` painted on `width` × `height` cells; without `legend` as a panel of several."""
    cells = Cells(width, height, look)
    layout = layout_of(lines, width, height, look, legend)
    if layout is None:
        if any(abs(value) < ticks.LARGEST for value in lines.values):
            return cells.words("too small", "for lines")
        return cells.say_nothing(lines.title, lines.note if legend and lines.note else "nothing measured yet")
    cells.paste(_plot(replace(lines, chosen=None), width, height, look, legend, _order(lines)), 0, layout.frame.top)
    _draw_flags(cells, lines, layout)
    layout.frame.draw(cells, lines.title, _key(lines, width, look) if legend else "", note=lines.note)
    _draw_layers(cells, lines, layout)
    _draw_labels(cells, lines, layout)
    return cells


def _order(lines: Lines) -> tuple[int, ...]:
    """Return the groups in the order in which they are drawn, the chosen one last."""
    chosen = lines.chosen[0] if lines.chosen else None
    return tuple(sorted(range(len(lines.groups)), key=lambda g: (g == chosen, not lines.groups[g].control, -g)))


@lru_cache(maxsize=32)
def _plot(lines: Lines, width: int, height: int, look: Look, legend: bool, order: tuple[int, ...]) -> Cells:
    """Return the lines with their y axis. Kept, since going from layer to layer changes only which layer is chosen."""
    layout = layout_of(lines, width, height, look, legend)
    assert layout is not None
    dots = _Dots(layout)
    marks = [_mark(group, index, look) for index, group in enumerate(lines.groups)]
    pieces = [piece for index in order for piece in dots.runs(lines.groups[index], marks[index], look)]
    for index in order:
        group = lines.groups[index]
        path = [(layer, bar.mean) for layer, bar in enumerate(group.bars) if bar.mean is not None]
        pieces += dots.path(path, marks[index], lines.kinds.index(group.control))
    if lines.highlight is not None:
        group, run = lines.groups[lines.highlight[0]], lines.highlight[1]
        values = [(layer, bar.values[run]) for layer, bar in enumerate(group.bars) if run < len(bar.values)]
        glyph = marks[0].glyph if marks[0].glyph == "braille" else "*"
        pieces += dots.path([at for at in values if np.isfinite(at[1])], Mark(glyph, look.strong), 0)
    x = Axis((0.0, float(width - dots.left)), edges=True)
    if not layout.axis:
        return render(Chart(x, Axis((0.0, float(layout.rows)), edges=True), lines=pieces), width, layout.rows, look)
    axis = value_axis(layout.scale, layout.rows, dots.left, 0, look.secondary)
    return render(Chart(x, axis.axis, axis.blocks, pieces, axis.points), width, layout.rows, look)


def _mark(group: BarGroup, index: int, look: Look) -> Mark:
    return Mark(
        "braille" if look.colours and look.unicode else SIGNS[index % len(SIGNS)], Style(look.series(group.place))
    )


class _Dots:
    """Makes lines for plotext out of values: x in cells from column `left` on, y in rows from the bottom."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.left = max(layout.axis - 1, 0)

    def _at(self, layer: int, value: float) -> tuple[float, float]:
        """Return the middle of the dot of a value."""
        return self._layout.columns[layer] - self.left + 0.25, (self._layout.dot(value) + 0.5) / 4

    def runs(self, group: BarGroup, mark: Mark, look: Look) -> Iterator[Line]:
        """Yield each run of each layer as a dot; many runs as a bar from the lowest to the highest that counts."""
        if mark.glyph != "braille":
            mark = mark._replace(glyph="·" if look.unicode else ".")
        for layer, bar in enumerate(group.bars):
            if len(bar.values) > MOST_RUNS_SHOWN and len(counted := bar.counted):
                ends = [self._at(layer, float(edge)) for edge in (counted.min(), counted.max())]
                yield [x for x, _ in ends], [y for _, y in ends], mark
                continue
            for value in bar.values:
                if abs(value) < ticks.LARGEST:
                    x, y = self._at(layer, value)
                    yield [x], [y], mark

    def path(self, values: Sequence[tuple[int, float]], mark: Mark, kind: int) -> Iterator[Line]:
        """Yield the line through (layer, value), broken where a layer is missing; the second `kind` is dashed."""
        for index, (layer, value) in enumerate(values):
            x, y = self._at(layer, value)
            if not index or values[index - 1][0] != layer - 1:
                yield [x], [y], mark
                continue
            before = self._at(*values[index - 1])
            for start, end in _strokes(2 * (x - before[0]), 4 * (y - before[1]), kind):
                places = [
                    (before[0] + (x - before[0]) * share, before[1] + (y - before[1]) * share) for share in (start, end)
                ]
                yield [place[0] for place in places], [place[1] for place in places], mark


def _strokes(across: float, up: float, kind: int) -> Iterator[tuple[float, float]]:
    """Yield the parts (0 … 1) of a piece of so many dots that are drawn: all, or dashes with half of one at an end."""
    if not kind:
        yield 0.0, 1.0
        return
    count = max(round(max(abs(across), abs(up)) / _PERIOD), 1)
    half = (_DASHES[(kind - 1) % len(_DASHES)] - 1) / _PERIOD / 2
    for number in range(count + 1):
        yield max((number - half) / count, 0.0), min((number + half) / count, 1.0)


def _draw_flags(cells: Cells, lines: Lines, layout: Layout) -> None:
    """Mark the values of runs that enter no mean."""
    for group in lines.groups:
        for layer, bar in enumerate(group.bars):
            for value, flag in zip(bar.values, bar.flagged, strict=False):
                if flag and abs(value) < ticks.LARGEST:
                    cells.put(
                        layout.columns[layer], layout.row_of(value), "!", Style(cells.look.alarm, bold=True), width=1
                    )


def _key(lines: Lines, width: int, look: Look) -> str:
    """Return the y axis' name and how trained networks and controls are drawn, as much as fits beside the title."""
    signs = (f"{_KINDS[index % len(_KINDS)]} {kind or 'trained'}" for index, kind in enumerate(lines.kinds))
    kinds = "  ".join(signs) if len(lines.kinds) > 1 else ""
    flagged = any(any(bar.flagged) for group in lines.groups for bar in group.bars)
    flag = "! degenerate, in no mean" if flagged else ""
    unit = "KL (nats)" if "KL" in lines.y_label else lines.y_label
    room = width - len(split_cells(lines.title, look.unicode)) - 3
    close = kinds.replace("  ", " ")
    named = f"KL: {close}" if "KL" in unit and close else close
    choices = ([unit, kinds, flag], *([[close, flag]] if flag else []), [unit, kinds], [named], [close])
    texts = (" · ".join(filter(None, parts)) for parts in choices)
    return next((text for text in texts if len(split_cells(text, look.unicode)) <= room), "")


def _runs_key(lines: Lines, width: int) -> str:
    """Return what the runs are drawn as and what stands behind a mean, in at most `width` cells."""
    runs = lines.runs
    what = "dots" if runs <= MOST_RUNS_SHOWN else "range"
    texts = (f"± sd of {runs} runs ({what})", f"{runs} runs ({what})", f"{what}: runs", "")
    return next(text for text in texts if len(text) <= width) if runs > 1 else ""


def _draw_layers(cells: Cells, lines: Lines, layout: Layout) -> None:
    """Write the names of the layers under the plot, the chosen one marked; where they would touch, not all."""
    row, look = layout.frame.rows.get("labels"), cells.look
    if row is None:
        return
    if len(lines.x_label) < layout.axis - 1:
        cells.muted(0, row, lines.x_label, width=layout.axis - 1, align=1.0)
    chosen = lines.chosen[1] if lines.chosen else None
    names = max((group.bars for group in lines.groups), key=len)
    slot = min((b - a for a, b in pairwise(layout.columns)), default=cells.width)
    used = -1
    for layer, column in enumerate(layout.columns):
        name = (
            names[layer].label
            if len(names[layer].label) < slot
            else {"input": "in"}.get(names[layer].label, names[layer].label)
        )
        text = (f"[{name}]" if not look.colours else f" {name} ") if layer == chosen else name
        start = max(min(column - (len(text) - 1) // 2, cells.width - len(text)), 0)
        if start <= used and layer != chosen:
            continue
        used = start + cells.put(start, row, text, look.selected if layer == chosen else look.text)
    if layout.labels:
        room = max(cells.width - max(layout.end + 1, used + 1), 0)
        cells.muted(cells.width - room, row, _runs_key(lines, room))


def _draw_labels(cells: Cells, lines: Lines, layout: Layout) -> None:
    """Write the texts at the lines' ends: their sign in the group's colour, the chosen group's marked."""
    look, chosen = cells.look, lines.chosen[0] if lines.chosen else None
    for label in layout.labels:
        row, group = layout.frame.top + label.row, lines.groups[label.group]
        sign = len(_sign(lines, group, label.group, look))
        column = layout.end + 1
        if label.group == chosen:
            cells.put(column - 1, row, "▸", look.strong, width=1)
        style = look.strong if label.group == chosen else look.text
        cells.put(column, row, label.text, style)
        cells.put(column, row, label.text[:sign], Style(look.series(group.place), bold=True))
    if layout.without and layout.labels:
        more = f"+{layout.without} more"
        short = len(more) > cells.width - layout.end - 1
        cells.muted(layout.end + 1, layout.frame.bottom - 1, f"+{layout.without}" if short else more)


def line_at(
    lines: Lines, width: int, height: int, column: int, row: int, look: Look, legend: bool = True
) -> tuple[int, int] | None:
    """Return the (group, layer) whose mean is nearest to a cell of the drawing, by layer first; None beside the plot.

    On a label at a line's end: its group's last layer.
    """
    layout = layout_of(lines, width, height, look, legend)
    if layout is None:
        return None
    if column >= layout.end:
        found = [label.group for label in layout.labels if layout.frame.top + label.row == row]
        return next(((group, layer) for group, layer in lines.ends if group in found), None)
    if not layout.frame.top <= row <= layout.frame.rows.get("labels", layout.frame.bottom - 1) or column < layout.axis:
        return None
    layer = min(range(len(layout.columns)), key=lambda layer: abs(layout.columns[layer] - column))
    heights = [
        (abs(layout.row_of(mean) - row), index)
        for index, group in enumerate(lines.groups)
        if layer < len(group.bars) and (mean := group.bars[layer].mean) is not None
    ]
    return (min(heights)[1], layer) if heights else None


def legend_entries(lines: Lines, look: Look) -> list[Entry]:
    """Return the legend of panels of lines: the groups' names by colour, and how controls are drawn."""
    first: dict[str, tuple[int, BarGroup]] = {}
    for index, group in enumerate(lines.groups):
        first.setdefault(group.label, (index, group))
    # Without colours the signs of which the lines are made tell the groups apart.
    entries = [
        Entry(
            "━" if look.colours else SIGNS[index % len(SIGNS)],
            label,
            Style(look.series(group.place), bold=True),
            look.text,
        )
        for label, (index, group) in first.items()
    ]
    if len(lines.kinds) > 1:
        entries += [
            Entry(sign, kind or "trained", look.text, look.text)
            for sign, kind in zip(_KINDS, lines.kinds, strict=False)
        ]
    if lines.runs > 1:
        few = lines.runs <= MOST_RUNS_SHOWN
        entries.append(Entry("·" if few else "│", "each run" if few else "lowest to highest run", look.text, look.text))
    return entries
