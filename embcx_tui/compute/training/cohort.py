"""Cohort training: epochs over all networks of a dataset at once, and the state that resumes them bit for bit."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from embcx_tui.compute.datasets.dataset import Dataset, Inputs
from embcx_tui.compute.device import memory_guard, one_blas_thread
from embcx_tui.compute.timing import timed_part
from embcx_tui.compute.training.network import Pass, Weights, forward, initial_weights
from embcx_tui.compute.training.trainer import DeviceData, RawInputs, Sizes, Trainer
from embcx_tui.compute.training.trainer_cpu import NetworkTrainer
from embcx_tui.compute.training.trainer_gpu import EVALUATION_BATCH, CohortTrainer
from embcx_tui.study import ids
from embcx_tui.study.errors import MeasureError, RequestError
from embcx_tui.study.plan import Network
from embcx_tui.study.settings import StudySettings

# A control that is trained, on labels permuted once a run.
SHUFFLED = "shuffled"
# Training inputs of a learner's turn on a thread: 20 ms of MNIST, so that the cache is filled anew rarely.
_INPUTS_A_TURN = 3_200
# How often a caller hears of an epoch under way, and how long a wish to stop waits at most, beside a turn.
_PULSE_SECONDS = 0.1


class Aborted(Exception):
    """An epoch was broken off at the caller's wish; the training stands where it stood before that epoch."""


@dataclass(frozen=True, slots=True)
class NetworkEpoch:
    """What one epoch did to one network.

    `loss` is the mean cross-entropy (nats) and `train_accuracy` the share correct (0 … 1) over the epoch's minibatches,
    each before its step; `test_accuracy` is after the epoch. All three are nan for a diverged network.
    """

    network: Network
    loss: float
    train_accuracy: float
    test_accuracy: float
    diverged: bool


@dataclass(frozen=True, slots=True)
class EpochReport:
    """One epoch of a cohort: its number from 1, its wall time, and one entry a network in the cohort's order."""

    epoch: int
    seconds: float
    networks: tuple[NetworkEpoch, ...]


class CohortTraining:
    """The training of `networks` (one dataset; any depths, activations and runs) on one device.

    Every random stream is keyed by identity, so a network's course does not depend on its company (but for float32
    rounding), and all networks of a run see the same minibatches. Raises OutOfMemory where the device is too small.
    """

    def __init__(
        self, networks: Sequence[Network], dataset: Dataset, settings: StudySettings, device: torch.device
    ) -> None:
        self.dataset = dataset
        self.settings = settings
        self.device = device
        self.networks = tuple(networks)
        self.epochs_done = 0
        self._seed = settings.machine.seed
        self._order: tuple[int, dict[int, Tensor]] = (-1, {})
        sizes = Sizes(dataset.features, settings.networks.width, len(dataset.classes))
        with memory_guard(f"a cohort of {len(networks)} networks"), torch.no_grad():
            label_rows, labels = _labels(self.networks, dataset, self._seed)
            scale = float(np.float32(1.0 / dataset.std))
            mean = float(np.float32(dataset.mean))
            train, self._test = (
                RawInputs(torch.from_numpy(x).to(device), mean, scale) for x in (dataset.x_train, dataset.x_test)
            )
            self._data = DeviceData(train, labels.to(device))
            self._y_test = torch.from_numpy(dataset.y_test).to(device)
            self._sizes = sizes
            self._learners = _learners(self.networks, label_rows, sizes, settings, self._data)
            self._places: dict[str, tuple[Trainer, int]] = {}
            for learner in self._learners:
                for place, network in enumerate(learner.networks):
                    self._places[network.id] = (learner, place)
                    learner.put(place, initial_weights(network, sizes.features, sizes.width, sizes.classes, self._seed))
        self._diverged: dict[str, int] = dict.fromkeys(self._places, 0)

    @property
    def diverged(self) -> dict[str, int]:
        """Ids of diverged networks with the epoch (from 1) in which it showed."""
        return {network: epoch for network, epoch in self._diverged.items() if epoch}

    @property
    def steps(self) -> int:
        """Minibatches of an epoch; the last one may be smaller."""
        return math.ceil(len(self.dataset.x_train) / self.settings.training.batch_size)

    def minibatch(self, run: int, step: int) -> Tensor:
        """Return the indices of training inputs of minibatch `step` (from 0) of `run` in the coming epoch."""
        size = self.settings.training.batch_size
        return self._orders()[run][step * size : (step + 1) * size]

    def _orders(self) -> dict[int, Tensor]:
        """Return the shuffle of the training inputs that each run takes in the coming epoch."""
        if self._order[0] != self.epochs_done:
            runs = sorted({network.run for network in self.networks})
            self._order = self.epochs_done, {each: self._shuffle(each) for each in runs}
        return self._order[1]

    def _shuffle(self, run: int) -> Tensor:
        key = ids.seed(self._seed, self.dataset.name, run, "shuffle", self.epochs_done)
        order = np.random.Generator(np.random.PCG64(key)).permutation(len(self.dataset.x_train))
        return torch.from_numpy(order.astype(np.int64)).to(self.device)

    def step(self, step: int) -> None:
        """Train every network on minibatch `step` of the coming epoch; `epoch` does this for all of them."""
        with one_blas_thread():
            for learner in self._learners:
                learner.train(self._orders(), step, step + 1)

    def epoch(self, pulse: Callable[[int, int], bool] | None = None) -> EpochReport:
        """Train one epoch and return what it did.

        `pulse` is called in this thread, some times a second, with (minibatches done, minibatches of the epoch), both
        counted over all learners; where it returns True the epoch is undone and Aborted raised. Raises OutOfMemory, the
        epoch undone as well.
        """
        begun = time.perf_counter()
        with memory_guard(f"training a cohort of {len(self.networks)} networks"):
            before = [(learner.parameters.clone(), learner.velocities.clone()) for learner in self._learners]
            try:
                accounts = self._train(pulse)
            except BaseException:
                for learner, (parameters, velocities) in zip(self._learners, before, strict=True):
                    learner.parameters.copy_(parameters)
                    learner.velocities.copy_(velocities)
                raise
        self.epochs_done += 1
        found: dict[str, NetworkEpoch] = {}
        for learner, account in zip(self._learners, accounts, strict=True):
            for place, entry in enumerate(account):
                found[entry.network.id] = entry
                if entry.diverged and not self._diverged[entry.network.id]:
                    self._diverged[entry.network.id] = self.epochs_done
                    learner.stop(place)
        entries = tuple(found[network.id] for network in self.networks)
        return EpochReport(self.epochs_done, time.perf_counter() - begun, entries)

    def _train(self, pulse: Callable[[int, int], bool] | None) -> list[list[NetworkEpoch]]:
        """Train one epoch, the learners in turns of some steps on the threads; return their accounts."""
        orders = self._orders()
        stop = threading.Event()
        waiting = deque(range(len(self._learners)))
        progress = [0] * len(self._learners)
        accounts: dict[int, list[NetworkEpoch]] = {}
        turn = max(1, _INPUTS_A_TURN // self.settings.training.batch_size)

        def train() -> None:
            # A thread leaves where no learner waits: each of the others then has one in hand.
            while waiting and not stop.is_set():
                try:
                    place = waiting.popleft()
                except IndexError:  # another thread was faster
                    return
                learner = self._learners[place]
                if not progress[place]:
                    learner.loss.zero_()
                    learner.correct.zero_()
                last = min(progress[place] + turn, self.steps)
                learner.train(orders, progress[place], last)
                progress[place] = last
                if last < self.steps:
                    waiting.append(place)
                else:
                    accounts[place] = self._account(learner)

        with _threads(len(self._learners), self.device) as (threads, pool):
            try:
                running = {pool.submit(train) for _ in range(threads)}
                while running:
                    finished, running = wait(running, _PULSE_SECONDS, FIRST_EXCEPTION)
                    for future in finished:
                        future.result()
                    if pulse and pulse(sum(progress), self.steps * len(progress)):
                        raise Aborted
            finally:
                stop.set()
        return [accounts[place] for place in range(len(self._learners))]

    def _account(self, learner: Trainer) -> list[NetworkEpoch]:
        n = len(self.dataset.x_train)
        losses = [loss / n for loss in learner.loss.tolist()]
        accuracies = [count / n for count in learner.correct.tolist()]
        tests = learner.evaluate(self._test, self._y_test)
        return [
            NetworkEpoch(network, loss, train, test, False)
            if finite and math.isfinite(loss) and not self._diverged[network.id]
            else NetworkEpoch(network, math.nan, math.nan, math.nan, True)
            for network, finite, loss, train, test in zip(
                learner.networks, learner.finite(), losses, accuracies, tests, strict=True
            )
        ]

    def train_accuracies(self) -> dict[str, float]:
        """Return each network's accuracy (0 … 1) on the whole training set with its present weights, true labels.

        nan for a diverged network. One pass: a tenth of an epoch's time.
        """
        return self._accuracies(self._data.inputs, self._data.labels[0])

    def test_accuracies(self) -> dict[str, float]:
        """Return each network's accuracy (0 … 1) on the test set with its present weights; nan where diverged."""
        return self._accuracies(self._test, self._y_test)

    def _accuracies(self, inputs: RawInputs, y: Tensor) -> dict[str, float]:
        found = {}
        with memory_guard(f"evaluating a cohort of {len(self.networks)} networks"):
            with _threads(len(self._learners), self.device) as (_, pool):
                results = list(pool.map(lambda learner: learner.evaluate(inputs, y), self._learners))
            for learner, accuracies in zip(self._learners, results, strict=True):
                for network, accuracy in zip(learner.networks, accuracies, strict=True):
                    found[network.id] = math.nan if self._diverged[network.id] else accuracy
        return {network.id: found[network.id] for network in self.networks}

    def weights(self, network: Network) -> Weights:
        """Return a copy of the present weights of `network`; of an untrained control, those its sibling began with."""
        if network.control == "untrained":
            sizes = self._sizes
            start = initial_weights(network, sizes.features, sizes.width, sizes.classes, self._seed)
            return start.to(self.device)
        learner, place = self._places[network.id]
        return learner.get(place)

    @timed_part("activations")
    def measure(self, network: Network, inputs: Inputs) -> Pass:
        """Return activations and predictions of `network` (trained, or an untrained control) on raw `inputs` [n, F].

        Raises MeasureError for a diverged network.
        """
        if self._diverged.get(network.id):
            raise MeasureError(f"{network.label}: diverged in epoch {self._diverged[network.id]}")
        with memory_guard(f"the activations of {network.label}"):
            # A copy whatever the dtype: float32 inputs would be standardised where the caller keeps them.
            x = torch.from_numpy(np.ascontiguousarray(inputs)).to(self.device, torch.float32, copy=True)
            self._data.inputs.standardise(x)
            return forward(self.weights(network), x)

    def control_accuracies(self, controls: Sequence[Network]) -> dict[str, tuple[float, float]]:
        """Return the accuracies (0 … 1) of untrained `controls`, by id, on all training and on all test inputs.

        On a GPU all of them in one pass, and float32 rounding depends on the company: ask for the same ones again.
        """
        with memory_guard(f"evaluating {len(controls)} untrained networks"), torch.no_grad():
            true_labels = dict.fromkeys((network.id for network in controls), 0)
            learners = _learners(controls, true_labels, self._sizes, self.settings, self._data)
            for learner in learners:
                for place, network in enumerate(learner.networks):
                    learner.put(place, self.weights(network))
            parts = ((self._data.inputs, self._data.labels[0]), (self._test, self._y_test))
            with _threads(len(learners), self.device) as (_, pool):
                results = list(pool.map(lambda learner: [learner.evaluate(*part) for part in parts], learners))
        return {
            network.id: (train, test)
            for learner, (trains, tests) in zip(learners, results, strict=True)
            for network, train, test in zip(learner.networks, trains, tests, strict=True)
        }

    def state(self) -> dict[str, Tensor]:
        """Return what resumes this training, as named tensors for safetensors (copies, in main memory).

        Names are `<network id>/<part>` and `.../velocity`: networks may be spread over other cohorts at resumption.
        """
        state = {"epoch": torch.tensor([self.epochs_done])}
        for name, (learner, place) in self._places.items():
            state[f"{name}/diverged"] = torch.tensor([self._diverged[name]])
            for part, parameter, velocity in learner.parts(place):
                state[f"{name}/{part}"] = _copy(parameter)
                state[f"{name}/{part}/velocity"] = _copy(velocity)
        return state

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take up the training that `state` describes; the same cohort then goes on bit for bit.

        Raises RequestError, and changes nothing, where `state` lacks a network or does not fit it.
        """
        copies: list[tuple[Tensor, Tensor]] = []

        def take(name: str, target: Tensor | None, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
            value = state.get(name)
            if value is None or value.shape != shape or value.dtype != dtype:
                raise RequestError(f"the checkpoint does not fit this study ({name}); start the study anew")
            if target is not None:
                copies.append((target, value))
            return value

        epoch = int(take("epoch", None, (1,), torch.int64).item())
        diverged = {}
        for name, (learner, place) in self._places.items():
            diverged[name] = int(take(f"{name}/diverged", None, (1,), torch.int64).item())
            for part, parameter, velocity in learner.parts(place):
                take(f"{name}/{part}", parameter, tuple(parameter.shape), torch.float32)
                take(f"{name}/{part}/velocity", velocity, tuple(velocity.shape), torch.float32)
        for target, value in copies:
            target.copy_(value)
        self.epochs_done = epoch
        self._diverged = diverged
        for name, (learner, place) in self._places.items():
            learner.alive[place] = 0.0 if diverged[name] else 1.0


def _labels(networks: Sequence[Network], dataset: Dataset, study_seed: int) -> tuple[dict[str, int], Tensor]:
    """Return the row of the label table each network learns, and the table [variants, n_train], true labels first."""
    table = [dataset.y_train]
    rows: dict[str, int] = {}
    of_run: dict[int, int] = {}
    for network in networks:
        rows[network.id] = 0
        if network.control == SHUFFLED:
            if network.run not in of_run:
                of_run[network.run] = len(table)
                key = ids.seed(study_seed, dataset.name, network.run, "shuffled labels")
                table.append(np.random.Generator(np.random.PCG64(key)).permutation(dataset.y_train))
            rows[network.id] = of_run[network.run]
    return rows, torch.from_numpy(np.stack(table))


def _parameters(network: Network, sizes: Sizes) -> int:
    hidden = (network.depth - 1) * sizes.width * (sizes.width + 1)
    return sizes.width * (sizes.features + 1) + hidden + sizes.classes * (sizes.width + 1)


def _learners(
    networks: Sequence[Network], label_rows: Mapping[str, int], sizes: Sizes, settings: StudySettings, data: DeviceData
) -> list[Trainer]:
    """Return what trains `networks`: on a GPU one block of all of them, on a CPU each by itself.

    A core that keeps to one network for some steps has it in its cache, and no barrier makes it wait for another.
    """
    if not _in_one_step(data.inputs.x.device):
        alone = [
            NetworkTrainer(network, label_rows[network.id], sizes, settings.training, data) for network in networks
        ]
        for one in alone[:1]:
            one.prepare()
        return [*alone]
    place = {network.id: number for number, network in enumerate(networks)}
    members = sorted(networks, key=lambda network: (-network.depth, place[network.id]))
    return [CohortTrainer(members, [label_rows[network.id] for network in members], sizes, settings.training, data)]


def _in_one_step(device: torch.device) -> bool:
    return device.type == "cuda"


@contextmanager
def _threads(learners: int, device: torch.device) -> Iterator[tuple[int, ThreadPoolExecutor]]:
    """Give threads for `learners`, at most as many as torch uses, each of which computes alone; and their number.

    On a GPU they issue their work on the caller's stream: controls are evaluated on another than the training's, and
    what their weights are copied on must come before what reads them.
    """
    count = min(learners, torch.get_num_threads())
    stream = torch.cuda.current_stream(device) if device.type == "cuda" else None
    with one_blas_thread(), ThreadPoolExecutor(count, "train", lambda: _prepare_thread(stream)) as pool:
        yield count, pool


def _copy(tensor: Tensor) -> Tensor:
    """Return a copy in main memory, in the order of its indices: what a file can hold."""
    return torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor.detach())


def _prepare_thread(stream: torch.cuda.Stream | None) -> None:
    # Velocities of dead units decay into denormals, which some processors compute a hundred times slower.
    torch.set_flush_denormal(True)
    one_blas_thread()  # for as long as the thread lives, where it has a limit of its own
    if stream is not None:
        torch.cuda.set_stream(stream)  # and its device


def memory_estimate(networks: Sequence[Network], dataset: Dataset, settings: StudySettings) -> int:
    """Return about how many bytes of the device's memory the training of `networks` needs at its peak."""
    sizes = Sizes(dataset.features, settings.networks.width, len(dataset.classes))
    runs = len({network.run for network in networks})
    batch = settings.training.batch_size
    # Parameters, velocities, and both once more: the copy that undoes an epoch, or the checkpoint's.
    parameters = 16 * sum(_parameters(network, sizes) for network in networks)
    layers = sum(network.depth for network in networks) + 4 * len(networks)
    step = 4 * batch * (layers * sizes.width + runs * sizes.features * 2 + len(networks) * sizes.classes * 8)
    evaluation = 4 * EVALUATION_BATCH * (len(networks) * (4 * sizes.width + 3 * sizes.classes) + 2 * sizes.features)
    order = 16 * runs * len(dataset.x_train)
    return parameters + step + evaluation + order + dataset.nbytes


def split(
    networks: Sequence[Network], dataset: Dataset, settings: StudySettings, budget: int
) -> tuple[tuple[Network, ...], ...]:
    """Return `networks` in as few parts, by halving, as fit `budget` bytes each; runs stay whole where they can.

    A single network is never refused here: whether it fits shows when it is trained.
    """
    if len(networks) <= 1 or memory_estimate(networks, dataset, settings) <= budget:
        return (tuple(networks),)
    runs = sorted({network.run for network in networks})
    if len(runs) > 1:
        early = set(runs[: len(runs) // 2])
        halves = [[n for n in networks if n.run in early], [n for n in networks if n.run not in early]]
    else:
        halves = [list(networks[: len(networks) // 2]), list(networks[len(networks) // 2 :])]
    return tuple(part for half in halves for part in split(half, dataset, settings, budget))
