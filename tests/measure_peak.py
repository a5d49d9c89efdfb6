"""What measuring a large file takes: `python -P -m tests.measure_peak ROWS UNITS [npz]`; docs/measure.md has what it
printed. A worker of its own measures 1,000 rows of a layer from a .npy, or from an .npz that is packed.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from embcx_tui.store.library import create_study
from embcx_tui.store.snapshot import read_study
from tests.activations import request_of, settings_for


def main(rows: int, units: int, packed: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["EMBCX_HOME"] = f"{folder}/home"
        file = _write(Path(folder), rows, units, packed)
        np.save(f"{folder}/y.npy", np.arange(rows) % 10)
        request = request_of(file, labels=Path(folder) / "y.npy", assignments=("machine.device=cpu",))
        paths = create_study(settings_for(request))
        start = time.perf_counter()
        subprocess.run([sys.executable, "-P", "-m", "embcx_tui.worker", "study", str(paths.root)], check=True)
        seconds, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        (layer,) = read_study(paths).measured.values()
        print(
            f"{rows:,} × {units:,} ({file.stat().st_size / 1e6:,.0f} MB): {layer.points:,} points, "
            f"{layer.width:,} → {layer.units:,} units, KL {layer.kl:.3f}, {seconds:.0f} s, "
            f"{used.ru_utime:.0f} CPU s, peak of the worker {used.ru_maxrss / 1e3:,.0f} MB"
        )


def _write(folder: Path, rows: int, units: int, packed: bool) -> Path:
    path = folder / "acts.npy"
    random = np.random.default_rng(0)
    layer = np.lib.format.open_memmap(path, "w+", np.float32, (rows, units))
    for start in range(0, rows, 100):
        layer[start : start + 100] = random.standard_normal((len(layer[start : start + 100]), units), np.float32)
    layer.flush()
    if packed:
        np.savez_compressed(folder / "acts.npz", layer=layer)
        return folder / "acts.npz"
    return path


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), "npz" in sys.argv[3:])
