"""The line below a list or a tree: the field of its filter, and what is said of what is left."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Input, Static

from embcx_tui.tui import keys

# What is filtered is drawn again only this long after the last letter: on a slow line each costs some kilobytes.
_SETTLED_S = 0.12


class FilterLine(Horizontal):
    """A field for words that what is listed must hold, and what is said of the list; hidden with both empty."""

    PLACEHOLDER: ClassVar[str] = ""

    class Changed(Message):
        """The words have changed."""

    class Left(Message):
        """The user has left the field; the filter stays as it is."""

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._settling: Timer | None = None
        self._said = ""
        self.is_open = False
        """Whether the field is shown."""

    def compose(self) -> ComposeResult:
        yield Static(Content("/"), id="filter-sign")
        yield Input(placeholder=self.PLACEHOLDER, compact=True, id="filter-field", max_length=80)
        yield Static(id="filter-count")

    def on_mount(self) -> None:
        self._show_field(False)

    @property
    def words(self) -> str:
        return self.query_one(Input).value

    @property
    def has_keys(self) -> bool:
        """Whether keys go into the field."""
        return self.query_one(Input).has_focus

    def open(self) -> None:
        """Show the field and focus it."""
        self._show_field(True)
        self.query_one(Input).focus()

    def clear(self) -> None:
        """End filtering."""
        changes = bool(self.words)
        with self.prevent(Input.Changed):
            self.query_one(Input).value = ""
        self._show_field(False)
        if changes:
            self._apply()

    def say(self, words: str) -> None:
        """Say something of the list, beside the field where that is shown."""
        if words != self._said:
            self._said = words
            self.query_one("#filter-count", Static).update(Content(words))
        self._show_field(self.is_open)

    def _show_field(self, shown: bool) -> None:
        self.is_open = shown
        self.query_one("#filter-sign").display = self.query_one(Input).display = shown
        self.display = shown or bool(self._said)

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self._stop_waiting()
        if event.value:
            self._settling = self.set_timer(_SETTLED_S, self._apply)
        else:
            self._apply()

    def _stop_waiting(self) -> None:
        if self._settling:
            self._settling.stop()
            self._settling = None

    def _apply(self) -> None:
        self._stop_waiting()
        self.post_message(self.Changed())

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_keep()

    def action_keep(self) -> None:
        """Go back to the list, filtered at once."""
        if self._settling:
            self._apply()
        self._show_field(bool(self.words.strip()))
        self.post_message(self.Left())

    def action_forget(self) -> None:
        self.clear()
        self.post_message(self.Left())


class StudiesFilter(FilterLine):
    """The filter of the list of studies."""

    BINDINGS: ClassVar[list[BindingType]] = [keys.hidden("enter", "keep"), *keys.STUDIES_FILTER]
    PLACEHOLDER = "words such as: digits lr=0.03 stopped"


class NetworksFilter(FilterLine):
    """The filter of the tree of networks."""

    BINDINGS: ClassVar[list[BindingType]] = [keys.hidden("enter", "keep"), *keys.LAYERS_FILTER]
    PLACEHOLDER = "words such as: relu run 1"

    def show_count(self, matching: int, total: int) -> None:
        """Show how many networks match, while the field is shown."""
        text = f"{matching:,} of {total:,} networks" if matching else "no network matches"
        self.say(text if self.is_open else "")
