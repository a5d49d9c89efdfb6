"""The thorough search for an input: against descents of each start alone, on a core and on a torch device."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from embcx_tui.compute.tsne import descent_cpu, descent_gpu, kernels_torch, start_search_cpu
from embcx_tui.compute.tsne.complexity import measure
from embcx_tui.compute.tsne.initialization import START_SPREAD, gathered, random_start
from embcx_tui.compute.tsne.restarts_gpu import Device, Restarts
from embcx_tui.compute.tsne.result import Complexity, Measurement
from embcx_tui.compute.tsne.schedule import (
    DEFAULT_SCHEDULE,
    THOROUGH_SCHEDULE,
    Phase,
    Schedule,
    ThoroughSearch,
)
from tests.compute.affinity_reference import joint_probabilities

FEW = ThoroughSearch(starts=6, screens=((3, 4), (8, 2)))
QUICK = Measurement(
    perplexity=15.0,
    schedule=replace(DEFAULT_SCHEDULE, tolerance=1e-3),
    input_schedule=replace(THOROUGH_SCHEDULE, tolerance=1e-3),
)
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


def layers_of_digits(n: int) -> list[NDArray[np.float32]]:
    rows = load_digits().data[:n].astype(np.float32) / 16.0
    weights = np.random.default_rng(0).standard_normal((64, 30), dtype=np.float32)
    return [rows, np.maximum(rows @ weights, 0.0)]


def joint_of_digits(n: int) -> NDArray[np.float64]:
    return joint_probabilities(layers_of_digits(n)[0], 15.0)


def _after(joint: NDArray[np.float64], start: NDArray[np.float32], schedule: Schedule, phases: int) -> float:
    """The KL of a start after so many phases, each of 40 iterations."""
    until = replace(schedule, phases=schedule.phases[:phases], search=None, tolerance=0.0, window=40)
    found = descent_cpu.descend(joint, start, until)
    assert found.iterations == 40 * phases
    return found.kl


def _lowest(starts: list[int], kls: dict[int, float], count: int) -> list[int]:
    return sorted(starts, key=kls.__getitem__)[:count]


@pytest.mark.parametrize("seed", range(3))
def test_the_search_ends_no_higher_than_the_best_of_its_starts(seed: int) -> None:
    """Which starts are left is found here from descents of each alone; they converge as alone, bit for bit."""
    joint, schedule = joint_of_digits(120), replace(THOROUGH_SCHEDULE, tolerance=1e-3)
    plan = schedule.search
    assert isinstance(plan, ThoroughSearch)
    starts = [random_start(120, 100 * seed + number) for number in range(plan.taken)]
    found = start_search_cpu.search_thoroughly(joint, iter(starts), schedule)
    left = list(range(plan.starts))
    for after, kept in plan.screens:
        left = _lowest(left, {one: _after(joint, starts[one], schedule, after) for one in left}, kept)
    window = replace(schedule.phases[-1], iterations=schedule.window)
    compared = replace(schedule, phases=(*schedule.phases[:-1], window), search=None)
    assert found.start_kls == tuple(descent_cpu.descend(joint, starts[one], compared).kl for one in left)
    settled = [descent_cpu.descend(joint, starts[one], replace(schedule, search=None)) for one in left]
    assert found.kl <= min(one.kl for one in settled) < min(found.start_kls)
    assert found.starts == plan.starts == 24 and len(left) == plan.kept == 4
    assert found.converged and found.iterations >= min(one.iterations for one in settled)
    screening = 24 * 3 * 40 + 8 * 5 * 40
    assert found.spent > screening + sum(one.iterations - 320 for one in settled) + 120


def test_gathering_lowers_what_has_converged() -> None:
    """A third and more of twelve searches end below the lowest that any of their starts reaches."""
    joint, schedule = joint_of_digits(120), replace(THOROUGH_SCHEDULE, search=FEW)
    lower = 0
    for seed in range(12):
        starts = [random_start(120, 100 * seed + number) for number in range(FEW.taken)]
        found = start_search_cpu.search_thoroughly(joint, iter(starts), schedule)
        alone = [descent_cpu.descend(joint, start, replace(schedule, search=None)).kl for start in starts[:-1]]
        lower += found.kl < min(alone)
    assert lower >= 4


def test_gathered_points_keep_their_shape() -> None:
    points = np.random.default_rng(3).standard_normal((400, 2)).astype(np.float32) * [30.0, 10.0] + [100.0, -7.0]
    noise = random_start(400, 5)
    still = gathered(points, 0.5, 0.0, noise)
    assert still == pytest.approx((points - points.mean(axis=0)) / 2, abs=1e-4) and still.dtype == np.float32
    moved = gathered(points, 0.5, 0.02, noise) - still
    extent = np.sqrt(points.var(axis=0).sum())
    assert moved == pytest.approx(0.5 * 0.02 * extent * noise / START_SPREAD, abs=1e-4)


def test_z_is_found_without_a_step() -> None:
    """On a core and in plain torch: the next iteration is that of a descent which knew Z."""
    n = 60
    joint = joint_of_digits(n)
    points = (np.random.default_rng(4).standard_normal((n, 2)) * 4.0).astype(np.float32)
    squared = ((points[:, None].astype(np.float64) - points[None]) ** 2).sum(axis=2)
    z = (1.0 / (1.0 + squared)).sum() - n
    start = torch.from_numpy(points)[None]
    state = Restarts.begin(start, torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.float64))
    device = Device(torch.from_numpy(joint)[None], DEFAULT_SCHEDULE, kernels_torch, lambda: False)
    device.find_z(state)
    assert float(state.z) == pytest.approx(z, rel=1e-5)
    assert torch.equal(state.points, start.transpose(1, 2)) and bool((state.gain == 1).all())
    layer = descent_cpu.WholeLayer(joint, DEFAULT_SCHEDULE, None, lambda: False)
    descent = layer.begin(points)
    descent.find_z()
    phase = Phase(1, 1.0, 0.5, 0.8)
    device.advance(state, phase, 1)
    descent.advance(phase, 1)
    descent.score()
    moved = torch.from_numpy(descent_cpu.pad_points(state.points[0].numpy())[:, :n])
    assert layer.spent == 1 and not torch.equal(state.points, start.transpose(1, 2))
    kl = float(kernels_torch.cross_entropy(moved[None], torch.from_numpy(joint)[None], state.p_index)) - layer.entropy
    assert descent.kl == pytest.approx(kl, rel=1e-5)


def _bits(complexity: Complexity) -> tuple[object, ...]:
    return complexity.kl, complexity.start_kls, complexity.starts, complexity.spent, complexity.points.tobytes()


def test_only_inputs_are_searched_thoroughly_whatever_the_threads() -> None:
    """Bit for bit: again, with one and two threads, and hidden layers as without the thorough search."""
    layers = layers_of_digits(110)
    annealed = dict(measure(layers, [7, 8], QUICK))
    again = dict(measure(layers, [7, 8], replace(QUICK, input_schedule=None), inputs=(0,)))
    results = [dict(measure(layers, [7, 8], replace(QUICK, threads=threads), inputs=(0,))) for threads in (1, 2)]
    for found in results:
        assert _bits(found[0]) == _bits(results[0][0]) and _bits(found[1]) == _bits(annealed[1])
        assert (found[0].starts, found[1].starts) == (24, 4) and len(found[0].start_kls) == 4
    assert [_bits(again[index]) for index in (0, 1)] == [_bits(annealed[index]) for index in (0, 1)]
    kl, before = results[0][0].kl, annealed[0].kl
    assert kl is not None and before is not None and kl <= before


def test_restarts_take_other_starts_and_another_jitter() -> None:
    of_input = replace(QUICK, restarts=2).of_layer(True)
    assert [list(indices) for indices in of_input.start_indices()] == [list(range(25)), list(range(25, 50))]
    assert of_input.schedule == QUICK.input_schedule and QUICK.of_layer(False) == QUICK


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=GPU)])
def test_a_batch_searches_thoroughly_as_each_layer_alone_does(device: str) -> None:
    """Inputs among hidden layers and one without a P; numbers of starts and iterations as on a CPU core."""
    one, two = layers_of_digits(80)
    dead = np.zeros((80, 5), dtype=np.float32)
    asked = replace(QUICK, input_schedule=replace(THOROUGH_SCHEDULE, search=FEW, tolerance=1e-3), device=device)
    batch = dict(descent_gpu.measure_batches([one, dead, two, two], [7] * 4, asked, inputs=(0, 1, 2)))
    assert batch[1].kl is None and (batch[0].starts, batch[2].starts, batch[3].starts) == (6, 6, 4)
    for index, layer in ((0, one), (2, two)):
        ((_, alone),) = descent_gpu.measure_batches([layer], [7], asked, inputs=(0,))
        assert _bits(batch[index]) == _bits(alone)
        core = dict(measure([layer], [7], replace(asked, device="cpu"), inputs=(0,)))[0]
        assert core.kl is not None and batch[index].kl == pytest.approx(core.kl, rel=0.02)
        assert len(batch[index].start_kls) == len(core.start_kls) == 2
        assert batch[index].start_kls == pytest.approx(core.start_kls, rel=0.03)
        # 6 starts of 120 iterations, 4 of 200 more, 2 that converge, and the lowest again.
        for found in (core, batch[index]):
            assert 6 * 120 + 4 * 200 + 2 * 50 + 120 < found.spent < 15_000


def test_starts_that_are_not_all_screened_are_refused() -> None:
    with pytest.raises(ValueError, match="before the last phase"):
        Schedule(search=ThoroughSearch(screens=((3, 8), (6, 4))))
