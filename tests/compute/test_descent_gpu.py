"""The torch path against the CPU path: here on CPU tensors, where there is a GPU on it as well."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from embcx_tui.compute.gpu_path import gpu_path
from embcx_tui.compute.tsne import affinities_gpu, descent_cpu, descent_gpu, kernels_torch
from embcx_tui.compute.tsne.complexity import measure, measure_layer
from embcx_tui.compute.tsne.initialization import principal_start
from embcx_tui.compute.tsne.kl_divergence import cross_entropy, entropy, exact_kl
from embcx_tui.compute.tsne.result import Complexity, Measurement
from embcx_tui.compute.tsne.schedule import Phase, Schedule, Search
from embcx_tui.study.errors import DeviceFailed
from tests.compute.affinity_reference import joint_probabilities

QUICK = Measurement(perplexity=15.0, schedule=Schedule(tolerance=1e-3))
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


def layers_of_digits(n: int = 100) -> list[NDArray[np.float32]]:
    rows = load_digits().data[:n].astype(np.float32) / 16.0
    weights = np.random.default_rng(0).standard_normal((64, 30), dtype=np.float32)
    return [rows, np.maximum(rows @ weights, 0.0)]


def test_iterations_in_plain_torch_equal_those_on_a_cpu() -> None:
    """Twenty iterations, before rounding has grown; and the cross-entropy."""
    rows = layers_of_digits()[0]
    joint = joint_probabilities(rows, 15.0)
    n = len(rows)
    points = np.random.default_rng(1).standard_normal((2, n)).astype(np.float32)
    phase = Phase(20, 2.0, 0.5, 0.8)
    moved = torch.from_numpy(points.copy())[None]
    last = torch.full((1,), n * 50.0)
    p_index = torch.zeros(1, dtype=torch.int64)
    joint32 = torch.from_numpy(joint).float()[None]
    kernels_torch.iterate(
        moved, torch.zeros_like(moved), torch.ones_like(moved), last, joint32, p_index, 20, phase, 0.5
    )
    velocity, gain = np.zeros_like(points), np.ones_like(points)
    padded = descent_cpu.pad_points(points)
    rate, half = np.float32(phase.learning_rate * n), np.float32(0.5)
    z = descent_cpu.iterate(
        padded, velocity, gain, descent_cpu.pad_matrix(joint), np.float32(n * 50.0),
        20, np.float32(phase.exaggeration), rate, np.float32(phase.momentum), half,
    )  # fmt: skip
    assert moved[0].numpy() == pytest.approx(padded[:, :n], rel=1e-3, abs=1e-3)
    assert float(last) == pytest.approx(float(z), rel=1e-4)
    scored = kernels_torch.cross_entropy(moved, torch.from_numpy(joint)[None], p_index)
    x, y = moved[0].double().numpy()
    assert float(scored) == pytest.approx(cross_entropy(x, y, joint), rel=1e-12)


def measured(device: str, layers: list[NDArray[np.float32]], measurement: Measurement = QUICK) -> dict[int, Complexity]:
    return dict(descent_gpu.measure_batches(layers, range(7, 7 + len(layers)), replace(measurement, device=device)))


def agree(one: Complexity, other: Complexity) -> bool:
    """Whether two results differ by no more than rounding can do: it grows on the way, into a minimum nearby."""
    assert one.kl is not None
    assert other.kl is not None
    return abs(one.kl - other.kl) < 0.02 * one.kl and one.duplicates == other.duplicates


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=GPU)])
def test_a_batch_is_measured_as_on_a_cpu(device: str) -> None:
    layers = layers_of_digits()
    with_restarts = replace(QUICK, restarts=2)
    wanted = dict(measure(layers, range(7, 9), with_restarts))
    for index, complexity in measured(device, layers, with_restarts).items():
        assert agree(complexity, wanted[index])
        assert len(complexity.restart_kls) == 2
        joint = joint_probabilities(layers[index], 15.0)
        assert complexity.kl == pytest.approx(exact_kl(joint, complexity.points), rel=1e-6)
        assert complexity.converged


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=GPU)])
def test_a_result_does_not_depend_on_the_batch_composition(device: str) -> None:
    one, two = layers_of_digits()
    dead = np.zeros((100, 5), dtype=np.float32)
    smaller = layers_of_digits(80)[0]
    single = dict(descent_gpu.measure_batches([two], [7], replace(QUICK, device=device)))[0]
    batch = dict(descent_gpu.measure_batches([dead, one, smaller, two], [7] * 4, replace(QUICK, device=device)))
    assert batch[0].kl is None
    assert np.array_equal(batch[3].points, single.points)
    assert batch[3].kl == single.kl


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=GPU)])
def test_a_batch_searches_as_each_layer_alone_does(device: str) -> None:
    """Groups that end for one layer and go on for another; numbers of starts and iterations as on a CPU core."""
    layers = layers_of_digits()
    plan = Search(groups=3, agreement=0.003)
    asked = replace(QUICK, schedule=replace(QUICK.schedule, search=plan))
    asked = replace(asked, device=device)
    batch = dict(descent_gpu.measure_batches(layers, [7] * len(layers), asked))
    for index, layer in enumerate(layers):
        ((_, alone),) = descent_gpu.measure_batches([layer], [7], asked)
        assert (batch[index].kl, batch[index].starts, batch[index].start_kls) == (
            alone.kl,
            alone.starts,
            alone.start_kls,
        )
        core = measure_layer(layer, 7, replace(asked, device="cpu"))
        groups = batch[index].starts // plan.starts
        assert len(batch[index].start_kls) == groups * plan.kept
        assert batch[index].spent == groups * asked.schedule.group_iterations + (
            batch[index].iterations - asked.schedule.search_iterations
        )
        # The same starts, so the first group's divergences agree, to float32's rounding amplified over 370 iterations.
        assert batch[index].start_kls[:1] == pytest.approx(core.start_kls[:1], rel=0.02)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=GPU)])
def test_the_result_of_a_descent_is_what_a_cpu_computes_of_its_points(device: str) -> None:
    layer = layers_of_digits()[0]
    brief = replace(QUICK, schedule=Schedule(phases=(Phase(100, 1.0, 0.5, 0.8),), search=None, tolerance=0.0))
    joint = torch.from_numpy(joint_probabilities(layer, 15.0))[None].to(device)
    start = torch.from_numpy(principal_start(layer))[None, None].to(device)
    p_index = torch.zeros(1, dtype=torch.int64, device=device)
    entropies = torch.tensor([entropy(joint[0].cpu().numpy())], dtype=torch.float64, device=device)
    kernels = descent_gpu.descent_kernels(torch.device(device))
    ((restart, result),) = descent_gpu.descend(joint, start, p_index, entropies, brief.schedule, kernels)
    norm = descent_cpu.gradient_norm(joint[0].cpu().numpy(), result.points.T)
    assert (restart, result.iterations, result.converged) == (0, 100, False)
    assert result.gradient_norm == pytest.approx(norm, rel=1e-4)
    assert result.kl == pytest.approx(exact_kl(joint[0].cpu().numpy(), result.points), rel=1e-10)


def test_a_stop_ends_the_results_and_loses_none() -> None:
    """Results of the window before a stop are still yielded."""
    layers = layers_of_digits()
    phases = Phase(20, 2.0, 0.5, 0.8), Phase(200, 1.0, 0.5, 0.8)
    loose = replace(QUICK, schedule=Schedule(phases, search=None, window=10, tolerance=5e-2))
    windows = 0

    def stop_after(most: int) -> Iterator[int]:
        nonlocal windows
        windows = 0

        def stop() -> bool:
            nonlocal windows
            windows += 1
            return windows > most

        return (index for index, _ in descent_gpu.measure_batches(layers, [7, 8], loose, stop))

    assert list(stop_after(2)) == []
    given = [len(list(stop_after(most))) for most in range(3, 27, 3)]
    assert given == sorted(given)
    assert {0, 2} <= set(given)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_plain_torch_serves_where_triton_does_not_run() -> None:
    told: list[str] = []
    gpu_path.begin(listener=told.append)
    nowhere = torch.device("cuda", 99)
    assert descent_gpu.descent_kernels(nowhere) is kernels_torch
    assert affinities_gpu.affinity_kernels(nowhere) is kernels_torch
    count = len(told)
    assert count and any("embeddings run some 100 times slower" in text for text in told)
    descent_gpu.descent_kernels(nowhere)
    assert len(told) == count  # said once


def test_short_memory_halves_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []
    whole = descent_gpu.descend

    def short(joint: torch.Tensor, *others: object) -> object:
        tried.append(len(joint))
        if len(joint) > 1:
            raise torch.OutOfMemoryError
        return whole(joint, *others)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(descent_gpu, "descend", short)
    brief = replace(QUICK, schedule=Schedule(phases=(Phase(60, 1.0, 0.5, 0.8),), search=None))
    assert sorted(measured("cpu", layers_of_digits() * 2, brief)) == [0, 1, 2, 3]
    assert tried == [4, 2, 1, 1, 1, 1]


def test_one_layer_too_large_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def short(*_: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(descent_gpu, "search", short)
    with pytest.raises(DeviceFailed, match="100 rows"):
        measured("cpu", layers_of_digits()[:1])
