"""Put small faults into a copy of the project, one at a time, and say which of them the tests notice.

`python -m tests.faults [NAME …]`: names or patterns of faults or of files of the package (`compute/*`), all without
any. The exit code is 0 where all are noticed, 1 where one is not, 2 where the list or the tests do not serve. About an
hour for all of them; docs/testing.md says more.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import Queue
from typing import TypeVar

from tests.faults.fault_list import PROJECT, Fault, chosen, read_faults
from tests.faults.tree_copy import Outcome, TreeCopy

T = TypeVar("T")
# Of one fault's tests: the longest take some two minutes on two busy cores.
_PATIENCE_S = 900.0
_LAST_LINES = 30


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="faults, or files of the package; * stands for any")
    parser.add_argument("--list", action="store_true", dest="listing", help="say what there is, and run nothing")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="faults at a time, each in a copy of its own")
    parser.add_argument("--unchecked", action="store_true", help="do not run the tests without a fault first")
    parser.add_argument("--output", action="store_true", help="print the end of pytest's output of what is not noticed")
    asked = parser.parse_args(arguments)
    faults = chosen(read_faults(), asked.names)
    if not faults:
        print("no fault has such a name; --list shows them all", file=sys.stderr)
        return 2
    if asked.listing:
        for fault in faults:
            print(f"{fault.name}  ({fault.file})\n    {fault.harm}")
        print(f"{len(faults)} faults")
        return 0
    try:
        for fault in faults:  # before minutes are spent
            fault.put_into((PROJECT / fault.file).read_text(encoding="utf-8"))
        with tempfile.TemporaryDirectory(prefix="embcx-tests-faults-") as folder:
            return _try_all(faults, Path(folder), max(asked.jobs, 1), checked=not asked.unchecked, said=asked.output)
    except (ValueError, OSError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 2


def _try_all(faults: Sequence[Fault], folder: Path, jobs: int, *, checked: bool, said: bool) -> int:
    begun = time.monotonic()
    copies: Queue[TreeCopy] = Queue()
    for number in range(jobs):
        copies.put(TreeCopy(folder / str(number)))
    copies.queue[0].check_place()
    unsound = _unsound(faults, copies, jobs) if checked else {}
    # Tests that fail anyway would "notice" everything.
    faults = [fault for fault in faults if unsound.keys().isdisjoint(fault.tests)]
    outcomes: dict[Fault, Outcome] = {}
    for fault, outcome in _each(faults, lambda copy, one: copy.notices(one, _PATIENCE_S), copies, jobs):
        outcomes[fault] = outcome
        by = f"  by {outcome.by}" if outcome.by else ""
        print(f"{outcome.verdict:11}  {outcome.seconds:5.0f} s  {fault.name}{by}", flush=True)
        if outcome.verdict == "broken" or (said and outcome.verdict != "noticed"):
            print("    | " + "\n    | ".join(outcome.output.splitlines()[-_LAST_LINES:]), flush=True)
    code = _verdict(outcomes, time.monotonic() - begun)
    if unsound:
        print("without any fault these do not pass, and what they cover was not tried:", *unsound.values(), sep="\n  ")
    return 2 if unsound else code


def _unsound(faults: Sequence[Fault], copies: Queue[TreeCopy], jobs: int) -> dict[str, str]:
    """Return which of the faults' tests do not pass where there is no fault, each with the test that fails."""
    tests = list(dict.fromkeys(test for fault in faults for test in fault.tests))
    print(f"{len(tests)} files of tests, or tests, without a fault …", flush=True)
    run = _each(tests, lambda copy, test: copy.run((test,), _PATIENCE_S), copies, jobs)
    return {test: f"{one.by or test} ({one.verdict})" for test, one in run if one.verdict != "not noticed"}


def _each(
    things: Sequence[T], act: Callable[[TreeCopy, T], Outcome], copies: Queue[TreeCopy], jobs: int
) -> Iterator[tuple[T, Outcome]]:
    """Yield each of `things` with the outcome of `act` on it and a free copy, as they finish."""

    def one(thing: T) -> Outcome:
        copy = copies.get()
        try:
            return act(copy, thing)
        finally:
            copies.put(copy)

    with ThreadPoolExecutor(jobs) as pool:
        running = {pool.submit(one, thing): thing for thing in things}
        try:
            for future in as_completed(running):
                yield running[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _verdict(outcomes: dict[Fault, Outcome], seconds: float) -> int:
    """Print what became of all faults, and return the exit code."""
    counts = Counter(outcome.verdict for outcome in outcomes.values())
    near = sum(
        outcome.verdict == "noticed" and outcome.by.partition("::")[0] == fault.tests[0].partition("::")[0]
        for fault, outcome in outcomes.items()
    )
    print(f"{counts['noticed']} of {len(outcomes)} faults noticed, {near} by the first of their tests, in ", end="")
    print(f"{seconds / 60:.1f} min")
    for verdict in ("not noticed", "timed out", "broken"):
        names = sorted(fault.name for fault, outcome in outcomes.items() if outcome.verdict == verdict)
        if names:
            print(f"{verdict}: {', '.join(names)}")
    return 2 if counts["broken"] else 0 if counts["noticed"] == len(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
