"""Exact t-SNE of many layers at once on a torch device: the same algorithm as on a CPU, to the noise of float32.

A batch holds the layers' P and advances all their restarts together, window by window; what is done leaves it. Nothing
that is computed for a layer is summed across layers or depends on their number, so a result does not depend on its
company. The host hands over work and waits for an answer once a window; what it must do for a layer (its start, its
record) it does while the device computes.
"""

import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from embcx_tui.compute.device import free_bytes, triton_kernels
from embcx_tui.compute.tsne import descent_torch, gradient_descent
from embcx_tui.compute.tsne.affinities import AffinityInfo
from embcx_tui.compute.tsne.affinities_gpu import AffinityKernels, affinities, affinity_kernels
from embcx_tui.study.errors import MeasureError

if TYPE_CHECKING:
    from embcx_tui.compute.tsne.complexity import Complexity, Measurement

log = logging.getLogger(__name__)


class DescentKernels(Protocol):
    """The passes of the descent over all pairs, of which there are two makes: `exact_torch` and `exact_triton`.

    points, velocity, gain [m, 2, n] float32; joint [b, n, n]; which [m] says which P belongs to each of the m restarts.
    """

    def descend(
        self,
        points: Tensor,
        velocity: Tensor,
        gain: Tensor,
        z: Tensor,
        joint: Tensor,
        which: Tensor,
        iterations: int,
        phase: gradient_descent.Phase,
        least_gain: float,
    ) -> None:
        """Advance points, velocity, gain and z [m] by `iterations`, in place; joint float32."""

    def cross_entropy(self, points: Tensor, joint: Tensor, which: Tensor) -> Tensor:
        """Return -Σ p ln q in nats, [m] float64; joint float64."""

    def gradient_norms(self, points: Tensor, joint: Tensor, which: Tensor) -> Tensor:
        """Return the Euclidean norms of the KL's gradient, [m] float64; joint float32."""


def passes(device: torch.device) -> DescentKernels:
    """Return the Triton passes where they compile and run on `device`, else the plain torch ones."""
    chosen: DescentKernels = triton_kernels(device, "tsne.descent_triton") or descent_torch
    return chosen


def measure(
    layers: Sequence[NDArray[np.floating]],
    seeds: Sequence[int],
    measurement: "Measurement",
    should_stop: Callable[[], bool] = gradient_descent.never,
) -> "Generator[tuple[int, Complexity], None, None]":
    """Measure checked layers (see `complexity.measure`) in batches as large as the device's free memory allows.

    Layers of one number of rows share a batch. Out of memory all the same: the batch is halved; MeasureError where one
    layer is too much.
    """
    device = torch.device(measurement.device)
    results = _measure(layers, seeds, measurement, device, should_stop)
    if device.type != "cuda":
        yield from results
        return
    stream = own_stream(device)
    while True:
        with torch.cuda.stream(stream):  # not around the yield: the stream is the thread's, and so the reader's as well
            result = next(results, None)
        if result is None:
            return
        yield result


@cache
def own_stream(device: torch.device) -> torch.cuda.Stream:
    """Return the stream of all embeddings on `device`: on the one that all threads share, each step of a training
    beside would wait for a window.

    One for the process, as torch keeps freed memory for the stream that had it.
    """
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch gives it no types


def _measure(
    layers: Sequence[NDArray[np.floating]],
    seeds: Sequence[int],
    measurement: "Measurement",
    device: torch.device,
    should_stop: Callable[[], bool],
) -> "Iterator[tuple[int, Complexity]]":
    """Yield what `measure` yields, on the thread's current stream."""
    chosen = affinity_kernels(device), passes(device)
    for n in sorted({rows.shape[0] for rows in layers}):
        left = [index for index, rows in enumerate(layers) if rows.shape[0] == n]
        left.sort(key=lambda index: layers[index].shape[1])  # neighbours of one width: their distances are one launch
        size = batch_size(device, n)
        while left:
            batch = left[:size]
            try:
                for index, complexity in _measure_batch(layers, seeds, batch, measurement, device, chosen, should_stop):
                    left.remove(index)
                    yield index, complexity
            except gradient_descent.Stopped:
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

    What comes and goes while P is made has an eighth of the free memory (`neighbourhoods_gpu`).
    """
    return max(1, free_bytes(device) // 2 // (12 * n * n))


def _measure_batch(
    layers: Sequence[NDArray[np.floating]],
    seeds: Sequence[int],
    batch: Sequence[int],
    measurement: "Measurement",
    device: torch.device,
    chosen: tuple[AffinityKernels, DescentKernels],
    should_stop: Callable[[], bool],
) -> "Iterator[tuple[int, Complexity]]":
    """Yield (index, Complexity) of the layers named by `batch`, those without P first, then as they come to rest."""
    from embcx_tui.compute.tsne.complexity import assembled, unreachable

    n, restarts = len(layers[batch[0]]), measurement.restarts
    joint = torch.empty(len(batch), n, n, dtype=torch.float64, device=device)
    with _starts([(layers[index], seeds[index]) for index in batch], restarts) as starts:
        found: list[tuple[AffinityInfo, float]] = []
        for chunk in affinities([layers[index] for index in batch], measurement.perplexity, joint, chosen[0]):
            found += chunk
            if should_stop():
                raise gradient_descent.Stopped
        placed = [starts[place].result() for place, (facts, _) in enumerate(found) if facts.reached]
    for index, (facts, _) in zip(batch, found, strict=True):
        if not facts.reached:
            yield index, unreachable(facts, n, "exact")
    if not placed:
        return
    reached = [place for place, (facts, _) in enumerate(found) if facts.reached]
    which = torch.tensor(reached, device=device).repeat_interleave(restarts)
    entropy = torch.tensor([entropy for _, entropy in found], dtype=torch.float64, device=device)[which]
    begun = torch.from_numpy(np.concatenate(placed)).to(device)
    rests: dict[int, dict[int, gradient_descent.DescentResult]] = {place: {} for place in reached}
    for member, rest in descend(joint, begun, which, entropy, measurement.descent, chosen[1], should_stop):
        place, restart = reached[member // restarts], member % restarts
        rests[place][restart] = rest
        if len(rests[place]) == restarts:
            facts, bits = found[place]
            done = [rest for _, rest in sorted(rests.pop(place).items())]
            yield batch[place], assembled(facts, done, bits, "exact")


@contextmanager
def _starts(
    layers: Sequence[tuple[NDArray[np.floating], int]], restarts: int
) -> Iterator[list[Future[NDArray[np.float32]]]]:
    """Give the starts [restarts, n, 2] of each (layer, seed) to come: found on the CPU, so bit for bit as without a
    GPU, while the device makes P.
    """
    from embcx_tui.compute.tsne.complexity import cores, starts

    def begin(rows: NDArray[np.floating], seed: int) -> NDArray[np.float32]:
        return np.stack([start for start, _ in starts(rows, seed, restarts)])

    pool = ThreadPoolExecutor(cores(), thread_name_prefix="start")
    try:
        yield [pool.submit(begin, *layer) for layer in layers]
    finally:
        pool.shutdown(cancel_futures=True)


def descend(
    joint: Tensor,
    starts: Tensor,
    which: Tensor,
    entropy: Tensor,
    descent: gradient_descent.Descent,
    chosen: DescentKernels,
    should_stop: Callable[[], bool] = gradient_descent.never,
) -> Iterator[tuple[int, gradient_descent.DescentResult]]:
    """Yield (member, DescentResult) of m descents as they end; as `exact.descend`.

    joint [b, n, n] float64, starts [m, n, 2], which [m] (each member's P), entropy [m] float64 in nats, of that P.
    What ended in a window is yielded when the next one has been handed to the device.
    """
    n = joint.shape[1]
    joint32 = joint.float()
    points = starts.transpose(1, 2).float().contiguous()
    velocity = torch.zeros_like(points)
    gain = torch.ones_like(points)
    z = torch.full((len(points),), float(n) * (n - 1), device=points.device)
    kl = torch.full_like(entropy, torch.inf)
    members = list(range(len(points)))
    ended: list[tuple[int, gradient_descent.DescentResult]] = []
    iterations = 0
    for position, phase in enumerate(descent.phases):
        final = position == len(descent.phases) - 1
        left = phase.iterations
        while left > 0 and members:
            if should_stop():
                yield from ended
                raise gradient_descent.Stopped
            stretch = min(left, descent.window) if final else left
            chosen.descend(points, velocity, gain, z, joint32, which, stretch, phase, descent.least_gain)
            iterations += stretch
            left -= stretch
            if not final:
                continue
            before, kl = kl, chosen.cross_entropy(points, joint, which) - entropy
            change = (before - kl).abs() / kl
            yield from ended
            at_rest = [left == 0 or moved < descent.tolerance for moved in change.tolist()]
            resting = [entry for entry, rests in enumerate(at_rest) if rests]
            ended = []
            if resting:
                moving = [entry for entry, rests in enumerate(at_rest) if not rests]
                out, on = (torch.tensor(some, dtype=torch.int64, device=z.device) for some in (resting, moving))
                norms = chosen.gradient_norms(points[out], joint32, which[out])
                rests = _rests(points[out], kl[out], change[out], norms, iterations, descent.tolerance)
                ended = list(zip([members[entry] for entry in resting], rests, strict=True))
                points, velocity, gain, z = points[on], velocity[on], gain[on], z[on]
                kl, which, entropy = kl[on], which[on], entropy[on]
                members = [members[entry] for entry in moving]
    yield from ended


def _rests(
    points: Tensor, kl: Tensor, change: Tensor, norms: Tensor, iterations: int, tolerance: float
) -> Iterator[gradient_descent.DescentResult]:
    """Yield the results of m restarts at points [m, 2, n], in two transfers; kl, change, norms [m] float64."""
    placed = points.transpose(1, 2).cpu().numpy()
    for where, (score, moved, norm) in zip(placed, torch.stack([kl, change, norms], dim=1).tolist(), strict=True):
        yield gradient_descent.DescentResult(where, score, iterations, moved, norm, moved < tolerance)
