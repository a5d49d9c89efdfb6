"""The table of numbers of the layer browser, with a cursor in its cells and an order of its rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual.binding import BindingType
from textual.events import Click
from textual.message import Message

from embcx_tui.analysis.layer_table import KL, Cell, LayerTable, TableRow, layer_table
from embcx_tui.analysis.selection import select
from embcx_tui.analysis.trend import Trend
from embcx_tui.figures.spans import Row, Span
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.plan import Architecture
from embcx_tui.tui import keys
from embcx_tui.tui.layers.explanations import explanation
from embcx_tui.tui.layers.selection import LayerSelection, NetworkLayer
from embcx_tui.tui.widgets.line_widget import Ink
from embcx_tui.tui.widgets.table import Column, Table

_LAYERS_FROM = 3  # the column of the input
_QUANTITY = 1


Line = TableRow | str
"""A row of the table, or the heading of a quantity's rows."""


class NumbersTable(Table[Line]):
    """Shows a `LayerTable`. Without focus its cursor is on the selected layer; with focus the arrows move it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        keys.hidden("left", "column(-1)"),
        keys.hidden("right", "column(1)"),
        *keys.LAYERS_TABLE,
    ]

    gap = 1

    class Picked(Message):
        """The user wants to see a network; `layer` is None where the cursor is on no layer."""

        def __init__(self, architecture: Architecture, layer: int | None) -> None:
            self.architecture, self.layer = architecture, layer
            super().__init__()

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._table = LayerTable((), ())
        self._order: tuple[str, bool] | None = None
        self._shown: tuple[int, ...] = ()
        self._kept: tuple[Snapshot, object, tuple[object, ...], LayerTable] | None = None
        self.column = 0
        """The column of the cursor."""

    def table_of(
        self,
        snapshot: Snapshot,
        selection: LayerSelection,
        shown: NetworkLayer,
        trends: Mapping[Architecture, Trend] | None,
    ) -> LayerTable:
        """Return the table of the selected node: all depths of a dataset, else all networks of its depth.

        Rows are in the user's order. `trends` are None while they are computed.
        """
        network, node = shown.network, selection.node
        depth = None if node is not None and node.depth is None else network.depth
        key = (network.dataset, depth, selection.exclude_chance)
        if self._kept is None or self._kept[0] is not snapshot or self._kept[1] is not trends or self._kept[2] != key:
            table = layer_table(select(snapshot, selection.exclude_chance), network.dataset, depth, trends)
            self._kept = snapshot, trends, key, table
        table = self._kept[3]
        return self._ordered(table)

    def _ordered(self, table: LayerTable) -> LayerTable:
        """Return the table in the user's order; a table that lacks its column stays as it is."""
        if self._order is None or self._order[0] not in table.columns:
            return table
        return table.sorted(table.columns.index(self._order[0]), self._order[1])

    def show_selection(
        self,
        snapshot: Snapshot,
        selection: LayerSelection,
        shown: NetworkLayer,
        trends: Mapping[Architecture, Trend] | None,
    ) -> None:
        """Show the table of the selected node, the cursor on the selected layer unless the user moves it."""
        self.show(self.table_of(snapshot, selection, shown, trends), shown.network.architecture, shown.layer)

    def show(self, table: LayerTable, architecture: Architecture, layer: int) -> None:
        """Show a table, its cursor on a layer's complexity unless the table has the focus."""
        self._table = table
        self.column = min(self.column, len(table.columns) - 1)
        self.set_items(_lines(table))
        if not self.has_focus:
            self.column = _LAYERS_FROM + layer
            self.pointer = next(
                (n for n, line in enumerate(self.items) if self.identity(line) == (architecture, KL)), 0
            )
            # With the heading above it.
            self.top = min(self.top, max(self.pointer - 1, 0))
            self.scroll_to_pointer()
            self.redraw()

    @property
    def table(self) -> LayerTable:
        """The table in the order in which it is shown."""
        return self._table

    @property
    def cell(self) -> Cell | None:
        """The cell under the cursor; None on a heading."""
        return self.current.cells[self.column] if isinstance(self.current, TableRow) else None

    @property
    def explained(self) -> str:
        """A sentence on the column of the cursor, while the table has the focus."""
        return explanation(self._table.columns[self.column]) if self.has_focus and self._table.columns else ""

    # Cursor and order

    def action_column(self, by: int) -> None:
        columns = self._all_columns()
        at = columns.index(self.column) if self.column in columns else 0
        self.column = columns[min(max(at + by, 0), len(columns) - 1)]
        self.redraw()
        self.post_message(self.Chosen())

    def on_focus(self) -> None:
        super().on_focus()
        self.post_message(self.Chosen())

    def on_blur(self) -> None:
        super().on_blur()
        self.post_message(self.Chosen())

    def action_order(self) -> None:
        """Order the rows by the cursor's column, and the second time the other way round."""
        if self.items:
            name = self._table.columns[self.column]
            self._order = (name, self._order == (name, False))
            self._table = self._ordered(self._table)
            self.set_items(_lines(self._table))
            self.scroll_to_pointer()

    def action_pick(self) -> None:
        if isinstance(self.current, TableRow):
            layer = self.column - _LAYERS_FROM
            layers = self.current.architecture.depth
            self.post_message(self.Picked(self.current.architecture, layer if 0 <= layer <= layers else None))

    def on_click(self, event: Click) -> None:
        offset = event.get_content_offset(self)
        column = self._column_at(offset.x) if offset else None
        if column is not None:
            self.column = column
            if offset and offset.y < self.head_height:
                self.action_order()
        super().on_click(event)
        self.redraw()

    def _column_at(self, x: int) -> int | None:
        end = 1 + self.gap
        for index, column in zip(self._shown, self._columns, strict=False):
            end += column.width + self.gap
            if x < end:
                return index
        return None

    # What a table must say

    def identity(self, item: Line) -> tuple[Architecture | None, str]:
        return (None, item) if isinstance(item, str) else (item.architecture, item.quantity)

    def lead(self, item: Line | None, here: bool, ink: Ink) -> Row:
        return Span("▸" if here else " ", ink.accent, bold=True), Span(" " * self.gap)

    def line_style(self, item: Line, here: bool, ink: Ink) -> Span:
        return Span("", None, ink.cursor if here and self.has_focus else None)

    def title(self, column: Column[Line]) -> str:
        if self._order is None or column.title != self._order[0]:
            return column.title
        return f"{'▾' if self._order[1] else '▴'}{column.title}"

    def _all_columns(self) -> list[int]:
        """Return the columns that are shown: headings stand for that of the quantities."""
        return [index for index in range(len(self._table.columns)) if index != _QUANTITY]

    def fit_columns(self, width: int) -> tuple[Column[Line], ...]:
        """Return the first column, which stays, and as many others as fit, the cursor's among them."""
        every = self._all_columns()
        columns = {index: self._column(index) for index in every}
        stay = every[:1]
        others = every[len(stay) :]

        def fitting(first: int) -> list[int]:
            room = width - 1 - self.gap - sum(columns[index].width + self.gap for index in stay)
            shown: list[int] = []
            for index in others[first:]:
                room -= columns[index].width + self.gap
                if room < -self.gap and shown:
                    break
                shown.append(index)
            return shown

        # As few columns are passed over as let the cursor's be seen.
        firsts = (first for first in range(len(others)) if self.column in [*stay, *fitting(first)])
        self._shown = (*stay, *fitting(next(firsts, 0)))
        return tuple(columns[index] for index in self._shown)

    def _column(self, index: int) -> Column[Line]:
        texts = [self._table.columns[index], *(row.cells[index].text for row in self._table.rows)]

        def draw(item: Line, width: int, ink: Ink) -> Row:
            if isinstance(item, str):
                return () if index else (Span(item, ink.muted, bold=True),)
            text = item.cells[index].text
            if item is not self.current or index != self.column:
                return (Span(text),)
            return (
                Span(text, ink.look.paper, ink.look.ink, bold=True)
                if ink.look.colours
                else Span(f"▸{text}", bold=True),
            )

        # Room for the sign of the cursor, or of the order, before the longest text.
        return Column(self._table.columns[index], max(map(len, texts)) + bool(index), draw, right=bool(index))


def _lines(table: LayerTable) -> tuple[Line, ...]:
    """Return the rows of a table, those of each quantity below its name; without names where there is only one."""
    quantities = list(dict.fromkeys(row.quantity for row in table.rows))
    if len(quantities) < 2:
        return table.rows
    lines: list[Line] = []
    for quantity in quantities:
        lines += [quantity, *(row for row in table.rows if row.quantity == quantity)]
    return tuple(lines)
