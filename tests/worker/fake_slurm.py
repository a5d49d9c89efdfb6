"""SLURM's commands as a test sees them: small programs on the PATH that start the batch script as a process.

Run as a program it is one of them, by the name that it is called by. Its folder, `$FAKE_SLURM`, holds one JSON file per
job, and what a test lays there: `hold` lets jobs wait, `refuse` holds the words that sbatch and scancel refuse with.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

COMMANDS = ("sbatch", "squeue", "scancel", "scontrol")
Job = dict[str, Any]


def install(folder: Path, path: str) -> dict[str, str]:
    """Put the commands into `folder`; return the environment that finds them before those of `path`."""
    (folder / "bin").mkdir(parents=True)
    for name in COMMANDS:
        program = folder / "bin" / name
        program.write_text(f"#!{sys.executable} -IS\n" + Path(__file__).read_text(encoding="utf-8"))
        program.chmod(0o700)
    return {"PATH": f"{folder / 'bin'}:{path}", "FAKE_SLURM": str(folder)}


def job_of(folder: Path, id: str) -> Job:
    """Return what is known of a job."""
    found: Job = json.loads((folder / f"{id}.json").read_text())
    return found


def write(folder: Path, job: Job) -> None:
    draft = folder / f".{job['id']}.{os.getpid()}"
    draft.write_text(json.dumps(job))
    draft.replace(folder / f"{job['id']}.json")


def begin(folder: Path, id: str) -> None:
    """Start the script of a job that waits."""
    job = job_of(folder, id)
    environment = {**os.environ, "SLURM_JOB_ID": id, "SLURM_RESTART_COUNT": str(job["restarts"])}
    with (Path(job["folder"]) / "worker.log").open("ab") as output:
        process = subprocess.Popen(
            ["/bin/sh", job["script"]],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=job["folder"],
            env=environment,
            start_new_session=True,
        )
    write(folder, {**job, "pid": process.pid, "state": "RUNNING"})


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


def is_known(job: Job) -> bool:
    return job["state"] == "PENDING" or (job["state"] == "RUNNING" and lives(job["pid"]))


def sbatch(folder: Path, *words: str) -> int:
    id = str(len(list(folder.glob("[0-9]*.json"))) + 101)
    options = dict(word.removeprefix("--").partition("=")[::2] for word in words if word.startswith("--"))
    job = {"id": id, "script": words[-1], "folder": options["chdir"], "restarts": 0, "words": words, "state": "PENDING"}
    write(folder, job)
    if not (folder / "hold").exists():
        begin(folder, id)
    print(id)
    return 0


def squeue(folder: Path, *words: str) -> int:
    for path in sorted(folder.glob("[0-9]*.json")):
        job = job_of(folder, path.stem)
        if is_known(job):
            print(job["id"], job["state"], job["folder"], sep="|")
    return 0


def scancel(folder: Path, *words: str) -> int:
    job = job_of(folder, words[-1])
    if not is_known(job):
        print("scancel: error: Kill job error on job id 1: Invalid job id specified", file=sys.stderr)
        return 1
    name = next((word.partition("=")[2] for word in words if word.startswith("--signal=")), "")
    if job["state"] == "RUNNING":
        os.kill(job["pid"], getattr(signal, f"SIG{name or 'TERM'}"))
    if not name:
        write(folder, {**job, "state": "CANCELLED"})
    return 0


def scontrol(folder: Path, *words: str) -> int:
    job = job_of(folder, words[-1])
    if "show" in words:
        print(f"JobId={job['id']} JobName=x JobState={job['state']} Reason=None")
        return 0
    write(folder, {**job, "state": "PENDING", "restarts": job["restarts"] + 1})
    if os.fork() == 0:
        os.setsid()
        for stream in range(3):
            os.dup2(os.open(os.devnull, os.O_RDWR), stream)
        while lives(job["pid"]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(job["pid"], signal.SIGKILL)
            time.sleep(0.05)
        begin(folder, job["id"])
    return 0


def main(name: str, *words: str) -> int:
    folder = Path(os.environ["FAKE_SLURM"])
    if name in ("sbatch", "scancel") and (folder / "refuse").exists():
        print((folder / "refuse").read_text(), file=sys.stderr)
        return 1
    command = {"sbatch": sbatch, "squeue": squeue, "scancel": scancel, "scontrol": scontrol}[name]
    return command(folder, *words)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[0]).name, *sys.argv[1:]))
