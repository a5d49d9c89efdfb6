"""Whether a study could begin, tried before it waits for its turn: its data are loaded and its samples drawn, and
nothing is written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import read_study
from embcx_tui.study.events import AnyEvent, CheckpointSaved, SealedFile
from embcx_tui.worker.dataset_cache import DatasetCache


class _NullOutlet:
    """An outlet that writes nothing."""

    def __init__(self, paths: StudyPaths) -> None:
        self.snapshot = read_study(paths)

    def append(self, event: AnyEvent) -> None:
        pass

    def publish(self, folder: str, name: str, data: bytes) -> SealedFile:
        return SealedFile(name=f"{folder}/{name}", sha256="0" * 64)

    def read(self, file: SealedFile) -> bytes:
        return b""

    def exists(self, file: SealedFile) -> bool:
        return True

    def is_intact(self, file: SealedFile) -> bool:
        return True

    def keep_checkpoint(self, saved: CheckpointSaved) -> None:
        pass


def could_begin(folder: str) -> dict[str, Any]:
    """Answer `ask("could-begin", FOLDER)`; raises DataError with the reason for which the study would be refused.

    Files of a measured study were looked at when it was made, and are looked at again when its turn comes.
    """
    outlet = _NullOutlet(StudyPaths(Path(folder)))
    if not outlet.snapshot.plan.is_measured:
        DatasetCache(outlet).accept()
    return {}
