"""Measuring beside the training: order, errors, and the same numbers as one after the other."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from embcx_tui.store.journal import read_journal
from embcx_tui.store.library import create_study
from embcx_tui.store.snapshot import read_study
from embcx_tui.study.events import EpochTrained, LayerMeasured
from embcx_tui.study.settings import StudySettings, validate
from embcx_tui.worker.background import BackgroundQueue
from tests.warm_process import run_script
from tests.worker.test_worker import PATIENCE_S, numbers, run_to_the_end

CPU = torch.device("cpu")

# A worker that measures beside the training on any device.
BESIDE = """
import sys
from pathlib import Path
from embcx_tui.worker import run
run.worthwhile = lambda device: True
from embcx_tui.worker.process import run_study
sys.exit(run_study(Path(sys.argv[1])))
"""

# The same, on a disk that is full when the first layer is to be written.
FULL = BESIDE.replace(
    "from embcx_tui.worker.process",
    """
from embcx_tui.worker import measure
def full(*values):
    raise OSError(28, "No space left on device", "layer.npz")
measure.pack_arrays = full
from embcx_tui.worker.process""",
)


@pytest.mark.parametrize("possible", [True, False])
def test_calls_are_made_in_order_and_the_first_error_ends_them(possible: bool) -> None:
    made: list[int] = []

    def fail() -> None:
        raise OSError("disk full")

    with BackgroundQueue(possible, CPU) as background:
        for number in range(3):
            background.submit(lambda number=number: made.append(number))  # type: ignore[misc]
        background.join()
        assert made == [0, 1, 2] and not background.failed
        if possible:
            background.submit(fail)
            background.submit(lambda: made.append(9))
            with pytest.raises(OSError, match="disk full"):
                background.join()
            assert background.failed
        else:
            with pytest.raises(OSError, match="disk full"):
                background.submit(fail)
    assert made == [0, 1, 2]


def test_calls_go_on_beside_the_caller() -> None:
    begun, may_end = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert may_end.wait(PATIENCE_S)

    with BackgroundQueue(True, CPU) as background:
        background.submit(work)
        assert begun.wait(PATIENCE_S), "it runs while the caller goes on"
        may_end.set()
        background.join()


@pytest.fixture
def two_datasets(tmp_path: Path) -> StudySettings:
    rng = np.random.default_rng(0)
    y = np.arange(300) % 3
    x = (rng.normal(size=(300, 12)) + y[:, None]).astype(np.float32)
    np.savez(tmp_path / "made.npz", X=x, y=y)
    return validate(
        {
            "data": {"datasets": ["digits", f"file:{tmp_path / 'made.npz'}"], "samples_per_class": 15},
            "networks": {"depths": [1, 2], "activations": ["tanh", "relu"], "runs": 2, "width": 20},
            "training": {"epochs": 4, "batch_size": 20},
            "measure": {"perplexity": 10, "epochs": [0, 2]},
        }
    )


def test_beside_and_one_after_the_other_give_the_same_numbers(two_datasets: StudySettings) -> None:
    after, beside = create_study(two_datasets), create_study(two_datasets)
    assert run_to_the_end(after).state == "complete"
    assert run_script(BESIDE, beside.root) == 0
    assert numbers(beside) == numbers(after)
    assert not list(beside.checkpoints.glob("*.safetensors")), "removed with the cohort that was measured"
    events = read_journal(beside.journal).events
    trained = [place for place, event in enumerate(events) if isinstance(event, EpochTrained)]
    measured = [place for place, event in enumerate(events) if isinstance(event, LayerMeasured) and event.epoch is None]
    assert measured[0] < trained[-1], "layers were measured while networks still trained"


def test_a_full_disk_beside_the_training_ends_the_study_with_its_reason(two_datasets: StudySettings) -> None:
    paths = create_study(two_datasets)
    assert run_script(FULL, paths.root) == 1
    snapshot = read_study(paths)
    assert snapshot.state == "failed"
    assert any("No space left on device" in line.text for line in snapshot.log)
    assert run_to_the_end(paths).state == "complete"
