"""The networks of a study, one per line: settings, epoch, loss, accuracies and status."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from embcx_tui.figures.palette import Rgb
from embcx_tui.figures.spans import Row, Span
from embcx_tui.store.snapshot import NetworkState, Snapshot, Status
from embcx_tui.study.naming import dataset_title
from embcx_tui.study.plan import Network
from embcx_tui.study.settings import HELD_OUT
from embcx_tui.study.text import safe_text
from embcx_tui.tui.study_row import AT_CHANCE_SIGN, STATUS_SIGNS
from embcx_tui.tui.widgets.line_widget import Ink
from embcx_tui.tui.widgets.table import Column, Table, fit_columns

NOT_KNOWN = "–"
_LONGEST_DATASET = 14
# A table this wide has two blanks between columns.
_ROOMY = 91

# What needs a look comes first; networks of one rank keep the plan's order.
_ATTENTION: dict[Status, int] = {"diverged": 0, "failed": 1, "stopped": 3}
_AT_CHANCE, _NO_ATTENTION = 2, 4

Order = Literal["attention", "plan", "loss", "test", "last KL"]
ORDERS: tuple[Order, ...] = ("attention", "plan", "loss", "test", "last KL")
# The column of each sort order, and the marker in its title.
_SORTED_BY: dict[Order, str] = {"attention": "status", "plan": "run", "loss": "loss", "test": "test", "last KL": "KL"}
_SORTED = "▾"


def attention(state: NetworkState) -> int:
    """Return a network's need of attention: 0 diverged, 1 failed, 2 at chance, 3 stopped, 4 none."""
    return _ATTENTION.get(state.status, _AT_CHANCE if state.at_chance else _NO_ATTENTION)


def ordered(snapshot: Snapshot, order: Order) -> tuple[NetworkState, ...]:
    """Return the networks of a study in an order: the worst first, those without the value last."""
    states = tuple(snapshot.networks.values())
    if order == "plan":
        return states
    if order == "attention":
        return tuple(sorted(states, key=attention))

    def worst_first(state: NetworkState) -> tuple[bool, float]:
        last = snapshot.layer(state.network, state.network.depth)
        value = {"loss": state.loss, "test": state.test_accuracy}.get(order, last.kl if last else None)
        return value is None, (value or 0.0) if order == "test" else -(value or 0.0)

    return tuple(sorted(states, key=worst_first))


class NetworksTable(Table[NetworkState]):
    """Shows the networks of a snapshot; one is under the pointer, any number can be marked."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._snapshot: Snapshot | None = None
        self._touched = False
        self.order: Order = "attention"
        self.marked: frozenset[str] = frozenset()
        """Ids of the marked networks."""
        self.words = ""
        """Only networks that hold each of these are shown."""

    def show(self, snapshot: Snapshot | None) -> None:
        """Show `snapshot`; pointer and marks stay while it is the same study."""
        if snapshot is None or self._snapshot is None or snapshot.id != self._snapshot.id:
            self.pointer, self._touched, self.marked, self.top, self.words = 0, False, frozenset(), 0, ""
        self._snapshot = snapshot
        self._sort()

    def _sort(self) -> None:
        """Put the networks in order; the pointer stays on its network once the user has moved it."""
        states = ordered(self._snapshot, self.order) if self._snapshot else ()
        words = self.words.casefold().split()
        if words:
            states = tuple(state for state in states if all(word in _words(state) for word in words))
        self.set_items(states, follow=self._touched)

    def filter(self, words: str) -> None:
        """Show only networks that hold each of `words`, as the log and the table write them: relu d5 r1 trained."""
        if words != self.words:
            self.words, self.top = words, 0
            self._sort()

    def next_order(self) -> Order:
        """Change to the next order, scroll to its beginning, and return it."""
        self.order = ORDERS[(ORDERS.index(self.order) + 1) % len(ORDERS)]
        self.top = 0
        self._sort()
        return self.order

    @property
    def chosen(self) -> str | None:
        """The id of the network that the user has moved the pointer to; None before."""
        return self.current.network.id if self._touched and self.current else None

    def as_text(self) -> str:
        """Return the marked networks, else all, as lines with tabs: for a spreadsheet."""
        names = ("dataset", "depth", "activation", "run", "control", "epoch", "loss", "train", "test", "status")
        lines = ["\t".join(names)]
        for state in self.items:
            network = state.network
            if not self.marked or network.id in self.marked:
                values = (network.dataset, network.depth, network.activation, network.run, network.control)
                numbers = (state.epochs, state.loss, state.train_accuracy, state.test_accuracy, state.status)
                lines.append("\t".join("" if value is None else safe_text(value) for value in (*values, *numbers)))
        return "\n".join(lines)

    # Pointer and marks

    def go_to(self, index: int) -> None:
        self._touched = bool(self.items)
        super().go_to(index)

    def mark(self) -> None:
        """Mark the network under the pointer, or take its mark away, and go on to the next."""
        if self.current:
            self.marked = self.marked ^ {self.current.network.id}
            self.go_to(self.pointer + 1)

    def clear_marks(self) -> None:
        self.marked, self._touched = frozenset(), False
        self.repaint()
        self.post_message(self.Chosen())

    # Painting

    def head(self, width: int, ink: Ink) -> tuple[Row, ...]:
        if self.words and not self.items:
            return ((Span(f"no network has “{self.words}” in its name, control or status", ink.warning),),)
        return super().head(width, ink)

    def identity(self, item: NetworkState) -> str:
        return item.network.id

    def has_pointer(self, index: int) -> bool:
        return super().has_pointer(index) and (self.has_focus or self._touched)

    def lead(self, item: NetworkState | None, here: bool, ink: Ink) -> Row:
        marked = item is not None and item.network.id in self.marked
        sign = Span("◆" if marked else "▸", ink.accent, bold=True) if marked or here else Span(" ")
        return sign, Span(" " * self.gap)

    def line_style(self, item: NetworkState, here: bool, ink: Ink) -> Span:
        ground = ink.cursor if here and self.has_focus else None
        return Span("", None if _is_trained(item) else ink.muted, ground, bold=item.network.id in self.marked)

    def title(self, column: Column[NetworkState]) -> str:
        # In a narrow column the sign stands against the title: "▾loss".
        return f"{_SORTED if column.title == _SORTED_BY.get(self.order) else ''}{column.title}"

    def fit_columns(self, width: int) -> tuple[Column[NetworkState], ...]:
        self.gap = 2 if width >= _ROOMY else 1
        return fit_columns(self._all_columns(), width, self.gap, lead=1 + self.gap)

    def _all_columns(self) -> list[Column[NetworkState]]:
        networks = [state.network for state in self.items]
        longest = max((len(dataset_title(name)) for name in {network.dataset for network in networks}), default=7)
        snapshot, epochs = self._snapshot, self._snapshot.plan.settings.training.epochs if self._snapshot else 0

        def epoch(state: NetworkState, width: int, ink: Ink) -> Row:
            return (Span(f"{state.epochs}/{epochs}" if _is_trained(state) else NOT_KNOWN),)

        def last_kl(state: NetworkState, width: int, ink: Ink) -> Row:
            layer = snapshot.layer(state.network, state.network.depth) if snapshot else None
            return _number(layer.kl if layer else None, width)

        columns: list[Column[NetworkState]] = [
            Column("dataset", min(max(longest, 7), _LONGEST_DATASET), _dataset, drop=2),
            Column("depth", 5, lambda state, width, ink: (Span(str(state.network.depth)),), right=True, drop=4),
            Column(*_series(snapshot, networks), lambda state, width, ink: (Span(state.network.activation),)),
            Column("run", 4, lambda state, width, ink: (Span(str(state.network.run)),), right=True),
            Column("control", 9, lambda state, width, ink: (Span(state.network.control or ""),), drop=5),
            Column("epoch", max(len(f"{epochs}/{epochs}"), 5), epoch, right=True),
            Column("KL", 5, last_kl, right=True),
            Column("loss", 6, lambda state, width, ink: _number(state.loss, width), right=True, drop=3),
            Column("train", 5, lambda state, width, ink: _number(state.train_accuracy, width), right=True, drop=1),
            Column("test", 5, lambda state, width, ink: _number(state.test_accuracy, width), right=True, drop=6),
            Column("status", 11, _status, stretches=True),
        ]
        # A column in which all lines are the same says nothing.
        empty = {
            "control": not any(network.control for network in networks),
            "dataset": len({network.dataset for network in networks}) < 2,
        }
        if snapshot and snapshot.plan.is_measured:  # nothing is trained
            empty |= dict.fromkeys(("epoch", "loss", "train", "test"), True)
        return [column for column in columns if not empty.get(column.title)]


def _words(state: NetworkState) -> str:
    """Return all by which a network is found: its id as in the log, and what the table says of it."""
    network = state.network
    parts = (network.id, dataset_title(network.dataset), network.control or "", state.flaw or "", state.status)
    run = f"r{network.run} run {network.run} d{network.depth} depth {network.depth} {network.activation}"
    return " ".join((*parts, run)).casefold()


def _series(snapshot: Snapshot | None, networks: Sequence[Network]) -> tuple[str, int]:
    """Return the title and the width of the column of activation functions, or of models."""
    if snapshot is None or not snapshot.plan.is_measured:
        return "activation", 10
    longest = max((len(network.activation) for network in networks), default=5)
    return "model", min(max(longest, 5), _LONGEST_DATASET)


def _is_trained(state: NetworkState) -> bool:
    return state.network.control not in ("untrained", HELD_OUT)


def _dataset(state: NetworkState, width: int, ink: Ink) -> Row:
    return (Span(dataset_title(state.network.dataset)),)


def _status(state: NetworkState, width: int, ink: Ink) -> Row:
    return (Span(status_words(state, width), status_colour(state, ink)),)


def status_words(state: NetworkState, width: int) -> str:
    """Return a network's status with its sign: `◐ 2/5 done` while its layers are measured."""
    layers = len(state.network.layers)
    if state.at_chance and state.status in ("trained", "measured"):
        words = f"{AT_CHANCE_SIGN} {state.flaw or 'at chance'}"
        return words if len(words) <= width else f"{AT_CHANCE_SIGN} at chance"
    if state.status in ("trained", "received"):
        return f"{STATUS_SIGNS[state.status]} {min(state.layers_measured, layers)}/{layers} done"
    return f"{STATUS_SIGNS[state.status]} {state.status}"


def status_colour(state: NetworkState, ink: Ink) -> Rgb:
    if state.at_chance and state.status in ("trained", "measured"):
        return ink.warning
    colours: dict[Status, Rgb] = {
        "queued": ink.muted,
        "training": ink.accent,
        "stopped": ink.muted,
        "trained": ink.accent,
        "received": ink.accent,
        "measured": ink.success,
        "diverged": ink.error,
        "failed": ink.error,
    }
    return colours[state.status]


def _number(value: float | None, width: int) -> Row:
    if value is None:
        return (Span(NOT_KNOWN),)
    text = f"{value:.{width - 2}f}"
    return (Span(text if len(text) <= width else f"{value:.{width - 1}g}"[:width]),)
