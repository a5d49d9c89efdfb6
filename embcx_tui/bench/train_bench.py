"""`bench train`: seconds a network-epoch, a cohort beside the plain PyTorch loop, and that both learn the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Any

import torch

from embcx_tui.bench.machine import Say, describe_machine, first_calls, idle_ratio, with_peak
from embcx_tui.bench.reference import LoopSetting, PlainLoop, loop_settings
from embcx_tui.bench.workloads import choose_dataset, start
from embcx_tui.compute.datasets import Dataset
from embcx_tui.compute.device import choose_device
from embcx_tui.compute.memory import free_bytes, memory_estimate
from embcx_tui.compute.samples import run_sample
from embcx_tui.compute.timing import Timing, medians, timed
from embcx_tui.compute.training.cohort import CohortTraining
from embcx_tui.compute.training.network import forward
from embcx_tui.compute.tsne.complexity import measure
from embcx_tui.compute.tsne.result import Measurement
from embcx_tui.study.plan import Network
from embcx_tui.study.settings import ACTIVATIONS, StudySettings
from embcx_tui.worker.calibrate import cohort, settings_for

RUNS = 5
DEPTH = 5
# Cohorts of 1, 4, 20 and 40 networks: activations × runs.
COHORTS = ((1, 1), (4, 1), (4, RUNS), (4, 2 * RUNS))
# Steps of one measurement: a fifth of an epoch of MNIST, long enough that starting threads does not count.
STEPS, QUICK_STEPS = 100, 5
ROUNDS, QUICK_ROUNDS = 5, 1
# Equal training, to compare what is learnt: inputs, epochs, runs, points a class that are embedded.
LEARNING, QUICK_LEARNING = (10_000, 3, RUNS, 100), (500, 2, 1, 12)


class PartialEpochs(CohortTraining):
    """A cohort whose epochs end after `part` minibatches: the data, and so the memory traffic, stay those of all."""

    part = STEPS

    @property
    def steps(self) -> int:
        return min(self.part, super().steps)


def without_test(dataset: Dataset) -> Dataset:
    """Return `dataset` with a single test input, so that an epoch's time is that of its steps."""
    return replace(dataset, x_test=dataset.x_test[:1], y_test=dataset.y_test[:1])


@dataclass(frozen=True, slots=True)
class Loop:
    """The plain loop at its best setting, and what was tried."""

    plain: PlainLoop
    setting: LoopSetting
    tried: list[dict[str, Any]]


class TrainBench:
    """One run of `bench train` on `device`; `quick` is a check that it works: its ratio says little."""

    def __init__(self, quick: bool, device: torch.device, say: Say) -> None:
        self._quick = quick
        self._device = device
        self._say = say
        self._steps = QUICK_STEPS if quick else STEPS

    def run(self) -> dict[str, Any]:
        """Return the whole result, as docs/bench.md lists it."""
        machine = describe_machine(self._device)
        self._say("loading the data")
        dataset = choose_dataset(self._quick)
        settings = self._settings(dataset, 4, 1 if self._quick else RUNS)
        training = self._cohort(dataset, settings)
        loop = self._loop(dataset, training)
        ours, theirs = self._compare(dataset, training, loop)
        learnt = self._agreement(dataset, loop.setting)
        how = "in one step" if self._device.type == "cuda" else f"each on a core, {torch.get_num_threads()} at a time,"
        names = "logsig, tanh, softsign, relu"
        result: dict[str, Any] = {
            "ratio": theirs.seconds / ours.seconds,
            "cpu_ratio": theirs.cpu_seconds / ours.cpu_seconds,
            "idle_ratio": idle_ratio(theirs, loop.setting.threads, ours, torch.get_num_threads())
            if self._device.type == "cpu"
            else None,
            "ours": {
                "name": "cohort",
                "seconds": ours.seconds,
                "cpu_seconds": ours.cpu_seconds,
                "test_accuracy": learnt["test_accuracy"]["ours"],
                "exact_kl": learnt["exact_kl"]["ours"],
                "settings": f"{len(training.networks)} networks, {how} on {self._device}",
            },
            "reference": {
                "name": f"plain PyTorch loop, torch {torch.__version__}",
                "seconds": theirs.seconds,
                "cpu_seconds": theirs.cpu_seconds,
                "test_accuracy": learnt["test_accuracy"]["reference"],
                "exact_kl": learnt["exact_kl"]["reference"],
                "settings": f"{loop.setting.words}, data resident in float32, one network after another",
            },
            "machine": machine,
            "material": f"{dataset.name}, {len(dataset.x_train):,} inputs, {DEPTH} layers of 100 units ({names})"
            f", batches of 100; seconds a network and epoch, from {self._steps} steps of it",
            "agreement": learnt,
            "settings_tried": loop.tried,
            "rows": self._rows(dataset, loop),
            "memory": {"reference": self._plain_peak},
            "first_call": self._first_call(),
        }
        machine["load_after"] = describe_machine(self._device)["load"]
        return result

    def _settings(self, dataset: Dataset, activations: int, runs: int) -> StudySettings:
        return settings_for(dataset.name, depths=(DEPTH,), activations=ACTIVATIONS[-activations:], runs=runs)

    def _cohort(self, dataset: Dataset, settings: StudySettings) -> CohortTraining:
        whole = cohort(without_test(dataset), settings, self._device)
        training = PartialEpochs(whole.networks, whole.dataset, settings, self._device)
        training.part = self._steps
        return training

    def _per_network_epoch(self, dataset: Dataset, timing: Timing, networks: int, steps: int) -> Timing:
        whole = -(-len(dataset.x_train) // 100)
        return timing.per(networks * steps / whole)

    def _ours(self, dataset: Dataset, training: CohortTraining) -> Timing:
        return self._per_network_epoch(dataset, timed(training.epoch)[1], len(training.networks), training.steps)

    def _plain(
        self, dataset: Dataset, training: CohortTraining, plain: PlainLoop, network: Network, setting: LoopSetting
    ) -> Timing:
        weights = start(network, dataset, training.settings)
        minibatches = [training.minibatch(network.run, step) for step in range(training.steps)]
        timing = plain.train(weights, minibatches, setting).timing
        return self._per_network_epoch(dataset, timing, 1, len(minibatches))

    def _loop(self, dataset: Dataset, training: CohortTraining) -> Loop:
        """Return the plain loop with the setting that is fastest here on relu, best of two."""
        plain, self._plain_peak = with_peak(
            lambda: PlainLoop(without_test(dataset), training.settings.training, self._device)
        )
        relu = next(one for one in training.networks if one.activation == "relu")
        fastest: dict[LoopSetting, Timing] = {}
        for number in range(1 if self._quick else 3):
            for setting in loop_settings(self._device):
                best = min((timing.seconds for timing in fastest.values()), default=float("inf"))
                if setting in fastest and fastest[setting].seconds > 1.5 * best:
                    continue
                self._say(f"plain loop: {setting.words}")
                timing = self._plain(dataset, training, plain, relu, setting)
                # The first round warms up.
                if number <= 1 or timing.seconds < fastest[setting].seconds:
                    fastest[setting] = timing
        tried = [
            {"settings": setting.words, "seconds": timing.seconds, "cpu_seconds": timing.cpu_seconds}
            for setting, timing in fastest.items()
        ]
        return Loop(plain, min(fastest, key=lambda setting: fastest[setting].seconds), tried)

    def _compare(self, dataset: Dataset, training: CohortTraining, loop: Loop) -> tuple[Timing, Timing]:
        """Time the cohort, then one plain network of each activation, again and again: drift hits both."""
        of_each = [next(one for one in training.networks if one.activation == name) for name in ACTIVATIONS]
        self._ours(dataset, training)  # buffers are allocated, a graph is captured
        ours, theirs = [], []
        for number in range(QUICK_ROUNDS if self._quick else ROUNDS):
            self._say(f"round {number + 1}: cohort of {len(training.networks)}, then the plain loop")
            ours.append(self._ours(dataset, training))
            times = [self._plain(dataset, training, loop.plain, network, loop.setting) for network in of_each]
            theirs.append(Timing(fmean(t.seconds for t in times), fmean(t.cpu_seconds for t in times)))
        return medians(ours), medians(theirs)

    def _agreement(self, dataset: Dataset, setting: LoopSetting) -> dict[str, Any]:
        inputs, epochs, runs, per_class = QUICK_LEARNING if self._quick else LEARNING
        self._say(f"accuracy and KL after {epochs} epochs on {inputs:,} inputs, both sides")
        small = shortened(dataset, inputs)
        return agreement(small, setting, DEPTH, runs, epochs, per_class, self._device)

    def _first_call(self) -> dict[str, float] | None:
        if self._quick or self._device.type != "cpu":
            return None
        self._say("first call: compiling, then from the cache")
        return first_calls("training")

    def _rows(self, dataset: Dataset, loop: Loop) -> list[dict[str, Any]]:
        """Time cohorts of growing size, with their memory; the plain loop trains one network at a time."""
        rows = []
        for activations, runs in COHORTS[:2] if self._quick else COHORTS:
            settings = self._settings(dataset, activations, runs)
            self._say(f"a cohort of {activations * runs}")
            training, peak = with_peak(lambda settings=settings: self._warm(dataset, settings))  # type: ignore[misc]
            timing = medians([self._ours(dataset, training) for _ in range(1 if self._quick else 3)])
            rows.append(
                {
                    "networks": len(training.networks),
                    "seconds": timing.seconds,
                    "cpu_seconds": timing.cpu_seconds,
                    "peak_memory": peak,
                    "estimated_memory": memory_estimate(training.networks, dataset, settings),
                    "free_memory": free_bytes(self._device),
                }
            )
        return rows

    def _warm(self, dataset: Dataset, settings: StudySettings) -> CohortTraining:
        training = self._cohort(dataset, settings)
        training.epoch()
        return training


def bench_train(quick: bool, device: str, say: Say) -> dict[str, Any]:
    """Return the result of `bench train` on `device` ("auto", "cpu", "cuda", …); RequestError where it is not there."""
    return TrainBench(quick, choose_device(device), say).run()


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
        training.forward(network, dataset.x_train[samples[network.run]]).activations()[-1] for network in networks
    ]
    plain = PlainLoop(dataset, settings.training, device)
    theirs = [plain.train(start(network, dataset, settings), minibatches[network.run], setting) for network in networks]
    for network, result in zip(networks, theirs, strict=True):
        x = torch.from_numpy(dataset.inputs(samples[network.run])).to(device)
        layers.append(forward(result.weights, x).activations()[-1])
    measurement = Measurement(perplexity=30.0, device=str(device))
    measured = dict(measure(layers, [0] * len(layers), measurement))
    kls = [measured[index].kl for index in range(len(layers))]
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
