"""Study folders as a worker leaves them, written by the real writer: complete, running, lost, failed, stopped, queued.

`python -m tests.fake_studies HOME` fills a home with one study of each state, to look at.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import numpy as np
import psutil

from embcx_tui.store import library
from embcx_tui.store.journal import JournalWriter, seal_line
from embcx_tui.store.machine_records import Telemetry, TelemetryWriter
from embcx_tui.store.paths import StudyPaths, studies_folder
from embcx_tui.store.processes import boot_id
from embcx_tui.store.snapshot import read_study
from embcx_tui.study.events import AnyEvent, WorkerEnded, WorkerStarted
from embcx_tui.study.settings import StudySettings, load_preset, validate
from tests.fake_events import START, events_of
from tests.fake_measured import measured_settings

# What a fake study is called unless told, and its host.
STUDY_ID = "k7m2x9q4fa"
HOST = "gpu-box"

FakeState = Literal["queued", "running", "complete", "stopped", "failed", "lost"]
Outcome = Literal["complete", "stopped", "failed"]

# Holds the lock as a worker does; on SIGTERM it writes the sealed last line it was given, as a worker's last word.
_HOLDER = """
import fcntl, os, signal, sys
lock, journal, last = sys.argv[1], sys.argv[2], bytes.fromhex(sys.argv[3])
fd = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
fcntl.lockf(fd, fcntl.LOCK_EX)
def end(*_):
    with open(journal, "ab") as file:
        file.write(last)
    os._exit(0)
signal.signal(signal.SIGTERM, end)
print("held", flush=True)
sys.stdin.read()
"""
_holders: list[subprocess.Popen[bytes]] = []
# Studies that were written once, by a digest of what was asked for; removed when the test session ends.
_templates = tempfile.TemporaryDirectory(prefix="embcx-fake-studies-")


@dataclass
class FakeStudy:
    """A study folder and, while it runs, the process that holds its lock."""

    paths: StudyPaths
    settings: StudySettings
    holder: subprocess.Popen[bytes] | None = None

    def append(self, *events: AnyEvent) -> None:
        """Write more lines to the journal, as the worker does."""
        writer = JournalWriter(self.paths.journal)
        try:
            for event in events:
                writer.append(event)
        finally:
            writer.close()

    def events(self, **progress: Any) -> Iterator[AnyEvent]:
        """Yield what the worker writes until it has got as far as asked; arguments as in `fake_events.events_of`."""
        return events_of(self.paths, self.settings, **progress)

    def measure_after(self, *epochs: int) -> None:
        """Measure the trained layers after `epochs` too: each KL is 1.5 less a tenth of the epoch."""
        known = read_study(self.paths).measured
        self.append(
            *(
                event.model_copy(update={"epoch": epoch, "kl": 1.5 - epoch / 10})
                for (layer_id, _), event in known.items()
                for epoch in epochs
                if event.network and "untrained" not in layer_id
            )
        )

    def end(self, outcome: Outcome | None = "complete", reason: str = "", at: float = START + 600) -> None:
        """Let the worker say its last word and go; with None it goes without a word, as a killed one does."""
        if outcome:
            self.append(WorkerEnded(at=at, outcome=outcome, reason=reason))
        self.release()

    def release(self) -> None:
        """End the process that holds the lock."""
        if self.holder:
            self.holder.kill()
            self.holder.wait()
            assert self.holder.stdin and self.holder.stdout
            self.holder.stdin.close()
            self.holder.stdout.close()
            if self.holder in _holders:
                _holders.remove(self.holder)
            self.holder = None


def release_all() -> None:
    """End every process that holds a fake study's lock."""
    for process in _holders:
        process.kill()
        process.wait()
    _holders.clear()


def settings_of(preset: str = "demo", **overrides: Any) -> StudySettings:
    """Return a preset's settings; `networks__runs=2` sets `networks.runs`."""
    values = load_preset(preset).settings.model_dump(mode="json")
    for key, value in overrides.items():
        section, _, name = key.rpartition("__")
        (values[section] if section else values)[name] = value
    return validate(values)


def make_study(
    settings: StudySettings | None = None,
    state: FakeState = "complete",
    *,
    study_id: str = STUDY_ID,
    at: float = START,
    epochs: int | None = None,
    measured: int | None = None,
    diverged: Sequence[str] = (),
    at_chance: Sequence[str] = (),
    broken: Sequence[str] = (),
    reason: str = "",
    arrays: bool = True,
    telemetry: int = 0,
) -> FakeStudy:
    """Write a study created at `at` and let it get as far as asked: `epochs` trained, `measured` layers.

    Unless told, a complete study has everything, any other half of its epochs and no layer. `diverged` are ids of
    networks, `at_chance` of those that learn nothing, `broken` ids of layers that could not be measured. Without
    `arrays` the files that events announce do not exist. `telemetry`: seconds of GPU and host samples.

    A study that is not running is written once per test session (1 s with arrays) and copied from then on (20 ms).
    """
    settings = settings or settings_of()
    whole = state == "complete"
    progress = {
        "at": at,
        "epochs": settings.training.epochs if epochs is None and whole else epochs,
        "measured": measured if measured is not None else (None if whole else 0),
        "diverged": tuple(diverged),
        "at_chance": tuple(at_chance),
        "broken": tuple(broken),
        "arrays": arrays,
    }
    asked = repr((settings, state, study_id, progress, reason, telemetry)).encode()
    template = Path(_templates.name) / hashlib.sha256(asked).hexdigest()
    if template.exists():
        root = studies_folder() / study_id
        shutil.copytree(template, root)
        return FakeStudy(StudyPaths(root), settings)
    # What a test reads back at once need not survive a power cut.
    with patch("os.fsync", lambda fd: None):
        study = _write_study(settings, state, study_id, progress, reason, telemetry)
    if state != "running":  # that one has a process of its own
        shutil.copytree(study.paths.root, template)
    return study


def _write_study(
    settings: StudySettings, state: FakeState, study_id: str, progress: dict[str, Any], reason: str, telemetry: int
) -> FakeStudy:
    at = progress["at"]
    with (
        patch.object(library, "short_hash", return_value=study_id),
        patch("embcx_tui.store.library.time.time", return_value=at),
    ):
        paths = library.create_study(settings)
    os.utime(paths.study_file, (at, at))
    study = FakeStudy(paths, settings)
    if state == "queued":
        return study
    if state == "running":
        study.holder = _hold(paths, at)
    study.append(_worker(at, study.holder.pid if study.holder else 4_000_000))
    events = list(study.events(**progress))
    study.append(*events)
    if state in ("complete", "stopped", "failed"):
        study.append(WorkerEnded(at=events[-1].at + 1, outcome=state, reason=reason))
    if telemetry:
        _write_telemetry(paths, events[-1].at, telemetry)
    return study


def _hold(paths: StudyPaths, at: float) -> subprocess.Popen[bytes]:
    last = seal_line(WorkerEnded(at=at + 600, outcome="stopped", reason="asked to stop")).hex()
    process = subprocess.Popen(
        [sys.executable, "-S", "-E", "-c", _HOLDER, str(paths.lock), str(paths.journal), last],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    _holders.append(process)
    return process


def _worker(at: float, pid: int) -> WorkerStarted:
    try:
        started = psutil.Process(pid).create_time()
        host = socket.gethostname()
    except psutil.Error:
        started, host = at, HOST
    return WorkerStarted(at=at + 1, pid=pid, start_time=started, boot_id=boot_id(), host=host)


def _write_telemetry(paths: StudyPaths, until: float, seconds: int) -> None:
    writer = TelemetryWriter(paths.telemetry)
    try:
        for second in range(seconds):
            load = 55 + 35 * np.sin(second / 9)
            writer.append(
                Telemetry(
                    at=until - seconds + second,
                    cpu_percent=round(float(load), 1),
                    memory_used=3 << 30,
                    memory_total=8 << 30,
                )
            )
    finally:
        writer.close()


def one_of_each(now: float) -> list[FakeStudy]:
    """Write one study of every state, the newest created shortly before `now`."""
    hour = 3600.0
    small = settings_of(networks__runs=2, training__epochs=20)
    return [
        make_study(settings_of("fig2", networks__runs=2), "complete", study_id="a2c4e6g8j0", at=now - 50 * hour),
        make_study(
            settings_of(name="half precision", training__epochs=20, networks__runs=1),
            "failed",
            study_id="b3d5f7h9k1",
            at=now - 26 * hour,
            reason="CUDA out of memory: 3.2 GiB asked for, 1.1 GiB free",
            arrays=False,
        ),
        make_study(
            settings_of(name="deep ladder", networks__depths=[1, 3, 7], networks__runs=2),
            "stopped",
            study_id="c4e6g8j0m2",
            at=now - 5 * hour,
            arrays=False,
        ),
        make_study(small, "complete", study_id="d5f7h9k1n3", at=now - 2 * hour, telemetry=60),
        make_study(settings_of(name="overnight"), "lost", study_id="e6g8j0m2p4", at=now - 0.06 * hour, arrays=False),
        make_study(
            settings_of("fig2", networks__runs=3, training__epochs=40),
            "running",
            study_id="f7h9k1n3q5",
            at=now - 25,
            epochs=22,
            arrays=False,
            telemetry=120,
        ),
        make_study(settings_of(name="next in line"), "queued", study_id="g8j0m2p4r6", at=now - 5),
    ]


# The network of `flawed_study` that learns nothing.
AT_CHANCE = ("digits-d3-logsig-r1",)


def complete_study() -> FakeStudy:
    """A measured study as pictures show it."""
    return make_study(settings_of(networks__runs=2, training__epochs=20), telemetry=60)


def flawed_study() -> FakeStudy:
    """A measured study with networks at chance, diverged, and a layer that failed."""
    settings = settings_of(networks__runs=2, training__epochs=20)
    diverged, broken = ("digits-d3-relu-r1",), ("digits-d3-tanh-r0-l2",)
    return make_study(settings, at_chance=AT_CHANCE, diverged=diverged, broken=broken, telemetry=60)


def study_over_epochs() -> FakeStudy:
    """A study whose layers were measured while it trained, too."""
    settings = settings_of(networks__runs=2, training__epochs=20, measure__epochs=[1, 2, 5, 10])
    study = make_study(settings)
    study.measure_after(1, 2, 5, 10)
    return study


def training_study() -> FakeStudy:
    """A study in its fifteenth epoch."""
    return make_study(settings_of(), "running", epochs=14, arrays=False, telemetry=200)


def lost_study() -> FakeStudy:
    """A study whose worker was killed."""
    return make_study(settings_of(), "lost", epochs=14, arrays=False, telemetry=60)


def measured_study() -> FakeStudy:
    """A study of networks that were trained elsewhere."""
    return make_study(measured_settings())


def measuring_study() -> FakeStudy:
    """The same while it is measured."""
    return make_study(measured_settings(), "running", measured=17, arrays=False, telemetry=60)


if __name__ == "__main__":
    import time

    os.environ["EMBCX_HOME"] = str(Path(sys.argv[1]).absolute())
    for study in one_of_each(time.time()):
        print(study.paths.id, study.settings.name)
    print("press Ctrl-C to end the running one", flush=True)
    try:
        time.sleep(100_000)
    finally:
        release_all()
