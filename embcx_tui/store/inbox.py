"""The inbox of a study: where a program that trains elsewhere hands over rows of layers for the worker to measure.

The producer writes numbers into `.tmp-…`, syncs them and renames the folder to its number; the worker takes the oldest
and removes it once all of it is measured. So each has files of its own, and either may be killed at any moment.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import secrets
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import psutil
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from embcx_tui.store.files import FOLDER_MODE, make_folder, publish, reason_of, sync_folder
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.plain_files import FILE_MODE, read_plain
from embcx_tui.store.processes import boot_id, process_start, worker_process
from embcx_tui.study.errors import StoreError
from embcx_tui.study.events import LayerDescribed, LayerName, PoolName, WorkerStarted
from embcx_tui.study.text import safe_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MANIFEST = "manifest.json"
_NUMBER = re.compile(r"[0-9]{6,9}")
_MOST_MANIFEST_BYTES = 8 << 20
_MOST_ARRAY_BYTES = 8 << 30
Count = Annotated[int, Field(ge=0, lt=2**63)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class HandedArray(_Part):
    """An array file of an entry."""

    name: Annotated[str, Field(pattern=r"^[0-9]{3}\.npy$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class SubmittedLayer(_Part):
    """The rows [n, units] of a layer, or why there are none; `width`, `varying`: as in `LayerRows`."""

    name: LayerName
    pool: PoolName = ""
    width: Count = 0
    varying: Count = 0
    rows: HandedArray | None = None
    error: Annotated[str, Field(max_length=500)] = ""


class HandedSample(_Part):
    """The sample of a run: `index` and `label` [n], `input` [n, features] where it can be shown."""

    kind: Literal["sample"] = "sample"
    dataset: str
    run: Count
    total: Count
    classes: tuple[str, ...]
    shape: tuple[Count, Count, Count] | None = None
    words: Annotated[str, Field(max_length=500)] = ""
    index: HandedArray
    label: HandedArray
    input: HandedArray | None = None


class HandedLayers(_Part):
    """The layers of a network after `epoch` epochs (None: it has no epochs).

    `also`: the untrained control that the same rows are, for a recorder's epoch 0. `input`: layer 0.
    """

    kind: Literal["layers"] = "layers"
    network: str
    also: str = ""
    epoch: Count | None = None
    parameters: Count = 0
    described: tuple[LayerDescribed, ...]
    layers: tuple[SubmittedLayer, ...]
    input: SubmittedLayer | None = None


Handed = HandedSample | HandedLayers


class Entry(_Part):
    """One handover, by its place in the order."""

    handed: Annotated[Handed, Field(discriminator="kind")]


class Producer:
    """Hands over to the worker of the study at `paths`; one per study."""

    def __init__(self, paths: StudyPaths) -> None:
        """Create the inbox and say who fills it; raises StoreError."""
        self._inbox = paths.inbox
        self._next = 0
        make_folder(self._inbox)
        own = WorkerStarted(
            pid=os.getpid(),
            start_time=psutil.Process().create_time(),
            start=process_start(os.getpid()),
            boot_id=boot_id(),
            host=socket.gethostname(),
        )
        self._publish("producer.json", own.model_dump_json().encode())

    def hand_over(self, arrays: Mapping[str, NDArray[Any]], describe: Any) -> None:
        """Hand over `arrays`; `describe` makes the `Handed` of the files they became, by the same keys.

        Durable when this returns. Raises StoreError (a full disk), and leaves nothing then.
        """
        import numpy as np

        folder = self._inbox / f".tmp-{secrets.token_hex(6)}"
        try:
            folder.mkdir(mode=FOLDER_MODE)
            files = {}
            for place, (key, array) in enumerate(arrays.items()):
                buffer = io.BytesIO()
                np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
                name = f"{place:03d}.npy"
                data = buffer.getbuffer()
                files[key] = HandedArray(name=name, sha256=hashlib.sha256(data).hexdigest())
                _write(folder / name, data)
            content = Entry(handed=describe(files)).model_dump_json().encode()
            _write(folder / _MANIFEST, content)
            sync_folder(folder)
            folder.rename(self._inbox / f"{self._next:06d}")
            sync_folder(self._inbox)
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, OSError):
                raise StoreError(f"{safe_text(self._inbox)}: cannot be written ({reason_of(error)})") from None
            raise
        self._next += 1

    def waiting_bytes(self) -> int:
        """Return the bytes of arrays that wait to be measured."""
        total = 0
        for file in self._inbox.glob("[0-9]*/*.npy"):
            with contextlib.suppress(OSError):  # measured and removed meanwhile
                total += file.stat().st_size
        return total

    def close(self) -> None:
        """Say that nothing more will come; raises StoreError."""
        self._publish("closed", b"")

    def _publish(self, name: str, data: bytes) -> None:
        try:
            publish(self._inbox / name, data)
        except OSError as error:
            raise StoreError(f"{safe_text(self._inbox)}: cannot be written ({reason_of(error)})") from None


def _write(path: Path, data: bytes | memoryview) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


class Inbox:
    """The worker's side."""

    def __init__(self, paths: StudyPaths) -> None:
        self._inbox = paths.inbox

    def entries(self) -> tuple[Path, ...]:
        """Return what waits, the oldest first."""
        try:
            found = [entry.name for entry in os.scandir(self._inbox) if entry.is_dir(follow_symlinks=False)]
        except OSError:
            return ()
        return tuple(self._inbox / name for name in sorted(filter(_NUMBER.fullmatch, found), key=int))

    @property
    def is_closed(self) -> bool:
        """Whether nothing more will come."""
        return (self._inbox / "closed").exists()

    @property
    def producer_lives(self) -> bool:
        """Whether the process that fills it runs; believed of one on another machine, or before another boot."""
        try:
            producer = WorkerStarted.model_validate_json(read_plain(self._inbox / "producer.json", 10_000))
        except (OSError, ValueError):
            return False
        if producer.host != socket.gethostname():
            return True
        return worker_process(producer) is not None

    def read(self, entry: Path) -> Handed:
        """Return what an entry holds; raises StoreError where its manifest is damaged."""
        try:
            data = json.loads(read_plain(entry / _MANIFEST, _MOST_MANIFEST_BYTES))
            return Entry.model_validate(data).handed
        except (OSError, ValueError, ValidationError) as error:
            reason = reason_of(error) if isinstance(error, OSError) else "it is no manifest"
            raise StoreError(f"inbox/{entry.name}: cannot be read ({reason})") from None

    def array(self, entry: Path, file: HandedArray) -> NDArray[Any]:
        """Return an array of an entry; raises StoreError where it is missing or not what the manifest says."""
        import numpy as np

        where = f"inbox/{entry.name}/{file.name}"
        try:
            data = read_plain(entry / file.name, _MOST_ARRAY_BYTES)
        except (OSError, MemoryError) as error:
            raise StoreError(f"{where}: cannot be read ({reason_of(error)})") from None
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise StoreError(f"{where}: damaged (not what its manifest announced)")
        try:
            array: NDArray[Any] = np.load(io.BytesIO(data), allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise StoreError(f"{where}: no array ({safe_text(error, 100)})") from None
        return array

    def remove(self, entry: Path) -> None:
        """Remove an entry that has been measured."""
        # Renamed first: a worker that is killed meanwhile must not take half of it for a whole one.
        gone = entry.with_name(f".done-{entry.name}")
        with contextlib.suppress(OSError):
            entry.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what a killed worker left half-removed."""
        with contextlib.suppress(OSError):
            for entry in os.scandir(self._inbox):
                if entry.name.startswith(".done-") and entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
