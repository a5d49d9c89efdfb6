"""Hands and workers killed at random, in real processes: the study ends with the bytes of an undisturbed one.

    python -m tests.hands [--hands 20] [--workers 10] [--seed 0] [--study demo|fig2]

Hands are killed, every fourth is stopped (SIGSTOP) instead; a worker is killed with its hands at work and resumed. Each
stroke costs a start of processes, so this takes some minutes on a quiet machine of two cores. `fig2` (two runs, real
MNIST from $EMBCX_DATA_DIR) takes longer.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from typing import Any

import psutil

from embcx_tui.analysis.json_csv import measurements
from embcx_tui.store.library import create_study
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import StudyReader, read_study
from embcx_tui.study.events import HandLost
from embcx_tui.study.settings import StudySettings, load_preset, validate

# A worker whose hands are given up after 20 silent seconds, and which counts no part as lost too often.
WORKER = """
import sys
from pathlib import Path
from embcx_tui.worker import hand_pool
hand_pool.PATIENCE_S, hand_pool.MOST_LOSSES = 20.0, 1_000
from embcx_tui.worker.process import run_study
sys.exit(run_study(Path(sys.argv[1])))
"""


def settings(study: str, devices: int) -> StudySettings:
    """Return the study, in four parts, to be computed by `devices` hands."""
    machine = {"device": "cpu", "devices": devices, "parts": 4}
    if study == "fig2":
        values = load_preset("fig2").settings.model_dump(mode="json")
        return validate({**values, "networks": {**values["networks"], "runs": 2}, "machine": machine})
    return validate(
        {
            "name": "hands",
            "data": {"datasets": ["digits"], "samples_per_class": 20},
            "networks": {"depths": [1, 2, 3], "activations": ["relu", "tanh"], "runs": 4, "width": 30},
            "training": {"epochs": 300},
            "measure": {"perplexity": 10, "epochs": [10, 50, 100, 200], "controls": ["untrained", "shuffled"]},
            "machine": machine,
        }
    )


def numbers(paths: StudyPaths) -> dict[str, Any]:
    """What `show --json` says of the networks, and the bytes of every array file."""
    others = ("id", "settings", "machine", "machines", "hands")
    document = {key: value for key, value in measurements(read_study(paths)).items() if key not in others}
    files = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in paths.arrays.iterdir()}
    return document | {"arrays": files}


def disturbed(paths: StudyPaths, hands: int, workers: int, chance: random.Random) -> None:
    """Compute a study whose hands and workers are struck until the counts are used up."""
    reader = StudyReader(paths)
    strokes = ["hand"] * hands + ["worker"] * workers
    chance.shuffle(strokes)
    while (snapshot := reader.poll()).state != "complete":
        worker = subprocess.Popen([sys.executable, "-c", WORKER, str(paths.root)])
        while worker.poll() is None:
            time.sleep(chance.uniform(0.2, 4.0))
            known = [hand.pid for hand in reader.poll().hands.values()]
            alive = [one for one in psutil.Process(worker.pid).children() if one.pid in known] if known else []
            if not alive or not strokes:
                continue
            if strokes.pop() == "worker":
                worker.kill()
                worker.wait()
                _, left = psutil.wait_procs(alive, timeout=2)
                assert all(one.status() == psutil.STATUS_ZOMBIE for one in left), "a hand outlives its worker"
            else:
                with suppress(psutil.Error):
                    chance.choice(alive).send_signal(signal.SIGSTOP if len(strokes) % 4 == 0 else signal.SIGKILL)
        print(f"worker ended with {worker.returncode}, {len(strokes)} strokes left", flush=True)
    lost = sum(isinstance(line.event, HandLost) for line in snapshot.log)
    print(f"complete: {lost} hands lost, {hands + workers - len(strokes)} strokes", flush=True)


def main() -> int:
    """Compare an undisturbed and a disturbed study; return 0 where they are equal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hands", type=int, default=20)
    parser.add_argument("--workers", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--study", choices=("demo", "fig2"), default="demo")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["EMBCX_HOME"] = home
        alone, struck = create_study(settings(asked.study, 1)), create_study(settings(asked.study, 2))
        begun = time.monotonic()
        assert subprocess.run([sys.executable, "-c", WORKER, str(alone.root)], check=False).returncode == 0
        print(f"undisturbed: {time.monotonic() - begun:.0f} s in one process", flush=True)
        begun = time.monotonic()
        disturbed(struck, asked.hands, asked.workers, random.Random(asked.seed))
        print(f"disturbed: {time.monotonic() - begun:.0f} s with two hands", flush=True)
        one, other = numbers(alone), numbers(struck)
        differ = [key for key in one if one[key] != other.get(key)]
        print("the same bytes" if not differ else f"different: {', '.join(differ)}")
        return bool(differ)


if __name__ == "__main__":
    sys.exit(main())
