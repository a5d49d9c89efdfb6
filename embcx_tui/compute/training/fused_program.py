"""The program of a training step or of a test with Triton kernels between its matrix products.

41 launches per step for the paper's 140 networks of seven depths, where `PlainProgram` makes 438: biases are added
where activations are computed, and their gradients summed where derivatives are; the last activations of all networks
lie side by side, so the output layers of all depths are one product. By estimate a dependent launch in a graph takes
two microseconds.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from embcx_tui.compute.training.step_program import CohortTensors, StepProgram


class FusedProgram(StepProgram):
    """The program by `kernels`, the module `kernels_triton`, which is imported only where Triton works."""

    def __init__(self, cohort: CohortTensors, batch: int, training: bool, kernels: Any) -> None:
        self.kernels = kernels
        super().__init__(cohort, batch, training)

    def _allocate(self, training: bool) -> None:
        count = len(self.cohort.networks)
        activations = [network.activation for network in self.cohort.networks]
        self.codes = self.kernels.activation_codes(activations, self.device)
        self.own_rows = torch.arange(count, device=self.device)
        self.last = self._layer(count)
        """The activations of every network's last hidden layer."""
        if training:
            self.last_gradient = self._layer(count)

    def _record_evaluation(self) -> None:
        cohort = self.cohort
        self._record(cohort.data.inputs.standardise, self.inputs)
        self._record_forward(training=False)
        self._record(self.logits.add_, cohort.biases[-1].unsqueeze(2))

    def _record_step(self) -> None:
        cohort, inputs = self.cohort, self.cohort.data.inputs
        self._record(
            self.kernels.gather,
            *(inputs.x, cohort.orders, self.first, self.index, self.inputs, inputs.mean, inputs.scale),
        )
        self._record_forward(training=True)
        self._record(
            self.kernels.cross_entropy,
            *(self.logits, cohort.biases[-1], cohort.bias_velocities[-1], cohort.data.labels, cohort.label_offset),
            *(self.index, cohort.run_of, cohort.active, cohort.loss, cohort.correct, cohort.momentum),
        )
        self._record_backward()
        self._record(cohort.parameters.add_, cohort.velocities, alpha=-cohort.learning_rate)

    def _rows(self, layer: int) -> Tensor:
        """Return each network's row in the parameters of `layer` (from 0)."""
        return self.own_rows if layer or self.by_run is None else self.cohort.row_of

    def _record_forward(self, training: bool) -> None:
        """Record what fills `layers`, `last` and `logits`, these without their biases, from standardised `inputs`."""
        cohort = self.cohort
        for layer, count in enumerate(cohort.counts):
            a = self.layers[layer][:count]
            sums = a if layer or self.by_run is None else self.by_run
            if layer:
                self._record(torch.bmm, cohort.matrices[layer], self.layers[layer - 1][:count], out=a)
            else:
                self._record_layer_1(sums, training, with_bias=False)
            codes, ends_from = self.codes[:count], cohort.deeper(layer)
            self._record(
                self.kernels.activate,
                *(sums, self._rows(layer), cohort.biases[layer], a, self.last, codes, ends_from),
            )
        self._record(torch.bmm, cohort.matrices[-1], self.last, out=self.logits)

    def _record_backward(self) -> None:
        """Record what adds the gradients to the velocities, v = m v + g, from those of the logits in `logits`."""
        record, cohort, momentum = self._record, self.cohort, self.cohort.momentum
        record(torch.bmm, cohort.matrices[-1].transpose(1, 2), self.logits, out=self.last_gradient)
        record(cohort.matrix_velocities[-1].baddbmm_, self.logits, self.last.transpose(1, 2), beta=momentum)
        for layer in reversed(range(len(cohort.counts))):
            count, start = cohort.counts[layer], cohort.deeper(layer)
            a, gradient = self.layers[layer][:count], self.gradients[layer % 2][:count]
            if start:
                above = self.gradients[(layer + 1) % 2][:start]
                record(torch.bmm, cohort.matrices[layer + 1].transpose(1, 2), above, out=gradient[:start])
            moved = gradient if layer or self.by_run is None else self.by_run
            record(
                self.kernels.backpropagate,
                *(gradient, self.last_gradient, a, self._rows(layer), moved, cohort.bias_velocities[layer]),
                *(self.codes[:count], start, momentum),
            )
            if layer:
                below = self.layers[layer - 1][:count].transpose(1, 2)
                record(cohort.matrix_velocities[layer].baddbmm_, gradient, below, beta=momentum)
            else:
                self._record_layer_1_velocity(moved)
