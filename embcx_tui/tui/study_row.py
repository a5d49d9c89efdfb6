"""One study as a line of the list (a small frozen value, cheap to compare), and how its state is shown everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from textual.content import Content

from embcx_tui.store.jobs import Job
from embcx_tui.store.paths import StudyPaths
from embcx_tui.study.text import safe_text

if TYPE_CHECKING:  # numpy and pydantic come with these: not before the first frame
    from embcx_tui.store.snapshot import Snapshot, Status
    from embcx_tui.study.settings import StudySettings

# The states of a snapshot, and one for studies without a snapshot.
RowState = Literal["queued", "running", "stopped", "complete", "failed", "lost", "unreadable"]
# How a study is shown: complete with something missing, and waiting for SLURM, have words of their own.
ShownState = RowState | Literal["partly", "waiting"]


@dataclass(frozen=True, slots=True)
class StudyRow:
    """What the list and its details show of a study. Times are in seconds since 1970, `fraction` is 0 … 1.

    `scores`: (activation, mean KL of the deepest trained networks' last layer), lowest first. `diverged` and
    `at_chance` count networks, `flaws` says what is wrong with the latter, `failed` which methods failed on how many
    layers. `settings` is None where the study's file cannot be read; `reason` says why, or why its worker failed.
    `damage` says what of the study was lost, `resumable` whether a worker would find something to do, `partly` that it
    is complete with something missing. `accuracies`: the lowest and the highest mean test accuracy (0 … 1) of the
    networks of `scores`. `values` are all settings as text, by dotted key. `began` is when the first worker did, 0
    where none has; `workers` counts them. `place` in the queue is 1 for the next study, 0 for one that is not in it;
    `starts_in` so many seconds, as far as that is known, and `waits` tells whether its process lives. `work` is about
    how many seconds a study that does not run would still take. `job` is the SLURM job that it waits for, or waited for
    and that is gone.
    """

    paths: StudyPaths
    state: RowState
    name: str
    created: float
    updated: float
    settings: StudySettings | None = None
    networks: int = 0
    embeddings: int = 0
    fraction: float = 0.0
    seconds_left: float | None = None
    epoch: int = 0
    scores: tuple[tuple[str, float], ...] = ()
    diverged: int = 0
    at_chance: int = 0
    flaws: str = ""
    failed: tuple[str, ...] = ()
    device: str = ""
    host: str = ""
    reason: str = ""
    damage: str = ""
    resumable: bool = False
    partly: bool = False
    note: str = ""
    accuracies: tuple[float, float] | None = None
    values: tuple[tuple[str, str], ...] = ()
    impossible: int = 0
    began: float = 0.0
    workers: int = 0
    place: int = 0
    starts_in: float | None = None
    waits: bool = False
    work: float = 0.0
    job: Job | None = None

    @property
    def shown(self) -> ShownState:
        """How the state is shown."""
        if self.place:
            return "queued"
        if self.job:
            return "waiting" if self.job.waits else "lost"
        return "unreadable" if self.damage else "partly" if self.partly else self.state


def row_of(paths: StudyPaths, snapshot: Snapshot, created: float) -> StudyRow:
    """Return the row of a study; `created` is used where its journal has no time."""
    from embcx_tui.analysis.forecast import progress
    from embcx_tui.analysis.formatting import missing_pictures, unscored_layers
    from embcx_tui.analysis.selection import flaw_counts

    settings = snapshot.plan.settings
    done = progress(snapshot)
    begun = [line.at for line in snapshot.log if line.event.kind == "worker-started"]
    return StudyRow(
        paths=paths,
        state=snapshot.state,
        name=safe_text(snapshot.name, 120),
        created=snapshot.created or created,
        updated=snapshot.updated or created,
        settings=settings,
        networks=settings.network_count,
        embeddings=done.embeddings_planned,
        fraction=done.fraction,
        seconds_left=done.seconds_left if snapshot.state == "running" else None,
        epoch=min((history.last for history in snapshot.histories.values()), default=0),
        scores=_scores(snapshot),
        diverged=len(snapshot.diverged),
        at_chance=sum(state.at_chance for state in snapshot.networks.values()),
        flaws=flaw_counts(state.flaw for state in snapshot.networks.values()),
        failed=unscored_layers(snapshot) + missing_pictures(snapshot),
        device=safe_text(snapshot.machine.device, 80) if snapshot.machine else "",
        host=safe_text(snapshot.worker.host, 60) if snapshot.worker else "",
        reason=safe_text(snapshot.ended.reason, 300) if snapshot.ended else "",
        damage=safe_text(snapshot.damage, 300),
        resumable=snapshot.resumable,
        partly=snapshot.partly,
        note=snapshot.label.note,
        accuracies=_accuracies(snapshot),
        values=setting_texts(settings),
        impossible=done.impossible,
        began=begun[0] if begun else 0.0,
        workers=len(begun),
        work=_work(snapshot) * (1 - done.fraction),
        job=snapshot.waiting,
    )


def training_rows(rows: Sequence[StudyRow], opened: StudyPaths | None, snapshot: Snapshot | None) -> list[StudyRow]:
    """Return those of `rows` that train, and the open study where it does.

    The open study is read more often than the list: one that was just started is not in `rows` yet, and one that has
    just ended is still running there.
    """
    ended = opened if snapshot and snapshot.state != "running" else None
    training = [row for row in rows if row.state == "running" and row.paths != ended]
    if opened and snapshot and snapshot.state == "running" and all(row.paths != opened for row in training):
        training.append(row_of(opened, snapshot, snapshot.created))
    return training


def unreadable_row(paths: StudyPaths, created: float, reason: str) -> StudyRow:
    """Return the row of a study whose file or journal cannot be read."""
    return StudyRow(paths, "unreadable", paths.id, created, created, reason=safe_text(reason, 300))


def _scores(snapshot: Snapshot) -> tuple[tuple[str, float], ...]:
    from embcx_tui.analysis.summary import summarise

    depths = snapshot.plan.settings.networks.depths
    datasets = snapshot.plan.settings.data.datasets
    scores: dict[str, float] = {}
    for summary in summarise(snapshot):
        # One number per architecture: the last layer of the trained networks. The name has dataset and depth where
        # there are several.
        dataset, depth, activation, control = summary.architecture
        if summary.layer == depth and control is None and summary.kl_mean is not None:
            words = [activation]
            if len(depths) > 1:
                words.append(f"d{depth}")
            if len(datasets) > 1:
                words.insert(0, dataset)
            scores[safe_text(" ".join(words), 60)] = summary.kl_mean
    return tuple(sorted(scores.items(), key=lambda pair: pair[1]))


def _work(snapshot: Snapshot) -> float:
    """Return about how many seconds a study takes as a whole on this machine; 0 where it runs or is complete."""
    from embcx_tui.analysis.forecast import forecast
    from embcx_tui.store.machine_records import ROUGH, stored_calibration

    if snapshot.state in ("running", "complete"):
        return 0.0
    return forecast(snapshot.plan, stored_calibration(snapshot.plan.settings.machine.device) or ROUGH).total


def _accuracies(snapshot: Snapshot) -> tuple[float, float] | None:
    """Return the lowest and highest mean test accuracy of the deepest trained architectures."""
    deepest = max((network.depth for network in snapshot.plan.networks), default=0)
    found: dict[object, list[float]] = {}
    for state in snapshot.networks.values():
        network = state.network
        counts = network.depth == deepest and network.control is None and network.id in snapshot.trained
        if counts and state.test_accuracy is not None:
            found.setdefault(network.architecture, []).append(state.test_accuracy)
    means = [sum(values) / len(values) for values in found.values()]
    return (min(means), max(means)) if means else None


def setting_texts(settings: StudySettings) -> tuple[tuple[str, str], ...]:
    """Return every setting as short text, by its dotted key; not the name and the datasets, which have columns."""
    found = []
    for section, value in settings:
        inner = value if hasattr(value, "model_dump") else ()
        found += [(f"{section}.{key}", setting_text(one)) for key, one in inner if key != "datasets"]
    return tuple(found)


def setting_text(value: object) -> str:
    """Return one setting as text: `0.03`, `relu tanh`, `–` where a list is empty."""
    if isinstance(value, tuple):
        return " ".join(setting_text(one) for one in value) or "–"
    return f"{value:g}" if isinstance(value, float) else safe_text(value, 200)


class StateStyle(NamedTuple):
    """How a state is shown: its sign (one cell wide), its word, and the theme's colour."""

    sign: str
    word: str
    colour: str


STATE_STYLES: dict[ShownState, StateStyle] = {
    "queued": StateStyle("○", "queued", "$text-muted"),
    "waiting": StateStyle("○", "waiting", "$text-muted"),
    "running": StateStyle("●", "running", "$text-accent"),
    "stopped": StateStyle("■", "stopped", "$text-secondary"),
    "complete": StateStyle("✓", "complete", "$text-success"),
    "partly": StateStyle("✓", "partly", "$text-warning"),
    "failed": StateStyle("✗", "failed", "$text-error"),
    "lost": StateStyle("?", "lost", "$text-warning"),
    "unreadable": StateStyle("!", "damaged", "$text-error"),
}

# Of networks, not of studies. At chance: trained, and no better than always naming the largest class.
AT_CHANCE_SIGN = "≈"
DIVERGED_SIGN = "✗"
# Of networks. A word stands beside each sign: nothing is said by colour alone.
STATUS_SIGNS: dict[Status, str] = {
    "queued": "·",
    "training": "◌",
    "stopped": "■",
    "trained": "◐",
    "received": "◐",
    "measured": "●",
    "diverged": DIVERGED_SIGN,
    "failed": "!",
}


def shown_state(snapshot: Snapshot) -> ShownState:
    """Return how the state of a study is shown: while it waits for SLURM, not what came before."""
    if snapshot.waiting:
        return "waiting" if snapshot.waiting.waits else "lost"
    return "partly" if snapshot.partly else snapshot.state


def state_content(state: ShownState) -> Content:
    """Return the sign and the word of `state` in its colour."""
    style = STATE_STYLES[state]
    return Content.styled(f"{style.sign} {style.word}", style.colour)
