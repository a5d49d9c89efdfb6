"""The form for a study file; its mistakes and the cost of the study are shown while the user types."""

from __future__ import annotations

import threading
from errno import EISDIR
from pathlib import Path
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static

from embcx_tui.analysis import formatting
from embcx_tui.store.machine_records import ROUGH, Calibration, stored_calibration
from embcx_tui.store.paths import data_folder, typed_path
from embcx_tui.study.dataset_catalogue import CATALOGUE, bytes_to_fetch, with_absolute_datasets
from embcx_tui.study.errors import EmbcxError, RequestError, SettingsError
from embcx_tui.study.settings import StudySettings, load_preset, read_study_file, to_toml, validate
from embcx_tui.study.text import safe_text
from embcx_tui.tui import keys
from embcx_tui.tui.configure.estimate import estimate
from embcx_tui.tui.configure.fields import (
    FILES,
    SECTIONS,
    FieldRow,
    as_text,
    collect,
    editor_id,
    missing_file,
    row_of_mistake,
    value_at,
)
from embcx_tui.tui.configure.preset_row import PresetRow
from embcx_tui.tui.fetch_progress import Fetch
from embcx_tui.tui.messages import (
    CreateStudy,
    FetchData,
    GpuChecked,
    MeasureActivations,
    Mode,
    ReuseStudy,
    Say,
    ShowMode,
    StudyRefused,
)
from embcx_tui.tui.mode_screen import ModeScreen
from embcx_tui.tui.queue_rows import seconds_ahead
from embcx_tui.tui.study_row import StudyRow
from embcx_tui.tui.widgets.choices import Choices
from embcx_tui.tui.widgets.dialogs import Answer, Ask, AskText

# The form begins with the quickest study there is.
FIRST_PRESET = "demo"
# Cells of the line that shows how much of a dataset has arrived.
_LINE = 20
# A study this long is not begun on the CPU beside a GPU without a question.
ASK_FROM_S = 1_800.0


class Form(VerticalScroll, can_focus=False, inherit_bindings=False):
    """The fields. Arrows move between them, so they must not scroll the container."""


class ConfigureScreen(ModeScreen):
    """Edits a study file. The application sets `rows`, since each new study may have measured this machine."""

    CSS_PATH = "configure.tcss"
    MODE: ClassVar[Mode] = "configure"
    BINDINGS: ClassVar[list[BindingType]] = keys.CONFIGURE
    AUTO_FOCUS = "#presets"

    rows: reactive[tuple[StudyRow, ...]] = reactive[tuple[StudyRow, ...]]((), init=False)
    fetch: reactive[Fetch | None] = reactive["Fetch | None"](None, init=False)
    refused: reactive[str] = reactive("", init=False)

    def __init__(self) -> None:
        super().__init__()
        self._fields: dict[str, FieldRow] = {}
        self._settings: StudySettings | None = None
        self._mistakes: dict[str, str] = {}
        self._calibration: Calibration | None = None
        self._gpu_problem = ""
        self._seconds = 0.0
        self._ahead: float | None = None
        self._to_fetch: dict[str, int] = {}

    def compose_body(self) -> ComposeResult:
        with Form(id="form"):
            yield PresetRow()
            for title, fields in SECTIONS:
                yield Static(Content(title), classes="section")
                for field in fields:
                    row = FieldRow(field)
                    self._fields[field.key] = row
                    yield row
        yield Static(id="gpu")
        yield Static(id="data")
        yield Static(id="cost")

    def on_mount(self) -> None:
        self._look_for_data()
        # A thread of its own, not of a pool: leaving must not wait for torch.
        threading.Thread(target=self._check_gpu, name="gpu-check", daemon=True).start()
        self._fill(load_preset(FIRST_PRESET).settings.model_dump(mode="json"))
        self.query_one(PresetRow).choices.chosen = (FIRST_PRESET,)

    def watch_rows(self) -> None:
        if self._settings is None:
            return
        ahead = seconds_ahead(self.rows, self._settings.machine.device)
        if ahead != self._ahead or stored_calibration(self._device) != self._calibration:
            self._show_cost()

    # The datasets

    def watch_fetch(self, before: Fetch | None, fetch: Fetch | None) -> None:
        if fetch is None or before is None or fetch.name != before.name:
            self._look_for_data()
        self._show_data()

    def watch_refused(self) -> None:
        self._show_data()

    def _look_for_data(self) -> None:
        """Look which of the known datasets are not here; no file is read."""
        self._to_fetch = {
            name: count for name, facts in CATALOGUE.items() if (count := bytes_to_fetch(facts, data_folder()))
        }
        notes = tuple((name, f"{formatting.size(count)} to fetch") for name, count in self._to_fetch.items())
        self.query_one(f"#{editor_id('data.datasets')}", Choices).notes = notes

    @property
    def _missing(self) -> tuple[str, ...]:
        """The chosen datasets that are not here."""
        chosen = self._fields["data.datasets"].value
        return tuple(name for name in chosen if name in self._to_fetch)

    def _show_data(self) -> None:
        """Say what is being fetched, else which datasets are missing, else why the last study was refused."""
        key = keys.written(self.app, "configure.fetch")
        words = Content("")
        if self.fetch:
            done, rest = formatting.progress_line(self.fetch.fraction, _LINE)
            words = Content.assemble(
                f"{self.fetch.name} ", (done, "$text-accent"), (rest, "$bar-rest"), f" {self.fetch.words} · {key} stops"
            )
        elif missing := self._missing:
            count = formatting.size(sum(self._to_fetch[name] for name in missing))
            where = safe_text(formatting.short_path(data_folder()), 200)
            are = "is" if len(missing) == 1 else "are"
            them = "it" if len(missing) == 1 else "them"
            words = Content.assemble(
                (f"✗ {', '.join(missing)} {are} not on this machine", "$text-error"),
                f" · {key} fetches {them} ({count}, to {where})",
            )
        elif self.refused:
            words = Content.styled(f"✗ not started: {self.refused}", "$text-error")
        line = self.query_one("#data", Static)
        line.update(words)
        line.set_class(bool(words), "-shown")
        self.refresh_bindings()

    def action_fetch(self) -> None:
        if self.fetch:
            self.post_message(FetchData(()))
        elif missing := self._missing:
            self.post_message(FetchData(missing))

    # The GPU

    def _check_gpu(self) -> None:
        from embcx_tui.worker.launch import gpu_problem

        try:
            problem = gpu_problem()
        except (EmbcxError, OSError):
            return  # a study will say why it cannot begin, and doctor which library fails
        if problem:
            self.post_message(GpuChecked(safe_text(problem)))

    @on(GpuChecked)
    def gpu_checked(self, event: GpuChecked) -> None:
        self._gpu_problem = event.problem
        self.query_one("#gpu", Static).update(Content(f"! {event.problem}"))
        self._show_cost()

    @property
    def _device(self) -> str:
        """The device of the form as far as it is known: `auto` is the CPU where no GPU can be used."""
        device = self._settings.machine.device if self._settings else "auto"
        return "cpu" if self._gpu_problem and device == "auto" else device

    # Filling

    def _fill(self, values: dict[str, Any]) -> None:
        for key, row in self._fields.items():
            if key == FILES:
                continue
            value = value_at(values, key)
            if key == "data.datasets":
                typed = [name for name in value if isinstance(name, str) and name not in row.field.options]
                self._fields[FILES].fill(typed)
            row.fill(value)
        self._check()

    @on(Choices.Changed, "#presets")
    def preset_chosen(self, event: Choices.Changed) -> None:
        name = event.choices.chosen[0]
        self._fill(load_preset(name).settings.model_dump(mode="json"))

    @on(ReuseStudy)
    def reuse(self, event: ReuseStudy) -> None:
        self.query_one(PresetRow).clear()
        self._fill(event.settings.model_dump(mode="json"))

    # Checking

    @on(FieldRow.Changed)
    def changed(self) -> None:
        self.query_one(PresetRow).choices.chosen = ()
        if self.refused:
            self.post_message(StudyRefused(""))
        self._check()

    def _check(self) -> None:
        values, mistakes = collect(self._fields)
        # The worker runs in another folder than the application.
        values = with_absolute_datasets(values, Path())
        self._settings = None
        try:
            settings = validate(values)
            if not mistakes:
                self._settings = settings
        except SettingsError as error:
            for mistake in error.mistakes:
                mistakes.setdefault(row_of_mistake(mistake.key, self._fields), mistake.text)
        if missing := missing_file(values):
            mistakes.setdefault(FILES, missing)
            self._settings = None
        self._mistakes = mistakes
        for key, row in self._fields.items():
            row.say(mistakes.get(key, ""))
        self._show_cost()
        self._show_data()

    def _show_cost(self) -> None:
        if self._settings is None:
            labels = [self._fields[key].field.label for key in self._fields if key in self._mistakes]
            text = Content.assemble(
                (f"✗ {formatting.several(len(self._mistakes), 'error')}", "$text-error bold"),
                f": {', '.join(labels)}" if labels else f": {self._mistakes.get('', '')}",
            )
        else:
            self._calibration = stored_calibration(self._device)
            cost = estimate(self._settings, self._calibration or ROUGH)
            self._seconds = cost.seconds
            controls = f" + {formatting.several(cost.controls, 'control')}" if cost.controls else ""
            where = "on this machine" if self._calibration else "on two CPU cores"
            self._ahead = seconds_ahead(self.rows, self._settings.machine.device)
            queued = "" if self._ahead is None else f" · queued, starts in about {formatting.duration(self._ahead)}"
            text = Content.assemble(
                (f"{formatting.several(cost.networks, 'network')}{controls}", "bold $heading"),
                (" · ", "$text-disabled"),
                (formatting.several(cost.embeddings, "embedding"), "bold $heading"),
                (f" of {cost.points:,} points" if self.size.width >= 100 else "", "$text-muted"),
                (" · ", "$text-disabled"),
                (f"about {formatting.duration(cost.seconds)}", "bold $heading"),
                (f" {where}", "$text-muted"),
                (queued, "$text-warning"),
            )
        self.query_one("#cost", Static).update(text)
        wanted = self._settings is None or self._settings.machine.device != "cpu"
        self.query_one("#gpu", Static).set_class(bool(self._gpu_problem) and wanted, "-shown")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("start", "save"):
            return True if self._settings else None
        if action == "fetch":
            return bool(self.fetch or self._missing)
        if action == "leave":
            return self.focused is not None
        return True

    # Actions

    def action_leave(self) -> None:
        """Leave the field; the second time the form."""
        if self.focused is None:
            self.post_message(ShowMode("studies"))
        else:
            self.set_focus(None)

    def action_start(self) -> None:
        settings = self._settings
        if settings is None:
            return
        self._look_for_data()
        if self._missing:
            self._ask_to_fetch()
            return
        if not self._gpu_problem or settings.machine.device != "auto" or self._seconds < ASK_FROM_S:
            self.post_message(CreateStudy(settings))
            return

        def answered(answer: str | None) -> None:
            if answer == "start":
                self.post_message(CreateStudy(settings))

        self.app.push_screen(
            Ask(
                "Compute on the CPU?",
                f"{self._gpu_problem}. On the CPU this study takes about {formatting.duration(self._seconds)}.",
                (Answer("back", "Go back"), Answer("start", "Compute on the CPU")),
                cancel=None,
            ),
            answered,
        )

    def action_measure_files(self) -> None:
        self.post_message(MeasureActivations())

    def _ask_to_fetch(self) -> None:
        """Say that a study cannot start without its data, and offer to fetch them."""
        missing = self._missing
        self._show_data()
        count = formatting.size(sum(self._to_fetch[name] for name in missing))
        words = f"{', '.join(missing)}: {count} to fetch into {safe_text(formatting.short_path(data_folder()), 200)}."
        if self.fetch:
            self.post_message(Say(f"not started: {self.fetch.name} is still being fetched", "warning"))
            return

        def answered(answer: str | None) -> None:
            if answer == "fetch":
                self.post_message(FetchData(missing))

        self.app.push_screen(Ask("The data are not on this machine", words, (Answer("fetch", "Fetch"),)), answered)

    def action_copy(self) -> None:
        """Copy what is chosen in the focused field; outside a field the study file."""
        focused = self.focused
        field = next((row for row in self._fields.values() if focused and row in focused.ancestors), None)
        if field is None and self._settings is None:
            return
        text = as_text(field.value) if field else to_toml(self._settings) if self._settings else ""
        self.app.copy_to_clipboard(text)
        self.post_message(Say(f"copied “{safe_text(text, 60)}”" if field else "copied the study file"))

    def action_save(self) -> None:
        if self._settings is None:
            return
        text = to_toml(self._settings)
        plain = "".join(char if char.isalnum() or char in "-_" else "-" for char in self._settings.name.lower())
        self.app.push_screen(
            AskText("Save as a study file", "Path of the TOML file:", f"{plain or 'study'}.toml", "Save"),
            lambda path: self._save(path, text, False) if path else None,
        )

    def _save(self, typed: str | Path, text: str, replace: bool) -> None:
        from embcx_tui.store.files import publish

        try:
            path = typed_path(typed)
        except RequestError as error:
            self.post_message(Say(str(error), "error"))
            return
        try:
            if path.exists() and not path.is_file():
                raise IsADirectoryError(EISDIR, "it is a folder or a device; give the name of a file")
            publish(path, text.encode(), replace=replace, follow=True)
        except FileExistsError:
            self.app.push_screen(
                Ask(
                    "Replace the file?",
                    f"{safe_text(path)} exists already.",
                    (Answer("keep", "Keep it"), Answer("replace", "Replace", harmful=True)),
                    cancel=None,
                ),
                lambda answer: self._save(path, text, True) if answer == "replace" else None,
            )
        except OSError as error:
            self.post_message(Say(f"{safe_text(path)}: cannot be written ({error.strerror})", "error"))
        else:
            self.post_message(Say(f"saved {safe_text(path)} · run it with: embcx-tui run {safe_text(path)}"))

    def action_load(self) -> None:
        self.app.push_screen(
            AskText("Load a study file", "Path of the TOML file:", "", "Load"),
            lambda path: self._load(path) if path else None,
        )

    def _load(self, typed: str) -> None:
        try:
            path = typed_path(typed)
            values = with_absolute_datasets(read_study_file(path), path.parent)
        except RequestError as error:
            self.post_message(Say(safe_text(error), "error"))
            return
        self.query_one(PresetRow).clear()
        try:
            validate(values)
        except SettingsError as error:
            # Mistakes that no field can show are shown once.
            lost = [str(mistake) for mistake in error.mistakes if not row_of_mistake(mistake.key, self._fields)]
            if lost:
                self.post_message(Say(f"ignored: {safe_text('; '.join(lost))}", "warning"))
        self._fill(values)
