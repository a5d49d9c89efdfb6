"""The embedding complexity of layers: from activations to exact KL divergences, many layers at once."""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from embcx_tui.compute.tsne import descent_cpu, gradient_descent, opentsne_engine
from embcx_tui.compute.tsne.affinities import AffinityInfo, affinities, check_perplexity, finite_rows
from embcx_tui.compute.tsne.initialization import Points, oriented, principal_start, random_start

Engine = Literal["exact", "opentsne"]

# Rows. The exact descent grows with n² (25 times the work of 1,000): openTSNE is the faster one from about here.
EXACT_LIMIT = 5_000


@dataclass(frozen=True, slots=True)
class Complexity:
    """One measured layer."""

    kl: float | None
    """Exact KL divergence in nats, float64, the best of all restarts; None where P cannot be calibrated."""
    explained: float | None
    """1 - KL / KL(P‖uniform): 0 says nothing of P, 1 all of it; comparable across n and perplexity."""
    degenerate: bool
    """Equal or near-identical rows, or no P: not to be read as easy or hard."""
    duplicates: int
    """Rows that equal another row."""
    converged: bool
    """The exact KL changed by less than the tolerance (1e-4, relative) over the last 50 iterations."""
    iterations: int
    """Of the best restart."""
    gradient_norm: float
    """Of the exact KL at the points, Euclidean, over all 2n coordinates."""
    relative_change: float
    """Of the exact KL over the last 50 iterations of the best restart."""
    restart_kls: tuple[float, ...]
    """The exact KL of every restart: their spread is the embedding's share of the noise."""
    points: Points
    """[n, 2], the best restart, centred and turned to its principal axes; zeros where there is no P."""
    engine: Engine
    """What placed the points; the score is exact whatever it was."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """How layers are measured; one value for a whole study."""

    perplexity: float = 30.0
    """In points; 1 < perplexity < n / 3."""
    engine: Engine = "exact"
    """"exact" for up to EXACT_LIMIT rows, "opentsne" for any number that P fits in memory for (16 bytes a pair)."""
    restarts: int = 1
    """The first starts from the principal plane, the others from seeded random points."""
    device: str = "cpu"
    """"cpu", or a torch device such as "cuda" for the exact engine."""
    threads: int | None = None
    """Layers measured at the same time on a CPU; None: one a core, fewer where memory is short."""
    descent: gradient_descent.Descent = gradient_descent.DESCENT


def exact_kl(joint: NDArray[np.float64], points: ArrayLike) -> float:
    """Return KL(P‖Q) = Σ p_ij ln(p_ij / q_ij) in nats, float64, for P [n, n] (sum 1, symmetric, zero diagonal) and
    points [n, 2].

    van der Maaten & Hinton 2008, eq. 2 and 4; equals openTSNE's `kl_divergence_exact`.
    """
    return gradient_descent.score(joint, np.asarray(points), descent_cpu.entropy(joint))


def kl_to_uniform(joint: NDArray[np.float64]) -> float:
    """Return KL(P‖uniform over the n(n-1) ordered pairs) = ln n(n-1) - H(P), in nats: what an embedding that says
    nothing scores.
    """
    n = joint.shape[0]
    return float(np.log(n * (n - 1.0)) - descent_cpu.entropy(joint))


def measure(
    layers: Sequence[ArrayLike],
    seeds: Sequence[int],
    measurement: Measurement = Measurement(),
    should_stop: Callable[[], bool] = gradient_descent.never,
) -> Generator[tuple[int, Complexity], None, None]:
    """Yield (index, Complexity) for each of `layers` (activations [n, d], d may differ), each as soon as it is
    measured, in any order.

    seeds: one a layer, for restarts and for openTSNE. A layer's result depends on its activations, its seed and
    `measurement` alone: not on the other layers, their order or the number of threads. Ends early, without an error,
    where should_stop() is true; asked at least every 50 iterations. ValueError, before anything is computed, for
    numbers that are not finite, a perplexity that does not fit the rows, and more rows than the engine takes.
    """
    if len(seeds) != len(layers):
        raise ValueError(f"{len(layers)} layers need as many seeds, not {len(seeds)}")
    if measurement.restarts < 1:
        raise ValueError(f"restarts must be 1 or more, not {measurement.restarts}")
    rows = [_checked(index, layer, measurement) for index, layer in enumerate(layers)]
    if measurement.engine == "exact" and measurement.device != "cpu":
        from embcx_tui.compute.tsne import descent_gpu

        return descent_gpu.measure(rows, seeds, measurement, should_stop)
    return measure_on_cpu(rows, seeds, measurement, should_stop)


def _checked(index: int, layer: ArrayLike, measurement: Measurement) -> NDArray[np.floating]:
    """Return layer `index` as an array that can be measured, or raise ValueError naming it."""
    try:
        rows = finite_rows(layer)
        check_perplexity(measurement.perplexity, rows.shape[0])
    except ValueError as error:
        raise ValueError(f"layer {index}: {error}") from None
    if measurement.engine == "exact" and rows.shape[0] > EXACT_LIMIT:
        raise ValueError(
            f"layer {index}: {rows.shape[0]} rows are too many for the exact engine (at most {EXACT_LIMIT}): "
            'use engine "opentsne"'
        )
    return rows


def measure_on_cpu(
    layers: Sequence[NDArray[np.floating]],
    seeds: Sequence[int],
    measurement: Measurement,
    should_stop: Callable[[], bool],
) -> Generator[tuple[int, Complexity], None, None]:
    """Measure one layer a thread: the kernels release the interpreter lock, so threads are cores."""
    if not layers:
        return
    threads = min(len(layers), measurement.threads or concurrent_layers(max(rows.shape[0] for rows in layers)))
    if measurement.engine == "opentsne":
        threads = 1  # openTSNE spreads one layer over the cores itself
    cancelled = False

    def stop() -> bool:
        return cancelled or should_stop()

    with ThreadPoolExecutor(threads, thread_name_prefix="measure") as pool:
        pending: dict[Future[Complexity], int] = {}
        waiting = iter(range(len(layers)))
        try:
            while True:
                # Hand out no more than there are threads: a stop then finds nothing queued.
                while len(pending) < threads and (index := next(waiting, None)) is not None:
                    pending[pool.submit(measure_layer, layers[index], seeds[index], measurement, stop)] = index
                if not pending:
                    return
                done, _ = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    index = pending.pop(future)
                    try:
                        measured = future.result()
                    except gradient_descent.Stopped:
                        return
                    yield index, measured
        finally:
            cancelled = True  # the consumer left, or something failed: let running descents end at their next window


def measure_layer(
    activations: NDArray[np.floating],
    seed: int,
    measurement: Measurement,
    should_stop: Callable[[], bool] = gradient_descent.never,
) -> Complexity:
    """Return the `Complexity` of one layer's finite activations [n, d]; exact.Stopped where should_stop() is true."""
    if should_stop():
        raise gradient_descent.Stopped
    found = affinities(activations, measurement.perplexity)
    joint = found.joint
    if joint is None:
        return unreachable(found, activations.shape[0], measurement.engine)
    entropy = descent_cpu.entropy(joint)
    rests = [
        _rest(activations, joint, entropy, start, restart_seed, measurement, should_stop)
        for start, restart_seed in starts(activations, seed, measurement.restarts)
    ]
    return assembled(found, rests, entropy, measurement.engine)


def starts(activations: NDArray[np.floating], seed: int, restarts: int) -> Iterator[tuple[Points, int]]:
    """Yield the start [n, 2] of every restart and its key: the principal plane, then keyed random points."""
    for restart in range(restarts):
        key = restart_key(seed, restart)
        yield (principal_start(activations) if restart == 0 else random_start(activations.shape[0], key)), key


def restart_key(seed: int, restart: int) -> int:
    """Return the 32-bit seed of one restart, of a layer's seed."""
    return int(np.random.SeedSequence([seed % 2**63, restart]).generate_state(1)[0])


def _rest(
    activations: NDArray[np.floating],
    joint: NDArray[np.float64],
    entropy: float,
    start: Points,
    seed: int,
    measurement: Measurement,
    should_stop: Callable[[], bool],
) -> gradient_descent.DescentResult:
    """Return where the engine of `measurement` leaves the points, scored exactly whatever the engine."""
    if measurement.engine == "exact":
        return gradient_descent.descend(joint, start, measurement.descent, entropy, should_stop)
    jobs = measurement.threads or cores()
    return opentsne_engine.embed(
        activations, joint, entropy, measurement.perplexity, start, seed, jobs, measurement.descent
    )


def unreachable(found: AffinityInfo, n: int, engine: Engine) -> Complexity:
    """Return the `Complexity` of a layer that has no P."""
    return Complexity(
        kl=None,
        explained=None,
        degenerate=True,
        duplicates=found.duplicates,
        converged=False,
        iterations=0,
        gradient_norm=0.0,
        relative_change=0.0,
        restart_kls=(),
        points=np.zeros((n, 2), dtype=np.float32),
        engine=engine,
    )


def assembled(
    found: AffinityInfo, rests: Sequence[gradient_descent.DescentResult], entropy: float, engine: Engine
) -> Complexity:
    """Return the `Complexity` of a layer from where its restarts came to rest and P's entropy in nats."""
    best = min(rests, key=lambda rest: rest.kl)
    n = best.points.shape[0]
    return Complexity(
        kl=best.kl,
        explained=1.0 - best.kl / (float(np.log(n * (n - 1.0))) - entropy),
        degenerate=found.degenerate,
        duplicates=found.duplicates,
        converged=best.converged,
        iterations=best.iterations,
        gradient_norm=best.gradient_norm,
        relative_change=best.relative_change,
        restart_kls=tuple(rest.kl for rest in rests),
        points=oriented(best.points),
        engine=engine,
    )


def cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def concurrent_layers(n: int) -> int:
    """Return how many layers of n rows may be measured at once: one a core, as far as half of the free memory goes."""
    bytes_a_layer = 24 * n * n  # P in float64 and float32, and room for what comes and goes
    return max(1, min(cores(), free_memory() // 2 // bytes_a_layer))


def free_memory() -> int:
    """Return the bytes of memory that can be had without swapping; 2 GiB where the system does not say."""
    try:
        with Path("/proc/meminfo").open(encoding="ascii") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return 2 << 30
