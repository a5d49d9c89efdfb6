"""Notifications and their history: one message at a time in the bottom line, all of them in a window."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import ClassVar, NamedTuple

from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.timer import Timer
from textual.widgets import Static

from embcx_tui.tui import keys
from embcx_tui.tui.messages import Severity
from embcx_tui.tui.minimum_size import MinimumSizeScreen

# So long a message has the bottom line, in seconds: what asks for something to be done stays longer.
_SHOWN_S: dict[Severity, float] = {"information": 5.0, "warning": 10.0, "error": 20.0}
_SIGNS: dict[Severity, str] = {"information": "·", "warning": "!", "error": "✗"}
_COLOURS: dict[Severity, str] = {
    "information": "$foreground",
    "warning": "$text-warning bold",
    "error": "$text-error bold",
}
_KEPT = 100


class Message(NamedTuple):
    """One message; `at` in seconds since 1970."""

    at: float
    text: str
    severity: Severity

    @property
    def clock(self) -> str:
        return time.strftime("%H:%M:%S", time.localtime(self.at))

    @property
    def line(self) -> Content:
        """The message with its sign; a colour never says alone what kind it is."""
        return Content.styled(f" {_SIGNS[self.severity]} {self.text}", _COLOURS[self.severity])


class Said:
    """The messages of this session; `changed` is called when another one is to be shown, or none any more."""

    def __init__(self, app: App[None], changed: Callable[[], object]) -> None:
        self._app, self._changed = app, changed
        self._timer: Timer | None = None
        self.all: deque[Message] = deque(maxlen=_KEPT)
        """Oldest first."""
        self.shown: Message | None = None
        """The one that has the bottom line."""
        self.unseen = 0
        """How many others it took the line from."""

    def say(self, text: str, severity: Severity, seconds: float | None = None) -> None:
        """Show `text` for `seconds`, longer the more it matters."""
        self.unseen = self.unseen + 1 if self.shown else 0
        self.shown = Message(time.time(), text, severity)
        self.all.append(self.shown)
        if self._timer:
            self._timer.stop()
        self._timer = self._app.set_timer(seconds or _SHOWN_S[severity], self._clear)
        self._changed()

    def _clear(self) -> None:
        self.shown, self._timer, self.unseen = None, None, 0
        self._changed()


class NotificationsScreen(MinimumSizeScreen, ModalScreen[None]):
    """A window with all messages, the newest last."""

    CSS_PATH = "widgets/dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        *keys.SAID,
        *keys.DIALOG,
        keys.hidden("exclamation_mark,q,enter", "cancel"),
    ]
    AUTO_FOCUS = "#help"

    def __init__(self, messages: tuple[Message, ...]) -> None:
        super().__init__()
        self._messages = messages

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog", id="help") as window:
            window.border_title = "Messages"
            window.border_subtitle = "y copies · esc closes"
            if not self._messages:
                yield Static(Content("Nothing has been said yet."), classes="section")
            for message in self._messages:
                yield Static(Content.assemble(f"{message.clock} ", message.line))

    def on_mount(self) -> None:
        self.query_one("#help").scroll_end(animate=False)

    def action_copy(self) -> None:
        """Copy all messages, one per line."""
        lines = (f"{message.clock}{message.line.plain}" for message in self._messages)
        self.app.copy_to_clipboard("\n".join(lines))
        self.dismiss()

    def action_cancel(self) -> None:
        self.dismiss()
