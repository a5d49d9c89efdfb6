"""The form for a study file; its mistakes and the cost of the study are shown while the user types."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from errno import EISDIR
from pathlib import Path
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static

from embcx_tui.analysis import formatting
from embcx_tui.analysis.forecast import forecast, sizes
from embcx_tui.store.machine_records import ROUGH, Calibration, stored_calibration
from embcx_tui.store.paths import typed_path
from embcx_tui.study.dataset_catalogue import with_absolute_datasets
from embcx_tui.study.errors import EmbcxError, RequestError, SettingsError
from embcx_tui.study.plan import make_plan
from embcx_tui.study.settings import StudySettings, load_preset, preset_names, read_study_file, to_toml, validate
from embcx_tui.study.text import safe_text
from embcx_tui.tui import keys
from embcx_tui.tui.configure.fields import FILES, SECTIONS, FieldRow, collect, missing_file, row_of_mistake, value_at
from embcx_tui.tui.messages import CreateStudy, GpuChecked, Mode, ReuseStudy, Say, ShowMode
from embcx_tui.tui.mode_screen import ModeScreen
from embcx_tui.tui.study_row import StudyRow
from embcx_tui.tui.widgets.choices import Choices
from embcx_tui.tui.widgets.dialogs import Answer, Ask, AskText

# The form begins with the quickest study there is.
FIRST_PRESET = "demo"
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

    def __init__(self) -> None:
        super().__init__()
        self._fields: dict[str, FieldRow] = {}
        self._settings: StudySettings | None = None
        self._mistakes: dict[str, str] = {}
        self._calibration: Calibration | None = None
        self._gpu_problem = ""
        self._seconds = 0.0

    def compose_body(self) -> ComposeResult:
        with Form(id="form"):
            with Horizontal(id="start-from"):
                yield Static("start from", classes="label")
                yield Choices(preset_names(), single=True, id="presets")
            for title, fields in SECTIONS:
                yield Static(Content(title), classes="section")
                for field in fields:
                    row = FieldRow(field)
                    self._fields[field.key] = row
                    yield row
        yield Static(id="gpu")
        yield Static(id="cost")

    def on_mount(self) -> None:
        # A thread of its own, not of a pool: leaving must not wait for torch.
        threading.Thread(target=self._check_gpu, name="gpu-check", daemon=True).start()
        self._fill(load_preset(FIRST_PRESET).settings.model_dump(mode="json"))
        self.query_one("#presets", Choices).chosen = (FIRST_PRESET,)

    def watch_rows(self) -> None:
        if self._settings and stored_calibration(self._device) != self._calibration:
            self._show_cost()

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
        self.query_one("#presets", Choices).chosen = ()
        self._fill(event.settings.model_dump(mode="json"))

    # Checking

    @on(FieldRow.Changed)
    def changed(self) -> None:
        self.query_one("#presets", Choices).chosen = ()
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
        self.refresh_bindings()

    def _show_cost(self) -> None:
        if self._settings is None:
            labels = [self._fields[key].field.label for key in self._fields if key in self._mistakes]
            text = Content.assemble(
                (f"✗ {formatting.several(len(self._mistakes), 'mistake')}", "$text-error bold"),
                f" at {', '.join(labels)}" if labels else f": {self._mistakes.get('', '')}",
            )
        else:
            self._calibration = stored_calibration(self._device)
            cost = estimate(self._settings, self._calibration or ROUGH)
            self._seconds = cost.seconds
            controls = f" + {formatting.several(cost.controls, 'control')}" if cost.controls else ""
            where = "on this machine" if self._calibration else "on two CPU cores"
            text = Content.assemble(
                (f"{formatting.several(cost.networks, 'network')}{controls}", "bold $heading"),
                (" · ", "$text-disabled"),
                (formatting.several(cost.embeddings, "embedding"), "bold $heading"),
                (f" of {cost.points:,} points" if self.size.width >= 100 else "", "$text-muted"),
                (" · ", "$text-disabled"),
                (f"about {formatting.duration(cost.seconds)}", "bold $heading"),
                (f" {where}", "$text-muted"),
            )
        self.query_one("#cost", Static).update(text)
        wanted = self._settings is None or self._settings.machine.device != "cpu"
        self.query_one("#gpu", Static).set_class(bool(self._gpu_problem) and wanted, "-shown")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("start", "save"):
            return True if self._settings else None
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
            self.post_message(Say(f"saved {safe_text(path)}; embcx-tui run starts it"))

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
        self.query_one("#presets", Choices).chosen = ()
        try:
            validate(values)
        except SettingsError as error:
            # Mistakes that no field can show are shown once.
            lost = [str(mistake) for mistake in error.mistakes if not row_of_mistake(mistake.key, self._fields)]
            if lost:
                self.post_message(Say(f"left out: {safe_text('; '.join(lost))}", "warning"))
        self._fill(values)


@dataclass(frozen=True, slots=True)
class Estimate:
    """The size of a study, exact, and a rough time; `controls` are counted apart from `networks`."""

    networks: int
    controls: int
    embeddings: int
    points: int
    seconds: float


def estimate(settings: StudySettings, calibration: Calibration) -> Estimate:
    """Return the size and time of a study on this machine; takes some milliseconds for the paper's 280 networks."""
    plan = make_plan(settings)
    per_class = settings.data.samples_per_class
    return Estimate(
        networks=settings.network_count,
        controls=len(plan.networks) - settings.network_count,
        embeddings=plan.embeddings,
        points=max(sizes(dataset, settings).classes * per_class for dataset in settings.data.datasets),
        seconds=forecast(plan, calibration).total,
    )
