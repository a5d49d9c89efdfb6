"""Help: every key that works on a screen, taken from its bindings, so that it cannot be wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.dom import DOMNode
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from embcx_tui.tui import keys
from embcx_tui.tui.minimum_size import MinimumSizeScreen

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
    "table": "The table of numbers",
    "filter": "While filtering",
    "mode": "Modes",
    "said": "Messages",
    "export": "Saving",
    "app": "Everywhere",
}


# Where a screen has many keys, they stand by what they are for.
GROUPS = {
    "Layers: go": ("next", "previous", "down", "up", "run-on", "run-back", "panel", "panel-back", "back"),
    "Layers: see": ("chart", "chart-back", "grid", "method", "zoom", "class-0", "missed", "all"),
    "Layers: the plane": ("point", "nearer", "farther", "fit", "pan-right", "pan-left", "pan-up", "pan-down"),
    "Layers: choose and compare": ("mark", "chance", "filter"),
    "Layers: take away": ("copy", "copy-table", "export"),
    "Layers: while points are walked": (
        *("point-right", "point-left", "point-up", "point-down", "turn-on", "turn-back", "point-leave"),
    ),
}
_GROUP_OF = {f"layers.{name}": heading for heading, names in GROUPS.items() for name in names}
SIGNS = (
    ("● ◐ ◌ ·", "measured, partly measured, training, queued"),
    ("≈", "at chance: the network classifies no better than guessing"),
    ("✗  !", "diverged, or failed; not in means"),
    ("━ ╌", "trained networks, controls; ± is the standard deviation over runs"),
    ("▾ ▴ ◆ ▸", "ordered by this column, marked, under the cursor"),
)


def keys_of(screen: Screen[object], keymap: Mapping[str, str]) -> dict[str, list[tuple[str, Binding]]]:
    """Return the keys of a screen by heading, as (the keys as they are shown, binding).

    All of the screen's bindings, also those whose key the focused field takes for itself or that do nothing now.
    `keymap` has the user's keys by the id of the binding.
    """
    app: App[object] = screen.app
    by_id: dict[str, tuple[list[str], Binding]] = {}
    nodes: list[DOMNode] = [*screen.focused.ancestors_with_self] if screen.focused else [screen, app]
    for binding in (binding for node in nodes for binding in _bindings_of(node, keymap)):
        shown_keys = by_id.setdefault(binding.id or "", ([], binding))[0]
        shown = app.get_key_display(binding)
        if shown not in shown_keys:
            shown_keys.append(shown)
    groups: dict[str, list[tuple[str, Binding]]] = {}
    listed: set[str] = set()
    for id, (key_names, binding) in sorted(by_id.items(), key=lambda item: keys.order(item[0])):
        # "← →" or "0–9" stands for all keys of its kind.
        kind = id.partition(".")[0] + binding.action.partition("(")[0]
        if kind in listed and not binding.show:
            continue
        if binding.key_display:
            listed.add(kind)
        heading = _GROUP_OF.get(id) or HEADINGS.get(id.partition(".")[0], "Here")
        groups.setdefault(heading, []).append((" ".join(key_names), binding))
    # The screen's own first, what works everywhere last.
    names = [*HEADINGS.values()]
    order = [*names[: names.index("Layers")], *GROUPS, *names[names.index("Layers") :]]
    return dict(sorted(groups.items(), key=lambda group: order.index(group[0]) if group[0] in order else -1))


def _bindings_of(node: DOMNode, keymap: Mapping[str, str]) -> Iterator[Binding]:
    """Yield the bindings with a name and a sentence that the classes of a node declare, one per key."""
    for base in type(node).__mro__:
        for binding in vars(base).get("BINDINGS", ()):
            if isinstance(binding, Binding) and binding.id and binding.tooltip:
                changed = keymap.get(binding.id)
                yield from Binding.make_bindings([binding.with_key(changed) if changed else binding])


class HelpScreen(MinimumSizeScreen, ModalScreen[None]):
    """A dialog with the keys of the screen below it."""

    CSS_PATH = "widgets/dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        *keys.DIALOG,
        keys.hidden("question_mark,q,enter", "cancel"),
        keys.hidden("j", "scroll(1)"),
        keys.hidden("k", "scroll(-1)"),
        keys.hidden("g", "edge(False)"),
        keys.hidden("G", "edge(True)"),
    ]
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
            yield Static(Content("Signs"), classes="section")
            for shown, words in SIGNS:
                with Horizontal(classes="help-line"):
                    yield Static(Content.styled(shown, "$footer-key-foreground bold"), classes="help-keys")
                    yield Static(Content(words), classes="help-text")

    def action_cancel(self) -> None:
        self.dismiss()

    def action_scroll(self, by: int) -> None:
        self.query_one("#help").scroll_relative(y=by, animate=False)

    def action_edge(self, end: bool) -> None:
        window = self.query_one("#help")
        if end:
            window.scroll_end(animate=False)
        else:
            window.scroll_home(animate=False)
