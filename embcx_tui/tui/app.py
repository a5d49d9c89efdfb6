"""The application: four modes, the open study, and the parts that act on messages. Screens do the showing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.binding import BindingType
from textual.command import Provider
from textual.events import Event, Paste
from textual.screen import Screen
from textual.widget import AwaitMount

from embcx_tui.store.paths import StudyPaths
from embcx_tui.study.text import safe_text
from embcx_tui.tui import keys, theme
from embcx_tui.tui.commands import Commands
from embcx_tui.tui.data_fetches import DataFetches
from embcx_tui.tui.gc_pause import LOOK_EVERY_S, GcPause
from embcx_tui.tui.key_queue import KeyQueue
from embcx_tui.tui.messages import (
    Mode,
    OpenStudy,
    PrefetchStudy,
    ReuseStudy,
    Say,
    ShowMode,
    Starting,
    StudiesRead,
    StudyGone,
    StudyPictured,
    StudyRead,
    StudyUnreadable,
    TelemetryRead,
)
from embcx_tui.tui.minimum_size import LEAST_HEIGHT, LEAST_WIDTH, too_small
from embcx_tui.tui.mode_screen import ModeScreen
from embcx_tui.tui.screen_loading import ScreenLoading, configure_screen, layers_screen, live_screen
from embcx_tui.tui.session import Session
from embcx_tui.tui.studies.screen import StudiesScreen
from embcx_tui.tui.study_actions import StudyActions
from embcx_tui.tui.study_requests import StudyRequests
from embcx_tui.tui.study_row import StudyRow, training_rows
from embcx_tui.tui.terminal import Abilities
from embcx_tui.tui.terminal_app import TerminalApp

# The longest path that Linux takes.
_LONGEST_PASTE = 4_096

if TYPE_CHECKING:  # numpy and pydantic come with these: not before the first frame
    from embcx_tui.store.machine_records import Telemetry
    from embcx_tui.store.snapshot import Snapshot
    from embcx_tui.tui.study_watcher import StudyWatcher


def _import_watcher() -> type[StudyWatcher]:
    from embcx_tui.tui.study_watcher import StudyWatcher

    return StudyWatcher


class EmbcxApp(StudyRequests, TerminalApp):
    """Holds what all modes share: the rows of the list, the open study's snapshot and telemetry, and its parts.

    The parts do the work and know nothing of each other; handlers and actions here hand messages and keys on to them,
    since Textual looks for handlers on the nodes of its tree only.
    """

    TITLE = "embcx-tui"
    # The first screen's too: Textual reads all styles again for each that a screen brings.
    CSS_PATH: ClassVar[list[str | PurePath]] = ["app.tcss", "studies/studies.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = keys.APP
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {Commands}
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {
        "studies": StudiesScreen,
        "configure": configure_screen,
        "live": live_screen,
        "layers": layers_screen,
    }
    DEFAULT_MODE = "studies"
    # As Textual declares them: not class variables, though they are.
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-tiny"),
        (LEAST_WIDTH, "-small"),
        (80, "-normal"),
        (120, "-wide"),
        (200, "-huge"),
    ]
    VERTICAL_BREAKPOINTS = [(0, "-flat"), (LEAST_HEIGHT, "-low"), (36, "-tall")]  # noqa: RUF012

    def __init__(self, study: StudyPaths | None = None, abilities: Abilities | None = None) -> None:
        super().__init__(abilities or Abilities())
        self.rows: tuple[StudyRow, ...] = ()
        self.rows_complete = False
        self.paths: StudyPaths | None = None
        self.snapshot: Snapshot | None = None
        self.telemetry: tuple[Telemetry, ...] = ()

        self.session = Session(self, self.send_sequence)
        self.export_choices = self.session.export_choices
        self.gc_pause = GcPause()
        self.key_queue = KeyQueue(self, self._handle_event)
        self._wake = asyncio.Event()
        self.study_actions = StudyActions(self, self._wake.set, self.action_mode)
        self.data_fetches = DataFetches(self.post_message)
        self.watcher: StudyWatcher | None = None
        self.screen_loading = ScreenLoading(self, lambda: self.gc_pause.quiet_s)

        self._loop_here: asyncio.AbstractEventLoop | None = None
        self._wanted = study
        self._choose_mode = False
        self._shown = False
        self._revived = False
        self._first_mode: Mode | None = None
        self._starting: Starting | None = None
        self._mode: Mode = "studies"

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Give every theme, also one from elsewhere, the names that our styles use."""
        return theme.DARK.variables

    def on_mount(self) -> None:
        self._loop_here = asyncio.get_running_loop()
        self.set_interval(LOOK_EVERY_S, self.gc_pause.collect_if_due)
        # Back from ctrl+z the terminal's other screen is empty; Textual would send only what has changed.
        self.app_resume_signal.subscribe(self, lambda _: self.refresh())

    async def on_event(self, event: Event) -> None:
        """Handle every event in this order: a paste is cleaned, keys queue, the time is noted, Textual handles it."""
        if isinstance(event, Paste) and event.text and not event.is_forwarded:
            # A field shows what it holds as it is: what comes from a clipboard is cleaned before.
            event = Paste(safe_text(event.text.splitlines()[0], _LONGEST_PASTE))
        await self.key_queue.handle(event)

    async def _handle_event(self, event: Event) -> None:
        # Behind the queue: a key that waits counts from when it is handled.
        self.gc_pause.note(event)
        await super().on_event(event)

    def on_ready(self) -> None:
        # After the first frame: reading folders competes with drawing for the interpreter.
        self._shown = True
        self.session.complain()
        self.run_worker(self._follow_studies(), group="studies", exclusive=True)
        if self._wanted:
            self.post_message(OpenStudy(self._wanted))
        elif left := self.session.study_left_open():
            self.post_message(OpenStudy(left, self._first_mode or self.session.remembered.mode))
        elif self._first_mode:
            self.action_mode(self._first_mode)

    # The study watcher

    async def _get_watcher(self) -> StudyWatcher:
        watcher = await asyncio.to_thread(_import_watcher)
        self.watcher = self.watcher or watcher(self.post_message, self._wake)
        return self.watcher

    async def _follow_studies(self) -> None:
        await (await self._get_watcher()).follow_studies()

    async def _follow_study(self, paths: StudyPaths) -> None:
        await (await self._get_watcher()).follow_study(paths)

    async def _prefetch(self, paths: StudyPaths, picture: bool) -> None:
        await (await self._get_watcher()).prefetch(paths, picture)

    @on(StudiesRead)
    def studies_read(self, event: StudiesRead) -> None:
        self.rows, self.rows_complete = event.rows, event.complete
        self.session.watch_ends(event.rows)
        self.deliver()
        if event.complete:
            if not self._revived and any(row.place and not row.waits for row in event.rows):
                self.study_actions.revive_queue()
            self._revived = True
            self.run_worker(self.screen_loading.run(), group="screens")

    @on(StudyRead)
    def study_read(self, event: StudyRead) -> None:
        if event.paths != self.paths:
            return
        self.snapshot = event.snapshot
        if self._choose_mode:
            self._choose_mode = False
            self._show_fitting_mode(event.snapshot)
        self.deliver()

    def _show_fitting_mode(self, snapshot: Snapshot) -> None:
        self.action_mode("live" if snapshot.state in ("running", "queued") else "layers")

    @on(TelemetryRead)
    def telemetry_read(self, event: TelemetryRead) -> None:
        if event.paths == self.paths:
            self.telemetry = event.telemetry
            self.deliver()

    @on(Starting)
    def study_starts(self, event: Starting) -> None:
        self._starting = None if event.ended else event
        self.deliver()

    @property
    def starting(self) -> bool:
        """Whether a worker of the open study is being started that has not written its first line yet."""
        if self._starting is None or self._starting.paths != self.paths:
            return False
        worker = self.snapshot.worker if self.snapshot else None
        return worker is None or worker.at < self._starting.at

    @on(StudyUnreadable)
    def study_unreadable(self, event: StudyUnreadable) -> None:
        if event.paths == self.paths:
            self.close_study()
            self.say(Say(event.text, "error"))

    @on(StudyGone)
    def study_gone(self, event: StudyGone) -> None:
        if event.paths == self.paths:
            self.close_study()

    # The open study

    @on(ReuseStudy)
    def reuse_study(self, event: ReuseStudy) -> None:
        self.action_mode("configure")
        screen = self.screen_stack[0]
        assert isinstance(screen, ModeScreen)
        screen.post_message(event)

    @on(OpenStudy)
    def open_study(self, event: OpenStudy) -> None:
        """Follow a study from now on, and show it in the requested mode or the one that fits its state."""
        if event.paths != self.paths:
            self.paths, self.snapshot, self.telemetry = event.paths, None, ()
            self.run_worker(self._follow_study(event.paths), group="study", exclusive=True)
        if event.mode:
            self._choose_mode = False
            self.action_mode(event.mode)
        elif self.snapshot:
            self._show_fitting_mode(self.snapshot)
        else:
            self._choose_mode = True

    @on(PrefetchStudy)
    def prefetch_study(self, event: PrefetchStudy) -> None:
        if event.paths != self.paths or event.picture:
            self.run_worker(self._prefetch(event.paths, event.picture), group="prefetch")

    @on(StudyPictured)
    def study_pictured(self, event: StudyPictured) -> None:
        screen = self.screen_stack[0]
        if isinstance(screen, StudiesScreen):
            screen.show_picture(event.paths, event.figure)

    def close_study(self) -> None:
        """Stop following a study and go back to the list."""
        self.workers.cancel_group(self, "study")
        self.paths, self.snapshot, self.telemetry, self._choose_mode = None, None, (), False
        self.action_mode("studies")

    def deliver(self) -> None:
        """Hand what is known to the mode that is shown; the others get it when they are."""
        # The watcher's last message can arrive during shutdown, when the screen is gone or half removed.
        if not self.is_running or not self.screen_stack or not self.screen_stack[0].is_mounted:
            return
        screen = self.screen_stack[0]
        for name in ("paths", "starting", "snapshot", "telemetry", "rows_complete", "rows", "fetch", "refused"):
            if hasattr(type(screen), name):
                setattr(screen, name, getattr(self, name))
        if isinstance(screen, ModeScreen) and self.paths and self.snapshot:
            self.session.recall(screen, self.paths)

    @on(Say)
    def say(self, event: Say) -> None:
        self.said.say(event.text, event.severity)

    # Keys

    def action_mode(self, mode: Mode) -> None:
        if not self._shown:
            # Textual hangs where a mode is left before its screen is there: a key typed while the program starts.
            self._first_mode = mode
            return
        # A user who goes elsewhere while a study is being read is not called back when it has been.
        self._choose_mode = False
        if mode in ("live", "layers") and self.paths is None and (pointed := self._pointed):
            self.post_message(OpenStudy(pointed, mode))
            return
        self.screen_loading.finish_style_sheets()
        # Not awaited here: the new screen's mounting may wait for this handler.
        self.run_worker(self._arrive(mode, self.switch_mode(mode)), group="mode")

    @on(ShowMode)
    def show_mode(self, event: ShowMode) -> None:
        self.action_mode(event.mode)

    @property
    def _pointed(self) -> StudyPaths | None:
        """The study that the list's cursor is on, while the list is shown."""
        screen = self.screen_stack[0]
        return screen.pointed if isinstance(screen, StudiesScreen) else None

    async def _arrive(self, mode: Mode, mounted: AwaitMount) -> None:
        await mounted
        self._mode = mode
        self.deliver()

    def action_next_theme(self) -> None:
        self.session.next_theme()

    def action_help(self) -> None:
        from embcx_tui.tui.help import HelpScreen, keys_of

        self.push_screen(HelpScreen(keys_of(self.screen, self.session.keymap)))

    # Leaving

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return too_small(self.size) if action == "quit_small" else super().check_action(action, parameters)

    async def action_quit_small(self) -> None:
        """Leave, whatever dialog is open where none can be seen."""
        await self.study_actions.leave(self._training())

    async def action_quit(self) -> None:
        """Leave; while studies train, ask whether they go on."""
        await self.study_actions.quit(self._training(), self.paths)

    def _training(self) -> list[StudyRow]:
        return training_rows(self.rows, self.paths, self.snapshot)

    def exit(self, *given: Any, **named: Any) -> None:
        """End, and remember what is open."""
        if self._shown:
            self.session.remember(self._mode, self.paths)
        super().exit(*given, **named)

    def leave_now(self) -> None:
        """End without asking, from any thread or signal handler: the terminal has gone."""
        if self._loop_here:
            self._loop_here.call_soon_threadsafe(self.exit)


def make_app(study: StudyPaths | None = None, abilities: Abilities | None = None) -> EmbcxApp:
    """Return the application, opened on `study` where one is given, for a terminal with these `abilities`."""
    return EmbcxApp(study, abilities)
