"""Names of files and folders; no other module knows them."""

from __future__ import annotations

import os
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


def triton_cache() -> Path:
    """Return the folder of compiled GPU kernels, which can be deleted at any time."""
    return home() / "cache" / "triton"


def preferences_file() -> Path:
    """Return the file of the user's preferences, which may be edited by hand."""
    return home() / "preferences.toml"


def state_file() -> Path:
    """Return the file of what the application remembers: the last screen, the open study, what was selected."""
    return home() / "state.toml"


class StudyPaths:
    """The files of one study, in the folder `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.id = root.name
        self.study_file = root / "study.toml"
        self.lock = root / "lock"
        self.pulse = root / "pulse.json"
        self.journal = root / "journal.jsonl"
        self.checkpoints = root / "checkpoints"
        self.arrays = root / "arrays"
        self.telemetry = root / "telemetry.jsonl"
        self.worker_log = root / "worker.log"
        self.exports = root / "exports"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StudyPaths) and other.root == self.root

    def __hash__(self) -> int:
        return hash(self.root)
