"""`bench train`: seconds a network-epoch, a cohort beside the plain PyTorch loop, and that both learn the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, stdev

import torch

from embcx_tui.bench.machine import Say, clock, describe_machine, first_calls, idle_ratio, mean_time, with_peak
from embcx_tui.bench.reference import LoopSetting, PlainLoop, loop_settings
from embcx_tui.bench.results import Agreement, CohortRow, Difference, TrainResult, Trial
from embcx_tui.bench.workloads import choose_dataset, start
from embcx_tui.compute.datasets import Dataset
from embcx_tui.compute.memory import free_bytes, memory_estimate
from embcx_tui.compute.samples import run_sample
from embcx_tui.compute.timing import Timing, medians, timed
from embcx_tui.compute.training.cohort import CohortTraining
from embcx_tui.compute.training.network import forward
from embcx_tui.compute.tsne.complexity import measure
from embcx_tui.compute.tsne.result import Measurement
from embcx_tui.study.plan import Network
from embcx_tui.study.settings import ACTIVATIONS
from embcx_tui.worker.calibrate import cohort, settings_for

RUNS = 5
DEPTH = 5
# Cohorts of 1, 4, 20 and 40 networks: activations × runs.
COHORTS = ((1, 1), (4, 1), (4, RUNS), (4, 2 * RUNS))
# Steps of one measurement: a fifth of an epoch of MNIST, long enough that starting threads does not count.
STEPS, QUICK_STEPS = 100, 5
ROUNDS, QUICK_ROUNDS = 5, 1
# Equal training, to compare what is learnt: inputs, epochs, runs, points per class that are embedded.
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


class TrainBench:
    """One run of `bench train` on `device`; `quick` is a check that it works: its ratio says little."""

    def __init__(self, quick: bool, device: torch.device, say: Say) -> None:
        self._quick = quick
        self._device = device
        self._say = say
        self._steps = QUICK_STEPS if quick else STEPS

    def run(self) -> TrainResult:
        """Return the whole result, as docs/bench.md lists it."""
        machine = describe_machine(self._device)
        self._say("loading the data")
        self._dataset = choose_dataset(self._quick)
        training = self._cohort(4, 1 if self._quick else RUNS)
        self._plain, plain_peak = with_peak(
            lambda: PlainLoop(without_test(self._dataset), training.settings.training, self._device)
        )
        setting, tried = self._best_setting(training)
        ours, theirs = self._compare(training, setting)
        learnt = self._agreement(setting)
        threads = torch.get_num_threads()
        on_cpu = self._device.type == "cpu"
        how = "in one step" if self._device.type == "cuda" else f"each on a core, {threads} at a time,"
        names = "logsig, tanh, softsign, relu"
        return {
            "ratio": theirs.seconds / ours.seconds,
            "cpu_ratio": theirs.cpu_seconds / ours.cpu_seconds,
            "idle_ratio": idle_ratio(theirs, setting.threads, ours, threads) if on_cpu else None,
            "ours": {
                "name": "cohort",
                **clock(ours),
                "test_accuracy": learnt["test_accuracy"]["ours"],
                "exact_kl": learnt["exact_kl"]["ours"],
                "settings": f"{len(training.networks)} networks, {how} on {self._device}",
            },
            "reference": {
                "name": f"plain PyTorch loop, torch {torch.__version__}",
                **clock(theirs),
                "test_accuracy": learnt["test_accuracy"]["reference"],
                "exact_kl": learnt["exact_kl"]["reference"],
                "settings": f"{setting.words}, data resident in float32, one network after another",
            },
            "machine": machine,
            "material": f"{self._dataset.name}, {len(self._dataset.x_train):,} inputs, {DEPTH} layers of 100 units "
            f"({names}), batches of 100; seconds a network and epoch, from {self._steps} steps of it",
            "agreement": learnt,
            "settings_tried": tried,
            "rows": self._rows(),
            "memory": {"reference": plain_peak},
            "first_call": first_calls("training", self._say) if on_cpu and not self._quick else None,
        }

    def _cohort(self, activations: int, runs: int) -> CohortTraining:
        settings = settings_for(self._dataset.name, depths=(DEPTH,), activations=ACTIVATIONS[-activations:], runs=runs)
        whole = cohort(without_test(self._dataset), settings, self._device)
        training = PartialEpochs(whole.networks, whole.dataset, settings, self._device)
        training.part = self._steps
        return training

    def _per_network_epoch(self, timing: Timing, networks: int, steps: int) -> Timing:
        whole = -(-len(self._dataset.x_train) // 100)
        return timing.per(networks * steps / whole)

    def _ours(self, training: CohortTraining) -> Timing:
        return self._per_network_epoch(timed(training.epoch)[1], len(training.networks), training.steps)

    def _theirs(self, training: CohortTraining, network: Network, setting: LoopSetting) -> Timing:
        weights = start(network, self._dataset, training.settings)
        minibatches = [training.minibatch(network.run, step) for step in range(training.steps)]
        timing = self._plain.train(weights, minibatches, setting).timing
        return self._per_network_epoch(timing, 1, len(minibatches))

    def _best_setting(self, training: CohortTraining) -> tuple[LoopSetting, list[Trial]]:
        """Return the plain loop's setting that is fastest here on relu, best of two, and what was tried."""
        relu = next(one for one in training.networks if one.activation == "relu")
        fastest: dict[LoopSetting, Timing] = {}
        for number in range(1 if self._quick else 3):
            for setting in loop_settings(self._device):
                best = min((timing.seconds for timing in fastest.values()), default=float("inf"))
                if setting in fastest and fastest[setting].seconds > 1.5 * best:
                    continue
                self._say(f"plain loop: {setting.words}")
                timing = self._theirs(training, relu, setting)
                # The first round warms up.
                if number <= 1 or timing.seconds < fastest[setting].seconds:
                    fastest[setting] = timing
        tried: list[Trial] = [{"settings": setting.words, **clock(timing)} for setting, timing in fastest.items()]
        return min(fastest, key=lambda setting: fastest[setting].seconds), tried

    def _compare(self, training: CohortTraining, setting: LoopSetting) -> tuple[Timing, Timing]:
        """Time the cohort, then one plain network of each activation, again and again: drift hits both."""
        of_each = [next(one for one in training.networks if one.activation == name) for name in ACTIVATIONS]
        self._ours(training)  # buffers are allocated, a graph is captured
        ours, theirs = [], []
        for number in range(QUICK_ROUNDS if self._quick else ROUNDS):
            self._say(f"round {number + 1}: cohort of {len(training.networks)}, then the plain loop")
            ours.append(self._ours(training))
            theirs.append(mean_time([self._theirs(training, network, setting) for network in of_each]))
        return medians(ours), medians(theirs)

    def _agreement(self, setting: LoopSetting) -> Agreement:
        """Train networks of four activations on both sides, from the same weights on the same minibatches.

        Compares the mean test accuracies and the mean exact KL of the last hidden layer. Two float32 courses part after
        some hundred steps, as two runs of one program on two machines do: what must not differ is the mean.
        """
        inputs, epochs, runs, per_class = QUICK_LEARNING if self._quick else LEARNING
        self._say(f"accuracy and KL after {epochs} epochs on {inputs:,} inputs, both sides")
        whole = self._dataset
        dataset = replace(whole, x_train=whole.x_train[:inputs], y_train=whole.y_train[:inputs])
        settings = settings_for(dataset.name, depths=(DEPTH,), runs=runs)
        training = cohort(dataset, settings, self._device)
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
        plain = PlainLoop(dataset, settings.training, self._device)
        theirs = [
            plain.train(start(network, dataset, settings), minibatches[network.run], setting) for network in networks
        ]
        for network, result in zip(networks, theirs, strict=True):
            x = torch.from_numpy(dataset.inputs(samples[network.run])).to(self._device)
            layers.append(forward(result.weights, x).activations()[-1])
        measurement = Measurement(perplexity=30.0, device=str(self._device))
        measured = dict(measure(layers, [0] * len(layers), measurement))
        kls = [measured[index].kl for index in range(len(layers))]
        return {
            "what": f"{len(networks)} networks of {DEPTH} layers, four activations, {epochs} epochs on "
            f"{len(dataset.x_train):,} inputs; same weights, same minibatches",
            "test_accuracy": _compared(
                [accuracies[network.id] for network in networks], [result.test_accuracy for result in theirs]
            ),
            "exact_kl": _compared(kls[: len(networks)], kls[len(networks) :]),
        }

    def _rows(self) -> list[CohortRow]:
        """Time cohorts of growing size, with their memory; the plain loop trains one network at a time."""
        rows: list[CohortRow] = []
        for activations, runs in COHORTS[:2] if self._quick else COHORTS:
            self._say(f"a cohort of {activations * runs}")

            def warm(activations: int = activations, runs: int = runs) -> CohortTraining:
                training = self._cohort(activations, runs)
                training.epoch()
                return training

            training, peak = with_peak(warm)
            timing = medians([self._ours(training) for _ in range(1 if self._quick else 3)])
            rows.append(
                {
                    "networks": len(training.networks),
                    **clock(timing),
                    "peak_memory": peak,
                    "estimated_memory": memory_estimate(training.networks, self._dataset, training.settings),
                    "free_memory": free_bytes(self._device),
                }
            )
        return rows


def _compared(ours: Sequence[float | None], theirs: Sequence[float | None]) -> Difference:
    """Compare what both sides have: a dead layer has no KL."""
    pairs = [(one, other) for one, other in zip(ours, theirs, strict=True) if one is not None and other is not None]
    differences = [one - other for one, other in pairs]
    return {
        "ours": fmean(one for one, _ in pairs),
        "reference": fmean(other for _, other in pairs),
        "difference": fmean(differences),
        "standard_error": stdev(differences) / len(differences) ** 0.5,
    }
