"""The machine a study trains on: GPU and host load with their history."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.cells import cell_len
from textual.content import Content

from embcx_tui.analysis import formatting
from embcx_tui.figures.spans import Row
from embcx_tui.store.machine_records import Telemetry
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.text import safe_text
from embcx_tui.tui.live.header import throughput
from embcx_tui.tui.widgets.line_widget import Ink, LineWidget, span

_EIGHTHS = "▁▂▃▄▅▆▇█"
_GIB = 1 << 30
_NAME_WIDTH = 9
_VALUE_WIDTH = 16
# In panels this wide a history stands beside its value, else below it.
_WIDE = 56
# A narrower history would say nothing.
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
        machine = safe_text(snapshot.machine.device, 80) if snapshot.machine else "the machine is not known yet"
        if not self._telemetry:
            words = "no load recorded yet" if snapshot.state == "running" else "no load recorded"
            return (*_heading("Machine", f"  {machine}", width, ink), *speed_rows, (span(words, ink.muted),))
        now = self._telemetry[-1]
        name = safe_text(now.gpu_name, 60) if now.gpu_name else machine
        rows = [*_heading(name, _place(now, snapshot.state == "running"), width, ink), *speed_rows]
        readings = _readings(now)
        tall = width < _WIDE and height > len(rows) + 2 * len(readings)
        for label, value, reading, top in readings:
            room = width if tall else width - _NAME_WIDTH - _VALUE_WIDTH - 2
            drawn = history(self._telemetry, reading, top, room) if room >= _LEAST_HISTORY else ""
            if tall:
                rows.append((span(label, ink.muted), span(f"{value:>{max(width - len(label), 1)}}")))
                rows.append((span(drawn, ink.accent),))
            else:
                row: Row = (span(f"{label:<{_NAME_WIDTH}}", ink.muted), span(f"{value:>{_VALUE_WIDTH}}"))
                rows.append((*row, span("  "), span(drawn, ink.accent)) if drawn else row)
        length = formatting.duration(max(now.at - self._telemetry[0].at, 1))
        ended = f"{length} until {formatting.ago(now.at, formatting.now())}"
        words = f"history: {f'the last {length}' if snapshot.state == 'running' else ended}"
        rows.append((span(words, ink.muted),))
        return tuple(rows)


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


def _readings(now: Telemetry) -> list[tuple[str, str, Reading, float | None]]:
    """Return the label, the value, the reading and the top of the scale of each line (None: the largest reading)."""
    gpu: list[tuple[str, str, Reading, float | None]] = [
        ("GPU", _with_unit(now.gpu_percent, "%"), lambda sample: sample.gpu_percent, 100),
        (
            "memory",
            _memory(now.gpu_memory_used, now.gpu_memory_total),
            lambda sample: sample.gpu_memory_used,
            now.gpu_memory_total,
        ),
        ("heat", _with_unit(now.gpu_temperature, "°C"), lambda sample: sample.gpu_temperature, 100),
        ("power", _with_unit(now.gpu_power, "W"), lambda sample: sample.gpu_power, None),
    ]
    memory = _memory(now.memory_used, now.memory_total)
    return [
        *(gpu if now.gpu_name else ()),
        ("host CPU", _with_unit(now.cpu_percent, "%"), lambda sample: sample.cpu_percent, 100),
        ("host mem", memory, lambda sample: sample.memory_used, now.memory_total),
    ]


def history(telemetry: Sequence[Telemetry], reading: Reading, top: float | None, width: int) -> str:
    """Return `reading` over time in `width` cells of eighths, newest right; `top` None: the largest seen.

    Each cell shows the mean of its share of the samples; a cell without any stays empty.
    """
    values = [reading(sample) for sample in telemetry]
    highest = top or max((value for value in values if value is not None), default=0.0) or 1.0
    # All cells have the same number of samples, the least that shows them all: older cells keep their height.
    each = max(-(-len(values) // width), 1)
    values = values[len(values) % each :] if len(values) > width else values
    cells = []
    for start in range(0, len(values), each):
        seen = [value for value in values[start : start + each] if value is not None]
        if not seen:
            cells.append(" ")
            continue
        share = min(max(sum(seen) / len(seen) / highest, 0.0), 1.0)
        cells.append(_EIGHTHS[min(int(share * len(_EIGHTHS)), len(_EIGHTHS) - 1)])
    return "".join(cells[-width:]).rjust(width)


def _with_unit(value: float | None, unit: str) -> str:
    return "n/a" if value is None else f"{value:.0f} {unit}"


def _memory(used: int | None, total: int | None) -> str:
    if used is None or not total:
        return "n/a"
    return f"{used / _GIB:.1f} of {total / _GIB:.0f} GiB"
