"""The machine a study trains on: GPU and host load with their history."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.cells import cell_len
from textual.content import Content

from embcx_tui.analysis import formatting
from embcx_tui.figures.cells import Row
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.store.telemetry import Telemetry
from embcx_tui.study.text import safe_text
from embcx_tui.tui.live.throughput import pace, pace_words
from embcx_tui.tui.widgets.line_widget import Ink, LineWidget, span

_EIGHTHS = "▁▂▃▄▅▆▇█"
_GIB = 1 << 30
_NAME_WIDTH = 9
_VALUE_WIDTH = 16
# From this width on a history stands beside its value, not below.
_WIDE = 56
# Narrower than this a history says nothing.
_LEAST_HISTORY = 8
_HISTORY_S = 600.0

Reading = Callable[[Telemetry], float | None]


class MachinePanel(LineWidget, can_focus=True):
    """Shows the newest telemetry sample and the history before it."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._snapshot: Snapshot | None = None
        self._telemetry: tuple[Telemetry, ...] = ()

    def show(self, snapshot: Snapshot | None, telemetry: tuple[Telemetry, ...]) -> None:
        # Ten minutes by the clock: before an interruption another time counts.
        since = telemetry[-1].at - _HISTORY_S if telemetry else 0.0
        self._snapshot, self._telemetry = snapshot, tuple(one for one in telemetry if one.at >= since)
        self.repaint()

    def paint(self, width: int, height: int, ink: Ink) -> tuple[Row, ...]:
        snapshot = self._snapshot
        if snapshot is None:
            return ()
        speed = " · ".join(pace_words(pace(snapshot)))
        told: tuple[Row, ...] = ((span(f"{'speed':<{_NAME_WIDTH}}", ink.muted), span(speed)),) if speed else ()
        machine = safe_text(snapshot.machine.device, 80) if snapshot.machine else "the machine is not known yet"
        if not self._telemetry:
            words = "no load recorded yet" if snapshot.state == "running" else "no load recorded"
            return (*_heading("Machine", f"  {machine}", width, ink), *told, (span(words, ink.muted),))
        now = self._telemetry[-1]
        name = safe_text(now.gpu_name, 60) if now.gpu_name else machine
        host = "  no GPU: host load" if not now.gpu_name and snapshot.state == "running" else ""
        rows = [*_heading(name, host, width, ink), *told]
        readings = 6 if now.gpu_name else 2
        drawer = _Drawer(self._telemetry, width, ink, tall=width < _WIDE and height > len(rows) + 2 * readings)
        if now.gpu_name:
            rows += [
                *drawer.rows("GPU", _percent(now.gpu_percent), lambda one: one.gpu_percent, 100),
                *drawer.rows(
                    "memory",
                    _memory(now.gpu_memory_used, now.gpu_memory_total),
                    lambda one: one.gpu_memory_used,
                    now.gpu_memory_total,
                ),
                *drawer.rows("heat", _with_unit(now.gpu_temperature, "°C"), lambda one: one.gpu_temperature, 100),
                *drawer.rows("power", _with_unit(now.gpu_power, "W"), lambda one: one.gpu_power, None),
            ]
        rows += [
            *drawer.rows("host CPU", _percent(now.cpu_percent), lambda one: one.cpu_percent, 100),
            *drawer.rows(
                "host mem", _memory(now.memory_used, now.memory_total), lambda one: one.memory_used, now.memory_total
            ),
        ]
        length = formatting.duration(max(now.at - self._telemetry[0].at, 1))
        ended = f"{length} until {formatting.ago(now.at, formatting.now())}"
        words = f"history: {f'the last {length}' if snapshot.state == 'running' else ended}"
        rows.append((span(words, ink.muted),))
        return tuple(rows)


def _heading(name: str, said: str, width: int, ink: Ink) -> tuple[Row, ...]:
    """Return the machine's name and what is said of it: beside it where both fit, else below; no word is cut."""
    lines = [str(line).rstrip() for line in Content(name).wrap(width)]
    rows: list[Row] = [(span(line, bold=True),) for line in lines]
    if cell_len(lines[-1]) + cell_len(said) <= width:
        return (*rows[:-1], (*rows[-1], span(said, ink.muted)))
    return (*rows, *((span(str(line).rstrip(), ink.muted),) for line in Content(said.strip()).wrap(width)))


class _Drawer:
    """Draws one reading: name, value now, and its history beside it, or below it where the panel is `tall`."""

    def __init__(self, telemetry: Sequence[Telemetry], width: int, ink: Ink, *, tall: bool) -> None:
        self._telemetry = telemetry
        self._width = width
        self._ink = ink
        self._tall = tall

    def rows(self, name: str, value: str, reading: Reading, top: float | None) -> tuple[Row, ...]:
        ink = self._ink
        before = _NAME_WIDTH + _VALUE_WIDTH
        head: Row = (span(f"{name:<{_NAME_WIDTH}}", ink.muted), span(f"{value:>{_VALUE_WIDTH}}"))
        if self._tall:
            head = (span(name, ink.muted), span(f"{value:>{max(self._width - len(name), 1)}}"))
            return head, (span(history(self._telemetry, reading, top, self._width), ink.accent),)
        if self._width - before - 2 < _LEAST_HISTORY:
            return (head,)
        return (
            (*head, span("  "), span(history(self._telemetry, reading, top, self._width - before - 2), ink.accent)),
        )


def history(telemetry: Sequence[Telemetry], reading: Reading, top: float | None, width: int) -> str:
    """Return `reading` over time in `width` cells of eighths, newest right; `top` None: the largest seen.

    Each cell shows the mean of its share of the samples; a cell without any stays empty.
    """
    values = [reading(one) for one in telemetry]
    highest = top or max((value for value in values if value is not None), default=0.0) or 1.0
    # As many samples a cell as it takes to show all: a fixed number, so that old cells keep their height.
    each = max(-(-len(values) // width), 1)
    values = values[len(values) % each :] if len(values) > width else values
    cells = []
    for start in range(0, len(values), each):
        known = [value for value in values[start : start + each] if value is not None]
        if not known:
            cells.append(" ")
            continue
        share = min(max(sum(known) / len(known) / highest, 0.0), 1.0)
        cells.append(_EIGHTHS[min(int(share * len(_EIGHTHS)), len(_EIGHTHS) - 1)])
    return "".join(cells[-width:]).rjust(width)


def _percent(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.0f} %"


def _with_unit(value: float | None, unit: str) -> str:
    return "unknown" if value is None else f"{value:.0f} {unit}"


def _memory(used: int | None, total: int | None) -> str:
    if used is None or not total:
        return "unknown"
    return f"{used / _GIB:.1f} of {total / _GIB:.0f} GiB"
