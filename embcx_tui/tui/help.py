"""Help: every key that works on a screen, made from its bindings, so that it cannot be wrong."""

from __future__ import annotations

from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.dom import DOMNode
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from embcx_tui.tui import keys
from embcx_tui.tui.mode_screen import MinimumSizeScreen

# The part of an id before its dot, as a heading.
HEADINGS = {
    "studies": "Studies",
    "configure": "Configure",
    "choices": "A field with choices",
    "live": "Live",
    "log": "The log",
    "log-filter": "While filtering the log",
    "log-find": "While finding words",
    "layers": "Layers",
    "filter": "While filtering",
    "mode": "Modes",
    "app": "Everywhere",
}


def keys_of(screen: Screen[object]) -> dict[str, list[tuple[str, Binding]]]:
    """Return the keys that a screen knows, by heading: (the keys as they are written, binding)."""
    app: App[object] = screen.app
    by_id: dict[str, tuple[list[str], Binding]] = {}
    # All of the screen's bindings, also those that the focused field keeps for itself or that cannot be done now.
    nodes: list[DOMNode] = [*screen.focused.ancestors_with_self] if screen.focused else [screen, app]
    for node in nodes:
        bindings = node._bindings.copy()
        bindings.apply_keymap(app._keymap)
        for key, binding in bindings:
            if binding.id and binding.tooltip:
                shown = app.get_key_display(binding.with_key(key, binding.key_display))
                known = by_id.setdefault(binding.id, ([], binding))[0]
                if shown not in known:
                    known.append(shown)
    groups: dict[str, list[tuple[str, Binding]]] = {}
    told: set[str] = set()
    for id, (shown_keys, binding) in sorted(by_id.items(), key=lambda item: keys.order(item[0])):
        # "← →" or "0–9" stands for all keys of its kind.
        kind = id.partition(".")[0] + binding.action.partition("(")[0]
        if kind in told and not binding.show:
            continue
        if binding.key_display:
            told.add(kind)
        groups.setdefault(HEADINGS.get(id.partition(".")[0], "Here"), []).append((" ".join(shown_keys), binding))
    # The screen's own first, what works everywhere last.
    order = [*HEADINGS.values()]
    return dict(sorted(groups.items(), key=lambda group: order.index(group[0]) if group[0] in order else -1))


class HelpScreen(MinimumSizeScreen, ModalScreen[None]):
    """A window with the keys of the screen below it."""

    CSS_PATH = "widgets/dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*keys.DIALOG, keys.hidden("question_mark,q,enter", "cancel")]
    AUTO_FOCUS = "#help"

    def __init__(self, groups: dict[str, list[tuple[str, Binding]]]) -> None:
        super().__init__()
        self._groups = groups

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog", id="help") as window:
            window.border_title = "Keys"
            window.border_subtitle = "esc closes"
            for heading, bindings in self._groups.items():
                yield Static(Content(heading), classes="section")
                for shown, binding in bindings:
                    with Horizontal(classes="help-line"):
                        yield Static(Content.styled(shown, "$footer-key-foreground bold"), classes="help-keys")
                        yield Static(Content(binding.tooltip), classes="help-text")

    def action_cancel(self) -> None:
        self.dismiss()
