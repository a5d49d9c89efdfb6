"""Where the work of a cohort tells its facts and leaves its files: one argument of whatever trains and measures.

In the worker that is its journal (`worker/journal.py`), which writes both into the study's folder; in a hand, a process
that computes a part for the worker (`worker/hand.py`), frames through a pipe. Journal and files thus have one writer.
"""

from __future__ import annotations

from typing import Literal, Protocol

from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.events import AnyEvent, CheckpointSaved, SealedFile

Folder = Literal["arrays", "checkpoints"]


class Outlet(Protocol):
    """What a study says so far, and the only way to add to it; every method may be called from any thread."""

    @property
    def snapshot(self) -> Snapshot:
        """What is known of the study, what was appended here included."""

    def append(self, event: AnyEvent) -> None:
        """Tell a fact, after those told before it. Raises OSError where it cannot be told."""

    def publish(self, folder: Folder, name: str, data: bytes) -> SealedFile:
        """Leave a file of the study; an event told later may name it. Raises OSError where it cannot be left."""

    def read(self, file: SealedFile) -> bytes:
        """Return the bytes of a file; raises StoreError where it is missing or not what the journal announced."""

    def exists(self, file: SealedFile) -> bool:
        """Tell whether there is a file of that name."""

    def is_intact(self, file: SealedFile) -> bool:
        """Tell whether a file is there with the bytes that the journal announced."""

    def keep_checkpoint(self, saved: CheckpointSaved) -> None:
        """Tell that a checkpoint is published, then remove the older ones of its cohort: whenever a crash comes, the
        file of the last line is whole.
        """
