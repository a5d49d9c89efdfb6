"""Trains one network on one CPU core."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from embcx_tui.compute.timing import timed_part
from embcx_tui.compute.training import kernels_cpu
from embcx_tui.compute.training.network import ACTIVATION_CODES, layer_sizes
from embcx_tui.compute.training.trainer_base import DeviceData, NetworkSizes, RawInputs, Trainer
from embcx_tui.study.plan import Network
from embcx_tui.study.settings import TrainingSettings

# Inputs per evaluation pass: with MNIST's sizes they and a network stay in a cache of 1 MB.
_EVALUATION_BATCH = 200


class NetworkTrainer(Trainer):
    """One network, trained and tested by `kernels_cpu`: its numbers do not depend on the composition of its cohort.

    `label_row` is the row of `data.labels` that it learns. Call it from one thread at a time, with one BLAS thread.
    """

    def __init__(
        self, network: Network, label_row: int, sizes: NetworkSizes, training: TrainingSettings, data: DeviceData
    ) -> None:
        self.networks = (network,)
        self._training = training
        self._data = data
        self._labels = data.labels[label_row].numpy()
        self._shapes = layer_sizes(sizes.features, sizes.width, network.depth, sizes.classes)
        self._network = ACTIVATION_CODES[network.activation], network.depth, sizes.width, sizes.classes
        count = sum(units * (inputs + 1) for units, inputs in self._shapes)
        self.parameters = torch.zeros(count)
        self.velocities = torch.zeros(count)
        self.loss = torch.zeros(1, dtype=torch.float64)
        self.correct = torch.zeros(1, dtype=torch.int64)
        self.active = torch.ones(1)

    def named_parameters(self, index: int) -> Iterator[tuple[str, Tensor, Tensor]]:
        if index:
            raise IndexError(f"one network, not {index + 1}")
        matrix = 0
        bias = sum(units * inputs for units, inputs in self._shapes)
        for layer, (units, inputs) in enumerate(self._shapes, 1):
            end = matrix + units * inputs
            parameter, velocity = (
                vector[matrix:end].view(inputs, units).t() for vector in (self.parameters, self.velocities)
            )
            yield f"matrix.{layer}", parameter, velocity
            yield f"bias.{layer}", self.parameters[bias : bias + units], self.velocities[bias : bias + units]
            matrix, bias = end, bias + units

    @timed_part("train")
    def train(self, orders: Mapping[int, Tensor], first: int, last: int) -> None:
        if not self.active[0]:
            return
        training = self._training
        order = orders[self.networks[0].run].numpy()
        loss, correct = kernels_cpu.train(
            self._data.inputs.for_kernels, self._labels, order, first, last, training.batch_size, *self._network,
            self.parameters.numpy(), self.velocities.numpy(),
            np.float32(training.learning_rate), np.float32(training.momentum),
        )  # fmt: skip
        self.loss += loss
        self.correct += correct

    @timed_part("test")
    def evaluate(self, inputs: RawInputs, y: Tensor) -> list[float]:
        return [self._count_correct(inputs, y) / len(y)]

    def _count_correct(self, inputs: RawInputs, y: Tensor) -> int:
        return kernels_cpu.count_correct(
            inputs.for_kernels, y.numpy(), _EVALUATION_BATCH, *self._network, self.parameters.numpy()
        )

    def prepare(self) -> None:
        """Compile the kernels, or load them from the cache: so that the first epoch's time is that of its steps."""
        empty = torch.empty(0, dtype=torch.int64)
        self.train({self.networks[0].run: empty}, 0, 0)
        self._count_correct(replace(self._data.inputs, x=self._data.inputs.x[:0]), empty)

    def finite(self) -> list[bool]:
        return [bool(torch.isfinite(self.parameters).all())]
