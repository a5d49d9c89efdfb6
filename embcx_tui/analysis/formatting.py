"""How numbers, times and statistics are written, the same in the commands, the report and on the screens."""

from __future__ import annotations

import time
from pathlib import Path

from textual.content import Content

from embcx_tui.analysis.statistics import Trend

MINUTE, HOUR, DAY = 60, 3_600, 86_400
# A worker that writes nothing for so long is said to be quiet: an epoch or a layer seldom takes longer.
QUIET_S = 180.0


def now() -> float:
    """Return seconds since 1970; in one place, so that a test can stop the clock."""
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


def left(seconds: float, told: float, at: float) -> str:
    """Return what is left at `at` of `seconds` that were left when the worker last wrote, at `told`.

    It runs down between two lines of the worker; once these stop coming nothing is known of it any more.
    """
    silence = max(at - told, 0.0)
    if silence > QUIET_S:
        return f"no news for {duration(silence)}"
    remaining = seconds - silence
    return f"{duration(remaining)} left" if remaining > 0 else "due now"


def ago(then: float, at: float) -> str:
    """Return how long before `at` something was: `now`, `3 min ago`, `2 d ago`."""
    return "now" if at - then < 5 else f"{duration(at - then)} ago"


def short_path(path: Path) -> str:
    """Return `path` with the user's home as `~`."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def several(count: int, thing: str) -> str:
    """Return `1 network`, `1,200 networks`; `thing` in the singular, its plural with an s."""
    return f"{count:,} {thing}" + ("" if count == 1 else "s")


def line_bar(fraction: float, width: int, colour: str = "$text-accent") -> Content:
    """Return a progress line of `width` cells: heavy for what is done, thin for the rest: no colour needed."""
    halves = round(min(max(fraction, 0.0), 1.0) * width * 2)
    # What has begun is seen, and only what is done looks done.
    halves = min(max(halves, 1 if fraction > 0 else 0), 2 * width - (fraction < 1))
    done = "━" * (halves // 2) + "╸" * (halves % 2)
    return Content.assemble((done, colour), ("─" * (width - len(done)), "$bar-rest"))


def percent(fraction: float) -> str:
    """Return `62%`; 100 only for what is wholly done."""
    return f"{min(int(fraction * 100), 99) if fraction < 1 else 100}%"


def p_words(value: float | None) -> str:
    """Return a p-value with three decimals, below 0.001 with its power of ten; a dash where there is none."""
    return "–" if value is None else f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"


def signed(value: float | None, decimals: int = 2, *, plus: bool = False) -> str:
    """Return a number with a true minus sign (`plus`: a sign in any case); a dash where there is none."""
    text = "–" if value is None else f"{value:+.{decimals}f}" if plus else f"{value:.{decimals}f}"
    return text.replace("-", "−")


def effect_words(one: Trend) -> str:
    """Return the effect of a trend, −1.000 … +1.000."""
    return signed(one.effect, 3, plus=True)


def break_words(one: Trend) -> str:
    """Return the first layer that breaks the trend: `layer 3`, `none`, a dash where no run is whole."""
    return "–" if not one.runs else "none" if one.first_break is None else f"layer {one.first_break}"
