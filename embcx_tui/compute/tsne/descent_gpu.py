"""Exact t-SNE of many layers at once on a torch device: the same algorithm as on a CPU, to the rounding of float32.

A batch holds the P of its layers and advances all their restarts together, window by window; converged restarts are
taken out of it. No number of a layer is summed across layers or depends on how many there are, so a result does not
depend on the composition of its batch. The host waits for the device once per window; what it computes for a layer (the
initial points, the result) it computes while the device works.

One iteration, from the outside in: `measure_batches`, `measure_batch` (one batch: P, descent, results), `descend`
(phases, convergence), `DescentKernels.iterate` and its Triton kernel.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from embcx_tui.compute.array_types import Float32Array
from embcx_tui.compute.device import cores, triton_kernels
from embcx_tui.compute.memory import free_bytes
from embcx_tui.compute.tsne import kernels_torch
from embcx_tui.compute.tsne.affinities import AffinityInfo
from embcx_tui.compute.tsne.affinities_gpu import AffinityKernels, affinities, affinity_kernels
from embcx_tui.compute.tsne.gradient_descent import DescentResult, Phase, Schedule, Stopped, never
from embcx_tui.compute.tsne.initialization import initial_points
from embcx_tui.compute.tsne.result import Complexity, Measurement
from embcx_tui.study.errors import MeasureError

log = logging.getLogger(__name__)

T = TypeVar("T")


class DescentKernels(Protocol):
    """The passes of the descent over all pairs. Two implementations: `kernels_torch` and `descent_triton`.

    points, velocity, gain [m, 2, n] float32; joint [b, n, n]; p_index [m]: which P each of the m restarts has.
    """

    def iterate(
        self,
        points: Tensor,
        velocity: Tensor,
        gain: Tensor,
        z: Tensor,
        joint: Tensor,
        p_index: Tensor,
        iterations: int,
        phase: Phase,
        min_gain: float,
    ) -> None:
        """Advance points, velocity, gain and z [m] by `iterations`, in place; joint float32."""

    def cross_entropy(self, points: Tensor, joint: Tensor, p_index: Tensor) -> Tensor:
        """Return -Σ p ln q in nats, [m] float64; joint float64."""

    def gradient_norms(self, points: Tensor, joint: Tensor, p_index: Tensor) -> Tensor:
        """Return the Euclidean norms of the gradient of the KL divergence, [m] float64; joint float32."""


def descent_kernels(device: torch.device) -> DescentKernels:
    """Return the Triton kernels where they compile and run on `device`, else those in plain torch."""
    kernels: DescentKernels = triton_kernels(device, "tsne.descent_triton") or kernels_torch
    return kernels


def measure_batches(
    layers: Sequence[NDArray[np.floating]],
    seeds: Sequence[int],
    measurement: Measurement,
    should_stop: Callable[[], bool] = never,
) -> Generator[tuple[int, Complexity], None, None]:
    """Yield what `complexity.measure` yields, for layers that it has checked, in batches as large as half of the
    device's free memory holds.

    Layers of one number of rows share a batch. Where the memory is short all the same, the batch is halved;
    MeasureError where it does not hold one layer.
    """
    device = torch.device(measurement.device)
    return _on_own_stream(_measure_in_batches(layers, seeds, measurement, device, should_stop), device)


def _measure_in_batches(
    layers: Sequence[NDArray[np.floating]],
    seeds: Sequence[int],
    measurement: Measurement,
    device: torch.device,
    should_stop: Callable[[], bool],
) -> Iterator[tuple[int, Complexity]]:
    kernels = affinity_kernels(device), descent_kernels(device)
    for n in sorted({rows.shape[0] for rows in layers}):
        pending = [index for index, rows in enumerate(layers) if rows.shape[0] == n]
        pending.sort(key=lambda index: layers[index].shape[1])  # layers of one width: their distances are one launch
        size = batch_size(device, n)
        while pending:
            batch = pending[:size]
            inputs = [(layers[index], seeds[index]) for index in batch]
            try:
                for position, complexity in measure_batch(inputs, measurement, device, kernels, should_stop):
                    pending.remove(batch[position])
                    yield batch[position], complexity
            except Stopped:
                return
            except torch.OutOfMemoryError:
                if size == 1:
                    raise MeasureError(f"the device's memory does not hold the pairs of {n} rows") from None
            else:
                continue
            # Not in the handler: the error's traceback holds what the failed batch had allocated.
            size = max(1, min(size, len(batch)) // 2)
            torch.cuda.empty_cache()
            log.warning("device memory is short: %d layers of %d rows at a time", size, n)


def batch_size(device: torch.device, n: int) -> int:
    """Return how many layers of n rows fit into half of the free memory: P in float64 and in float32 each.

    Temporaries of P have an eighth of the free memory (`affinities_gpu`).
    """
    return max(1, free_bytes(device) // 2 // (12 * n * n))


def measure_batch(
    inputs: Sequence[tuple[NDArray[np.floating], int]],
    measurement: Measurement,
    device: torch.device,
    kernels: tuple[AffinityKernels, DescentKernels],
    should_stop: Callable[[], bool],
) -> Iterator[tuple[int, Complexity]]:
    """Yield (position, Complexity) of the (activations [n, d], seed) of a batch: layers without P first, then each as
    its last restart converges. Raises Stopped where should_stop() is true.
    """
    layers = [rows for rows, _ in inputs]
    n, restarts = len(layers[0]), measurement.restarts
    joint = torch.empty(len(layers), n, n, dtype=torch.float64, device=device)
    with _initial_points(inputs, restarts) as futures:
        affinity: list[tuple[AffinityInfo, float]] = []
        for chunk in affinities(layers, measurement.perplexity, joint, kernels[0]):
            affinity += chunk
            if should_stop():
                raise Stopped
        reached = [position for position, (info, _) in enumerate(affinity) if info.reached]
        starts = [futures[position].result() for position in reached]
    for position, (info, _) in enumerate(affinity):
        if not info.reached:
            yield position, Complexity.without_affinities(info, n, "exact")
    if not reached:
        return
    p_index = torch.tensor(reached, device=device).repeat_interleave(restarts)
    entropies = torch.tensor([entropy for _, entropy in affinity], dtype=torch.float64, device=device)[p_index]
    start = torch.from_numpy(np.concatenate(starts)).to(device)
    results: dict[int, dict[int, DescentResult]] = {position: {} for position in reached}
    for index, result in descend(joint, start, p_index, entropies, measurement.schedule, kernels[1], should_stop):
        position, restart = reached[index // restarts], index % restarts
        results[position][restart] = result
        if len(results[position]) == restarts:
            info, entropy = affinity[position]
            in_order = [result for _, result in sorted(results.pop(position).items())]
            yield position, Complexity.of_restarts(info, in_order, entropy, "exact")


@dataclass(slots=True)
class _Restarts:
    """The state of m descents that run side by side on a device."""

    index: list[int]
    """Their numbers in the batch, from 0."""
    p_index: Tensor
    entropy: Tensor
    points: Tensor
    velocity: Tensor
    gain: Tensor
    z: Tensor
    kl: Tensor

    def keep(self, positions: list[int]) -> None:
        """Take all but `positions` out."""
        kept = torch.tensor(positions, dtype=torch.int64, device=self.z.device)
        self.index = [self.index[position] for position in positions]
        self.p_index, self.entropy, self.kl = self.p_index[kept], self.entropy[kept], self.kl[kept]
        self.points, self.velocity, self.gain = self.points[kept], self.velocity[kept], self.gain[kept]
        self.z = self.z[kept]


def descend(
    joint: Tensor,
    start: Tensor,
    p_index: Tensor,
    entropies: Tensor,
    schedule: Schedule,
    kernels: DescentKernels,
    should_stop: Callable[[], bool] = never,
) -> Iterator[tuple[int, DescentResult]]:
    """Minimise m KL divergences side by side, as `descent_cpu.descend`; yield (restart, DescentResult) as they end.

    Results of a window are yielded after the next window has been launched.

    Parameters
    ----------
    joint: the P of b layers, [b, n, n] float64.
    start: initial points [m, n, 2].
    p_index: [m], which P each restart has.
    entropies: [m] float64, in nats, of that P.

    Raises
    ------
    Stopped: should_stop() was true; results of the window before are yielded first.
    """
    n = joint.shape[1]
    joint32 = joint.float()
    points = start.transpose(1, 2).float().contiguous()
    z = torch.full((len(points),), float(n) * (n - 1), device=points.device)
    state = _Restarts(
        list(range(len(points))), p_index, entropies, points, torch.zeros_like(points), torch.ones_like(points), z,
        torch.full_like(entropies, torch.inf),
    )  # fmt: skip
    finished: list[tuple[int, DescentResult]] = []
    iterations = 0
    for phase, count, scored in schedule.stretches():
        if not state.index:
            break
        if should_stop():
            yield from finished
            raise Stopped
        kernels.iterate(
            state.points, state.velocity, state.gain, state.z, joint32, state.p_index, count, phase, schedule.min_gain
        )
        iterations += count
        if scored:
            previous, state.kl = state.kl, kernels.cross_entropy(state.points, joint, state.p_index) - state.entropy
            change = (previous - state.kl).abs() / state.kl
            yield from finished
            finished = _take_finished(state, change, joint32, iterations, schedule, kernels)
    yield from finished


def _take_finished(
    state: _Restarts, change: Tensor, joint: Tensor, iterations: int, schedule: Schedule, kernels: DescentKernels
) -> list[tuple[int, DescentResult]]:
    """Take the restarts that have converged or reached the cap out of `state`; return their numbers and results.

    change [m] is the relative change of the KL divergence over the last window.
    """
    at_cap = iterations == schedule.max_iterations
    ends = [at_cap or value < schedule.tolerance for value in change.tolist()]
    ended = [position for position, has_ended in enumerate(ends) if has_ended]
    if not ended:
        return []
    numbers = [state.index[position] for position in ended]
    out = torch.tensor(ended, dtype=torch.int64, device=state.z.device)
    norms = kernels.gradient_norms(state.points[out], joint, state.p_index[out])
    points = state.points[out].transpose(1, 2).cpu().numpy()
    values = torch.stack([state.kl[out], change[out], norms], dim=1).tolist()
    state.keep([position for position, has_ended in enumerate(ends) if not has_ended])
    return [
        (number, DescentResult(of_one, kl, iterations, moved, norm, moved < schedule.tolerance))
        for number, of_one, (kl, moved, norm) in zip(numbers, points, values, strict=True)
    ]


@contextmanager
def _initial_points(
    inputs: Sequence[tuple[NDArray[np.floating], int]], restarts: int
) -> Iterator[list[Future[Float32Array]]]:
    """Give the initial points [restarts, n, 2] of each (activations, seed) as futures: computed by the CPU, so bit for
    bit as without a GPU, while the device computes P.
    """

    def compute(rows: NDArray[np.floating], seed: int) -> Float32Array:
        return np.stack([start for start, _ in initial_points(rows, seed, restarts)])

    pool = ThreadPoolExecutor(cores(), thread_name_prefix="start")
    try:
        yield [pool.submit(compute, *layer) for layer in inputs]
    finally:
        pool.shutdown(cancel_futures=True)


def _on_own_stream(results: Iterator[T], device: torch.device) -> Generator[T, None, None]:
    """Yield `results`, computed on the stream of all embeddings where `device` is a GPU."""
    if device.type != "cuda":
        yield from results
        return
    stream = own_stream(device)
    while True:
        with torch.cuda.stream(stream):  # not around the yield: the stream is the thread's, and so the consumer's too
            result = next(results, None)
        if result is None:
            return
        yield result


@cache
def own_stream(device: torch.device) -> torch.cuda.Stream:
    """Return the stream of all embeddings on `device`: on the default stream, which all threads share, each step of a
    training in another thread would wait for a window.

    One per process, as torch keeps freed memory for the stream that had it.
    """
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch gives it no types
