"""The machine a study trains on: GPU and host load with their history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from rich.cells import cell_len
from textual.content import Content

from embcx_tui.analysis import formatting
from embcx_tui.figures.palette import Rgb
from embcx_tui.figures.spans import Row
from embcx_tui.store.machine_records import Telemetry
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.text import safe_text
from embcx_tui.tui.live.header import throughput
from embcx_tui.tui.widgets.line_widget import Ink, LineWidget, fit_row, span

_EIGHTHS = "▁▂▃▄▅▆▇█"
_GIB = 1 << 30
_MIB_PER_GIB = 1 << 10
_NAME_WIDTH = 9
_VALUE_WIDTH = 18
# In panels this wide a history stands beside its value, else below it.
_WIDE = 60
# A narrower history would say nothing.
_LEAST_HISTORY = 8
_HISTORY_S = 600.0
# An area is as high as there is room for, at most so many rows; from the second number on it has a line at its middle.
_MOST_AREA, _LEAST_LINED = 8, 4
# One of several GPUs takes so many columns: "▸12 100 % ████████ 139/139 GiB".
_GPU_WIDTH, _GPU_BAR = 31, 8
# Above the first it is worth a look, above the second it is bad: a card throttles at some 90 °C, and full memory ends
# a study.
_WARM_C, _HOT_C = 80.0, 90.0
_TIGHT, _FULL = 0.90, 0.97

WAITING = "waiting for the worker …"
_UNKNOWN = "n/a"

Reading = Callable[[Telemetry], float | None]


class MachinePanel(LineWidget, can_focus=True):
    """Shows the newest telemetry sample and the history before it."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._snapshot: Snapshot | None = None
        self._telemetry: tuple[Telemetry, ...] = ()

    def show(self, snapshot: Snapshot | None, telemetry: tuple[Telemetry, ...]) -> None:
        # Ten minutes by the clock, so that an interrupted study does not show its load of days ago.
        since = telemetry[-1].at - _HISTORY_S if telemetry else 0.0
        self._snapshot, self._telemetry = snapshot, tuple(sample for sample in telemetry if sample.at >= since)
        self.repaint()

    def paint(self, width: int, height: int, ink: Ink) -> tuple[Row, ...]:
        snapshot = self._snapshot
        if snapshot is None:
            return ()
        speed = " · ".join(throughput(snapshot))
        speed_rows: tuple[Row, ...] = ((span(f"{'speed':<{_NAME_WIDTH}}", ink.muted), span(speed)),) if speed else ()
        machine = safe_text(snapshot.machine.device, 80) if snapshot.machine else WAITING
        if not self._telemetry:
            words = WAITING if snapshot.state == "running" else "no load recorded"
            return (*_heading("Machine", f"  {machine}", width, ink), *speed_rows, (span(words, ink.muted),))
        now = self._telemetry[-1]
        name = safe_text(now.gpu_name, 60) if now.gpu_name else machine
        rows = [*_heading(name, _place(now, snapshot.state == "running"), width, ink), *speed_rows]
        others = _others(now, width, ink)
        length = formatting.duration(max(now.at - self._telemetry[0].at, 1))
        ended = f"{length} until {formatting.ago(now.at, formatting.now())}"
        words = f"history: {f'the last {length}' if snapshot.state == 'running' else ended}"
        rows += self._charts(_readings(now), width, height - len(rows) - len(others) - 1, ink)
        return (*rows, *others, (span(words, ink.muted),))

    def _charts(self, readings: Sequence[_Line], width: int, height: int, ink: Ink) -> list[Row]:
        """Return the lines of readings with their history, as high as `height` has room for."""
        drawn = sum(one.known for one in readings)
        plain = len(readings) - drawn
        # Beside its value a history takes rows from the value's own on, below it one more.
        beside = width >= _WIDE or height < len(readings) + drawn
        each = (height - plain) // max(drawn, 1) - (not beside)
        area_rows = min(max(each, 1), _MOST_AREA)
        rows: list[Row] = []
        for one in readings:
            colour = {0: None, 1: ink.warning, 2: ink.error}[one.level]
            value = f"{'! ' if one.level else ''}{one.value}"
            room = width - _NAME_WIDTH - _VALUE_WIDTH - 2 if beside else width
            if beside:
                head: Row = (span(f"{one.label:<{_NAME_WIDTH}}", ink.muted), span(f"{value:>{_VALUE_WIDTH}}", colour))
            else:
                head = (span(one.label, ink.muted), span(f"{value:>{max(width - len(one.label), 1)}}", colour))
            if not one.known or room < _LEAST_HISTORY:
                rows.append(head)
                continue
            chart = area(self._telemetry, one.reading, one.top, room, area_rows, ink, colour)
            blank = span(" " * (_NAME_WIDTH + _VALUE_WIDTH))
            if not beside:
                rows += [head, *chart]
            else:
                rows += [(*(head if row == 0 else (blank,)), span("  "), *line) for row, line in enumerate(chart)]
        return rows


def _heading(name: str, remark: str, width: int, ink: Ink) -> tuple[Row, ...]:
    """Return the machine's name with a remark beside it, or below it where both do not fit; no word is cut."""
    lines = [str(line).rstrip() for line in Content(name).wrap(width)]
    rows: list[Row] = [(span(line, bold=True),) for line in lines]
    if cell_len(lines[-1]) + cell_len(remark) <= width:
        return (*rows[:-1], (*rows[-1], span(remark, ink.muted)))
    return (*rows, *((span(str(line).rstrip(), ink.muted),) for line in Content(remark.strip()).wrap(width)))


def _place(now: Telemetry, running: bool) -> str:
    """Return the remark beside the machine's name: which GPU of several it is, or that there is none."""
    if not now.gpu_name:
        return "  no GPU: host load" if running else ""
    if now.gpu_index is None or now.gpu_count is None or now.gpu_count < 2:
        return ""
    return f"  GPU {now.gpu_index + 1} of {now.gpu_count} (nvidia-smi's {now.gpu_index})"


@dataclass(frozen=True, slots=True)
class _Line:
    """One reading: label and value in words, top of its scale (None: the largest seen), how bad it is (0 … 2)."""

    label: str
    value: str
    reading: Reading
    top: float | None = None
    level: int = 0
    known: bool = True


def _readings(now: Telemetry) -> list[_Line]:
    """Return the readings of the newest sample; what is not known has no history."""
    hot = now.gpu_temperature
    gpu = [
        _Line("GPU", _with_unit(now.gpu_percent, "%"), lambda sample: sample.gpu_percent, 100),
        _Line(
            "memory",
            _memory(now.gpu_memory_used, now.gpu_memory_total),
            lambda sample: sample.gpu_memory_used,
            now.gpu_memory_total,
            _level(_share(now.gpu_memory_used, now.gpu_memory_total), _TIGHT, _FULL),
        ),
        _Line("temp", _with_unit(hot, "°C"), lambda sample: sample.gpu_temperature, 100, _level(hot, _WARM_C, _HOT_C)),
        _Line("power", _with_unit(now.gpu_power, "W"), lambda sample: sample.gpu_power),
    ]
    memory = _memory(now.memory_used, now.memory_total)
    tight = _level(_share(now.memory_used, now.memory_total), _TIGHT, _FULL)
    lines = [
        *(gpu if now.gpu_name else ()),
        _Line("host CPU", _with_unit(now.cpu_percent, "%"), lambda sample: sample.cpu_percent, 100),
        _Line("host mem", memory, lambda sample: sample.memory_used, now.memory_total, tight),
    ]
    return [replace(line, known=line.value != _UNKNOWN) for line in lines]


def _share(used: int | None, total: int | None) -> float | None:
    return used / total if used is not None and total else None


def _level(value: float | None, high: float, highest: float) -> int:
    """Return how bad a value is: 0 not, 1 above `high`, 2 above `highest`."""
    return 0 if value is None else (value >= high) + (value >= highest)


def _others(now: Telemetry, width: int, ink: Ink) -> tuple[Row, ...]:
    """Return the hands of the study, a row each, else all GPUs of the machine, several in a row; nothing where there
    is one.
    """
    if now.hands:
        return _hands(now, width, ink)
    if len(now.gpus) < 2:
        return ()
    cells: list[Row] = []
    for index, percent, used, total in now.gpus:
        mine = index == now.gpu_index
        load = "n/a" if percent is None else f"{percent} %"
        full = round(_GPU_BAR * min(max(percent or 0, 0), 100) / 100)
        memory = f"{used / _MIB_PER_GIB:.0f}/{total / _MIB_PER_GIB:.0f} GiB" if used is not None and total else "n/a"
        level = _level(_share(used, total), _TIGHT, _FULL)
        cells.append(
            (
                span(f"{'▸' if mine else ' '}{index:<2}", ink.accent if mine else ink.muted, bold=mine),
                span(f"{load:>6} "),
                span("█" * full, ink.accent),
                span("░" * (_GPU_BAR - full), ink.muted),
                span(f" {'!' if level else ''}{memory}", {0: None, 1: ink.warning, 2: ink.error}[level]),
            )
        )
    across = max(width // _GPU_WIDTH, 1)
    lines = (cells[start : start + across] for start in range(0, len(cells), across))
    rows = (tuple(piece for cell in line for piece in fit_row(cell, min(_GPU_WIDTH, width))) for line in lines)
    return ((span("all GPUs", ink.muted),), *rows)


def _hands(now: Telemetry, width: int, ink: Ink) -> tuple[Row, ...]:
    """Return a row per hand: its number, the load and memory of its GPU, or of its process, and what it computes."""
    rows: list[Row] = [(span("hand    load           memory", ink.muted),)]
    for number, part, cpu, resident, gpu, gpu_percent, used, total in now.hands:
        percent = cpu if gpu is None and used is None else gpu_percent
        load = _UNKNOWN if percent is None else f"{percent:.0f} %"
        full = round(_GPU_BAR * min(max(percent or 0, 0), 100) / 100)
        memory = _UNKNOWN if resident is None else f"{resident / _MIB_PER_GIB:.1f} GiB"
        if used is not None and total:
            memory = f"{used / _MIB_PER_GIB:.0f}/{total / _MIB_PER_GIB:.0f} GiB"
        level = _level(_share(used, total), _TIGHT, _FULL)
        place = "" if gpu is None else f"GPU {gpu}, "
        row: Row = (
            span(f"{number:<3}", ink.accent if part else ink.muted, bold=bool(part)),
            span(f"{load:>6} "),
            span("█" * full, ink.accent),
            span("░" * (_GPU_BAR - full), ink.muted),
            span(f" {'!' * bool(level) + memory:<11}", {0: None, 1: ink.warning, 2: ink.error}[level]),
            span(f" {place}{safe_text(part, 100) or 'no part'}", ink.muted),
        )
        rows.append(fit_row(row, width))
    return tuple(rows)


def area(
    telemetry: Sequence[Telemetry],
    reading: Reading,
    top: float | None,
    width: int,
    rows: int,
    ink: Ink,
    colour: Rgb | None = None,
) -> list[Row]:
    """Return `reading` over time as an area of `width` × `rows` cells, in eighths of a row, newest right."""
    shares = _shares(telemetry, reading, top, width)
    middle = rows // 2 if rows >= _LEAST_LINED else None
    lines: list[Row] = []
    for row in range(rows):
        filled = []
        for share in shares:
            eighths = -1 if share is None else max(round(share * rows * 8), 1) - 8 * (rows - 1 - row)
            filled.append(_EIGHTHS[min(eighths, 8) - 1] if eighths > 0 else "┈" if row == middle else " ")
        line: Row = ()
        for kind, cells in groupby(filled, lambda cell: cell in " ┈"):
            line = (*line, span("".join(cells), ink.faint if kind else colour or ink.accent))
        lines.append(line)
    return lines


def _shares(telemetry: Sequence[Telemetry], reading: Reading, top: float | None, width: int) -> list[float | None]:
    """Return `reading` as shares of `top` (None: the largest seen) in `width` columns, newest last; None: no sample.

    Each column has the mean of its share of the samples.
    """
    values = [reading(sample) for sample in telemetry]
    highest = top or max((value for value in values if value is not None), default=0.0) or 1.0
    # All columns have the same number of samples, the least that shows them all: older ones keep their height.
    each = max(-(-len(values) // width), 1)
    values = values[len(values) % each :] if len(values) > width else values
    shares: list[float | None] = []
    for start in range(0, len(values), each):
        seen = [value for value in values[start : start + each] if value is not None]
        shares.append(min(max(sum(seen) / len(seen) / highest, 0.0), 1.0) if seen else None)
    shares = shares[-width:]
    return [None] * (width - len(shares)) + shares


def history(telemetry: Sequence[Telemetry], reading: Reading, top: float | None, width: int) -> str:
    """Return `reading` over time in `width` cells of eighths, newest right; `top` None: the largest seen."""
    last = len(_EIGHTHS) - 1
    shares = _shares(telemetry, reading, top, width)
    return "".join(" " if share is None else _EIGHTHS[min(int(share * len(_EIGHTHS)), last)] for share in shares)


def _with_unit(value: float | None, unit: str) -> str:
    return _UNKNOWN if value is None else f"{value:.0f} {unit}"


def _memory(used: int | None, total: int | None) -> str:
    if used is None or not total:
        return _UNKNOWN
    return f"{used / _GIB:.1f} of {total / _GIB:.0f} GiB"
