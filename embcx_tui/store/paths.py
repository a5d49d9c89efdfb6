"""Names of files and folders; no other module knows them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs


def home() -> Path:
    """Return the folder of everything the program keeps: `$EMBCX_HOME`, else the user's data folder."""
    given = os.environ.get("EMBCX_HOME")
    return Path(given).expanduser().absolute() if given else platformdirs.user_data_path("embcx-tui")


def studies_folder() -> Path:
    return home() / "studies"


def data_folder() -> Path:
    """Return the folder of the datasets, in torchvision's layout: `$EMBCX_DATA_DIR`, else `data` beside the studies."""
    given = os.environ.get("EMBCX_DATA_DIR")
    return Path(given).expanduser().absolute() if given else home() / "data"


def unpacked_folder() -> Path:
    """Return the folder of unpacked dataset files, which can be deleted at any time."""
    return home() / "unpacked"


def preferences_file() -> Path:
    """Return the file of the user's preferences, which may be edited by hand."""
    return home() / "preferences.toml"


def state_file() -> Path:
    """Return the file of what the application remembers: the last screen, the open study, what was selected."""
    return home() / "state.toml"


@dataclass(frozen=True, slots=True)
class StudyPaths:
    """The files of one study."""

    root: Path

    @property
    def id(self) -> str:
        return self.root.name

    @property
    def study_file(self) -> Path:
        return self.root / "study.toml"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def journal(self) -> Path:
        return self.root / "journal.jsonl"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def arrays(self) -> Path:
        return self.root / "arrays"

    @property
    def telemetry(self) -> Path:
        return self.root / "telemetry.jsonl"

    @property
    def worker_log(self) -> Path:
        return self.root / "worker.log"

    @property
    def exports(self) -> Path:
        return self.root / "exports"
