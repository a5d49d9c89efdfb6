"""What reducing a wide layer costs: `python -P -m tests.reduction_peak ROWS UNITS [twin]`; docs/embedding-engine.md has
what it printed. `twin` makes two rows nearly equal, which takes the orthogonal way.
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np

from embcx_tui.compute.reduction import reduce_layer


def peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main(n: int, units: int, twin: bool) -> None:
    random = np.random.default_rng(0)
    rows = np.empty((n, units), dtype=np.float32)
    for row in rows:
        row[:] = random.standard_normal(units, dtype=np.float32)
    if twin:
        rows[1] = rows[0]
        rows[1, 5] += 1e-3
    print(f"before: peak {peak_gb():.2f} GB")
    wall, cpu = time.perf_counter(), time.process_time()
    reduced = reduce_layer(rows, budget_bytes=4 << 30).rows
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{n} × {units}: {wall:.1f} s, {cpu:.1f} CPU s, peak {peak_gb():.2f} GB")
    pairs = [(i, j) for i, j in random.integers(0, n, (500, 2)) if i != j] + [(0, 1)]
    far = [np.linalg.norm(rows[i].astype(np.float64) - rows[j]) for i, j in pairs]
    found = [np.linalg.norm(reduced[i] - reduced[j]) for i, j in pairs]
    print(f"distances off by {np.abs(np.array(found) / np.array(far) - 1.0).max():.1e} relative")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), "twin" in sys.argv[3:])
