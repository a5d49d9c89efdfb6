"""The numbers of one layer of one network, in words a person can check: what the score is and how it was made."""

from __future__ import annotations

import textwrap
from statistics import fmean, stdev

from embcx_tui.figures.terminal import Row
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study import ids
from embcx_tui.study.events import LayerMeasured
from embcx_tui.study.plan import Network
from embcx_tui.tui.layers_words import layer_words, trouble_words, waiting_words
from embcx_tui.tui.painted import Ink, Painted, fit_right, span

_NAME_WIDTH = 11


class Numbers(Painted, can_focus=True):
    """Shows the numbers of `layer` of `network`, or nothing before there is a network."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._snapshot: Snapshot | None = None
        self._network: Network | None = None
        self._layer = 0

    def show(self, snapshot: Snapshot | None, network: Network | None, layer: int) -> None:
        self._snapshot, self._network, self._layer = snapshot, network, layer
        self.repaint()

    def paint(self, width: int, height: int, ink: Ink) -> tuple[Row, ...]:
        if self._snapshot is None or self._network is None:
            return ()
        return _rows(self._snapshot, self._network, self._layer, width, ink)


def _rows(snapshot: Snapshot, network: Network, layer: int, width: int, ink: Ink) -> tuple[Row, ...]:
    state = snapshot.networks[network.id]
    measured = snapshot.layer(network, layer)
    untrained = f" {network.control}" if network.control else ""
    rows: list[Row] = [
        (span(f"{network.activation}{untrained}, run {network.run}", bold=True),),
        (span(layer_words(network, layer), ink.muted),),
    ]

    def add(name: str, value: str, *, bold: bool = False, warn: bool = False) -> None:
        rows.append(
            (
                span(f"{name:<{_NAME_WIDTH}}", ink.muted),
                span(fit_right(value, max(width - _NAME_WIDTH, 1)), ink.warning if warn else None, bold=bold),
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
    return tuple(rows)


def over_runs(snapshot: Snapshot, network: Network, layer: int) -> list[float]:
    """Return the sound scores of the same layer over the runs of the same architecture."""
    known: list[float] = []
    for run in range(snapshot.plan.settings.networks.runs):
        same = ids.network_id(network.dataset, network.depth, network.activation, run, network.control)
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
