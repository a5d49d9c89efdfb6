"""The palette: every action of the screen and every study, found by typing."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.fuzzy import Matcher
from textual.types import IgnoreReturnCallbackType

from embcx_tui.tui import session, theme
from embcx_tui.tui.messages import OpenStudy
from embcx_tui.tui.session import SessionApp
from embcx_tui.tui.study_row import LOOKS, StudyRow

# The palette itself, and keys that only move about, need no second way.
_MOVING = ("ctrl+p", "up", "down", "left", "right", "tab", "shift+tab", "enter", "escape", "space", "ctrl+q")


class Command(NamedTuple):
    """One line of the palette: what it is called, what it does in a sentence, and doing it."""

    title: str
    about: str
    do: IgnoreReturnCallbackType


class Commands(Provider):
    """Offers the keys that work now, then the studies, newest first."""

    def _commands(self) -> Iterator[Command]:
        seen: set[str] = set()
        for node, binding, enabled, _ in self.screen.active_bindings.values():
            if enabled and binding.tooltip and binding.action not in seen and binding.key not in _MOVING:
                seen.add(binding.action)
                key = self.app.get_key_display(binding)
                do = partial(self.app.run_action, binding.action, node)
                yield Command(f"{binding.description} ({key})", binding.tooltip, do)
        yield from self._choices()
        for row in self._rows():
            look = LOOKS[row.state]
            yield Command(f"Open {row.name}", f"{look.sign} {look.word} · {row.paths.id}", partial(self._open, row))

    def _choices(self) -> Iterator[Command]:
        app = self.app
        if not isinstance(app, SessionApp):
            return
        for name, title in theme.TITLES.items():
            yield Command(f"Theme: {title}", "Remembered in preferences.toml", partial(app.choose_theme, name))
        for how, title in session.TITLES.items():
            now = ", as it is now" if how == app.notifies else ""
            yield Command(
                f"Tell the end of a study: {how}", f"{title.capitalize()}{now}", partial(app.choose_notify, how)
            )

    def _rows(self) -> tuple[StudyRow, ...]:
        return tuple(row for row in getattr(self.app, "rows", ()) if row.state != "unreadable")

    def _open(self, row: StudyRow) -> None:
        self.app.post_message(OpenStudy(row.paths))

    async def discover(self) -> Hits:
        """Yield everything, before anything is typed."""
        for command in self._commands():
            yield DiscoveryHit(
                Content(command.title),
                command.do,
                text=command.title,
                help=Content(command.about),  # type: ignore[arg-type]  # help is shown as any content is
            )

    async def search(self, query: str) -> Hits:
        """Yield what matches `query` in its title or its sentence."""
        matcher = self.matcher(query)
        for command in self._commands():
            score = max(matcher.match(command.title), 0.8 * matcher.match(command.about))
            if score > 0:
                yield Hit(
                    score,
                    _highlight(command.title, query, matcher),
                    command.do,
                    text=command.title,
                    help=Content(command.about),  # type: ignore[arg-type]  # help is shown as any content is
                )


def _highlight(title: str, query: str, matcher: Matcher) -> Content:
    """Mark what matched; `Matcher.highlight` would take a study's name for markup."""
    content = Content(title)
    for offset in matcher.fuzzy_search.match(query, title)[1]:
        content = content.stylize("$text-accent underline", offset, offset + 1)
    return content
