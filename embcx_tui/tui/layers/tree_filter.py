"""The line in which a person types what networks of the tree must be called."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from embcx_tui.tui import keys


class FilterLine(Horizontal):
    """A field over the whole width; not shown while nothing is filtered."""

    BINDINGS: ClassVar[list[BindingType]] = [keys.hidden("enter", "keep"), *keys.LAYERS_FILTER]

    class Changed(Message):
        """What is typed has changed."""

        def __init__(self, words: str) -> None:
            self.words = words
            super().__init__()

    class Left(Message):
        """The field is left; the filter stays."""

    def compose(self) -> ComposeResult:
        yield Static(Content("/"), id="filter-sign")
        yield Input(placeholder="words such as: relu run 1", compact=True, id="filter-field", max_length=80)
        yield Static(id="filter-count")

    def on_mount(self) -> None:
        self.display = False

    @property
    def words(self) -> str:
        return self.query_one(Input).value

    @property
    def typing(self) -> bool:
        """Whether keys go into the field."""
        return self.query_one(Input).has_focus

    def open(self) -> None:
        """Show the field and take the keys."""
        self.display = True
        self.query_one(Input).focus()

    def clear(self) -> None:
        """Filter no more."""
        self.query_one(Input).value = ""
        self.display = False

    def tell(self, shown: int, of: int) -> None:
        """Say how many networks are left."""
        text = f"{shown:,} of {of:,} networks" if shown else "no network is called that"
        self.query_one("#filter-count", Static).update(Content(text))

    @on(Input.Changed)
    def typed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Changed(event.value))

    @on(Input.Submitted)
    def submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_keep()

    def action_keep(self) -> None:
        self.display = bool(self.words.strip())
        self.post_message(self.Left())

    def action_forget(self) -> None:
        self.clear()
        self.post_message(self.Left())
