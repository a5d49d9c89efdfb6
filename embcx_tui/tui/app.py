"""The application: four modes, the open study, and what becomes of wishes. Screens do the showing."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.binding import BindingType
from textual.command import CommandList, CommandPalette, Provider
from textual.events import Event, Paste, Resize
from textual.screen import Screen
from textual.widget import AwaitMount

from embcx_tui.store.paths import StudyPaths
from embcx_tui.study.text import safe_text
from embcx_tui.tui import keys, theme
from embcx_tui.tui.commands import Commands
from embcx_tui.tui.gc_pause import collect_when_quiet
from embcx_tui.tui.messages import (
    LookedAt,
    Mode,
    OpenStudy,
    ReuseStudy,
    Say,
    Starting,
    StudiesRead,
    StudyGone,
    StudyRead,
    StudyUnreadable,
    TelemetryRead,
)
from embcx_tui.tui.mode_screen import LEAST_HEIGHT, LEAST_WIDTH, ModeScreen, too_small
from embcx_tui.tui.session import SessionApp
from embcx_tui.tui.studies.screen import StudiesScreen
from embcx_tui.tui.study_row import StudyRow
from embcx_tui.tui.terminal import Abilities, TerminalWatch, abilities, unusable
from embcx_tui.tui.widgets.dialogs import Answer, Ask

# As long as a path can be.
_LONGEST_PASTE = 4_096
# Between pieces of work that nobody waits for: keys are taken.
_BETWEEN_S = 0.02
# A terminal that has another size is laid out after so long.
_SETTLED_S = 0.2
# Nothing was pressed for so long: what the last key began is done.
_RESTS_S = 0.4

if TYPE_CHECKING:  # numpy and pydantic come with these: not before the first frame
    from embcx_tui.store.snapshot import Snapshot
    from embcx_tui.store.telemetry import Telemetry
    from embcx_tui.tui.study_watcher import Readers


def _feed() -> ModuleType:
    from embcx_tui.tui import study_watcher

    return study_watcher


def _configure() -> Screen[None]:
    from embcx_tui.tui.configure.screen import ConfigureScreen  # imported when first shown, for a quick first frame

    return ConfigureScreen()


def _live() -> Screen[None]:
    from embcx_tui.tui.live.screen import LiveScreen

    return LiveScreen()


def _layers() -> Screen[None]:
    from embcx_tui.tui.layers.screen import LayersScreen

    return LayersScreen()


# What opening a study and the first keys there need: 0.3 s that a person would wait for.


def _fetch_layers() -> None:
    import embcx_tui.tui.layers.screen  # noqa: F401  # imported for the sake of it


def _fetch_live() -> None:
    import embcx_tui.tui.live.screen  # noqa: F401
    from embcx_tui.figures import plotext_chart

    plotext_chart.load()


def _fetch_windows() -> None:
    import embcx_tui.tui.export.dialog
    import embcx_tui.tui.help  # noqa: F401


def style_sheets() -> tuple[Path, ...]:
    """Return the style sheets of all screens, then of windows, whose rules prevail: last of the one with its own."""
    order = {"widgets": 1, "export": 2}
    found = Path(__file__).parent.rglob("*.tcss")
    return tuple(sorted(found, key=lambda path: (order.get(path.parent.name, 0), path)))


class EmbcxApp(SessionApp):
    """Holds what all modes share: the rows of the list and the open study's snapshot and telemetry."""

    TITLE = "embcx-tui"
    # The first screen's too: Textual reads all styles again for each that a screen brings.
    CSS_PATH: ClassVar[list[str | PurePath]] = ["app.tcss", "studies/studies.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = keys.APP
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {Commands}
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {
        "studies": StudiesScreen,
        "configure": _configure,
        "live": _live,
        "layers": _layers,
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
    NOTIFICATION_TIMEOUT = 6

    def __init__(self, study: StudyPaths | None = None, abilities: Abilities | None = None) -> None:
        super().__init__(abilities)
        self.rows: tuple[StudyRow, ...] = ()
        self.rows_complete = False
        self.paths: StudyPaths | None = None
        self.snapshot: Snapshot | None = None
        self.telemetry: tuple[Telemetry, ...] = ()
        self._wake = asyncio.Event()
        self._loop_here: asyncio.AbstractEventLoop | None = None
        self._wanted = study
        self._choose_mode = False
        self._shown = False
        self._readers: Readers | None = None
        self._screens_fetched = False
        self._styles = self._read_styles()
        self._first_mode: Mode | None = None
        self._starting: Starting | None = None
        self._mode: Mode = "studies"
        self._small = False

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Give every theme, also one from elsewhere, the names that our styles use."""
        return theme.DARK.variables

    def on_mount(self) -> None:
        self._loop_here = asyncio.get_running_loop()
        # Back from ctrl+z the terminal's other screen is empty; Textual would send only what has changed.
        self.app_resume_signal.subscribe(self, lambda _: self.refresh())

    async def on_event(self, event: Event) -> None:
        if isinstance(event, Paste) and event.text and not event.is_forwarded:
            # A field shows what it holds as it is: what comes from a clipboard is cleaned before.
            event = Paste(safe_text(event.text.splitlines()[0], _LONGEST_PASTE))
        await super().on_event(event)

    def on_resize(self, event: Resize) -> None:
        # Textual tells only the foremost screen its size; what lies behind a window is seen too.
        for screen in self.screen_stack[:-1]:
            screen.post_message(Resize(event.size, event.size))
        small, self._small = self._small, too_small(event.size)
        if small and not self._small:
            self.set_timer(_SETTLED_S, self._lay_out_palette)

    def _lay_out_palette(self) -> None:
        """Lay out the palette's list once more: its height, counted without a width, can stay 0."""
        if isinstance(self.screen, CommandPalette):
            for commands in self.screen.query(CommandList):
                commands.refresh(layout=True)

    def on_ready(self) -> None:
        # After the first frame: reading folders competes with drawing for the interpreter.
        self._shown = True
        self.complain()
        self.run_worker(self._follow_studies(), group="studies", exclusive=True)
        if self._wanted:
            self.post_message(OpenStudy(self._wanted))
        elif left := self.study_left_open():
            self.post_message(OpenStudy(left, self._first_mode or self.remembered.mode))
        elif self._first_mode:
            self.action_mode(self._first_mode)

    async def _follow_studies(self) -> None:
        study_watcher = await asyncio.to_thread(_feed)
        self._readers = self._readers or study_watcher.Readers()
        await study_watcher.follow_studies(self.post_message, self._wake, self._readers)

    async def _follow_study(self, paths: StudyPaths) -> None:
        study_watcher = await asyncio.to_thread(_feed)
        self._readers = self._readers or study_watcher.Readers()
        await study_watcher.follow_study(paths, self.post_message, self._wake, self._readers)

    async def _look_ahead(self, paths: StudyPaths) -> None:
        study_watcher = await asyncio.to_thread(_feed)
        self._readers = self._readers or study_watcher.Readers()
        await asyncio.to_thread(self._readers.look_ahead, paths)

    # AffinityInfo

    @on(StudiesRead)
    def studies_read(self, event: StudiesRead) -> None:
        self.rows, self.rows_complete = event.rows, event.complete
        self.watch_ends(event.rows)
        self.deliver()
        if event.complete and not self._screens_fetched:
            self._screens_fetched = True
            self.run_worker(self._fetch_screens(), group="screens")

    async def _fetch_screens(self) -> None:
        """Bring what the other screens need, in small pieces: keys come between."""
        await asyncio.to_thread(_fetch_layers)
        for _ in self._styles:
            await asyncio.sleep(_BETWEEN_S)
        for fetch in (_fetch_live, _fetch_windows):
            while self.quiet_s < _RESTS_S:
                await asyncio.sleep(_RESTS_S)
            await asyncio.to_thread(fetch)

    def _read_styles(self) -> Iterator[None]:
        """Read the style sheets that are not known yet, one at a time.

        Textual would read all there are, its own too, three times when a screen first comes: 0.1 s on a quiet machine.
        """
        for path in style_sheets():
            if not self.stylesheet.has_source(str(path)):
                self.stylesheet.read(path)
                self.stylesheet.parse()
                yield

    @on(StudyRead)
    def study_read(self, event: StudyRead) -> None:
        if event.paths != self.paths:
            return
        self.snapshot = event.snapshot
        if self._choose_mode:
            self._choose_mode = False
            self.action_mode("live" if event.snapshot.state in ("running", "queued") else "layers")
        self.deliver()

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

    # Wishes

    @on(ReuseStudy)
    def reuse_study(self, event: ReuseStudy) -> None:
        self.action_mode("configure")
        screen = self.screen_stack[0]
        assert isinstance(screen, ModeScreen)
        screen.post_message(event)

    @on(OpenStudy)
    def open_study(self, event: OpenStudy) -> None:
        """Follow a study from now on, and show it in the wished mode or the one that fits its state."""
        if event.paths != self.paths:
            self.paths, self.snapshot, self.telemetry = event.paths, None, ()
            self.run_worker(self._follow_study(event.paths), group="study", exclusive=True)
        if event.mode:
            self._choose_mode = False
            self.action_mode(event.mode)
        elif self.snapshot:
            self.action_mode("live" if self.snapshot.state in ("running", "queued") else "layers")
        else:
            self._choose_mode = True

    @on(LookedAt)
    def looked_at(self, event: LookedAt) -> None:
        if event.paths != self.paths:
            self.run_worker(self._look_ahead(event.paths), group="ahead")

    def close_study(self) -> None:
        """Follow no study any more and go back to the list."""
        self.workers.cancel_group(self, "study")
        self.paths, self.snapshot, self.telemetry, self._choose_mode = None, None, (), False
        self.action_mode("studies")

    @on(Say)
    def say(self, event: Say) -> None:
        self.notify(event.text, severity=event.severity, markup=False)

    def exit(self, *given: Any, **named: Any) -> None:
        """End, and remember what is open."""
        if self._shown:
            self.remember(self._mode, self.paths)
        super().exit(*given, **named)

    def leave_now(self) -> None:
        """End without asking, from any thread or signal handler: the terminal has gone."""
        if self._loop_here:
            self._loop_here.call_soon_threadsafe(self.exit)

    def wake_feed(self) -> None:
        """Look at once: something was just started, stopped or deleted."""
        self._wake.set()

    def deliver(self) -> None:
        """Hand what is known to the mode that is shown; the others get it when they are."""
        # What the feed posted last may come when the application closes, and has no screen any more, or half of one.
        if not self.is_running or not self.screen_stack or not self.screen_stack[0].is_mounted:
            return
        screen = self.screen_stack[0]
        for name in ("paths", "starting", "snapshot", "telemetry", "rows_complete", "rows"):
            if name in screen._reactives:
                setattr(screen, name, getattr(self, name))
        if isinstance(screen, ModeScreen) and self.paths and self.snapshot:
            self.recall(screen, self.paths)

    # Keys

    def action_mode(self, mode: Mode) -> None:
        if not self._shown:
            # Textual hangs where a mode is left before its screen is there: a key typed while the program starts.
            self._first_mode = mode
            return
        # Who goes elsewhere while a study is being read is not called back when it has been.
        self._choose_mode = False
        if mode in ("live", "layers") and self.paths is None and (pointed := self._pointed):
            self.post_message(OpenStudy(pointed, mode))
            return
        for _ in self._styles:
            pass  # what is not read yet
        # Not awaited here: the new screen's mounting may wait for this handler.
        self.run_worker(self._arrive(mode, self.switch_mode(mode)), group="mode")

    @property
    def _pointed(self) -> StudyPaths | None:
        """The study that the pointer of the list is on, while the list is shown."""
        screen = self.screen_stack[0]
        return screen.pointed if isinstance(screen, StudiesScreen) else None

    async def _arrive(self, mode: Mode, mounted: AwaitMount) -> None:
        await mounted
        self._mode = mode
        self.deliver()

    def action_help(self) -> None:
        from embcx_tui.tui.help import HelpScreen, keys_of

        self.push_screen(HelpScreen(keys_of(self.screen)))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return too_small(self.size) if action == "quit_small" else super().check_action(action, parameters)

    async def action_quit_small(self) -> None:
        """Leave, whatever window is open where none can be seen."""
        await self.leave(self._in_progress())

    def _in_progress(self) -> list[StudyRow]:
        """Return the studies that train as far as this window knows.

        The open study is read more often than the list: one that was just started is not in the list yet.
        """
        running = [row for row in self.rows if row.state == "running"]
        opened = self.paths if self.snapshot and self.snapshot.state == "running" else None
        if opened and self.snapshot and all(row.paths != opened for row in running):
            from embcx_tui.tui.study_row import row_of

            running.append(row_of(opened, self.snapshot, self.snapshot.created))
        return running

    async def action_quit(self) -> None:
        """Leave; while studies train, ask whether they go on."""
        running = self._in_progress()
        if isinstance(self.screen, Ask):
            return
        # Where no question can be shown the answer is the harmless one.
        if not running or too_small(self.size):
            await self.leave(running)
            return

        # With several that train, only the open one can be stopped from here: each is stopped where it is seen.
        named = running if len(running) == 1 else [row for row in running if row.paths == self.paths]

        def answered(answer: str | None) -> None:
            if answer:
                self.run_worker(self.leave(running, stop=named if answer == "stop" else ()))

        what = f"“{running[0].name}” is training" if len(running) == 1 else f"{len(running)} studies are training"
        stop = "Stop after this epoch" if len(running) == 1 else "Stop the open one"
        self.push_screen(
            Ask(
                "Leave embcx-tui?",
                f"{what}. Detach, and the work goes on without this window.",
                (Answer("detach", "Detach"), *((Answer("stop", stop),) if named else ())),
            ),
            answered,
        )


def make_app(study: StudyPaths | None = None, abilities: Abilities | None = None) -> EmbcxApp:
    """Return the application, opened on `study` where one is given, for a terminal with these `abilities`."""
    return EmbcxApp(study, abilities)


def run_app(study: StudyPaths | None = None) -> int:
    """Run the application in this terminal; return the exit code (2 where the terminal cannot show it)."""
    reason = unusable()
    if reason:
        print(reason, file=sys.stderr)
        return 2
    collect_when_quiet()
    app = make_app(study, abilities())
    TerminalWatch(app.leave_now).start()
    app.run()
    if app.last_words:
        # A study's name may hold what the terminal cannot show.
        print(app.last_words.encode(sys.stdout.encoding or "ascii", "replace").decode(sys.stdout.encoding or "ascii"))
    return app.return_code or 0
