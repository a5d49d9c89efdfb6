"""What ours is measured beside, each at its best setting: openTSNE, and the training loop that people write.

Also what a whole study costs with both: openTSNE layer by layer, the plain PyTorch loop network by network.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from statistics import fmean

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from embcx_tui.bench.results import CostRow, cost_row
from embcx_tui.bench.workloads import start
from embcx_tui.compute.datasets import Dataset
from embcx_tui.compute.device import cores
from embcx_tui.compute.timing import Timing, medians, timed
from embcx_tui.compute.training.network import Weights
from embcx_tui.study.plan import Network, Plan
from embcx_tui.study.settings import TrainingSettings

MODULES: dict[str, type[nn.Module]] = {
    "logsig": nn.Sigmoid,
    "tanh": nn.Tanh,
    "softsign": nn.Softsign,
    "relu": nn.ReLU,
}
# Steps of one measurement of the loop, and of a trial of one of its settings; layers that openTSNE embeds.
_STEPS, _TRIAL_STEPS = 60, 15
_LAYERS = 3


@dataclass(frozen=True, slots=True)
class LibrarySetting:
    """How openTSNE is called: gradient "bh" or "fft", threads, and how it finds neighbours; the rest is its default."""

    gradient: str
    jobs: int
    neighbours: str = "auto"

    @property
    def words(self) -> str:
        return f"{self.gradient}, n_jobs={self.jobs}, neighbors={self.neighbours}"


def library_settings(threads: int) -> tuple[LibrarySetting, ...]:
    """Return the settings of Barnes-Hut to choose from: one thread and all, its own neighbours and exact ones."""
    jobs = sorted({1, threads})
    return tuple(LibrarySetting("bh", count, near) for count in jobs for near in ("auto", "exact"))


def library_name() -> str:
    return f"openTSNE {metadata.version('openTSNE')}"


def library_embed(rows: NDArray[np.float32], setting: LibrarySetting, perplexity: float) -> NDArray[np.float64]:
    """Return openTSNE's points [n, 2] of activations [n, d]: its own P, start, learning rate and 750 iterations."""
    from openTSNE import TSNE

    library = TSNE(
        perplexity=perplexity,
        n_jobs=setting.jobs,
        negative_gradient_method=setting.gradient,
        neighbors=setting.neighbours,
        random_state=0,
    )
    return np.asarray(library.fit(rows.astype(np.float64)), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class LoopSetting:
    """How the plain loop is run: torch's threads, and which form of SGD."""

    threads: int
    form: str

    @property
    def words(self) -> str:
        return f"torch.optim.SGD ({self.form}), {self.threads} thread{'s' if self.threads > 1 else ''}"


def loop_settings(device: torch.device) -> tuple[LoopSetting, ...]:
    """Return the settings to choose from: one thread and all of them, SGD's three forms."""
    threads = [1] if device.type == "cuda" else sorted({1, torch.get_num_threads()})
    return tuple(LoopSetting(count, form) for count in threads for form in ("for loop", "foreach", "fused"))


@dataclass(frozen=True, slots=True)
class LoopResult:
    """What the plain loop made of a network: its accuracy (0 … 1) on the test inputs, its weights, the steps' time."""

    test_accuracy: float
    weights: Weights
    timing: Timing


class PlainLoop:
    """nn.Sequential, autograd and torch.optim.SGD over data that lies ready: float32, standardised, on the device."""

    def __init__(self, dataset: Dataset, training: TrainingSettings, device: torch.device) -> None:
        self._training = training
        self._device = device
        self._x = torch.from_numpy(dataset.standardised(dataset.x_train)).to(device)
        self._y = torch.from_numpy(dataset.y_train).to(device)
        self._x_test = torch.from_numpy(dataset.standardised(dataset.x_test)).to(device)
        self._y_test = torch.from_numpy(dataset.y_test).to(device)

    def train(self, weights: Weights, minibatches: Sequence[Tensor], setting: LoopSetting) -> LoopResult:
        """Train a network from `weights` on minibatches of training indices; the time is that of the steps alone."""
        model = _network(weights).to(self._device)
        optimiser = torch.optim.SGD(
            model.parameters(),
            lr=self._training.learning_rate,
            momentum=self._training.momentum,
            foreach=setting.form == "foreach",
            fused=setting.form == "fused",
        )
        loss = nn.CrossEntropyLoss()
        before = torch.get_num_threads()
        torch.set_num_threads(setting.threads)
        try:
            self._wait()
            wall, cpu = time.perf_counter(), time.process_time()
            for index in minibatches:
                optimiser.zero_grad()
                loss(model(self._x.index_select(0, index)), self._y.index_select(0, index)).backward()
                optimiser.step()
            self._wait()
            timing = Timing(time.perf_counter() - wall, time.process_time() - cpu)
            with torch.no_grad():
                right = (model(self._x_test).argmax(1) == self._y_test).float().mean()
        finally:
            torch.set_num_threads(before)
        return LoopResult(float(right), _weights(model, weights.activation), timing)

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def _network(weights: Weights) -> nn.Sequential:
    modules: list[nn.Module] = []
    for matrix, bias in zip(weights.matrices, weights.biases, strict=True):
        linear = nn.Linear(matrix.shape[1], matrix.shape[0])
        with torch.no_grad():
            linear.weight.copy_(matrix)
            linear.bias.copy_(bias)
        modules += [linear, MODULES[weights.activation]()]
    return nn.Sequential(*modules[:-1])


def _weights(model: nn.Sequential, activation: str) -> Weights:
    linears = [module for module in model if isinstance(module, nn.Linear)]
    return Weights(
        activation,
        tuple(linear.weight.detach() for linear in linears),
        tuple(linear.bias.detach() for linear in linears),
    )


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of one network's epoch or of one embedding by a library, and how it was measured."""

    seconds: float
    words: str


def loop_cost(dataset: Dataset, plan: Plan, device: torch.device, quick: bool) -> Cost:
    """Return a network-epoch by the plain loop: the mean over the activations of `plan`, at its middle depth.

    The loop's setting is the fastest of those tried here; the test after an epoch is not in it.
    """
    networks = _middle(plan, dataset.name)
    plain = PlainLoop(dataset, plan.settings.training, device)
    batch = plan.settings.training.batch_size
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(dataset.x_train)))
    steps = torch.split(order, batch)

    def seconds(network: Network, setting: LoopSetting, count: int) -> float:
        some = [step.to(device) for step in steps[:count]]
        return plain.train(start(network, dataset, plan.settings), some, setting).timing.seconds / len(some)

    count = 5 if quick else _TRIAL_STEPS
    settings = loop_settings(device)
    seconds(networks[0], settings[0], count)  # warm
    setting = min(settings, key=lambda one: seconds(networks[0], one, count))
    step = fmean(seconds(network, setting, 5 if quick else _STEPS) for network in networks)
    return Cost(step * len(steps), f"measured: {networks[0].depth} layers, {setting.words}")


def library_cost(layers: Sequence[NDArray[np.float32]], perplexity: float, quick: bool) -> Cost:
    """Return an embedding by openTSNE, at the fastest of its settings here: the median over some of `layers`."""
    settings = library_settings(1 if quick else cores())
    library_embed(layers[0], settings[0], perplexity)  # its imports are not its speed

    def trial(setting: LibrarySetting) -> float:
        return timed(lambda: library_embed(layers[0], setting, perplexity))[1].seconds

    setting = min(settings, key=trial)
    some = layers[: 1 if quick else _LAYERS]
    times = [timed(lambda rows=rows: library_embed(rows, setting, perplexity))[1] for rows in some]  # type: ignore[misc]
    return Cost(medians(times).seconds, f"measured: {len(some)} layers, {library_name()}, {setting.words}")


def with_libraries(plan: Plan, loops: dict[str, Cost], embedding: Cost) -> list[CostRow]:
    """Return the rows (part, count, seconds each and in all, from) of `plan` done with libraries.

    `loops` has the cost of a network-epoch by dataset. Metrics, accuracies and files are left out: they cost the same.
    """
    epochs = Counter({cohort.dataset: len(cohort.networks) for cohort in plan.cohorts})
    rows = [
        cost_row(f"train {name}", count * plan.settings.training.epochs, loops[name].seconds, loops[name].words)
        for name, count in epochs.items()
    ]
    return [*rows, cost_row("embed", plan.embeddings, embedding.seconds, embedding.words)]


def _middle(plan: Plan, dataset: str) -> list[Network]:
    """Return a network of each activation, of the middle one of the depths: a loop's cost grows with depth evenly."""
    depths = sorted(plan.settings.networks.depths)
    depth = depths[len(depths) // 2]
    networks = next(cohort.networks for cohort in plan.cohorts if cohort.dataset == dataset)
    return [
        next(one for one in networks if one.depth == depth and one.activation == activation)
        for activation in plan.settings.networks.activations
    ]
