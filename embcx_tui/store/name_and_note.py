"""What a user calls a study and notes about it after it was created: `label.json` in its folder.

The study file never changes, since its digest stands in the journal and results follow from it; the id never changes
either. The label lies beside them, so that it goes where the study goes, and a damaged or missing one is an empty one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from embcx_tui.store.files import publish, reason_of
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.plain_files import read_plain
from embcx_tui.study.errors import StoreError
from embcx_tui.study.text import safe_text

LONGEST_NAME, LONGEST_NOTE = 120, 500
# Both texts, with every character escaped.
_MOST_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Label:
    """A study's `name`, empty where it has the one of its study file, and a `note`; both safe to show."""

    name: str = ""
    note: str = ""


NO_LABEL = Label()


def read_label(paths: StudyPaths) -> Label:
    """Return the label of a study; an empty one where there is none that can be read."""
    try:
        content = json.loads(read_plain(paths.label, _MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return NO_LABEL
    if not isinstance(content, dict):
        return NO_LABEL
    name, note = (content.get(key) for key in ("name", "note"))
    return Label(
        safe_text(name, LONGEST_NAME).strip() if isinstance(name, str) else "",
        safe_text(note, LONGEST_NOTE).strip() if isinstance(note, str) else "",
    )


def write_label(paths: StudyPaths, label: Label) -> None:
    """Replace the label of a study, whether it runs or not; raises StoreError where it cannot be written."""
    content = {"name": safe_text(label.name, LONGEST_NAME), "note": safe_text(label.note, LONGEST_NOTE)}
    try:
        publish(paths.label, json.dumps(content, indent=1).encode())
    except OSError as error:
        raise StoreError(f"study {paths.id}: its name and note cannot be written ({reason_of(error)})") from None
