"""A study's numbers as plain values and as data frames. Imports no torch."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass
from typing import Any

from embcx_tui.analysis.json_csv import TABLES, csv_table, measurements
from embcx_tui.store.library import find_study
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import Snapshot, StudyReader
from embcx_tui.study.errors import RequestError
from embcx_tui.study.plan import Network
from embcx_tui.study.text import safe_text

_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of one network, as it is measured."""

    dataset: str
    model: str
    """The model's name; of a network that was trained here, its activation function."""
    run: int
    control: str | None
    """None, "untrained" or "shuffled"."""
    layer: int
    """From 1; 0 is the input."""
    name: str
    kl: float | None
    """The embedding complexity: the exact KL divergence in nats. None where the layer is degenerate or has failed."""
    explained: float | None
    """1 - KL / what it would be at worst: 0 … 1."""
    points: int
    """Rows on which it was measured: scores of different numbers of points must not be compared."""
    units: int
    """Of the layer, pooled, before it was reduced."""
    pool: str
    metrics: dict[str, float | None]
    """knn, probe, separation, gdv, twonn, rank; None where one is not defined (docs/metrics.md)."""
    epoch: int | None = None
    """After which epoch; None: the newest."""
    error: str = ""
    """Why it could not be measured; empty where it could."""

    @property
    def knn(self) -> float | None:
        """The leave-one-out accuracy of the 10 nearest rows, 0 … 1; None without classes."""
        return self.metrics.get("knn")


class Study:
    """The numbers of a study, as they were when it was loaded or last refreshed.

    >>> study = embcx_tui.load("last")
    >>> [layer.kl for layer in study.layers]
    >>> study.frame("layers")                 # a pandas.DataFrame
    """

    def __init__(self, paths: StudyPaths) -> None:
        self._reader = StudyReader(paths)
        self._snapshot = self._reader.poll()

    @property
    def id(self) -> str:
        """Its id: `embcx-tui open ID` shows it."""
        return self._snapshot.id

    @property
    def name(self) -> str:
        return self._snapshot.name

    @property
    def state(self) -> str:
        """queued, running, stopped, complete, failed or lost."""
        return self._snapshot.state

    @property
    def reason(self) -> str:
        """Why its worker ended; empty where it runs or is complete."""
        return self._snapshot.ended.reason if self._snapshot.ended and self.state != "running" else ""

    @property
    def snapshot(self) -> Snapshot:
        """Everything that its journal says; it may change between versions."""
        return self._snapshot

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers of all its networks, in their order, with their newest scores."""
        found = [one for network in self._snapshot.plan.networks for one in self._of(network)]
        return tuple(one for one in found if one.points or one.error)

    @property
    def epochs(self) -> tuple[Layer, ...]:
        """The layers after every epoch that was measured, by network, epoch and layer."""
        found = []
        for network in self._snapshot.plan.networks:
            for layer, layer_id in enumerate(network.layer_ids()):
                found += [
                    (network, epoch, layer, measured)
                    for (name, epoch), measured in self._snapshot.earlier.items()
                    if name == layer_id
                ]
        order = {network.id: place for place, network in enumerate(self._snapshot.plan.networks)}
        found.sort(key=lambda one: (order[one[0].id], one[1], one[2]))
        return tuple(_layer(network, layer, measured, epoch) for network, epoch, layer, measured in found)

    def _of(self, network: Network) -> list[Layer]:
        return [
            _layer(network, layer, self._snapshot.layer(network, layer), None, self._failure(network, layer))
            for layer in network.layers
        ]

    def _failure(self, network: Network, layer: int) -> str:
        failed = self._snapshot.failed.get((network.layer_ids()[layer], "tsne"))
        return failed.reason if failed else ""

    def as_dict(self) -> dict[str, Any]:
        """Return all of its numbers, as `embcx-tui show --json` prints them: lists, dicts, numbers, text and None."""
        return measurements(self._snapshot)

    def frame(self, table: str = "layers") -> Any:
        """Return a table as a pandas.DataFrame, with the columns of `embcx-tui show --table`.

        table: layers, summary, trend, accuracy, epochs, layer-differences or control-differences. RequestError for
        another, and where pandas is not installed.
        """
        if table not in TABLES:
            raise RequestError(f"there is no table {safe_text(table, 40)!r}; there are {', '.join(TABLES)}")
        try:
            import pandas
        except ImportError:
            raise RequestError("data frames need pandas: pip install pandas; as_dict() needs nothing") from None
        return pandas.read_csv(io.StringIO(csv_table(self._snapshot, table)))

    def refresh(self) -> Study:
        """Read what is new; return itself."""
        self._snapshot = self._reader.poll()
        return self

    def wait(self, timeout_s: float | None = None) -> Study:
        """Wait until its worker has ended, or for so many seconds; return itself."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while self.refresh().state == "running" and (deadline is None or time.monotonic() < deadline):
            time.sleep(_POLL_S)
        return self

    def __repr__(self) -> str:
        head = f"study {self.id} {self.name!r}: {self.state}{': ' + self.reason if self.reason else ''}"
        return "\n".join([head, *layer_lines(self.layers)])


def _layer(network: Network, layer: int, measured: Any, epoch: int | None, error: str = "") -> Layer:
    return Layer(
        dataset=network.dataset,
        model=network.activation,
        run=network.run,
        control=network.control,
        layer=layer,
        name=(measured.name if measured else "") or network.layer_name(layer) or ("input" if layer == 0 else ""),
        kl=measured.kl if measured else None,
        explained=measured.explained if measured else None,
        points=measured.points if measured else 0,
        units=(measured.width or measured.units) if measured else 0,
        pool=measured.pool if measured else "",
        metrics=dict(measured.metrics) if measured else {},
        epoch=epoch,
        error=error,
    )


def layer_lines(layers: tuple[Layer, ...]) -> list[str]:
    """Return layers as the lines of a table: layer, units, KL, knn; a head, and a line per network of several."""
    networks = dict.fromkeys((one.model, one.run, one.control) for one in layers)
    rows = [("layer", "name", "units", "pool", "n", "KL", "knn", "")]
    for one in layers:
        whose = f"{one.model}, run {one.run}{', ' + one.control if one.control else ''}" if len(networks) > 1 else ""
        kl = "–" if one.kl is None else f"{one.kl:.4f}"
        knn = "–" if one.knn is None else f"{one.knn:.3f}"
        note = "; ".join(filter(None, (whose, one.error)))
        rows.append((str(one.layer), one.name, f"{one.units:,}", one.pool, f"{one.points:,}", kl, knn, note))
    widths = [max(len(row[column]) for row in rows) for column in range(8)]
    return [
        "  ".join(
            text.ljust(width) if column in (1, 3, 7) else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def load(study: str = "last") -> Study:
    """Return the numbers of a study: an id or its beginning, a name, or "last", the newest.

    Raises EmbcxError where there is no such study, or it cannot be read.
    """
    return Study(find_study(study))
