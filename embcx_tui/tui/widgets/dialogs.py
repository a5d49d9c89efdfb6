"""The small windows that ask something: a choice of a few answers, or a path."""

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
from embcx_tui.tui.mode_screen import MinimumSizeScreen


class Answer(NamedTuple):
    """One answer: what it returns, what its button says, and whether it is the harmful one."""

    value: str
    label: str
    harmful: bool = False


class Ask(MinimumSizeScreen, ModalScreen[str | None]):
    """Asks one question; returns the chosen answer's value, None where the person cancels. Enter takes the first."""

    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        *keys.DIALOG,
        keys.hidden("left,up", "app.focus_previous"),
        keys.hidden("right,down", "app.focus_next"),
    ]

    def __init__(
        self, title: str, text: str | Content, answers: Sequence[Answer], cancel: str | None = "Cancel"
    ) -> None:
        super().__init__()
        self._title = title
        self._text = Content(text) if isinstance(text, str) else text
        self._answers = answers
        self._cancel = cancel

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Content(self._title), classes="dialog-title")
            yield Static(self._text, classes="dialog-text")
            with Horizontal(classes="dialog-answers"):
                for answer in self._answers:
                    yield Button(
                        Content(answer.label), id=f"answer-{answer.value}", classes="harmful" if answer.harmful else ""
                    )
                if self._cancel:
                    yield Button(self._cancel, id="cancel")

    @on(Button.Pressed)
    def answered(self, event: Button.Pressed) -> None:
        name = event.button.id or ""
        self.dismiss(name.removeprefix("answer-") if name.startswith("answer-") else None)

    def action_cancel(self) -> None:
        self.dismiss(None)


class AskText(MinimumSizeScreen, ModalScreen[str | None]):
    """Asks for one line, such as a path; returns it without surrounding blanks, None where the person cancels."""

    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = keys.DIALOG

    def __init__(self, title: str, text: str, value: str = "", answer: str = "OK") -> None:
        super().__init__()
        self._title = title
        self._text = text
        self._value = value
        self._answer = answer

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Content(self._title), classes="dialog-title")
            yield Static(Content(self._text), classes="dialog-text")
            yield Input(self._value, id="text", compact=True, select_on_focus=False)
            with Horizontal(classes="dialog-answers"):
                yield Button(Content(self._answer), id="ok")
                yield Button("Cancel", id="cancel")

    @on(Input.Submitted)
    def submitted(self) -> None:
        self._done()

    @on(Button.Pressed)
    def answered(self, event: Button.Pressed) -> None:
        if event.button.id == "ok":
            self._done()
        else:
            self.dismiss(None)

    def _done(self) -> None:
        text = self.query_one("#text", Input).value.strip()
        if text:
            self.dismiss(text)

    def action_cancel(self) -> None:
        self.dismiss(None)
