"""The window in which a figure or the screen is saved: it asks what and how, and shows where the file is."""

from __future__ import annotations

import asyncio
import re
import shlex
import socket
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path, PurePath
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import Resize
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from embcx_tui.figures.export import FORMATS, MAX_DPI, MIN_DPI, SIZE_WORDS, file_name
from embcx_tui.store.files import make_folder, publish
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.errors import EmbcxError, error_line
from embcx_tui.study.naming import figure_kind
from embcx_tui.study.text import safe_text
from embcx_tui.tui import keys
from embcx_tui.tui.export.figure_list import NamedFigures
from embcx_tui.tui.export.preview import FullScreenPreview, Preview
from embcx_tui.tui.export.save import (
    LONGEST_PATH,
    REPORT_FIGURE,
    ExportFigure,
    ExportOptions,
    ExportText,
    export,
    flight_format,
    screen_svg,
    screen_text,
)
from embcx_tui.tui.keys import written
from embcx_tui.tui.minimum_size import MinimumSizeScreen
from embcx_tui.tui.widgets.choices import Choices

NAMED, ALL, REPORT, SCREEN_SVG, SCREEN_TEXT = SUBJECTS = (
    "a figure of the study",
    "all figures",
    "report (HTML)",
    "screen (SVG)",
    "screen (text)",
)
_ABOUT = {
    ALL: "Every figure that this study has",
    REPORT: "Settings, tables, statistics and figures as one HTML file that needs nothing else",
    SCREEN_SVG: "The screen below this window, as a picture of text",
    SCREEN_TEXT: "The screen below this window, as lines of text",
}


class _ChoiceField(Choices):
    """A choice of one option, made by moving onto it."""

    def action_move(self, step: int) -> None:
        super().action_move(step)
        self.action_choose()

    def select(self, option: str) -> None:
        self.chosen, self.cursor = (option,), self._options.index(option)

    @property
    def value(self) -> str:
        return self.chosen[0]


class ExportDialog(MinimumSizeScreen, ModalScreen[None]):
    """Asks what to save and how, saves it, and stays until the user has read the file's path.

    Parameters
    ----------
    snapshot : the study whose figures can be chosen; None where only what is shown can be saved
    figure : the name, as in `embcx-tui export --figure`, that is highlighted first among the figures of `snapshot`
    shown : what the screen below shows, by its words in the window; the first of these is chosen at the beginning
    exclude_chance : draw named figures without networks at chance, as the screen below does
    texts : tables that can be saved as well, by their words in the window
    """

    CSS_PATH: ClassVar[list[str | PurePath]] = ["../widgets/dialogs.tcss", "export.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [
        *keys.DIALOG,
        *keys.EXPORT,
        keys.hidden("enter", "save"),
        keys.hidden("up", "app.focus_previous"),
        keys.hidden("down", "app.focus_next"),
    ]
    AUTO_FOCUS = "#format"

    def __init__(
        self,
        paths: StudyPaths,
        snapshot: Snapshot | None,
        figure: str,
        shown: Mapping[str, ExportFigure] | None = None,
        exclude_chance: bool = False,
        texts: Mapping[str, ExportText] | None = None,
    ) -> None:
        super().__init__()
        self._exclude_chance = exclude_chance
        self._paths = paths
        self._snapshot = snapshot
        self._figure = figure
        self.shown = dict(shown or {})
        self._texts = dict(texts or {})
        self._saving = False
        self._saved = ""  # the path of what was saved last
        self._warned_of: Path | None = None  # exists already, and the user was told: saving again overwrites it

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Content("Save a figure"), classes="dialog-title")
            with Horizontal(id="sides"):
                with Vertical(id="form"):
                    yield from self._form()
                yield Preview(id="preview")
            with Horizontal(classes="dialog-answers"):
                yield Button(f"Preview {written(self.app, 'export.preview')}", id="open-preview")
                yield Button("Save", id="save")
                yield Button("Cancel", id="close")

    def _form(self) -> ComposeResult:
        yield Static(id="about", classes="dialog-text")
        for name, options in (
            ("what", (*self.shown, *self._texts, *(SUBJECTS if self._snapshot else (SCREEN_SVG, SCREEN_TEXT)))),
            ("format", tuple(format.upper() for format in FORMATS)),
            ("size", tuple(SIZE_WORDS)),
        ):
            with Horizontal(classes="export-line"):
                yield Static(name, classes="export-label")
                yield _ChoiceField(options, single=True, id=name)
            if name == "what":
                yield NamedFigures(self._figure, id="named")
        with Horizontal(classes="export-line"):
            yield Static("dpi", classes="export-label")
            yield Input(id="dpi", compact=True, type="integer")
        with Horizontal(classes="export-line"):
            yield Static("folder", classes="export-label")
            yield Input(id="folder", compact=True, placeholder="this study's exports")
        yield Static(id="outcome")

    def on_mount(self) -> None:
        self.query_one("#outcome").display = False
        self.query_one(NamedFigures).display = not self.shown
        self.query_one(".dialog").set_class(not self.query_one(Preview).unavailable, "-with-preview")
        if self._snapshot:
            self.query_one(NamedFigures).gather(self._paths, self._snapshot, self._exclude_chance)
        options = ExportOptions.from_values(getattr(self.app, "export_choices", {}))
        self._field("what").select(next(iter(self.shown), NAMED))
        self._field("format").select(options.format.upper())
        self._field("size").select(options.size)
        self.query_one("#dpi", Input).value = str(options.dpi)
        self.query_one("#folder", Input).value = options.folder
        # After the layout, which gives the preview its size.
        self.call_after_refresh(self._describe)

    def on_resize(self, event: Resize) -> None:
        self.call_after_refresh(self._describe)

    def _field(self, name: str) -> _ChoiceField:
        return self.query_one(f"#{name}", _ChoiceField)

    @on(Choices.Changed)
    @on(NamedFigures.Changed)
    def _describe(self) -> None:
        """Say what is chosen and what its file will be called, and preview it where that is possible."""
        subject, named, figure = self._subject, self.query_one(NamedFigures), self._selected_figure
        named.display = subject == NAMED
        if subject in self.shown:
            about = self.shown[subject].title
        elif subject in self._texts:
            about = self._texts[subject].title
        elif subject == NAMED:
            about = named.about or ("No figure matches" if named.chosen is None else "…")
        else:
            about = _ABOUT[subject]
        nothing = subject == NAMED and figure is None
        format = self._field("format").value.lower()
        name = "" if nothing else f"*.{format}" if subject == ALL else self._file_name(format)
        self.query_one("#about", Static).update(
            Content.assemble(about[:1].upper() + about[1:], "\n", (safe_text(name, 200), "$text-muted"))
        )
        self.query_one("#open-preview", Button).disabled = figure is None
        self.query_one("#save", Button).disabled = self._saving or nothing
        size = self._size_option if figure else ""
        self.query_one(Preview).request(self._paths, figure, size, self._exclude_chance)

    @property
    def _subject(self) -> str:
        """What is to be saved: a key of `shown`, or one of `SUBJECTS`."""
        return self._field("what").value

    @property
    def _size_option(self) -> str:
        return SIZE_WORDS[self._field("size").value]

    @property
    def _selected_figure(self) -> str | ExportFigure | None:
        """The figure that is chosen; None for all figures, for the screen, and while no name matches what is typed."""
        return self.query_one(NamedFigures).chosen if self._subject == NAMED else self.shown.get(self._subject)

    @on(Button.Pressed, "#open-preview")
    def action_preview(self) -> None:
        if figure := self._selected_figure:
            preview = FullScreenPreview(self._paths, self._snapshot, figure, self._size_option, self._exclude_chance)
            self.app.push_screen(preview)

    def _options(self) -> ExportOptions | None:
        """Return the options in the form; None where the dpi are impossible."""
        dpi = self.query_one("#dpi", Input).value
        if not dpi.isdecimal() or not MIN_DPI <= int(dpi) <= MAX_DPI:
            return None
        folder = self.query_one("#folder", Input).value.strip()
        return ExportOptions(self._field("format").value.lower(), self._field("size").value, int(dpi), folder)

    def _file_name(self, format: str) -> str:
        """Return the name of the file that will be written, unless all figures are."""
        if self._subject in (SCREEN_SVG, SCREEN_TEXT):
            mode = re.sub(r"[^a-z]", "", self.app.current_mode)
            return f"screen-{mode}.{'svg' if self._subject == SCREEN_SVG else 'txt'}"
        if self._subject == REPORT:
            return "report.html"
        if self._subject in self._texts:
            return file_name(self._texts[self._subject].name, "csv")
        figure = self._selected_figure
        if isinstance(figure, str) and figure_kind(figure) == "flight":
            return file_name(figure, flight_format(format))
        return file_name(figure.name if isinstance(figure, ExportFigure) else figure or "", format)

    @on(Button.Pressed, "#close")
    def action_cancel(self) -> None:
        self.dismiss()

    @on(Button.Pressed, "#save")
    @on(Input.Submitted)
    def action_save(self) -> None:
        if self.query_one("#save", Button).disabled:
            return
        options = self._options()
        if options is None:
            self._report(f"dpi is a number from {MIN_DPI} to {MAX_DPI}", "-failed")
            self.query_one("#dpi").focus()
            return
        try:
            folder = options.folder_of(self._paths)
            file = None if self._subject == ALL else folder / self._file_name(options.format)
            target = file or folder
            written = [file, file.with_suffix(".csv")] if file else folder.glob(f"*.{options.format}")
            exists = any(one.exists() for one in written)
        except (EmbcxError, OSError) as error:  # a folder that may not be entered, a name that is too long
            self._report(error_line(error), "-failed")
            self.query_one("#folder").focus()
            return
        if exists and self._warned_of != target:
            self._warned_of = target
            name = safe_text(target.name, 200) if file else f"a .{options.format} in {safe_text(target.name, 200)}"
            self._report(f"{name} exists already.\nPress Enter again to overwrite it", "-asks")
            return
        choices = getattr(self.app, "export_choices", None)
        if isinstance(choices, dict):
            choices.update(asdict(options))
        self._save(options, file)

    def _report(self, text: str | Content, kind: str = "") -> None:
        """Show the outcome; `kind` is `-failed` for an error, `-asks` where saving again is the answer."""
        outcome = self.query_one("#outcome", Static)
        outcome.display = True
        outcome.update(Content(text) if isinstance(text, str) else text)
        self.add_class("-with-outcome")
        for name in ("-failed", "-asks"):
            self.set_class(name == kind, name)

    @work(exclusive=True)
    async def _save(self, options: ExportOptions, file: Path | None) -> None:
        save, close = self.query_one("#save", Button), self.query_one("#close", Button)
        save.disabled = self._saving = True
        self._report("Drawing …")
        if file is not None and self._subject in (SCREEN_SVG, SCREEN_TEXT, *self._texts):
            text, saved = await self._save_text(file)
        else:
            figure = REPORT_FIGURE if self._subject == REPORT else self._selected_figure or "all"
            text, saved = await export(self._paths, figure, options, self._exclude_chance)
        self._warned_of = None
        if saved and self._subject == ALL:
            text = safe_text(options.folder_of(self._paths), LONGEST_PATH)
        if saved:
            self._saved = text
            numbers = f", its numbers beside it as {Path(text).stem}.csv" if _has_numbers(text) else ""
            key, other = written(self.app, "export.copy"), written(self.app, "export.copy-scp")
            hint = f"\n{key} copies the path, {other} the line that fetches it over scp{numbers}"
            self._report(Content.assemble(("Saved: ", "$text-success"), text, (hint, "$text-muted")))
        else:
            self._report(text, "-failed")
        close.label = "Close"
        save.disabled = self._saving = False
        close.focus()

    def action_copy(self) -> None:
        """Copy the path of what was saved."""
        self._copy(self._saved, "the path")

    def action_copy_scp(self) -> None:
        """Copy the line that fetches what was saved, to be run on the machine the user sits at."""
        self._copy(scp_line(socket.gethostname(), self._saved), "the scp line")

    def _copy(self, text: str, words: str) -> None:
        self.app.copy_to_clipboard(text)
        self.app.notify(f"Copied {words}")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return bool(self._saved) if action in ("copy", "copy_scp") else super().check_action(action, parameters)

    async def _save_text(self, file: Path) -> tuple[str, bool]:
        """Write a table, or the screen below; return the path and True, or what went wrong and False."""
        below = self.app.screen_stack[-2]
        if table := self._texts.get(self._subject):
            text = table.text
        else:
            text = screen_svg(below, "embcx-tui") if self._subject == SCREEN_SVG else screen_text(below)

        def write() -> None:
            make_folder(file.parent)
            publish(file, text.encode(), follow=True)

        try:
            await asyncio.to_thread(write)
        except (EmbcxError, OSError) as error:
            return error_line(error), False
        return safe_text(file, LONGEST_PATH), True


def _has_numbers(path: str) -> bool:
    """Return whether a figure's CSV stands beside it."""
    try:
        return Path(path).suffix not in ("", ".csv") and Path(path).with_suffix(".csv").is_file()
    except OSError:
        return False


def scp_line(host: str, path: str) -> str:
    """Return the command that copies `path` of this machine into the folder in which it is run elsewhere."""
    recursive = "" if Path(path).suffix else "-r "
    return f"scp {recursive}{shlex.quote(f'{host}:{path}')} ."
