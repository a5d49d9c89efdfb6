"""Names of files and folders; no other module knows them."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from embcx_tui.study.errors import RequestError
from embcx_tui.study.text import safe_text


def typed_path(typed: str | Path) -> Path:
    """Return the whole path that a user means, `~` replaced; raises RequestError where there is no such path."""
    try:
        return Path(typed).expanduser().absolute()
    except RuntimeError:  # "~nobody/x"; "~/x" where nobody knows this user's home
        raise RequestError(f"{safe_text(typed)}: there is no home folder of that name; write the whole path") from None
    except OSError as error:
        raise RequestError(f"{safe_text(typed)}: the current folder is gone ({error.strerror})") from None


def _named_folder(variable: str) -> Path | None:
    """Return the folder that an environment variable names; None where it is not set."""
    given = os.environ.get(variable)
    try:
        return typed_path(given) if given else None
    except RequestError as error:
        raise RequestError(f"{variable}={error}") from None


def home() -> Path:
    """Return the folder of everything the program keeps: `$EMBCX_HOME`, else the user's data folder.

    Raises RequestError where there is neither: no HOME, and no passwd entry of this user (a container, a service).
    """
    if given := _named_folder("EMBCX_HOME"):
        return given
    try:
        folder = platformdirs.user_data_path("embcx-tui")
    except (RuntimeError, KeyError, OSError):
        folder = Path()
    if not folder.is_absolute():
        raise RequestError("this user has no home folder (HOME is not set); set EMBCX_HOME to a folder for the studies")
    return folder


def studies_folder() -> Path:
    return home() / "studies"


def data_folder() -> Path:
    """Return the folder of the datasets, in torchvision's layout: `$EMBCX_DATA_DIR`, else `data` beside the studies."""
    return _named_folder("EMBCX_DATA_DIR") or home() / "data"


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
        self.label = root / "label.json"
        self.lock = root / "lock"
        self.queue = root / "queue.json"
        self.waiting = root / "waiting"
        self.pulse = root / "pulse.json"
        self.job = root / "job.json"
        self.job_script = root / "job.sh"
        self.journal = root / "journal.jsonl"
        self.checkpoints = root / "checkpoints"
        self.arrays = root / "arrays"
        self.inbox = root / "inbox"
        self.telemetry = root / "telemetry.jsonl"
        self.worker_log = root / "worker.log"
        self.bridge_log = root / "bridge.log"
        self.exports = root / "exports"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StudyPaths) and other.root == self.root

    def __hash__(self) -> int:
        return hash(self.root)
