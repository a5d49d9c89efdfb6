"""Dialogs: a question with a few answers, and a field for one line such as a path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from embcx_tui.tui import keys
from embcx_tui.tui.minimum_size import MinimumSizeScreen


class Answer(NamedTuple):
    """The value that an answer returns, the label of its button, and whether it does harm."""

    value: str
    label: str
    harmful: bool = False


class _Dialog(MinimumSizeScreen, ModalScreen[str | None]):
    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = keys.DIALOG

    def __init__(self, title: str, text: str | Content) -> None:
        super().__init__()
        self._title = title
        self._text = Content(text) if isinstance(text, str) else text

    def action_cancel(self) -> None:
        self.dismiss(None)


class Ask(_Dialog):
    """Asks a question and returns the chosen answer's value, None where the user cancels. Enter takes the first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        keys.hidden("left,up", "app.focus_previous"),
        keys.hidden("right,down", "app.focus_next"),
    ]

    def __init__(
        self, title: str, text: str | Content, answers: Sequence[Answer], cancel: str | None = "Cancel"
    ) -> None:
        super().__init__(title, text)
        self._answers = answers
        self._cancel = cancel

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Content(self._title), classes="dialog-title")
            yield Static(self._text, classes="dialog-text")
            with Horizontal(classes="dialog-answers"):
                for answer in self._answers:
                    classes = "harmful" if answer.harmful else ""
                    yield Button(Content(answer.label), id=f"answer-{answer.value}", classes=classes)
                if self._cancel:
                    yield Button(self._cancel, id="cancel")

    @on(Button.Pressed)
    def answered(self, event: Button.Pressed) -> None:
        name = event.button.id or ""
        self.dismiss(name.removeprefix("answer-") if name.startswith("answer-") else None)


class AskText(_Dialog):
    """Asks for one line and returns it without surrounding blanks; None where the user cancels.

    Without `empty` there must be something in the line.
    """

    def __init__(self, title: str, text: str, value: str = "", answer: str = "OK", empty: bool = False) -> None:
        super().__init__(title, text)
        self._value = value
        self._answer = answer
        self._empty = empty

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Content(self._title), classes="dialog-title")
            yield Static(self._text, classes="dialog-text")
            yield Input(self._value, id="text", compact=True, select_on_focus=False)
            with Horizontal(classes="dialog-answers"):
                yield Button(Content(self._answer), id="ok")
                yield Button("Cancel", id="cancel")

    @on(Input.Submitted)
    @on(Button.Pressed, "#ok")
    def submitted(self) -> None:
        text = self.query_one("#text", Input).value.strip()
        if text or self._empty:
            self.dismiss(text)

    @on(Button.Pressed, "#cancel")
    def cancelled(self) -> None:
        self.dismiss(None)
