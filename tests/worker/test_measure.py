"""What is recorded of networks and layers, against the same networks in plain PyTorch, and openTSNE's numbers."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from openTSNE.kl_divergence import kl_divergence_exact
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn

from embcx_tui.compute import datasets
from embcx_tui.compute.datasets import Dataset
from embcx_tui.compute.training.network import initial_weights
from embcx_tui.compute.training.trainer_base import minibatch_order
from embcx_tui.store.files import read_arrays
from embcx_tui.store.library import create_study
from embcx_tui.study.plan import Network
from embcx_tui.study.settings import StudySettings, validate
from tests.compute.affinity_reference import opentsne_joint_probabilities
from tests.compute.reference_mlp import reference_network, reference_train
from tests.fake_studies import settings_of
from tests.worker.test_worker import EAGER, run_to_the_end


def test_layers_by_tsne_keep_neighbours_and_shares_of_the_kl_at_the_last_epoch() -> None:
    settings = {
        "name": "near",
        "data": {"datasets": ["digits"], "samples_per_class": 10},
        "networks": {"depths": [1], "activations": ["relu"], "runs": 1, "width": 20},
        "training": {"epochs": 2},
        "measure": {"perplexity": 10, "methods": ["tsne", "pca"], "epochs": [1], "controls": []},
    }
    paths = create_study(validate(settings))
    snapshot = run_to_the_end(paths)
    assert snapshot.state == "complete"
    for (_, method), event in snapshot.measured.items():
        arrays = read_arrays(paths.root, event.file)
        assert set(arrays) == ({"points", "neighbours", "kl"} if method == "tsne" else {"points"})
        if method == "tsne":
            assert arrays["kl"].shape == (100,) and arrays["kl"].sum(dtype=np.float64) == pytest.approx(
                event.kl, abs=1e-6
            )
    # The input is searched from 24 starts of which 4 are left, the hidden layer from 4 of which 2 are.
    searched = {event.layer: (event.starts, len(event.start_kls)) for event in snapshot.measured.values() if event.kl}
    assert searched == {0: (24, 4), 1: (4, 2)}
    assert snapshot.earlier
    assert all(set(read_arrays(paths.root, event.file)) == {"points"} for event in snapshot.earlier.values())
    # The input's activations are the sample: pixels are integers, so many distances are equal.
    (sample,) = snapshot.samples.values()
    rows = np.asarray(read_arrays(paths.root, sample.file)["input"], dtype=np.float64).reshape(100, -1)
    near = read_arrays(paths.root, snapshot.measured["digits-r0-input", "tsne"].file)["neighbours"].astype(int)
    theirs, _ = NearestNeighbors(n_neighbors=10).fit(rows).kneighbors()
    assert near.shape == (100, 10) and (near != np.arange(100)[:, None]).all()
    assert np.allclose(np.linalg.norm(rows[near] - rows[:, None], axis=2), theirs)


# A worker that is slow to publish a file, and says whether each line's file is there when the line is written.
WATCHED = EAGER.replace(
    "from embcx_tui.worker.process",
    """
import time
from embcx_tui.store import files
from embcx_tui.worker import journal
from embcx_tui.worker.journal import Journal
publish, append = files.publish, Journal.append
def publish_slowly(path, data, **how):
    time.sleep(0.1)
    return publish(path, data, **how)
files.publish = journal.publish = publish_slowly
def append_and_look(journal, event):
    if file := getattr(event, "file", None):
        print(event.kind, files.is_intact(journal.paths.root, file), flush=True)
    append(journal, event)
Journal.append = append_and_look
from embcx_tui.worker.process""",
)


def test_no_line_names_a_file_that_is_not_there_yet() -> None:
    paths = create_study(settings_of(networks__activations=["relu"], networks__depths=[1], networks__runs=1))
    worker = subprocess.run([sys.executable, "-c", WATCHED, str(paths.root)], stdout=subprocess.PIPE, text=True)
    assert worker.returncode == 0
    said = [line.split() for line in worker.stdout.splitlines()]
    assert {kind for kind, _ in said} == {"sample", "checkpoint", "trained", "measured"}
    assert {intact for _, intact in said} == {"True"}, said


PERPLEXITY = 10.0


def trained_by_pytorch(network: Network, dataset: Dataset, settings: StudySettings) -> list[nn.Sequential]:
    """Return the network before its training and after each epoch."""
    seed, training = settings.machine.seed, settings.training
    stages = []
    batches: list[Tensor] = []
    for epoch in range(training.epochs + 1):
        # All epochs in one go: a new optimiser would forget its velocities.
        model = reference_network(initial_weights(network, dataset.features, settings.networks.width, 10, seed))
        reference_train(model, dataset, batches, training.learning_rate, training.momentum)
        stages.append(model.double())
        order = minibatch_order(dataset, network.run, seed, epoch)
        batches += [order[at : at + training.batch_size] for at in range(0, len(order), training.batch_size)]
    return stages


def layers_of(model: nn.Sequential, inputs: NDArray[Any], dataset: Dataset) -> list[NDArray[np.float64]]:
    """Return the standardised inputs and the activations of each hidden layer; last of all the outputs."""
    rows = [torch.from_numpy((inputs.reshape(len(inputs), -1).astype(np.float64) - dataset.mean) / dataset.std)]
    with torch.no_grad():
        for linear, *activation in (model[at : at + 2] for at in range(0, len(model), 2)):
            rows.append(nn.Sequential(linear, *activation)(rows[-1]))
    return [layer.numpy() for layer in rows]


def test_every_score_is_that_of_its_layer_of_its_network_on_its_sample() -> None:
    """Trained, untrained and after an epoch: each recorded KL is that of the points in the file for that layer's P, and
    for no other's. Accuracies and predictions likewise.
    """
    settings = validate(
        {
            "name": "scores",
            "data": {"datasets": ["digits"], "samples_per_class": 15},
            "networks": {"depths": [3], "activations": ["tanh"], "runs": 1, "width": 20},
            "training": {"epochs": 2},
            "measure": {"perplexity": PERPLEXITY, "epochs": [1], "metrics": []},
        }
    )
    paths = create_study(settings)
    snapshot = run_to_the_end(paths)
    assert snapshot.state == "complete"
    dataset = datasets.load("digits", paths.root, paths.root)
    network, untrained = snapshot.plan.networks
    (sample,) = snapshot.samples.values()
    arrays = read_arrays(paths.root, sample.file)
    inputs, labels = arrays["input"], arrays["label"]
    # The sample is what its indices say: of training inputs, fifteen of each class.
    assert np.array_equal(inputs, dataset.x_train[arrays["index"]]) and len(set(arrays["index"])) == 150
    assert np.array_equal(labels, dataset.y_train[arrays["index"]]) and set(np.bincount(labels)) == {15}

    stages = trained_by_pytorch(network, dataset, settings)
    joints = [
        [opentsne_joint_probabilities(layer, PERPLEXITY) for layer in layers_of(model, inputs, dataset)[:-1]]
        for model in stages
    ]
    scored = {
        (stage, layer): event
        for stage, events in (
            (0, [snapshot.layer(untrained, layer) for layer in range(4)]),
            (1, [None, *(snapshot.earlier.get((f"{network.id}-l{layer}", 1)) for layer in range(1, 4))]),
            (2, [snapshot.layer(network, layer) for layer in range(4)]),
        )
        for layer, event in enumerate(events)
        if event
    }
    assert len(scored) == 11
    for (stage, layer), event in scored.items():
        points = read_arrays(paths.root, event.file)["points"].astype(np.float64)
        assert event.kl is not None and event.points == 150 and event.layer == layer
        kls = {
            (other, place): kl_divergence_exact(joint, points)
            for other, row in enumerate(joints)
            for place, joint in enumerate(row)
            if place or other == stage
        }
        assert abs(kls.pop((stage, layer)) / event.kl - 1) < 1e-3, (stage, layer)
        assert min(abs(kl / event.kl - 1) for kl in kls.values()) > 0.01, (stage, layer)

    for stage, one in ((0, untrained), (2, network)):
        record = snapshot.trained[one.id]
        predicted = read_arrays(paths.root, record.file)["predicted"]
        assert (predicted == layers_of(stages[stage], inputs, dataset)[-1].argmax(axis=1)).mean() > 0.99
        for share, x, y in (
            (record.train_accuracy, dataset.x_train, dataset.y_train),
            (record.test_accuracy, dataset.x_test, dataset.y_test),
        ):
            right = (layers_of(stages[stage], x, dataset)[-1].argmax(axis=1) == y).mean()
            assert share is not None and abs(share - right) < 2 / len(y), (stage, len(y))
    # What always naming the largest class of the test set would score.
    assert snapshot.datasets["digits"].chance == np.unique(dataset.y_test, return_counts=True)[1].max() / 360
