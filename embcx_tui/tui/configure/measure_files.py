"""The window over the form in which files of activations are measured: it says what would be measured while one types.

The files are looked into in a process of their own, by what `embcx-tui measure --list` asks too.
"""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path, PurePath
from typing import Any, ClassVar, NamedTuple

from rich.cells import cell_len
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.timer import Timer
from textual.widgets import Button, Input, Static

from embcx_tui.analysis import formatting
from embcx_tui.study.errors import EmbcxError, RequestError, SettingsError, error_line
from embcx_tui.study.measured import MeasuredSettings
from embcx_tui.study.pooling import POOLS
from embcx_tui.study.settings import StudySettings
from embcx_tui.study.text import safe_text
from embcx_tui.tui import keys
from embcx_tui.tui.keys import written
from embcx_tui.tui.minimum_size import MinimumSizeScreen
from embcx_tui.tui.widgets.choices import Choices
from embcx_tui.tui.widgets.path_completion import PathCompletion
from embcx_tui.worker import measure_request
from embcx_tui.worker.measure_request import (
    LAYER_COLUMNS,
    MeasureRequest,
    ModelFiles,
    file_facts,
    layer_rows,
    split_labels,
    typed_paths,
)

# Pause in typing after which the files are looked into.
_PAUSE_S = 0.3
# Cells of a layer's name in the list; a longer one is cut.
_NAME = 30

# The fields in their order: its name, its label, and what stands in it while it is empty.
_FIELDS = {
    "files": ("files", "acts.npz, or of several runs: run0.h5 run1.h5; → completes"),
    "labels": ("labels", "where the files hold none: y.npy, or FILE:NAME of an array"),
    "untrained": ("untrained", "a control: the same network before training"),
    "layers": ("layers", "all; or names and patterns: conv* fc"),
    "pool": ("pooling", ""),
    "points": ("points", "rows of each network, of all classes: 1000"),
    "perplexity": ("perplexity", "30"),
    "name": ("name", "that of the file"),
}
_PATHS = ("files", "labels", "untrained")
# Keys of a study file and the field whose value they have; other mistakes stand at the files.
_KEYS = {
    "sample.points": "points",
    "measure.engine": "points",
    "measure.perplexity": "perplexity",
    "sample.pool": "pool",
    "name": "name",
}


class Draft(NamedTuple):
    """What was typed, by field, and the study that it means."""

    typed: dict[str, str]
    settings: StudySettings


class MeasureFiles(MinimumSizeScreen, ModalScreen[Draft | None]):
    """Asks for files of activations and returns the study that measures them; None where the user cancels.

    Parameters
    ----------
    typed : what the fields hold at the beginning
    refused : why the study that they meant could not begin
    """

    CSS_PATH: ClassVar[list[str | PurePath]] = ["../widgets/dialogs.tcss", "measure_files.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [*keys.DIALOG, *keys.MEASURE_FILES]
    AUTO_FOCUS = "#files"

    class Looked(Message):
        """The files were looked into: what they hold, or why they cannot be measured."""

        def __init__(self, request: MeasureRequest, found: dict[str, Any], problem: str) -> None:
            super().__init__()
            self.request, self.found, self.problem = request, found, problem

    def __init__(self, typed: dict[str, str] | None = None, refused: str = "") -> None:
        super().__init__()
        self._typed = typed or {}
        self._refused = refused
        self._pause: Timer | None = None
        self._looking = False
        self._looked: MeasureFiles.Looked | None = None
        self._settings: StudySettings | None = None

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static("Measure activation files", classes="dialog-title")
            for name, (label, hint) in _FIELDS.items():
                with Horizontal(classes="measure-line"):
                    yield Static(label, classes="measure-label")
                    if name == "pool":
                        yield Choices(POOLS, single=True, id=name)
                    else:
                        completion = PathCompletion() if name in _PATHS else None
                        yield Input(
                            self._typed.get(name, ""), hint, id=name, compact=True, select_on_focus=False,
                            suggester=completion,
                        )  # fmt: skip
                yield Static(id=f"wrong-{name}", classes="measure-wrong")
            yield Static(id="refused", classes="measure-wrong")
            with VerticalScroll(id="found"):
                yield Static(id="found-layers")
            with Horizontal(classes="dialog-answers"):
                yield Static(id="total")
                yield Button(f"Measure {written(self.app, 'configure.start')}", id="measure")
                yield Button("Cancel", id="cancel")

    def on_mount(self) -> None:
        self.query_one("#pool", Choices).chosen = (self._typed.get("pool", POOLS[0]),)
        self._check()

    # What is typed

    @on(Input.Changed)
    @on(Choices.Changed)
    def changed(self) -> None:
        # Textual tells of what fields hold at the beginning, too.
        if self._typed_now != self._typed:
            self._refused = ""
        self._check()

    @on(Input.Submitted)
    def go_on(self) -> None:
        self.focus_next()

    @property
    def _typed_now(self) -> dict[str, str]:
        return {name: self._value(name) for name in _FIELDS}

    def _value(self, name: str) -> str:
        if name == "pool":
            return self.query_one("#pool", Choices).chosen[0]
        return self.query_one(f"#{name}", Input).value.strip()

    def _request(self) -> tuple[MeasureRequest | None, dict[str, str]]:
        """Return what is asked for, and the mistakes that can be seen without looking into a file, by field."""
        mistakes: dict[str, str] = {}
        paths: dict[str, tuple[Path, ...]] = {}
        for name in ("files", "untrained"):
            try:
                paths[name] = typed_paths(self._value(name))
                _expect_there(paths[name])
            except RequestError as error:
                mistakes[name] = str(error)
        labels, array = None, ""
        try:
            if self._value("labels"):
                labels, array = split_labels(self._value("labels"))
                _expect_there((labels,))
        except RequestError as error:
            mistakes["labels"] = str(error)
        points = self._value("points")
        if points and not points.isdecimal():
            mistakes["points"] = "needs a whole number"
        if mistakes or not paths["files"]:
            return None, mistakes
        perplexity = self._value("perplexity")
        return (
            MeasureRequest(
                models=(ModelFiles("", paths["files"], paths["untrained"]),),
                labels=labels,
                labels_array=array,
                layers=tuple(self._value("layers").replace(",", " ").split()),
                pool=self._value("pool"),
                points=int(points) if points else None,
                name=self._value("name"),
                assignments=(f"measure.perplexity={perplexity}",) if perplexity else (),
            ),
            mistakes,
        )

    # What the files hold

    def _check(self) -> None:
        """Say what would be measured, or what is wrong; ask the files where that is not known yet."""
        self._settings = None
        request, mistakes = self._request()
        if self._pause:
            self._pause.stop()
        found = self._looked if request and self._looked and _asks_the_same(self._looked.request, request) else None
        if request and found is None:
            self._pause = self.set_timer(_PAUSE_S, partial(self._look, request))
        elif request and found and found.problem:
            mistakes[_field_of(found.problem, request)] = found.problem
        elif request and found:
            self._settings, mistakes = _settings_or_mistakes(request, found.found)
        for name in _FIELDS:
            line = self.query_one(f"#wrong-{name}", Static)
            line.update(Content(f"✗ {mistakes.get(name, '')}"))
            line.display = name in mistakes
        looking = request is not None and found is None
        shown = found.found if found and not found.problem else {}
        self.query_one("#found-layers", Static).update(_layers_shown(request, shown) if request and shown else "")
        total = "looking into the files …" if looking else _total(self._settings, shown)
        self.query_one("#total", Static).update(Content(total))
        refused = self.query_one("#refused", Static)
        refused.update(Content(f"✗ not started: {self._refused}"))
        refused.display = bool(self._refused)
        self.query_one("#measure", Button).disabled = self._settings is None

    def _look(self, request: MeasureRequest) -> None:
        """Look into the files in a thread; one that is looking already is followed by what is asked then."""
        if self._looking:
            return
        self._looking = True

        def body() -> None:
            try:
                found, problem = measure_request.look_into(request), ""
            except (EmbcxError, OSError) as error:
                found, problem = {}, error_line(error)
            self.post_message(self.Looked(request, found, problem))

        # A thread of its own, not of a pool: leaving must not wait for a reader.
        threading.Thread(target=body, name="measure-files", daemon=True).start()

    @on(Looked)
    def looked(self, event: Looked) -> None:
        self._looking, self._looked = False, event
        self._check()

    # Answers

    @on(Button.Pressed, "#measure")
    def action_start(self) -> None:
        if self._settings:
            self.dismiss(Draft(self._typed_now, self._settings))

    @on(Button.Pressed, "#cancel")
    def action_cancel(self) -> None:
        self.dismiss(None)


def _asks_the_same(one: MeasureRequest, other: MeasureRequest) -> bool:
    """Return whether two requests ask the same of the same files; the rest is the study file's."""
    return all(
        getattr(one, name) == getattr(other, name) for name in ("files", "labels", "labels_array", "layers", "pool")
    )


def _expect_there(paths: tuple[Path, ...]) -> None:
    """Raise RequestError with the first path at which nothing is."""
    for path in paths:
        try:
            there = path.exists()
        except (OSError, ValueError):  # a folder that may not be entered; a name too long
            there = False
        if not there:
            raise RequestError(f"there is no file {safe_text(path, 200)}")


def _settings_or_mistakes(
    request: MeasureRequest, found: dict[str, Any]
) -> tuple[StudySettings | None, dict[str, str]]:
    try:
        return measure_request.settings_of(request, found), {}
    except SettingsError as error:
        mistakes: dict[str, str] = {}
        for one in error.mistakes:
            mistakes.setdefault(_KEYS.get(one.key, "files"), one.text)
        return None, mistakes
    except RequestError as error:
        return None, {"files": str(error)}


def _field_of(problem: str, request: MeasureRequest) -> str:
    """Return the field beside which a reader's refusal stands: that of the file that it begins with, or its layers."""
    if request.layers and "no layer matches" in problem:
        return "layers"
    places = {"labels": (request.labels,) if request.labels else (), "untrained": request.models[0].untrained}
    for name, paths in places.items():
        if any(problem.startswith(safe_text(path, 200)) for path in paths):
            return name
    return "files"


def _layers_shown(request: MeasureRequest, found: dict[str, Any]) -> Content:
    """Return the files with what they hold, and the layers of the first, which all of them have."""
    lines = []
    for place, one in enumerate(found["files"]):
        control = " (untrained)" if place >= len(request.models[0].runs) else ""
        path = formatting.short_path(Path(one["path"]))
        lines.append(Content.assemble((safe_text(path, 200), "$heading"), f"{control}: {file_facts(request, one)}"))
    first = found["files"][0]
    rows = [LAYER_COLUMNS, *layer_rows(first)]
    widths = [min(_NAME, max(cell_len(row[column]) for row in rows)) for column in range(len(LAYER_COLUMNS))]
    for place, row in enumerate(rows):
        cells = [
            Content(cell).truncate(width, ellipsis=True, pad=True)
            if column in (1, 2, 3)
            else Content(cell.rjust(width))
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        line = Content("  ").join(cells)
        lines.append(line if place else line.stylize("$text-muted"))
    for skipped in first["skipped"]:
        lines.append(Content.styled(f"skipped: {skipped['name']} ({skipped['reason']})", "$text-muted"))
    return Content("\n").join(lines)


def _total(settings: StudySettings | None, found: dict[str, Any]) -> str:
    if not found or not isinstance(settings, MeasuredSettings):
        return ""
    layers = [layer for one in found["files"] for layer in one["layers"]]
    points = min(settings.sample.points, max(one["rows"] for one in found["files"]))
    size = formatting.size(sum(layer["bytes"] for layer in layers))
    return f"{formatting.several(len(layers), 'layer')} of {points:,} rows, {size}"
