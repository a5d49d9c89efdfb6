"""What the first embedding or step ever costs on a machine, and the first of a later process: machine code is kept."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

# Some milliseconds of work: the rest is importing, compiling or loading.
_SCRIPTS = {
    "embedding": """
import time
import numpy as np
from embcx_tui.compute.tsne.complexity import measure
rows = np.random.default_rng(0).standard_normal((120, 10)).astype(np.float32)
begun = time.perf_counter()
list(measure([rows], [0]))
print(time.perf_counter() - begun)
""",
    "training": """
import time
import torch
from embcx_tui.worker.calibrate import cohort, noise_dataset, settings_for
data, settings = noise_dataset("digits", 200, 100), settings_for("digits", depths=(2,), runs=1)
begun = time.perf_counter()
cohort(data, settings, torch.device("cpu")).epoch()
print(time.perf_counter() - begun)
""",
}


def first_calls(what: str) -> dict[str, float]:
    """Return seconds of a process's first "embedding", or "training" of an epoch on the CPU: `compiling` with an empty
    cache, `cached` after that.
    """
    with tempfile.TemporaryDirectory(prefix="embcx-bench-") as cache:
        environment = os.environ | {"NUMBA_CACHE_DIR": cache}
        times = [_first_call(_SCRIPTS[what], environment) for _ in range(2)]
    return {"compiling": times[0], "cached": times[1]}


def _first_call(script: str, environment: dict[str, str]) -> float:
    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)
