"""The numbers of one layer of one network: its score, the statistics over runs, and how it was measured."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from textual.message import Message

from embcx_tui.analysis.formatting import (
    break_words,
    effect_words,
    interval_words,
    p_words,
    signed,
)
from embcx_tui.analysis.selection import Selection, select, start_spread
from embcx_tui.analysis.trend import Trend
from embcx_tui.figures.palette import ink_on
from embcx_tui.figures.spans import Row, Span
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.events import LayerMeasured
from embcx_tui.study.naming import method_name
from embcx_tui.study.plan import Network
from embcx_tui.study.settings import SCORE_METHOD
from embcx_tui.study.text import safe_text
from embcx_tui.tui.layers.explanations import explanation
from embcx_tui.tui.layers.statistics_cache import RunStatistics
from embcx_tui.tui.layers.wording import (
    layer_words,
    runs_words,
    state_words,
    trouble_words,
    waiting_words,
)
from embcx_tui.tui.widgets.line_widget import Ink, fit, fit_right, span
from embcx_tui.tui.widgets.scroll_list import ScrollList

_NAME_WIDTH = 16
# Short names of the metrics of a layer and of its plane, which docs/metrics.md describes.
METRIC_LABELS = {
    "knn": "k-NN acc.",
    "probe": "linear acc.",
    "separation": "separation",
    "gdv": "GDV",
    "twonn": "dimension",
    "rank": "eff. rank",
    "trustworthiness": "trustworthiness",
    "continuity": "continuity",
    "knn_2d": "k-NN acc.",
}
_HEAD_ROWS = 2
# From this height on, the trend test is shown in full, with the way the layer was measured below it.
_TALL = 18
_COUNTING = "…"


@dataclass(frozen=True)
class LayerNumbers:
    """The layer whose numbers are shown; `statistics` over runs is None until they are computed."""

    snapshot: Snapshot
    network: Network
    layer: int
    method: str = SCORE_METHOD
    exclude_chance: bool = False
    statistics: RunStatistics | None = None


class NumbersPanel(ScrollList):
    """Shows the numbers of one layer, or nothing while there is no network; it scrolls where room is short."""

    class Explains(Message):
        """The cursor came to a number, or left the panel: `sentence` says what it is."""

        def __init__(self, sentence: str) -> None:
            self.sentence = sentence
            super().__init__()

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.pointer = 0
        """The line of the cursor, which is seen while the panel has the focus."""
        self._shown: LayerNumbers | None = None
        self._lines: tuple[Row, ...] = ()

    def show(self, shown: LayerNumbers | None) -> None:
        self._shown = shown
        self.repaint()
        if self.has_focus:
            self._explain()

    def action_move(self, by: int) -> None:
        """Move the cursor to the next line that says something."""
        full = [number for number in range(self.line_count) if self._lines[_HEAD_ROWS + number]]
        if not full:
            return
        at = min(range(len(full)), key=lambda index: abs(full[index] - self.pointer))
        self.pointer = full[min(max(at + by, 0), len(full) - 1)]
        self.scroll_lines(max(min(self.top, self.pointer), self.pointer - self.body_height + 1))
        self._explain()

    def _explain(self) -> None:
        row = self._lines[_HEAD_ROWS + self.pointer] if self.pointer < self.line_count else ()
        self.post_message(self.Explains(explanation(row[0].text) if row else ""))

    def on_focus(self) -> None:
        super().on_focus()
        self._explain()

    def on_blur(self) -> None:
        super().on_blur()
        self.post_message(self.Explains(""))

    @property
    def line_count(self) -> int:
        return max(len(self._lines) - _HEAD_ROWS, 0)

    @property
    def head_height(self) -> int:
        return _HEAD_ROWS

    def head(self, width: int, ink: Ink) -> tuple[Row, ...]:
        return self._lines[:_HEAD_ROWS]

    def line(self, number: int, width: int, ink: Ink) -> Row:
        row = self._lines[_HEAD_ROWS + number]
        if number != self.pointer or not self.has_focus or not row:
            return row
        return tuple(Span(one.text, ink_on(ink.cursor), ink.cursor, bold=True) for one in row)

    def paint(self, width: int, height: int, ink: Ink) -> tuple[Row, ...]:
        if self._shown is None:
            self._lines = ()
            return ()
        self._lines = _Page(self._shown, width, height, ink).lines()
        if self.line_count > self.body_height:
            # One column for the scroll bar, and a gap before it.
            self._lines = _Page(self._shown, width - 2, height, ink).lines()
        return super().paint(width, height, ink)


class _Page:
    """The lines of the panel at one size."""

    def __init__(self, shown: LayerNumbers, width: int, height: int, ink: Ink) -> None:
        self._shown, self._width, self._ink = shown, width, ink
        self._tall = height >= _TALL
        self._rows: list[Row] = []

    def lines(self) -> tuple[Row, ...]:
        shown, network = self._shown, self._shown.network
        state = shown.snapshot.networks[network.id]
        control = f" {network.control}" if network.control else ""
        self._rows = [
            (span(fit(f"{network.activation}{control}, run {network.run}", self._width), bold=True),),
            (span(layer_words(network, shown.layer), self._ink.muted),),
        ]
        selection = select(shown.snapshot, shown.exclude_chance)
        measured = shown.snapshot.layer(network, shown.layer)
        trouble = trouble_words(shown.snapshot, network, shown.layer)
        if measured or network.id not in selection.diverged:  # otherwise `trouble` says it
            self._warn(state_words(selection, network))
        if measured is None:
            self._warn(trouble or waiting_words(shown.snapshot, network))
        else:
            self._add("KL", "none" if measured.kl is None else f"{measured.kl:.4f}", bold=True)
            self._width_and_pool(measured)
        self._over_runs(selection)
        self._warn(trouble if measured else "")
        if not self._tall:
            self._trend(short=True)
        if measured and measured.explained is not None:
            self._add("explained", f"{100 * measured.explained:.1f} %")
        accuracies = (("train acc.", state.train_accuracy), ("test acc.", state.test_accuracy))
        for name, accuracy in () if shown.snapshot.plan.is_measured else accuracies:
            self._add(name, "–" if accuracy is None else f"{accuracy:.4f}")
        if self._tall:
            self._differences()
            self._trend(short=False)
        if measured and self._tall:
            self._metrics(measured)
            self._heading("how it was measured")
            self._how(measured)
        elif measured:
            self._how(measured)
            self._metrics(measured)
        return tuple(self._rows)

    def _add(self, name: str, value: str, *, bold: bool = False, warn: bool = False) -> None:
        # A long value takes room from the end of its name.
        name_width = min(_NAME_WIDTH, max(self._width - len(value) - 1, 6))
        text = fit_right(value, max(self._width - name_width, 1))
        self._rows.append(
            (span(fit(name, name_width), self._ink.muted), span(text, self._ink.warning if warn else None, bold=bold))
        )

    def _width_and_pool(self, measured: LayerMeasured) -> None:
        """Show how wide a layer of a measured study is and how it was pooled, without which its KL says little."""
        if measured.pool:
            self._add("units", f"{measured.width or measured.units:,}")
            self._add("pooling", measured.pool)
            if measured.width > measured.units:
                self._add("reduced to", f"{measured.units:,}")

    def _warn(self, words: str) -> None:
        self._rows.extend((span(line, self._ink.warning),) for line in _wrap(words, self._width))

    def _heading(self, words: str) -> None:
        self._rows.extend([(), (span(fit(words, self._width), self._ink.muted, bold=True),)])

    def _over_runs(self, selection: Selection) -> None:
        """Show mean, standard deviation and interval of the layer over the runs that count."""
        shown = self._shown
        networks = selection.architectures()[shown.network.architecture]
        key = shown.network.architecture, shown.layer
        summary = shown.statistics.layers.get(key) if shown.statistics else None
        if summary and summary.kl_mean is not None and summary.kl_sd is not None and len(networks) > 1:
            name = f"{summary.n} runs" if summary.n == len(networks) else f"{summary.n}/{len(networks)} runs"
            self._add(name, f"{summary.kl_mean:.3f} ± {summary.kl_sd:.3f}")
            if interval := summary.kl_interval:
                self._add("95 % CI", f"{interval[0]:.3f} … {interval[1]:.3f}")
        elif shown.statistics is None and len(networks) > 1:
            self._add(f"{len(networks)} runs", _COUNTING)
            self._add("95 % CI", _COUNTING)
        for words in runs_words(selection, networks) if len(networks) > 1 else ():
            self._warn(words)

    def _differences(self) -> None:
        """Show how the layer differs, within runs, from the layer before and from the network's controls."""
        shown = self._shown
        key = shown.network.architecture, shown.layer
        found = shown.statistics.differences.get(key, ()) if shown.statistics else ()
        if found:
            self._heading("KL less that of, by run")
        for name, one in found:
            self._add(name, signed(one.difference, 3, plus=True))
            if one.ci_low is not None:
                self._add("  95 % CI", interval_words(one.ci_low, one.ci_high))

    def _trend(self, *, short: bool) -> None:
        """Show whether the runs of this architecture fall from layer to layer, or why that is not known."""
        shown = self._shown
        trend = shown.statistics.trends.get(shown.network.architecture) if shown.statistics else None
        if shown.statistics and trend is None:
            return
        if not short:
            self._heading("falling with depth?")
        if trend is None:
            for name in _SHORT_TREND if short else TREND_NUMBERS:
                self._add(name, _COUNTING)
        elif trend.reason:
            self._warn(f"no trend test: {trend.reason}")
            self._add("first rise at", break_words(trend))
        else:
            for name in _SHORT_TREND if short else TREND_NUMBERS:
                self._add(name, TREND_NUMBERS[name](trend))

    def _how(self, measured: LayerMeasured) -> None:
        self._add("converged", "yes" if measured.converged else "no", warn=not measured.converged)
        self._add("iterations", f"{measured.iterations:,}")
        self._add("perplexity", f"{measured.perplexity:g}")
        self._add("points", f"{measured.points:,}")
        if not measured.pool:
            self._add("units", f"{measured.units:,}")
        self._add("engine", measured.engine)
        self._add("seed", _short(measured.seed))
        if (spread := start_spread(measured)) is not None:
            self._add("starts", f"{measured.starts}, spread {spread:.1%}")
        if len(measured.restart_kls) > 1:
            self._add("restarts", _spread(measured))
        if measured.gradient_norm is not None:
            self._add("gradient", f"{measured.gradient_norm:.1e}")

    def _metrics(self, measured: LayerMeasured) -> None:
        shown = self._shown
        self._section("the layer itself", measured.metrics)
        method = shown.method
        placed = measured if method == SCORE_METHOD else shown.snapshot.layer(shown.network, shown.layer, method)
        if placed:
            self._section(f"its {method_name(method)} map", placed.quality)

    def _section(self, heading: str, values: Mapping[str, float | None]) -> None:
        if values:
            self._heading(heading)
        for name, value in values.items():
            self._add(METRIC_LABELS.get(name, safe_text(name, _NAME_WIDTH - 1)), signed(value, 3))


def _rises(trend: Trend) -> bool:
    return trend.effect is not None and trend.effect < 0


def _runs(trend: Trend) -> str:
    """Return how many runs go the way the effect says, and how many lack a layer where some do."""
    count = trend.runs_rising if _rises(trend) else trend.runs_falling
    without = f", {len(trend.runs_left_out)} left out" if trend.runs_left_out else ""
    return f"{count} of {len(trend.runs)} {'rise' if _rises(trend) else 'fall'}{without}"


# What is said of a trend, by its name in the panel. The sign test is that of the direction of the effect.
TREND_NUMBERS: dict[str, Callable[[Trend], str]] = {
    "per layer": lambda trend: signed(trend.slope, 3, plus=True),
    "slope CI": lambda trend: interval_words(trend.slope_ci_low, trend.slope_ci_high),
    "runs": _runs,
    "p, sign test": lambda trend: p_words(trend.sign_p_increase if _rises(trend) else trend.sign_p),
    "mean rank corr.": effect_words,
    "first rise at": break_words,
    "p, Page": lambda trend: p_words(trend.p_increase if _rises(trend) else trend.p_value),
}
_SHORT_TREND = ("per layer", "runs", "first rise at")


def _short(seed: int) -> str:
    """Return a seed; the middle of a long one is left out."""
    text = str(seed)
    return text if len(text) <= 10 else f"{text[:4]}…{text[-4:]}"


def _spread(measured: LayerMeasured) -> str:
    kls = [kl for kl in measured.restart_kls if kl is not None]
    return f"{len(measured.restart_kls)}, ± {(max(kls) - min(kls)) / 2:.4f}" if kls else "none"


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(width, 8))
