"""The outlet of a hand: facts and files of a part become frames, and the worker writes them into the study's folder."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable

from embcx_tui.store.snapshot import Snapshot, fold
from embcx_tui.study.errors import StoreError
from embcx_tui.study.events import AnyEvent, CheckpointSaved, SealedFile, encode
from embcx_tui.study.text import safe_text
from embcx_tui.worker.frames import Kind, Link
from embcx_tui.worker.outlet import Folder


class HandOutlet:
    """What a hand knows of a study: `snapshot` begins with what the worker says of the part, whose files are sound.

    `files`: the bytes of those that the hand needs, its samples and its newest checkpoint.
    """

    def __init__(self, link: Link, snapshot: Snapshot, files: dict[SealedFile, bytes]) -> None:
        self._link = link
        self._lock = threading.Lock()
        self._files = files
        self.snapshot = snapshot
        self._sound = set(_files_of(snapshot))

    def append(self, event: AnyEvent) -> None:
        """Send `event` after those before it; the worker's journal stamps the time. Raises OSError."""
        with self._lock:
            self._link.send(Kind.EVENT, encode(event))
            self.snapshot = fold(self.snapshot, (event,))

    def publish(self, folder: Folder, name: str, data: bytes) -> SealedFile:
        """Send a file; it is written once an event names it. Raises OSError."""
        sealed = SealedFile(name=f"{folder}/{name}", sha256=hashlib.sha256(data).hexdigest())
        self._link.send_file(sealed, data)
        self._sound.add(sealed)
        return sealed

    def read(self, file: SealedFile) -> bytes:
        """Return the bytes of a file that came with the part; raises StoreError where it did not."""
        try:
            return self._files[file]
        except KeyError:
            raise StoreError(f"{safe_text(file.name, 100)}: not among the files of this part") from None

    def exists(self, file: SealedFile) -> bool:
        """Tell whether a file came with the part."""
        return file in self._files

    def is_intact(self, file: SealedFile) -> bool:
        """Tell whether the worker has a file, or has been sent it."""
        return file in self._sound

    def keep_checkpoint(self, saved: CheckpointSaved) -> None:
        """Tell that a checkpoint is sent; the worker removes the older ones."""
        self.append(saved)


def _files_of(snapshot: Snapshot) -> Iterable[SealedFile]:
    for records in (snapshot.samples, snapshot.trained, snapshot.measured, snapshot.earlier):
        for record in records.values():
            yield record.file
