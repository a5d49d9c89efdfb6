"""A study's worker as the batch script of a SLURM job: it keeps the job's record, and requeues the job at its limit."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

from embcx_tui.store.jobs import JOB_ID, Job, is_ours, read_job, remove_job, write_job
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import read_study
from embcx_tui.study.errors import EmbcxError, RequestError, StoreError
from embcx_tui.worker import slurm
from embcx_tui.worker.process import STOPPED, run_study

# A job may begin before sbatch has told its number to the program that submitted it, and a disk that is shared by
# several machines shows a new file late.
_RECORD_PATIENCE_S = 20.0
_LOOK_S = 0.1


def run_job(root: Path) -> int:
    """Compute the study in `root` within a SLURM job, and return the worker's exit code.

    Where SLURM has told the worker to end and work is left, the job is requeued. Outside of SLURM (the script was
    started by hand) the study is computed, and no more.
    """
    id = os.environ.get("SLURM_JOB_ID", "")
    if not JOB_ID.fullmatch(id):
        return run_study(root)
    paths = StudyPaths(root)
    job = _record(paths, id)

    def taken() -> None:
        with contextlib.suppress(StoreError):  # a full disk: the study says so itself
            write_job(paths, Job(job.id, job.cluster, "running", job.submitted))

    before = work_done(paths)
    code = run_study(root, taken)
    # Whoever stops the study removes the record first.
    if code == STOPPED and is_ours(paths, id):
        try:
            _requeue(paths, job, before)
        except EmbcxError as error:  # the study is stopped, and whoever looks is offered `resume`
            reason = f"SLURM job {id} ended with work left, and is not requeued: {error}"
            print(reason, file=sys.stderr)
            with contextlib.suppress(StoreError):
                write_job(paths, Job(id, job.cluster, "gone", job.submitted, reason))
        return code
    remove_job(paths, Job(id))
    return code


def _record(paths: StudyPaths, id: str) -> Job:
    """Return the record of the job, which the submitting program writes about now."""
    give_up = time.monotonic() + (0 if os.environ.get("SLURM_RESTART_COUNT", "0") != "0" else _RECORD_PATIENCE_S)
    while True:
        job = read_job(paths)
        if job and job.id == id:
            return job
        if time.monotonic() >= give_up:
            return Job(id, submitted=time.time())
        time.sleep(_LOOK_S)


def work_done(paths: StudyPaths) -> int:
    """Return a number that grows with each epoch and each embedding of a study; 0 where it cannot be read."""
    try:
        snapshot = read_study(paths)
    except EmbcxError:
        return 0
    epochs = sum(one.last for one in snapshot.histories.values())
    networks = len(snapshot.trained) + len(snapshot.described)
    return epochs + networks + len(snapshot.measured) + len(snapshot.earlier)


def _requeue(paths: StudyPaths, job: Job, before: int) -> None:
    """Requeue the job of this process, unless it has done nothing since `before`; raises RequestError or StoreError."""
    if work_done(paths) <= before:  # a limit shorter than the warning before it: the job would come back for ever
        raise RequestError("it had no time for an epoch; give it a longer --time")
    slurm.refuse_requeue(job)
    # Before SLURM ends this process, as it then does.
    write_job(paths, Job(job.id, job.cluster, "waiting", time.time()))
    print(f"SLURM job {job.id} goes back into the queue: work is left", file=sys.stderr, flush=True)
    slurm.requeue(job)
