"""What is measured on, and beside what: the pieces of a benchmark against other ways to the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from embcx_tui.bench import machine
from embcx_tui.bench.paper_bench import PARTS, breakdown
from embcx_tui.bench.reference import LibrarySetting, LoopSetting, PlainLoop, library_embed
from embcx_tui.bench.train_bench import PartialEpochs
from embcx_tui.bench.workloads import Trained, choose_dataset
from embcx_tui.compute.training.network import initial_weights
from embcx_tui.compute.training.trainer_cpu import NetworkTrainer
from embcx_tui.compute.tsne.kl_divergence import exact_kl
from embcx_tui.study.settings import load_preset
from embcx_tui.worker.calibrate import cohort, noise_dataset, settings_for
from tests.compute.affinity_reference import joint_probabilities
from tests.compute.reference_mlp import reference_network, reference_train

CPU = torch.device("cpu")


def test_the_plain_loop_is_the_plain_loop_of_the_tests() -> None:
    dataset = choose_dataset(quick=True)
    settings = settings_for("digits", depths=(2,), activations=("tanh",), runs=1, width=30)
    training = cohort(dataset, settings, CPU)
    network = training.networks[0]
    weights = initial_weights(network, dataset.features, 30, 10, 0)
    minibatches = [training.minibatch(0, step) for step in range(10)]
    loop = PlainLoop(dataset, settings.training, CPU)
    accuracies = {
        loop.train(weights, minibatches, LoopSetting(1, form)).test_accuracy
        for form in ("for loop", "foreach", "fused")
    }
    model = reference_network(weights)
    reference_train(model, dataset, minibatches, settings.training.learning_rate, settings.training.momentum)
    x = torch.from_numpy(dataset.standardised(dataset.x_test))
    right = (model(x).argmax(1).numpy() == dataset.y_test).mean()
    assert all(accuracy == pytest.approx(right, abs=0.003) for accuracy in accuracies)


def test_opentsne_is_called_as_it_calls_itself() -> None:
    rows = Trained(choose_dataset(quick=True), quick=True, device=CPU).subjects(20)[1].rows
    points = library_embed(rows, LibrarySetting("bh", 1), 30.0)
    joint = joint_probabilities(rows)
    from openTSNE import TSNE

    own = np.asarray(TSNE(n_jobs=1, negative_gradient_method="bh", random_state=0).fit(rows.astype(np.float64)))
    assert exact_kl(joint, points) == pytest.approx(exact_kl(joint, own))


def test_layers_are_those_of_one_network_in_order() -> None:
    trained = Trained(choose_dataset(quick=True), quick=True, device=CPU)
    subjects = trained.subjects(10)
    assert [one.name for one in subjects] == ["input", "trained 1", "trained 2", "untrained 1", "untrained 2"]
    assert [one.rows.shape for one in subjects] == [(100, 64), *[(100, 20)] * 4]
    assert "digits" in trained.words


def test_a_partial_epoch_takes_its_steps_of_all_data() -> None:
    dataset = choose_dataset(quick=True)
    settings = settings_for("digits", depths=(1,), runs=1)
    whole = cohort(dataset, settings, CPU)
    part = PartialEpochs(whole.networks, dataset, settings, CPU)
    part.part = 3
    part.epoch()
    for step in range(3):
        whole.step(step)
    for network in whole.networks:
        for one, other in zip(part.weights(network).matrices, whole.weights(network).matrices, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_made_up_data_has_the_real_sizes() -> None:
    data = noise_dataset("svhn", n_train=30, n_test=20)
    assert (data.features, len(data.x_train), len(data.x_test), len(data.classes)) == (3072, 30, 20, 10)


def test_the_breakdown_is_of_a_real_study_and_records_nothing_afterwards() -> None:
    train = NetworkTrainer.train
    demo = load_preset("demo").settings
    settings = demo.model_copy(
        update={
            "networks": demo.networks.model_copy(update={"runs": 1, "depths": (1,), "activations": ("relu",)}),
            "training": demo.training.model_copy(update={"epochs": 1}),
            "data": demo.data.model_copy(update={"samples_per_class": 12}),
        }
    )
    timing, parts = breakdown(settings)
    assert NetworkTrainer.train is train
    assert timing.seconds > 0 and [part["part"] for part in parts] == list(PARTS)
    assert all(part["seconds"] > 0 for part in parts)
    assert sum(part["share"] for part in parts) == pytest.approx(1.0)


def test_a_peak_is_that_of_the_work() -> None:
    _, before = machine.with_peak(lambda: None)
    _, peak = machine.with_peak(lambda: np.ones(20_000_000).sum())
    _, after = machine.with_peak(lambda: None)
    assert peak - before > 100e6 and after < peak
