"""A field that shows all its options; space or a click chooses an option or leaves it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.style import Style
from textual.widgets import Static

from embcx_tui.tui import keys


class Choices(Static, can_focus=True):
    """Several of `options` (squares), or exactly one (circles) where `single`."""

    BINDINGS: ClassVar[list[BindingType]] = keys.CHOICES

    chosen: reactive[tuple[str, ...]] = reactive[tuple[str, ...]]((), init=False)
    cursor: reactive[int] = reactive(0, init=False)
    notes: reactive[tuple[tuple[str, str], ...]] = reactive[tuple[tuple[str, str], ...]]((), init=False)
    """What is said of single options, beside them: (option, words)."""

    @dataclass
    class Changed(Message):
        """The user changed what is chosen."""

        choices: Choices

        @property
        def control(self) -> Choices:
            return self.choices

    def __init__(self, options: Sequence[str], *, single: bool = False, id: str | None = None) -> None:
        super().__init__(id=id)
        self._options = tuple(options)
        self._single = single

    def on_mount(self) -> None:
        self._draw()

    def watch_chosen(self) -> None:
        self._draw()

    def watch_cursor(self) -> None:
        self._draw()

    def watch_notes(self) -> None:
        self._draw()

    def watch_has_focus(self, has_focus: bool) -> None:
        super().watch_has_focus(has_focus)
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    def action_move(self, step: int) -> None:
        self.cursor = (self.cursor + step) % len(self._options)

    def action_choose(self) -> None:
        self._toggle(self._options[self.cursor])

    def on_click(self, event: events.Click) -> None:
        index = event.style.meta.get("choice")
        if index is not None:
            self.cursor = index
            self._toggle(self._options[index])

    def _toggle(self, option: str) -> None:
        if self._single:
            self.chosen = (option,)
        else:
            taken = set(self.chosen) ^ {option}
            # In the order of the options: the order of clicks must not change which networks are trained first.
            self.chosen = tuple(option for option in self._options if option in taken)
        self.post_message(self.Changed(self))

    def _draw(self) -> None:
        on, off = ("●", "○") if self._single else ("■", "□")
        items = []
        notes = dict(self.notes)
        for index, option in enumerate(self._options):
            taken = option in self.chosen
            here = self.has_focus and index == self.cursor
            style = "$block-cursor-foreground on $block-cursor-background" if here else ""
            item = Content.assemble(
                (on if taken else off, "$text-accent" if taken and not here else ""),
                (f" {option or 'none'}", "" if taken or here else "$text-muted"),
                (f" ({notes[option]})" if option in notes else "", "" if here else "$text-muted"),
            )
            items.append(
                (Content(" ") + item + Content(" ")).stylize_before(style).stylize(Style.from_meta({"choice": index}))
            )
        # Lines are broken here, since Textual would separate a sign from its word.
        lines = [Content("")]
        for item in items:
            # Before the first layout there is no width to break for.
            if lines[-1] and 0 < self.size.width < lines[-1].cell_length + item.cell_length:
                lines.append(Content(""))
            lines[-1] += item
        self.update(Content("\n").join(lines))
