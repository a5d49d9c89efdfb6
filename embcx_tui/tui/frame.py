"""What every mode's screen has around its body: the title line above, the keys below.

A mode's screen derives from `ModeScreen` and yields its own widgets in `compose_body`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from textual import events
from textual.app import ComposeResult, RenderResult
from textual.binding import Binding
from textual.content import Content
from textual.reactive import reactive
from textual.screen import Screen
from textual.style import Style
from textual.widget import Widget
from textual.widgets import Static

from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.tui.messages import Mode
from embcx_tui.tui.states import state_content

APP_NAME = "embcx-tui"
# (mode, title, key): the key is looked up again from the bindings when it is shown, since keys can be remapped.
TABS: tuple[tuple[Mode, str], ...] = (
    ("studies", "Studies"),
    ("configure", "Configure"),
    ("live", "Live"),
    ("layers", "Layers"),
)
TOO_SMALL = "embcx-tui needs 40×12 cells: make the window larger, or press q to quit"


def act(action: str) -> Style:
    """Return a style whose text does `action` when it is clicked."""
    return Style.from_meta({"@click": action})


class TitleBar(Widget):
    """One line: the application, the modes with their keys, the open study and its state."""

    mode: reactive[Mode] = reactive[Mode]("studies")
    snapshot: reactive[Snapshot | None] = reactive[Snapshot | None](None)

    def __init__(self, mode: Mode) -> None:
        super().__init__()
        self.set_reactive(TitleBar.mode, mode)

    def render(self) -> RenderResult:
        width = self.size.width
        # The name goes first where the line is short: the modes say enough.
        name = Content.styled(f" {APP_NAME} ", "$title-name bold") if width >= 100 else Content("")
        left = Content.assemble(name, *self._tabs(width))
        room = width - left.cell_length - 2
        study = self._study(room)
        return Content.assemble(left, " " * max(room - study.cell_length + 1, 1), study, " ")

    def _tabs(self, width: int) -> Iterator[Content]:
        keys = {
            active.binding.action: self.app.get_key_display(active.binding)
            for active in self.screen.active_bindings.values()
            if active.binding.action.startswith(("app.mode(", "mode("))
        }
        for mode, title in TABS:
            action = f"mode('{mode}')"
            here = mode == self.mode
            key = keys.get(action, "")
            style = act(f"app.{action}")
            # The key stands before the word; where it is narrow, only the mode one is in is written out.
            word = title if width >= 60 or here else ""
            label = Content.assemble(
                " ",
                (key, "$title-key bold" if not here else "bold"),
                " " if word else "",
                word,
                " ",
            )
            yield label.stylize("$title-here" if here else "$title-tab").stylize(style)

    def _study(self, room: int) -> Content:
        snapshot = self.snapshot
        if snapshot is None:
            return Content.styled("no study open", "$text-muted") if room >= 13 else Content("")
        state = state_content(snapshot.state)
        name_room = room - state.cell_length - 2
        if name_room < 4:
            return state if room >= state.cell_length else Content("")
        return Content.assemble((Content(snapshot.name).truncate(name_room, ellipsis=True)), "  ", state)


class KeyBar(Widget):
    """One line: the keys that work now, in the order of their table, as many as fit; help and quit always."""

    ALWAYS = ("help", "quit")

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, lambda _: self.refresh())

    def render(self) -> RenderResult:
        shown: dict[str, tuple[Binding, bool]] = {}
        for active in self.screen.active_bindings.values():
            if active.binding.show and active.binding.description:
                shown.setdefault(active.binding.action, (active.binding, active.enabled))
        items = {action: self._item(binding, enabled) for action, (binding, enabled) in shown.items()}
        last = [item for action, item in items.items() if action in self.ALWAYS]
        end = Content("").join(last)
        room = self.size.width - end.cell_length
        line = Content("")
        for action, item in items.items():
            if action in self.ALWAYS:
                continue
            if line.cell_length + item.cell_length > room:
                break
            line += item
        return Content.assemble(line, " " * (self.size.width - line.cell_length - end.cell_length), end)

    def _item(self, binding: Binding, enabled: bool) -> Content:
        key = self.app.get_key_display(binding)
        item = Content.assemble(
            " ",
            (key, "$footer-key-foreground bold" if enabled else "$text-disabled"),
            (f" {binding.description}", "$footer-description-foreground" if enabled else "$text-disabled"),
            " ",
        )
        return item.stylize(act(f"screen.run_key('{binding.key}')"))


class ModeScreen(Screen[None]):
    """A mode's screen. The application sets `snapshot` and `paths` of the open study on the mode that is shown."""

    MODE: ClassVar[Mode]

    snapshot: reactive[Snapshot | None] = reactive[Snapshot | None](None)
    paths: reactive[StudyPaths | None] = reactive[StudyPaths | None](None)

    def compose(self) -> ComposeResult:
        yield TitleBar(self.MODE).data_bind(ModeScreen.snapshot)
        yield from self.compose_body()
        yield KeyBar()
        yield Static(Content(TOO_SMALL), id="too-small")

    def compose_body(self) -> ComposeResult:
        """Yield the mode's own widgets."""
        yield from ()

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        """Show the keys as they are now: other screens may have changed what can be done."""
        self.refresh_bindings()

    async def action_run_key(self, key: str) -> None:
        """Do what `key` does: a click on the key bar."""
        self.app.simulate_key(key)
