"""What the first embedding ever costs on a machine, and the first of a later process: compiled kernels are kept."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

# A measurement of 120 rows takes 10 ms: the rest is importing, compiling or loading.
_ONE_EMBEDDING = """
import time
import numpy as np
from embcx_tui.compute.complexity import measure
rows = np.random.default_rng(0).standard_normal((120, 10)).astype(np.float32)
begun = time.perf_counter()
list(measure([rows], [0]))
print(time.perf_counter() - begun)
"""


def first_calls() -> dict[str, float]:
    """Return seconds of a process's first embedding: `compiling` with an empty cache, `cached` after that."""
    with tempfile.TemporaryDirectory(prefix="embcx-bench-") as cache:
        environment = os.environ | {"NUMBA_CACHE_DIR": cache}
        times = [_first_call(environment) for _ in range(2)]
    return {"compiling": times[0], "cached": times[1]}


def _first_call(environment: dict[str, str]) -> float:
    done = subprocess.run(
        [sys.executable, "-P", "-c", _ONE_EMBEDDING],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)
