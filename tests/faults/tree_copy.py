"""A copy of the project in which faults are put in and taken out, and tests are run; the project itself stays as it is.

Nothing that was compiled of another text may be run. Python takes a module's bytecode by the time and the size of its
source: a fault of the same length, written within the same second, would never be run. So each fault has a time of its
own, far from all others. numba's machine code is kept in a folder of the copy, and for a fault in `compute` in an empty
one.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.faults.fault_list import PACKAGE, PROJECT, Fault

# What tests read of the project.
COPIED = (PACKAGE, "tests", "docs", "README.md", "pyproject.toml")
# Seconds between the times of two faults: more than any file system rounds by.
_APART_S = 60
# What pytest says at its end of a test that failed, or of its fixtures.
_FAILED = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)

Verdict = Literal["noticed", "not noticed", "timed out", "broken"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the tests: "broken" where they could not be run at all; `by`: the first test that failed."""

    verdict: Verdict
    by: str
    seconds: float
    output: str


class TreeCopy:
    """A copy of the project in `folder`, for one job at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.root = folder / "tree"
        self._kernels = folder / "kernels"
        self._faults = 0
        skip = shutil.ignore_patterns("__pycache__")
        for name in COPIED:
            source, target = PROJECT / name, self.root / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=skip)
            else:
                self.root.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)

    @contextmanager
    def with_fault(self, fault: Fault) -> Iterator[Path]:
        """Have a fault in the copy, and yield the folder in which numba keeps machine code meanwhile."""
        path = self.root / fault.file
        text, before = path.read_text(encoding="utf-8"), path.stat()
        faulty = fault.put_into(text)
        self._faults += 1
        after = before.st_mtime_ns + self._faults * _APART_S * 10**9
        kernels = Path(tempfile.mkdtemp(dir=self._folder)) if fault.is_in_kernels else self._kernels
        try:
            path.write_text(faulty, encoding="utf-8")
            os.utime(path, ns=(after, after))
            yield kernels
        finally:
            path.write_text(text, encoding="utf-8")
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
            if fault.is_in_kernels:
                shutil.rmtree(kernels, ignore_errors=True)

    def notices(self, fault: Fault, patience_s: float) -> Outcome:
        """Return what the tests of a fault say of it."""
        with self.with_fault(fault) as kernels:
            return self.run(fault.tests, patience_s, kernels)

    def run(self, tests: Sequence[str], patience_s: float, kernels: Path | None = None) -> Outcome:
        """Run tests until the first fails, in the copy."""
        command = [sys.executable, "-P", "-m", "pytest", "-n", "0", "-q", "-x", "-p", "no:cacheprovider"]
        command.append(f"--basetemp={self._folder / 'tmp'}")
        begun = time.monotonic()
        with subprocess.Popen(
            [*command, *tests],
            cwd=self.root,
            env=self._environment(kernels or self._kernels),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process:
            try:
                output = process.communicate(timeout=patience_s)[0]
            except BaseException as error:
                os.killpg(process.pid, signal.SIGKILL)
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
                return Outcome("timed out", "", time.monotonic() - begun, process.communicate()[0])
        seconds = time.monotonic() - begun
        if process.returncode == 0:
            return Outcome("not noticed", "", seconds, output)
        # 1: a test failed; below 0: one ended the process. Others: no test was run, such as a module without meaning.
        verdict: Verdict = "noticed" if process.returncode == 1 or process.returncode < 0 else "broken"
        by = _FAILED.search(output)
        return Outcome(verdict, by[1] if by else f"exit code {process.returncode}", seconds, output)

    def check_place(self) -> None:
        """Raise RuntimeError where tests would import another package than the copy's, such as an installed one."""
        code = f"import {PACKAGE}, tests; print({PACKAGE}.__file__); print(tests.__file__)"
        found = subprocess.run(
            [sys.executable, "-P", "-c", code],
            cwd=self.root,
            env=self._environment(self._kernels),
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        if any(self.root.resolve() not in Path(line).resolve().parents for line in found):
            raise RuntimeError(f"tests would not run on the copy but on {', '.join(found)}")

    def _environment(self, kernels: Path) -> dict[str, str]:
        environment = {**os.environ, "PYTHONPATH": str(self.root), "NUMBA_CACHE_DIR": str(kernels)}
        if data := os.environ.get("EMBCX_DATA_DIR"):
            environment["EMBCX_DATA_DIR"] = str(Path(data).absolute())
        return environment
