"""All messages that cross from one part of the application to another, on one page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from textual.message import Message

from embcx_tui.store.paths import StudyPaths
from embcx_tui.tui.study_row import StudyRow

if TYPE_CHECKING:  # numpy and pydantic come with these: not before the first frame
    from embcx_tui.store.machine_records import Telemetry
    from embcx_tui.store.snapshot import Snapshot
    from embcx_tui.study.settings import StudySettings

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
class PrefetchStudy(Message):
    """Read a study that may be opened next, since the cursor rests on it."""

    paths: StudyPaths


@dataclass
class StartStudy(Message):
    """Start a study's worker, or resume it."""

    paths: StudyPaths


@dataclass
class StopStudy(Message):
    """Ask a study's worker to stop after its epoch, or at once."""

    paths: StudyPaths
    at_once: bool = False


@dataclass
class DeleteStudy(Message):
    """Delete a study; the user has agreed to it."""

    paths: StudyPaths


@dataclass
class CreateStudy(Message):
    """Create a study and start it."""

    settings: StudySettings


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
