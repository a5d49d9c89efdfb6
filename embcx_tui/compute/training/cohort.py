"""Training of a cohort, all networks of a dataset at once: epochs, divergence, and the state that resumes them bit for
bit.
"""

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
from embcx_tui.compute.device import is_accelerator, one_blas_thread
from embcx_tui.compute.device_errors import device_guard
from embcx_tui.compute.memory import memory_guard
from embcx_tui.compute.timing import timed_part
from embcx_tui.compute.training.network import Pass, Weights, forward, initial_weights
from embcx_tui.compute.training.trainer_base import DeviceData, NetworkSizes, RawInputs, Trainer, minibatch_order
from embcx_tui.compute.training.trainer_cpu import NetworkTrainer
from embcx_tui.compute.training.trainer_gpu import BatchedTrainer
from embcx_tui.study.errors import MeasureError, RequestError
from embcx_tui.study.naming import network_name
from embcx_tui.study.plan import Network
from embcx_tui.study.seeds import stream_seed
from embcx_tui.study.settings import StudySettings

# The control that is trained, on labels permuted once per run.
SHUFFLED = "shuffled"
# Training inputs that a thread takes for one trainer before the next trainer has its turn: 20 ms of MNIST, so that the
# cache is rarely refilled.
INPUTS_PER_TURN = 3_200
# Steps that a GPU takes per turn, 0.1 s of the paper's networks; a multiple of `STEPS_PER_GRAPH`.
BATCHED_STEPS_PER_TURN = 200
# Interval of progress reports within an epoch. A request to abort waits this long at most, plus one turn.
PROGRESS_INTERVAL_S = 0.1


class Aborted(Exception):
    """The caller aborted an epoch; the training is in the state before that epoch."""


@dataclass(frozen=True, slots=True)
class NetworkEpoch:
    """The results of one network in one epoch.

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
    """One epoch of a cohort: its number from 1, its wall time, and one entry per network in the cohort's order."""

    epoch: int
    seconds: float
    networks: tuple[NetworkEpoch, ...]


class CohortTraining:
    """The training of `networks` (one dataset; any depths, activations and runs) on one device.

    Every random stream has a keyed seed, so a network does not depend on the composition of its cohort (except for
    float32 rounding on a GPU), and all networks of a run see the same minibatches. Raises OutOfMemory where the memory
    of the device does not suffice.
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
        sizes = NetworkSizes(dataset.features, settings.networks.width, len(dataset.classes))
        with memory_guard(f"a cohort of {len(networks)} networks"), torch.no_grad():
            label_rows, labels = label_table(self.networks, dataset, self._seed)
            scale = float(np.float32(1.0 / dataset.std))
            mean = float(np.float32(dataset.mean))
            train, self.test_inputs = (
                RawInputs(torch.from_numpy(x).to(device), mean, scale) for x in (dataset.x_train, dataset.x_test)
            )
            self._data = DeviceData(train, labels.to(device))
            self._y_test = torch.from_numpy(dataset.y_test).to(device)
            self._sizes = sizes
            self.trainers = _trainers(self.networks, label_rows, sizes, settings, self._data, device)
            self._trainer_of: dict[str, tuple[Trainer, int]] = {}
            for trainer in self.trainers:
                for index, network in enumerate(trainer.networks):
                    self._trainer_of[network.id] = (trainer, index)
                    trainer.set_weights(index, self._initial_weights(network))
        self._diverged: dict[str, int] = dict.fromkeys(self._trainer_of, 0)

    @property
    def diverged(self) -> dict[str, int]:
        """Ids of diverged networks with the epoch (from 1) in which they diverged."""
        return {network: epoch for network, epoch in self._diverged.items() if epoch}

    @property
    def steps(self) -> int:
        """Minibatches per epoch; the last one may be smaller."""
        return math.ceil(len(self.dataset.x_train) / self.settings.training.batch_size)

    def minibatch(self, run: int, step: int) -> Tensor:
        """Return the indices of training inputs of minibatch `step` (from 0) of `run` in the coming epoch."""
        size = self.settings.training.batch_size
        return self._orders()[run][step * size : (step + 1) * size]

    def _orders(self) -> dict[int, Tensor]:
        """Return the order of the training inputs in the coming epoch, by run."""
        if self._order[0] != self.epochs_done:
            runs = sorted({network.run for network in self.networks})
            self._order = (
                self.epochs_done,
                {run: minibatch_order(self.dataset, run, self._seed, self.epochs_done).to(self.device) for run in runs},
            )
        return self._order[1]

    def step(self, step: int) -> None:
        """Train every network on minibatch `step` of the coming epoch; `epoch` does this for all of them."""
        with one_blas_thread():
            for trainer in self.trainers:
                trainer.train(self._orders(), step, step + 1)

    def epoch(self, on_progress: Callable[[int, int], bool] | None = None) -> EpochReport:
        """Train one epoch and return its results.

        Parameters
        ----------
        on_progress: called in this thread, some times per second, with (minibatches done, minibatches of the epoch),
        both
            counted over all trainers; returns whether to abort.

        Raises
        ------
        Aborted: on_progress returned True; the epoch is undone.
        OutOfMemory: the epoch is undone as well.
        """
        begun = time.perf_counter()
        with memory_guard(f"training a cohort of {len(self.networks)} networks"):
            before = [(trainer.parameters.clone(), trainer.velocities.clone()) for trainer in self.trainers]
            try:
                all_results = self._train(on_progress)
            except BaseException:
                for trainer, (parameters, velocities) in zip(self.trainers, before, strict=True):
                    trainer.parameters.copy_(parameters)
                    trainer.velocities.copy_(velocities)
                raise
        self.epochs_done += 1
        by_id: dict[str, NetworkEpoch] = {}
        for trainer, results in zip(self.trainers, all_results, strict=True):
            for index, result in enumerate(results):
                by_id[result.network.id] = result
                if result.diverged and not self._diverged[result.network.id]:
                    self._diverged[result.network.id] = self.epochs_done
                    trainer.deactivate(index)
        entries = tuple(by_id[network.id] for network in self.networks)
        return EpochReport(self.epochs_done, time.perf_counter() - begun, entries)

    def _train(self, on_progress: Callable[[int, int], bool] | None) -> list[list[NetworkEpoch]]:
        """Train one epoch, the trainers in turns of some steps on the threads; return the results of each."""
        orders = self._orders()
        stop = threading.Event()
        waiting = deque(range(len(self.trainers)))
        progress = [0] * len(self.trainers)
        results: dict[int, list[NetworkEpoch]] = {}
        steps_per_turn = (
            BATCHED_STEPS_PER_TURN
            if is_batched(self.device)
            else max(1, INPUTS_PER_TURN // self.settings.training.batch_size)
        )

        def train() -> None:
            # A thread ends where no trainer waits: every unfinished one is then with another thread.
            while waiting and not stop.is_set():
                try:
                    number = waiting.popleft()
                except IndexError:  # another thread was faster
                    return
                trainer = self.trainers[number]
                if not progress[number]:
                    trainer.loss.zero_()
                    trainer.correct.zero_()
                last = min(progress[number] + steps_per_turn, self.steps)
                trainer.train(orders, progress[number], last)
                progress[number] = last
                if last < self.steps:
                    waiting.append(number)
                else:
                    results[number] = self._results(trainer)

        with training_threads(len(self.trainers), self.device) as (threads, pool):
            try:
                running = {pool.submit(train) for _ in range(threads)}
                while running:
                    finished, running = wait(running, PROGRESS_INTERVAL_S, FIRST_EXCEPTION)
                    for future in finished:
                        future.result()
                    if on_progress and on_progress(sum(progress), self.steps * len(progress)):
                        raise Aborted
            finally:
                stop.set()
        return [results[number] for number in range(len(self.trainers))]

    def _results(self, trainer: Trainer) -> list[NetworkEpoch]:
        n = len(self.dataset.x_train)
        losses = [loss / n for loss in trainer.loss.tolist()]
        accuracies = [count / n for count in trainer.correct.tolist()]
        tests = trainer.evaluate(self.test_inputs, self._y_test)
        return [
            NetworkEpoch(network, loss, train, test, False)
            if finite and math.isfinite(loss) and not self._diverged[network.id]
            else NetworkEpoch(network, math.nan, math.nan, math.nan, True)
            for network, finite, loss, train, test in zip(
                trainer.networks, trainer.finite(), losses, accuracies, tests, strict=True
            )
        ]

    def train_accuracies(self) -> dict[str, float]:
        """Return each network's accuracy (0 … 1) on the whole training set with its current weights, true labels.

        nan for a diverged network. One forward pass: a tenth of an epoch's time.
        """
        return self._accuracies(self._data.inputs, self._data.labels[0])

    def test_accuracies(self) -> dict[str, float]:
        """Return each network's accuracy (0 … 1) on the test set with its current weights; nan where diverged."""
        return self._accuracies(self.test_inputs, self._y_test)

    def _accuracies(self, inputs: RawInputs, y: Tensor) -> dict[str, float]:
        by_id = {}
        with memory_guard(f"evaluating a cohort of {len(self.networks)} networks"):
            with training_threads(len(self.trainers), self.device) as (_, pool):
                results = list(pool.map(lambda trainer: trainer.evaluate(inputs, y), self.trainers))
            for trainer, accuracies in zip(self.trainers, results, strict=True):
                for network, accuracy in zip(trainer.networks, accuracies, strict=True):
                    by_id[network.id] = math.nan if self._diverged[network.id] else accuracy
        return {network.id: by_id[network.id] for network in self.networks}

    def weights(self, network: Network) -> Weights:
        """Return a copy of the current weights of `network`; of an untrained control, its sibling's initial weights."""
        if network.control == "untrained":
            return self._initial_weights(network).to(self.device)
        trainer, index = self._trainer_of[network.id]
        return trainer.weights(index)

    def _initial_weights(self, network: Network) -> Weights:
        sizes, key = self._sizes, self.dataset.stream_key
        return initial_weights(network, sizes.features, sizes.width, sizes.classes, self._seed, key)

    @timed_part("activations")
    def forward(self, network: Network, inputs: Inputs) -> Pass:
        """Return activations and predictions of `network` (trained, or an untrained control) on raw `inputs` [n, F].

        Raises MeasureError for a diverged network.
        """
        if self._diverged.get(network.id):
            raise MeasureError(f"{network_name(network)}: diverged in epoch {self._diverged[network.id]}")
        with memory_guard(f"the activations of {network_name(network)}"):
            # A copy whatever the dtype: float32 inputs would be standardised where the caller keeps them.
            x = torch.from_numpy(np.ascontiguousarray(inputs)).to(self.device, torch.float32, copy=True)
            self._data.inputs.standardise(x)
            return forward(self.weights(network), x)

    def control_accuracies(self, controls: Sequence[Network]) -> dict[str, tuple[float, float]]:
        """Return the accuracies (0 … 1) of untrained `controls`, by id, on all training and on all test inputs.

        On a GPU all of them in one pass, and float32 rounding depends on the composition of the batch: the same
        controls give the same numbers.
        """
        with memory_guard(f"evaluating {len(controls)} untrained networks"), torch.no_grad():
            true_labels = dict.fromkeys((network.id for network in controls), 0)
            trainers = _trainers(controls, true_labels, self._sizes, self.settings, self._data, self.device)
            for trainer in trainers:
                for index, network in enumerate(trainer.networks):
                    trainer.set_weights(index, self.weights(network))
            parts = ((self._data.inputs, self._data.labels[0]), (self.test_inputs, self._y_test))
            with training_threads(len(trainers), self.device) as (_, pool):
                results = list(pool.map(lambda trainer: [trainer.evaluate(*part) for part in parts], trainers))
        return {
            network.id: (train, test)
            for trainer, (trains, tests) in zip(trainers, results, strict=True)
            for network, train, test in zip(trainer.networks, trains, tests, strict=True)
        }

    def state(self) -> dict[str, Tensor]:
        """Return the state that resumes this training, as named tensors for safetensors (copies, in main memory).

        Names are `<network id>/<parameter>` and `.../velocity`: networks may be in other cohorts at resumption.
        """
        state = {"epoch": torch.tensor([self.epochs_done])}
        with device_guard(self.device, "copying weights"):
            for name, (trainer, index) in self._trainer_of.items():
                state[f"{name}/diverged"] = torch.tensor([self._diverged[name]])
                for part, parameter, velocity in trainer.named_parameters(index):
                    state[f"{name}/{part}"] = _copy(parameter)
                    state[f"{name}/{part}/velocity"] = _copy(velocity)
        return state

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state`; the same cohort then goes on bit for bit.

        Raises RequestError, and changes nothing, where `state` lacks a network or has other shapes.
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
        for name, (trainer, index) in self._trainer_of.items():
            diverged[name] = int(take(f"{name}/diverged", None, (1,), torch.int64).item())
            for part, parameter, velocity in trainer.named_parameters(index):
                take(f"{name}/{part}", parameter, tuple(parameter.shape), torch.float32)
                take(f"{name}/{part}/velocity", velocity, tuple(velocity.shape), torch.float32)
        with device_guard(self.device, "loading weights"):
            for target, value in copies:
                target.copy_(value)
        self.epochs_done = epoch
        self._diverged = diverged
        for name, (trainer, index) in self._trainer_of.items():
            trainer.active[index] = 0.0 if diverged[name] else 1.0


def label_table(networks: Sequence[Network], dataset: Dataset, study_seed: int) -> tuple[dict[str, int], Tensor]:
    """Return each network's row of the label table, and the table [variants, n_train], true labels first."""
    table = [dataset.y_train]
    rows: dict[str, int] = {}
    row_of_run: dict[int, int] = {}
    for network in networks:
        rows[network.id] = 0
        if network.control == SHUFFLED:
            if network.run not in row_of_run:
                row_of_run[network.run] = len(table)
                key = stream_seed(study_seed, dataset.stream_key, network.run, "shuffled labels")
                table.append(np.random.Generator(np.random.PCG64(key)).permutation(dataset.y_train))
            rows[network.id] = row_of_run[network.run]
    return rows, torch.from_numpy(np.stack(table))


def _trainers(
    networks: Sequence[Network],
    label_rows: Mapping[str, int],
    sizes: NetworkSizes,
    settings: StudySettings,
    data: DeviceData,
    device: torch.device,
) -> list[Trainer]:
    """Return the trainers of `networks`: on a GPU one for all of them, on a CPU one per network.

    A core that trains one network for some steps has it in its cache, and waits for no other at a barrier.
    """
    if not is_batched(device):
        single = [
            NetworkTrainer(network, label_rows[network.id], sizes, settings.training, data) for network in networks
        ]
        for trainer in single[:1]:
            trainer.prepare()
        return [*single]
    members = sorted(networks, key=lambda network: -network.depth)
    return [BatchedTrainer(members, [label_rows[network.id] for network in members], sizes, settings.training, data)]


def is_batched(device: torch.device) -> bool:
    """Return whether all networks take each step together on `device`."""
    return is_accelerator(device)


@contextmanager
def training_threads(trainers: int, device: torch.device) -> Iterator[tuple[int, ThreadPoolExecutor]]:
    """Give the number of threads for `trainers`, at most as many as torch uses, and their pool; one BLAS thread each.

    On a GPU they launch on the caller's stream: controls are evaluated on another stream than the training's, and the
    copies of their weights must come before the kernels that read them.
    """
    count = min(trainers, torch.get_num_threads())
    stream = torch.cuda.current_stream(device) if device.type == "cuda" else None
    with one_blas_thread(), ThreadPoolExecutor(count, "train", lambda: _prepare_thread(stream)) as pool:
        yield count, pool


def _copy(tensor: Tensor) -> Tensor:
    """Return a contiguous copy in main memory, as safetensors needs it."""
    return torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor.detach())


def _prepare_thread(stream: torch.cuda.Stream | None) -> None:
    # Velocities of dead units decay into denormals, which some processors compute a hundred times slower.
    torch.set_flush_denormal(True)
    one_blas_thread()  # for the life of the thread, where the BLAS has a limit per thread
    if stream is not None:
        torch.cuda.set_stream(stream)  # and its device
