"""The numbers of one layer of one network, in words a person can check: what the score is and how it was made."""

from __future__ import annotations

import textwrap
from statistics import fmean, stdev
from typing import ClassVar

from textual.binding import BindingType

from embcx_tui.figures.terminal import Row
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study import ids
from embcx_tui.study.events import LayerMeasured
from embcx_tui.study.plan import Network
from embcx_tui.study.text import safe_text
from embcx_tui.tui import keys
from embcx_tui.tui.layers_words import layer_words, method_words, trouble_words, waiting_words
from embcx_tui.tui.painted import Ink, fit, fit_right, span
from embcx_tui.tui.scrolled import Scrolled

_NAME_WIDTH = 12
# What the metrics of a layer and of its plane are called here; docs/metrics.md says what they are.
_NAMES = {
    "knn": "k-NN acc.",
    "probe": "linear acc.",
    "separation": "fuzziness",
    "gdv": "GDV",
    "twonn": "dimension",
    "rank": "eff. rank",
    "trustworthiness": "trustworthy",
    "continuity": "continuous",
    "knn_2d": "k-NN acc.",
}
_HEAD_ROWS = 2


class Numbers(Scrolled):
    """Shows the numbers of `layer` of `network`, or nothing before there is a network; what is too long scrolls."""

    # Not the arrows: up and down walk the tree, whatever panel has the focus.
    BINDINGS: ClassVar[list[BindingType]] = [
        keys.hidden("pageup", "page(-1)"),
        keys.hidden("pagedown", "page(1)"),
        keys.hidden("home", "edge(False)"),
        keys.hidden("end", "edge(True)"),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._shown: tuple[Snapshot, Network, int, str] | None = None
        self._lines: tuple[Row, ...] = ()

    def show(self, snapshot: Snapshot | None, network: Network | None, layer: int, method: str = "tsne") -> None:
        self._shown = (snapshot, network, layer, method) if snapshot and network else None
        self.repaint()

    @property
    def line_count(self) -> int:
        return max(len(self._lines) - _HEAD_ROWS, 0)

    @property
    def head_height(self) -> int:
        return _HEAD_ROWS

    def head(self, width: int, ink: Ink) -> tuple[Row, ...]:
        return self._lines[:_HEAD_ROWS]

    def line(self, number: int, width: int, ink: Ink) -> Row:
        return self._lines[_HEAD_ROWS + number]

    def paint(self, width: int, height: int, ink: Ink) -> tuple[Row, ...]:
        if self._shown is None:
            self._lines = ()
            return ()
        self._lines = _rows(*self._shown, width, ink)
        if self.line_count > self.body_height:
            # One column for the bar that says how much there is below.
            self._lines = _rows(*self._shown, width - 2, ink)
        return super().paint(width, height, ink)


def _rows(snapshot: Snapshot, network: Network, layer: int, method: str, width: int, ink: Ink) -> tuple[Row, ...]:
    state = snapshot.networks[network.id]
    measured = snapshot.layer(network, layer)
    untrained = f" {network.control}" if network.control else ""
    rows: list[Row] = [
        (span(fit(f"{network.activation}{untrained}, run {network.run}", width), bold=True),),
        (span(layer_words(network, layer), ink.muted),),
    ]

    def add(name: str, value: str, *, bold: bool = False, warn: bool = False) -> None:
        # A value that is too long takes room from its name's end.
        name_width = min(_NAME_WIDTH, max(width - len(value) - 1, 6))
        rows.append(
            (
                span(fit(name, name_width), ink.muted),
                span(fit_right(value, max(width - name_width, 1)), ink.warning if warn else None, bold=bold),
            )
        )

    trouble = trouble_words(snapshot, network, layer)
    if measured is None:
        rows.extend((span(line, ink.warning),) for line in _wrap(trouble or waiting_words(snapshot, network), width))
        add("test acc.", _share(state.test_accuracy))
        return tuple(rows)
    add("KL", "none" if measured.kl is None else f"{measured.kl:.4f}", bold=True)
    known = over_runs(snapshot, network, layer)
    if len(known) > 1:
        add(f"{len(known)} runs", f"{fmean(known):.3f} ± {stdev(known):.3f}")
    if trouble:
        rows.extend((span(line, ink.warning),) for line in _wrap(trouble, width))
    if measured.explained is not None:
        add("explained", f"{100 * measured.explained:.1f} %")
    add("test acc.", _share(state.test_accuracy))
    add("converged", "yes" if measured.converged else "no", warn=not measured.converged)
    add("iterations", f"{measured.iterations:,}")
    add("perplexity", f"{measured.perplexity:g}")
    add("points", f"{measured.points:,}")
    add("units", f"{measured.units:,}")
    add("engine", measured.engine)
    add("seed", _short(measured.seed))
    if len(measured.restart_kls) > 1:
        add("restarts", _spread(measured))
    if measured.gradient_norm is not None:
        add("gradient", f"{measured.gradient_norm:.1e}")

    def section(heading: str, values: dict[str, float | None]) -> None:
        if values:
            rows.extend([(), (span(fit(heading, width), ink.muted, bold=True),)])
        for name, value in values.items():
            add(_NAMES.get(name, safe_text(name, _NAME_WIDTH - 1)), "–" if value is None else f"{value:.3f}")

    section("the layer itself", measured.metrics)
    placed = measured if method == "tsne" else snapshot.layer(network, layer, method)
    if placed:
        section(f"its plane by {method_words(method)}", placed.quality)
    return tuple(rows)


def over_runs(snapshot: Snapshot, network: Network, layer: int) -> list[float]:
    """Return the sound scores of the same layer over the runs of the same architecture that did not diverge."""
    known: list[float] = []
    for run in range(snapshot.plan.settings.networks.runs):
        same = ids.network_id(network.dataset, network.depth, network.activation, run, network.control)
        if same in snapshot.diverged:  # left out whole, as everywhere: its run's input is measured all the same
            continue
        layer_id = ids.layer_id(same, layer) if layer else ids.input_id(network.dataset, run)
        measured = snapshot.measured.get((layer_id, "tsne"))
        if measured and measured.kl is not None and not measured.degenerate:
            known.append(measured.kl)
    return known


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _short(seed: int) -> str:
    """Return a seed, its middle left out where it is a long one."""
    text = str(seed)
    return text if len(text) <= 10 else f"{text[:4]}…{text[-4:]}"


def _spread(measured: LayerMeasured) -> str:
    known = [kl for kl in measured.restart_kls if kl is not None]
    return f"{len(measured.restart_kls)}, ± {(max(known) - min(known)) / 2:.4f}" if known else "none"


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(width, 8))
