"""A user's own application: theme, keys, notifications, and everything as it was left."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from textual.color import Color
from textual.filter import Monochrome

from embcx_tui.store.paths import StudyPaths, studies_folder
from embcx_tui.study.ids import STUDY_ID
from embcx_tui.study.text import safe_text
from embcx_tui.tui import preferences, theme
from embcx_tui.tui.filters import Asciified, Colourless
from embcx_tui.tui.keys import check_keys
from embcx_tui.tui.messages import Mode
from embcx_tui.tui.mode_screen import ModeScreen
from embcx_tui.tui.preferences import Notify, Remembered, ThemeName
from embcx_tui.tui.study_actions import StudyActionsApp
from embcx_tui.tui.study_row import RowState, StudyRow
from embcx_tui.tui.terminal import Abilities


class SessionApp(StudyActionsApp):
    """An application with a person's preferences and memory; `abilities` are those of its terminal."""

    def __init__(self, abilities: Abilities | None = None) -> None:
        super().__init__()
        self.abilities = abilities or Abilities()
        for one in theme.THEMES.values():
            self.register_theme(one)
        self._preferences, self._complaints = preferences.read_preferences()
        self.theme = theme.THEMES[self._preferences.theme].name
        self.remembered = preferences.read_remembered()
        self.export_choices: dict[str, Any] = dict(self.remembered.export)
        self._recalled: set[Mode] = set()
        self._states: dict[str, RowState] = {}
        keymap, said = check_keys(self._preferences.keys)
        self.set_keymap(keymap)
        self._complaints += said
        self._filter_lines()

    def _filter_lines(self) -> None:
        if self.no_color:
            # Textual turns colours to greys, which are colours too.
            self._filters = [one for one in self._filters if not isinstance(one, Monochrome)]
            self._filters.append(Colourless(self._ground))
        if not self.abilities.unicode:
            self._filters.append(Asciified())

    def _ground(self) -> tuple[int, int, int]:
        return Color.parse(self.current_theme.background or "#000000").rgb

    def complain(self) -> None:
        """Say what of the preferences could not be followed."""
        for line in self._complaints:
            self.notify(line, severity="warning", markup=False, timeout=12)

    # Theme and notifications

    def choose_theme(self, name: ThemeName) -> None:
        """Show the theme, and keep it as the person's choice."""
        self.theme = theme.THEMES[name].name
        self._choose("theme", name)

    def action_next_theme(self) -> None:
        names = list(theme.THEMES)
        here = next((place for place, one in enumerate(theme.THEMES.values()) if one.name == self.theme), -1)
        self.choose_theme(names[(here + 1) % len(names)])

    def choose_notify(self, how: Notify) -> None:
        """Tell the end of a study this way from now on, beginning with a word that shows how it is."""
        self._choose("notify", how)
        self._preferences = preferences.Preferences(self._preferences.theme, how, self._preferences.keys)
        self.notify(f"At the end of a study: {TITLES[how]}", markup=False)
        self._tell("embcx-tui tells the end of a study like this")

    @property
    def notifies(self) -> Notify:
        return self._preferences.notify

    def _choose(self, name: Literal["theme", "notify"], value: str) -> None:
        async def write() -> None:
            if problem := await asyncio.to_thread(preferences.choose, name, value):
                self.notify(problem, severity="error", markup=False)

        self.run_worker(write(), group="preferences")

    def _tell(self, text: str) -> None:
        if self._driver and not self.is_headless and (told := sequence(self.notifies, text)):
            self._driver.write(told)

    def watch_ends(self, rows: tuple[StudyRow, ...]) -> None:
        """Say which studies have ended since these rows were last looked at."""
        for row in ended(self._states, rows):
            self.notify(sentence(row), severity="information" if row.state == "complete" else "warning", markup=False)
            self._tell(sentence(row))
        self._states = {row.paths.id: row.state for row in rows}

    # Coming back

    def study_left_open(self) -> StudyPaths | None:
        """Return the study that was open when the application was left, where it still exists."""
        if not STUDY_ID.fullmatch(self.remembered.study):
            return None
        paths = StudyPaths(studies_folder() / self.remembered.study)
        return paths if paths.study_file.exists() else None

    def recall(self, screen: ModeScreen, study: StudyPaths) -> None:
        """Let a screen take up what it remembered of `study`: once, with its first snapshot."""
        if screen.MODE in self._recalled or study.id != self.remembered.study:
            return
        self._recalled.add(screen.MODE)
        # A hand may have been at the file: what a screen cannot take up is forgotten.
        with contextlib.suppress(KeyError, ValueError, TypeError, IndexError, AttributeError):
            screen.recall(self.remembered.places.get(screen.MODE, {}))

    def remember(self, mode: Mode, study: StudyPaths | None) -> None:
        """Write down the screen, the open study and what the screens remember of it."""
        places: dict[str, Mapping[str, Any]] = {}
        if study:
            if study.id == self.remembered.study:
                # Screens that were not looked at this time keep what they had.
                places.update(self.remembered.places)
            for stack in self._screen_stacks.values():
                screen = stack[0] if stack else None
                if isinstance(screen, ModeScreen) and screen.is_mounted:
                    with contextlib.suppress(Exception):  # leaving must not fail for a memory
                        places[screen.MODE] = screen.remember()
        preferences.remember(
            Remembered(
                mode, study.id if study else "", {name: one for name, one in places.items() if one}, self.export_choices
            )
        )


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
