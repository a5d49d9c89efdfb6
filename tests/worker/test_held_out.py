"""Layers measured on test inputs, as a study of its own and as a control: real workers, checked by other means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from embcx_tui.analysis.selection import select
from embcx_tui.analysis.trend import control_differences
from embcx_tui.compute import datasets
from embcx_tui.compute.training.cohort import CohortTraining
from embcx_tui.store.files import read_arrays
from embcx_tui.store.library import create_study
from embcx_tui.store.paths import StudyPaths
from embcx_tui.store.snapshot import Snapshot
from embcx_tui.study.plan import make_plan
from embcx_tui.study.settings import StudySettings, validate
from embcx_tui.worker.pending import is_whole
from tests.compute.affinity_reference import opentsne_joint_probabilities
from tests.worker.test_worker import run_to_the_end

PERPLEXITY = 10.0


def settings(sample_from: str, **training: Any) -> StudySettings:
    return validate(
        {
            "name": sample_from,
            "data": {"datasets": ["digits"], "samples_per_class": 15, "sample_from": sample_from},
            "networks": {"depths": [2], "activations": ["tanh", "relu"], "runs": 2, "width": 20},
            "training": {"epochs": 4, **training},
            "measure": {"perplexity": PERPLEXITY, "metrics": []},
        }
    )


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[StudyPaths, Snapshot]]:
    """The same networks with samples of training inputs, of test inputs, and of both."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMBCX_HOME", str(tmp_path_factory.mktemp("held-out")))
        found = {}
        for source in ("train", "test", "both"):
            paths = create_study(settings(source))
            snapshot = run_to_the_end(paths)
            assert snapshot.state == "complete", [str(line) for line in snapshot.log]
            found[source] = paths, snapshot
        return found


def scores(snapshot: Snapshot, control: str | None) -> dict[tuple[Any, ...], float | None]:
    return {
        (network.activation, network.run, layer): measured.kl
        for network in snapshot.plan.networks
        if network.control == control
        for layer in range(3)
        if (measured := snapshot.layer(network, layer))
    }


def test_the_control_has_the_numbers_of_a_study_on_test_inputs(
    studies: dict[str, tuple[StudyPaths, Snapshot]],
) -> None:
    (_, train), (_, test), (_, both) = studies["train"], studies["test"], studies["both"]
    assert len(scores(both, "held-out")) == 12
    assert scores(both, "held-out") == scores(test, None)
    assert scores(both, None) == scores(train, None)
    assert scores(both, "untrained") == scores(train, "untrained")
    assert all(scores(test, None)[key] != kl for key, kl in scores(train, None).items())


def test_layers_are_those_of_the_final_weights_on_balanced_test_inputs(
    studies: dict[str, tuple[StudyPaths, Snapshot]],
) -> None:
    paths, snapshot = studies["both"]
    data = datasets.load("digits", paths.root, paths.root)
    plan = make_plan(snapshot.plan.settings)
    training = CohortTraining(
        [network for network in plan.networks if network.control is None], data, plan.settings, torch.device("cpu")
    )
    for _ in range(plan.settings.training.epochs):
        training.epoch()
    for network in (network for network in plan.networks if network.control == "held-out"):
        sample = snapshot.sample(network)
        assert sample is not None and sample.source == "test"
        drawn = read_arrays(paths.root, sample.file)
        assert np.array_equal(drawn["input"], data.x_test[drawn["index"]])
        assert np.array_equal(drawn["label"], data.y_test[drawn["index"]])
        assert np.array_equal(np.bincount(drawn["label"]), [15] * 10)
        sibling = plan.network_by_id[network.trained_id]
        weights = training.weights(sibling)
        rows: NDArray[np.float64] = (drawn["input"].astype(np.float64) - data.mean) / data.std
        act = np.tanh if network.activation == "tanh" else lambda x: np.maximum(x, 0)
        for layer in range(3):
            if layer:
                matrix, bias = (
                    part[layer - 1].numpy().astype(np.float64) for part in (weights.matrices, weights.biases)
                )
                rows = act(rows @ matrix.T + bias)
            measured = snapshot.layer(network, layer)
            assert measured is not None and measured.kl is not None
            points = read_arrays(paths.root, measured.file)["points"].astype(np.float64)
            assert measured.kl == pytest.approx(divergence(rows, points), rel=2e-4)
        state, twin = snapshot.networks[network.id], snapshot.networks[sibling.id]
        assert (state.train_accuracy, state.test_accuracy) == (twin.train_accuracy, twin.test_accuracy)
        assert state.status == "measured" and state.epochs == 4


def divergence(rows: NDArray[np.float64], points: NDArray[np.float64]) -> float:
    """Return KL(P‖Q) with openTSNE's P of `rows`, by its definition."""
    joint = opentsne_joint_probabilities(rows, PERPLEXITY)
    weights = 1 / (1 + np.square(points[:, None] - points[None]).sum(-1))
    np.fill_diagonal(weights, 0)
    near = joint > 0
    return float((joint[near] * np.log(joint[near] / (weights / weights.sum())[near])).sum())


def test_differences_from_the_control_are_those_of_the_same_weights(
    studies: dict[str, tuple[StudyPaths, Snapshot]],
) -> None:
    _, snapshot = studies["both"]
    found = [
        one for one in control_differences(select(snapshot)) if one.architecture.control == "held-out"
    ]  # fmt: skip
    assert len(found) == 4
    for one in found:
        keys = [(one.architecture.activation, run, one.layer) for run in range(2)]
        trained, held_out = (
            np.array([scores(snapshot, control)[key] for key in keys], float) for control in (None, "held-out")
        )
        assert one.difference == pytest.approx((trained - held_out).mean())


def test_a_network_that_diverges_is_measured_on_no_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBCX_HOME", str(tmp_path))
    # Seven layers of relu overflow at this learning rate.
    values = settings("both", learning_rate=1.0).model_dump(mode="json")
    values["networks"] |= {"depths": [7], "activations": ["relu"], "width": 100, "runs": 1}
    paths = create_study(validate(values))
    snapshot = run_to_the_end(paths)
    diverged = {name for name in snapshot.diverged if not name.endswith("-held-out")}
    assert diverged and set(snapshot.diverged) == diverged | {f"{name}-held-out" for name in diverged}
    assert snapshot.state == "complete" and is_whole(paths, snapshot)


def test_lost_results_of_the_control_are_made_again(
    tmp_path: Path, studies: dict[str, tuple[StudyPaths, Snapshot]]
) -> None:
    paths, snapshot = studies["both"]
    lost = [
        file
        for name, file in {event.layer_id: event.file for event in snapshot.measured.values()}.items()
        if "held-out" in name
    ]
    assert len(lost) == 10
    for file in lost:
        (paths.root / file.name).unlink()
    assert not is_whole(paths, snapshot)
    again = run_to_the_end(paths)
    assert is_whole(paths, again)
    assert scores(again, "held-out") == scores(snapshot, "held-out")
