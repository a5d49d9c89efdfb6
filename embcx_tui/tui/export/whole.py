"""A figure on the whole screen before it is saved: as an image where the terminal shows some, else drawn in cells."""

from __future__ import annotations

import asyncio
from pathlib import PurePath
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.events import Resize
from textual.screen import ModalScreen

from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.errors import EmbcxError
from embcx_tui.study.text import safe_text
from embcx_tui.tui import keys
from embcx_tui.tui.export.figure_list import named_figure
from embcx_tui.tui.export.preview import Preview
from embcx_tui.tui.layers.export_figures import Shown
from embcx_tui.tui.mode_screen import MinimumSizeScreen
from embcx_tui.tui.widgets.canvas import Canvas


class WholePreview(MinimumSizeScreen, ModalScreen[None]):
    """Shows `figure`, what is on the screen below or a name; any of its keys goes back."""

    CSS_PATH: ClassVar[list[str | PurePath]] = ["export.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [*keys.DIALOG, keys.hidden("enter,q,space,f3", "cancel")]

    def __init__(
        self, paths: StudyPaths, snapshot: Snapshot, figure: str | Shown, size: str, exclude_chance: bool
    ) -> None:
        super().__init__()
        self._paths, self._snapshot, self._figure = paths, snapshot, figure
        self._wide_as, self._exclude_chance = size, exclude_chance

    def compose(self) -> ComposeResult:
        with Container(id="whole") as frame:
            name = self._figure if isinstance(self._figure, str) else self._figure.name
            frame.border_title = safe_text(name, 100)
            yield Preview(id="image")
            yield Canvas("Drawing …", id="cells")

    def on_mount(self) -> None:
        image, cells = self.query_one("#image", Preview), self.query_one("#cells", Canvas)
        cells.display = bool(image.why_not)
        frame = self.query_one("#whole")
        if not image.why_not:
            frame.border_subtitle = "esc closes"
            self.call_after_refresh(self._ask)
            return
        reason = image.why_not.removeprefix("No preview").removeprefix(":").strip()
        frame.border_subtitle = f"drawn in cells: {reason} · esc closes"
        if isinstance(self._figure, str):
            self._build(self._figure)
        else:
            cells.show(self._figure.figure)

    def _ask(self) -> None:
        self.query_one("#image", Preview).ask(self._paths, self._figure, self._wide_as, self._exclude_chance)

    def on_resize(self, event: Resize) -> None:
        self.call_after_refresh(self._ask)

    @work(exclusive=True)
    async def _build(self, name: str) -> None:
        cells = self.query_one("#cells", Canvas)
        try:
            figure = await asyncio.to_thread(named_figure, self._paths, self._snapshot, name, self._exclude_chance)
        except (EmbcxError, OSError) as error:
            cells.show(None, f"No preview.\n{safe_text(error)}")
            return
        cells.show(figure)

    def action_cancel(self) -> None:
        self.dismiss()
