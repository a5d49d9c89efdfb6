"""The studies of a user: create, list, find, delete."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embcx_tui import __version__
from embcx_tui.store import lock
from embcx_tui.store.files import FOLDER_MODE, make_folder, publish, reason_of, sync_folder
from embcx_tui.store.jobs import refuse_while_waiting
from embcx_tui.store.name_and_note import read_label
from embcx_tui.store.paths import StudyPaths, studies_folder
from embcx_tui.store.plain_files import FILE_MODE, read_plain
from embcx_tui.study.errors import RequestError, SettingsError, StoreError
from embcx_tui.study.seeds import STUDY_ID, short_hash
from embcx_tui.study.text import safe_text
from embcx_tui.study.times import MOST_TIME

if TYPE_CHECKING:  # settings and events load pydantic, which a list of unchanged studies does not wait for
    from embcx_tui.study.settings import StudySettings

LATEST = "last"
# A folder that has been created or deleted for this long was left behind by a killed process.
_LEFT_AFTER_S = 3_600.0
# Keys that studies begun before there was a choice lack, with what they meant then.
_LATER_KEYS = {
    "measure.search": "plain",
    "data.sample_from": "train",
    "machine.gpu_path": "fast",
    "measure.large": "whole",
    "machine.devices": 1,
    "machine.parts": 1,
    "machine.cluster": "",
}
# The same of studies of networks that were trained elsewhere, which had the other keys from the first.
_LATER_MEASURED_KEYS = {"measure.large": "whole"}


def create_study(settings: StudySettings) -> StudyPaths:
    """Create the folder of a new study, ready for a worker; raises StoreError and leaves nothing half-made."""
    from embcx_tui.store.journal import JournalWriter
    from embcx_tui.study.events import StudyCreated
    from embcx_tui.study.parts import with_parts
    from embcx_tui.study.settings import to_toml

    settings = with_parts(settings)
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
        digest = publish(paths.study_file, text.encode())
        writer = JournalWriter(paths.journal)
        try:
            writer.append(StudyCreated(at=time.time(), id=study_id, version=__version__, study_file=digest))
        finally:
            writer.close()
        os.close(os.open(paths.lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE))
        sync_folder(draft)
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
            if STUDY_ID.fullmatch(entry.name):
                paths = StudyPaths(Path(entry.path))
                if created := created_at(paths):
                    found.append((created, paths))
    return tuple(paths for _, paths in sorted(found, key=lambda pair: (-pair[0], pair[1].id)))


def created_at(paths: StudyPaths) -> float:
    """Return when a study was created, in seconds since 1970, by its files; 0 where there are none of a study."""
    # A study file is written once, before the folder gets its name: its time is the study's.
    for file in (paths.study_file, paths.journal):
        try:
            return min(max(file.lstat().st_mtime, 1.0), MOST_TIME)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:  # a folder that may not be entered: it is listed, and reading it says why
            return 1.0
    return 0.0


def read_settings(paths: StudyPaths) -> StudySettings:
    """Return the settings of a study; raises StoreError where its file is damaged."""
    return stored_settings(paths)[0]


def stored_settings(paths: StudyPaths) -> tuple[StudySettings, str]:
    """Return the settings of a study and the SHA-256 of its file; raises StoreError where that is damaged.

    The file is complete, unlike one that a user writes: what lacks keys was cut or edited.
    """
    from embcx_tui.study.measured import kind_of, validate_study
    from embcx_tui.study.settings import MAX_STUDY_FILE_BYTES, StudySettings, known_keys, parse_toml

    _refuse_link(paths)
    try:
        data = read_plain(paths.study_file, MAX_STUDY_FILE_BYTES)
        values = parse_toml(data.decode("utf-8"))
        model = kind_of(values)
        for key, value in (_LATER_KEYS if model is StudySettings else _LATER_MEASURED_KEYS).items():
            section, _, name = key.partition(".")
            if isinstance(table := values.setdefault(section, {}), dict):
                table.setdefault(name, value)
        settings = validate_study(values)
    except OSError as error:
        raise StoreError(f"study {paths.id}: its study.toml cannot be read ({reason_of(error)})") from None
    except UnicodeDecodeError:
        raise StoreError(f"study {paths.id}: its study.toml is not UTF-8 text") from None
    except SettingsError as error:
        raise StoreError(f"study {paths.id}: its study.toml is damaged ({safe_text(error, 300)})") from None
    lacking = [key for key in known_keys(model) if _value(values, key) is None]
    if lacking:
        more = f" and {len(lacking) - 3} other keys" if len(lacking) > 3 else ""
        raise StoreError(f"study {paths.id}: its study.toml lacks {', '.join(lacking[:3])}{more}; it was cut or edited")
    return settings, hashlib.sha256(data).hexdigest()


def _refuse_link(paths: StudyPaths) -> None:
    """Raise StoreError where a study's folder is a link: its files would lie in somebody else's folder."""
    if paths.root.is_symlink():
        raise StoreError(
            f"study {paths.id}: its folder is a symbolic link, which is not followed; "
            "for studies on another disk let EMBCX_HOME name it, and remove the link"
        )


def _value(values: Mapping[str, Any], key: str) -> Any:
    """Return the value of a dotted key; None where there is none."""
    section, _, name = key.rpartition(".")
    return (values.get(section, {}) if section else values).get(name)


def find_study(wanted: str) -> StudyPaths:
    """Return the study that `wanted` means: an id, `last`, a name, or the beginning of an id; raises RequestError.

    A study that was renamed is found by its new name, and by the old one where no other study is called that.
    """
    studies = list_studies()
    shown = safe_text(wanted, 60)
    by_id = {paths.id: paths for paths in studies}
    if wanted in by_id:
        return by_id[wanted]
    if wanted == LATEST:
        if not studies:
            raise RequestError("there are no studies yet; start one with: embcx-tui run demo")
        # One that cannot be read must not stand in the way of the others.
        return next((paths for paths in studies if _name(paths) is not None), studies[0])
    matches = [paths for paths in studies if (read_label(paths).name or _name(paths)) == wanted]
    what = "are called"
    if not matches and wanted:
        matches = [paths for paths in studies if _name(paths) == wanted]
        what = "were called"
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
    """Return the name in a study's file; None where that cannot be read."""
    try:
        return read_settings(paths).name
    except (StoreError, RequestError):
        return None


def delete_study(paths: StudyPaths) -> None:
    """Delete a study with all its files; raises RequestError while it runs, StoreError where the disk refuses."""
    _refuse_link(paths)
    if lock.is_running(paths, sure=True):
        raise RequestError(f"study {paths.id} is running; stop it first: embcx-tui stop {paths.id}")
    refuse_while_waiting(paths)
    # Renamed first: a study is either listed whole or not at all.
    trash = paths.root.with_name(f".deleted-{paths.id}")
    try:
        paths.root.rename(trash)
        shutil.rmtree(trash)
    except OSError as error:
        raise StoreError(f"study {paths.id} cannot be deleted ({reason_of(error)})") from None
