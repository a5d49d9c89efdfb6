"""The line below the list of studies: the field of its filter, how many studies it leaves, and how many are marked."""

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

# The list is drawn again only this long after the last letter: on a slow line each costs some kilobytes.
_SETTLED_S = 0.12


class FilterLine(Horizontal):
    """A field for words that the listed studies must hold, and what is said of the list; hidden with both empty."""

    BINDINGS: ClassVar[list[BindingType]] = [keys.hidden("enter", "keep"), *keys.STUDIES_FILTER]

    class Changed(Message):
        """The words have changed."""

    class Left(Message):
        """The user has left the field; the filter stays as it is."""

    def __init__(self) -> None:
        super().__init__()
        self._settling: Timer | None = None
        self._said = ""

    def compose(self) -> ComposeResult:
        yield Static(Content("/"), id="filter-sign")
        yield Input(placeholder="words such as: digits lr=0.03 stopped", compact=True, id="filter-field", max_length=80)
        yield Static(id="filter-count")

    def on_mount(self) -> None:
        self.display = False

    @property
    def words(self) -> str:
        return self.query_one(Input).value

    @property
    def has_keys(self) -> bool:
        """Whether keys go into the field."""
        return self.query_one(Input).has_focus

    def open(self) -> None:
        """Show the field and focus it."""
        self.display = True
        self._show_field(True)
        self.query_one(Input).focus()

    def clear(self) -> None:
        """End filtering."""
        with self.prevent(Input.Changed):
            self.query_one(Input).value = ""
        self._show_field(False)

    def say(self, words: str) -> None:
        """Say something of the list, beside the field where that is shown."""
        if words != self._said:
            self._said = words
            self.query_one("#filter-count", Static).update(Content(words))
        self._show_field(self.has_keys or bool(self.words.strip()))

    def _show_field(self, shown: bool) -> None:
        self.query_one("#filter-sign").display = self.query_one(Input).display = shown
        self.display = shown or bool(self._said)

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        if self._settling:
            self._settling.stop()
        self._settling = self.set_timer(_SETTLED_S, lambda: self.post_message(self.Changed()))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_keep()

    def action_keep(self) -> None:
        """Go back to the list, filtered at once."""
        if self._settling:
            self._settling.stop()
        self.post_message(self.Changed())
        self.post_message(self.Left())

    def action_forget(self) -> None:
        self.clear()
        self.action_keep()
