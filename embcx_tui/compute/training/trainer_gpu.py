"""Networks that take every training step together: batched matrices, a hand-written backward, one buffer of parameters.

Layouts (float32; H width, F features, C classes, B inputs of a step). Everything is unit-major, [network, unit, input]:
so the wide product of layer 1, [networks of a run · H, F] × [F, B], leaves each network's activations contiguous, and
layer l reads them as one batch [networks with depth ≥ l, H, B]. Layer 1 is stored by run, all else deepest first.

A step is a program: a list of calls on buffers that stay where they are, written down once. Taking views anew at every
step cost 5 % of the time on a CPU; on a GPU the same list is what a CUDA graph captures.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby

import torch
from torch import Tensor

from embcx_tui.compute.device import triton_kernels
from embcx_tui.compute.timing import timed_part
from embcx_tui.compute.training.network import activate_, backpropagate_
from embcx_tui.compute.training.trainer import DeviceData, RawInputs, Sizes, Trainer
from embcx_tui.study.plan import Network
from embcx_tui.study.settings import TrainingSettings

# Parameters of each layer start on a cache line (16 float32), which MKL likes.
_ALIGN = 16
# Inputs of an evaluation pass: 1,000 keep a layer of 20 networks of 100 units at 8 MB, and the products large.
EVALUATION_BATCH = 1_000
# Steps taken before a CUDA graph is captured, so that libraries have allocated what they keep.
_GRAPH_WARMUP = 3
_CAPTURING = threading.Lock()


class _Workspace:
    """The buffers of a step over `batch` inputs a run; of an evaluation: of two layers, and no gradients."""

    def __init__(self, block: CohortTrainer, batch: int, training: bool) -> None:
        sizes, device, count = block.sizes, block.device, len(block.networks)
        runs = len(block.runs) if training else 1

        def layer(networks: int) -> Tensor:
            return torch.empty(networks, sizes.width, batch, device=device)

        self.batch = batch
        self.index = torch.zeros(runs, batch, dtype=torch.int64, device=device)
        self.raw = torch.empty(runs * batch, sizes.features, dtype=block.data.inputs.x.dtype, device=device)
        self.inputs = torch.empty(runs, batch, sizes.features, device=device)
        kept = block.counts if training else block.counts[:2]
        buffers = [layer(networks) for networks in kept]
        self.layers = [buffers[place % len(kept)] for place in range(len(block.counts))]
        self.scratch = layer(count)
        self.by_run = layer(count) if block.permuted else None
        self.gradients = [layer(count), layer(count)] if training else []
        self.logits = torch.empty(count, sizes.classes, batch, device=device)
        self.log_p = torch.empty_like(self.logits)
        self.label_places = torch.zeros(count, batch, dtype=torch.int64, device=device)
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

    def do(self, call: Callable[..., object], *values: object, **named: object) -> None:
        """Write down a call, made at every `run`; its tensors must stay where they are."""
        self.program.append(partial(call, *values, **named))

    def run(self) -> None:
        for call in self.program:
            call()


class CohortTrainer(Trainer):
    """A set of networks (any depths, activations, runs) trained in one step.

    `networks` must come deepest first; those of one depth with equal activations side by side are handled at once.
    `label_rows[i]` is the row of `data.labels` that network i learns.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        label_rows: Sequence[int],
        sizes: Sizes,
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
        by_run = sorted(range(len(networks)), key=lambda place: networks[place].run)
        self.permuted = by_run != list(range(len(networks)))
        self._row_of = [by_run.index(place) for place in range(len(networks))]  # network -> its row in layer 1
        self._to_rows = torch.tensor(by_run, device=self.device)
        self._from_rows = torch.tensor(self._row_of, device=self.device)
        ordered = [self.runs.index(networks[place].run) for place in by_run]
        self._run_spans = [
            (run, ordered.index(run), ordered.index(run) + ordered.count(run)) for run in range(len(self.runs))
        ]
        self._slices = [_activation_slices(networks[:count]) for count in self.counts]
        self._as_graphs = self.device.type == "cuda"
        self._mixed = triton_kernels(self.device, "training.kernels_gpu")
        if self._mixed:
            self._kinds = self._mixed.kinds([network.activation for network in networks], self.device)
        places = [self.runs.index(network.run) for network in networks]
        self._run_of = torch.tensor(places, device=self.device)
        n = data.labels.shape[1]
        self._label_offset = torch.tensor([[row * n] for row in label_rows], device=self.device)
        self.loss = torch.zeros(len(networks), dtype=torch.float64, device=self.device)
        self.correct = torch.zeros(len(networks), dtype=torch.int64, device=self.device)
        # 0 stops a network where it stands: its gradients become zero.
        self.alive = torch.ones(len(networks), 1, 1, device=self.device)
        self._workspaces: dict[tuple[int, bool], _Workspace] = {}
        self._allocate()

    def _allocate(self) -> None:
        """Make the flat buffers of parameters and velocities, and the views of them that the step uses."""
        features, width, classes = self.sizes.features, self.sizes.width, self.sizes.classes
        count = len(self.networks)
        deeper = self.counts[1:]
        shapes: list[tuple[int, ...]]
        shapes = [(count, width, features), *((here, width, width) for here in deeper), (count, classes, width)]
        shapes += [(count, width), *((here, width) for here in deeper), (count, classes)]
        total = sum(_padded(shape) for shape in shapes)
        self.parameters = torch.zeros(total, device=self.device)
        self.velocities = torch.zeros(total, device=self.device)
        views: list[tuple[Tensor, Tensor]] = []
        start = 0
        for shape in shapes:
            stop = start + torch.Size(shape).numel()
            views.append((self.parameters[start:stop].view(shape), self.velocities[start:stop].view(shape)))
            start += _padded(shape)
        half = len(shapes) // 2
        # One entry a layer 1 … deepest, then the output layer.
        self.matrices, self.matrix_velocities = (list(part) for part in zip(*views[:half], strict=True))
        self.biases, self.bias_velocities = (list(part) for part in zip(*views[half:], strict=True))

    def parts(self, place: int) -> Iterator[tuple[str, Tensor, Tensor]]:
        depth = self.networks[place].depth
        for layer in range(1, depth + 2):
            entry = layer - 1 if layer <= depth else -1
            row = self._row_of[place] if layer == 1 else place
            yield f"matrix.{layer}", self.matrices[entry][row], self.matrix_velocities[entry][row]
            yield f"bias.{layer}", self.biases[entry][row], self.bias_velocities[entry][row]

    @torch.no_grad()
    def finite(self) -> list[bool]:
        largest = torch.zeros(len(self.networks), device=self.device)
        for layers in (self.matrices, self.biases):
            for place, parameters in enumerate(layers):
                norms = torch.linalg.vector_norm(parameters.flatten(1), torch.inf, dim=1)
                largest[: len(norms)] += norms if place else norms[self._from_rows]
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

    def _run(self, workspace: _Workspace) -> None:
        """Run a program; on a GPU as a CUDA graph, captured at the first call: a hundred kernels cost one launch."""
        if not self._as_graphs:
            workspace.run()
            return
        if workspace.graph is None:
            workspace.graph = self._captured(workspace)
        workspace.graph.replay()

    def _captured(self, workspace: _Workspace) -> torch.cuda.CUDAGraph:
        """Return a program as a CUDA graph; what warming up did to its inputs and to the training is undone.

        Warm-up and capture share a stream, so what cuBLAS keeps for a stream is there before the capture, and that
        stream is on this device (torch's own is on the one that captured first). thread_local: layers may be embedded
        in another thread meanwhile, and with the default an allocation there would break the capture, or be refused.
        One capture at a time: torch synchronises the whole device when one begins, which another under way forbids.
        """
        with _CAPTURING:
            return self._capture(workspace)

    def _capture(self, workspace: _Workspace) -> torch.cuda.CUDAGraph:
        kept = [workspace.inputs, self.parameters, self.velocities, self.loss, self.correct]
        before = [each.clone() for each in kept]
        current = torch.cuda.current_stream(self.device)
        stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]  # torch gives it no types
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            for _ in range(_GRAPH_WARMUP):
                workspace.run()
        current.wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            workspace.run()
        for each, value in zip(kept, before, strict=True):
            each.copy_(value)
        return graph

    def _workspace(self, batch: int, training: bool) -> _Workspace:
        key = batch, training
        if key not in self._workspaces:
            w = self._workspaces[key] = _Workspace(self, batch, training)
            if training:
                self._write_step(w)
            else:
                w.do(self.data.inputs.standardise, w.inputs)
                self._write_forward(w, [(w.inputs[0], 0, len(self.networks))])
        return self._workspaces[key]

    def _write_step(self, w: _Workspace) -> None:
        """Write the program of a training step; no host synchronisation in it, so that a CUDA graph can hold it."""
        do, count = w.do, len(self.networks)
        do(torch.index_select, self.data.inputs.x, 0, w.index.view(-1), out=w.raw)
        do(w.inputs.copy_, w.raw.view(w.inputs.shape))
        do(self.data.inputs.standardise, w.inputs)
        do(torch.index_select, w.index, 0, self._run_of, out=w.label_places)
        do(w.label_places.add_, self._label_offset)
        do(torch.index_select, self.data.labels.view(-1), 0, w.label_places.view(-1), out=w.targets.view(-1))

        self._write_forward(w, [(w.inputs[run], start, stop) for run, start, stop in self._run_spans])
        do(torch.ops.aten._log_softmax.out, w.logits, 1, False, out=w.log_p)
        do(torch.gather, w.log_p, 1, w.targets, out=w.picked)
        do(torch.sum, w.picked.view(count, w.batch), 1, out=w.loss)
        do(self.loss.sub_, w.loss)
        # Correct where no class is likelier than the true one: a fifth of argmax's time.
        do(torch.amax, w.log_p, 1, keepdim=True, out=w.best)
        do(torch.eq, w.best, w.picked, out=w.hit)
        do(torch.sum, w.hit.view(count, w.batch), 1, out=w.hits)
        do(self.correct.add_, w.hits)
        # d loss / d logits = (p - one-hot) / B
        do(torch.exp, w.log_p, out=w.logits)
        do(w.logits.scatter_add_, 1, w.targets, w.minus_ones)
        do(torch.mul, self.alive, 1.0 / w.batch, out=w.rate)
        do(w.logits.mul_, w.rate)
        self._write_backward(w)
        do(self.parameters.add_, self.velocities, alpha=-self.training.learning_rate)

    def _write_forward(self, w: _Workspace, spans: list[tuple[Tensor, int, int]]) -> None:
        """Fill `w.layers` and `w.logits`; `spans` are (inputs [B, F], first row, last row + 1) of layer 1."""
        do, features = w.do, self.sizes.features
        first = w.layers[0] if w.by_run is None else w.by_run
        for inputs, start, stop in spans:
            bias = self.biases[0][start:stop].view(-1, 1)
            matrix = self.matrices[0][start:stop].view(-1, features)
            do(torch.addmm, bias, matrix, inputs.t(), out=first[start:stop].view(-1, w.batch))
        if w.by_run is not None:
            do(torch.index_select, w.by_run, 0, self._from_rows, out=w.layers[0])
        for place, count in enumerate(self.counts):
            a = w.layers[place][:count]
            if place:
                below = w.layers[place - 1][:count]
                do(torch.baddbmm, self.biases[place].unsqueeze(2), self.matrices[place], below, out=a)
            self._write_activation(w, place, a)
            start = self._deeper(place)
            if start < count:  # networks that end here
                bias, matrix = self.biases[-1][start:count].unsqueeze(2), self.matrices[-1][start:count]
                do(torch.baddbmm, bias, matrix, a[start:], out=w.logits[start:count])

    def _write_backward(self, w: _Workspace) -> None:
        """Add the gradients to the velocities, v = m v + g, from those of the logits in `w.logits`."""
        do, momentum = w.do, self.training.momentum
        self._write_bias(w, -1, w.logits)
        for place in reversed(range(len(self.counts))):
            count, start = self.counts[place], self._deeper(place)
            a = w.layers[place]
            here = w.gradients[place % 2][:count]
            if start:
                above = w.gradients[(place + 1) % 2][:start]
                do(torch.bmm, self.matrices[place + 1].transpose(1, 2), above, out=here[:start])
            if start < count:
                ending, velocity = w.logits[start:count], self.matrix_velocities[-1][start:count]
                do(torch.bmm, self.matrices[-1][start:count].transpose(1, 2), ending, out=here[start:])
                do(velocity.baddbmm_, ending, a[start:count].transpose(1, 2), beta=momentum)
            self._write_derivative(w, place, here, a[:count])
            if place:
                below = w.layers[place - 1][:count].transpose(1, 2)
                do(self.matrix_velocities[place].baddbmm_, here, below, beta=momentum)
            else:
                if w.by_run is not None:
                    do(torch.index_select, here, 0, self._to_rows, out=w.by_run)
                    here = w.by_run
                for run, begin, end in self._run_spans:
                    velocity = self.matrix_velocities[0][begin:end].view(-1, self.sizes.features)
                    do(velocity.addmm_, here[begin:end].view(-1, w.batch), w.inputs[run], beta=momentum)
            self._write_bias(w, place, here)

    def _write_activation(self, w: _Workspace, place: int, a: Tensor) -> None:
        """Replace the sums `a` [networks, H, B] of layer place + 1 by its activations."""
        if self._mixed:
            w.do(self._mixed.activate_, a, self._kinds[: len(a)])
            return
        for activation, begin, end in self._slices[place]:
            w.do(activate_, a[begin:end], activation, w.scratch[begin:end])

    def _write_derivative(self, w: _Workspace, place: int, gradient: Tensor, a: Tensor) -> None:
        """Multiply the gradients by activations of layer place + 1 into those by its sums."""
        if self._mixed:
            w.do(self._mixed.backpropagate_, gradient, a, self._kinds[: len(a)])
            return
        for activation, begin, end in self._slices[place]:
            w.do(backpropagate_, gradient[begin:end], a[begin:end], activation, w.scratch[begin:end])

    def _write_bias(self, w: _Workspace, place: int, gradient: Tensor) -> None:
        velocity = self.bias_velocities[place].view(-1)
        w.do(velocity.addmv_, gradient.view(-1, w.batch), w.ones, beta=self.training.momentum)

    def _deeper(self, place: int) -> int:
        """Return how many networks have a layer after `place` (counted from 0)."""
        return self.counts[place + 1] if place + 1 < len(self.counts) else 0

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


def _padded(shape: tuple[int, ...]) -> int:
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
