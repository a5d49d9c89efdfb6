"""One study as a line of the list (a small frozen value, cheap to compare), and how its state is shown everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from embcx_tui.store.paths import StudyPaths
from embcx_tui.study.text import safe_text

if TYPE_CHECKING:  # numpy and pydantic come with these: not before the first frame
    from embcx_tui.store.snapshot import Snapshot, Status
    from embcx_tui.study.settings import StudySettings
from typing import NamedTuple

from textual.content import Content

# A snapshot's states, and that there is none.
RowState = Literal["queued", "running", "stopped", "complete", "failed", "lost", "unreadable"]


@dataclass(frozen=True, slots=True)
class StudyRow:
    """What the list and its details show of a study. Times in seconds since 1970, `fraction` 0 … 1.

    `scores`: (activation, mean KL of the deepest trained networks' last layer), lowest first. `diverged` and
    `at_chance` count networks, `failed` layers. `settings` is None where the study's file cannot be read; `reason`
    says why then, or why its worker failed.
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
    failed: int = 0
    device: str = ""
    host: str = ""
    reason: str = ""


def row_of(paths: StudyPaths, snapshot: Snapshot, created: float) -> StudyRow:
    """Return the line of a study; `created` counts where its journal does not say."""
    from embcx_tui.analysis.forecast import progress

    settings = snapshot.plan.settings
    done = progress(snapshot)
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
        failed=len(snapshot.failed),
        device=safe_text(snapshot.machine.device, 80) if snapshot.machine else "",
        host=safe_text(snapshot.worker.host, 60) if snapshot.worker else "",
        reason=safe_text(snapshot.ended.reason, 300) if snapshot.ended else "",
    )


def unreadable_row(paths: StudyPaths, created: float, reason: str) -> StudyRow:
    """Return the line of a study whose file or journal cannot be read."""
    return StudyRow(paths, "unreadable", paths.id, created, created, reason=safe_text(reason, 300))


def _scores(snapshot: Snapshot) -> tuple[tuple[str, float], ...]:
    from embcx_tui.analysis.summary import summarise

    depths = snapshot.plan.settings.networks.depths
    datasets = snapshot.plan.settings.data.datasets
    found: dict[str, float] = {}
    for summary in summarise(snapshot):
        # One number an architecture: the last layer of the trained networks. With several datasets or depths the
        # architecture's name says which.
        if summary.layer == summary.depth and summary.control is None and summary.kl_mean is not None:
            words = [summary.activation]
            if len(depths) > 1:
                words.append(f"d{summary.depth}")
            if len(datasets) > 1:
                words.insert(0, summary.dataset)
            found[safe_text(" ".join(words), 60)] = summary.kl_mean
    return tuple(sorted(found.items(), key=lambda pair: pair[1]))


class Look(NamedTuple):
    """The sign (one cell wide), the word and the theme's colour of a state."""

    sign: str
    word: str
    colour: str


LOOKS: dict[RowState, Look] = {
    "queued": Look("○", "queued", "$text-muted"),
    "running": Look("●", "running", "$text-accent"),
    "stopped": Look("■", "stopped", "$text-secondary"),
    "complete": Look("✓", "complete", "$text-success"),
    "failed": Look("✗", "failed", "$text-error"),
    "lost": Look("?", "lost", "$text-warning"),
    "unreadable": Look("!", "unreadable", "$text-error"),
}

# Of networks, not of studies: trained, and no better than the largest class.
AT_CHANCE_SIGN = "≈"
DIVERGED_SIGN = "✗"
# Of networks. A word stands beside each sign: nothing is said by colour alone.
STATUS_SIGNS: dict[Status, str] = {
    "queued": "·",
    "training": "◌",
    "stopped": "■",
    "trained": "◐",
    "measured": "●",
    "diverged": DIVERGED_SIGN,
    "failed": "!",
}


def state_content(state: RowState) -> Content:
    """Return sign and word of `state` in its colour."""
    look = LOOKS[state]
    return Content.styled(f"{look.sign} {look.word}", look.colour)
