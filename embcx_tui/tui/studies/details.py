"""What there is to say about the chosen study, in a few aligned lines."""

from __future__ import annotations

from collections.abc import Iterator

from textual.app import RenderResult
from textual.content import Content
from textual.geometry import Size
from textual.reactive import reactive
from textual.widget import Widget

from embcx_tui.analysis import formatting
from embcx_tui.study.text import safe_text
from embcx_tui.tui.study_row import AT_CHANCE_SIGN, DIVERGED_SIGN, STATE_STYLES, StudyRow

LABEL_WIDTH = 12
SEPARATOR = " · "
# A list longer than this is cut: the study file has it whole.
_SOME = 8


def headline(row: StudyRow, now: float) -> Content:
    """Return the sentence about a study's state: what is happening, why, and which key helps."""
    look = STATE_STYLES[row.state]
    begin = (f"{look.sign} {look.word}", look.colour)
    quiet = formatting.ago(row.updated, now)
    match row.state:
        case "queued":
            return Content.assemble(begin, "; no worker has begun: ", _key("r"), " starts it")
        case "running":
            words = "" if row.seconds_left is None else formatting.left(row.seconds_left, row.updated, now)
            left = f", about {words}" if words.endswith(" left") else f", {words}" if words else ""
            return Content.assemble(begin, f", {_stage(row)}{left}")
        case "stopped":
            return Content.assemble(begin, f" {quiet}, {_stage(row)}; ", _key("r"), " resumes")
        case "complete":
            took = formatting.duration(max(row.updated - row.created, 1))
            return Content.assemble(begin, f" {quiet}, {took} after it was asked for")
        case "lost":
            return Content.assemble(begin, f": the worker ended without a word {quiet}; ", _key("r"), " resumes")
        case "failed":
            return Content.assemble(begin, f" {quiet}: {row.reason or 'no reason given'}; ", _key("r"), " tries again")
        case _:
            return Content.assemble(begin, f": {row.reason}")


def _key(key: str) -> tuple[str, str]:
    return key, "$footer-key-foreground bold"


def _stage(row: StudyRow) -> str:
    epochs = row.settings.training.epochs if row.settings else 0
    if row.epoch < epochs:
        return f"epoch {row.epoch} of {epochs}"
    return "trained, measuring the layers"


def _trouble(row: StudyRow) -> list[Content]:
    """Return what a person should know before believing the numbers, each with its sign."""
    parts = []
    if row.diverged:
        words = f"{DIVERGED_SIGN} {formatting.several(row.diverged, 'network')} diverged, in no mean"
        parts.append(Content.styled(words, "$text-error"))
    if row.at_chance:
        words = f"{AT_CHANCE_SIGN} {formatting.several(row.at_chance, 'network')} at chance, in the means above"
        parts.append(Content.styled(words, "$text-warning"))
    if row.failed:
        words = f"! {formatting.several(row.failed, 'layer')} could not be measured"
        parts.append(Content.styled(words, "$text-error"))
    return parts


def details(row: StudyRow, now: float, width: int) -> Content:
    """Return all lines about a study, `width` cells wide: a value too long for its line goes on below itself."""
    lines = [headline(row, now)]
    for label, parts in _facts(row):
        begin = Content.styled(label.ljust(LABEL_WIDTH), "$text-muted")
        for line in _flow(parts, max(width - LABEL_WIDTH, 20)):
            lines.append(begin + line)
            begin = Content(" " * LABEL_WIDTH)
    return Content("\n").join(lines)


def _flow(parts: list[Content], width: int) -> Iterator[Content]:
    """Yield `parts` with dots between them, as many on a line as fit."""
    line = Content("")
    for part in parts:
        if line and line.cell_length + part.cell_length + len(SEPARATOR) > width:
            yield line
            line = Content("")
        line += Content.assemble((SEPARATOR, "$text-disabled"), part) if line else part
    if line:
        yield line


def _facts(row: StudyRow) -> Iterator[tuple[str, list[Content]]]:
    settings = row.settings
    if settings:
        yield "last KL", _scores(row)
        if trouble := _trouble(row):
            yield "trouble", trouble
        grid, measure, training = settings.networks, settings.measure, settings.training
        depths = ", ".join(str(depth) for depth in grid.depths[:_SOME])
        yield (
            "networks",
            _listed(
                ", ".join(settings.data.datasets),
                f"depth {depths}",
                f"width {grid.width}",
                ", ".join(grid.activations),
                formatting.several(grid.runs, "run"),
            ),
        )
        yield (
            "in all",
            _listed(
                formatting.several(row.networks, "network"),
                *(f"{row.networks:,} {control}" for control in measure.controls),
                formatting.several(row.embeddings, "embedding"),
            ),
        )
        yield (
            "training",
            _listed(
                formatting.several(training.epochs, "epoch"),
                f"batch {training.batch_size}",
                f"rate {training.learning_rate:g}",
                f"momentum {training.momentum:g}",
            ),
        )
        yield (
            "measure",
            _listed(
                ", ".join(measure.methods),
                f"engine {measure.engine}",
                f"perplexity {measure.perplexity:g}",
                f"{settings.data.samples_per_class} points a class",
            ),
        )
        yield "machine", _listed(row.device or settings.machine.device, row.host, f"seed {settings.machine.seed}")
    yield "study", _listed(row.paths.id, formatting.short_path(row.paths.root.parent))


def _listed(*parts: str) -> list[Content]:
    # From outside: datasets may be paths, and a path may hold anything.
    return [Content(safe_text(part, 200)) for part in parts if part]


def _scores(row: StudyRow) -> list[Content]:
    if not row.scores:
        return [Content.styled("not measured yet", "$text-muted")]
    shown = row.scores if len(row.scores) <= _SOME else (*row.scores[: _SOME // 2], *row.scores[-_SOME // 2 :])
    return [Content.assemble(f"{score:.3f} ", (name, "$text-muted")) for name, score in shown]


class StudyDetails(Widget):
    """The lines about one study, laid out for the width there is."""

    row: reactive[StudyRow | None] = reactive[StudyRow | None](None)

    def watch_row(self) -> None:
        # A new layout repaints the whole screen: only where the number of lines changes.
        width = self.content_size.width
        if not width or self._lines(width).get_height({}, width) != self.size.height:
            self.refresh(layout=True)

    def _lines(self, width: int) -> Content:
        # The headline is prose and wraps as such; all other lines fit by themselves.
        return details(self.row, formatting.now(), width) if self.row else Content("")

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return self._lines(width).get_height({}, width)

    def render(self) -> RenderResult:
        return self._lines(self.content_size.width)
