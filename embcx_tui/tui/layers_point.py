"""The panel of the chosen point: its image, what it is, what the network takes it for, what is near it."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embcx_tui.figures.palette import colour, signs
from embcx_tui.figures.terminal import Row
from embcx_tui.study.text import safe_text
from embcx_tui.tui.layers_clouds import Cloud
from embcx_tui.tui.painted import Ink, Painted, fit, span
from embcx_tui.tui.plane import nearest_to
from embcx_tui.tui.thumbnails import half_blocks

NEIGHBOURS = 10
NO_POINT = "No point is chosen.\np chooses one; so does a click on it."


@dataclass(frozen=True)
class PointFacts:
    """What is known of one point: `near` and `alike` are classes of the nearest in the plane and as inputs."""

    index: int
    label: int
    predicted: int | None
    classes: tuple[str, ...]
    near: tuple[int, ...]
    alike: tuple[int, ...]
    common: int
    """How many of the nearest in the plane are among the nearest as inputs."""
    image: NDArray[np.float64] | None
    values: int
    """How many numbers the input is made of."""


def facts_of(
    cloud: Cloud,
    row: int,
    classes: tuple[str, ...],
    inputs: NDArray[Any] | None,
    image: NDArray[np.float64] | None,
    alike: tuple[int, ...] = (),
) -> PointFacts:
    """Return what the panel shows of point `row`; `alike` are the rows nearest to it as inputs."""
    labels = cloud.sample.labels
    near = nearest_to(cloud.points, row, NEIGHBOURS)
    return PointFacts(
        int(cloud.sample.index[row]),
        int(labels[row]),
        None if cloud.predicted is None else int(cloud.predicted[row]),
        classes,
        tuple(int(labels[one]) for one in near),
        tuple(int(labels[one]) for one in alike),
        len(set(near) & set(alike)),
        image,
        0 if inputs is None else inputs.shape[1],
    )


class PointPanel(Painted):
    """Shows one point, or `words` where none can be shown."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._facts: PointFacts | None = None
        self._words = NO_POINT

    def show(self, facts: PointFacts | None, words: str = NO_POINT) -> None:
        self._facts, self._words = facts, words
        self.repaint()

    def paint(self, width: int, height: int, ink: Ink) -> tuple[Row, ...]:
        if self._facts is None:
            first, *rest = self._words.splitlines() or [""]
            wrapped = [line for text in rest for line in textwrap.wrap(text, max(width, 8))]
            return ((span(fit(first, width)),), *((span(line, ink.muted),) for line in wrapped))
        words = _words(self._facts, width, ink)
        room = height - len(words) - 1
        if self._facts.image is None or room < 3:
            return words
        return (*half_blocks(self._facts.image, width, room, ink.look), (), *words)


def _words(facts: PointFacts, width: int, ink: Ink) -> tuple[Row, ...]:
    glyphs = (*signs(facts.classes), "?")

    def name(label: int) -> str:
        return safe_text(facts.classes[label], 40) if 0 <= label < len(facts.classes) else "?"

    def class_row(word: str, label: int, sign: str = "", warn: bool = False) -> Row:
        mark = span("● ", colour(label)) if ink.look.colours else span("")
        text = fit(name(label), max(width - 12 - len(sign), 1)).rstrip()
        return (
            span(f"{word:<10}", ink.muted),
            mark,
            span(text, bold=True),
            span(sign, ink.error if warn else ink.success),
        )

    def signs_of(labels: tuple[int, ...]) -> Row:
        shown = [one if 0 <= one < len(facts.classes) else -1 for one in labels[: max(width // 2, 1)]]
        return tuple(span(f"{glyphs[one]} ", colour(one), bold=one == facts.label) for one in shown)

    rows: list[Row] = [class_row("is", facts.label)]
    if facts.predicted is None:
        rows.append((span(fit("what the network takes it for is not known", width), ink.muted),))
    else:
        right = facts.predicted == facts.label
        rows.append(class_row("taken for", facts.predicted, " ✓" if right else " ✗", not right))
    rows.append((span(f"{'training':<10}", ink.muted), span(f"input {facts.index:,}")))
    if facts.image is None and facts.values:
        rows.append((span(f"{'no image':<10}", ink.muted), span(f"{facts.values:,} values")))
    rows += [(span("near in the plane", ink.muted),), signs_of(facts.near)]
    if facts.alike:
        rows += [(span(fit(f"near as inputs, {facts.common} shared", width), ink.muted),), signs_of(facts.alike)]
    return tuple(rows)
