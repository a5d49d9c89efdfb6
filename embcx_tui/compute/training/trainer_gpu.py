"""Trains the networks of a cohort together, step by step: batched matrices, a hand-written backward pass, one buffer of
parameters.

Layouts (float32; H width, F features, C classes, B inputs of a minibatch). Everything is unit-major,
[network, unit, input]: so the wide product of layer 1, [networks of a run · H, F] × [F, B], leaves each network's
activations contiguous, and layer l reads them as one batch [networks with depth ≥ l, H, B]. Layer 1 is stored by run,
everything else deepest first.

A step is a program: a list of calls on buffers that keep their addresses, recorded once. New views at every step cost
5 % of the time on a CPU; on a GPU the same list is what a CUDA graph captures.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby

import torch
from torch import Tensor

from embcx_tui.compute.device import triton_kernels
from embcx_tui.compute.device_errors import in_words, is_out_of_memory
from embcx_tui.compute.gpu_path import ACTIVATIONS, GRAPHS, gpu_path
from embcx_tui.compute.timing import timed_part
from embcx_tui.compute.training.network import activate_, backpropagate_
from embcx_tui.compute.training.trainer import DeviceData, NetworkSizes, RawInputs, Trainer
from embcx_tui.study.plan import Network
from embcx_tui.study.settings import TrainingSettings

# Parameters of each layer start on a cache line (16 float32), which MKL likes.
_ALIGN = 16
# Inputs per evaluation pass: 1,000 keep a layer of 20 networks of 100 units at 8 MB, and the products large.
EVALUATION_BATCH = 1_000
# Steps taken before a CUDA graph is captured, so that libraries have allocated their workspaces.
_GRAPH_WARMUP = 3
_CAPTURING = threading.Lock()
# Streams of captures, by device, whose trainers are gone.
_FREE_STREAMS: dict[str, list[torch.cuda.Stream]] = {}


class Workspace:
    """The program of a training step over `batch` inputs per run, or of an evaluation pass, and its buffers; an
    evaluation has those of two layers, and no gradients.
    """

    def __init__(self, trainer: BatchedTrainer, batch: int, training: bool) -> None:
        sizes, device, count = trainer.sizes, trainer.device, len(trainer.networks)
        runs = len(trainer.runs) if training else 1

        def layer(networks: int) -> Tensor:
            return torch.empty(networks, sizes.width, batch, device=device)

        self.batch = batch
        self.index = torch.zeros(runs, batch, dtype=torch.int64, device=device)
        self.raw = torch.empty(runs * batch, sizes.features, dtype=trainer.data.inputs.x.dtype, device=device)
        self.inputs = torch.empty(runs, batch, sizes.features, device=device)
        kept = trainer.counts if training else trainer.counts[:2]
        buffers = [layer(networks) for networks in kept]
        self.layers = [buffers[layer_index % len(kept)] for layer_index in range(len(trainer.counts))]
        self.scratch = layer(count)
        self.by_run = layer(count) if trainer.permuted else None
        self.gradients = [layer(count), layer(count)] if training else []
        self.logits = torch.empty(count, sizes.classes, batch, device=device)
        self.log_p = torch.empty_like(self.logits)
        self.label_index = torch.zeros(count, batch, dtype=torch.int64, device=device)
        self.targets = torch.zeros(count, 1, batch, dtype=torch.int64, device=device)
        self.picked = torch.empty(count, 1, batch, device=device)
        self.best = torch.empty_like(self.picked)
        self.hit = torch.empty(count, 1, batch, dtype=torch.bool, device=device)
        self.minus_ones = torch.full((count, 1, batch), -1.0, device=device)
        self.loss = torch.empty(count, device=device)
        self.hits = torch.empty(count, dtype=torch.int64, device=device)
        self.rate = torch.empty(count, 1, 1, device=device)
        self.ones = torch.ones(batch, device=device)
        self.program: list[Callable[[], object]] = []
        self.graph: torch.cuda.CUDAGraph | None = None

    def record(self, call: Callable[..., object], *values: object, **named: object) -> None:
        """Add a call to the program; its tensors must keep their addresses."""
        self.program.append(partial(call, *values, **named))

    def run(self) -> None:
        for call in self.program:
            call()


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
        self.sizes = sizes
        self.training = training
        self.data = data
        self.device = data.inputs.x.device
        self.runs = tuple(sorted({network.run for network in networks}))
        deepest = networks[0].depth
        # counts[l-1]: networks with a layer l, all of them at the front.
        self.counts = [sum(network.depth >= layer for network in networks) for layer in range(1, deepest + 1)]
        by_run = sorted(range(len(networks)), key=lambda index: networks[index].run)
        self.permuted = by_run != list(range(len(networks)))
        self._row_of = [by_run.index(index) for index in range(len(networks))]  # network -> its row in layer 1
        self._to_rows = torch.tensor(by_run, device=self.device)
        self._from_rows = torch.tensor(self._row_of, device=self.device)
        ordered = [self.runs.index(networks[index].run) for index in by_run]
        self._run_spans = [
            (run, ordered.index(run), ordered.index(run) + ordered.count(run)) for run in range(len(self.runs))
        ]
        self._slices = [_activation_slices(networks[:count]) for count in self.counts]
        self.uses_graphs = self.device.type == "cuda"
        self._stream: torch.cuda.Stream | None = None
        self._kernels = triton_kernels(self.device, ACTIVATIONS)
        if self._kernels:
            activations = [network.activation for network in networks]
            self._codes = self._kernels.activation_codes(activations, self.device)
        runs = [self.runs.index(network.run) for network in networks]
        self._run_of = torch.tensor(runs, device=self.device)
        n = data.labels.shape[1]
        self._label_offset = torch.tensor([[row * n] for row in label_rows], device=self.device)
        self.loss = torch.zeros(len(networks), dtype=torch.float64, device=self.device)
        self.correct = torch.zeros(len(networks), dtype=torch.int64, device=self.device)
        # 0 makes the gradients of a network zero.
        self.active = torch.ones(len(networks), 1, 1, device=self.device)
        self._workspaces: dict[tuple[int, bool], Workspace] = {}
        self._allocate()

    def _allocate(self) -> None:
        """Allocate the flat buffers of parameters and velocities, and the views of them that a step uses."""
        features, width, classes = self.sizes.features, self.sizes.width, self.sizes.classes
        count = len(self.networks)
        deeper = self.counts[1:]
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
                largest[: len(norms)] += norms if layer else norms[self._from_rows]
        return torch.isfinite(largest).tolist()

    @timed_part("train")
    def train(self, orders: Mapping[int, Tensor], first: int, last: int) -> None:
        batch = self.training.batch_size
        for step in range(first, last):
            self.step(torch.stack([orders[run][step * batch : (step + 1) * batch] for run in self.runs]))

    @torch.no_grad()
    def step(self, index: Tensor) -> None:
        """Take one step on training inputs `index` [runs, B]; adds to `loss` (sum over inputs) and `correct`."""
        workspace = self._workspace(index.shape[1], training=True)
        workspace.index.copy_(index)
        self._run(workspace)

    def _run(self, workspace: Workspace) -> None:
        """Run a program, on a GPU as a CUDA graph captured at the first call: a hundred kernels cost one launch."""
        if workspace.graph is None and self.uses_graphs and gpu_path.is_fast(GRAPHS):
            with _CAPTURING:  # torch synchronises the whole device when a capture begins, which another forbids
                workspace.graph = self._captured(workspace)
        if workspace.graph and gpu_path.is_fast(GRAPHS):
            workspace.graph.replay()
        else:
            workspace.run()

    def _captured(self, workspace: Workspace) -> torch.cuda.CUDAGraph | None:
        """Return a program as a CUDA graph; None where that cannot be made: the same calls one by one need none."""
        try:
            return self._capture(workspace)
        except Exception as error:  # whatever forbids a warm-up, a capture or an instantiation; told, with its reason
            if is_out_of_memory(error):
                self.uses_graphs = False  # the next trainer may have more
                gpu_path.tell(
                    f"{self.device} is short of memory for CUDA graphs; training call by call, which is slower"
                )
            else:
                reason = f"CUDA graphs fail on {self.device} ({type(error).__name__}: {in_words(error)})"
                gpu_path.step_down((GRAPHS,), reason)
        return None

    def _capture(self, workspace: Workspace) -> torch.cuda.CUDAGraph:
        """Return a program as a CUDA graph; the effects of the warm-up on its inputs and on the training are undone.

        Warm-up and capture share a stream, so that cuBLAS has its workspace for that stream before the capture.
        thread_local: another thread may embed layers meanwhile, and with the default an allocation there would break
        the capture, or be refused.
        """
        kept = [workspace.inputs, self.parameters, self.velocities, self.loss, self.correct]
        before = [each.clone() for each in kept]
        current = torch.cuda.current_stream(self.device)
        stream = self._capture_stream()
        stream.wait_stream(current)
        try:
            try:
                with torch.cuda.stream(stream):
                    for _ in range(_GRAPH_WARMUP):
                        workspace.run()
            finally:
                current.wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                workspace.run()
        finally:
            for each, value in zip(kept, before, strict=True):
                each.copy_(value)
        return graph

    def _capture_stream(self) -> torch.cuda.Stream:
        """Return the stream of this trainer's captures, for its life; then the next trainer's may have it.

        One per living trainer: cuBLAS keeps a workspace per stream, which graphs that run at the same time must not
        share. From torch's pool of high priority, so never that of the embeddings, whose launches a capture would
        swallow; torch instantiates graphs with the priority of their capture, so steps go before embeddings.
        """
        if self._stream is None:
            free = _FREE_STREAMS.setdefault(str(self.device), [])
            self._stream = free.pop() if free else torch.cuda.Stream(self.device, priority=-1)  # type: ignore[no-untyped-call]  # torch gives it no types
            weakref.finalize(self, free.append, self._stream).atexit = False
        return self._stream

    def _workspace(self, batch: int, training: bool) -> Workspace:
        key = batch, training
        if key not in self._workspaces:
            w = self._workspaces[key] = Workspace(self, batch, training)
            if training:
                self._record_step(w)
            else:
                w.record(self.data.inputs.standardise, w.inputs)
                self._record_forward(w, [(w.inputs[0], 0, len(self.networks))])
        return self._workspaces[key]

    def _record_step(self, w: Workspace) -> None:
        """Record the program of a training step; without host synchronisation, so that a CUDA graph can capture it."""
        record, count = w.record, len(self.networks)
        record(torch.index_select, self.data.inputs.x, 0, w.index.view(-1), out=w.raw)
        record(w.inputs.copy_, w.raw.view(w.inputs.shape))
        record(self.data.inputs.standardise, w.inputs)
        record(torch.index_select, w.index, 0, self._run_of, out=w.label_index)
        record(w.label_index.add_, self._label_offset)
        record(torch.index_select, self.data.labels.view(-1), 0, w.label_index.view(-1), out=w.targets.view(-1))

        self._record_forward(w, [(w.inputs[run], start, stop) for run, start, stop in self._run_spans])
        record(torch.ops.aten._log_softmax.out, w.logits, 1, False, out=w.log_p)
        record(torch.gather, w.log_p, 1, w.targets, out=w.picked)
        record(torch.sum, w.picked.view(count, w.batch), 1, out=w.loss)
        record(self.loss.sub_, w.loss)
        # Correct where no class is likelier than the true one: a fifth of argmax's time.
        record(torch.amax, w.log_p, 1, keepdim=True, out=w.best)
        record(torch.eq, w.best, w.picked, out=w.hit)
        record(torch.sum, w.hit.view(count, w.batch), 1, out=w.hits)
        record(self.correct.add_, w.hits)
        # d loss / d logits = (p - one-hot) / B
        record(torch.exp, w.log_p, out=w.logits)
        record(w.logits.scatter_add_, 1, w.targets, w.minus_ones)
        record(torch.mul, self.active, 1.0 / w.batch, out=w.rate)
        record(w.logits.mul_, w.rate)
        self._record_backward(w)
        record(self.parameters.add_, self.velocities, alpha=-self.training.learning_rate)

    def _record_forward(self, w: Workspace, spans: list[tuple[Tensor, int, int]]) -> None:
        """Record what fills `w.layers` and `w.logits`; spans: (inputs [B, F], first row, last row + 1) of layer 1."""
        record, features = w.record, self.sizes.features
        first = w.layers[0] if w.by_run is None else w.by_run
        for inputs, start, stop in spans:
            bias = self.biases[0][start:stop].view(-1, 1)
            matrix = self.matrices[0][start:stop].view(-1, features)
            record(torch.addmm, bias, matrix, inputs.t(), out=first[start:stop].view(-1, w.batch))
        if w.by_run is not None:
            record(torch.index_select, w.by_run, 0, self._from_rows, out=w.layers[0])
        for layer, count in enumerate(self.counts):
            a = w.layers[layer][:count]
            if layer:
                below = w.layers[layer - 1][:count]
                record(torch.baddbmm, self.biases[layer].unsqueeze(2), self.matrices[layer], below, out=a)
            self._record_activation(w, layer, a)
            start = self._deeper(layer)
            if start < count:  # networks that end here
                bias, matrix = self.biases[-1][start:count].unsqueeze(2), self.matrices[-1][start:count]
                record(torch.baddbmm, bias, matrix, a[start:], out=w.logits[start:count])

    def _record_backward(self, w: Workspace) -> None:
        """Record what adds the gradients to the velocities, v = m v + g, from those of the logits in `w.logits`."""
        record, momentum = w.record, self.training.momentum
        self._record_bias(w, -1, w.logits)
        for layer in reversed(range(len(self.counts))):
            count, start = self.counts[layer], self._deeper(layer)
            a = w.layers[layer]
            gradient = w.gradients[layer % 2][:count]
            if start:
                above = w.gradients[(layer + 1) % 2][:start]
                record(torch.bmm, self.matrices[layer + 1].transpose(1, 2), above, out=gradient[:start])
            if start < count:
                ending, velocity = w.logits[start:count], self.matrix_velocities[-1][start:count]
                record(torch.bmm, self.matrices[-1][start:count].transpose(1, 2), ending, out=gradient[start:])
                record(velocity.baddbmm_, ending, a[start:count].transpose(1, 2), beta=momentum)
            self._record_derivative(w, layer, gradient, a[:count])
            if layer:
                below = w.layers[layer - 1][:count].transpose(1, 2)
                record(self.matrix_velocities[layer].baddbmm_, gradient, below, beta=momentum)
            else:
                if w.by_run is not None:
                    record(torch.index_select, gradient, 0, self._to_rows, out=w.by_run)
                    gradient = w.by_run
                for run, begin, end in self._run_spans:
                    velocity = self.matrix_velocities[0][begin:end].view(-1, self.sizes.features)
                    record(velocity.addmm_, gradient[begin:end].view(-1, w.batch), w.inputs[run], beta=momentum)
            self._record_bias(w, layer, gradient)

    def _record_activation(self, w: Workspace, layer: int, a: Tensor) -> None:
        """Record what replaces the sums `a` [networks, H, B] of layer `layer` + 1 by its activations."""
        if self._kernels:
            w.record(self._kernels.activate_, a, self._codes[: len(a)])
            return
        for activation, begin, end in self._slices[layer]:
            w.record(activate_, a[begin:end], activation, w.scratch[begin:end])

    def _record_derivative(self, w: Workspace, layer: int, gradient: Tensor, a: Tensor) -> None:
        """Record what multiplies the gradients of layer `layer` + 1 by the derivatives at its activations a."""
        if self._kernels:
            w.record(self._kernels.backpropagate_, gradient, a, self._codes[: len(a)])
            return
        for activation, begin, end in self._slices[layer]:
            w.record(backpropagate_, gradient[begin:end], a[begin:end], activation, w.scratch[begin:end])

    def _record_bias(self, w: Workspace, layer: int, gradient: Tensor) -> None:
        velocity = self.bias_velocities[layer].view(-1)
        w.record(velocity.addmv_, gradient.view(-1, w.batch), w.ones, beta=self.training.momentum)

    def _deeper(self, layer: int) -> int:
        """Return how many networks have a layer after `layer` (counted from 0)."""
        return self.counts[layer + 1] if layer + 1 < len(self.counts) else 0

    @torch.no_grad()
    @timed_part("test")
    def evaluate(self, inputs: RawInputs, y: Tensor) -> list[float]:
        correct = torch.zeros_like(self.correct)
        for start in range(0, len(y), EVALUATION_BATCH):
            part, labels = inputs.x[start : start + EVALUATION_BATCH], y[start : start + EVALUATION_BATCH]
            w = self._workspace(len(part), training=False)
            w.inputs[0].copy_(part)
            self._run(w)
            correct += (w.logits.argmax(1) == labels).sum(1)
        return [count / len(y) for count in correct.tolist()]


def _aligned(shape: tuple[int, ...]) -> int:
    return -(-torch.Size(shape).numel() // _ALIGN) * _ALIGN


def _activation_slices(networks: Sequence[Network]) -> list[tuple[str, int, int]]:
    """Return (activation, start, stop) of neighbours with the same activation."""
    slices = []
    start = 0
    for activation, group in groupby(networks, key=lambda network: network.activation):
        stop = start + len(list(group))
        slices.append((activation, start, stop))
        start = stop
    return slices
