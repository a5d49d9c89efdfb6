"""The SLURM job that computes a study: `job.json` in its folder, from `--sbatch` until the worker is done.

It says "waiting" until the job's worker holds the study's lock, and again where the job was requeued; "running"
meanwhile; "gone" once SLURM was asked and knows the job no more though no worker came, or where it was not requeued
with work left. Whoever stops the study removes the file first: a worker that is told to end, and finds its job there no
more, does not requeue it.
"""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from embcx_tui.store.files import publish, reason_of
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.plain_files import read_plain
from embcx_tui.study.errors import RequestError, StoreError
from embcx_tui.study.text import safe_text
from embcx_tui.study.times import MOST_TIME

JOB_ID = re.compile(r"[1-9][0-9]{0,9}")
JobState = Literal["waiting", "running", "gone"]
# Names of clusters: they become an argument of SLURM's commands, so that none may begin like an option.
CLUSTER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_LONGEST_REASON = 300
_MOST_BYTES = 4_096


@dataclass(frozen=True, slots=True)
class Job:
    """A SLURM job: its `id` (digits), its `cluster`, empty where there is one alone, and its state.

    `submitted` is in seconds since 1970; `reason` a sentence on why it is gone, safe to show.
    """

    id: str
    cluster: str = ""
    state: JobState = "waiting"
    submitted: float = 0.0
    reason: str = ""

    @property
    def waits(self) -> bool:
        """Whether SLURM has yet to start it."""
        return self.state == "waiting"

    @property
    def matters(self) -> bool:
        """Whether it says more of a study that does not run than the journal does."""
        return self.state != "running"

    @property
    def record(self) -> dict[str, str | None]:
        """What documents say of it."""
        return {"id": self.id, "cluster": self.cluster or None, "state": self.state, "reason": self.reason or None}

    @property
    def words(self) -> str:
        """The state in words: `waiting for SLURM job 123`."""
        match self.state:
            case "waiting":
                return f"waiting for SLURM job {self.id}"
            case "running":
                return f"SLURM job {self.id}"
            case "gone":
                return self.reason or f"SLURM job {self.id} is gone, and its worker never began"


def read_job(paths: StudyPaths) -> Job | None:
    """Return the job of a study; None where there is none, or no sound record of one."""
    try:
        content = json.loads(read_plain(paths.job, _MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    return _valid(content) if isinstance(content, dict) else None


def _valid(content: dict[str, Any]) -> Job | None:
    values = [content.get(key, "") for key in ("id", "cluster", "state", "reason")]
    submitted = content.get("submitted", 0.0)
    if not all(isinstance(value, str) for value in values) or isinstance(submitted, bool):
        return None
    id, cluster, state, reason = values
    if not JOB_ID.fullmatch(id) or not (cluster == "" or CLUSTER.fullmatch(cluster)) or state not in get_args(JobState):
        return None
    if not isinstance(submitted, int | float) or not 0 <= submitted <= MOST_TIME:
        return None
    return Job(id, cluster, state, float(submitted), safe_text(reason, _LONGEST_REASON))


def write_job(paths: StudyPaths, job: Job) -> None:
    """Write the record of a study's job; raises StoreError where the disk refuses."""
    try:
        publish(paths.job, json.dumps(asdict(job)).encode())
    except OSError as error:
        raise StoreError(f"study {paths.id}: its SLURM job cannot be recorded ({reason_of(error)})") from None


def remove_job(paths: StudyPaths, job: Job | None = None) -> bool:
    """Remove the record of a study's job, if it is that of `job`; return whether there was one."""
    if job and not is_ours(paths, job.id):
        return False
    try:
        paths.job.unlink()
    except OSError:
        return False
    return True


def is_ours(paths: StudyPaths, id: str) -> bool:
    """Tell whether a study's job is the one with that id."""
    job = read_job(paths)
    return job is not None and job.id == id


def change_job(paths: StudyPaths, job: Job, state: JobState, reason: str = "") -> None:
    """Record what was learnt of `job`, unless its record has changed since it was read."""
    if job.state != state and read_job(paths) == job:
        with contextlib.suppress(StoreError):  # a folder that may only be read: the next one asks again
            write_job(paths, replace(job, state=state, reason=safe_text(reason, _LONGEST_REASON)))


def refuse_while_waiting(paths: StudyPaths) -> None:
    """Raise RequestError where a study waits for its SLURM job."""
    job = read_job(paths)
    if job and job.waits:
        raise RequestError(f"study {paths.id} is {job.words}; cancel that first: embcx-tui stop {paths.id}")
