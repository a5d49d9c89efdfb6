"""What all screens share: title, tabs, footer, panels, and what they say where no study is open."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events, on
from textual.app import ComposeResult, RenderResult
from textual.binding import Binding
from textual.content import Content
from textual.reactive import reactive
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from embcx_tui.store.paths import StudyPaths
from embcx_tui.tui import keys
from embcx_tui.tui.messages import Explain, Mode
from embcx_tui.tui.minimum_size import TOO_SMALL, MinimumSizeScreen
from embcx_tui.tui.notifications import Said
from embcx_tui.tui.study_row import shown_state, state_content

if TYPE_CHECKING:  # numpy and pydantic come with it: not before the first frame
    from embcx_tui.store.snapshot import Snapshot


APP_NAME = "embcx-tui"
NO_STUDY = "No study is open.\nPress s for your studies, then Enter on one."
READING_STUDY = "Reading the study …"
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
        state = state_content(shown_state(snapshot))
        name_room = room - state.cell_length - 2
        if name_room < 4:
            return state if room >= state.cell_length else Content("")
        return Content.assemble((Content(snapshot.name).truncate(name_room, ellipsis=True)), "  ", state)


class KeyBar(Bar):
    """One line: the keys that work now, in the order of the tables, as many as fit; help and quit always.

    While the application has something to say, that stands here: never over what the user looks at.
    """

    ALWAYS = ("help", "quit")

    def __init__(self) -> None:
        super().__init__()
        self._explained = ""

    def explain(self, sentence: str) -> None:
        """Show a sentence on what is under the cursor instead of the keys; nothing: the keys again."""
        if sentence != self._explained:
            self._explained = sentence
            self.refresh()

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, lambda _: self.refresh())

    def render(self) -> RenderResult:
        said: Said | None = getattr(self.app, "said", None)
        if said and said.shown:
            return self._message(said)
        if self._explained:
            return Content.styled(f" {self._explained}", "$foreground").truncate(self.size.width, ellipsis=True)
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

    def _message(self, said: Said) -> Content:
        """Return what is said now, with the key of all messages where this is not all."""
        assert said.shown is not None
        key = keys.written(self.app, "app.messages")
        more = f"  {said.unseen} more: {key} " if said.unseen else f"  {key} shows it whole "
        width, line = self.size.width, said.shown.line
        self._links.clear()
        if not said.unseen and line.cell_length <= width:
            return line
        end = Content.styled(more, "$text-muted")
        line = line.truncate(width - end.cell_length, ellipsis=True, pad=True)
        self._add_link(width - end.cell_length, end.cell_length, keys.by_id()["app.messages"].key)
        return Content.assemble(line, end)

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

    @on(Explain)
    def _explain(self, event: Explain) -> None:
        for bar in self.query(KeyBar):
            bar.explain(event.sentence)

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        """Update the keys: other screens may have changed what can be done."""
        self.refresh_bindings()


class ScreenPanels:
    """The panels of a screen, in the order of the tab key.

    While one of them has the whole screen, the screen has the class `-zoomed` and the panel the class `-alone`; the
    rest is up to the style sheet.

    Parameters
    ----------
    ids : the panels' ids
    container : returns the widget that is shown or hidden for a panel; the panel itself unless told
    """

    def __init__(
        self,
        screen: Screen[object],
        ids: Sequence[str],
        container: Callable[[Widget], Widget] = lambda panel: panel,
    ) -> None:
        self._screen, self._ids, self._container = screen, ids, container
        self._coming: Widget | None = None

    @property
    def all(self) -> list[Widget]:
        return [self._screen.query_one(f"#{id}") for id in self._ids]

    def next(self, by: int, among: Sequence[Widget] | None = None) -> Widget:
        """Return the panel `by` panels after the focused one; with no panel focused, the first, or backwards the last.

        A screen that has just been opened has no focus yet, and keys may have been typed already.
        """
        panels = self.all if among is None else among
        before = -1 if by > 0 else 0
        focused = next((index for index, panel in enumerate(panels) if panel is self.focused), before)
        return panels[(focused + by) % len(panels)]

    @property
    def focused(self) -> Widget | None:
        """The panel that has the focus, or that gets it after the next layout; None where none does."""
        return self._coming or next((panel for panel in self.all if panel.has_focus), None)

    def focus(self, panel: Widget) -> None:
        """Give `panel` the focus after the next layout: one that was hidden cannot take it before."""
        self._coming = panel
        self._screen.call_after_refresh(self._arrive, panel)

    def focus_other(self, widget: Widget) -> None:
        """Give a widget that is no panel the focus now, whatever panel was to have it."""
        self._coming = None
        self._screen.set_focus(widget)

    def _arrive(self, panel: Widget) -> None:
        if self._coming is panel:
            self._coming = None
            panel.focus()

    @property
    def zoomed(self) -> bool:
        """Whether one panel has the whole screen."""
        return self._screen.has_class("-zoomed")

    def zoom(self, panel: Widget) -> None:
        """Give a panel the whole screen."""
        for other in self.all:
            self._container(other).set_class(other is panel, "-alone")
        self._screen.add_class("-zoomed")

    def unzoom(self) -> None:
        self._screen.remove_class("-zoomed")
