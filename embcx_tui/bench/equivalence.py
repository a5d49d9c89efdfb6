"""That the cohort and the plain loop learn the same: equal training of both, accuracies and complexities compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, stdev
from typing import Any

import torch

from embcx_tui.bench.reference import LoopSetting, PlainLoop
from embcx_tui.bench.workloads import start
from embcx_tui.compute.datasets import Dataset
from embcx_tui.compute.samples import run_sample
from embcx_tui.compute.training.network import forward
from embcx_tui.compute.tsne.complexity import measure
from embcx_tui.compute.tsne.result import Measurement
from embcx_tui.worker.calibrate import cohort, settings_for

PERPLEXITY = 30.0


def agreement(
    dataset: Dataset, setting: LoopSetting, depth: int, runs: int, epochs: int, per_class: int, device: torch.device
) -> dict[str, Any]:
    """Train networks of four activations and `runs` runs on both sides, from the same weights on the same minibatches.

    Returns the mean test accuracies and the mean exact KL of the last hidden layer (`per_class` points a class), each
    as `ours`, `reference`, `difference` (mean of ours less theirs) and `standard_error` of that difference. Two float32
    courses part after some hundred steps, as two runs of one program on two machines do: what must not differ is the
    mean.
    """
    settings = settings_for(dataset.name, depths=(depth,), runs=runs)
    training = cohort(dataset, settings, device)
    networks = training.networks
    minibatches: dict[int, list[torch.Tensor]] = {network.run: [] for network in networks}
    for _ in range(epochs):
        for run, batches in minibatches.items():
            batches += [training.minibatch(run, step) for step in range(training.steps)]
        training.epoch()
    accuracies = training.test_accuracies()
    samples = {run: run_sample(dataset, per_class, 0, run) for run in minibatches}
    layers = [
        training.measure(network, dataset.x_train[samples[network.run]]).activations()[-1] for network in networks
    ]
    plain = PlainLoop(dataset, settings.training, device)
    theirs = [plain.train(start(network, dataset, settings), minibatches[network.run], setting) for network in networks]
    for network, result in zip(networks, theirs, strict=True):
        x = torch.from_numpy(dataset.inputs(samples[network.run])).to(device)
        layers.append(forward(result.weights, x).activations()[-1])
    measurement = Measurement(perplexity=PERPLEXITY, device=str(device))
    found = dict(measure(layers, [0] * len(layers), measurement))
    kls = [found[place].kl for place in range(len(layers))]
    return {
        "what": f"{len(networks)} networks of {depth} layers, four activations, {epochs} epochs on "
        f"{len(dataset.x_train):,} inputs; same weights, same minibatches",
        "test_accuracy": _compared(
            [accuracies[network.id] for network in networks], [result.test_accuracy for result in theirs]
        ),
        "exact_kl": _compared(kls[: len(networks)], kls[len(networks) :]),
    }


def shortened(dataset: Dataset, inputs: int) -> Dataset:
    """Return `dataset` with its first `inputs` training inputs."""
    return replace(dataset, x_train=dataset.x_train[:inputs], y_train=dataset.y_train[:inputs])


def _compared(ours: Sequence[float | None], theirs: Sequence[float | None]) -> dict[str, float]:
    """Compare what both sides have: a dead layer has no KL."""
    pairs = [(one, other) for one, other in zip(ours, theirs, strict=True) if one is not None and other is not None]
    differences = [one - other for one, other in pairs]
    return {
        "ours": fmean(one for one, _ in pairs),
        "reference": fmean(other for _, other in pairs),
        "difference": fmean(differences),
        "standard_error": stdev(differences) / len(differences) ** 0.5,
    }
