"""Lets each file operation of a whole small study go wrong, and kills studies at random: after `resume` the same bytes.

    python -m tests.fault_injection             # every fault at every operation, then 1,000 random kills
    python -m tests.fault_injection --every 40 --kills 10

Linux and a C compiler are needed. docs/reliability.md has the figures, and says what is not covered.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from embcx_tui.store.journal import read_journal
from embcx_tui.store.library import list_studies
from tests import forked_studies as forked

SOURCE = Path(__file__).with_name("fault_shim.c")
_SHIM = "fault_shim.so"

# Kinds of operations and what happens at one: the numbers of fault_shim.c.
OPEN, WRITE, SYNC, RENAME, LINK, UNLINK, CUT, FOLDER, LOCK, READ = (1 << bit for bit in range(10))
CHANGES = OPEN | WRITE | SYNC | RENAME | LINK | UNLINK | CUT | FOLDER | LOCK
NOTHING, KILL_BEFORE, KILL_AFTER, TORN, SHORT, ERROR, ERROR_ON, SHORT_THEN_ERROR_ON = range(8)
# What a full disk refuses, and a disk that has become read-only; one that is broken refuses every change.
GROWS = OPEN | WRITE | SYNC | RENAME | LINK | FOLDER
READ_ONLY = CHANGES & ~(SYNC | LOCK)


class Fault(NamedTuple):
    """What happens at the k-th operation of `kinds`; from then on at those of `later`."""

    name: str
    action: int
    error: int = 0
    kinds: int = CHANGES
    later: int = 0
    power: str = ""
    """What becomes of bytes that were not synced, where the power goes too: they are `cut`, or `zeros`."""


FAULTS = (
    Fault("killed before it", KILL_BEFORE),
    Fault("killed after it", KILL_AFTER),
    Fault("torn: killed after half of a write", TORN, kinds=WRITE),
    Fault("power cut before it, what is not synced is gone", KILL_BEFORE, power="cut"),
    Fault("power cut before it, what is not synced is zeros", KILL_BEFORE, power="zeros"),
    Fault("power cut after it, what is not synced is gone", KILL_AFTER, power="cut"),
    Fault("a short write", SHORT, kinds=WRITE),
    *(Fault(f"{errno.errorcode[code]} once", ERROR, code) for code in (errno.ENOSPC, errno.EIO, errno.EDQUOT)),
    Fault("EINTR once", ERROR, errno.EINTR, kinds=OPEN | WRITE | SYNC | CUT),
    Fault("ENOSPC from there on", ERROR_ON, errno.ENOSPC, later=GROWS),
    Fault("EIO from there on", ERROR_ON, errno.EIO, later=CHANGES),
    Fault("EROFS from there on", ERROR_ON, errno.EROFS, later=READ_ONLY),
    Fault("a short write, then ENOSPC from there on", SHORT_THEN_ERROR_ON, errno.ENOSPC, WRITE, GROWS),
    Fault("EIO once, opening for reading", ERROR, errno.EIO, kinds=READ),
    Fault("EMFILE once, opening", ERROR, errno.EMFILE, kinds=OPEN | READ),
)


class Operation(NamedTuple):
    """A line of the shim's log: an operation that was done, or the one that was struck."""

    name: str
    path: Path
    other: Path
    size: int


def operations(log: Path) -> list[Operation]:
    """Return what the shim has logged."""
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    fields = [line.split("\t") for line in lines]
    return [Operation(name, Path(path), Path(other), int(size)) for name, path, other, size in fields]


def compared(home: Path, expected: dict[str, Any]) -> dict[str, Any]:
    """Resume the study in `home` without a fault; return how it then differs from the undisturbed one."""
    before = forked.told(home)
    code = forked.ended(forked.in_fork(lambda: forked.compute(home)))
    (paths,) = list_studies()
    if code:
        said = home.with_suffix(".out").read_text(encoding="utf-8") + paths.worker_log.read_text(encoding="utf-8")
        return {"trouble": f"resume ended with code {code}: {said[-600:]}"}
    return {
        "differing": forked.differences(expected, forked.facts(paths))[:5],
        "repeated": forked.repeated(paths)[:5],
        "left": [name for name in forked.leftovers(home) if not tolerated(name, before)],
    }


def tolerated(name: str, before: str) -> bool:
    """Tell whether a file may be left: the pulse of a process that is gone, where the study was complete and there was
    nothing to resume; a study that has not got its name, which the next one removes after an hour.
    """
    return name.startswith(".new-") or (name == "pulse.json" and before.startswith("complete"))


def faulted(shim: ctypes.CDLL, fault: Fault, kth: int, home: Path, expected: dict[str, Any]) -> dict[str, Any]:
    """Compute a study whose k-th operation goes wrong, and resume it."""
    log = home.with_suffix(".log")
    code = forked.ended(forked.in_fork(lambda: forked.compute(home, lambda: arm(shim, home, fault, kth, log))))
    done = operations(log)
    struck = next((f"{one.path.relative_to(home)}" for one in done if one.name == "STRUCK"), "")
    if fault.power:
        lose_unsynced(home, done, fault.power)
    # A study that has not got its name yet was promised to nobody.
    recorded = sum(one.name == "sync" and one.path.name == "journal.jsonl" and is_named(one.path) for one in done)
    kept = [len(read_journal(paths.journal).events) for paths in list_studies()]
    result = {
        "fault": fault.name,
        "kth": kth,
        "struck": struck,
        "code": code,
        "told": forked.told(home),
        "lost": max(0, recorded - sum(kept)),
        "said": [file.read_text(encoding="utf-8")[-3000:] for file in said_in(home) if file.exists()],
    }
    return result | compared(home, expected)


def is_named(journal: Path) -> bool:
    return not journal.parent.name.startswith(".")


def said_in(home: Path) -> list[Path]:
    return [home.with_suffix(".out"), *(paths.worker_log for paths in list_studies())]


def arm(shim: ctypes.CDLL, home: Path, fault: Fault, kth: int, log: Path) -> None:
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    shim.shim_arm(os.fsencode(home), fault.kinds, kth, fault.action, fault.error, fault.later, fd)


def lose_unsynced(home: Path, done: list[Operation], how: str) -> None:
    """Take from `home` what a power cut may take: bytes that were not synced, names whose folder was not.

    The strictest reading of POSIX. ext4, xfs and btrfs keep more: the name of a new file with the file itself.
    """
    synced: dict[Path, int] = {}
    written: set[Path] = set()
    names: set[Path] = set()
    for name, path, other, size in done:
        if name in ("create", "mkdir", "mkdirat"):
            names.add(path)
        elif name == "write":
            written.add(path)
        elif name == "sync":
            synced[path] = size
            names = {one for one in names if one.parent != path}
        elif name in ("rename", "renameat", "link", "linkat"):
            known = (*synced, *written, *names)
            moved = {one: path / one.relative_to(other) for one in known if one.is_relative_to(other)}
            synced = {moved.get(one, one): length for one, length in synced.items()}
            written = {moved.get(one, one) for one in written}
            names = {moved.get(one, one) for one in names} | {path}
    for path in written:
        if path.is_file():
            data = path.read_bytes()
            kept = synced.get(path, 0)
            path.write_bytes(data[:kept] + bytes(len(data) - kept) * (how == "zeros"))
    for path in names - {home}:  # its own name lies in a folder that the shim does not watch
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def killed(seed: int, span: float, home: Path, expected: dict[str, Any]) -> dict[str, Any]:
    """Kill a study at random moments, again and again, until it ends before the next one comes."""
    chance, kills = random.Random(seed), 0
    while True:
        pid = forked.in_fork(lambda: forked.compute(home))
        time.sleep(chance.uniform(0, span))
        os.kill(pid, signal.SIGKILL)
        code = forked.ended(pid)
        if code != -signal.SIGKILL:
            break
        kills += 1
        forked.told(home)
    return {"fault": "killed at random moments", "kills": kills, "code": code, **compared(home, expected)}


class Trials:
    """Makes trials in forks, `jobs` at once, and collects what they came to."""

    def __init__(self, folder: Path, jobs: int) -> None:
        self.results: list[dict[str, Any]] = []
        self._folder, self._jobs = folder, jobs
        self._running: dict[int, Path] = {}

    def make(self, number: int, attempt: Callable[[Path], dict[str, Any]]) -> None:
        while len(self._running) >= self._jobs:
            self._collect()
        home = self._folder / f"home{number}"
        answer = home.with_suffix(".json")

        def try_it() -> int:
            os.environ["EMBCX_HOME"] = str(home)
            try:
                result = attempt(home)
            except Exception as error:
                result = {"trouble": f"{type(error).__name__}: {error}"}
            answer.write_text(json.dumps(result), encoding="utf-8")
            for file in (home.with_suffix(suffix) for suffix in ("", ".out", ".log")):
                shutil.rmtree(file) if file.is_dir() else file.unlink(missing_ok=True)
            return 0

        self._running[forked.in_fork(try_it)] = answer

    def join(self) -> None:
        while self._running:
            self._collect()

    def _collect(self) -> None:
        pid, status = os.wait()
        answer = self._running.pop(pid)
        result = json.loads(answer.read_text(encoding="utf-8")) if answer.exists() else {"trouble": f"died: {status}"}
        self.results.append(result)
        if trouble := bad(result):
            where = {key: result[key] for key in ("fault", "kth", "struck", "kills", "told") if key in result}
            print(f"{where}\n    {trouble}", flush=True)
        if len(self.results) % 100 == 0:
            print(f"… {len(self.results):,} tried", flush=True)


def bad(result: dict[str, Any]) -> dict[str, Any]:
    """Return what of a trial must not be."""
    return {key: result[key] for key in ("trouble", "lost", "differing", "repeated", "left") if result.get(key)}


def summary(results: list[dict[str, Any]]) -> Iterator[str]:
    """Yield one line per fault, and one of all."""
    faults = dict.fromkeys(str(result.get("fault")) for result in results)
    for fault in [*faults, "all"]:
        of = [result for result in results if fault in ("all", result.get("fault"))]
        counts = Counter(key for result in of for key in bad(result))
        kills = sum(result.get("kills", 0) for result in of)
        struck = sum(bool(result.get("struck")) for result in of)
        words = {"lost": "lost", "differing": "differing", "repeated": "computed twice", "left": "leftovers"}
        told = ", ".join(f"{counts[key]:,} {word}" for key, word in {**words, "trouble": "other trouble"}.items())
        yield f"{fault}: {len(of):,} tried ({struck:,} struck, {kills:,} kills): {told}"


def run(every: int, kills: int, jobs: int, seed: int, only: str, folder: Path) -> list[dict[str, Any]]:
    """Make all trials in this process, which the shim was loaded into."""
    shim = ctypes.CDLL(None)
    expected = forked.facts(forked.warm(folder / "undisturbed"))
    trials = Trials(folder, jobs)
    number = 0
    for fault in FAULTS:
        if only not in fault.name:
            continue
        for kth in range(1 + seed % every, count(shim, fault, folder) + 1, every):
            number += 1
            trials.make(number, lambda home, f=fault, k=kth: faulted(shim, f, k, home, expected))  # type: ignore[misc]
    trials.join()
    span = duration(folder)
    while sum(result.get("kills", 0) for result in trials.results) < kills:
        number += 1
        trials.make(number, lambda home, n=number: killed(seed + n, span, home, expected))  # type: ignore[misc]
    trials.join()
    return trials.results


def count(shim: ctypes.CDLL, fault: Fault, folder: Path) -> int:
    """Return how many operations of the fault's kinds an undisturbed study has."""
    home, quiet = folder / f"counted{fault.kinds}", fault._replace(action=NOTHING)
    log = home.with_suffix(".log")
    if log.exists():
        return sum(one.name == "counted" for one in operations(log))
    assert forked.ended(forked.in_fork(lambda: forked.compute(home, lambda: arm(shim, home, quiet, 0, log)))) == 0
    seen = {one.path.name for one in operations(log)}  # names alone: the folder of a new study is renamed
    unseen = {path.name for path in home.rglob("*") if path.is_file() and path.stat().st_size} - seen
    assert not unseen, f"written past the shim: {unseen}"
    return sum(one.name == "counted" for one in operations(log))


def duration(folder: Path) -> float:
    """Return the seconds that an undisturbed study takes in a fork."""
    home = folder / "timed"
    start = time.monotonic()
    assert forked.ended(forked.in_fork(lambda: forked.compute(home))) == 0
    return time.monotonic() - start


def lacking() -> str:
    """Return what this machine lacks for these trials, in words; empty where it lacks nothing."""
    if sys.platform != "linux":
        return "faults are put below the C library by LD_PRELOAD: Linux alone"
    return "" if _compiler() else "a C compiler is needed"


def _compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def shimmed(folder: Path) -> dict[str, str]:
    """Compile the shim into `folder`; return the environment of a process that is under it, and has one thread."""
    compiler, library = _compiler(), folder / _SHIM
    assert compiler, lacking()
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(SOURCE), "-ldl"], check=True)
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**os.environ, **threads, "LD_PRELOAD": str(library)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fault_injection", description=__doc__)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each N-th operation")
    parser.add_argument("--kills", type=int, default=1_000, metavar="N", help="random kills (default: 1,000)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="studies at once")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the moments of the kills")
    parser.add_argument("--only", default="", metavar="WORDS", help="only the faults whose names hold these words")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write what each came to as JSON")
    arguments = parser.parse_args()
    if reason := lacking():
        print(reason)
        return 2
    with tempfile.TemporaryDirectory(prefix="embcx-faults-") as folder:
        if _SHIM not in os.environ.get("LD_PRELOAD", ""):
            command = [sys.executable, "-m", "tests.fault_injection", *sys.argv[1:]]
            return subprocess.run(command, env=shimmed(Path(folder)), check=False).returncode
        out = vars(arguments).pop("out")
        results = run(folder=Path(folder).resolve(), **vars(arguments))
        if out:
            out.write_text(json.dumps(results, indent=1), encoding="utf-8")
    for line in summary(results):
        print(line)
    return int(any(map(bad, results)))


if __name__ == "__main__":
    sys.exit(main())
