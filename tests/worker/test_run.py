"""What goes on around the work of a study: what must not end it, what it keeps, and when data have changed."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from embcx_tui.compute.datasets import make_dataset
from embcx_tui.store.library import create_study
from embcx_tui.study.events import LayerFailed
from embcx_tui.study.settings import load_preset
from embcx_tui.worker import calibrate, run
from embcx_tui.worker.dataset_cache import dataset_digest
from embcx_tui.worker.journal import Journal
from embcx_tui.worker.part import clear_checkpoints
from tests.warm_process import run_script
from tests.worker.test_worker import EAGER


@pytest.mark.parametrize("error", [RuntimeError("CUDA error: out of memory"), MemoryError(), OSError(28, "full")])
def test_a_study_goes_on_where_the_machine_cannot_be_measured(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(device: torch.device) -> None:
        raise error

    monkeypatch.setattr(calibrate, "calibrate", refuse)
    monkeypatch.setattr(run, "CALIBRATE_FROM_S", 0.0)
    journal = Journal(create_study(load_preset("demo").settings))
    assert run._calibration(journal, torch.device("cpu")) is None
    assert "this machine's speed is not known" in journal.snapshot.log[-1].text


@pytest.mark.parametrize("part", ["x_train", "y_train", "x_test", "y_test"])
def test_a_dataset_has_changed_where_one_value_of_any_part_has(part: str) -> None:
    random = np.random.default_rng(0)
    train, test = ((random.integers(0, 255, (n, 4), dtype=np.uint8), random.integers(0, 2, n)) for n in (30, 10))
    before = make_dataset("own", train, test, ("a", "b"), (2, 2, 1))
    changed = getattr(before, part).copy()
    changed[3] = 1 - changed[3] if part[0] == "y" else changed[3][::-1]
    assert dataset_digest(replace(before, **{part: changed})) != dataset_digest(before)
    assert dataset_digest(replace(before, **{part: getattr(before, part).copy()})) == dataset_digest(before)


@pytest.mark.parametrize(
    ("failed", "stopped", "kept"), [(False, False, False), (True, False, True), (False, True, True)]
)
def test_checkpoints_stay_while_something_may_go_on_from_them(failed: bool, stopped: bool, kept: bool) -> None:
    journal = Journal(create_study(load_preset("demo").settings))
    (cohort,) = journal.snapshot.plan.cohorts
    if failed:
        one = journal.snapshot.plan.layers[-1]
        journal.append(
            LayerFailed(layer_id=one.id, network=one.network, layer=one.layer, method="tsne", reason="no memory")
        )
    names = [f"{cohort.id}.epoch3.safetensors", f"{cohort.id}.part1.epoch3.safetensors"]
    other = journal.paths.checkpoints / "another.epoch3.safetensors"
    for name in (*names, other.name):
        (journal.paths.checkpoints / name).touch()
    clear_checkpoints(journal, cohort, lambda: stopped)
    assert [(journal.paths.checkpoints / name).exists() for name in names] == [kept, kept]
    assert other.exists(), "of another dataset"


# A worker in which a library makes a file and a folder of its own, as caches and logs are.
WITH_A_CACHE = EAGER.replace(
    "from embcx_tui.worker.process",
    """
from embcx_tui.worker.journal import Journal
append = Journal.append
def append_and_cache(journal, event):
    append(journal, event)
    if event.kind == "accepted":
        (journal.paths.root / "cache").mkdir()
        (journal.paths.root / "cache" / "file").write_text("of a library")
        raise OSError(28, "that is all")
Journal.append = append_and_cache
from embcx_tui.worker.process""",
)


def test_what_a_library_writes_in_a_worker_is_for_its_user_alone_too() -> None:
    paths = create_study(load_preset("demo").settings)
    before = os.umask(0)  # the shell's
    try:
        run_script(WITH_A_CACHE, paths.root)
    finally:
        os.umask(before)
    made = paths.root / "cache"
    assert made.stat().st_mode & 0o777 == 0o700 and (made / "file").stat().st_mode & 0o777 == 0o600
