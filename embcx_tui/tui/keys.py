"""The keys of every screen with their actions, footer labels and help texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from textual.app import App
from textual.binding import Binding, BindingType


def _key(id: str, key: str, action: str, label: str, tooltip: str, *, display: str | None = None) -> Binding:
    """Return a binding; `display` stands in the footer for a pair or a row of keys."""
    return Binding(key, action, label, tooltip=tooltip, id=id, key_display=display)


def _extra(id: str, key: str, action: str, label: str, tooltip: str) -> Binding:
    """Return a binding that help and palette list, but not the footer."""
    return replace(_key(id, key, action, label, tooltip), show=False)


def hidden(key: str, action: str) -> Binding:
    """Return a binding that neither footer nor help shows, such as the arrows between buttons."""
    return Binding(key, action, show=False, system=True)


# Everywhere. The title line shows the modes, so the footer leaves them out.
APP: list[BindingType] = [
    _extra("mode.studies", "s", "mode('studies')", "Studies", "The list of all studies"),
    _extra("mode.configure", "c", "mode('configure')", "Configure", "Configure a new study"),
    _extra("mode.live", "v", "mode('live')", "Live", "Watch the open study train"),
    _extra("mode.layers", "l", "mode('layers')", "Layers", "Browse the open study's layers"),
    _extra("app.theme", "ctrl+t", "next_theme", "Theme", "Next theme: dark, light, high contrast"),
    _extra("app.redraw", "ctrl+l", "redraw", "Redraw", "Draw the screen anew, where something else has written on it"),
    _extra("app.suspend", "ctrl+z", "suspend_process", "Suspend", "Back to the shell; fg returns here"),
    _extra("app.messages", "exclamation_mark", "messages", "Messages", "Read again what was said in the bottom line"),
    _extra("app.palette", "ctrl+p", "command_palette", "Commands", "Find any action or study by typing"),
    _key("app.help", "question_mark", "help", "Help", "All keys of this screen"),
    _key("app.quit", "q", "quit", "Quit", "Leave the application; training studies can go on"),
    replace(
        _extra("app.quit-now", "ctrl+q", "quit", "Quit", "Leave the application, also while typing"), priority=True
    ),
    # Takes precedence over all other keys where the terminal is too small to show anything.
    replace(hidden("q", "quit_small"), priority=True),
]

STUDY_LIST: list[BindingType] = [
    _key("studies.open", "enter", "select", "Open", "Open the study, in Live while it runs, else in Layers"),
    _key("studies.mark", "space", "mark", "Mark", "Mark the study; marked ones are compared or deleted together"),
    _key("studies.order", "o", "order", "Order", "Order the list by the cursor's column (← →); again: reversed"),
]

STUDIES: list[BindingType] = [
    _key("studies.new", "n", "new", "New", "Configure a new study"),
    _key("studies.filter", "slash", "filter", "Filter", "Filter the list: digits lr=0.03 stopped"),
    _key("studies.resume", "r", "resume", "Resume", "Start or resume the study where it stopped"),
    _key("studies.stop", "x", "stop", "Stop", "Stop the study after its epoch, or take it out of the queue"),
    _key("studies.now", "S", "start_now", "Start now", "Start the study now, whatever else runs"),
    _extra("studies.sooner", "shift+up", "queue(-1)", "Sooner", "Move the study up in the queue"),
    _extra("studies.later", "shift+down", "queue(1)", "Later", "Move the study down in the queue"),
    _key(
        "studies.delete",
        "d,delete,backspace",
        "delete",
        "Delete",
        "Delete the marked studies, else this one, with all their files, after asking",
    ),
    _key("studies.compare", "equals_sign", "compare", "Compare", "Compare the marked studies: one chart, one table"),
    _key("studies.rename", "R", "rename", "Rename", "Give the study another name; its id stays"),
    _key("studies.note", "N", "note", "Note", "Write a note on the study"),
    _key("studies.reuse", "u", "reuse", "Reuse", "Configure a new study from this one's settings"),
    _key("studies.copy", "y", "copy", "Copy", "Copy the value under the cursor (← → move it from column to column)"),
    _extra("studies.copy-table", "Y", "copy_table", "Copy table", "Copy the marked studies, else the list, as a table"),
    _key("studies.demo", "T", "demo", "Demo", "Start the one-minute demo on scikit-learn's digits"),
    _extra("studies.back", "escape", "back", "Back", "Show all studies again, or forget the marks"),
]

# Studies or groups compared; the table of numbers there has its own keys.
COMPARE: list[BindingType] = [
    _key("compare.back", "escape", "cancel", "Back", "Back to the studies, or the groups"),
    _key("compare.next", "right_square_bracket", "place(1)", "Next", "The next dataset or depth"),
    _extra("compare.previous", "left_square_bracket", "place(-1)", "Previous", "The previous dataset or depth"),
    _key("compare.panel", "tab", "app.focus_next", "Panel", "Next panel: chart, table"),
    _key("compare.export", "e", "export", "Export", "Save the chart as PNG, SVG or PDF, or the differences as CSV"),
    _key("compare.copy", "y", "copy", "Copy", "Copy the value under the cursor"),
    _key("compare.copy-table", "Y", "copy_table", "Copy table", "Copy the table: TSV, Markdown or LaTeX"),
]

STUDIES_FILTER: list[BindingType] = [
    _key("studies-filter.keep", "down,up,tab", "keep", "Keep", "Go back to the filtered list", display="enter"),
    _key("studies-filter.clear", "escape", "forget", "Clear", "Show all studies again"),
]

CONFIGURE: list[BindingType] = [
    _key("configure.start", "ctrl+r", "start", "Start", "Create this study and start it"),
    _key("configure.save", "ctrl+s", "save", "Save", "Write this study to a TOML file"),
    _key("configure.load", "ctrl+o", "load", "Load", "Fill the form from a TOML file"),
    _key("configure.files", "m", "measure_files", "Measure files", "Measure activation files of any network instead"),
    _key("configure.fetch", "f", "fetch", "Fetch", "Fetch the datasets that are missing; again: stop, keep what came"),
    _key("configure.copy", "y", "copy", "Copy", "Copy the chosen value of the field, outside a field the study file"),
    _key("configure.leave", "escape", "leave", "Leave field", "Leave the field, so that single keys work"),
    _extra("configure.next", "down,enter", "app.focus_next", "Next field", "Next field (also tab)"),
    _extra("configure.previous", "up", "app.focus_previous", "Previous field", "Previous field (also shift+tab)"),
]
# The window over the form keeps its keys.
MEASURE_FILES: list[BindingType] = [CONFIGURE[0], *CONFIGURE[-2:]]

LIVE: list[BindingType] = [
    _key("live.stop", "x", "stop", "Stop", "Stop the study after its epoch or layer; nothing is lost"),
    _key("live.resume", "r", "resume", "Resume", "Start or resume the study where it stopped"),
    _key("live.panel", "tab", "panel(1)", "Panel", "Next panel: networks, curves, machine, log"),
    _extra("live.panel-back", "shift+tab", "panel(-1)", "Previous panel", "Previous panel"),
    _key("live.mark", "space", "mark", "Mark", "Mark the network; curves of marked networks are drawn"),
    _key("live.order", "o", "order", "Order", "Sort networks by need of attention, plan, loss, test, KL"),
    _key(
        "live.quantity",
        "b",
        "quantity(1)",
        "Chart",
        "Next or previous chart: KL by layer, loss, test accuracy, training accuracy",
        display="b B",
    ),
    _extra("live.axis", "vertical_line", "axis", "Axis", "Linear or logarithmic axis of the training curves"),
    _extra("live.quantity-back", "B", "quantity(-1)", "Previous chart", "Previous chart"),
    _key("live.filter", "slash", "filter", "Filter", "Filter the networks, or the log while it has the focus"),
    _key("live.follow", "f", "follow", "Follow", "Follow the end of the log, or stay where it is"),
    _key("live.zoom", "z", "zoom", "Zoom", "The focused panel on the whole screen, and back"),
    _key("live.export", "e", "export", "Export", "Save the training curves or the screen as a file"),
    _key("live.level", "L", "level", "Level", "Log level: all lines, warnings and errors, errors only"),
    _extra("live.find", "ctrl+f", "find", "Find", "Find words in the log"),
    _extra("live.find-next", "greater_than_sign", "find_next(1)", "Next match", "Next line of the log that matches"),
    _extra(
        "live.find-back", "less_than_sign", "find_next(-1)", "Match before", "Previous line of the log that matches"
    ),
    _key("live.copy", "y", "copy", "Copy", "Copy the log's selected lines, or what the focused panel shows"),
    _extra(
        "live.back", "escape", "back", "Back", "Up: leave the whole screen, clear marks and filter, go to the studies"
    ),
]

LOG: list[BindingType] = [
    _key("log.select", "space", "select", "Select", "Select lines of the log: begin, then move, then copy"),
    _extra("log.longer", "shift+down", "select_by(1)", "Select down", "Select one more line below"),
    _extra("log.back", "shift+up", "select_by(-1)", "Select up", "Select one more line above"),
]

LOG_FILTER: list[BindingType] = [
    _key("log-filter.keep", "enter,down,up,tab", "submit", "Keep", "Go back to the filtered log", display="enter"),
    _key("log-filter.clear", "escape", "screen.back", "Clear", "Show all lines of the log again"),
]

LOG_FIND: list[BindingType] = [
    _key("log-find.find", "enter,down,up,tab", "submit", "Find", "Go to the next line that matches", display="enter"),
    _key("log-find.close", "escape", "screen.back", "Close", "Go back to the log"),
]

# While a chart has the focus, on every screen; the arrows from when its values are walked.
CHART: list[BindingType] = [
    _key("chart.walk", "p", "walk_values", "Value", "Walk the values of the chart; the bottom line says each"),
    _key(
        "chart.right",
        "right",
        "step_value(1,0)",
        "Value",
        "Chart: the next value of its line or row, then the next panel",
        display="← ↑ → ↓",
    ),
    _extra("chart.left", "left", "step_value(-1,0)", "Value before", "Chart: the value before"),
    _extra("chart.up", "up,k", "step_value(0,-1)", "Value above", "Chart: the line or row above, at the same place"),
    _extra("chart.down", "down,j", "step_value(0,1)", "Value below", "Chart: the line or row below, at the same place"),
    _key("chart.pick", "enter", "pick_value", "Go there", "Chart: go to the network and the layer of the value"),
    _key("chart.leave", "escape", "leave_values", "Leave", "Stop walking the values of the chart"),
]

# While two or more are marked in Layers: this key takes precedence over the screen's.
MARKED: list[BindingType] = [
    _key("layers.compare", "equals_sign", "compare", "Compare", "Compare the marked groups: one chart, one table"),
]

# While points are walked in Layers: these keys take precedence over the screen's.
WALKING: list[BindingType] = [
    _key(
        "layers.point-right",
        "right",
        "step(1,0)",
        "Point",
        "Point selection: the next point in that direction",
        display="← ↑ → ↓",
    ),
    _extra("layers.point-left", "left", "step(-1,0)", "Point left", "Point selection: the next point to the left"),
    _extra("layers.point-up", "up,k", "step(0,-1)", "Point above", "Point selection: the next point above"),
    _extra("layers.point-down", "down,j", "step(0,1)", "Point below", "Point selection: the next point below"),
    _key(
        "layers.turn-on",
        "full_stop",
        "turn(1)",
        "Layer",
        "Point selection: the previous or the next layer",
        display=", .",
    ),
    _extra("layers.turn-back", "comma", "turn(-1)", "Previous layer", "Point selection: the previous layer"),
    _key("layers.point-leave", "escape", "leave", "Leave", "Stop walking (keeps the point)"),
]

LAYERS: list[BindingType] = [
    _key(
        "layers.next",
        "right",
        "flip(1)",
        "Layer",
        "Next layer, toward the output, or the previous one",
        display="← →",
    ),
    _extra("layers.previous", "left", "flip(-1)", "Previous layer", "Previous layer, toward the input"),
    _key(
        "layers.down",
        "down,j",
        "walk(1)",
        "Network",
        "Down and up the tree; also j k, to its ends g G",
        display="↑ ↓",
    ),
    _extra("layers.up", "up,k", "walk(-1)", "Network above", "Up the tree"),
    _key("layers.point", "p", "point", "Point", "Choose a point and see its image; arrows walk the points"),
    _key(
        "layers.grid",
        "i",
        "grid",
        "Grid",
        "All layers of the network; again: one layer of every activation, of every run",
    ),
    _key("layers.mark", "space", "mark", "Mark", "Mark a network or a group; two or more are compared"),
    _key("layers.zoom", "z", "zoom", "Full", "The focused panel on the whole screen (from the tree: the points)"),
    _key(
        "layers.class-0",
        "0",
        "isolate(0)",
        "Class",
        "This class of the legend, the others dimmed; again: all",
        display="0–9",
    ),
    *(
        _extra(
            f"layers.class-{n}",
            str(n),
            f"isolate({n})",
            f"Class {n}",
            f"Class {n} of the legend, the others dimmed; again: all",
        )
        for n in range(1, 10)
    ),
    _key(
        "layers.missed",
        "m",
        "missed",
        "Errors",
        "Misclassified points, with the class they are taken for, the others dimmed; again: all",
    ),
    _extra("layers.all", "a", "all", "All", "Show everything again: all classes, right and wrong"),
    _key("layers.nearer", "plus", "magnify(1)", "Zoom", "Zoom in or out around the chosen point", display="+ -"),
    _extra("layers.farther", "minus", "magnify(-1)", "Zoom out", "Zoom out"),
    _extra("layers.fit", "equals_sign", "fit", "Fit", "Show all points"),
    _extra("layers.pan-right", "shift+right", "pan(1,0)", "Pan right", "Move the view to the right"),
    _extra("layers.pan-left", "shift+left", "pan(-1,0)", "Pan left", "Move the view to the left"),
    _extra("layers.pan-up", "shift+up", "pan(0,1)", "Pan up", "Move the view up"),
    _extra("layers.pan-down", "shift+down", "pan(0,-1)", "Pan down", "Move the view down"),
    _key("layers.filter", "slash", "filter", "Filter", "Filter the tree: show only networks with these words"),
    _key(
        "layers.chart",
        "b",
        "chart(1)",
        "Chart",
        "Next or previous chart: lines, bars, table of numbers, confusion matrix, heat map over epochs, accuracy",
        display="b B",
    ),
    _extra("layers.chart-back", "B", "chart(-1)", "Previous chart", "Previous chart"),
    _extra(
        "layers.epoch-on", "right_curly_bracket", "scrub(1)", "Next epoch", "The points after the next epoch measured"
    ),
    _extra(
        "layers.epoch-back", "left_curly_bracket", "scrub(-1)", "Previous epoch", "The points after the epoch before"
    ),
    _key("layers.method", "t", "method", "Method", "Show another embedding method's points, where measured"),
    _key("layers.chance", "w", "chance", "Chance", "Leave networks at chance out of means and tests, or take them in"),
    _key("layers.copy", "y", "copy", "Copy", "Copy what is under the cursor: a cell, a name, or what the panel shows"),
    _extra("layers.copy-table", "Y", "copy_table", "Copy table", "Copy the table of numbers: TSV, Markdown or LaTeX"),
    _key("layers.export", "e", "export", "Export", "Save the figure as PNG, SVG or PDF"),
    _key("layers.panel", "tab", "panel(1)", "Panel", "Next panel: tree, chart, points, numbers"),
    _extra("layers.panel-back", "shift+tab", "panel(-1)", "Previous panel", "Previous panel"),
    _extra("layers.run-on", "right_square_bracket", "network(1)", "Next run", "Next network, run by run"),
    _extra("layers.run-back", "left_square_bracket", "network(-1)", "Previous run", "Previous network, run by run"),
    _extra(
        "layers.back",
        "escape",
        "back",
        "Back",
        "Up: leave the whole screen or the grid, clear point, marks, filter; go to the studies",
    ),
]

# While the table of numbers has the focus: the arrows move its cursor.
LAYERS_TABLE: list[BindingType] = [
    _key("table.order", "o", "order", "Order", "Order the table by the column under the cursor; again: the other way"),
    _key("table.show", "enter", "pick", "Show", "Go to the network and the layer under the cursor"),
]

LAYERS_FILTER: list[BindingType] = [
    _key("filter.keep", "down,up,tab", "keep", "Keep", "Go back to the filtered tree", display="enter"),
    _key("filter.clear", "escape", "forget", "Clear", "Show all networks again"),
]

CHOICES: list[BindingType] = [
    _key("choices.toggle", "space", "choose", "Choose", "Choose this option, or leave it out"),
    _extra("choices.next", "right", "move(1)", "Next choice", "Next choice of the field"),
    _extra("choices.previous", "left", "move(-1)", "Previous choice", "Previous choice of the field"),
]

EXPORT: list[BindingType] = [
    _key("export.copy", "y", "copy", "Copy path", "Copy the path of the file that was saved"),
    _key("export.copy-scp", "Y", "copy_scp", "Copy scp", "Copy the line that fetches the saved file over scp"),
    _key("export.preview", "f3", "preview", "Preview", "See the figure on the whole screen before it is saved"),
]

# The window of messages.
SAID: list[BindingType] = [
    _key("said.copy", "y", "copy", "Copy", "Copy all messages"),
]

DIALOG: list[BindingType] = [
    _key("dialog.cancel", "escape", "cancel", "Cancel", "Close this and change nothing"),
]


# Tables whose keys work at the same time: within one of these, a key belongs to one binding.
TOGETHER: tuple[tuple[list[BindingType], ...], ...] = (
    (STUDY_LIST, STUDIES, APP),
    (STUDIES_FILTER,),
    (COMPARE, APP),
    (CONFIGURE, CHOICES, APP),
    (LIVE, APP),
    (LOG, APP),
    (LOG_FILTER,),
    (LOG_FIND,),
    (LAYERS_TABLE, LAYERS, APP),
    (WALKING, APP),
    (MARKED, APP),
    (CHART, APP),
    (LAYERS_FILTER,),
    (EXPORT, DIALOG),
    (MEASURE_FILES, CHOICES, DIALOG),
    (SAID, DIALOG),
)
_TABLES = (
    *(STUDY_LIST, STUDIES, STUDIES_FILTER, COMPARE, CONFIGURE, CHOICES, LIVE, LOG, LOG_FILTER, LOG_FIND),
    *(WALKING, CHART, MARKED, LAYERS, LAYERS_TABLE, LAYERS_FILTER, EXPORT, SAID, DIALOG, APP),
)


def by_id() -> dict[str, Binding]:
    """Return every binding whose key can be changed, by its id."""
    return {
        binding.id: binding for table in _TABLES for binding in table if isinstance(binding, Binding) and binding.id
    }


def ids_of(table: list[BindingType]) -> tuple[str, ...]:
    """Return the ids of a table's bindings."""
    return tuple(binding.id for binding in table if isinstance(binding, Binding) and binding.id)


def order(id: str) -> int:
    """Return the index of a binding in the tables: help lists keys in their order."""
    return _ORDER.get(id, len(_ORDER))


_ORDER = {id: index for index, id in enumerate(by_id())}


def written(app: App[Any], id: str) -> str:
    """Return the key of a binding as the user reads it, changed or not: for hints such as “r resumes”."""
    binding = by_id()[id]
    session = getattr(app, "session", None)
    keymap: Mapping[str, str] = session.keymap if session else {}
    return app.get_key_display(binding.with_key(keymap.get(id, binding.key).split(",")[0]))
