"""Loads the screens: each when it is first shown, and what they need before that, while no keys are pressed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

from textual.app import App
from textual.screen import Screen

# Pause between two imports, in which keys are handled.
_BETWEEN_S = 0.02
# Idle time after which the work of the last key is taken to be finished.
_QUIET_S = 0.4


def style_sheets() -> tuple[Path, ...]:
    """Return the style sheets of all screens, then of dialogs, whose rules prevail: the export dialog's own last."""
    order = {"widgets": 1, "export": 2}
    sheets = Path(__file__).parent.rglob("*.tcss")
    return tuple(sorted(sheets, key=lambda path: (order.get(path.parent.name, 0), path)))


# The screens of the modes, imported when they are first shown, for a quick first frame.


def configure_screen() -> Screen[None]:
    from embcx_tui.tui.configure.screen import ConfigureScreen

    return ConfigureScreen()


def live_screen() -> Screen[None]:
    from embcx_tui.tui.live.screen import LiveScreen

    return LiveScreen()


def layers_screen() -> Screen[None]:
    from embcx_tui.tui.layers.screen import LayersScreen

    return LayersScreen()


# What opening a study and the first keys there need: 0.5 s that the user would wait for.


def _import_layers() -> None:
    import embcx_tui.tui.layers.screen  # noqa: F401  # only to be loaded
    from embcx_tui.figures.cells import plotext_adapter

    plotext_adapter.load()  # it draws the bars and the scatter there


def _import_live() -> None:
    import embcx_tui.tui.live.screen  # noqa: F401


def _import_dialogs() -> None:
    import embcx_tui.tui.export.dialog
    import embcx_tui.tui.help  # noqa: F401


class ScreenLoading:
    """Loads style sheets and modules of all screens. `quiet_s` returns the seconds since the last key."""

    def __init__(self, app: App[None], quiet_s: Callable[[], float]) -> None:
        self._app, self._quiet_s = app, quiet_s
        self._sheets = self._read_sheets()
        self._begun = False

    def _read_sheets(self) -> Iterator[None]:
        """Read the style sheets that are not loaded yet, one at a time.

        Textual would read all there are, its own too, three times when a screen first comes: 0.1 s on a quiet machine.
        """
        for path in style_sheets():
            if not self._app.stylesheet.has_source(str(path)):
                self._app.stylesheet.read(path)
                self._app.stylesheet.parse()
                yield

    def finish_style_sheets(self) -> None:
        """Read at once what `run` has not read yet."""
        for _ in self._sheets:
            pass

    async def run(self) -> None:
        """Load everything in small pieces; keys come between. Only the first call does so."""
        if self._begun:
            return
        self._begun = True
        await asyncio.to_thread(_import_layers)
        for _ in self._sheets:
            await asyncio.sleep(_BETWEEN_S)
        for load in (_import_live, _import_dialogs):
            while self._quiet_s() < _QUIET_S:
                await asyncio.sleep(_QUIET_S)
            await asyncio.to_thread(load)
