"""Trains the networks of a cohort together, step by step: batched matrices, a hand-written backward pass, one buffer of
parameters.

Layouts (float32; H width, F features, C classes, B inputs of a minibatch). Everything is unit-major,
[network, unit, input]: so the wide product of layer 1, [networks of a run · H, F] × [F, B], leaves each network's
activations contiguous, and layer l reads them as one batch [networks with depth ≥ l, H, B]. Layer 1 is stored by run,
everything else deepest first.

A step is a program (`step_program`), on a GPU captured as a CUDA graph (`graphs`), with Triton kernels where they work
(`fused_program`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from embcx_tui.compute.device import triton_kernels
from embcx_tui.compute.gpu_path import ACTIVATIONS
from embcx_tui.compute.timing import timed_part
from embcx_tui.compute.training.fused_program import FusedProgram
from embcx_tui.compute.training.graphs import GraphRunner
from embcx_tui.compute.training.step_program import CohortTensors, PlainProgram, StepProgram
from embcx_tui.compute.training.trainer_base import DeviceData, NetworkSizes, RawInputs, Trainer
from embcx_tui.study.plan import Network
from embcx_tui.study.settings import TrainingSettings

# Parameters of each layer start on a cache line (16 float32), which MKL likes.
_ALIGN = 16
# Inputs per evaluation pass: 1,000 keep a layer of 20 networks of 100 units at 8 MB, and the products large.
EVALUATION_BATCH = 1_000
# Steps per CUDA graph: between two launches the host, and Python's lock, which threads of metrics also take, are not
# needed for 10 to 20 ms. A graph of 50 steps has some 2,000 nodes.
STEPS_PER_GRAPH = 50


class BatchedTrainer(Trainer):
    """Networks of any depths, activations and runs, all trained in one step.

    `networks` must come deepest first; consecutive ones of one depth and activation are handled at once.
    `label_rows[i]` is the row of `data.labels` that network i learns.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        label_rows: Sequence[int],
        sizes: NetworkSizes,
        training: TrainingSettings,
        data: DeviceData,
    ) -> None:
        self.networks = tuple(networks)
        self.training = training
        self.device = device = data.inputs.x.device
        runs = tuple(sorted({network.run for network in networks}))
        by_run = sorted(range(len(networks)), key=lambda index: networks[index].run)
        self._row_of = [by_run.index(index) for index in range(len(networks))]  # network -> its row in layer 1
        ordered = [runs.index(networks[index].run) for index in by_run]
        n = data.labels.shape[1]
        counts = tuple(sum(network.depth >= layer for network in networks) for layer in range(1, networks[0].depth + 1))
        self.loss = torch.zeros(len(networks), dtype=torch.float64, device=device)
        self.correct = torch.zeros(len(networks), dtype=torch.int64, device=device)
        # 0 makes the gradients of a network zero.
        self.active = torch.ones(len(networks), 1, 1, device=device)
        self._allocate(sizes, counts)
        self._tensors = CohortTensors(
            networks=self.networks,
            sizes=sizes,
            data=data,
            runs=runs,
            counts=counts,
            row_of=torch.tensor(self._row_of, device=device),
            by_run=torch.tensor(by_run, device=device),
            run_of=torch.tensor([runs.index(network.run) for network in networks], device=device),
            run_spans=tuple(
                (run, ordered.index(run), ordered.index(run) + ordered.count(run)) for run in range(len(runs))
            ),
            label_offset=torch.tensor([[row * n] for row in label_rows], device=device),
            parameters=self.parameters,
            velocities=self.velocities,
            matrices=self.matrices,
            matrix_velocities=self.matrix_velocities,
            biases=self.biases,
            bias_velocities=self.bias_velocities,
            orders=torch.zeros(len(runs), n, dtype=torch.int64, device=device),
            loss=self.loss,
            correct=self.correct,
            active=self.active,
            learning_rate=training.learning_rate,
            momentum=training.momentum,
        )
        self._orders_taken: tuple[Tensor, ...] = ()
        self._kernels = triton_kernels(device, ACTIVATIONS)
        self.graphs = GraphRunner(device, (self.parameters, self.velocities, self.loss, self.correct))
        self._programs: dict[tuple[int, bool], StepProgram] = {}
        self._before: torch.cuda.Event | None = None

    def _allocate(self, sizes: NetworkSizes, counts: Sequence[int]) -> None:
        """Allocate the flat buffers of parameters and velocities, and the views of them that a step uses."""
        features, width, classes = sizes.features, sizes.width, sizes.classes
        count = len(self.networks)
        deeper = counts[1:]
        shapes: list[tuple[int, ...]]
        shapes = [(count, width, features), *((some, width, width) for some in deeper), (count, classes, width)]
        shapes += [(count, width), *((some, width) for some in deeper), (count, classes)]
        total = sum(_aligned(shape) for shape in shapes)
        self.parameters = torch.zeros(total, device=self.device)
        self.velocities = torch.zeros(total, device=self.device)
        views: list[tuple[Tensor, Tensor]] = []
        start = 0
        for shape in shapes:
            stop = start + torch.Size(shape).numel()
            views.append((self.parameters[start:stop].view(shape), self.velocities[start:stop].view(shape)))
            start += _aligned(shape)
        half = len(shapes) // 2
        # One entry per layer 1 … deepest, then the output layer.
        self.matrices, self.matrix_velocities = (list(part) for part in zip(*views[:half], strict=True))
        self.biases, self.bias_velocities = (list(part) for part in zip(*views[half:], strict=True))

    def named_parameters(self, index: int) -> Iterator[tuple[str, Tensor, Tensor]]:
        depth = self.networks[index].depth
        for layer in range(1, depth + 2):
            entry = layer - 1 if layer <= depth else -1
            row = self._row_of[index] if layer == 1 else index
            yield f"matrix.{layer}", self.matrices[entry][row], self.matrix_velocities[entry][row]
            yield f"bias.{layer}", self.biases[entry][row], self.bias_velocities[entry][row]

    @torch.no_grad()
    def finite(self) -> list[bool]:
        largest = torch.zeros(len(self.networks), device=self.device)
        for layers in (self.matrices, self.biases):
            for layer, parameters in enumerate(layers):
                norms = torch.linalg.vector_norm(parameters.flatten(1), torch.inf, dim=1)
                largest[: len(norms)] += norms if layer else norms[self._tensors.row_of]
        return torch.isfinite(largest).tolist()

    @torch.no_grad()
    @timed_part("train")
    def train(self, orders: Mapping[int, Tensor], first: int, last: int) -> None:
        self._take(orders)
        batch, n = self.training.batch_size, self._tensors.orders.shape[1]
        steps = min(last, n // batch) - first
        if steps > 0:
            program = self._program(batch, training=True)
            program.first.fill_(first * batch)
            for _ in range(steps // STEPS_PER_GRAPH):
                self.graphs.run(program, STEPS_PER_GRAPH)
            for _ in range(steps % STEPS_PER_GRAPH):
                self.graphs.run(program)
        if last * batch > n:  # the last minibatch is smaller
            program = self._program(n % batch, training=True)
            program.first.fill_(n - n % batch)
            self.graphs.run(program)
        self._stay_near()

    def _stay_near(self) -> None:
        """Wait for the steps of the call before, so that the host is one call ahead and a stop waits for no more."""
        if self.device.type == "cuda":
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch gives it no types
            event.record(torch.cuda.current_stream(self.device))
            if self._before is not None:
                self._before.synchronize()
            self._before = event

    def _take(self, orders: Mapping[int, Tensor]) -> None:
        """Have the shuffles of `orders` where the programs read them."""
        asked = tuple(orders[run] for run in self._tensors.runs)
        if len(asked) != len(self._orders_taken) or any(
            one is not other for one, other in zip(asked, self._orders_taken, strict=True)
        ):
            torch.stack(asked, out=self._tensors.orders)
            self._orders_taken = asked

    def _program(self, batch: int, training: bool) -> StepProgram:
        key = batch, training
        if key not in self._programs:
            self._programs[key] = (
                FusedProgram(self._tensors, batch, training, self._kernels)
                if self._kernels
                else PlainProgram(self._tensors, batch, training)
            )
        return self._programs[key]

    @torch.no_grad()
    @timed_part("test")
    def evaluate(self, inputs: RawInputs, y: Tensor) -> list[float]:
        correct = torch.zeros_like(self.correct)
        for start in range(0, len(y), EVALUATION_BATCH):
            part, labels = inputs.x[start : start + EVALUATION_BATCH], y[start : start + EVALUATION_BATCH]
            program = self._program(len(part), training=False)
            program.inputs[0].copy_(part)
            self.graphs.run(program)
            correct += (program.logits.argmax(1) == labels).sum(1)
        return [count / len(y) for count in correct.tolist()]


def _aligned(shape: tuple[int, ...]) -> int:
    return -(-torch.Size(shape).numel() // _ALIGN) * _ALIGN
