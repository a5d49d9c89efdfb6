"""A worker on a device that is none: the GPU's program on the CPU's tensors (`cpu:0`), with the faults of a GPU."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from embcx_tui.analysis.json_csv import measurements
from embcx_tui.store.library import create_study
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import Snapshot, read_study
from embcx_tui.study.settings import StudySettings, validate
from tests.warm_process import run_script

PATIENCE_S = 600.0

# The self-check is left out where a test is about something else: it takes some seconds of a CPU.
WORKER = """
import sys
from pathlib import Path
import torch
from embcx_tui.compute.device import DeviceChoice
from embcx_tui.compute.gpu_path import ACTIVATIONS, AFFINITIES, DESCENTS, GRAPHS, gpu_path
from embcx_tui.compute.tsne import descent_gpu, kernels_torch
from embcx_tui.worker import embed, gpu, measure, run
run.device_choice = lambda wanted: DeviceChoice(torch.device("cpu", 0))
gpu.has_passed = lambda circumstances: True
{fault}
from embcx_tui.worker.process import run_study
sys.exit(run_study(Path(sys.argv[1])))
"""


def settings(**sections: Any) -> StudySettings:
    """Return a study of 7 layers of 100 rows, in seconds."""
    asked: dict[str, Any] = {
        "name": "stand-in",
        "data": {"datasets": ["digits"], "samples_per_class": 10},
        "networks": {"depths": [1, 2], "activations": ["tanh", "relu"], "runs": 1, "width": 12},
        "training": {"epochs": 2},
        "measure": {"perplexity": 10, "controls": [], "metrics": [], "search": "plain"},
    }
    for section, values in sections.items():
        asked[section] = {**asked.get(section, {}), **values} if isinstance(values, dict) else values
    return validate(asked)


def run_worker(paths: StudyPaths, fault: str = "") -> int:
    """Run a worker on the stand-in with a `fault` (code) to its end; return its exit code."""
    return run_script(WORKER.format(fault=fault), paths.root, errors=paths.worker_log)


def computed(fault: str = "", **sections: Any) -> tuple[StudyPaths, Snapshot]:
    """Return a study that a worker with a `fault` has worked on, and what its journal says."""
    paths = create_study(settings(**sections))
    run_worker(paths, fault)
    return paths, read_study(paths)


def scores(paths: StudyPaths) -> dict[str, float | None]:
    """Return the KL that `show --json` gives of every layer, by network and layer."""
    shown = json.loads(json.dumps(measurements(read_study(paths))))
    return {
        f"{network['depth']} {network['activation']} {network['run']} {place}": layer["kl"]
        for network in shown["networks"]
        for place, layer in enumerate(network["layers"])
    }


@cache
def sound_scores() -> dict[str, float | None]:
    """Return the scores that the study gets where nothing fails."""
    paths, snapshot = computed()
    assert snapshot.state == "complete"
    return scores(paths)


def warnings(snapshot: Snapshot) -> list[str]:
    return [line.text for line in snapshot.log if line.level == "warning"]


def checkpoints(paths: StudyPaths) -> list[Path]:
    return list(paths.checkpoints.glob("*.safetensors"))
