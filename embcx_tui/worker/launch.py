"""Starting and stopping workers, and queries to the numerics process and its answers; imports no numerics itself."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from embcx_tui.store import lock, pulse, queue
from embcx_tui.store.files import make_folder
from embcx_tui.store.jobs import Job, read_job, remove_job
from embcx_tui.store.library import create_study, delete_study
from embcx_tui.store.paths import StudyPaths, data_folder, home
from embcx_tui.store.processes import worker_process
from embcx_tui.store.snapshot import StudyReader, read_study
from embcx_tui.study.errors import EmbcxError, RequestError, StoreError, import_failure
from embcx_tui.study.parts import with_parts
from embcx_tui.study.settings import StudySettings
from embcx_tui.study.text import safe_text
from embcx_tui.worker import slurm
from embcx_tui.worker.pending import is_whole
from embcx_tui.worker.worker_log import last_words, open_output

# The worker takes the lock before it imports torch: 0.2 s on a quiet machine, some seconds on a crowded one. Where
# another machine has left its pulse, it watches that for 25 s.
START_PATIENCE_S = 60.0
_POLL_S = 0.02
# A process that has ended can have left its standard error to another, which writes nothing more of it.
_LAST_WORDS_S = 1.0
_WORKER = "embcx_tui.worker"
# NVIDIA's driver: CUDA's part, and the one that describes GPUs. Containers may have one alone.
_DRIVER_LIBRARIES = ("libcuda.so.1", "libnvidia-ml.so.1")

# Workers by study folder, kept so that an ended worker is reaped and leaves no zombie while the application runs.
_started: dict[Path, subprocess.Popen[bytes]] = {}


def _command(module: str, *arguments: str) -> list[str]:
    # -P: a file named like one of our modules in the current directory must not be imported instead.
    return [sys.executable, "-P", "-m", module, *arguments]


def _environment() -> dict[str, str]:
    """Return the environment of the numerics process.

    Where this user's home cannot be written (a container, a service) the libraries keep their caches in ours: without
    the machine code of an earlier process each would compile for half a minute. Likewise where no folder is for
    temporary files, which torchvision wants when it is imported.
    """
    places: dict[str, Path] = {}
    if not os.access(os.path.expanduser("~"), os.W_OK):  # noqa: PTH111  # Path's raises where nobody knows the home
        places = {"HOME": home(), "EMBCX_HOME": home(), "EMBCX_DATA_DIR": data_folder()}
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        places["TMPDIR"] = home() / "temporary"
        make_folder(places["TMPDIR"])
    return {"LOGNAME": "embcx", **os.environ, **{name: str(folder) for name, folder in places.items()}}


def begin(settings: StudySettings, created: Callable[[StudyPaths], None] = lambda paths: None) -> StudyPaths:
    """Create a study, start its worker, and return once device and data are accepted and the work has begun.

    `created` is called as soon as the study exists: its worker needs some seconds to import torch. Raises RequestError
    or StoreError with the reason where the study cannot begin; it is deleted then, and also where Ctrl-C ends the wait.
    """
    paths = create_study(settle(settings))
    try:
        created(paths)
        await_acceptance(start(paths))
    except (EmbcxError, KeyboardInterrupt) as error:
        _abandon(paths)
        said = _keep_log(paths, str(error))
        with contextlib.suppress(EmbcxError):
            delete_study(paths)
        if said != str(error):
            raise (StoreError if isinstance(error, StoreError) else RequestError)(said) from None
        raise
    return paths


def settle(settings: StudySettings) -> StudySettings:
    """Return the settings of a new study with its number of parts: where all GPUs of this machine, or of the cluster,
    are to compute, as many as they are.

    Takes seconds then, for torch is asked in the numerics process. Raises RequestError where that process fails.
    """
    machine = settings.machine
    if machine.devices != "all" or machine.parts or (machine.device == "cpu" and not machine.cluster):
        return settings
    if machine.cluster:
        return with_parts(settings, int(ask("cluster", machine.device, "all").get("hands", 1)))
    return with_parts(settings, sum(not gpu.get("refusal") for gpu in ask("gpus").get("gpus", [])))


def _keep_log(paths: StudyPaths, said: str) -> str:
    """Keep the log of a study that is deleted again; return what is said of its end, with the place of the log."""
    kept = home() / "refused" / paths.worker_log.name
    try:
        if not paths.worker_log.stat().st_size:
            return said
        make_folder(kept.parent)
        paths.worker_log.replace(kept)
    except (OSError, StoreError):
        return said
    shown = safe_text(kept)
    return said.replace("worker.log", shown) if "worker.log" in said else f"{said}; {shown} has its output"


def _abandon(paths: StudyPaths) -> None:
    """End the worker that this process started for a study, if it has not ended."""
    process = _started.pop(paths.root, None)
    if process:
        process.kill()
        process.wait()


def await_acceptance(reader: StudyReader) -> None:
    """Wait until a study's worker has accepted it; raises RequestError with the worker's reason where it does not.

    `reader` is that of `start`. Importing torch takes 2 s on a quiet machine and reading the data another; the wait
    also ends when the worker ends or is stopped.
    """
    while True:
        snapshot = reader.poll()
        if snapshot.accepted or (snapshot.ended and snapshot.ended.outcome != "failed"):
            return
        # The worker's last event comes before it releases the lock, and only then can the study be deleted.
        if snapshot.state != "running":
            if snapshot.ended:
                raise RequestError(snapshot.ended.reason)
            raise StoreError(f"the worker ended without a word; {last_words(reader.paths)}")
        time.sleep(_POLL_S)


def _spawn(paths: StudyPaths, command: str) -> subprocess.Popen[bytes]:
    """Start a process of a study's own in its own session; raises StoreError."""
    log = open_output(paths)
    try:
        process = subprocess.Popen(
            _command(_WORKER, command, str(paths.root)),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=paths.root,
            start_new_session=True,
            env=_environment(),
        )
    except OSError as error:
        raise StoreError(f"the worker of study {paths.id} cannot be started ({error.strerror})") from None
    finally:
        os.close(log)
    for root in [root for root, earlier in _started.items() if earlier.poll() is not None]:
        del _started[root]
    _started[paths.root] = process
    return process


def _reader_of_ready(paths: StudyPaths) -> StudyReader:
    """Return a reader of a study whose worker may begin; raises RequestError where it runs already, waits for its SLURM
    job, or is complete.
    """
    if lock.is_running(paths):
        where = pulse.whereabouts(paths)
        raise RequestError(f"study {paths.id} is running already{where}; follow it with: embcx-tui logs {paths.id} -f")
    slurm.refuse_other_worker(paths)
    reader = StudyReader(paths)
    if is_whole(paths, reader.poll()):
        raise RequestError(f"study {paths.id} is complete; there is nothing left to do")
    return reader


def submit(paths: StudyPaths, options: str) -> Job:
    """Submit a study to SLURM with these options of sbatch, and return its job; nothing waits for it.

    Raises RequestError where the study runs already, waits or is complete, and where sbatch refuses.
    """
    _reader_of_ready(paths)
    job = slurm.submit(paths, options)
    queue.remove_entry(paths)
    return job


def submit_new(settings: StudySettings, options: str) -> tuple[StudyPaths, Job]:
    """Create a study and submit it to SLURM; it is deleted where sbatch refuses. Raises RequestError or StoreError."""
    slurm.split_options(options)
    machine = settings.machine
    if machine.devices == "all" and not machine.parts and (machine.cluster or machine.device != "cpu"):
        # Parts are chosen now; the GPUs here are not the job's.
        raise RequestError("how many devices the job will have is not known here; set machine.devices to a number")
    paths = create_study(settings)
    try:
        return paths, slurm.submit(paths, options)
    except (EmbcxError, KeyboardInterrupt):
        with contextlib.suppress(EmbcxError):  # what sbatch said comes first
            delete_study(paths)
        raise


def enqueue(paths: StudyPaths) -> None:
    """Let a study begin when nothing runs on its device any more; return once its process waits.

    Its data are tried before, which takes seconds: a study that cannot begin would fail only at its turn. Raises
    RequestError where they are missing or damaged, and where the study runs already or is complete; StoreError where
    its process cannot start.
    """
    _reader_of_ready(paths)
    if not queue.is_queued(paths):
        ask("could-begin", str(paths.root))
        queue.write_entry(paths)
    _await_waiting(paths, _spawn(paths, "wait"))


def enqueue_new(settings: StudySettings) -> StudyPaths:
    """Create a study and let it wait for its turn; where it is refused it is deleted. Raises as `enqueue`."""
    paths = create_study(settle(settings))
    try:
        enqueue(paths)
    except (EmbcxError, KeyboardInterrupt):
        with contextlib.suppress(EmbcxError):  # what refused it comes first
            delete_study(paths)
        raise
    return paths


def _await_waiting(paths: StudyPaths, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_PATIENCE_S
    while not (lock.is_held(paths.waiting) or lock.is_running(paths) or not queue.is_queued(paths)):
        if process.poll() is not None or time.monotonic() > deadline:
            queue.remove_entry(paths)
            raise StoreError(f"study {paths.id} cannot wait for its turn; {last_words(paths)}")
        time.sleep(_POLL_S)


def revive_queue() -> int:
    """Start a waiting process for each study of this machine's queue whose process is gone: after a reboot, or killed.

    Returns how many were started.
    """
    gone = [entry.paths for entry in queue.entries() if not entry.waits]
    for paths in gone:
        _spawn(paths, "wait")
    return len(gone)


def start(paths: StudyPaths) -> StudyReader:
    """Start (or resume) a study's worker in its own session; return a reader of the study once the worker has begun.

    Raises RequestError where the study runs already or is complete, StoreError where the worker cannot start.
    """
    reader = _reader_of_ready(paths)
    queue.remove_entry(paths)  # the process that waits for its turn ends by itself
    remove_job(paths)  # one that is gone; a worker of its that came after all would find the lock held
    process = _spawn(paths, "study")
    deadline = time.monotonic() + START_PATIENCE_S
    while time.monotonic() < deadline:
        ended = process.poll() is not None
        # The lock alone is not enough: until the worker's first line the journal speaks of an earlier worker.
        worker = reader.poll().worker
        if worker and worker.pid == process.pid:
            return reader
        if ended:
            raise StoreError(f"the worker of study {paths.id} cannot start; {last_words(paths)}")
        time.sleep(_POLL_S)
    _abandon(paths)  # or it would begin later, unnoticed
    raise StoreError(f"the worker of study {paths.id} has not begun within {START_PATIENCE_S:.0f} s")


def stop(paths: StudyPaths, *, at_once: bool = False, wait_s: float = 0.0) -> bool:
    """Ask a study's worker to finish its epoch, save and end; with `at_once` kill it.

    A study that waits for its turn, or for its SLURM job, waits no more; a worker in such a job is told by SLURM.
    Returns True once the worker is gone, False where it still works after `wait_s` seconds. Raises RequestError where
    no worker of the study runs that can be reached from here.
    """
    if not lock.is_running(paths):
        if not (queue.remove_entry(paths) or slurm.cancel_waiting(paths)):
            raise RequestError(f"study {paths.id} is not running")
        return True
    job = read_job(paths)
    told = job is not None and job.state == "running" and slurm.can_end()
    if job is None or not told or not slurm.end_running(paths, job, at_once=at_once):
        _end_here(paths, at_once)
    deadline = time.monotonic() + wait_s
    while lock.is_running(paths):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _end_here(paths: StudyPaths, at_once: bool) -> None:
    """Signal a study's worker on this machine; raises RequestError where it is on another one."""
    worker = read_study(paths).worker
    process = worker_process(worker) if worker else None
    if process is None:
        if not lock.is_running(paths):
            return
        where = pulse.whereabouts(paths) or (f" on {safe_text(worker.host, 60)}" if worker else "")
        raise RequestError(f"study {paths.id} runs{where}, not on this machine; stop it there")
    remove_job(paths)  # or it would be requeued
    try:
        if at_once:
            process.kill()
        else:
            process.terminate()
    except psutil.NoSuchProcess:
        return
    except psutil.Error as error:
        raise RequestError(f"study {paths.id}: its worker cannot be stopped ({safe_text(error, 100)})") from None


class CrashedError(RequestError):
    """The numerics process ended by a signal while it answered a query."""

    def __init__(self, query: str, signal: int) -> None:
        super().__init__(f"{query}: the process that looks crashed (signal {signal})")
        self.signal = signal


def ask(
    *arguments: str, module: str = _WORKER, on_line: Callable[[dict[str, Any]], None] | None = None
) -> dict[str, Any]:
    """Run one short command of the numerics process and return its answer, the last JSON object that it prints.

    `module` is the package whose process it is. Earlier objects (progress) go to `on_line`. Raises RequestError with
    the process's own one-line error.
    """
    answer: dict[str, Any] = {}
    command = _command(module, *arguments)
    pipe, last_lines = subprocess.PIPE, deque[bytes](maxlen=5)
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, env=_environment()) as process:
        assert process.stdout is not None and process.stderr is not None
        # Read beside: a full pipe that nobody reads would block the process.
        listener = threading.Thread(target=last_lines.extend, args=(process.stderr,), daemon=True)
        listener.start()
        try:
            for line in process.stdout:
                if decoded := _json_object(line):
                    answer = decoded
                    if on_line and not answer.get("done"):
                        on_line(answer)
            process.wait()
        except BaseException:
            process.kill()
            raise
        listener.join(_LAST_WORDS_S)
    errors = b"".join(last_lines).decode(errors="replace").strip().splitlines()
    if "error" in answer:
        raise RequestError(safe_text(answer["error"]))
    if process.returncode < 0:  # a library crashed on foreign bytes, say
        raise CrashedError(arguments[0], -process.returncode)
    if process.returncode:
        raise RequestError(safe_text(errors[-1]) if errors else f"{arguments[0]} failed (code {process.returncode})")
    return answer


def gpu_problem() -> str:
    """Return why torch cannot use a GPU that is here, in one line; empty where nothing is amiss.

    Takes seconds where NVIDIA's driver is installed, for torch is asked in the numerics process; none elsewhere. Raises
    RequestError where that process fails.
    """
    if not any(_is_library(name) for name in _DRIVER_LIBRARIES):
        return ""
    return str(ask("gpu").get("problem", ""))


def _is_library(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def respond(query: Callable[..., dict[str, Any]], *arguments: str) -> int:
    """Answer `ask` in the numerics process: print the answer of `query`, or its error, as the last JSON line.

    Returns the exit code of the process.
    """
    try:
        answer = query(*arguments)
    except EmbcxError as error:
        answer = {"error": str(error)}
    except Exception as error:
        if not (broken := import_failure(error)):
            raise
        answer = {"error": broken}
    print(json.dumps({**answer, "done": True}), flush=True)
    return 2 if "error" in answer else 0


def _json_object(line: bytes) -> dict[str, Any] | None:
    """Return the JSON object of a line; None for other output, such as a library's."""
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
