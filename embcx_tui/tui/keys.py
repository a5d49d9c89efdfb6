"""The keys of every screen: action, word in the footer, sentence in the help; and how users change them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import replace

from textual.app import App
from textual.binding import Binding, BindingType
from textual.keys import REPLACED_KEYS, Keys, _character_to_key

from embcx_tui.study.text import safe_text


def _key(
    id: str, key: str, action: str, label: str, tooltip: str, *, show: bool = True, priority: bool = False
) -> Binding:
    return Binding(key, action, label, show=show, tooltip=tooltip, id=id, priority=priority)


def _shown_as(binding: Binding, display: str) -> Binding:
    """Return `binding` with `display` in the footer: one entry for a pair or a row of keys."""
    return replace(binding, key_display=display)


def hidden(key: str, action: str) -> Binding:
    """Return a binding that needs no telling: arrows between buttons, say."""
    return Binding(key, action, show=False, system=True)


# Everywhere. The modes stand in the title line, so the footer leaves them out.
APP: list[BindingType] = [
    _key("mode.studies", "s", "mode('studies')", "Studies", "The list of all studies", show=False),
    _key("mode.configure", "c", "mode('configure')", "Configure", "Configure a new study", show=False),
    _key("mode.live", "v", "mode('live')", "Live", "Watch the open study train", show=False),
    _key("mode.layers", "l", "mode('layers')", "Layers", "Browse the open study's layers", show=False),
    _key("app.theme", "ctrl+t", "next_theme", "Theme", "The next theme: dark, light, high contrast", show=False),
    _key("app.suspend", "ctrl+z", "suspend_process", "Suspend", "Back to the shell; fg returns here", show=False),
    _key("app.palette", "ctrl+p", "command_palette", "Commands", "Find any action or study by typing", show=False),
    _key("app.help", "question_mark", "help", "Help", "All keys of this screen"),
    _key("app.quit", "q", "quit", "Quit", "Leave the application; what trains can go on"),
    _key(
        "app.quit-now", "ctrl+q", "quit", "Quit", "Leave the application, also while typing", show=False, priority=True
    ),
    # Before all else, and only where the terminal is too small to show what else could be pressed.
    replace(hidden("q", "quit_small"), priority=True),
]

STUDY_LIST: list[BindingType] = [
    _key("studies.open", "enter", "select", "Open", "Open the study: Live while it runs, else its layers"),
]

STUDIES: list[BindingType] = [
    _key("studies.new", "n", "new", "New", "Configure a new study"),
    _key("studies.demo", "d", "demo", "Demo", "Start the one-minute demo on scikit-learn's digits"),
    _key("studies.resume", "r", "resume", "Resume", "Start or go on with the study where it stopped"),
    _key("studies.stop", "x", "stop", "Stop", "Stop the study after its epoch; nothing is lost"),
    _key("studies.copy", "y", "reuse", "Reuse", "Configure a new study from this one's settings"),
    _key("studies.delete", "delete,backspace", "delete", "Delete", "Delete the study with all its files, after asking"),
]

CONFIGURE: list[BindingType] = [
    _key("configure.start", "ctrl+r", "start", "Start", "Create this study and start it"),
    _key("configure.save", "ctrl+s", "save", "Save", "Write this study to a TOML file"),
    _key("configure.load", "ctrl+o", "load", "Load", "Fill the form from a TOML file"),
    _key("configure.leave", "escape", "leave", "Leave field", "Leave the field, so that single keys work"),
    _key("configure.next", "down,enter", "app.focus_next", "Next field", "Next field (also tab)", show=False),
    _key("configure.previous", "up", "app.focus_previous", "Field before", "Field before (also shift+tab)", show=False),
]

LIVE: list[BindingType] = [
    _key("live.stop", "x", "stop", "Stop", "Stop the study after its epoch; nothing is lost"),
    _key("live.resume", "r", "resume", "Resume", "Start the study, or go on where it stopped"),
    _key("live.panel", "tab", "panel(1)", "Panel", "Next panel: networks, curves, machine, log"),
    _key("live.panel-back", "shift+tab", "panel(-1)", "Panel before", "Panel before", show=False),
    _key("live.mark", "space", "mark", "Mark", "Mark the network, to draw the curves of the marked ones"),
    _key("live.order", "o", "order", "Order", "Networks: those that need a look first, or by plan, loss, test, KL"),
    _key("live.quantity", "t", "quantity", "Curves", "Curves of loss, test accuracy or training accuracy"),
    _key("live.filter", "slash", "filter", "Filter", "Filter the log: words that its lines must hold"),
    _key("live.follow", "f", "follow", "Follow", "Let the log follow its end, or stay where it is"),
    _key("live.zoom", "z", "zoom", "Zoom", "The focused panel on the whole screen, and back"),
    _key("live.export", "e", "export", "Export", "Save the training curves or the screen as a file"),
    _key("live.level", "w", "level", "Level", "The log: all lines, warnings and errors, errors alone"),
    _key("live.find", "ctrl+f", "find", "Find", "Find words in the log", show=False),
    _key(
        "live.find-next", "n", "find_next(1)", "Next match", "The next line of the log with what is sought", show=False
    ),
    _key("live.find-back", "N", "find_next(-1)", "Match before", "The line of the log before", show=False),
    _key("live.copy", "y", "copy", "Copy", "Copy the log's selected lines, or what the focused panel shows"),
    _key("live.back", "escape", "back", "Back", "Back from the whole screen, or clear marks and filter", show=False),
]

LOG: list[BindingType] = [
    _key("log.select", "space", "select", "Select", "Select lines of the log: begin, then move, then copy"),
    _key("log.longer", "shift+down", "select_by(1)", "Select down", "Select a line more below", show=False),
    _key("log.back", "shift+up", "select_by(-1)", "Select up", "Select a line more above", show=False),
]

LOG_FILTER: list[BindingType] = [
    _shown_as(_key("log-filter.keep", "enter,down,up,tab", "submit", "Keep", "Back to the log, filtered"), "enter"),
    _key("log-filter.clear", "escape", "screen.back", "Clear", "Show all lines of the log again"),
]

LOG_FIND: list[BindingType] = [
    _shown_as(_key("log-find.find", "enter,down,up,tab", "submit", "Find", "Go to the next such line"), "enter"),
    _key("log-find.close", "escape", "screen.back", "Close", "Back to the log"),
]

# What works while points are walked in Layers: it stands before the screen's other keys and takes theirs.
WALKING: list[BindingType] = [
    _shown_as(
        _key("layers.point-right", "right", "step(1,0)", "Point", "Walking points: the next one that way"), "← ↑ → ↓"
    ),
    _key("layers.point-left", "left", "step(-1,0)", "Point left", "Walking points: the next to the left", show=False),
    _key("layers.point-up", "up", "step(0,-1)", "Point above", "Walking points: the next above", show=False),
    _key("layers.point-down", "down", "step(0,1)", "Point below", "Walking points: the next below", show=False),
    _shown_as(
        _key("layers.turn-on", "full_stop", "turn(1)", "Layer", "Walking points: a layer back toward the input, or on"),
        ", .",
    ),
    _key("layers.turn-back", "comma", "turn(-1)", "Layer before", "Walking points: the layer before", show=False),
    _key("layers.point-leave", "escape", "leave", "Leave", "Walk points no more; the point stays chosen"),
]

LAYERS: list[BindingType] = [
    _shown_as(
        _key("layers.next", "right", "flip(1)", "Layer", "A layer back toward the input, or on toward the output"),
        "← →",
    ),
    _key("layers.previous", "left", "flip(-1)", "Layer before", "Layer before, toward the input", show=False),
    _shown_as(_key("layers.down", "down", "walk(1)", "Network", "Up and down the tree"), "↑ ↓"),
    _key("layers.up", "up", "walk(-1)", "Network above", "Line above in the tree", show=False),
    _key(
        "layers.point", "p", "point", "Point", "Choose a point and see its image; arrows then walk from point to point"
    ),
    _key("layers.grid", "g", "grid", "Grid", "All layers of the network; again: one layer of every activation"),
    _key("layers.mark", "space", "mark", "Mark", "Mark the network; two or more are compared"),
    _key("layers.zoom", "z", "zoom", "Full", "The focused panel on the whole screen, and back"),
    _shown_as(
        _key("layers.class-0", "0", "isolate(0)", "Class", "Show only this class of the legend; again: all classes"),
        "0–9",
    ),
    *(
        _key(
            f"layers.class-{digit}",
            str(digit),
            f"isolate({digit})",
            f"Class {digit}",
            f"Show only class {digit} of the legend; again: all classes",
            show=False,
        )
        for digit in range(1, 10)
    ),
    _key("layers.missed", "m", "missed", "Missed", "Show only what the network misclassifies; again: all"),
    _key("layers.all", "a", "all", "All", "Show all classes, and what is classified rightly too", show=False),
    _shown_as(_key("layers.nearer", "plus", "magnify(1)", "Zoom", "Zoom in or out, about the chosen point"), "+ -"),
    _key("layers.farther", "minus", "magnify(-1)", "Zoom out", "Zoom out", show=False),
    _key("layers.fit", "equals_sign", "fit", "Fit", "Fit all points in", show=False),
    _key("layers.pan-right", "shift+right", "pan(1,0)", "Pan right", "Look further to the right", show=False),
    _key("layers.pan-left", "shift+left", "pan(-1,0)", "Pan left", "Look further to the left", show=False),
    _key("layers.pan-up", "shift+up", "pan(0,1)", "Pan up", "Look further up", show=False),
    _key("layers.pan-down", "shift+down", "pan(0,-1)", "Pan down", "Look further down", show=False),
    _key("layers.filter", "slash", "filter", "Filter", "Filter the tree: words that its networks must hold"),
    _key("layers.chart", "b", "chart", "Chart", "Bars; heat map over epochs; complexity against accuracy"),
    _key("layers.method", "t", "method", "Method", "Points by another embedding method, where measured"),
    _key("layers.chance", "w", "chance", "Chance", "Leave networks at chance out of all means and tests; again: in"),
    _key("layers.export", "e", "export", "Export", "Save the figure as PNG, SVG or PDF"),
    _key("layers.panel", "tab", "panel(1)", "Panel", "Next panel: tree, chart, points, numbers"),
    _key("layers.panel-back", "shift+tab", "panel(-1)", "Panel before", "Panel before", show=False),
    _key("layers.run-on", "right_square_bracket", "network(1)", "Next run", "Next single network", show=False),
    _key("layers.run-back", "left_square_bracket", "network(-1)", "Run before", "Single network before", show=False),
    _key(
        "layers.back",
        "escape",
        "back",
        "Back",
        "Back from the whole screen or the grid; then forget the point, the marks, the filter",
        show=False,
    ),
]

LAYERS_FILTER: list[BindingType] = [
    _shown_as(_key("filter.keep", "down,up,tab", "keep", "Keep", "Back to the tree with what is filtered"), "enter"),
    _key("filter.clear", "escape", "forget", "Clear", "Show all networks again"),
]

CHOICES: list[BindingType] = [
    _key("choices.toggle", "space", "choose", "Choose", "Take this one, or leave it out"),
    _key("choices.next", "right", "move(1)", "Next choice", "Next choice of the field", show=False),
    _key("choices.previous", "left", "move(-1)", "Choice before", "Choice before in the field", show=False),
]

EXPORT: list[BindingType] = [
    _key("export.preview", "f3", "preview", "Preview", "See the figure on the whole screen before it is saved"),
]

DIALOG: list[BindingType] = [
    _key("dialog.cancel", "escape", "cancel", "Cancel", "Close this and change nothing"),
]


# What can be pressed at the same time: within one of these a key belongs to one binding.
TOGETHER: tuple[tuple[list[BindingType], ...], ...] = (
    (STUDY_LIST, STUDIES, APP),
    (CONFIGURE, CHOICES, APP),
    (LIVE, APP),
    (LOG, APP),
    (LOG_FILTER,),
    (LOG_FIND,),
    (LAYERS, APP),
    (WALKING, APP),
    (LAYERS_FILTER,),
    (EXPORT, DIALOG),
)
_TABLES = (
    *(STUDY_LIST, STUDIES, CONFIGURE, CHOICES, LIVE, LOG, LOG_FILTER, LOG_FIND),
    *(WALKING, LAYERS, LAYERS_FILTER, EXPORT, DIALOG, APP),
)


def by_id() -> dict[str, Binding]:
    """Return every binding that can be given another key, by its id."""
    return {
        binding.id: binding for table in _TABLES for binding in table if isinstance(binding, Binding) and binding.id
    }


def ids_of(table: list[BindingType]) -> tuple[str, ...]:
    """Return the ids of a table's bindings."""
    return tuple(binding.id for binding in table if isinstance(binding, Binding) and binding.id)


def order(id: str) -> int:
    """Return the place of a binding on this page: help lists keys as they stand here."""
    return _PLACES.get(id, len(_PLACES))


_PLACES = {id: place for place, id in enumerate(by_id())}


_MODIFIED = re.compile(r"(?:(?:ctrl|shift|alt|super|hyper|meta)\+)*(.+)")
_NAMED = {key.value.rpartition("+")[2] for key in Keys} | set(REPLACED_KEYS)


def _is_key(text: str) -> bool:
    """Return whether `text` names a key as Textual does: `x`, `X`, `ctrl+x`, `f5`, `slash`."""
    match = _MODIFIED.fullmatch(text)
    name = match[1] if match else ""
    if len(name) == 1 or name in _NAMED:
        return True
    try:
        return bool(name) and bool(unicodedata.lookup(name.replace("_", " ")))
    except KeyError:
        return False


def _several(text: str) -> tuple[str, ...]:
    """Return the keys of a list with commas, each by its long name; a comma itself is written `comma`."""
    found = (key.strip() for key in text.split(","))
    return tuple(_character_to_key(key) if len(key) == 1 else key for key in found)


def check_keys(wanted: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the keys of `wanted` (binding id -> keys) that can be had, and a line for each that cannot."""
    known = by_id()
    said: list[str] = []
    good: dict[str, tuple[str, ...]] = {}
    for id, text in wanted.items():
        shown = safe_text(id, 40)
        bad = [key for key in _several(text) if not _is_key(key)]
        if id not in known:
            said.append(f"[keys] there is no binding “{shown}”")
        elif bad:
            said.append(f"[keys] {shown}: “{safe_text(bad[0], 20)}” is no key")
        else:
            good[id] = _several(text)
    # Taking one back may free a key for another, or take one: looked at until nothing changes.
    while clash := _clash(good, known):
        id, key, other = clash
        del good[id]
        said.append(f"[keys] {id}: {key} is the key of {other}; it keeps its own")
    return {id: ",".join(several) for id, several in good.items()}, tuple(said)


def _clash(good: Mapping[str, tuple[str, ...]], known: Mapping[str, Binding]) -> tuple[str, str, str] | None:
    """Return a changed binding, its key, and the binding of the same screen that has that key too."""
    for together in TOGETHER:
        ids = [id for table in together for id in ids_of(table)]
        held: dict[str, str] = {}
        for id in sorted(ids, key=lambda one: one in good):  # the changed ones last: they are in the wrong
            for key in good.get(id) or _several(known[id].key):
                if held.setdefault(key, id) != id and id in good:
                    return id, key, held[key]
    return None


def written(app: App[object], id: str) -> str:
    """Return the key of a binding as a person reads it, changed or not: for hints such as “r resumes”."""
    binding = by_id()[id]
    key = app._keymap.get(id, binding.key).split(",")[0]
    return app.get_key_display(binding.with_key(key))
