"""SLURM's commands, called without a shell: a study is submitted, cancelled, and asked after. Imports no numerics.

What they print is checked strictly where it is used, and goes through `safe_text` where it is shown. `squeue` is asked
seldom: by commands about a study that waits, and once a minute by the application.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from embcx_tui.store import lock
from embcx_tui.store.files import publish, reason_of
from embcx_tui.store.jobs import (
    CLUSTER,
    JOB_ID,
    Job,
    change_job,
    is_ours,
    read_job,
    refuse_while_waiting,
    remove_job,
    write_job,
)
from embcx_tui.store.paths import StudyPaths, data_folder, home
from embcx_tui.study.errors import EmbcxError, RequestError, StoreError
from embcx_tui.study.text import safe_text
from embcx_tui.worker.worker_log import last_line, open_output

# A busy controller takes its time to answer; sbatch itself tries for longer.
_ACT_S = 60.0
_ASK_S = 10.0
# How long before its time limit a job is told: an epoch of the paper's grid takes seconds.
_WARNING_S = 180
# What makes of one study several jobs, lets sbatch wait for the end of one, or takes it out of the study's folder.
_REFUSED = re.compile(r"(-[aDW].*|--array(=.*)?|--chdir(=.*)?|--wait|--wrap(=.*)?|--)")
_ANSWER = re.compile(rf"({JOB_ID.pattern})(?:;({CLUSTER.pattern}))?")
_QUEUED = re.compile(rf"({JOB_ID.pattern})\|([A-Z_]+)\|(.*)")
# States of a job that has not begun, or is to begin again.
_PENDING = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD")


def script_of(paths: StudyPaths) -> bytes:
    """Return the batch script of a study: what SLURM is to know, the folders, and the worker in place of the shell."""
    # A path is bytes: one that is no UTF-8 must come out as it is.
    return os.fsencode(f"""#!/bin/sh
#SBATCH --job-name=embcx-{paths.id}
#SBATCH --output=worker.log
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:TERM@{_WARNING_S}
# Written by embcx-tui for: embcx-tui resume {paths.id} --sbatch "OPTIONS"
cd {shlex.quote(str(paths.root))} || exit 1
EMBCX_HOME={shlex.quote(str(home()))}
EMBCX_DATA_DIR={shlex.quote(str(data_folder()))}
export EMBCX_HOME EMBCX_DATA_DIR
# The worker is what SLURM signals: it ends after its epoch, and requeues the job where work is left.
exec {shlex.quote(sys.executable)} -P -m embcx_tui.worker job {shlex.quote(str(paths.root))}
""")


def split_options(text: str) -> list[str]:
    """Return the options for sbatch that a user typed as one text; raises RequestError where one cannot be meant."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise RequestError(f"--sbatch {safe_text(text, 100)!r}: {safe_text(error)}") from None
    before = "--x=y"  # an option that needs no further word
    for word in words:
        if _REFUSED.fullmatch(word):
            raise RequestError(f"--sbatch: {safe_text(word, 60)} cannot be given: a study is one job, with its script")
        if not word.startswith("-") and (not before.startswith("-") or "=" in before):
            raise RequestError(f"--sbatch: {safe_text(word, 60)!r} is no option of sbatch; those begin with -")
        if "\0" in word:
            raise RequestError("--sbatch: an option cannot hold a NUL character")
        before = word
    return words


def submit(paths: StudyPaths, options: str) -> Job:
    """Submit a study that may begin, and return its job; raises RequestError or StoreError where sbatch refuses."""
    words = split_options(options)
    # Made here, so that it is the user's alone; SLURM would make it with the rights of its umask.
    os.close(open_output(paths))
    remove_job(paths)
    try:
        publish(paths.job_script, script_of(paths))
    except OSError as error:
        raise StoreError(f"study {paths.id}: its batch script cannot be written ({reason_of(error)})") from None
    folder = f"--chdir={paths.root}"
    said = _call("sbatch", "--parsable", folder, *words, str(paths.job_script), seconds=_ACT_S).strip()
    found = _ANSWER.fullmatch(said)
    if found is None:
        raise RequestError(f"sbatch answered “{safe_text(said, 100)}”, no job's number; squeue shows your jobs")
    job = Job(found[1], found[2] or "", submitted=time.time())
    if not is_ours(paths, job.id):  # its worker waits for this
        try:
            write_job(paths, job)
        except StoreError:
            _scancel(job)
            raise
    return job


def refresh(studies: Iterable[StudyPaths]) -> None:
    """Ask SLURM about the jobs of those studies that wait for one, or whose worker was lost; record what it says.

    Does nothing where there is no such study, where squeue cannot be asked, or where it fails.
    """
    asked = [(paths, job) for paths in studies if (job := read_job(paths)) and job.state != "gone"]
    asked = [(paths, job) for paths, job in asked if not lock.is_running(paths)]
    for cluster in {job.cluster for _, job in asked}:
        try:
            known = _known_jobs(cluster)
        except EmbcxError:
            continue
        for paths, job in asked:
            if job.cluster != cluster:
                continue
            state = known.get((job.id, paths.id))
            if state in _PENDING:
                change_job(paths, job, "waiting")
            elif state is None and job.waits:
                change_job(paths, job, "gone", _reason(paths, job))
            elif state is None:  # its worker had begun, and the journal says how that ended
                remove_job(paths, job)


def _reason(paths: StudyPaths, job: Job) -> str:
    """Return a sentence on a job that never began, with what its output said last; empty where that said nothing."""
    try:
        written = paths.worker_log.lstat().st_mtime
    except OSError:
        return ""
    line = last_line(paths) if written >= job.submitted else ""
    return f"SLURM job {job.id} is gone, and its worker never began ({line})" if line else ""


def _known_jobs(cluster: str) -> dict[tuple[str, str], str]:
    """Return the states of this user's jobs in the queue, by their ids and the names of their folders; raises
    RequestError where SLURM cannot be asked.

    A study is known by its folder, so that one from elsewhere cannot name another job of the user's.
    """
    where = [f"--clusters={cluster}"] if cluster else []
    said = _call("squeue", "--noheader", f"--user={os.getuid()}", "--format=%A|%T|%Z", *where, seconds=_ASK_S)
    lines = (_QUEUED.fullmatch(line.strip()) for line in said.splitlines())
    return {(line[1], Path(line[3]).name): line[2] for line in lines if line}


def refuse_other_worker(paths: StudyPaths) -> None:
    """Raise RequestError where a study waits for its SLURM job, as far as SLURM can be asked."""
    job = read_job(paths)
    if job is None:
        return
    refresh([paths])
    if job.waits and not shutil.which("squeue"):
        raise RequestError(
            f"study {paths.id} is {job.words}, and squeue is not on the PATH here; where there is no such job any "
            f"more, remove {safe_text(paths.job)}"
        )
    refuse_while_waiting(paths)


def cancel_waiting(paths: StudyPaths) -> bool:
    """Cancel the job that a study waits for; return whether there was one. Raises RequestError where SLURM refuses."""
    refresh([paths])
    job = read_job(paths)
    if job is None or not job.matters:
        return False
    if job.waits:
        _end(paths, job)
    else:
        remove_job(paths, job)
    return True


def end_running(paths: StudyPaths, job: Job, *, at_once: bool) -> bool:
    """Tell the worker of a job to finish its epoch and end, or kill it; return whether there is such a job.

    Raises RequestError where SLURM refuses.
    """
    return _end(paths, job, f"--signal={'KILL' if at_once else 'TERM'}", "--batch")


def can_end() -> bool:
    """Tell whether jobs can be cancelled from this machine."""
    return shutil.which("scancel") is not None


def _end(paths: StudyPaths, job: Job, *how: str) -> bool:
    try:
        if (job.id, paths.id) not in _known_jobs(job.cluster):  # it has ended, or was never this study's
            remove_job(paths, job)
            return False
        # The record goes first: a worker that is told to end and finds it requeues its job.
        remove_job(paths, job)
        _scancel(job, *how)
    except EmbcxError as error:
        write_job(paths, job)
        raise RequestError(f"study {paths.id}, SLURM job {job.id}: {error}") from None
    return True


def _scancel(job: Job, *how: str) -> None:
    where = [f"--clusters={job.cluster}"] if job.cluster else []
    _call("scancel", *where, *how, job.id, seconds=_ACT_S)


def refuse_requeue(job: Job) -> None:
    """Raise RequestError unless the job of the calling process runs: SLURM would requeue a cancelled one, too."""
    said = _call("scontrol", "--oneliner", "show", "job", job.id, seconds=_ASK_S)
    state = re.search(r"\bJobState=([A-Z_]+)", said)
    if state is None:
        raise RequestError("scontrol does not say its state")
    if state[1] != "RUNNING":
        words = "was cancelled" if state[1] in ("CANCELLED", "COMPLETING") else f"is {state[1].lower()}"
        raise RequestError(f"it {words}")


def requeue(job: Job) -> None:
    """Put the job of the calling process back into the queue; SLURM then kills the process. Raises RequestError."""
    _call("scontrol", "requeue", job.id, seconds=_ACT_S)


_WITHOUT = {
    "sbatch": "run this where jobs are submitted (a login node, perhaps after `module load slurm`), or leave it out",
    "scancel": "stop it on a machine of the cluster",
    "squeue": "ask on a machine of the cluster",
    "scontrol": "on this node no job can requeue itself",
}


def _call(program: str, *arguments: str, seconds: float) -> str:
    """Return what one of SLURM's commands prints; raises RequestError with its own last words where it fails."""
    path = shutil.which(program)
    if path is None:
        raise RequestError(f"{program} is not on the PATH; {_WITHOUT[program]}")
    # Lists are to be whole, whatever a user prefers to see of them.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SQUEUE_")}
    try:
        done = subprocess.run(
            [path, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RequestError(
            f"{program} has not answered within {seconds:.0f} s; look at squeue before trying again"
        ) from None
    except (OSError, ValueError) as error:
        raise RequestError(f"{program} cannot be called ({safe_text(error, 100)})") from None
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        words = safe_text(lines[-1], 300) if lines else f"code {done.returncode}"
        raise RequestError(f"{program} refuses: {words.removeprefix(f'{program}: error: ')}")
    return done.stdout.decode(errors="replace")
