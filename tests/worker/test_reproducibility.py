"""The same study file gives the same numbers: whatever the number of threads, and wherever a user's file lies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

_SMALL = (
    *("data.train_limit=1000", "data.samples_per_class=60", "measure.metrics=knn", "measure.controls=untrained"),
    *(
        "networks.depths=3",
        "networks.activations=logsig,tanh",
        "networks.width=101",
        "networks.runs=1",
        "training.epochs=1",
    ),
)


def numbers(home: Path, *overrides: str, cores: str | None = None, **environment: str) -> list[Any]:
    """Run a small study of digits in an empty home; return every score, number of an embedding and accuracy."""
    own = os.environ | {"EMBCX_HOME": str(home)} | environment
    command = [sys.executable, "-m", "embcx_tui"]
    options = [word for override in (*_SMALL, *overrides) for word in ("--set", override)]
    pinned = ["taskset", "-c", cores] if cores else []
    subprocess.run([*pinned, *command, "run", "demo", *options], env=own, check=True, capture_output=True)
    shown = subprocess.run([*command, "show", "last", "--json"], env=own, check=True, capture_output=True)
    keys = ("layer", "kl", "iterations", "metrics", "quality")
    return [
        [network["activation"], network["control"], network["train_accuracy"], network["test_accuracy"]]
        + [[layer[key] for key in keys] for layer in network["layers"]]
        for network in json.loads(shown.stdout)["networks"]
    ]


def test_the_number_of_threads_changes_no_bit(tmp_path: Path) -> None:
    # 600 rows of 101 units: torch cuts a tensor among threads from 32,768 entries on, here not between two vectors.
    wanted = numbers(tmp_path / "1", OMP_NUM_THREADS="1")
    assert len(wanted) == 4 and all(len(network) == 8 for network in wanted)
    assert numbers(tmp_path / "4", OMP_NUM_THREADS="4") == wanted
    if sys.platform == "linux":
        core = str(min(os.sched_getaffinity(0)))
        assert numbers(tmp_path / "core", cores=core) == wanted


@pytest.fixture
def digits_file(tmp_path: Path) -> Path:
    digits = load_digits()
    path = tmp_path / "here" / "mine.npz"
    path.parent.mkdir()
    np.savez(path, X=digits.data.astype(np.uint8), y=digits.target)
    return path


def test_a_users_file_repeats_wherever_it_lies(tmp_path: Path, digits_file: Path) -> None:
    elsewhere = tmp_path / "there" / "renamed.npz"
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(digits_file.read_bytes())
    one, other = (
        numbers(tmp_path / f"home{index}", f"data.datasets=file:{path}")
        for index, path in enumerate((digits_file, elsewhere))
    )
    assert one == other
