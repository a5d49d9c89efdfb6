"""Measures the embedding complexity of layers: from activations to exact KL divergences, many layers at once.

On a CPU: `measure`, `measure_layer` per layer, `start_search_cpu.search` per restart (`search_thoroughly` of an input).
On a GPU: `descent_gpu.measure_batches`.
"""

from collections.abc import Callable, Collection, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from embcx_tui.compute.device import cores
from embcx_tui.compute.memory import cpu_layers_at_once
from embcx_tui.compute.tsne import descent_cpu, descent_gpu, large_layer, opentsne_engine, start_search_cpu
from embcx_tui.compute.tsne.affinities import affinities, check_perplexity, finite_rows
from embcx_tui.compute.tsne.descent_cpu import gradient_norm
from embcx_tui.compute.tsne.initialization import initial_points, start_seed
from embcx_tui.compute.tsne.kl_divergence import entropy, exact_kl, point_kls
from embcx_tui.compute.tsne.result import DEFAULT_MEASUREMENT, Complexity, Measurement
from embcx_tui.compute.tsne.schedule import Stopped, ThoroughSearch, never
from embcx_tui.study.sample_sizes import MAX_EXACT_POINTS, MAX_WHOLE_POINTS


def measure(
    layers: Sequence[ArrayLike],
    seeds: Sequence[int],
    measurement: Measurement = DEFAULT_MEASUREMENT,
    should_stop: Callable[[], bool] = never,
    inputs: Collection[int] = (),
) -> Generator[tuple[int, Complexity], None, None]:
    """Yield (index, Complexity) for each layer as soon as it is measured, in any order.

    A layer's result depends on its activations, its seed and `measurement` alone: not on the other layers, their order
    or the number of threads.

    Parameters
    ----------
    layers: activations [n, d] of each layer; n and d may differ.
    seeds: one per layer, for the restarts and for openTSNE.
    measurement: perplexity, engine, restarts, device.
    should_stop: asked at least every 50 iterations; where it returns True the results end, without an error.
    inputs: the indices of layers that are the input of a run, which have `measurement.input_schedule`.

    Raises
    ------
    ValueError: before anything is computed, for activations that are not finite, a perplexity that does not fit the
        number of rows, and more rows than the engine takes.
    DeviceFailed: while iterating, for every error of a GPU, and where its memory does not hold one layer.
    """
    if len(seeds) != len(layers):
        raise ValueError(f"{len(layers)} layers need as many seeds, not {len(seeds)}")
    if measurement.restarts < 1:
        raise ValueError(f"restarts must be 1 or more, not {measurement.restarts}")
    rows = [_checked(index, layer, measurement) for index, layer in enumerate(layers)]
    largest = max((len(layer) for layer in rows), default=1)
    packed = measurement.is_packed(largest)
    if measurement.engine == "exact" and measurement.device != "cpu" and not packed:
        return descent_gpu.measure_batches(rows, seeds, measurement, should_stop, inputs)
    threads = measurement.threads or (cores() if packed else cpu_layers_at_once(largest))
    at_once = threads
    if packed:
        # More would take more memory than 10 n² bytes; each takes some 2 n².
        at_once = max(1, min(threads, len(rows), large_layer.MOST_AT_ONCE, cpu_layers_at_once(largest, 4)))
    if measurement.engine == "opentsne":
        at_once = 1  # openTSNE spreads one layer over the cores itself
    # The threads that share a layer, where it is large.
    sharing = -(-threads // at_once)

    def task(index: int, stop: Callable[[], bool]) -> Complexity:
        return measure_layer(rows[index], seeds[index], measurement.of_layer(index in inputs), stop, sharing)

    return _in_threads(task, len(rows), at_once, should_stop)


def measure_layer(
    activations: NDArray[np.floating],
    seed: int,
    measurement: Measurement,
    should_stop: Callable[[], bool] = never,
    threads: int = 1,
) -> Complexity:
    """Return the `Complexity` of one layer's finite activations [n, d]; raises Stopped where should_stop() is true.

    threads: that share a large layer; the result is the same with any number.
    """
    if should_stop():
        raise Stopped
    if measurement.is_packed(len(activations)):
        return large_layer.measure_layer(activations, seed, measurement, threads, should_stop)
    p = affinities(activations, measurement.perplexity)
    if p.joint is None:
        return Complexity.without_affinities(p, activations.shape[0], measurement.engine)
    joint = p.joint
    joint_entropy = entropy(joint)
    results = []
    for indices in measurement.start_indices():
        starts = (initial_points(activations, seed, index) for index in indices)
        if measurement.engine == "opentsne":
            result = opentsne_engine.embed(
                activations, partial(exact_kl, p.joint, joint_entropy=joint_entropy),
                lambda points: gradient_norm(joint, points.T), measurement.perplexity, next(starts),
                start_seed(seed, indices[0]), measurement.threads or cores(), measurement.schedule,
            )  # fmt: skip
        elif measurement.schedule.search is None:
            result = descent_cpu.descend(p.joint, next(starts), measurement.schedule, joint_entropy, should_stop)
        elif isinstance(measurement.schedule.search, ThoroughSearch):
            result = start_search_cpu.search_thoroughly(
                p.joint, starts, measurement.schedule, joint_entropy, should_stop
            )  # fmt: skip
        else:
            result = start_search_cpu.search(p.joint, starts, measurement.schedule, joint_entropy, should_stop)
        results.append(result)
    found = Complexity.of_restarts(p, results, joint_entropy, measurement.engine)
    return replace(found, point_kls=point_kls(p.joint, found.points))


def _checked(index: int, layer: ArrayLike, measurement: Measurement) -> NDArray[np.floating]:
    """Return layer `index` as an array that can be measured, or raise ValueError naming it."""
    try:
        rows = finite_rows(layer)
        check_perplexity(measurement.perplexity, rows.shape[0])
    except ValueError as error:
        raise ValueError(f"layer {index}: {error}") from None
    most = MAX_EXACT_POINTS if measurement.large == "packed" else MAX_WHOLE_POINTS
    if measurement.engine == "exact" and rows.shape[0] > most:
        raise ValueError(
            f"layer {index}: {rows.shape[0]} rows are too many for the exact engine (at most {most}): "
            'use engine "opentsne"'
        )
    return rows


def _in_threads(
    task: Callable[[int, Callable[[], bool]], Complexity], count: int, threads: int, should_stop: Callable[[], bool]
) -> Generator[tuple[int, Complexity], None, None]:
    """Yield (index, task(index, stop)) for `count` tasks as they finish; end early where one raises Stopped.

    Kernels release the interpreter lock, so threads are cores.
    """
    cancelled = False

    def stop() -> bool:
        return cancelled or should_stop()

    if not count:
        return
    threads = min(count, threads)
    with ThreadPoolExecutor(threads, thread_name_prefix="measure") as pool:
        running: dict[Future[Complexity], int] = {}
        queue = iter(range(count))
        try:
            while True:
                # Submit no more than there are threads: a stop then finds nothing queued.
                while len(running) < threads and (index := next(queue, None)) is not None:
                    running[pool.submit(task, index, stop)] = index
                if not running:
                    return
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    index = running.pop(future)
                    try:
                        complexity = future.result()
                    except Stopped:
                        return
                    yield index, complexity
        finally:
            cancelled = True  # the consumer left, or a task failed: let running descents end at their next window
