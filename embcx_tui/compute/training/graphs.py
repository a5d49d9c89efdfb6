"""CUDA graphs of step programs: captured once, then replayed by one launch; without one, call by call."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence

import torch
from torch import Tensor

from embcx_tui.compute.device_errors import in_words, is_out_of_memory
from embcx_tui.compute.gpu_path import GRAPHS, gpu_path
from embcx_tui.compute.training.step_program import StepProgram

# Runs before a graph is captured, so that libraries have allocated their workspaces.
_WARMUP = 3
_CAPTURING = threading.Lock()
# Streams of captures, by device, whose trainers are gone.
FREE_STREAMS: dict[str, list[torch.cuda.Stream]] = {}


class GraphRunner:
    """Runs the programs of one trainer, as graphs where `enabled`.

    `kept` are the tensors that a program changes for good: what the warm-up of a capture does to them is undone.
    """

    def __init__(self, device: torch.device, kept: Sequence[Tensor]) -> None:
        self.device = device
        self.enabled = device.type == "cuda"
        self._kept = tuple(kept)
        self._stream: torch.cuda.Stream | None = None

    def run(self, program: StepProgram, times: int = 1) -> None:
        """Run `program` `times` times; as a graph all of them are one launch."""
        if times not in program.graphs and self.enabled and gpu_path.is_fast(GRAPHS):
            with _CAPTURING:  # torch synchronises the whole device when a capture begins, which another forbids
                graph = self._captured(program, times)
            if graph is not None:
                program.graphs[times] = graph
        if times in program.graphs and gpu_path.is_fast(GRAPHS):
            program.graphs[times].replay()
        else:
            for _ in range(times):
                program.run()

    def _captured(self, program: StepProgram, times: int) -> torch.cuda.CUDAGraph | None:
        """Return a program as a CUDA graph; None where that cannot be made: the same calls one by one need none."""
        try:
            return self._capture(program, times)
        except Exception as error:  # whatever forbids a warm-up, a capture or an instantiation; told, with its reason
            if is_out_of_memory(error):
                self.enabled = False  # the next trainer may have more
                gpu_path.tell(
                    f"{self.device} is short of memory for CUDA graphs; training call by call, which is slower"
                )
            else:
                reason = f"CUDA graphs fail on {self.device} ({type(error).__name__}: {in_words(error)})"
                gpu_path.step_down((GRAPHS,), reason)
        return None

    def _capture(self, program: StepProgram, times: int) -> torch.cuda.CUDAGraph:
        """Return a program as a CUDA graph.

        Warm-up and capture share a stream, so that cuBLAS has its workspace for that stream before the capture.
        thread_local: another thread may embed layers meanwhile, and with the default an allocation there would break
        the capture, or be refused.
        """
        kept = [program.inputs, program.first, *self._kept]
        before = [each.clone() for each in kept]
        current = torch.cuda.current_stream(self.device)
        stream = self.stream()
        stream.wait_stream(current)
        try:
            try:
                with torch.cuda.stream(stream):
                    for _ in range(_WARMUP):
                        program.run()
                        program.first.copy_(before[1])  # three minibatches on may be beyond the data
            finally:
                current.wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                for _ in range(times):
                    program.run()
        finally:
            for each, value in zip(kept, before, strict=True):
                each.copy_(value)
        return graph

    def stream(self) -> torch.cuda.Stream:
        """Return the stream of this trainer's captures, for its life; then the next trainer's may have it.

        One per living trainer: cuBLAS keeps a workspace per stream, which graphs that run at the same time must not
        share. From torch's pool of high priority, so never that of the embeddings, whose launches a capture would
        swallow; torch instantiates graphs with the priority of their capture, so steps go before embeddings.
        """
        if self._stream is None:
            free = FREE_STREAMS.setdefault(str(self.device), [])
            self._stream = free.pop() if free else torch.cuda.Stream(self.device, priority=-1)  # type: ignore[no-untyped-call]  # torch gives it no types
            weakref.finalize(self, free.append, self._stream).atexit = False
        return self._stream
