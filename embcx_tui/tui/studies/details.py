"""The details of the study under the pointer, in a few aligned lines."""

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
# Longer lists are cut here; the study file has them whole.
_SOME = 8


def headline(row: StudyRow, now: float) -> Content:
    """Return a sentence on a study's state: what happens, why, and which key to press."""
    look = STATE_STYLES[row.shown if row.place or row.job else "partly" if row.partly else row.state]
    begin = (f"{look.sign} {look.word}", look.colour)
    quiet = formatting.ago(row.updated, now)
    if row.place:
        again = () if row.waits else (_key("r"), " lets it wait again, ")
        return Content.assemble(begin, f", {queue_words(row)}; ", *again, _key("S"), " starts it now")
    if row.job:
        sign = (f"{look.sign} {row.job.words}", look.colour)
        what = (_key("x"), " cancels it") if row.job.waits else (_key("r"), " starts the study here")
        return Content.assemble(sign, "; ", *what)
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
            took = f", took {formatting.duration(max(row.updated - row.began, 1))}" if row.workers == 1 else ""
            return Content.assemble(begin, f", finished {quiet}{took}")
        case "lost":
            return Content.assemble(begin, f": the worker ended without a word {quiet}; ", _key("r"), " resumes")
        case "failed":
            return Content.assemble(begin, f" {quiet}: {row.reason or 'no reason given'}; ", _key("r"), " tries again")
        case _:
            return Content.assemble(begin, f": {row.reason}")


def queue_words(row: StudyRow) -> str:
    """Return a queued study's place and when it starts: `2nd, starts in about 20 min`."""
    if not row.waits:
        return f"{formatting.ordinal(row.place)}, but its process is gone"
    if row.starts_in is None:
        return formatting.ordinal(row.place)
    soon = row.starts_in < formatting.MINUTE
    when = "less than a minute" if soon else f"about {formatting.duration(row.starts_in)}"
    return f"{formatting.ordinal(row.place)}, starts in {when}"


def _key(key: str) -> tuple[str, str]:
    return key, "$footer-key-foreground bold"


def _stage(row: StudyRow) -> str:
    epochs = row.settings.training.epochs if row.settings else 0
    if not epochs:
        return "measuring the layers"
    if row.epoch < epochs:
        return f"epoch {row.epoch} of {epochs}"
    return "trained, measuring the layers"


def _trouble(row: StudyRow) -> list[Content]:
    """Return the warnings about a study's numbers, each with its sign."""
    parts = []
    if row.damage:
        parts.append(Content.styled(f"! damaged: {row.damage}", "$text-error"))
        if row.resumable:
            parts.append(Content.assemble(_key("r"), " makes it again"))
    if row.diverged:
        words = f"{DIVERGED_SIGN} {formatting.several(row.diverged, 'network')} diverged, excluded from means"
        parts.append(Content.styled(words, "$text-error"))
    if row.at_chance:
        kinds = f": {row.flaws}" if row.flaws else ""
        words = f"{AT_CHANCE_SIGN} {formatting.several(row.at_chance, 'network')} at chance, in the means above{kinds}"
        parts.append(Content.styled(words, "$text-warning"))
    return parts + [Content.styled(f"! {words}", "$text-error") for words in row.failed]


def details(row: StudyRow, now: float, width: int, above: StudyRow | None = None) -> Content:
    """Return the details of a study in lines of `width` cells; long values are continued below themselves.

    `above` is the study in the line above it, from whose settings the differences are told.
    """
    lines = [headline(row, now)]
    for label, parts in _facts(row, above):
        begin = Content.styled(label.ljust(LABEL_WIDTH), "$text-muted")
        for line in _flow(parts, max(width - LABEL_WIDTH, 20)):
            lines.append(begin + line)
            begin = Content(" " * LABEL_WIDTH)
    return Content("\n").join(lines)


def _flow(parts: list[Content], width: int) -> Iterator[Content]:
    """Yield `parts` with dots between them, as many on a line as fit."""
    line = Content("")
    for part in (piece for long in parts for piece in (long.wrap(width) if long.cell_length > width else [long])):
        if line and line.cell_length + part.cell_length + len(SEPARATOR) > width:
            yield line
            line = Content("")
        line += Content.assemble((SEPARATOR, "$text-disabled"), part) if line else part
    if line:
        yield line


def _differences(row: StudyRow, above: StudyRow | None) -> list[Content]:
    """Return in which settings a study differs from the one above it: `learning_rate 0.06 → 50`."""
    if above is None or not (row.values and above.values):
        return []
    before = dict(above.values)
    changed = [(key, before.get(key, "–"), text) for key, text in row.values if before.get(key, "–") != text]
    parts = [f"{key.rpartition('.')[2]} {old} → {new}" for key, old, new in changed[:_SOME]]
    return _listed(*parts, f"and {len(changed) - _SOME} more" if len(changed) > _SOME else "")


def _facts(row: StudyRow, above: StudyRow | None) -> Iterator[tuple[str, list[Content]]]:
    settings = row.settings
    if row.note:
        yield "note", [Content(row.note)]
    if settings:
        from embcx_tui.study.naming import is_measured, sample_size_words  # pydantic, which came with the settings

        yield "last KL", _scores(row)
        if trouble := _trouble(row):
            yield "trouble", trouble
        grid, measure, training = settings.networks, settings.measure, settings.training
        depths = f"depth {', '.join(str(depth) for depth in grid.depths[:_SOME])}"
        runs = formatting.several(grid.runs, "run")
        datasets, activations = ", ".join(settings.data.datasets), ", ".join(grid.activations)
        width = f"width {grid.width}" if grid.width else ""
        yield "networks", _listed(datasets, depths, width, activations, runs)
        controls = (f"{row.networks:,} {control}" for control in settings.controls)
        embeddings = formatting.several(row.embeddings, "embedding")
        missing = f"{row.impossible:,} of them impossible" if row.impossible else ""
        yield "total", _listed(formatting.several(row.networks, "network"), *controls, embeddings, missing)
        rates = f"rate {training.learning_rate:g}", f"momentum {training.momentum:g}"
        epochs = formatting.several(training.epochs, "epoch")
        if is_measured(settings):
            yield "training", _listed("elsewhere")
        else:
            yield "training", _listed(epochs, f"batch {training.batch_size}", *rates)
        engine, perplexity = f"engine {measure.engine}", f"perplexity {measure.perplexity:g}"
        yield "measure", _listed(", ".join(measure.methods), engine, perplexity, sample_size_words(settings))
        yield "machine", _listed(row.device or settings.machine.device, row.host, f"seed {settings.machine.seed}")
    if changed := _differences(row, above):
        yield "from above", changed
    yield "study", _listed(row.paths.id, formatting.short_path(row.paths.root.parent))


def _listed(*parts: str) -> list[Content]:
    # Datasets may be paths, and a path may hold any character.
    return [Content(safe_text(part, 200)) for part in parts if part]


def _scores(row: StudyRow) -> list[Content]:
    if not row.scores:
        return [Content.styled("not measured yet", "$text-muted")]
    shown = row.scores if len(row.scores) <= _SOME else (*row.scores[: _SOME // 2], *row.scores[-_SOME // 2 :])
    return [Content.assemble(f"{score:.3f} ", (name, "$text-muted")) for name, score in shown]


class StudyDetails(Widget):
    """Shows the details of a study, laid out for the width there is."""

    row: reactive[StudyRow | None] = reactive[StudyRow | None](None)
    above: StudyRow | None = None
    """The study in the line above."""

    def watch_row(self) -> None:
        # A new layout repaints the whole screen, so there is one only where the number of lines changes.
        width = self.content_size.width
        if not width or self._lines(width).get_height({}, width) != self.size.height:
            self.refresh(layout=True)

    def _lines(self, width: int) -> Content:
        # The headline is wrapped as prose; all other lines fit already.
        return details(self.row, formatting.now(), width, self.above) if self.row else Content("")

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return self._lines(width).get_height({}, width)

    def render(self) -> RenderResult:
        return self._lines(self.content_size.width)
