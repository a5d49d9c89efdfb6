"""What the application keeps of its user between two starts: theme, keys, notifications, and where it was left."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal

from textual import constants
from textual.app import App

from embcx_tui.store.paths import StudyPaths, studies_folder
from embcx_tui.study.dataset_catalogue import file_exists
from embcx_tui.study.seeds import STUDY_ID
from embcx_tui.study.text import safe_text
from embcx_tui.tui import preferences, theme
from embcx_tui.tui.keymap import check_keys
from embcx_tui.tui.messages import Mode
from embcx_tui.tui.mode_screen import ModeScreen
from embcx_tui.tui.preferences import Choice, Notify, Remembered, ThemeName
from embcx_tui.tui.study_row import RowState, StudyRow


class Session:
    """The user's preferences, and the state that comes back on the next start.

    Parameters
    ----------
    app : gets the user's theme and keys at once
    send : writes an escape sequence to the terminal
    """

    def __init__(self, app: App[None], send: Callable[[str], object]) -> None:
        self._app, self._send = app, send
        self._preferences, said = preferences.read_preferences()
        for one in theme.THEMES.values():
            app.register_theme(one)
        app.theme = theme.THEMES[self._preferences.theme].name
        self._apply_calm()
        self.remembered = preferences.read_remembered()
        self.export_choices: dict[str, Any] = dict(self.remembered.export)
        self._recalled: set[Mode] = set()
        self._states: dict[str, RowState] = {}
        self.keymap, clashes = check_keys(self._preferences.keys)
        app.set_keymap(self.keymap)
        self._complaints = (*said, *clashes)

    def complain(self) -> None:
        """Say what of the preferences could not be followed."""
        for line in self._complaints:
            self._app.notify(line, severity="warning", markup=False, timeout=12)

    # Theme and notifications

    def choose_theme(self, name: ThemeName) -> None:
        """Show a theme, and write it into the preferences."""
        self._app.theme = theme.THEMES[name].name
        self._choose("theme", name)

    def next_theme(self) -> None:
        """Choose the theme after the one that is shown."""
        names = list(theme.THEMES)
        shown = [one.name for one in theme.THEMES.values()]
        index = shown.index(self._app.theme) if self._app.theme in shown else -1
        self.choose_theme(names[(index + 1) % len(names)])

    def choose_notify(self, how: Notify) -> None:
        """Notify when a study ends this way from now on, and give an example."""
        self._choose("notify", how)
        self._preferences = replace(self._preferences, notify=how)
        self._app.notify(f"At the end of a study: {TITLES[how]}", markup=False)
        self._send(sequence(how, "embcx-tui announces the end of a study like this"))

    @property
    def notifies(self) -> Notify:
        """How the end of a study is announced."""
        return self._preferences.notify

    @property
    def calm(self) -> bool:
        """Whether little is sent: nothing flies, and images have few colours."""
        return self._preferences.calm

    def choose_calm(self, calm: bool) -> None:
        """Send little from now on, or no longer, and write it into the preferences."""
        self._choose("calm", calm)
        self._preferences = replace(self._preferences, calm=calm)
        self._apply_calm()
        self._app.notify(CALM if calm else NOT_CALM, markup=False)

    def _apply_calm(self) -> None:
        self._app.animation_level = "none" if self.calm else constants.TEXTUAL_ANIMATIONS

    def _choose(self, name: Choice, value: str | bool) -> None:
        async def write() -> None:
            if problem := await asyncio.to_thread(preferences.choose, name, value):
                self._app.notify(problem, severity="error", markup=False)

        self._app.run_worker(write(), group="preferences")

    def watch_ends(self, rows: tuple[StudyRow, ...]) -> None:
        """Announce the studies that have ended since the last call."""
        for row in ended(self._states, rows):
            severity: Literal["information", "warning"] = "information" if row.state == "complete" else "warning"
            self._app.notify(sentence(row), severity=severity, markup=False)
            self._send(sequence(self.notifies, sentence(row)))
        self._states = {row.paths.id: row.state for row in rows}

    # Coming back

    def study_left_open(self) -> StudyPaths | None:
        """Return the study that was open when the application was left, where it still exists."""
        if not STUDY_ID.fullmatch(self.remembered.study):
            return None
        paths = StudyPaths(studies_folder() / self.remembered.study)
        return paths if file_exists(paths.study_file) else None

    def recall(self, screen: ModeScreen, study: StudyPaths) -> None:
        """Give a screen what it remembered of `study`: once, with the study's first snapshot."""
        if screen.MODE in self._recalled or study.id != self.remembered.study:
            return
        self._recalled.add(screen.MODE)
        # The user may have edited the file: what a screen cannot use is forgotten.
        with contextlib.suppress(KeyError, ValueError, TypeError, IndexError, AttributeError):
            screen.recall(self.remembered.places.get(screen.MODE, {}))

    def remember(self, mode: Mode, study: StudyPaths | None) -> None:
        """Write down the mode, the open study and what the screens remember of it."""
        places: dict[str, Mapping[str, Any]] = {}
        if study:
            if study.id == self.remembered.study:
                # Screens that were not shown this time keep what they had.
                places.update(self.remembered.places)
            for screen in self._screens():
                with contextlib.suppress(Exception):  # leaving must not fail for a memory
                    places[screen.MODE] = screen.remember()
        kept = {name: state for name, state in places.items() if state}
        preferences.remember(Remembered(mode, study.id if study else "", kept, self.export_choices))

    def _screens(self) -> Iterable[ModeScreen]:
        """Yield the modes' screens that exist."""
        for mode in self._app.MODES:
            with contextlib.suppress(KeyError):  # a mode that was never shown has no screens
                screen = next(iter(self._app.get_screen_stack(mode)), None)
                if isinstance(screen, ModeScreen) and screen.is_mounted:
                    yield screen


CALM = "Calm, for a slow line: nothing flies, and images are in eight greys"
NOT_CALM = "Not calm any more: points fly from layer to layer, and images have their colours"

TITLES: dict[Notify, str] = {
    "off": "off",
    "bell": "the terminal's bell",
    "osc9": "desktop, OSC 9 (iTerm2, WezTerm, Ghostty, Windows Terminal)",
    "osc777": "desktop, OSC 777 (foot, urxvt, VTE, Ghostty)",
}
_WORDS: dict[RowState, str] = {"complete": "is complete", "failed": "has failed", "lost": "lost its worker"}


def ended(before: Mapping[str, RowState], rows: Iterable[StudyRow]) -> tuple[StudyRow, ...]:
    """Return the studies that ran when last looked at (`before`: id -> state) and have ended by themselves since."""
    return tuple(row for row in rows if before.get(row.paths.id) == "running" and row.state in _WORDS)


def sentence(row: StudyRow) -> str:
    """Return what is told of a study that has ended."""
    return f"“{row.name}” {_WORDS[row.state]}"


def sequence(how: Notify, text: str) -> str:
    """Return what makes a terminal tell `text`; nothing where notifications are off."""
    # A semicolon would end the field of an OSC, and a control character the sequence.
    plain = safe_text(text, 200).replace(";", ",")
    match how:
        case "off":
            return ""
        case "bell":
            return "\a"
        case "osc9":
            return f"\x1b]9;{plain}\x1b\\"
        case "osc777":
            return f"\x1b]777;notify;embcx-tui;{plain}\x1b\\"
