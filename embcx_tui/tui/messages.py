"""All messages that cross from one part of the application to another, on one page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from textual.message import Message

from embcx_tui.store.paths import StudyPaths
from embcx_tui.tui.study_row import StudyRow

if TYPE_CHECKING:  # numpy and pydantic come with these: not before the first frame
    from embcx_tui.store.snapshot import Snapshot
    from embcx_tui.store.telemetry import Telemetry
    from embcx_tui.study.settings import StudySettings

Severity = Literal["information", "warning", "error"]
Mode = Literal["studies", "configure", "live", "layers"]


# Wishes: from a screen up to the application.


class OpenStudy(Message):
    """Open a study; `mode` None: Live while it runs, else Layers."""

    def __init__(self, paths: StudyPaths, mode: Mode | None = None) -> None:
        self.paths = paths
        self.mode: Mode | None = mode
        super().__init__()


class LookedAt(Message):
    """The cursor rests on a study: it may be opened next."""

    def __init__(self, paths: StudyPaths) -> None:
        self.paths = paths
        super().__init__()


class StartStudy(Message):
    """Start a study's worker, or resume it."""

    def __init__(self, paths: StudyPaths) -> None:
        self.paths = paths
        super().__init__()


class StopStudy(Message):
    """Ask a study's worker to stop after its epoch, or at once."""

    def __init__(self, paths: StudyPaths, at_once: bool = False) -> None:
        self.paths = paths
        self.at_once = at_once
        super().__init__()


class DeleteStudy(Message):
    """Delete a study that the person has agreed to delete."""

    def __init__(self, paths: StudyPaths) -> None:
        self.paths = paths
        super().__init__()


class CreateStudy(Message):
    """Create a study and start it."""

    def __init__(self, settings: StudySettings) -> None:
        self.settings = settings
        super().__init__()


class StartDemo(Message):
    """Create and start the one-minute demo."""


class ReuseStudy(Message):
    """Fill the form with the settings of a study that exists."""

    def __init__(self, settings: StudySettings) -> None:
        self.settings = settings
        super().__init__()


class Say(Message):
    """Tell the person one line. `text` is safe to show."""

    def __init__(self, text: str, severity: Severity = "information") -> None:
        self.text = text
        self.severity: Severity = severity
        super().__init__()


# AffinityInfo: from the feed to the application.


class StudiesRead(Message):
    """The list of studies as it stands, newest first; `complete` False while some are still being read."""

    def __init__(self, rows: tuple[StudyRow, ...], complete: bool) -> None:
        self.rows = rows
        self.complete = complete
        super().__init__()


class StudyRead(Message):
    """The open study has changed."""

    def __init__(self, paths: StudyPaths, snapshot: Snapshot) -> None:
        self.paths = paths
        self.snapshot = snapshot
        super().__init__()


class TelemetryRead(Message):
    """New samples of the open study's machine, oldest first."""

    def __init__(self, paths: StudyPaths, telemetry: tuple[Telemetry, ...]) -> None:
        self.paths = paths
        self.telemetry = telemetry
        super().__init__()


class Starting(Message):
    """A study's worker is being started since `at`, in seconds since 1970; `ended`: it could not be."""

    def __init__(self, paths: StudyPaths, at: float, *, ended: bool = False) -> None:
        self.paths = paths
        self.at = at
        self.ended = ended
        super().__init__()


class StudyGone(Message):
    """A study has been deleted."""

    def __init__(self, paths: StudyPaths) -> None:
        self.paths = paths
        super().__init__()


class StudyUnreadable(Message):
    """The open study cannot be read any more: `text` says why."""

    def __init__(self, paths: StudyPaths, text: str) -> None:
        self.paths = paths
        self.text = text
        super().__init__()
