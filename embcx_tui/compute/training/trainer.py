"""What trains networks: the interface of `CohortTrainer` (GPU) and `NetworkTrainer` (CPU)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from embcx_tui.compute.training.network import Weights
from embcx_tui.compute.training.sparse_inputs import Inputs, inputs
from embcx_tui.study.plan import Network


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
    def listed(self) -> Inputs:
        """These inputs for a CPU's kernels; made once, for all networks."""
        return inputs(self.x.numpy(), self.mean, self.scale)


@dataclass(frozen=True, slots=True, eq=False)
class DeviceData:
    """The training set on the device, and its `labels` [variants, n] (int64; row 0 the true ones)."""

    inputs: RawInputs
    labels: Tensor


@dataclass(frozen=True, slots=True)
class Sizes:
    """Features of an input, units of a hidden layer, classes."""

    features: int
    width: int
    classes: int


class Trainer(ABC):
    """Networks that are trained and tested together. `parameters` and `velocities` are all of theirs, flat.

    `loss` (float64, sums of cross-entropies in nats) and `correct` (int64) have an entry a network and grow with every
    step; `alive` has one too, 0 for a network that is trained no further.
    """

    networks: tuple[Network, ...]
    parameters: Tensor
    velocities: Tensor
    loss: Tensor
    correct: Tensor
    alive: Tensor

    @abstractmethod
    def parts(self, place: int) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Yield (name, parameter, velocity) views of network `place`: matrix.1 [units, inputs], bias.1 [units], …,
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

    def put(self, place: int, weights: Weights) -> None:
        """Set the weights of network `place`; its velocities become zero."""
        values = [each for pair in zip(weights.matrices, weights.biases, strict=True) for each in pair]
        for (_, parameter, velocity), value in zip(self.parts(place), values, strict=True):
            parameter.copy_(value)
            velocity.zero_()

    def get(self, place: int) -> Weights:
        """Return a copy of the weights of network `place`, on the device."""
        values = [parameter.clone(memory_format=torch.contiguous_format) for _, parameter, _ in self.parts(place)]
        return Weights(self.networks[place].activation, tuple(values[::2]), tuple(values[1::2]))

    @torch.no_grad()
    def stop(self, place: int) -> None:
        """Zero network `place` and train it no further."""
        self.alive[place] = 0.0
        for _, parameter, velocity in self.parts(place):
            parameter.zero_()
            velocity.zero_()
