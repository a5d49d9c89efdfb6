"""Whole small studies in forked processes: one process imports torch and loads the kernels, and each study is a fork.

A worker of its own needs 3 s until it computes; a fork computes a whole study in a fraction of that, so that thousands
of interrupted ones can be tried. A fork runs what `launch.start` and the worker's process run, from `create_study` to
the exit; only the interpreter's start and the imports are not repeated.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from embcx_tui.analysis.json_csv import measurements
from embcx_tui.cli.studies import list_row
from embcx_tui.store import lock
from embcx_tui.store.files import make_folder
from embcx_tui.store.journal import read_journal
from embcx_tui.store.library import create_study, list_studies
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.plain_files import open_plain
from embcx_tui.store.snapshot import read_study
from embcx_tui.study.errors import EmbcxError
from embcx_tui.study.events import LineDamaged
from embcx_tui.study.settings import StudySettings, validate
from embcx_tui.worker.pending import is_whole

# What a fork's exit code says beside the worker's own codes: it was refused in one line; it ended by a defect.
REFUSED: Final = 20
DEFECT: Final = 21
# Lines of a journal that are facts about the study. The others tell who computed it, when, and in how many attempts.
FACTS: Final = ("dataset", "sample", "epoch", "trained", "diverged", "measured", "failed")
# What two computations of one fact may say differently.
TIMES: Final = ("at", "seconds")
# The files of a complete study beside its arrays.
PLAIN_FILES: Final = {"study.toml", "lock", "journal.jsonl", "telemetry.jsonl", "worker.log"}


def tiny() -> StudySettings:
    """Return a study with results of each kind and checkpoints: 0.1 s of processor time in a fork."""
    return validate(
        {
            "name": "tiny",
            "data": {"datasets": ["digits"], "samples_per_class": 6, "train_limit": 200},
            "networks": {"depths": [1], "activations": ["relu"], "runs": 1, "width": 8},
            "training": {"epochs": 2},
            "measure": {"perplexity": 5, "metrics": ["knn"], "methods": ["tsne", "pca"], "epochs": [1]},
            "machine": {"device": "cpu"},
        }
    )


def warm(home: Path, *, eager: bool = True) -> StudyPaths:
    """Import what a worker imports and load its kernels by a whole study in this process; its paths.

    An `eager` one writes a checkpoint after each epoch from then on, so that there are some to go on from. Afterwards
    this process has one thread, as a fork must: torch's and BLAS's pools are not started.
    """
    from embcx_tui.worker import checkpoints
    from embcx_tui.worker.process import run_study

    if eager:
        checkpoints.CHECKPOINT_S, checkpoints.CHECKPOINT_SHARE = 0.0, 1e9
    os.environ["EMBCX_HOME"] = str(home)
    paths = create_study(tiny())
    assert run_study(paths.root) == 0, paths.worker_log
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):  # a worker's handlers
        signal.signal(number, signal.SIG_DFL)
    measurements(read_study(paths))
    # What is here is never collected, nor copied for that, in any fork; nor is a fork old enough to collect its own.
    gc.collect()
    gc.freeze()
    gc.disable()
    threads = os.listdir("/proc/self/task")  # noqa: PTH208  # names alone
    assert len(threads) == 1, f"{len(threads)} threads: a fork would lack all but one"
    return paths


def in_fork(call: Callable[[], int]) -> int:
    """Begin `call` in a fork whose exit code is what it returns; the fork's pid."""
    pid = os.fork()
    if pid:
        return pid
    code = DEFECT
    try:
        code = call()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def ended(pid: int) -> int:
    """Wait for a fork and return its exit code, negative for the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def compute(home: Path, arm: Callable[[], None] = lambda: None) -> int:
    """Create a study in `home`, unless one is there, and compute it in this process, as `run` and `resume` do."""
    from embcx_tui.worker.process import run_study

    os.environ["EMBCX_HOME"] = str(home)
    said = os.open(home.with_suffix(".out"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(said, 1)
    os.dup2(said, 2)
    arm()
    try:
        studies = list_studies()
        paths = studies[0] if studies else create_study(tiny())
        if lock.is_running(paths):
            print("it runs already")
            return DEFECT
        if is_whole(paths, read_study(paths)):
            return 0
        for folder in (paths.arrays, paths.checkpoints):
            make_folder(folder)
        try:
            log = open_plain(paths.worker_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        except OSError:  # `launch.start` says so in one line
            return REFUSED
    except EmbcxError as error:
        print(error)
        return REFUSED
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(paths.root)
    return run_study(paths.root)


def facts(paths: StudyPaths) -> dict[str, Any]:
    """Return everything of a complete study that must not depend on interruptions, as JSON values.

    `show --json` without the id; the bytes of study.toml and of each array file; the facts of the journal without
    times, each once, in no order: an interrupted study records them in the order in which it gets to them.
    """
    snapshot = read_study(paths)
    lines = set()
    for event in read_journal(paths.journal).events:
        assert not isinstance(event, LineDamaged), event.reason
        if event.kind in FACTS:
            lines.add(json.dumps(event.model_dump(mode="json", exclude=set(TIMES)), sort_keys=True))
    return {
        "state": snapshot.state,
        "damage": snapshot.damage,
        "json": {key: value for key, value in measurements(snapshot).items() if key != "id"},
        "lines": sorted(lines),
        "files": {
            str(path.relative_to(paths.root)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in (paths.study_file, *sorted(paths.arrays.iterdir()))
        },
    }


def repeated(paths: StudyPaths) -> list[str]:
    """Return results that the journal has more than once: computed, recorded, and then computed again."""
    times: Counter[str] = Counter()
    for event in read_journal(paths.journal).events:
        if not isinstance(event, LineDamaged) and event.kind in FACTS and event.kind != "epoch":
            times[json.dumps(event.model_dump(mode="json", exclude=set(TIMES)), sort_keys=True)] += 1
    return [line for line, count in times.items() if count > 1]


def differences(expected: Any, found: Any, where: str = "") -> list[str]:
    """Return where two JSON values differ, in words."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return [
            line
            for key in sorted(expected.keys() | found.keys())
            for line in differences(expected.get(key), found.get(key), f"{where}/{key}")
        ]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True))
        return [line for number, (one, other) in pairs for line in differences(one, other, f"{where}/{number}")]
    return [] if expected == found else [f"{where}: {str(expected)[:120]} became {str(found)[:120]}"]


def leftovers(home: Path) -> list[str]:
    """Return files of a home that a complete study does not leave."""
    (paths,) = list_studies()
    left = [str(path.relative_to(home)) for path in home.iterdir() if path.name != "studies"]
    left += [path.name for path in paths.root.parent.iterdir() if path != paths.root]
    for path in paths.root.rglob("*"):
        name = path.relative_to(paths.root)
        if path.is_file() and str(name) not in PLAIN_FILES and (name.parts[0] != "arrays" or path.suffix != ".npz"):
            left.append(str(name))
    return left


def told(home: Path) -> str:
    """Return what list and reader say of the study after a fault; they must say something, whatever is there."""
    studies = list_studies()
    assert len(studies) <= 1, studies
    if not studies:
        return "no study"
    row = json.loads(json.dumps(list_row(studies[0]), allow_nan=False))
    try:
        snapshot = read_study(studies[0])
    except EmbcxError as error:
        return f"{row['state']}: {error}"
    assert snapshot.state != "running"
    reason = snapshot.ended.reason if snapshot.ended else ""
    assert "Traceback" not in reason and "\n" not in reason and "defect" not in reason, reason
    return f"{snapshot.state}: {reason}"
