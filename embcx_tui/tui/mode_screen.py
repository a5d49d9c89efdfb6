"""What all screens share: title, tabs, footer, and one line where the terminal is too small."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events
from textual.app import ComposeResult, RenderResult
from textual.binding import Binding
from textual.content import Content
from textual.events import Resize
from textual.geometry import Size
from textual.reactive import reactive
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from embcx_tui.store.paths import StudyPaths
from embcx_tui.tui import keys
from embcx_tui.tui.messages import Mode
from embcx_tui.tui.study_row import state_content

if TYPE_CHECKING:  # numpy and pydantic come with it: not before the first frame
    from embcx_tui.store.snapshot import Snapshot


LEAST_WIDTH, LEAST_HEIGHT = 40, 12
# How to quit comes first: it can still be read where the line is cut.
TOO_SMALL = f"q quits · needs {LEAST_WIDTH}×{LEAST_HEIGHT} cells"


def too_small(size: Size) -> bool:
    """Return whether a terminal of this size, in cells, is too small for any screen."""
    return size.width < LEAST_WIDTH or size.height < LEAST_HEIGHT


class MinimumSizeScreen(Screen[Any]):
    """A screen that keeps its focus while the terminal is too small: Textual takes the focus from hidden widgets."""

    def __init__(self) -> None:
        super().__init__()
        self._small = False
        self._focused_before: Widget | None = None

    def on_resize(self, event: Resize) -> None:
        small = too_small(event.size)
        if small and not self._small:
            self._focused_before = self.focused
            # Hidden now, before Textual lays it out: it cannot wrap text to a width of 0.
            self.set_class(event.size.width < LEAST_WIDTH, "-tiny")
            self.set_class(event.size.height < LEAST_HEIGHT, "-flat")
            self.update_node_styles(animate=False)
        elif self._small and not small:
            self.call_after_refresh(self._restore_focus)
        self._small = small

    def _restore_focus(self) -> None:
        widget = self._focused_before
        if widget and not self._small:
            # Through the widget's own queue, which may still hold the message that the widget was hidden.
            widget.call_later(self._focus_again, widget)

    def _focus_again(self, widget: Widget) -> None:
        if self.focused is None and not self._small:
            self.set_focus(widget, scroll_visible=False)


APP_NAME = "embcx-tui"
# Their keys are looked up in the bindings when they are shown, since users can change them.
TABS: tuple[tuple[Mode, str], ...] = (
    ("studies", "Studies"),
    ("configure", "Configure"),
    ("live", "Live"),
    ("layers", "Layers"),
)


class Bar(Widget):
    """A line whose parts can be clicked like keys. Textual's own links bring their own colours."""

    def __init__(self) -> None:
        super().__init__()
        self._links: list[tuple[int, int, str]] = []

    def _add_link(self, start: int, width: int, key: str) -> None:
        """Let a click on `width` cells from column `start` on press `key`."""
        self._links.append((start, start + width, key))

    def on_click(self, event: events.Click) -> None:
        for start, end, key in self._links:
            if start <= event.x < end:
                event.stop()
                self.app.simulate_key(key)


class TitleBar(Bar):
    """One line: the application, the modes with their keys, the open study and its state."""

    mode: reactive[Mode] = reactive[Mode]("studies")
    snapshot: reactive[Snapshot | None] = reactive["Snapshot | None"](None)

    def __init__(self, mode: Mode) -> None:
        super().__init__()
        self.set_reactive(TitleBar.mode, mode)

    def render(self) -> RenderResult:
        width = self.size.width
        # A short line leaves out the name of the application.
        name = Content.styled(f" {APP_NAME} ", "$title-name bold") if width >= 100 else Content("")
        self._links.clear()
        left = self._tabs(name, width)
        room = width - left.cell_length - 2
        study = self._study(room)
        return Content.assemble(left, " " * max(room - study.cell_length + 1, 1), study, " ")

    def _tabs(self, line: Content, width: int) -> Content:
        bindings = {active.binding.action: active.binding for active in self.screen.active_bindings.values()}
        for mode, title in TABS:
            binding = bindings.get(f"mode('{mode}')")
            here = mode == self.mode
            # A narrow line has the title of the current mode only.
            word = title if width >= 60 or here else ""
            key = self.app.get_key_display(binding) if binding else ""
            label = Content.assemble(
                " ", (key, "" if here else "$title-key bold"), " " if word and key else "", word, " "
            ).stylize_before("$title-here" if here else "$title-tab")
            if binding:
                self._add_link(line.cell_length, label.cell_length, binding.key)
            line += label
        return line

    def _study(self, room: int) -> Content:
        snapshot = self.snapshot
        if snapshot is None:
            return Content.styled("no study open", "$text-muted") if room >= 13 else Content("")
        state = state_content(snapshot.state)
        name_room = room - state.cell_length - 2
        if name_room < 4:
            return state if room >= state.cell_length else Content("")
        return Content.assemble((Content(snapshot.name).truncate(name_room, ellipsis=True)), "  ", state)


class KeyBar(Bar):
    """One line: the keys that work now, in the order of the tables, as many as fit; help and quit always."""

    ALWAYS = ("help", "quit")

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, lambda _: self.refresh())

    def render(self) -> RenderResult:
        shown: dict[str, tuple[Binding, bool]] = {}
        nodes: dict[object, int] = {}
        # A key that the user has changed keeps its position: Textual puts such keys last.
        for active in sorted(
            self.screen.active_bindings.values(),
            key=lambda key: (nodes.setdefault(key.node, len(nodes)), keys.order(key.binding.id or "")),
        ):
            if active.binding.show and active.binding.description:
                shown.setdefault(active.binding.action, (active.binding, active.enabled))
        items = {action: self._item(binding, enabled) for action, (binding, enabled) in shown.items()}
        self._links.clear()
        last = [item for action, item in items.items() if action in self.ALWAYS]
        end = Content("").join(last)
        room = self.size.width - end.cell_length
        line = Content("")
        for action, item in items.items():
            if action in self.ALWAYS:
                continue
            if line.cell_length + item.cell_length > room:
                break
            self._add_link(line.cell_length, item.cell_length, shown[action][0].key)
            line += item
        start = self.size.width - end.cell_length
        for action in (action for action in items if action in self.ALWAYS):
            self._add_link(start, items[action].cell_length, shown[action][0].key)
            start += items[action].cell_length
        return Content.assemble(line, " " * (self.size.width - line.cell_length - end.cell_length), end)

    def _item(self, binding: Binding, enabled: bool) -> Content:
        key = self.app.get_key_display(binding)
        return Content.assemble(
            " ",
            (key, "$footer-key-foreground bold" if enabled else "$text-disabled"),
            (f" {binding.description}", "$footer-description-foreground" if enabled else "$text-disabled"),
            " ",
        )


class ModeScreen(MinimumSizeScreen):
    """The screen of a mode. While it is shown, the application sets its `snapshot` and `paths` to the open study's."""

    MODE: ClassVar[Mode]

    # A screen that is repainted for each of these would send all its cells again: 14 kB at 120×40.
    snapshot: reactive[Snapshot | None] = reactive["Snapshot | None"](None, repaint=False)
    paths: reactive[StudyPaths | None] = reactive[StudyPaths | None](None, repaint=False)

    def __init__(self) -> None:
        super().__init__()
        # Textual's private counter of changed styles. A new screen takes the application's, since its styles are the
        # current ones: with its own, -1, Textual parses all style sheets again, twice, before the screen is drawn.
        self._css_update_count = self.app._css_update_count

    def compose(self) -> ComposeResult:
        yield TitleBar(self.MODE).data_bind(ModeScreen.snapshot)
        yield from self.compose_body()
        yield KeyBar()
        yield Static(Content(TOO_SMALL), id="too-small")

    def compose_body(self) -> ComposeResult:
        """Yield the mode's own widgets."""
        yield from ()

    @property
    def open_snapshot(self) -> Snapshot | None:
        """The snapshot, unless it is still that of the study that was open before."""
        return self.snapshot if self.snapshot and self.paths and self.snapshot.id == self.paths.id else None

    def remember(self) -> dict[str, Any]:
        """Return the state to restore on the next start with this study open, in values that TOML can hold."""
        return {}

    def recall(self, state: Mapping[str, Any]) -> None:
        """Restore what `remember` returned, after the study's first snapshot; any value may be missing or wrong."""

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        """Update the keys: other screens may have changed what can be done."""
        self.refresh_bindings()
