"""How numbers of the statistics are written, the same in the report and on the screens."""

from __future__ import annotations

from embcx_tui.analysis.statistics import Trend


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
