"""The studies of a user: create, list, find, delete."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from pathlib import Path

from embcx_tui import __version__
from embcx_tui.store import lock
from embcx_tui.store.files import FOLDER_MODE, make_folder, publish, sync_folder
from embcx_tui.store.journal import JournalWriter
from embcx_tui.store.paths import StudyPaths, studies_folder
from embcx_tui.study.errors import RequestError, StoreError
from embcx_tui.study.events import StudyCreated
from embcx_tui.study.seeds import STUDY_ID, short_hash
from embcx_tui.study.settings import StudySettings, parse_toml, to_toml, validate
from embcx_tui.study.text import safe_text

LATEST = "last"
# A folder that has been created or deleted for this long was left behind by a killed process.
_LEFT_AFTER_S = 3_600.0


def create_study(settings: StudySettings) -> StudyPaths:
    """Create the folder of a new study, ready for a worker; raises StoreError and leaves nothing half-made."""
    parent = studies_folder()
    make_folder(parent)
    _sweep(parent)
    text = to_toml(settings)
    study_id = short_hash(text, time.time_ns(), os.getpid(), secrets.token_hex(8))
    draft = parent / f".new-{study_id}"
    try:
        draft.mkdir(mode=FOLDER_MODE)
        paths = StudyPaths(draft)
        for folder in (paths.checkpoints, paths.arrays, paths.exports):
            folder.mkdir(mode=FOLDER_MODE)
        publish(paths.study_file, text.encode())
        writer = JournalWriter(paths.journal)
        try:
            writer.append(StudyCreated(at=time.time(), id=study_id, version=__version__))
        finally:
            writer.close()
        os.close(os.open(paths.lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        draft.rename(parent / study_id)
        sync_folder(parent)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise StoreError(f"{safe_text(parent)}: no study can be created there ({error.strerror})") from None
    return StudyPaths(parent / study_id)


def _sweep(parent: Path) -> None:
    """Remove what processes left that were killed while they created or deleted a study; it may be large."""
    for folder in (*parent.glob(".new-*"), *parent.glob(".deleted-*")):
        with contextlib.suppress(OSError):
            # The time of the last change of its name or entries.
            if time.time() - folder.stat().st_ctime > _LEFT_AFTER_S:
                shutil.rmtree(folder, ignore_errors=True)


def list_studies() -> tuple[StudyPaths, ...]:
    """Return all studies, newest first."""
    found: list[tuple[float, StudyPaths]] = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for entry in os.scandir(studies_folder()):
            # A study file is written once, before the folder gets its name: its time is the study's.
            with contextlib.suppress(OSError):
                if STUDY_ID.fullmatch(entry.name):
                    paths = StudyPaths(Path(entry.path))
                    found.append((paths.study_file.stat().st_mtime, paths))
    return tuple(paths for _, paths in sorted(found, key=lambda pair: (-pair[0], pair[1].id)))


def read_settings(paths: StudyPaths) -> StudySettings:
    """Return the settings of a study; raises StoreError or SettingsError where its file is damaged."""
    try:
        values = parse_toml(paths.study_file.read_text(encoding="utf-8"))
        # A study's own file is complete: without the key it was begun before there was a choice, and goes on as it was.
        if isinstance(measure := values.setdefault("measure", {}), dict):
            measure.setdefault("search", "plain")
        return validate(values)
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"study {paths.id}: its study.toml cannot be read ({safe_text(error, 100)})") from None


def find_study(wanted: str) -> StudyPaths:
    """Return the study that `wanted` means: an id, `last`, a name, or the beginning of an id; raises RequestError."""
    studies = list_studies()
    shown = safe_text(wanted, 60)
    by_id = {paths.id: paths for paths in studies}
    if wanted in by_id:
        return by_id[wanted]
    if wanted == LATEST:
        if not studies:
            raise RequestError("there are no studies yet; start one with: embcx-tui run demo")
        return studies[0]
    matches = [paths for paths in studies if _name(paths) == wanted]
    what = "are called"
    if not matches and wanted:
        matches = [paths for paths in studies if paths.id.startswith(wanted)]
        what = "begin with"
    if len(matches) == 1:
        return matches[0]
    if not matches:
        raise RequestError(f"there is no study {shown!r}; embcx-tui list shows them all")
    ids = ", ".join(paths.id for paths in matches[:5]) + (", …" if len(matches) > 5 else "")
    raise RequestError(f"{len(matches)} studies {what} {shown!r} (newest first: {ids}); give the id")


def _name(paths: StudyPaths) -> str | None:
    try:
        return read_settings(paths).name
    except (StoreError, RequestError):
        return None


def delete_study(paths: StudyPaths) -> None:
    """Delete a study with all its files; raises RequestError while it runs, StoreError where the disk refuses."""
    if lock.is_held(paths.lock):
        raise RequestError(f"study {paths.id} is running; stop it first: embcx-tui stop {paths.id}")
    # Renamed first: a study is either listed whole or not at all.
    trash = paths.root.with_name(f".deleted-{paths.id}")
    try:
        paths.root.rename(trash)
        shutil.rmtree(trash)
    except OSError as error:
        raise StoreError(f"study {paths.id} cannot be deleted ({error.strerror})") from None
