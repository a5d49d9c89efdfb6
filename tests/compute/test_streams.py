"""Random streams of training: minibatches of every epoch and run, shuffled labels of every run, are others."""

from __future__ import annotations

import numpy as np
import torch

from embcx_tui.compute.datasets import Dataset, make_dataset
from embcx_tui.compute.training import cohort
from embcx_tui.compute.training.trainer_base import minibatch_order
from embcx_tui.study.plan import make_plan
from embcx_tui.study.settings import validate
from tests.compute.reference_mlp import reference_network

N = 400


def dataset() -> Dataset:
    random = np.random.default_rng(0)
    train, test = (
        (random.integers(0, 255, (n, 4), dtype=np.uint8), random.choice(3, n, p=(0.5, 0.3, 0.2))) for n in (N, 30)
    )
    return make_dataset("mnist", train, test, ("a", "b", "c"), (2, 2, 1))


def test_minibatches_are_shuffled_anew_for_every_epoch_and_run() -> None:
    data = dataset()
    orders = {
        (seed, run, epoch): minibatch_order(data, run, seed, epoch).numpy()
        for seed in (0, 1)
        for run in range(3)
        for epoch in range(4)
    }
    for order in orders.values():
        assert np.array_equal(np.sort(order), np.arange(N)), "each input once"
    assert len({order.tobytes() for order in orders.values()}) == len(orders) == 24
    # Unrelated, not one shuffle moved on: of 400 inputs one on average stands where it stood in another order.
    known = list(orders.values())
    same = [int((one == other).sum()) for place, one in enumerate(known) for other in known[:place]]
    assert np.mean(same) < 2 and max(same) < 10
    assert np.array_equal(orders[0, 1, 2], minibatch_order(data, 1, 0, 2).numpy())


def test_labels_are_permuted_once_per_run() -> None:
    data = dataset()
    settings = validate(
        {
            "data": {"datasets": ["mnist"]},
            "networks": {"depths": [1, 2], "activations": ["tanh", "relu"], "runs": 3},
            "measure": {"controls": ["shuffled"]},
        }
    )
    (asked,) = make_plan(settings).cohorts
    rows, table = cohort.label_table(asked.networks, data, 0)
    assert np.array_equal(table[0], data.y_train) and len(table) == 4
    assert {rows[network.id] for network in asked.networks if network.control is None} == {0}
    by_run = [{rows[one.id] for one in asked.networks if one.control and one.run == run} for run in range(3)]
    assert [len(found) for found in by_run] == [1, 1, 1] and set.union(*by_run) == {1, 2, 3}
    for row in table[1:].numpy():
        assert np.array_equal(np.bincount(row), np.bincount(data.y_train)), "the same labels, in another order"
    # Two independent orders of these labels agree in 0.5² + 0.3² + 0.2² = 38 % of the inputs, give or take 2.4 %.
    every = table.numpy()
    for place, one in enumerate(every):
        for other in every[:place]:
            assert 0.28 < (one == other).mean() < 0.48


def test_accuracies_of_shuffled_controls_are_those_on_true_labels() -> None:
    """By the same networks in plain PyTorch, on all training and on all test inputs."""
    data = dataset()
    settings = validate(
        {
            "data": {"datasets": ["mnist"]},
            "networks": {"depths": [1], "activations": ["tanh"], "runs": 2, "width": 6},
            "measure": {"controls": ["shuffled"]},
        }
    )
    networks = make_plan(settings).cohorts[0].networks
    training = cohort.CohortTraining(networks, data, settings, torch.device("cpu"))
    training.epoch()
    found = training.train_accuracies(), training.test_accuracies()
    for network in networks:
        model = reference_network(training.weights(network), torch.float64)
        for accuracies, x, y in zip(found, (data.x_train, data.x_test), (data.y_train, data.y_test), strict=True):
            rows = torch.from_numpy((x.astype(np.float64) - data.mean) / data.std)
            right = (model(rows).argmax(1).numpy() == y).mean()
            assert abs(accuracies[network.id] - right) < 1.5 / len(y), network.id
