"""All messages that cross from one part of the application to another, on one page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from textual.message import Message

from embcx_tui.store.paths import StudyPaths
from embcx_tui.tui.study_row import StudyRow

if TYPE_CHECKING:  # numpy and pydantic come with these: not before the first frame
    from embcx_tui.analysis.groups import Group
    from embcx_tui.analysis.selection import Exclusion
    from embcx_tui.figures.model import Figure
    from embcx_tui.store.machine_records import Telemetry
    from embcx_tui.store.snapshot import Snapshot
    from embcx_tui.study.settings import StudySettings
    from embcx_tui.tui.fetch_progress import Fetch

Severity = Literal["information", "warning", "error"]
Mode = Literal["studies", "configure", "live", "layers"]


# Requests: from a screen up to the application.


@dataclass
class OpenStudy(Message):
    """Open a study; `mode` None: Live while it runs, else Layers."""

    paths: StudyPaths
    mode: Mode | None = None


@dataclass
class ShowMode(Message):
    """Go to another mode, as `esc` does where there is nothing left to undo."""

    mode: Mode


@dataclass
class Explain(Message):
    """Let the bottom line say what is under the pointer instead of the keys; an empty sentence: the keys again."""

    sentence: str


@dataclass
class PrefetchStudy(Message):
    """Read a study that may be opened next, since the cursor rests on it; `picture`: and make a picture of it."""

    paths: StudyPaths
    picture: bool = False


@dataclass
class StartStudy(Message):
    """Start a study's worker, or resume it; while its device is busy it is queued, unless it is to start `now`."""

    paths: StudyPaths
    now: bool = False


@dataclass
class MoveInQueue(Message):
    """Move a queued study one place: 1 later, -1 sooner."""

    paths: StudyPaths
    by: int


@dataclass
class StopStudy(Message):
    """Ask a study's worker to stop after its epoch, or at once."""

    paths: StudyPaths
    at_once: bool = False


@dataclass
class DeleteStudies(Message):
    """Delete studies; the user has agreed to it."""

    studies: tuple[StudyPaths, ...]


@dataclass
class CompareStudies(Message):
    """Show studies beside each other, compared with the first of them."""

    studies: tuple[StudyPaths, ...]


@dataclass
class CompareGroups(Message):
    """Show groups of networks within one study beside each other, compared with the first of them."""

    study: StudyPaths
    groups: tuple[Group, ...]
    exclude_chance: Exclusion = False


@dataclass
class LabelStudy(Message):
    """Give a study another name, or another note; None for what stays."""

    paths: StudyPaths
    name: str | None = None
    note: str | None = None


@dataclass
class CreateStudy(Message):
    """Create a study and start it."""

    settings: StudySettings


class MeasureActivations(Message):
    """Ask which files of activations to measure, and begin the study."""


@dataclass
class FetchData(Message):
    """Fetch datasets; none: stop fetching."""

    names: tuple[str, ...]


class StartDemo(Message):
    """Create and start the one-minute demo."""


@dataclass
class ReuseStudy(Message):
    """Fill the form with the settings of an existing study."""

    settings: StudySettings


@dataclass
class Say(Message):
    """Show the user one line. `text` is safe to show."""

    text: str
    severity: Severity = "information"


# News: from the study watcher and the study actions to the application.


@dataclass
class StudiesRead(Message):
    """The list of studies as it stands, newest first; `complete` False while some are still being read."""

    rows: tuple[StudyRow, ...]
    complete: bool


@dataclass
class StudyRead(Message):
    """The open study has changed."""

    paths: StudyPaths
    snapshot: Snapshot


@dataclass
class TelemetryRead(Message):
    """All telemetry of the open study's machine, oldest first: there is some that is new."""

    paths: StudyPaths
    telemetry: tuple[Telemetry, ...]


@dataclass
class StudyPictured(Message):
    """The picture of a study that the cursor rests on; None where there is nothing to draw yet."""

    paths: StudyPaths
    figure: Figure | None


@dataclass
class FetchChanged(Message):
    """How far the fetching of a dataset is; None where none is fetched any more."""

    fetch: Fetch | None


@dataclass
class StudyRefused(Message):
    """A study of the form could not begin: `text` says why."""

    text: str


@dataclass
class Starting(Message):
    """A study's worker is being started since `at`, in seconds since 1970; `ended`: it could not be."""

    paths: StudyPaths
    at: float
    ended: bool = False


@dataclass
class GpuChecked(Message):
    """Whether torch can use the GPUs here: `problem` is one line on why not, empty where nothing is amiss."""

    problem: str


@dataclass
class StudyGone(Message):
    """A study has been deleted."""

    paths: StudyPaths


@dataclass
class StudyUnreadable(Message):
    """The open study cannot be read any more: `text` says why."""

    paths: StudyPaths
    text: str
