"""The figures that a study has, by the names of `embcx-tui export --figure`: a list narrowed by typing."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from embcx_tui.figures.model import Figure
from embcx_tui.store.files import read_arrays
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.text import safe_text
from embcx_tui.tui import keys

# Names of figures are made of ids, which are short; those in a damaged study file may be of any length.
_LONGEST_NAME = 80


def named_figures(paths: StudyPaths, snapshot: Snapshot, exclude_chance: bool = False) -> tuple[tuple[str, str], ...]:
    """Return the name and a description of every figure this study has now."""
    from embcx_tui.figures.gallery import about, study_figures, study_flights

    load = partial(read_arrays, paths.root)
    names = (*study_figures(snapshot, load, exclude_chance), *study_flights(snapshot, load))
    return tuple((name, about(name)) for name in names)


def named_figure(paths: StudyPaths, snapshot: Snapshot, name: str, exclude_chance: bool = False) -> Figure:
    """Return a figure by its name; KeyError where the study does not have it. Up to 1 s: never on the event loop.

    Of a flight it is its layers side by side.
    """
    from embcx_tui.figures.gallery import study_figures, study_flights

    load = partial(read_arrays, paths.root)
    if flight := study_flights(snapshot, load).get(name):
        return flight().panels
    return study_figures(snapshot, load, exclude_chance)[name]()


class NamedFigures(Vertical):
    """Lets the user choose one of a study's figures, beginning with `preferred` where the study has it."""

    # The field keeps the focus: letters narrow the list, up and down go through it and then on to the next field.
    BINDINGS: ClassVar[list[BindingType]] = [keys.hidden("up", "move(-1)"), keys.hidden("down", "move(1)")]

    class Changed(Message):
        """Another figure is highlighted, or no name matches what is typed."""

    def __init__(self, preferred: str, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._preferred = preferred
        self._figures: tuple[tuple[str, str], ...] | None = None

    def compose(self) -> ComposeResult:
        yield Input(placeholder="type to narrow: relu, fig, epochs …", compact=True, id="narrow", max_length=80)
        names = OptionList(id="names", compact=True)
        names.can_focus = False
        yield names

    @property
    def chosen(self) -> str | None:
        """The name that is highlighted; before the list is there, the preferred one."""
        if self._figures is None:
            return self._preferred
        names = self.query_one("#names", OptionList)
        option = names.highlighted_option
        return option.id if option else None

    @property
    def about(self) -> str:
        """What the highlighted figure shows."""
        return dict(self._figures or ()).get(self.chosen or "", "")

    @work(exclusive=True)
    async def gather(self, paths: StudyPaths, snapshot: Snapshot, exclude_chance: bool) -> None:
        """List the figures that the study has; they are looked up in a thread."""
        self._figures = await asyncio.to_thread(named_figures, paths, snapshot, exclude_chance)
        self._list(self._preferred)

    @on(Input.Changed, "#narrow")
    def _narrowed(self, event: Input.Changed) -> None:
        event.stop()
        if self._figures is not None:
            self._list(self.chosen)

    def _list(self, highlighted: str | None) -> None:
        words = self.query_one("#narrow", Input).value.casefold().split()
        matching = [
            (name, about)
            for name, about in self._figures or ()
            if all(word in f"{name} {about}".casefold() for word in words)
        ]
        names = self.query_one("#names", OptionList)
        names.clear_options()
        widest = max((len(name) for name, _ in matching), default=0)
        names.add_options(
            Option(
                Content.assemble(safe_text(name, _LONGEST_NAME).ljust(widest), (f"  {about}", "$text-muted")), id=name
            )
            for name, about in matching
        )
        listed = [name for name, _ in matching]
        names.highlighted = listed.index(highlighted) if highlighted in listed else 0 if listed else None
        self.post_message(self.Changed())

    @on(OptionList.OptionHighlighted)
    def _moved(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        self.post_message(self.Changed())

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        # The click has highlighted it already. Saving is left to the button.
        event.stop()

    def action_move(self, by: int) -> None:
        names = self.query_one("#names", OptionList)
        to = (names.highlighted or 0) + by
        if 0 <= to < names.option_count:
            names.highlighted = to
        else:
            (self.screen.focus_next if by > 0 else self.screen.focus_previous)()
