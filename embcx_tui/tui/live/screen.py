"""The Live screen: a study's progress, its networks, training curves, machine and log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.events import Resize, ScreenResume
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Input

from embcx_tui.analysis import formatting
from embcx_tui.store.machine_records import Telemetry
from embcx_tui.store.snapshot import State
from embcx_tui.study.naming import figure_name
from embcx_tui.tui import keys
from embcx_tui.tui.live.curves import NOTHING_MEASURED, ORDER, Chart, complexity, curves, natural_chart, nothing_trained
from embcx_tui.tui.live.header import LiveHeader
from embcx_tui.tui.live.log_panel import LEVELS, LogPanel
from embcx_tui.tui.live.machine_panel import MachinePanel
from embcx_tui.tui.live.network_table import ORDERS, NetworksTable
from embcx_tui.tui.messages import Mode, Say, ShowMode, StartStudy, StopStudy
from embcx_tui.tui.mode_screen import NO_STUDY, READING_STUDY, ModeScreen, ScreenPanels
from embcx_tui.tui.widgets.dialogs import Answer, Ask
from embcx_tui.tui.widgets.figure_view import FigureView
from embcx_tui.tui.widgets.line_widget import LineWidget
from embcx_tui.tui.widgets.panel_tabs import PanelTabs

# "3 min ago" changes with time alone; painting it again sends only the cells that differ.
_CLOCK_EVERY_S = 5.0
# The networks get the rows they fill: at least so many, and at most this share of the screen.
_LEAST_NETWORKS = 14
_MOST_NETWORKS = 0.55
# The panels of which a small screen shows one at a time, at first the first.
PAGES = ("curves", "machine", "log")


class _FilterField(Input):
    BINDINGS: ClassVar[list[BindingType]] = keys.LOG_FILTER


class _FindField(Input):
    BINDINGS: ClassVar[list[BindingType]] = keys.LOG_FIND


class LiveScreen(ModeScreen):
    """Shows the open study as its worker writes it; the application sets `snapshot`, `paths` and `telemetry`."""

    MODE: ClassVar[Mode] = "live"
    CSS_PATH = "live.tcss"
    AUTO_FOCUS = "#networks"
    BINDINGS: ClassVar[list[BindingType]] = keys.LIVE

    # Not repainted for each of these either.
    starting: reactive[bool] = reactive(False, repaint=False)
    telemetry: reactive[tuple[Telemetry, ...]] = reactive[tuple[Telemetry, ...]]((), repaint=False)

    def __init__(self) -> None:
        super().__init__()
        self._panels = ScreenPanels(self, ("networks", *PAGES), self._page)
        # None: the chart that fits what the study does.
        self._picked_chart: Chart | None = None
        self._log_axis = False
        self._drawn: tuple[object, ...] = ()
        self._rows: str | None = None
        self._state: tuple[State | None, bool] = (None, False)

    def compose_body(self) -> ComposeResult:
        yield LiveHeader(id="head")
        yield FigureView(NO_STUDY, id="nothing")
        with Container(id="panels"):
            with Container(id="networks-page"):
                yield NetworksTable(id="networks")
                yield _FilterField(id="table-filter", compact=True)
            yield PanelTabs(PAGES, id="pages")
            yield MachinePanel(id="machine", classes="page")
            yield FigureView(id="curves", classes="page")
            with Container(id="log-page", classes="page"):
                yield LogPanel(id="log")
                yield _FilterField(id="filter", compact=True)
                yield _FindField(id="find", compact=True)

    def on_mount(self) -> None:
        for field in self.query(Input):
            field.display = False
        self._turn_to("curves")
        self.set_interval(_CLOCK_EVERY_S, self._tick)
        self._update()

    # What the application sets

    def watch_paths(self) -> None:
        self._update()

    def watch_starting(self) -> None:
        self._update()

    def watch_snapshot(self) -> None:
        self._update()

    def watch_telemetry(self) -> None:
        if self.is_mounted and self.is_current:
            self.query_one(MachinePanel).show(self.open_snapshot, self.telemetry)

    def on_screen_resume(self, event: ScreenResume) -> None:
        self._update()

    def _tick(self) -> None:
        if self.is_current and self.snapshot and self.snapshot.state in ("lost", "running"):
            self.query_one(LiveHeader).repaint()

    def _update(self) -> None:
        """Show the newest snapshot; while another screen is in front, this waits for `on_screen_resume`."""
        if not self.is_mounted or not self.is_current:
            return
        snapshot = self.open_snapshot
        self.query_one("#panels").display = self.query_one("#head").display = snapshot is not None
        nothing = self.query_one("#nothing", FigureView)
        nothing.display = snapshot is None
        nothing.show(None, READING_STUDY if self.paths else NO_STUDY)
        state = (snapshot.state if snapshot else None, self.starting)
        if state != self._state:
            # Whether stop or resume can be pressed depends on the state.
            self._state = state
            self.refresh_bindings()
        self.query_one(LiveHeader).show(snapshot, self.starting)
        self.query_one(NetworksTable).show(snapshot)
        self.query_one(LogPanel).show(snapshot)
        self.query_one(MachinePanel).show(snapshot, self.telemetry if snapshot else ())
        self._share_height()
        self._draw_curves()

    def on_resize(self, event: Resize) -> None:
        self._share_height()

    def _share_height(self) -> None:
        """Where all panels are on the screen, give the networks the rows they fill, at most a good half."""
        rows: str | None = None
        snapshot = self.open_snapshot
        if snapshot and (self.has_class("-wide") or self.has_class("-huge")) and not self._panels.zoomed:
            lines = min(len(snapshot.networks) + 1, round(self.size.height * _MOST_NETWORKS))
            rows = f"{max(lines, _LEAST_NETWORKS)} 1fr"
        # Setting it, even to the same, lays the whole screen out anew.
        if rows != self._rows:
            self._rows = rows
            self.query_one("#panels").styles.grid_rows = rows

    @on(NetworksTable.Chosen)
    @on(FigureView.Sized)
    def _draw_curves(self) -> None:
        snapshot, view, table = self.open_snapshot, self.query_one("#curves", FigureView), self.query_one(NetworksTable)
        if snapshot is None:
            self._drawn = ()
            return view.show(None)
        wanted = self._picked_chart or natural_chart(snapshot)
        epochs = tuple((cohort, history.last) for cohort, history in snapshot.histories.items())
        marked, size = tuple(sorted(table.marked)), view.content_size
        # New log lines change no chart, layers none of training: then nothing is drawn or sent.
        news: object = len(snapshot.measured) if wanted == "kl" else epochs
        key = (snapshot.id, news, marked, table.chosen, wanted, size, self._log_axis)
        if key == self._drawn:
            return
        self._drawn = key
        if wanted == "kl":
            view.show(complexity(snapshot, table.chosen, size), NOTHING_MEASURED)
        elif not any(last for _, last in epochs):
            view.show(None, nothing_trained(snapshot))
        else:
            view.show(curves(snapshot, marked, table.chosen, wanted, size, self._log_axis))

    # Panels

    def _page(self, panel: Widget) -> Widget:
        """Return what is shown or hidden for a panel: lists have their filter below them."""
        return self.query_one(f"#{panel.id}-page") if panel.id in ("log", "networks") else panel

    def _turn_to(self, name: str) -> None:
        for page in PAGES:
            self._page(self.query_one(f"#{page}")).set_class(page == name, "-front")
        self.query_one(PanelTabs).show(name)

    @on(PanelTabs.Picked)
    def _picked(self, event: PanelTabs.Picked) -> None:
        self._go_to(self.query_one(f"#{event.name}"))

    def _go_to(self, panel: Widget) -> None:
        if panel.id in PAGES:
            self._turn_to(panel.id)
        if self._panels.zoomed:
            self._zoom(panel)
        self._panels.focus(panel)

    def action_panel(self, by: int) -> None:
        self._go_to(self._panels.next(by))

    def action_zoom(self) -> None:
        if self._panels.zoomed:
            self._unzoom()
        else:
            self._zoom(self._panels.focused or self.query_one("#curves"))

    def _zoom(self, panel: Widget) -> None:
        self._panels.zoom(panel)
        self._share_height()

    def _unzoom(self) -> None:
        self._panels.unzoom()
        self._share_height()

    def action_back(self) -> None:
        log, table = self.query_one(LogPanel), self.query_one(NetworksTable)
        if self.query_one("#find").display:
            self.query_one("#find").display = False
            log.focus()
        elif self.query_one("#table-filter").display:
            self._end_table_filter("")
        elif log.selecting:
            log.clear_selection()
        elif self.query_one("#filter").display or log.words:
            self._end_filter("")
        elif self._panels.zoomed:
            self._unzoom()
        elif table.words:
            self._end_table_filter("")
        elif table.marked or table.chosen:
            table.clear_marks()
        else:
            self.post_message(ShowMode("studies"))

    # Curves and marks

    def action_mark(self) -> None:
        self.query_one(NetworksTable).mark()

    def action_order(self) -> None:
        self._go_to(self.query_one(NetworksTable))
        self.query_one(NetworksTable).next_order()

    def action_quantity(self, by: int) -> None:
        here = self._picked_chart or (natural_chart(self.open_snapshot) if self.open_snapshot else ORDER[0])
        self._picked_chart = ORDER[(ORDER.index(here) + by) % len(ORDER)] if by else self._picked_chart
        self._turn_to("curves")
        self._draw_curves()

    def action_axis(self) -> None:
        """Change between a linear and a logarithmic y axis of training curves."""
        self._log_axis = not self._log_axis
        self.action_quantity(0)

    # Log

    def action_follow(self) -> None:
        self._turn_to("log")
        self.query_one(LogPanel).toggle_follow()

    def action_level(self) -> None:
        self._turn_to("log")
        self.query_one(LogPanel).next_level()

    def action_filter(self) -> None:
        """Filter the list that has the focus: the log, else the networks."""
        if self._panels.focused is self.query_one(LogPanel):
            self._ask_words("filter", "show only lines that contain these words")
        else:
            self._ask_words("table-filter", "show only networks with these words, such as: relu r1 trained")

    def action_find(self) -> None:
        self._ask_words("find", "words to find; > and < go on")

    def action_find_next(self, by: int) -> None:
        log = self.query_one(LogPanel)
        self._turn_to("log")
        if log.sought:
            log.find(log.sought, by)
        else:
            self.action_find()

    def _ask_words(self, name: str, words: str) -> None:
        if name != "table-filter":
            self._turn_to("log")
        field = self.query_one(f"#{name}", Input)
        for other in self.query(Input):
            other.display = other is field
        field.placeholder = words
        # At once, since the next key may be the first letter.
        self._panels.focus_other(field)

    @on(Input.Changed, "#filter")
    def _filtered(self, event: Input.Changed) -> None:
        self.query_one(LogPanel).filter(event.value)

    @on(Input.Submitted, "#filter")
    def _filter_done(self, event: Input.Submitted) -> None:
        self._end_filter(event.value)

    @on(Input.Submitted, "#find")
    def _find_done(self, event: Input.Submitted) -> None:
        event.input.display = False
        log = self.query_one(LogPanel)
        log.focus()
        log.find(event.value)

    @on(Input.Changed, "#table-filter")
    def _table_filtered(self, event: Input.Changed) -> None:
        self.query_one(NetworksTable).filter(event.value)

    @on(Input.Submitted, "#table-filter")
    def _table_filter_done(self, event: Input.Submitted) -> None:
        self._end_table_filter(event.value)

    def _end_table_filter(self, words: str) -> None:
        field, table = self.query_one("#table-filter", Input), self.query_one(NetworksTable)
        field.value = words
        field.display = False
        table.filter(words)
        table.focus()

    def _end_filter(self, words: str) -> None:
        field, log = self.query_one("#filter", Input), self.query_one(LogPanel)
        field.value = words
        field.display = False
        log.filter(words)
        log.focus()

    def action_copy(self) -> None:
        """Copy what the focused panel shows; the terminal puts it into the clipboard (OSC 52), over SSH too."""
        log, table = self.query_one(LogPanel), self.query_one(NetworksTable)
        if self.focused is table:
            text = table.as_text()
            words = formatting.several(text.count("\n"), "network")
        elif isinstance(self.focused, LineWidget) and self.focused is not log:
            text = self.focused.shown_text
            words = f"the {self.focused.id}"
        else:
            text, count = log.text_to_copy()
            words = formatting.several(count, "line")
            log.clear_selection()
        self.app.copy_to_clipboard(text)
        self.post_message(Say(f"Copied {words}"))

    # Restoring

    def remember(self) -> dict[str, Any]:
        table = self.query_one(NetworksTable)
        return {
            "quantity": self._picked_chart or "",
            "log_axis": self._log_axis,
            "order": table.order,
            "marked": sorted(table.marked),
            "level": self.query_one(LogPanel).level,
        }

    def recall(self, state: Mapping[str, Any]) -> None:
        table, log = self.query_one(NetworksTable), self.query_one(LogPanel)
        snapshot = self.open_snapshot
        if state["quantity"] in ORDER:
            self._picked_chart = state["quantity"]
        self._log_axis = state.get("log_axis") is True
        if state["order"] in ORDERS:
            table.order = state["order"]
        if state["level"] in dict(LEVELS):
            log.filter_level(state["level"])
        if snapshot:
            table.marked = frozenset(snapshot.networks.keys() & set(state["marked"]))
        self._update()

    # The worker

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        # While the user types words, the only key of the screen that works is the way back.
        typing = isinstance(self.focused, Input) and action != "back"
        if typing and hasattr(LiveScreen, f"action_{action}") and not hasattr(ModeScreen, f"action_{action}"):
            return False
        snapshot = self.open_snapshot
        if action == "stop":
            return bool(snapshot and (snapshot.state == "running" or (snapshot.waiting and snapshot.waiting.waits)))
        if action == "resume":
            return bool(snapshot and snapshot.resumable and not self.starting)
        return True

    def action_resume(self) -> None:
        if self.paths:
            self.post_message(StartStudy(self.paths))

    def action_stop(self) -> None:
        if (paths := self.paths) is None or (snapshot := self.open_snapshot) is None:
            return
        if snapshot.waiting:
            self.post_message(StopStudy(paths))
            return

        def answered(answer: str | None) -> None:
            if answer:
                self.post_message(StopStudy(paths, at_once=answer == "now"))

        # What is repeated is one layer once the training is over.
        step = "layer" if natural_chart(snapshot) == "kl" else "epoch"
        self.app.push_screen(
            Ask(
                "Stop this study?",
                f"After this {step}: nothing is lost. Now: the current {step} is repeated on resume (r).",
                (Answer("epoch", f"After this {step}"), Answer("now", "Now")),
            ),
            answered,
        )

    def action_export(self) -> None:
        from embcx_tui.tui.export.dialog import ExportDialog

        snapshot = self.open_snapshot
        if snapshot is None or self.paths is None or not any(history.last for history in snapshot.histories.values()):
            self.post_message(Say("No epoch is trained yet: there is no figure to save", "warning"))
            return
        dataset = next(cohort.dataset for cohort in snapshot.plan.cohorts if snapshot.histories.get(cohort.id))
        self.app.push_screen(ExportDialog(self.paths, snapshot, figure_name("training", dataset)))
