"""What of the application concerns its terminal alone: the driver, the filters of its lines, what it says."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import App
from textual.color import Color
from textual.driver import Driver
from textual.events import Resize
from textual.filter import LineFilter, Monochrome
from textual.timer import Timer

from embcx_tui.tui.command_palette import Palette
from embcx_tui.tui.driver import TerminalDriver
from embcx_tui.tui.filters import Asciified, Colourless
from embcx_tui.tui.keys import written
from embcx_tui.tui.messages import Severity
from embcx_tui.tui.mode_screen import KeyBar
from embcx_tui.tui.notifications import NotificationsScreen, Said
from embcx_tui.tui.terminal import Abilities

_QUIET_AFTER_RESIZE_S = 0.2


class TerminalApp(App[None]):
    """An application on a terminal with these `abilities`, which says what it has to say in its bottom line."""

    def __init__(self, abilities: Abilities) -> None:
        super().__init__()
        self.abilities = abilities
        self.said = Said(self, self._show_said)
        self._line_filters: list[LineFilter] = []
        self._resized: Timer | None = None
        if self.no_color:
            self._line_filters.append(Colourless(lambda: Color.parse(self.current_theme.background or "#000000").rgb))
        if not self.abilities.unicode:
            self._line_filters.append(Asciified())

    def get_driver_class(self) -> type[Driver]:
        return TerminalDriver

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Return Textual's filters and those that this terminal needs."""
        # Without colours Textual turns all to greys, which are colours too.
        given = [one for one in super().get_line_filters() if not (self.no_color and isinstance(one, Monochrome))]
        return [*given, *self._line_filters]

    def send_sequence(self, sequence: str) -> None:
        """Write an escape sequence to the terminal, if there is one."""
        # Textual's private driver: there is no public way to send a sequence of one's own.
        if sequence and self._driver and not self.is_headless:
            self._driver.write(sequence)

    def _forget_terminal(self) -> None:
        if isinstance(self._driver, TerminalDriver):
            self._driver.picture.forget()

    def on_resize(self, event: Resize) -> None:
        # What a terminal does with its cells when its size changes is its own affair.
        self._forget_terminal()
        # A frame of the size before may still be on its way: what it leaves behind is drawn over once all is quiet.
        if self._resized:
            self._resized.stop()
        self._resized = self.set_timer(_QUIET_AFTER_RESIZE_S, self.action_redraw)
        # Textual tells only the foremost screen its size; what lies behind a window is seen too.
        for screen in self.screen_stack[:-1]:
            screen.post_message(Resize(event.size, event.size))

    # What is said

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: Severity = "information",
        timeout: float | None = None,
        markup: bool = False,
    ) -> None:
        """Say `message` in the bottom line: Textual's own would lie over what the user looks at."""
        self.said.say(message, severity, timeout)

    def _show_said(self) -> None:
        for screen in self.screen_stack:
            for bar in screen.query(KeyBar):
                bar.refresh()

    # Keys of every screen

    def action_messages(self) -> None:
        self.push_screen(NotificationsScreen(tuple(self.said.all)))

    def action_help_quit(self) -> None:
        """Say how to leave, where ctrl+c was pressed: Textual's own sentence has markup, which is not shown here."""
        self.notify(f"{written(self, 'app.quit-now')} leaves the application")

    def action_redraw(self) -> None:
        """Send all cells again: something else has written to the terminal."""
        self._forget_terminal()
        self.refresh()

    def action_command_palette(self) -> None:
        if not isinstance(self.screen, Palette):
            self.push_screen(Palette())
