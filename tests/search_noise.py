"""How much the score of MNIST's inputs varies from search to search, against their spread over runs:
`python -P -m tests.search_noise [searches] [thorough|annealed|plain]`; docs/embedding-engine.md has what it printed.

Each search has its own seed and its own order of the rows. The samples are those of runs 0 to 4 of a study on MNIST.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from embcx_tui.compute import datasets
from embcx_tui.compute.samples import run_sample
from embcx_tui.compute.tsne.complexity import measure
from embcx_tui.compute.tsne.result import Measurement
from embcx_tui.compute.tsne.schedule import DEFAULT_SCHEDULE, PLAIN_SCHEDULE, THOROUGH_SCHEDULE
from embcx_tui.study.seeds import stream_seed

RUNS = range(5)
_SCHEDULES = {"thorough": THOROUGH_SCHEDULE, "annealed": DEFAULT_SCHEDULE, "plain": PLAIN_SCHEDULE}


def main(searches: int, search: str) -> None:
    with tempfile.TemporaryDirectory() as cache:
        data = datasets.load("mnist", Path(os.environ["EMBCX_DATA_DIR"]), Path(cache))
    samples = [data.inputs(run_sample(data, 100, 0, run), "train") for run in RUNS]
    measurement = Measurement(schedule=_SCHEDULES[search], threads=1)
    kls = np.zeros((len(samples), searches))
    spent = []
    for number in range(searches):
        for run, rows in enumerate(samples):
            seed = stream_seed(0, "mnist", run, "noise", number)
            order = np.random.default_rng(seed).permutation(len(rows))
            ((_, found),) = measure([rows[order]], [seed], measurement)
            kls[run, number] = found.kl
            spent.append(found.spent)
        print(number, " ".join(f"{kl:.5f}" for kl in kls[:, number]), flush=True)
    means, noises = kls.mean(axis=1), kls.std(axis=1, ddof=1)
    for run, (mean, noise) in enumerate(zip(means, noises, strict=True)):
        print(f"run {run}: {mean:.4f} ± {noise:.5f}")
    noise = float(np.sqrt(np.mean(noises**2)))
    spread = float(np.sqrt(np.mean(kls.var(axis=0, ddof=1))))
    print(
        f"noise {noise:.5f} (root mean square), spread over runs {spread:.5f}: {noise / spread:.2f}; "
        f"mean {means.mean():.4f}, {np.mean(spent):,.0f} iterations per search"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 24, sys.argv[2] if len(sys.argv) > 2 else "thorough")
