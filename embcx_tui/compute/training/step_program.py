"""The program of a training step or of a test: calls on buffers that keep their addresses, recorded once.

New views at every step cost 5 % of the time on a CPU; on a GPU the same list is what a CUDA graph captures. Here is the
program in torch's own calls; `fused_program` has the one with Triton kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import groupby

import torch
from torch import Tensor

from embcx_tui.compute.training.network import activate_, backpropagate_
from embcx_tui.compute.training.trainer_base import DeviceData, NetworkSizes
from embcx_tui.study.plan import Network


@dataclass(frozen=True, eq=False)
class CohortTensors:
    """What the programs of a cohort share: who its networks are, and the tensors that outlive a step.

    Networks are deepest first. `matrices`, `biases` and their velocities have one entry per layer 1 … deepest, then the
    output layer; those of layer 1 are ordered by run, and `row_of` [networks] has each network's row of them.
    """

    networks: tuple[Network, ...]
    sizes: NetworkSizes
    data: DeviceData
    runs: tuple[int, ...]
    counts: tuple[int, ...]
    """counts[l-1]: networks with a layer l, all of them at the front."""
    row_of: Tensor
    by_run: Tensor
    """by_run[row]: the network of that row of layer 1."""
    run_of: Tensor
    """run_of[network]: the place of its run in `runs`."""
    run_spans: tuple[tuple[int, int, int], ...]
    """(place of the run, first row, last row + 1) of layer 1."""
    label_offset: Tensor
    """[networks, 1]: where each network's row of `data.labels` begins."""
    parameters: Tensor
    velocities: Tensor
    matrices: Sequence[Tensor]
    matrix_velocities: Sequence[Tensor]
    biases: Sequence[Tensor]
    bias_velocities: Sequence[Tensor]
    orders: Tensor
    """[runs, n_train]: the shuffle of each run in this epoch."""
    loss: Tensor
    correct: Tensor
    active: Tensor
    learning_rate: float
    momentum: float

    @cached_property
    def permuted(self) -> bool:
        """Whether the order by run is another than the networks'."""
        return self.by_run.tolist() != list(range(len(self.networks)))

    @cached_property
    def rows_per_run(self) -> int:
        """Rows of layer 1 of each run, where all runs have as many; else 0."""
        lengths = {stop - start for _, start, stop in self.run_spans}
        return lengths.pop() if len(lengths) == 1 else 0

    def deeper(self, layer: int) -> int:
        """Return how many networks have a layer after `layer` (counted from 0)."""
        return self.counts[layer + 1] if layer + 1 < len(self.counts) else 0


class StepProgram:
    """A program over `batch` inputs per run, and its buffers: those of an evaluation have two layers, no gradients.

    A step takes the inputs at places `first` … `first` + batch - 1 of `orders`, and moves `first` on: so a graph of
    many steps needs nothing from the host between them.
    """

    def __init__(self, cohort: CohortTensors, batch: int, training: bool) -> None:
        sizes, count = cohort.sizes, len(cohort.networks)
        runs = len(cohort.runs) if training else 1
        self.cohort, self.batch = cohort, batch
        self.device = cohort.parameters.device
        self.first = torch.zeros(1, dtype=torch.int64, device=self.device)
        self.inputs = torch.empty(runs, batch, sizes.features, device=self.device)
        kept = cohort.counts if training else cohort.counts[:2]
        buffers = [self._layer(networks) for networks in kept]
        self.layers = [buffers[layer % len(kept)] for layer in range(len(cohort.counts))]
        self.by_run = self._layer(count) if cohort.permuted else None
        self.logits = torch.empty(count, sizes.classes, batch, device=self.device)
        self.graphs: dict[int, torch.cuda.CUDAGraph] = {}
        """Captured graphs, by how often each runs the program."""
        self.calls: list[Callable[[], object]] = []
        if training:
            self.index = torch.zeros(runs, batch, dtype=torch.int64, device=self.device)
            self.gradients = [self._layer(count), self._layer(count)]
        self._allocate(training)
        if training:
            self._record_step()
            self._record(self.first.add_, batch)
        else:
            self._record_evaluation()

    def run(self) -> None:
        for call in self.calls:
            call()

    def _layer(self, networks: int) -> Tensor:
        return torch.empty(networks, self.cohort.sizes.width, self.batch, device=self.device)

    def _record(self, call: Callable[..., object], *values: object, **named: object) -> None:
        """Add a call to the program; its tensors must keep their addresses."""
        self.calls.append(partial(call, *values, **named))

    def _allocate(self, training: bool) -> None:
        raise NotImplementedError

    def _record_step(self) -> None:
        """Record a training step; without host synchronisation, so that a CUDA graph can capture it."""
        raise NotImplementedError

    def _record_evaluation(self) -> None:
        """Record what fills `logits` from raw `inputs`."""
        raise NotImplementedError

    def _record_layer_1(self, out: Tensor, training: bool, with_bias: bool) -> None:
        """Record the sums of layer 1, `out` [networks by run, units, batch]: all runs in one product where they have as
        many networks each (the paper's five, one after another, leave most of a large GPU idle).
        """
        cohort, batch, features = self.cohort, self.batch, self.cohort.sizes.features
        bias = cohort.biases[0].unsqueeze(2)
        if training and cohort.rows_per_run:
            matrix, inputs, sums = self._of_runs(cohort.matrices[0]), self.inputs.transpose(1, 2), self._of_runs(out)
            if with_bias:
                self._record(torch.baddbmm, self._of_runs(bias), matrix, inputs, out=sums)
            else:
                self._record(torch.bmm, matrix, inputs, out=sums)
            return
        for run, start, stop in cohort.run_spans if training else ((0, 0, len(cohort.networks)),):
            matrix, sums = cohort.matrices[0][start:stop].view(-1, features), out[start:stop].view(-1, batch)
            if with_bias:
                self._record(torch.addmm, bias[start:stop].view(-1, 1), matrix, self.inputs[run].t(), out=sums)
            else:
                self._record(torch.mm, matrix, self.inputs[run].t(), out=sums)

    def _record_layer_1_velocity(self, gradient: Tensor) -> None:
        """Record the velocity of layer 1's matrices, from the gradient of its sums [networks by run, units, batch]."""
        cohort = self.cohort
        if cohort.rows_per_run:
            velocity = self._of_runs(cohort.matrix_velocities[0])
            self._record(velocity.baddbmm_, self._of_runs(gradient), self.inputs, beta=cohort.momentum)
            return
        for run, start, stop in cohort.run_spans:
            velocity = cohort.matrix_velocities[0][start:stop].view(-1, cohort.sizes.features)
            of_run = gradient[start:stop].view(-1, self.batch)
            self._record(velocity.addmm_, of_run, self.inputs[run], beta=cohort.momentum)

    def _of_runs(self, tensor: Tensor) -> Tensor:
        """Return a view of `tensor` [rows of layer 1, units, …] as [runs, units of all its rows, …]."""
        rows = self.cohort.rows_per_run
        return tensor.view(len(self.cohort.runs), rows * tensor.shape[1], *tensor.shape[2:])


class PlainProgram(StepProgram):
    """The program in torch's calls: activations slice by slice of equal ones."""

    def _allocate(self, training: bool) -> None:
        cohort, batch, device = self.cohort, self.batch, self.device
        count = len(cohort.networks)
        self.scratch = self._layer(count)
        self._slices = [_activation_slices(cohort.networks[:some]) for some in cohort.counts]
        if not training:
            return
        self.within = torch.arange(batch, device=device)
        self.places = torch.empty_like(self.within)
        self.raw = torch.empty(
            len(cohort.runs) * batch, cohort.sizes.features, dtype=cohort.data.inputs.x.dtype, device=device
        )
        self.log_p = torch.empty_like(self.logits)
        self.label_index = torch.zeros(count, batch, dtype=torch.int64, device=device)
        self.targets = torch.zeros(count, 1, batch, dtype=torch.int64, device=device)
        self.picked = torch.empty(count, 1, batch, device=device)
        self.best = torch.empty_like(self.picked)
        self.hit = torch.empty(count, 1, batch, dtype=torch.bool, device=device)
        self.minus_ones = torch.full((count, 1, batch), -1.0, device=device)
        self.losses = torch.empty(count, device=device)
        self.hits = torch.empty(count, dtype=torch.int64, device=device)
        self.rate = torch.empty(count, 1, 1, device=device)
        self.ones = torch.ones(batch, device=device)

    def _record_evaluation(self) -> None:
        self._record(self.cohort.data.inputs.standardise, self.inputs)
        self._record_forward(training=False)

    def _record_step(self) -> None:
        record, cohort, data = self._record, self.cohort, self.cohort.data
        count = len(cohort.networks)
        record(torch.add, self.within, self.first, out=self.places)
        record(torch.index_select, cohort.orders, 1, self.places, out=self.index)
        record(torch.index_select, data.inputs.x, 0, self.index.view(-1), out=self.raw)
        record(self.inputs.copy_, self.raw.view(self.inputs.shape))
        record(data.inputs.standardise, self.inputs)
        record(torch.index_select, self.index, 0, cohort.run_of, out=self.label_index)
        record(self.label_index.add_, cohort.label_offset)
        record(torch.index_select, data.labels.view(-1), 0, self.label_index.view(-1), out=self.targets.view(-1))
        self._record_forward(training=True)
        record(torch.ops.aten._log_softmax.out, self.logits, 1, False, out=self.log_p)
        record(torch.gather, self.log_p, 1, self.targets, out=self.picked)
        record(torch.sum, self.picked.view(count, self.batch), 1, out=self.losses)
        record(cohort.loss.sub_, self.losses)
        # Correct where no class is likelier than the true one: a fifth of argmax's time.
        record(torch.amax, self.log_p, 1, keepdim=True, out=self.best)
        record(torch.eq, self.best, self.picked, out=self.hit)
        record(torch.sum, self.hit.view(count, self.batch), 1, out=self.hits)
        record(cohort.correct.add_, self.hits)
        # d loss / d logits = (p - one-hot) / B
        record(torch.exp, self.log_p, out=self.logits)
        record(self.logits.scatter_add_, 1, self.targets, self.minus_ones)
        record(torch.mul, cohort.active, 1.0 / self.batch, out=self.rate)
        record(self.logits.mul_, self.rate)
        self._record_backward()
        record(cohort.parameters.add_, cohort.velocities, alpha=-cohort.learning_rate)

    def _record_forward(self, training: bool) -> None:
        """Record what fills `layers` and `logits` from standardised `inputs`."""
        record, cohort = self._record, self.cohort
        self._record_layer_1(self.layers[0] if self.by_run is None else self.by_run, training, with_bias=True)
        if self.by_run is not None:
            record(torch.index_select, self.by_run, 0, cohort.row_of, out=self.layers[0])
        for layer, count in enumerate(cohort.counts):
            a = self.layers[layer][:count]
            if layer:
                below = self.layers[layer - 1][:count]
                record(torch.baddbmm, cohort.biases[layer].unsqueeze(2), cohort.matrices[layer], below, out=a)
            for activation, begin, end in self._slices[layer]:
                record(activate_, a[begin:end], activation, self.scratch[begin:end])
            start = cohort.deeper(layer)
            if start < count:  # networks that end here
                bias, matrix = cohort.biases[-1][start:count].unsqueeze(2), cohort.matrices[-1][start:count]
                record(torch.baddbmm, bias, matrix, a[start:], out=self.logits[start:count])

    def _record_backward(self) -> None:
        """Record what adds the gradients to the velocities, v = m v + g, from those of the logits in `logits`."""
        record, cohort, momentum = self._record, self.cohort, self.cohort.momentum
        self._record_bias(-1, self.logits)
        for layer in reversed(range(len(cohort.counts))):
            count, start = cohort.counts[layer], cohort.deeper(layer)
            a = self.layers[layer]
            gradient = self.gradients[layer % 2][:count]
            if start:
                above = self.gradients[(layer + 1) % 2][:start]
                record(torch.bmm, cohort.matrices[layer + 1].transpose(1, 2), above, out=gradient[:start])
            if start < count:
                ending, velocity = self.logits[start:count], cohort.matrix_velocities[-1][start:count]
                record(torch.bmm, cohort.matrices[-1][start:count].transpose(1, 2), ending, out=gradient[start:])
                record(velocity.baddbmm_, ending, a[start:count].transpose(1, 2), beta=momentum)
            for activation, begin, end in self._slices[layer]:
                record(backpropagate_, gradient[begin:end], a[begin:end], activation, self.scratch[begin:end])
            if layer:
                below = self.layers[layer - 1][:count].transpose(1, 2)
                record(cohort.matrix_velocities[layer].baddbmm_, gradient, below, beta=momentum)
            else:
                if self.by_run is not None:
                    record(torch.index_select, gradient, 0, cohort.by_run, out=self.by_run)
                    gradient = self.by_run
                self._record_layer_1_velocity(gradient)
            self._record_bias(layer, gradient)

    def _record_bias(self, layer: int, gradient: Tensor) -> None:
        velocity = self.cohort.bias_velocities[layer].view(-1)
        self._record(velocity.addmv_, gradient.view(-1, self.batch), self.ones, beta=self.cohort.momentum)


def _activation_slices(networks: Sequence[Network]) -> list[tuple[str, int, int]]:
    """Return (activation, start, stop) of neighbours with the same activation."""
    slices = []
    start = 0
    for activation, group in groupby(networks, key=lambda network: network.activation):
        stop = start + len(list(group))
        slices.append((activation, start, stop))
        start = stop
    return slices
