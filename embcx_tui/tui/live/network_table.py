"""The networks of a study, one per line: settings, epoch, loss, accuracies and status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from rich.cells import cell_len
from textual.events import Click
from textual.message import Message

from embcx_tui.figures.cells import Row
from embcx_tui.figures.palette import Rgb
from embcx_tui.store.snapshot import NetworkState, Snapshot, Status
from embcx_tui.study.naming import dataset_title
from embcx_tui.study.text import safe_text
from embcx_tui.tui.study_row import AT_CHANCE_SIGN, DIVERGED_SIGN
from embcx_tui.tui.widgets.line_widget import Ink, fit, fit_right, span
from embcx_tui.tui.widgets.scroll_list import ScrollList

# Said by sign and by word: never by colour alone.
STATUS_SIGNS: dict[Status, str] = {
    "queued": "·",
    "training": "◌",
    "stopped": "■",
    "trained": "◐",
    "measured": "●",
    "diverged": DIVERGED_SIGN,
    "failed": "!",
}
NOT_KNOWN = "–"
_LONGEST_DATASET = 14
_STATUS_WIDTH = 11
# From this width on two blanks stand between columns.
_ROOMY = 92
# From this one on what was found stands beside how it was trained.
_WIDE = 100
# What goes first where there is no room for all.
_LEAST_NEEDED = ("train", "dataset", "loss", "depth", "control", "test")


# What needs a look stands first: the others keep the plan's order.
_ATTENTION: dict[Status, int] = {"diverged": 0, "failed": 1, "stopped": 3}
_AT_CHANCE, _NO_ATTENTION = 2, 4

Order = Literal["attention", "plan", "loss", "test", "last KL"]
ORDERS: tuple[Order, ...] = ("attention", "plan", "loss", "test", "last KL")
# The column that an order goes by, and the sign in its title.
_SORTED_BY: dict[Order, str] = {"attention": "status", "loss": "loss", "test": "test", "last KL": "last KL"}
_SORTED = "▾"


def attention(state: NetworkState) -> int:
    """Return a network's need of attention: 0 diverged, 1 failed, 2 at chance, 3 stopped, 4 none."""
    return _ATTENTION.get(state.status, _AT_CHANCE if state.at_chance else _NO_ATTENTION)


def ordered(snapshot: Snapshot, order: Order) -> tuple[NetworkState, ...]:
    """Return the networks of a study, those first that `order` asks for; what is not known stands last."""
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


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    width: int
    right: bool = False


class NetworksTable(ScrollList):
    """Shows the networks of a snapshot; one is under the cursor, any number can be marked."""

    class Chosen(Message):
        """The cursor moved or the marks changed."""

    ALLOW_SELECT: ClassVar[bool] = False

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._snapshot: Snapshot | None = None
        self._states: tuple[NetworkState, ...] = ()
        self._cursor = 0
        self._touched = False
        self._laid_out: tuple[int, tuple[_Column, ...]] | None = None
        self.order: Order = "attention"
        self.marked: frozenset[str] = frozenset()
        """Ids of the marked networks."""

    def show(self, snapshot: Snapshot | None) -> None:
        """Show `snapshot`; cursor and marks stay while it is the same study."""
        if snapshot is None or self._snapshot is None or snapshot.id != self._snapshot.id:
            self._cursor, self._touched, self.marked, self.top = 0, False, frozenset(), 0
            self._states = ()
            self._laid_out = None
        self._snapshot = snapshot
        self._sort()
        self.repaint()

    def _sort(self) -> None:
        """Bring the networks into their order; the cursor stays on its network once a person has moved it."""
        here = self.chosen
        self._states = ordered(self._snapshot, self.order) if self._snapshot else ()
        if here:
            self._cursor = next((n for n, state in enumerate(self._states) if state.network.id == here), 0)

    def next_order(self) -> Order:
        """Go on to the next order, to its beginning, and return it."""
        self.order = ORDERS[(ORDERS.index(self.order) + 1) % len(ORDERS)]
        self._sort()
        self.top = 0
        self.repaint()
        return self.order

    @property
    def line_count(self) -> int:
        return len(self._states)

    @property
    def chosen(self) -> str | None:
        """The id of the network a person has moved the cursor to; None before."""
        return self._states[self._cursor].network.id if self._touched and self._cursor < len(self._states) else None

    def as_text(self) -> str:
        """Return the marked networks, else all, as lines with tabs: for a spreadsheet."""
        names = ("dataset", "depth", "activation", "run", "control", "epoch", "loss", "train", "test", "status")
        lines = ["\t".join(names)]
        for state in self._states:
            network = state.network
            if not self.marked or network.id in self.marked:
                values = (network.dataset, network.depth, network.activation, network.run, network.control)
                numbers = (state.epochs, state.loss, state.train_accuracy, state.test_accuracy, state.status)
                lines.append("\t".join("" if one is None else safe_text(one) for one in (*values, *numbers)))
        return "\n".join(lines)

    # Keys and mouse

    def action_move(self, by: int) -> None:
        self._go(self._cursor + by)

    def _go(self, to: int) -> None:
        if not self._states:
            return
        self._cursor, self._touched = min(max(to, 0), len(self._states) - 1), True
        first_visible = min(self.top, self._cursor)
        self.scroll_lines(max(first_visible, self._cursor - self.body_height + 1))
        self.post_message(self.Chosen())

    def on_click(self, event: Click) -> None:
        offset = event.get_content_offset(self)
        if offset and offset.y >= self.head_height and self.top + offset.y - self.head_height < len(self._states):
            self._go(self.top + offset.y - self.head_height)

    def mark(self) -> None:
        """Mark the network under the cursor, or take its mark away, and go on to the next."""
        if self._states:
            self.marked = self.marked ^ {self._states[self._cursor].network.id}
            self._go(self._cursor + 1)

    def clear_marks(self) -> None:
        self.marked, self._touched = frozenset(), False
        self.repaint()
        self.post_message(self.Chosen())

    # Painting

    @property
    def _columns(self) -> tuple[_Column, ...]:
        """What there is room for; the same for all lines, found once a width and study."""
        # One cell less than there is: the scroll bar may stand there, and columns must not move when it comes.
        width = self.content_size.width - 1
        if self._laid_out is None or self._laid_out[0] != width:
            self._laid_out = (width, self._lay_out(width))
        return self._laid_out[1]

    def _lay_out(self, width: int) -> tuple[_Column, ...]:
        networks = [state.network for state in self._states]
        longest = max((len(dataset_title(name)) for name in {network.dataset for network in networks}), default=7)
        epochs = self._snapshot.plan.settings.training.epochs if self._snapshot else 0
        columns = [
            _Column("", 1),
            _Column("dataset", min(max(longest, 7), _LONGEST_DATASET)),
            _Column("depth", 5, right=True),
            _Column("activation", 10),
            _Column("run", 3, right=True),
            _Column("control", 9),
            _Column("epoch", max(len(f"{epochs}/{epochs}"), 5), right=True),
            _Column("loss", 6, right=True),
            _Column("train", 5, right=True),
            _Column("test", 5, right=True),
            _Column("last KL", 7, right=True),
            _Column("status", _STATUS_WIDTH),
        ]
        left_out = set() if width >= _WIDE else {"last KL"}
        if not any(network.control for network in networks):
            left_out.add("control")
        for name in (None, *_LEAST_NEEDED):
            left_out |= {name} if name else set()
            kept = tuple(column for column in columns if column.name not in left_out)
            if sum(column.width + 1 for column in kept) - 1 <= width:
                break
        return kept

    def head(self, width: int, ink: Ink) -> tuple[Row, ...]:
        if not self._states:
            return ((),)
        names = {column.name: column.name for column in self._columns}
        by = _SORTED_BY.get(self.order)
        if by in names:
            # A narrow column's title gives way to the sign: "▾loss".
            names[by] = _SORTED + by
        return ((span(self._join(names, width), ink.muted),),)

    def _join(self, cells: Mapping[str, str], width: int) -> str:
        gap = "  " if width >= _ROOMY else " "
        return gap.join(
            fit_right(cells[column.name], column.width) if column.right else fit(cells[column.name], column.width)
            for column in self._columns
        )

    def line(self, number: int, width: int, ink: Ink) -> Row:
        state = self._states[number]
        network = state.network
        here = number == self._cursor and (self.has_focus or self._touched)
        ground = ink.cursor if here and self.has_focus else None
        marked = network.id in self.marked
        trained = network.control != "untrained"
        assert self._snapshot is not None
        epochs = self._snapshot.plan.settings.training.epochs
        last = self._snapshot.layer(network, network.depth)
        cells = {
            "": "◆" if marked else "▸" if here else " ",
            "dataset": dataset_title(network.dataset),
            "depth": str(network.depth),
            "activation": network.activation,
            "run": str(network.run),
            "control": network.control or "",
            "epoch": f"{state.epochs}/{epochs}" if trained else NOT_KNOWN,
            "loss": _number(state.loss, 6),
            "train": _number(state.train_accuracy, 5),
            "test": _number(state.test_accuracy, 5),
            "last KL": _number(last.kl if last else None, 6),
            "status": "",
        }
        body = self._join(cells, width)[:-_STATUS_WIDTH]
        return (
            span(body[:1], ink.accent, ground, bold=True),
            span(body[1:], None if trained else ink.muted, ground, bold=marked),
            span(fit(status_words(state), width - cell_len(body)), status_colour(state, ink), ground),
        )


def status_words(state: NetworkState) -> str:
    """Return a network's status with its sign: `◐ 2/5 done` while its layers are measured."""
    depth = state.network.depth
    if state.at_chance and state.status in ("trained", "measured"):
        return f"{AT_CHANCE_SIGN} at chance"
    if state.status == "trained":
        return f"{STATUS_SIGNS['trained']} {min(state.layers_measured, depth + 1)}/{depth + 1} done"
    return f"{STATUS_SIGNS[state.status]} {state.status}"


def status_colour(state: NetworkState, ink: Ink) -> Rgb:
    if state.at_chance and state.status in ("trained", "measured"):
        return ink.warning
    colours: dict[Status, Rgb] = {
        "queued": ink.muted,
        "training": ink.accent,
        "stopped": ink.muted,
        "trained": ink.accent,
        "measured": ink.success,
        "diverged": ink.error,
        "failed": ink.error,
    }
    return colours[state.status]


def _number(value: float | None, width: int) -> str:
    if value is None:
        return NOT_KNOWN
    text = f"{value:.{width - 2}f}"
    return text if len(text) <= width else f"{value:.{width - 1}g}"[:width]
