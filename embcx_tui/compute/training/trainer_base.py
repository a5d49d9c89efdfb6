"""The abstract base class of `BatchedTrainer` (GPU, all networks) and `NetworkTrainer` (CPU, one network), the data
that they train on, and the order of its minibatches.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from embcx_tui.compute.datasets.dataset import Dataset
from embcx_tui.compute.training.network import Weights
from embcx_tui.compute.training.sparse_inputs import KernelInputs, kernel_inputs
from embcx_tui.study.plan import Network
from embcx_tui.study.seeds import stream_seed


@dataclass(frozen=True, eq=False)
class RawInputs:
    """Raw inputs x [n, F] (uint8 or float32) on the device, and the mean and 1/std that standardise them."""

    x: Tensor
    mean: float
    scale: float

    def standardise(self, x: Tensor) -> None:
        """Standardise float32 `x`, in place."""
        x.sub_(self.mean).mul_(self.scale)

    @cached_property
    def for_kernels(self) -> KernelInputs:
        """These inputs for the kernels of a CPU; computed once, for all networks."""
        return kernel_inputs(self.x.numpy(), self.mean, self.scale)


@dataclass(frozen=True, slots=True, eq=False)
class DeviceData:
    """The training set on the device, and its `labels` [variants, n] (int64; row 0 the true ones)."""

    inputs: RawInputs
    labels: Tensor


@dataclass(frozen=True, slots=True)
class NetworkSizes:
    """Features of an input, units of a hidden layer, classes."""

    features: int
    width: int
    classes: int


def minibatch_order(dataset: Dataset, run: int, study_seed: int, epoch: int) -> Tensor:
    """Return the order [n_train] in which all networks of `run` take the training inputs in `epoch` (from 0): shuffled
    anew for every epoch, by a keyed seed. Minibatches are consecutive parts of it.
    """
    key = stream_seed(study_seed, dataset.stream_key, run, "shuffle", epoch)
    order = np.random.Generator(np.random.PCG64(key)).permutation(len(dataset.x_train))
    return torch.from_numpy(order.astype(np.int64))


class Trainer(ABC):
    """Networks that are trained and tested together. `parameters` and `velocities` are those of all of them, flat.

    `loss` (float64, sums of cross-entropies in nats) and `correct` (int64) have one entry per network and grow with
    every step. `active` has one entry per network: 0 where it is trained no further.
    """

    networks: tuple[Network, ...]
    parameters: Tensor
    velocities: Tensor
    loss: Tensor
    correct: Tensor
    active: Tensor

    @abstractmethod
    def named_parameters(self, index: int) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Yield (name, parameter, velocity) views of network `index`: matrix.1 [units, inputs], bias.1 [units], …,
        output layer last.
        """

    @abstractmethod
    def train(self, orders: Mapping[int, Tensor], first: int, last: int) -> None:
        """Take steps `first` … `last` - 1 of an epoch, with the shuffle [n] of each run; `loss` and `correct` grow."""

    @abstractmethod
    def evaluate(self, inputs: RawInputs, y: Tensor) -> list[float]:
        """Return each network's accuracy (0 … 1) on `inputs` [n, F] with labels `y` [n]."""

    @abstractmethod
    def finite(self) -> list[bool]:
        """Return for each network whether all its parameters are finite."""

    def set_weights(self, index: int, weights: Weights) -> None:
        """Set the weights of network `index`; its velocities become zero."""
        values = [each for pair in zip(weights.matrices, weights.biases, strict=True) for each in pair]
        for (_, parameter, velocity), value in zip(self.named_parameters(index), values, strict=True):
            parameter.copy_(value)
            velocity.zero_()

    def weights(self, index: int) -> Weights:
        """Return a copy of the weights of network `index`, on the device."""
        values = [
            parameter.clone(memory_format=torch.contiguous_format) for _, parameter, _ in self.named_parameters(index)
        ]
        return Weights(self.networks[index].activation, tuple(values[::2]), tuple(values[1::2]))

    @torch.no_grad()
    def deactivate(self, index: int) -> None:
        """Zero network `index` and train it no further."""
        self.active[index] = 0.0
        for _, parameter, velocity in self.named_parameters(index):
            parameter.zero_()
            velocity.zero_()
