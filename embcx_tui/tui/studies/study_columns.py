"""The columns of the list of studies: those that are always there, and one for each setting in which studies differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from embcx_tui.analysis import formatting
from embcx_tui.figures.spans import Row, Span
from embcx_tui.tui.study_row import AT_CHANCE_SIGN, DIVERGED_SIGN, STATE_STYLES, StudyRow
from embcx_tui.tui.widgets.line_widget import Ink, fit
from embcx_tui.tui.widgets.table import Column

# The titles of settings' columns that are not the setting's own name.
_TITLES = {
    "training.learning_rate": "Rate",
    "training.batch_size": "Batch",
    "measure.perplexity": "Perpl.",
    "data.samples_per_class": "Per class",
}
# Settings by which nobody tells studies apart stand after all others.
_LAST = ("machine.seed", "machine.device", "machine.devices", "machine.parts", "machine.cluster", "machine.gpu_path")
# A longer text of a setting is cut here, and settings that have one stand after those that have not.
_LONGEST_VALUE = 14
# Where more settings differ, the table would hold nothing else.
_MOST_SETTINGS = 8
# Narrower progress is a number alone.
_LEAST_LINE = 9

Value = float | str | None


@dataclass(frozen=True, slots=True)
class StudyColumn(Column[StudyRow]):
    """A column of the list: `text` is its cell in plain words, `value` what studies are ordered by, None at the end.

    `name` stays the same while the title changes with the width.
    """

    name: str = ""
    text: Callable[[StudyRow], str] = lambda row: ""
    value: Callable[[StudyRow], Value] = lambda row: None


def _draw_name(row: StudyRow, width: int, ink: Ink) -> Row:
    counts = ((DIVERGED_SIGN, row.diverged, ink.error), (AT_CHANCE_SIGN, row.at_chance, ink.warning))
    signs = tuple(Span(f" {sign}{count}", colour) for sign, count, colour in counts if count)
    # The signs stay where the name is cut.
    room = max(width - sum(cell_len(sign.text) for sign in signs), 1)
    name = row.name if cell_len(row.name) <= room else fit(row.name, room)
    return Span(name, ink.colour("heading")), *signs


def _draw_state(row: StudyRow, width: int, ink: Ink) -> Row:
    style = STATE_STYLES[row.shown]
    return (Span(f"{style.sign} {style.word}", ink.colour(style.colour)),)


def _draw_progress(row: StudyRow, width: int, ink: Ink) -> Row:
    if row.state == "unreadable":
        return ()
    # A complete study needs no attention.
    colour = ink.colour("text-muted" if row.state == "complete" else STATE_STYLES[row.state].colour)
    if width < _LEAST_LINE:
        return (Span(formatting.percent(row.fraction), colour),)
    done, rest = formatting.progress_line(row.fraction, width - 5)
    return Span(done, colour), Span(rest, ink.colour("bar-rest")), Span(formatting.percent(row.fraction).rjust(5))


def _when(row: StudyRow) -> str:
    now = formatting.now()
    if row.place:
        return (
            f"{formatting.ordinal(row.place)} {formatting.duration(row.starts_in)}"
            if row.starts_in
            else formatting.ordinal(row.place)
        )
    if row.job:
        return f"job {row.job.id}"
    if row.state != "running":
        return formatting.ago(row.created, now)
    if row.seconds_left is None:
        return "just begun"
    if now - row.updated > formatting.QUIET_S:
        return "no news"
    return formatting.left(row.seconds_left, row.updated, now)


def _draw_when(row: StudyRow, width: int, ink: Ink) -> Row:
    text = _when(row)
    colour = ink.colour("text-muted") if row.state != "running" else ink.colour("text-accent")
    return (Span(text, ink.warning if text == "no news" else colour),)


def _dataset_names(row: StudyRow) -> list[str]:
    return [name.rpartition("/")[2] for name in row.settings.data.datasets] if row.settings else []


def _draw_datasets(row: StudyRow, width: int, ink: Ink) -> Row:
    names = _dataset_names(row)
    text = ", ".join(names)
    return (Span(text if len(text) <= width or len(names) == 1 else f"{len(names)} sets"),)


def _networks(row: StudyRow) -> str:
    return f"{row.networks:,}" if row.networks else ""


def _accuracy(row: StudyRow) -> str:
    if row.accuracies is None:
        return "–"
    low, high = (f"{value:.3f}" for value in row.accuracies)
    return low if low == high else f"{row.accuracies[0]:.2f}–{row.accuracies[1]:.2f}"


def _scores(row: StudyRow) -> str:
    if not row.scores:
        return "–"
    low, high = row.scores[0][1], row.scores[-1][1]
    return f"{low:.2f}" if low == high else f"{low:.2f}–{high:.2f}"


def _draw_scores(row: StudyRow, width: int, ink: Ink) -> Row:
    faint, muted = ink.colour("text-disabled"), ink.colour("text-muted")
    if not row.scores:
        return (Span("–", faint),)
    (best, low), (worst, high) = row.scores[0], row.scores[-1]
    if best == worst or width < 24:
        return (Span(_scores(row)),)
    return (
        Span(f"{low:.2f}"),
        Span(f" {best}", muted),
        Span(" … ", faint),
        Span(f"{high:.2f}"),
        Span(f" {worst}", muted),
    )


def _plain(text: Callable[[StudyRow], str]) -> Callable[[StudyRow, int, Ink], Row]:
    """Return what draws a column's own text; a dash is faint."""

    def draw(row: StudyRow, width: int, ink: Ink) -> Row:
        words = text(row)
        return (Span(words, ink.colour("text-disabled") if words == "–" else None),)

    return draw


STATE = StudyColumn(
    "State", 10, _draw_state, name="state", text=lambda row: STATE_STYLES[row.shown].word, value=lambda row: row.shown
)
NAME = StudyColumn(
    "Name", 4, _draw_name, stretches=True, name="name", text=lambda row: row.name, value=lambda row: row.name.casefold()
)
DATA = StudyColumn(
    "Data", 7, _draw_datasets, least=63, drop=40, wide=16, widen=2, wide_title="Datasets", name="data",
    text=lambda row: ", ".join(_dataset_names(row)), value=lambda row: ", ".join(_dataset_names(row)) or None,
)  # fmt: skip
NETWORKS = StudyColumn(
    "Nets", 4, _plain(_networks), right=True, least=47, drop=20, name="networks", text=_networks,
    value=lambda row: row.networks or None,
)  # fmt: skip
DONE = StudyColumn(
    "Done", 4, _draw_progress, right=True, least=47, drop=41, wide=14, widen=1, wide_title="Progress", name="done",
    text=lambda row: formatting.percent(row.fraction), value=lambda row: row.fraction,
)  # fmt: skip
ACCURACY = StudyColumn(
    "Test acc.", 9, _plain(_accuracy), right=True, drop=10, name="accuracy", text=_accuracy,
    value=lambda row: row.accuracies[1] if row.accuracies else None,
)  # fmt: skip
SCORES = StudyColumn(
    "Last KL", 9, _draw_scores, least=63, drop=42, wide=29, widen=3, wide_title="Last layer's KL", name="scores",
    text=_scores, value=lambda row: row.scores[0][1] if row.scores else None,
)  # fmt: skip
ID = StudyColumn(
    "Id", 10, _plain(lambda row: row.paths.id), least=110, drop=5, name="id", text=lambda row: row.paths.id,
    value=lambda row: row.paths.id,
)  # fmt: skip
WHEN = StudyColumn("When", 10, _draw_when, right=True, name="when", text=_when, value=lambda row: -row.created)


def columns_of(rows: Sequence[StudyRow]) -> tuple[StudyColumn, ...]:
    """Return the columns for these studies: progress where one is not done, and the settings in which they differ."""
    done = (DONE,) if any(row.state not in ("complete", "unreadable") for row in rows) else ()
    return (STATE, NAME, DATA, NETWORKS, *done, *_setting_columns(rows), ACCURACY, SCORES, ID, WHEN)


def _setting_columns(rows: Sequence[StudyRow]) -> list[StudyColumn]:
    """Return a column for each setting in which studies differ; those with the fewest values go first for room."""
    different = differing_settings(rows)[:_MOST_SETTINGS]
    telling = sorted(different, key=lambda one: (one[0] not in _LAST, len(one[1]) if _is_short(one[1]) else 0))
    places = {key: place for place, (key, _) in enumerate(telling)}
    # Those with long values go before every other column.
    return [
        _setting_column(key, texts, 30 + places[key] if _is_short(texts) else 1 + places[key])
        for key, texts in different
    ]


def _is_short(texts: set[str]) -> bool:
    return max(map(len, texts)) <= _LONGEST_VALUE


def differing_settings(rows: Sequence[StudyRow]) -> list[tuple[str, set[str]]]:
    """Return the dotted keys in whose values studies differ, each with the values, in the order of a study file.

    Settings with long values, and those by which nobody tells studies apart, come last.
    """
    found: dict[str, set[str]] = {}
    for row in rows:
        for key, text in row.values:
            found.setdefault(key, set()).add(text)
    different = [(key, texts) for key, texts in found.items() if len(texts) > 1]
    return sorted(different, key=lambda one: (one[0] in _LAST, not _is_short(one[1])))


def setting_title(key: str) -> str:
    """Return what a setting is called above its column."""
    return _TITLES.get(key, key.rpartition(".")[2].replace("_", " ").capitalize())


def setting_of(row: StudyRow, key: str) -> str:
    """Return the text of a study's setting; empty where it has none."""
    return next((text for name, text in row.values if name == key), "")


def _setting_column(key: str, texts: set[str], drop: int) -> StudyColumn:
    title = setting_title(key)
    longest = max(map(len, texts))
    width = max(len(title), min(longest, _LONGEST_VALUE))
    numbers = all(_number(text) is not None for text in texts)

    def value(row: StudyRow) -> Value:
        text = setting_of(row, key)
        return _number(text) if numbers else text or None

    draw = _plain(lambda row: setting_of(row, key))
    return StudyColumn(
        title, width, draw, right=numbers, drop=drop, name=key, text=lambda row: setting_of(row, key), value=value
    )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
