"""Workers in forks of one warm process, which has imported torch and loaded the kernels: each would take 3 s for that.

A fork runs the script that `python -c SCRIPT ARGUMENTS` would run, with the caller's environment and folder; only the
interpreter's start and end and the imports are not repeated. Where those matter, tests start a process of their own.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
from functools import cache, partial
from pathlib import Path
from typing import Any

from tests import forked_studies as forked

# A script that hangs is ended, and its test fails by the signal's number.
_LONGEST_S = 600
# What `launch.start` and the process that it starts do, from the opening of worker.log on.
WORKER = """
import os, sys
from pathlib import Path
from embcx_tui.store.paths import StudyPaths
from embcx_tui.worker.worker_log import open_output
from embcx_tui.worker.process import run_study
paths = StudyPaths(Path(sys.argv[1]))
log = open_output(paths)
os.dup2(log, 1)
os.dup2(log, 2)
os.chdir(paths.root)
sys.exit(run_study(paths.root))
"""


def run_script(script: str, *arguments: str | Path, errors: Path | None = None) -> int:
    """Run a script to its end; return its exit code, negative for the signal that killed it.

    What it writes goes nowhere, but its standard error to the end of the file `errors` where one is named.
    """
    server = _server()
    request = {
        "script": script,
        "arguments": [str(argument) for argument in arguments],
        "environment": dict(os.environ),
        "folder": str(Path.cwd()),
        "umask": _umask(),
        "errors": str(errors or os.devnull),
    }
    assert server.stdin is not None and server.stdout is not None
    server.stdin.write(json.dumps(request) + "\n")
    server.stdin.flush()
    answer = server.stdout.readline()
    assert answer, "the warm process has ended"
    return int(answer)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@cache
def _server() -> subprocess.Popen[str]:
    """Return this process's warm one; it ends when its standard input is closed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.warm_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
        env=os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
        start_new_session=True,
    )
    atexit.register(_end, process)
    return process


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.close()
    process.wait()
    process.stdout.close()


def _run(request: dict[str, Any]) -> int:
    """Become the process of a request; its exit code."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))  # as many networks at once as in a worker of its own
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    os.umask(request["umask"])
    signal.alarm(_LONGEST_S)
    nowhere = os.open(os.devnull, os.O_RDWR)
    errors = os.open(request["errors"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor, target in ((nowhere, 0), (nowhere, 1), (errors, 2)):
        os.dup2(descriptor, target)
    sys.argv = ["-c", *request["arguments"]]
    try:
        exec(compile(request["script"], "<script>", "exec"), {"__name__": "__main__"})
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def serve() -> None:
    with tempfile.TemporaryDirectory() as home:
        forked.warm(Path(home), eager=False)
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        code = forked.ended(forked.in_fork(partial(_run, json.loads(line))))
        print(code, file=answers, flush=True)


if __name__ == "__main__":
    serve()
