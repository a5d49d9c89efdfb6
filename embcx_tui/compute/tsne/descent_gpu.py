"""Exact t-SNE of many layers at once on a torch device: the same algorithm as on a CPU, to the rounding of float32.

A batch holds the P of its layers and advances all their restarts together, window by window; converged restarts are
taken out of it. No number of a layer is summed across layers or depends on how many there are, so a result does not
depend on the composition of its batch. The host waits for the device once per window; what it computes for a layer (the
initial points, the result) it computes while the device works.

One iteration, from the outside in: `measure_batches`, `measure_batch` (one batch: P, descent, results), `descend`
(phases, convergence), `DescentKernels.iterate` and its Triton kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import cache
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from embcx_tui.compute.array_types import Float32Array
from embcx_tui.compute.device import cores, triton_kernels
from embcx_tui.compute.device_errors import device_guard, is_out_of_memory
from embcx_tui.compute.gpu_path import DESCENTS, gpu_path
from embcx_tui.compute.memory import free_bytes
from embcx_tui.compute.tsne import kernels_torch
from embcx_tui.compute.tsne.affinities import AffinityInfo
from embcx_tui.compute.tsne.affinities_gpu import AffinityKernels, affinities, affinity_kernels
from embcx_tui.compute.tsne.initialization import initial_points
from embcx_tui.compute.tsne.restarts_gpu import DescentKernels, Device, Restarts, lowest
from embcx_tui.compute.tsne.result import Complexity, Measurement
from embcx_tui.compute.tsne.schedule import DescentResult, Schedule, Search, Stopped, ThoroughSearch, never
from embcx_tui.compute.tsne.start_search_gpu import search_thoroughly
from embcx_tui.study.errors import DeviceFailed

T = TypeVar("T")


def descent_kernels(device: torch.device) -> DescentKernels:
    """Return the Triton kernels where they compile and run on `device`, else those in plain torch."""
    kernels: DescentKernels = triton_kernels(device, DESCENTS) or kernels_torch
    return kernels


def measure_batches(
    layers: Sequence[NDArray[np.floating]],
    seeds: Sequence[int],
    measurement: Measurement,
    should_stop: Callable[[], bool] = never,
    inputs: Collection[int] = (),
) -> Generator[tuple[int, Complexity], None, None]:
    """Yield what `complexity.measure` yields, for layers that it has checked, in batches as large as half of the
    device's free memory holds.

    Layers of one number of rows and one schedule share a batch. Where the memory is short all the same, the batch is
    halved. Raises DeviceFailed where it does not hold one layer, and for every error of the device.
    """
    device = torch.device(measurement.device)
    return _on_own_stream(_measure_in_batches(layers, seeds, measurement, device, should_stop, inputs), device)


def _measure_in_batches(
    layers: Sequence[NDArray[np.floating]],
    seeds: Sequence[int],
    measurement: Measurement,
    device: torch.device,
    should_stop: Callable[[], bool],
    inputs: Collection[int],
) -> Iterator[tuple[int, Complexity]]:
    kernels = affinity_kernels(device), descent_kernels(device)
    kinds = [(rows.shape[0], index in inputs) for index, rows in enumerate(layers)]
    for n, is_input in sorted(set(kinds)):
        pending = [index for index, kind in enumerate(kinds) if kind == (n, is_input)]
        of_kind = measurement.of_layer(is_input)
        pending.sort(key=lambda index: layers[index].shape[1])  # layers of one width: their distances are one launch
        size = batch_size(device, n)
        while pending:
            batch = pending[:size]
            rows_seeds = [(layers[index], seeds[index]) for index in batch]
            try:
                for position, complexity in measure_batch(rows_seeds, of_kind, device, kernels, should_stop):
                    pending.remove(batch[position])
                    yield batch[position], complexity
            except Stopped:
                return
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if size == 1:
                    text = f"{device} has not enough memory for one layer of {n:,} rows (do other programs fill it?)"
                    raise DeviceFailed(text, passing=True) from None
            else:
                continue
            # Not in the handler: the error's traceback holds what the failed batch had allocated.
            size = max(1, min(size, len(batch)) // 2)
            torch.cuda.empty_cache()
            gpu_path.tell(
                f"{device} is short of memory: embedding {size} layers of {n:,} rows at a time, which takes longer "
                "(do other programs fill it?)"
            )


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
    tried = measurement.start_indices()
    joint = torch.empty(len(layers), n, n, dtype=torch.float64, device=device)
    with _initial_points(inputs, tried) as futures:
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
    plan = measurement.schedule.search
    run = descend if plan is None else search_thoroughly if isinstance(plan, ThoroughSearch) else search
    for index, result in run(joint, start, p_index, entropies, measurement.schedule, kernels[1], should_stop):
        position, restart = reached[index // restarts], index % restarts
        results[position][restart] = result
        if len(results[position]) == restarts:
            info, entropy = affinity[position]
            in_order = [result for _, result in sorted(results.pop(position).items())]
            yield position, Complexity.of_restarts(info, in_order, entropy, "exact")


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
    start: initial points [m, 1, n, 2].
    p_index: [m], which P each restart has.
    entropies: [m] float64, in nats, of that P.

    Raises
    ------
    Stopped: should_stop() was true; results of the window before are yielded first.
    """
    device = Device(joint, schedule, kernels, should_stop)
    state = Restarts.begin(start[:, 0], p_index, entropies)
    for phase in schedule.phases[:-1]:
        device.advance(state, phase, phase.iterations)
    yield from device.settle(state, sum(phase.iterations for phase in schedule.phases[:-1]))


def search(
    joint: Tensor,
    starts: Tensor,
    p_index: Tensor,
    entropies: Tensor,
    schedule: Schedule,
    kernels: DescentKernels,
    should_stop: Callable[[], bool] = never,
) -> Iterator[tuple[int, DescentResult]]:
    """Minimise m KL divergences side by side, each from the best of its starts [m, s, n, 2], as in `start_search_cpu`.

    Results, the other parameters and errors as of `descend`.
    """
    plan = schedule.search
    assert isinstance(plan, Search)
    device = Device(joint, schedule, kernels, should_stop)
    early, late = schedule.phases[: plan.screened_after], schedule.phases[plan.screened_after : -1]
    best: Restarts | None = None
    kls: list[list[float]] = [[] for _ in range(len(starts))]
    open_rows = list(range(len(starts)))
    for group in range(plan.groups):
        rows = torch.tensor(open_rows, device=starts.device)
        state = Restarts.begin(
            starts[rows, group * plan.starts : (group + 1) * plan.starts].flatten(0, 1),
            p_index[rows].repeat_interleave(plan.starts),
            entropies[rows].repeat_interleave(plan.starts),
        )
        for phase in early:
            device.advance(state, phase, phase.iterations)
        device.score(state)
        state.keep(lowest(state.kl.tolist(), plan.starts, plan.kept))
        for phase in late:
            device.advance(state, phase, phase.iterations)
        device.advance(state, schedule.phases[-1], schedule.window)
        device.score(state)
        found = state.kl.tolist()
        winners = lowest(found, plan.kept, 1)
        if best is None:
            best = Restarts(**{name: getattr(state, name) for name in Restarts.__slots__})
            best.keep(winners)
        for row, winner in zip(open_rows, winners, strict=True):
            if kls[row] and found[winner] < min(kls[row]):
                best.replace(row, state, winner)
        for position, row in enumerate(open_rows):
            kls[row] += found[position * plan.kept : (position + 1) * plan.kept]
        open_rows = [row for row in open_rows if not plan.agreed(kls[row])]
        if not open_rows:
            break
    assert best is not None
    best.index = list(range(len(starts)))
    done = schedule.search_iterations
    for row, result in device.settle(best, done):
        groups = len(kls[row]) // plan.kept
        spent = groups * schedule.group_iterations + result.iterations - done
        yield row, replace(result, start_kls=tuple(kls[row]), starts=groups * plan.starts, spent=spent)


@contextmanager
def _initial_points(
    inputs: Sequence[tuple[NDArray[np.floating], int]], tried: Sequence[range]
) -> Iterator[list[Future[Float32Array]]]:
    """Give the initial points [restarts, starts, n, 2] of each (activations, seed) as futures: computed by the CPU, so
    bit for bit as without a GPU, while the device computes P.
    """

    def compute(rows: NDArray[np.floating], seed: int) -> Float32Array:
        return np.stack([[initial_points(rows, seed, index) for index in indices] for indices in tried])

    pool = ThreadPoolExecutor(cores(), thread_name_prefix="start")
    try:
        yield [pool.submit(compute, *layer) for layer in inputs]
    finally:
        pool.shutdown(cancel_futures=True)


def _on_own_stream(results: Iterator[T], device: torch.device) -> Generator[T, None, None]:
    """Yield `results`, computed on the stream of all embeddings where `device` is a GPU; its errors as DeviceFailed."""
    while True:
        # Not around the yield: the stream is the thread's, and so the consumer's too.
        with device_guard(device, "embedding layers"), _stream_context(device):
            result = next(results, None)
        if result is None:
            return
        yield result


def _stream_context(device: torch.device) -> AbstractContextManager[object]:
    return torch.cuda.stream(own_stream(device)) if device.type == "cuda" else nullcontext()


@cache
def own_stream(device: torch.device) -> torch.cuda.Stream:
    """Return the stream of all embeddings on `device`: on the default stream, which all threads share, each step of a
    training in another thread would wait for a window.

    One per process, as torch keeps freed memory for the stream that had it.
    """
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch gives it no types
