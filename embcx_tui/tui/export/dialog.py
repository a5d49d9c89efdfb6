"""Saving a figure or the screen: a small window that asks what and how, and shows where the file is."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import Resize
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from embcx_tui.figures.export import FORMATS, MAX_DPI, MIN_DPI, file_name
from embcx_tui.figures.serialization import figure_text
from embcx_tui.store.files import make_folder, publish
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.errors import EmbcxError
from embcx_tui.study.text import safe_text
from embcx_tui.tui import keys
from embcx_tui.tui.export.figure_list import NamedFigures
from embcx_tui.tui.export.preview import Preview
from embcx_tui.tui.export.screenshot import screen_svg, screen_text
from embcx_tui.tui.keys import written
from embcx_tui.tui.layers.export_figures import Shown
from embcx_tui.tui.mode_screen import MinimumSizeScreen
from embcx_tui.tui.widgets.choices import Choices

WHAT = ("a figure of the study", "all figures", "screen (SVG)", "screen (text)")
_ABOUT = {
    WHAT[1]: "Every figure that this study can serve",
    WHAT[2]: "The screen below this window, as a picture of text",
    WHAT[3]: "The screen below this window, as lines of text",
}
# As a person reads them, and as `embcx-tui export --size` does.
SIZES = {"fitting": "auto", "one column": "column", "two columns": "page", "slide": "slide"}
# A path longer than this is still a path; it is shown whole, since a person copies it.
_LONGEST_PATH = 4_000


@dataclass(frozen=True, slots=True)
class Wish:
    """How a figure is to be saved; `folder` empty: into the study's own exports."""

    format: str = "png"
    size: str = "fitting"
    dpi: int = 300
    folder: str = ""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Wish:
        """Return the wish that was remembered, defaults for what cannot be."""
        kind, size, dpi, folder = (values.get(name) for name in ("format", "size", "dpi", "folder"))
        return cls(
            kind if kind in FORMATS else "png",
            size if size in SIZES else "fitting",
            dpi if isinstance(dpi, int) and MIN_DPI <= dpi <= MAX_DPI else 300,
            folder if isinstance(folder, str) else "",
        )

    def target(self, paths: StudyPaths) -> Path:
        """Return the folder to write to."""
        return Path(self.folder).expanduser().absolute() if self.folder else paths.exports


def export_command(paths: StudyPaths, figure: str | Shown, wish: Wish, exclude_chance: bool = False) -> tuple[str, ...]:
    """Return the command that draws `figure` of a study as wished and prints the file's path.

    A named figure is built anew from the study, without networks at chance where they are to be left out; what is
    shown is read from the command's standard input, as it is.
    Another process: matplotlib takes half a second to import and has no place in the application.
    """
    # -P: a file named like one of our modules in the current directory must not be imported instead.
    command = (sys.executable, "-P", "-m", "embcx_tui")
    without = ("--exclude-chance",) if exclude_chance else ()
    what = ("export", paths.id, "--figure", figure, *without) if isinstance(figure, str) else ("draw", figure.name)
    options = ("--format", wish.format, "--size", SIZES[wish.size], "--dpi", str(wish.dpi))
    return (*command, *what, *options, "--out", str(wish.target(paths)))


async def export(paths: StudyPaths, figure: str | Shown, wish: Wish, exclude_chance: bool = False) -> tuple[str, bool]:
    """Draw and write a figure; return the file's path and True, or what went wrong in one line and False."""
    values = b"" if isinstance(figure, str) else (await asyncio.to_thread(figure_text, figure.figure)).encode("ascii")
    process = await asyncio.create_subprocess_exec(
        *export_command(paths, figure, wish, exclude_chance),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, errors = await process.communicate(values)
    except asyncio.CancelledError:
        # The window was closed while it was being drawn.
        process.kill()
        raise
    said = [line for line in out.decode(errors="replace").splitlines() if line.strip()]
    if process.returncode == 0 and said:
        return safe_text(said[-1], _LONGEST_PATH), True
    told = [line for line in errors.decode(errors="replace").splitlines() if line.strip()]
    return safe_text(told[-1] if told else f"the drawing ended without a word (code {process.returncode})"), False


class _Pick(Choices):
    """One of several, taken by moving onto it."""

    def action_move(self, step: int) -> None:
        super().action_move(step)
        self.action_choose()

    def take(self, option: str) -> None:
        self.chosen, self.cursor = (option,), self._options.index(option)


class ExportDialog(MinimumSizeScreen, ModalScreen[None]):
    """Asks what to save and how, draws it, and stays until the file's path was read.

    `figure` is the name of `embcx-tui export` to begin with among those of `snapshot`; `shown`, by its name in the
    window, what is on the screen below: the first of these is what is meant unless another is chosen. With
    `exclude_chance` named figures are drawn without networks at chance, as the screen is.
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
        snapshot: Snapshot,
        figure: str,
        shown: Mapping[str, Shown] | None = None,
        exclude_chance: bool = False,
    ) -> None:
        super().__init__()
        self._exclude_chance = exclude_chance
        self._paths = paths
        self._snapshot = snapshot
        self._figure = figure
        self.shown = dict(shown or {})
        self._drawing = False
        self._asked: Path | None = None  # there already, and said so: saved over when asked again

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Content("Save a figure"), classes="dialog-title")
            with Horizontal(id="sides"):
                with Vertical(id="form"):
                    yield from self._form()
                yield Preview(id="preview")
            with Horizontal(classes="dialog-answers"):
                yield Button(f"Preview {written(self.app, 'export.preview')}", id="whole-preview")
                yield Button("Save", id="save")
                yield Button("Cancel", id="close")

    def _form(self) -> ComposeResult:
        yield Static(id="about", classes="dialog-text")
        for label, name, options in (
            ("what", "what", (*self.shown, *WHAT)),
            ("format", "format", tuple(kind.upper() for kind in FORMATS)),
            ("size", "size", tuple(SIZES)),
        ):
            with Horizontal(classes="export-line"):
                yield Static(label, classes="export-label")
                yield _Pick(options, single=True, id=name)
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
        self.query_one(".dialog").set_class(not self.query_one(Preview).why_not, "-seen")
        self.query_one(NamedFigures).gather(self._paths, self._snapshot, self._exclude_chance)
        wish = Wish.of(getattr(self.app, "export_choices", {}))
        for name, option in (
            ("what", next(iter(self.shown), WHAT[0])),
            ("format", wish.format.upper()),
            ("size", wish.size),
        ):
            self.query_one(f"#{name}", _Pick).take(option)
        self.query_one("#dpi", Input).value = str(wish.dpi)
        self.query_one("#folder", Input).value = wish.folder
        # Once it is known how much room there is.
        self.call_after_refresh(self._tell)

    def on_resize(self, event: Resize) -> None:
        self.call_after_refresh(self._tell)

    @on(Choices.Changed)
    @on(NamedFigures.Changed)
    def _tell(self) -> None:
        """Say what the chosen thing is and what its file will be called, and show it where that can be."""
        what, named = self._what, self.query_one(NamedFigures)
        named.display = what == WHAT[0]
        if what in self.shown:
            about = self.shown[what].title
        elif what == WHAT[0]:
            about = named.about or ("No figure is called that" if named.chosen is None else "…")
        else:
            about = _ABOUT[what]
        format, figure = self.query_one("#format", _Pick).chosen[0].lower(), self._one_figure
        name = f"*.{format}" if what == WHAT[1] else self._file_name(format)
        if what == WHAT[0] and figure is None:
            name = ""
        self.query_one("#about", Static).update(
            Content.assemble(about[:1].upper() + about[1:], "\n", (safe_text(name, 200), "$text-muted"))
        )
        self.query_one("#whole-preview", Button).disabled = figure is None
        self.query_one("#save", Button).disabled = self._drawing or (what == WHAT[0] and figure is None)
        self.query_one(Preview).ask(self._paths, figure, self._wide_as if figure else "", self._exclude_chance)

    @property
    def _what(self) -> str:
        return self.query_one("#what", _Pick).chosen[0]

    @property
    def _wide_as(self) -> str:
        """How wide the figure is to be, as `--size` names it."""
        return SIZES[self.query_one("#size", _Pick).chosen[0]]

    @property
    def _one_figure(self) -> str | Shown | None:
        """The one figure that is chosen; None for several, for the screen, and while no name fits what is typed."""
        if self._what == WHAT[0]:
            return self.query_one(NamedFigures).chosen
        return self.shown.get(self._what)

    @on(Button.Pressed, "#whole-preview")
    def action_preview(self) -> None:
        from embcx_tui.tui.export.whole import WholePreview

        if figure := self._one_figure:
            self.app.push_screen(WholePreview(self._paths, self._snapshot, figure, self._wide_as, self._exclude_chance))

    def _wish(self) -> Wish | None:
        """Return what is asked for; None where the dpi cannot be."""
        dpi = self.query_one("#dpi", Input).value
        if not dpi.isdecimal() or not MIN_DPI <= int(dpi) <= MAX_DPI:
            return None
        return Wish(
            self.query_one("#format", _Pick).chosen[0].lower(),
            self.query_one("#size", _Pick).chosen[0],
            int(dpi),
            self.query_one("#folder", Input).value.strip(),
        )

    def _file(self, wish: Wish) -> Path | None:
        """Return the file that would be written; None for several."""
        return None if self._what == WHAT[1] else wish.target(self._paths) / self._file_name(wish.format)

    def _file_name(self, format: str) -> str:
        """Return the name of the one file that would be written."""
        what = self._what
        if what in WHAT[2:]:
            mode = re.sub(r"[^a-z]", "", self.app.current_mode)
            return f"screen-{mode}.{'svg' if what == WHAT[2] else 'txt'}"
        one = self._one_figure
        name = one.name if isinstance(one, Shown) else one or ""
        return file_name(name, format)

    @on(Button.Pressed, "#close")
    def action_cancel(self) -> None:
        self.dismiss()

    @on(Button.Pressed, "#save")
    @on(Input.Submitted)
    def action_save(self) -> None:
        if self.query_one("#save", Button).disabled:
            return
        wish = self._wish()
        if wish is None:
            self._say(f"dpi is a number from {MIN_DPI} to {MAX_DPI}", failed=True)
            self.query_one("#dpi").focus()
            return
        file = self._file(wish)
        there = file if file else wish.target(self._paths)
        exists = file.exists() if file else any(there.glob(f"*.{wish.format}"))
        if exists and self._asked != there:
            self._asked = there
            what = safe_text(there.name, 200) if file else f"a .{wish.format} in {safe_text(there.name, 200)}"
            self._say(f"There is already {what}.\nEnter again writes over it", asks=True)
            return
        choices = getattr(self.app, "export_choices", None)
        if isinstance(choices, dict):
            choices.update(asdict(wish))
        self._save(wish, file)

    def _say(self, text: str | Content, *, failed: bool = False, asks: bool = False) -> None:
        outcome = self.query_one("#outcome", Static)
        outcome.display = True
        outcome.update(Content(text) if isinstance(text, str) else text)
        self.add_class("-told")
        self.set_class(failed, "-failed")
        self.set_class(asks, "-asks")

    @work(exclusive=True)
    async def _save(self, wish: Wish, file: Path | None) -> None:
        save, close = self.query_one("#save", Button), self.query_one("#close", Button)
        save.disabled = self._drawing = True
        self._say("Drawing …")
        if self._what in WHAT[2:]:
            assert file is not None
            text, saved = await self._save_screen(file)
        else:
            text, saved = await export(self._paths, self._one_figure or "all", wish, self._exclude_chance)
        self._asked = None
        if saved and self._what == WHAT[1]:
            text = safe_text(wish.target(self._paths), _LONGEST_PATH)
        self._say(Content.assemble(("Saved: ", "$text-success"), text) if saved else text, failed=not saved)
        close.label = "Close"
        save.disabled = self._drawing = False
        close.focus()

    async def _save_screen(self, file: Path) -> tuple[str, bool]:
        below = self.app.screen_stack[-2]
        text = screen_svg(below, "embcx-tui") if self._what == WHAT[2] else screen_text(below)

        def write() -> None:
            make_folder(file.parent)
            publish(file, text.encode())

        try:
            await asyncio.to_thread(write)
        except (EmbcxError, OSError) as error:
            return safe_text(error), False
        return safe_text(file, _LONGEST_PATH), True
