"""The command palette: every action of the screen and every study, found by typing."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.fuzzy import Matcher
from textual.types import IgnoreReturnCallbackType

from embcx_tui.analysis import formatting
from embcx_tui.store.paths import data_folder
from embcx_tui.study.dataset_catalogue import CATALOGUE, bytes_to_fetch
from embcx_tui.study.text import safe_text
from embcx_tui.tui import keys, session, theme
from embcx_tui.tui.messages import FetchData, OpenStudy
from embcx_tui.tui.session import Session
from embcx_tui.tui.study_actions import StudyActions
from embcx_tui.tui.study_row import STATE_STYLES, StudyRow

# The palette itself and keys that only move the focus need no entry.
_MOVING = ("ctrl+p", "up", "down", "j", "k", "left", "right", "tab", "shift+tab", "enter", "escape", "space", "ctrl+q")


class Command(NamedTuple):
    """One entry of the palette: its title, a sentence on what it does, and the action itself."""

    title: str
    about: str
    action: IgnoreReturnCallbackType


class Commands(Provider):
    """Offers the keys that work now, then the studies, newest first."""

    def _commands(self) -> Iterator[Command]:
        seen: set[str] = set()
        active = sorted(self.screen.active_bindings.values(), key=_place)
        for node, binding, enabled, _ in active:
            if enabled and binding.tooltip and binding.action not in seen and binding.key not in _MOVING:
                seen.add(binding.action)
                key = self.app.get_key_display(binding)
                action = partial(self.app.run_action, binding.action, node)
                yield Command(f"{binding.description} ({key})", binding.tooltip, action)
        actions = getattr(self.app, "study_actions", None)
        if isinstance(actions, StudyActions):
            about = "Layers of a network that was trained elsewhere"
            yield Command("Measure activation files…", about, actions.measure_files)
        yield from self._missing_data()
        yield from self._preferences()
        for row in self._rows():
            style = STATE_STYLES[row.shown]
            yield Command(f"Open {row.name}", f"{style.sign} {style.word} · {row.paths.id}", partial(self._open, row))

    def _preferences(self) -> Iterator[Command]:
        current = getattr(self.app, "session", None)
        if not isinstance(current, Session):
            return
        for name, title in theme.TITLES.items():
            yield Command(f"Theme: {title}", "Remembered in preferences.toml", partial(current.choose_theme, name))
        about = session.NOT_CALM if current.calm else session.CALM
        yield Command(f"Calm: {'off' if current.calm else 'on'}", about, partial(current.choose_calm, not current.calm))
        for how, title in session.TITLES.items():
            now = ", as it is now" if how == current.notifies else ""
            choose = partial(current.choose_notify, how)
            yield Command(f"Notify when a study ends: {how}", f"{title.capitalize()}{now}", choose)

    def _missing_data(self) -> Iterator[Command]:
        for facts in CATALOGUE.values():
            if count := bytes_to_fetch(facts, data_folder()):
                fetch = partial(self.app.post_message, FetchData((facts.name,)))
                where = safe_text(formatting.short_path(data_folder()), 200)
                yield Command(f"Fetch {facts.name} ({formatting.size(count)})", f"{facts.title}, to {where}", fetch)

    def _rows(self) -> tuple[StudyRow, ...]:
        return tuple(row for row in getattr(self.app, "rows", ()) if row.state != "unreadable")

    def _open(self, row: StudyRow) -> None:
        self.app.post_message(OpenStudy(row.paths))

    async def discover(self) -> Hits:
        """Yield all commands, before anything is typed."""
        for command in self._commands():
            yield DiscoveryHit(
                Content(command.title),
                command.action,
                text=command.title,
                help=Content(command.about),  # type: ignore[arg-type]  # help is shown as any content is
            )

    async def search(self, query: str) -> Hits:
        """Yield the commands that match `query` in their title or their sentence."""
        matcher = self.matcher(query)
        for command in self._commands():
            # A sentence is found by its words: letters here and there are in each of them.
            about = 0.5 if query.strip().casefold() in command.about.casefold() else 0.0
            score = max(matcher.match(command.title), about)
            if score > 0:
                yield Hit(
                    score,
                    _highlight(command.title, query, matcher),
                    command.action,
                    text=command.title,
                    help=Content(command.about),  # type: ignore[arg-type]  # help is shown as any content is
                )


def _place(active: Any) -> tuple[bool, bool, int]:
    """Return a key's place in the palette: actions of the screen, those of all screens, the digits of classes."""
    binding = active.binding
    return binding.key.isdigit(), active.node.parent is None, keys.order(binding.id or "")


def _highlight(title: str, query: str, matcher: Matcher) -> Content:
    """Return `title` with what matched marked; `Matcher.highlight` would read a study's name as markup."""
    content = Content(title)
    for offset in matcher.fuzzy_search.match(query, title)[1]:
        content = content.stylize("$text-accent underline", offset, offset + 1)
    return content
