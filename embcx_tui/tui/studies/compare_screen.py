"""Studies or groups compared: one chart, one table, and between them what makes their numbers less than comparable."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Static

from embcx_tui.analysis.comparison import Comparison, comparison_table, difference_csv
from embcx_tui.figures.comparison_lines import comparison_lines, comparison_name, differences_name
from embcx_tui.figures.spans import Row, Span
from embcx_tui.store.paths import StudyPaths
from embcx_tui.study.naming import dataset_title
from embcx_tui.study.plan import Architecture
from embcx_tui.tui import keys
from embcx_tui.tui.export.dialog import ExportDialog
from embcx_tui.tui.export.save import ExportFigure, ExportText
from embcx_tui.tui.layers.copying import ask_to_copy_table
from embcx_tui.tui.layers.numbers_table import NumbersTable
from embcx_tui.tui.messages import Explain, Say
from embcx_tui.tui.minimum_size import TOO_SMALL, MinimumSizeScreen
from embcx_tui.tui.mode_screen import KeyBar
from embcx_tui.tui.widgets.figure_view import FigureView
from embcx_tui.tui.widgets.line_widget import Ink, fit_row


class DifferencesTable(NumbersTable):
    """The table of numbers; there is no other place to go to from a cell of it."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "pick"

    def line(self, number: int, width: int, ink: Ink) -> Row:
        """Return a line; a heading is the whole line, since it says what is subtracted from what and how."""
        item = self.items[number]
        if not isinstance(item, str):
            return super().line(number, width, ink)
        here = self.has_pointer(number)
        style = self.line_style(item, here, ink)
        lead = tuple(Span(one.text, one.fg, style.bg, bold=one.bold) for one in self.lead(item, here, ink))
        return fit_row((*lead, Span(item, ink.muted, style.bg, bold=True)), width, style.bg)


class CompareScreen(MinimumSizeScreen):
    """Shows a comparison, one dataset and depth at a time."""

    CSS_PATH = "compare.tcss"
    BINDINGS: ClassVar[list[BindingType]] = keys.COMPARE
    AUTO_FOCUS = "#differences"

    def __init__(self, comparison: Comparison, paths: StudyPaths) -> None:
        """`paths` is the first study's, among whose exports figures are saved."""
        super().__init__()
        self._comparison, self._paths = comparison, paths
        self._place = 0

    @on(Explain)
    def _explain(self, event: Explain) -> None:
        self.query_one(KeyBar).explain(event.sentence)

    def compose(self) -> ComposeResult:
        names = self._comparison.names
        others = ", ".join(f"“{name}”" for name in names[1:])
        study = self._comparison.selections[0].snapshot
        groups = all(selection.snapshot is study for selection in self._comparison.selections)
        within = f" in {study.name}" if groups else ""
        head = Content.assemble((f" {others}", "bold $heading"), f" compared with “{names[0]}”{within}")
        yield Static(head, id="compared")
        yield FigureView(id="comparison")
        caveats = self._comparison.caveats
        words = "\n".join(f"! {sentence}" for sentence in caveats)
        yield Static(Content(words), id="caveats", classes="" if caveats else "-none")
        yield DifferencesTable(id="differences")
        yield KeyBar()
        yield Static(Content(TOO_SMALL), id="too-small")

    def on_mount(self) -> None:
        self._show()

    def _show(self) -> None:
        comparison, places = self._comparison, self._comparison.places
        dataset, depth = places[self._place]
        # The caveats stand below the chart, a line each.
        self.query_one(FigureView).show(replace(comparison_lines(comparison, dataset, depth), note=""))
        table = comparison_table(comparison, dataset, depth)
        first = table.rows[0].architecture if table.rows else Architecture(dataset, depth, "", None)
        numbers = self.query_one(DifferencesTable)
        numbers.show(table, first, 0)
        # With its titles and the rule above; the rest is the chart's.
        numbers.styles.max_height = len(numbers.items) + 2
        if isinstance(numbers.current, str):
            numbers.pointer += 1  # from a heading, which stays in sight, to its first row
            numbers.redraw()
        where = " · ".join(filter(None, [dataset_title(dataset), *comparison.place_words(depth)]))
        of = f" ({self._place + 1} of {len(places)})" if len(places) > 1 else ""
        numbers.border_title = Content(f" {where}{of} ")
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "place" or len(self._comparison.places) > 1

    def action_place(self, by: int) -> None:
        """Show the next dataset or depth."""
        self._place = (self._place + by) % len(self._comparison.places)
        self._show()

    def action_export(self) -> None:
        """Ask how to save the chart of this place, or all differences as CSV."""
        comparison, place = self._comparison, self._comparison.places[self._place]
        name, title = comparison_name(comparison, *place), self.query_one(Static).content
        figures = {"chart shown": ExportFigure(name, str(title).strip(), comparison_lines(comparison, *place))}
        name = differences_name(comparison)
        table = ExportText(name, "all differences with their intervals, in nats", difference_csv(comparison))
        self.app.push_screen(ExportDialog(self._paths, None, "", figures, texts={"differences (CSV)": table}))

    def action_copy(self) -> None:
        if cell := self.query_one(DifferencesTable).cell:
            self.app.copy_to_clipboard(cell.text)
            self.post_message(Say(f"copied “{cell.text}”"))

    def action_copy_table(self) -> None:
        ask_to_copy_table(self.app, self.query_one(DifferencesTable).table)

    def action_cancel(self) -> None:
        self.dismiss()
