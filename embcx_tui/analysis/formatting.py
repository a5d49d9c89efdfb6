"""How numbers, times and statistics are written: the same in the commands, in the report and on the screens."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # numpy and pydantic come with these: not before the first frame
    from embcx_tui.analysis.trend import Trend
    from embcx_tui.store.snapshot import Snapshot
    from embcx_tui.study.events import LayerMeasured

MINUTE, HOUR, DAY = 60, 3_600, 86_400
# A worker that has written nothing for this long is called quiet: an epoch or a layer seldom takes longer.
QUIET_S = 180.0


def now() -> float:
    """Return seconds since 1970; here only, so that a test can stop the clock."""
    return time.time()


def duration(seconds: float) -> str:
    """Return a length of time in at most 6 characters: `40 s`, `3 min`, `2 h`, `5 d`."""
    if seconds < 0.95 * MINUTE:
        return f"{max(seconds, 1):.0f} s"
    if seconds < 0.95 * HOUR:
        return f"{seconds / MINUTE:.0f} min"
    if seconds < 2 * DAY:
        return f"{seconds / HOUR:.0f} h"
    return f"{seconds / DAY:.0f} d"


def long_duration(seconds: float) -> str:
    """Return a length of time to the minute: `45 s`, `12 min`, `3 h 05 min`."""
    if seconds < 1.5 * MINUTE:
        return f"{seconds:.0f} s"
    minutes = round(seconds / MINUTE)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def left(seconds: float, told: float, at: float) -> str:
    """Return the time left at `at`, of which `seconds` were left when the worker last wrote, at `told`.

    It counts down between two lines of the journal; after `QUIET_S` without a line nothing is known.
    """
    silence = max(at - told, 0.0)
    if silence > QUIET_S:
        return f"no news for {duration(silence)}"
    remaining = seconds - silence
    return f"{duration(remaining)} left" if remaining > 0 else "less than a second left"


def size(count: float) -> str:
    """Return a number of bytes in at most 6 characters: `31 MB`, `1.2 GB`; 1 MB is 10⁶ bytes."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= 0.9995 * unit:
            scaled = count / unit
            return f"{scaled:.1f} {name}" if scaled < 9.95 else f"{scaled:.0f} {name}"
    return f"{count:.0f} B"


def ordinal(place: int) -> str:
    """Return a place in the queue: `next`, `2nd`, `3rd`, `11th`."""
    if place == 1:
        return "next"
    ending = "th" if place % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    return f"{place}{ending}"


def ago(then: float, at: float) -> str:
    """Return how long before `at` the time `then` was: `now`, `3 min ago`, `2 d ago`."""
    return "now" if at - then < 5 else f"{duration(at - then)} ago"


def short_path(path: Path) -> str:
    """Return `path` with the user's home as `~`."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def several(count: int, thing: str) -> str:
    """Return `1 network`, `1,200 networks`; `thing` is the singular, and its plural ends in s."""
    return f"{count:,} {thing}" + ("" if count == 1 else "s")


def missing_numbers(snapshot: Snapshot) -> tuple[str, ...]:
    """Return why scores are missing from a study: `2 networks diverged`, `1 layer could not be measured`."""
    diverged = (f"{several(len(snapshot.diverged), 'network')} diverged",) if snapshot.diverged else ()
    return diverged + unscored_layers(snapshot)


def unscored_layers(snapshot: Snapshot) -> tuple[str, ...]:
    """Return how many layers have no score because t-SNE failed on them; nothing where there are none."""
    from embcx_tui.study.settings import SCORE_METHOD

    failed = sum(method == SCORE_METHOD for _, method in snapshot.failed)
    return (f"{several(failed, 'layer')} could not be measured",) if failed else ()


def missing_pictures(snapshot: Snapshot) -> tuple[str, ...]:
    """Return which methods beside the score have failed, and on how many layers: `Isomap failed on 2 layers`."""
    from embcx_tui.study.naming import method_name
    from embcx_tui.study.settings import SCORE_METHOD

    counts = Counter(method for _, method in snapshot.failed if method != SCORE_METHOD)
    return tuple(f"{method_name(method)} failed on {several(count, 'layer')}" for method, count in counts.items())


def progress_line(fraction: float, width: int) -> tuple[str, str]:
    """Return the done part and the rest of a progress line of `width` cells; heavy and thin, so it needs no colour."""
    halves = round(min(max(fraction, 0.0), 1.0) * width * 2)
    # A beginning is visible, and the line is full only when everything is done.
    halves = min(max(halves, 1 if fraction > 0 else 0), 2 * width - (fraction < 1))
    done = "━" * (halves // 2) + "╸" * (halves % 2)
    return done, "─" * (width - len(done))


def width_words(measured: LayerMeasured) -> str:
    """Return the units of a layer with how it was pooled, and what it was reduced to: `100,352 flatten → 999`."""
    width = measured.width or measured.units
    pool = f" {measured.pool}" if measured.pool else ""
    return f"{width:,}{pool}" + (f" → {measured.units:,}" if width != measured.units else "")


def percent(fraction: float) -> str:
    """Return `62%`; `100%` only where everything is done."""
    return f"{min(int(fraction * 100), 99) if fraction < 1 else 100}%"


def p_words(value: float | None) -> str:
    """Return a p-value in three decimals, `< 0.001` below; a dash where there is none."""
    return "–" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def interval_words(low: float | None, high: float | None, decimals: int = 3) -> str:
    """Return an interval as `0.71 … 0.93`; a dash where there is none."""
    return "–" if low is None or high is None else f"{signed(low, decimals)} … {signed(high, decimals)}"


def signed(value: float | None, decimals: int = 2, *, plus: bool = False) -> str:
    """Return a number with a true minus sign (`plus`: always with a sign); a dash where there is none."""
    text = "–" if value is None else f"{value:+.{decimals}f}" if plus else f"{value:.{decimals}f}"
    return text.replace("-", "−")


def effect_words(trend: Trend) -> str:
    """Return the effect of a trend, −1.000 … +1.000."""
    return signed(trend.effect, 3, plus=True)


def runs_words(count: int | None, trend: Trend) -> str:
    """Return how many of a trend's runs do something, `5 of 5`; a dash where that is not known."""
    return "–" if count is None else f"{count} of {len(trend.runs)}"


def break_words(trend: Trend) -> str:
    """Return the first layer that breaks the trend: `layer 3`, `none`, or a dash where no run is complete."""
    return "–" if not trend.runs else "none" if trend.first_break is None else f"layer {trend.first_break}"
