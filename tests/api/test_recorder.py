"""`Recorder`: epochs while a model trains, and what is left of them when a process is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import embcx_tui
from embcx_tui.api.results import Study
from embcx_tui.compute.reduction import reduce_layer
from embcx_tui.compute.taps import forward
from embcx_tui.store import lock
from embcx_tui.store.library import find_study
from embcx_tui.store.paths import StudyPaths, studies_folder
from embcx_tui.worker import launch
from tests.api.small import PERPLEXITY, POINTS, blobs, loader, network, train_epoch

EPOCHS = 3


def record_all(kill_after: int | None = None) -> Study:
    """Train the small network and record it; with `kill_after` the worker is killed while it has that epoch to do."""
    data, model = blobs(), network()
    with embcx_tui.Recorder(model, loader(data), name="small", points=POINTS, perplexity=PERPLEXITY) as record:
        for epoch in range(EPOCHS + 1):
            if epoch:
                train_epoch(model, data)
            record(epoch)
            if epoch == kill_after:
                launch.stop(find_study(record.id), at_once=True, wait_s=20.0)
    return record.study.wait(120.0)


def files_of(study: Study) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (studies_folder() / study.id / "arrays").iterdir()}


def test_epochs_are_measured_and_a_killed_worker_changes_no_byte() -> None:
    study = record_all()
    assert study.state == "complete"
    epochs = [(one.epoch, one.layer, one.kl) for one in study.epochs]
    assert [(epoch, layer) for epoch, layer, _ in epochs] == [(e, n) for e in range(EPOCHS + 1) for n in (1, 2, 3)]
    newest = {one.layer: one.kl for one in study.layers if one.control is None}
    untrained = {one.layer: one.kl for one in study.layers if one.control == "untrained"}
    assert {layer: kl for epoch, layer, kl in epochs if epoch == EPOCHS} == {n: newest[n] for n in (1, 2, 3)}
    assert {layer: kl for epoch, layer, kl in epochs if epoch == 0} == {n: untrained[n] for n in (1, 2, 3)}
    assert newest[3] != untrained[3] and newest[0] == untrained[0] is not None
    assert [e["epoch"] for e in study.as_dict()["networks"][0]["earlier"]] == [e for e, _, _ in epochs]
    paths = StudyPaths(studies_folder() / study.id)
    assert sorted(entry.name for entry in paths.inbox.iterdir()) == ["closed", "producer.json"]
    assert {entry.stat().st_mode & 0o077 for entry in (paths.inbox, *paths.inbox.iterdir())} == {0}
    with pytest.raises(embcx_tui.EmbcxError, match="is complete; there is nothing left to do"):
        launch.start(paths)
    disturbed = record_all(kill_after=1)
    assert disturbed.state == "complete" and disturbed.id != study.id
    assert files_of(disturbed) == files_of(study)


def test_who_reduces_a_wide_layer_changes_no_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the training, or in the worker where the rows fit in the inbox as they are."""

    def record_wide() -> Study:
        torch.manual_seed(0)
        data = blobs()
        model = nn.Sequential(nn.Linear(data.tensors[0].shape[1], 5_000), nn.ReLU(), nn.Linear(5_000, 3))
        with embcx_tui.Recorder(model, loader(data), name="wide", points=POINTS, perplexity=PERPLEXITY) as record:
            record(0)
            record(1)
        return record.study.wait(120.0)

    reduced_here: list[int] = []

    def reduce(rows: Any, *, budget_bytes: int) -> Any:
        reduced_here.append(rows.shape[1])
        return reduce_layer(rows, budget_bytes=budget_bytes)

    monkeypatch.setattr(forward, "reduce_layer", reduce)
    by_worker = record_wide()
    assert not reduced_here
    monkeypatch.setattr("embcx_tui.api.handover.RAW_BYTES", 100_000)
    here = record_wide()
    assert reduced_here and set(reduced_here) == {5_000}
    assert by_worker.state == here.state == "complete"
    assert files_of(by_worker) == files_of(here)
    assert [(one.units, one.kl) for one in by_worker.layers] == [(one.units, one.kl) for one in here.layers]
    assert 5_000 in {one.units for one in here.layers}


SCRIPT = """
import os, signal
import embcx_tui
from tests.api.small import PERPLEXITY, POINTS, blobs, loader, network, train_epoch
data, model = blobs(), network()
record = embcx_tui.Recorder(model, loader(data), name="killed", points=POINTS, perplexity=PERPLEXITY)
record(0)
train_epoch(model, data)
record(1)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_of_a_killed_training_everything_handed_over_is_measured() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == -signal.SIGKILL
    study = embcx_tui.load("killed").wait(120.0)
    assert (study.state, study.reason) == ("stopped", "the recorder ended")
    assert {(one.epoch, one.layer) for one in study.epochs} == {(e, n) for e in (0, 1) for n in (1, 2, 3)}
    assert all(one.kl is not None for one in study.layers)
    # Resumed, it finds nothing to do and says the same.
    paths = find_study(study.id)
    launch.await_acceptance(launch.start(paths))
    assert (study.wait(60.0).state, study.reason) == ("stopped", "the recorder ended")


def test_a_dropped_recorder_is_a_closed_one_and_later_failures_do_not_end_the_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data, model = blobs(), network()
    before = torch.get_rng_state().tolist()
    record = embcx_tui.Recorder(model, loader(data), points=POINTS, perplexity=PERPLEXITY)
    with pytest.raises(embcx_tui.EmbcxError, match="nothing is recorded yet"):
        _ = record.study
    record(1)
    assert torch.get_rng_state().tolist() == before
    with pytest.raises(embcx_tui.EmbcxError, match="epoch 1 comes after epoch 1"):
        record(1)
    paths = find_study(record.id)
    with monkeypatch.context() as patch:
        patch.setattr("embcx_tui.store.inbox.os.fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "No space left")))
        with pytest.warns(
            RuntimeWarning, match=r"epoch 2 is not recorded: .*inbox: cannot be written \(No space left\)"
        ):
            record(2)
    assert not list(paths.inbox.glob(".tmp-*"))
    with monkeypatch.context() as patch, pytest.warns(RuntimeWarning, match="GB wait to be measured: record fewer"):
        patch.setattr("embcx_tui.api.handover.MOST_WAITING_BYTES", -1)
        record(3)
    record(4)
    del record
    study = Study(paths).wait(120.0)
    assert study.state == "complete"
    assert {one.epoch for one in study.epochs} == {1, 4}
    assert not any(one.control for one in study.layers)  # nothing was recorded before training
    assert not lock.is_running(paths)


def test_what_a_sample_is_stays_for_all_epochs() -> None:
    """A loader that augments and shuffles gives other inputs at every turn; the sample is drawn once."""
    from embcx_tui.api.measuring import Tapped, options_of

    class Noisy(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
        def __init__(self) -> None:
            self.targets = [place % 4 for place in range(200)]

        def __len__(self) -> int:
            return 200

        def __getitem__(self, place: int) -> tuple[torch.Tensor, int]:
            return torch.randn(12), self.targets[place]

    options = options_of("small", "", "", points=POINTS, perplexity=PERPLEXITY)
    shuffled = torch.utils.data.DataLoader(Noisy(), batch_size=16, shuffle=True)
    tapped = Tapped(network(), shuffled, options, "auto", "auto", None, "1 GiB", None)
    first, second = tapped.handover(epoch=0), tapped.handover(epoch=1, first=False)
    for one, other in zip(first.layers, second.layers, strict=True):
        assert one.rows is not None and other.rows is not None and (one.rows == other.rows).all()
    assert first.input is not None and second.input is None
    torch.manual_seed(99)
    again = Tapped(network(), shuffled, options, "auto", "auto", None, "1 GiB", None).handover()
    assert again.input is not None and again.input.rows is not None and first.input.rows is not None
    assert (again.input.rows == first.input.rows).all()  # in another process, too
