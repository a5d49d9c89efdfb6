"""The torch path against the CPU path: here on CPU tensors, and the Triton kernels through Triton's interpreter."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from embcx_tui.compute import embedding, exact, exact_cpu, exact_gpu, exact_torch
from embcx_tui.compute import neighbourhoods as on_cpu
from embcx_tui.compute.complexity import Complexity, Measurement, measure

QUICK = Measurement(perplexity=15.0, descent=exact.Descent(tolerance=1e-3))
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


def layers_of_digits(n: int = 100) -> list[NDArray[np.float32]]:
    rows = load_digits().data[:n].astype(np.float32) / 16.0
    weights = np.random.default_rng(0).standard_normal((64, 30), dtype=np.float32)
    return [rows, np.maximum(rows @ weights, 0.0)]


def test_neighbourhoods_and_starts_are_those_of_the_cpu() -> None:
    for rows in layers_of_digits():
        joint, facts = exact_gpu.neighbourhoods(torch.from_numpy(rows).double(), 15.0)
        wanted = on_cpu.neighbourhoods(rows, 15.0)
        assert joint is not None
        assert wanted.joint is not None
        assert joint.numpy() == pytest.approx(wanted.joint, rel=1e-9, abs=1e-300)
        assert (facts.duplicates, facts.near_identical, facts.degenerate) == (0, False, False)
        start = exact_gpu.principal_start(torch.from_numpy(rows).double()).numpy()
        assert start == pytest.approx(embedding.principal_start(rows), rel=1e-5, abs=1e-12)


@pytest.mark.parametrize("dead", [0, 40, 100])
def test_degenerate_rows_are_found_as_on_the_cpu(dead: int) -> None:
    rows = layers_of_digits()[1]
    rows[:dead] = rows[0]
    joint, facts = exact_gpu.neighbourhoods(torch.from_numpy(rows).double(), 15.0)
    wanted = on_cpu.neighbourhoods(rows, 15.0)
    assert (joint is None) == (wanted.joint is None)
    assert (facts.duplicates, facts.near_identical) == (wanted.duplicates, wanted.near_identical)
    assert facts.degenerate == wanted.degenerate


def test_a_window_of_plain_torch_is_a_window_of_the_cpu() -> None:
    """Twenty iterations, before rounding has grown; and the score."""
    rows = layers_of_digits()[0]
    joint = on_cpu.joint_probabilities(rows, 15.0)
    n = len(rows)
    points = np.random.default_rng(1).standard_normal((2, n)).astype(np.float32)
    phase = exact.Phase(20, 2.0, 0.5, 0.8)
    moved = torch.from_numpy(points.copy())[None]
    last = torch.full((1,), n * 50.0)
    which = torch.zeros(1, dtype=torch.int64)
    joint32 = torch.from_numpy(joint).float()[None]
    exact_torch.descend(moved, torch.zeros_like(moved), torch.ones_like(moved), last, joint32, which, 20, phase, 0.5)
    velocity, gain = np.zeros_like(points), np.ones_like(points)
    rate, half = np.float32(phase.rate * n), np.float32(0.5)
    z = exact_cpu.descend(
        points, velocity, gain, joint.astype(np.float32), np.float32(n * 50.0),
        20, np.float32(phase.exaggeration), rate, np.float32(phase.momentum), half,
    )  # fmt: skip
    assert moved[0].numpy() == pytest.approx(points, rel=1e-3, abs=1e-3)
    assert float(last) == pytest.approx(float(z), rel=1e-4)
    scored = exact_torch.cross_entropy(moved, torch.from_numpy(joint)[None], which)
    x, y = moved[0].double().numpy()
    assert float(scored) == pytest.approx(exact_cpu.cross_entropy(x, y, joint), rel=1e-12)


def measured(device: str, layers: list[NDArray[np.float32]], measurement: Measurement = QUICK) -> dict[int, Complexity]:
    return dict(exact_gpu.measure(layers, range(7, 7 + len(layers)), replace(measurement, device=device)))


def agree(one: Complexity, other: Complexity) -> bool:
    """Whether two results differ by no more than rounding can do: it grows on the way, into a minimum nearby."""
    assert one.kl is not None
    assert other.kl is not None
    return abs(one.kl - other.kl) < 0.02 * one.kl and one.duplicates == other.duplicates


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=GPU)])
def test_the_batched_path_scores_as_the_cpu_path(device: str) -> None:
    layers = layers_of_digits()
    with_restarts = replace(QUICK, restarts=2)
    wanted = dict(measure(layers, range(7, 9), with_restarts))
    for index, complexity in measured(device, layers, with_restarts).items():
        assert agree(complexity, wanted[index])
        assert len(complexity.restart_kls) == 2
        joint = on_cpu.joint_probabilities(layers[index], 15.0)
        x, y = np.ascontiguousarray(complexity.points.T, dtype=np.float64)
        assert complexity.kl == pytest.approx(exact_cpu.cross_entropy(x, y, joint) - exact_cpu.entropy(joint), rel=1e-6)
        assert complexity.converged


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=GPU)])
def test_a_result_does_not_depend_on_its_company(device: str) -> None:
    one, two = layers_of_digits()
    dead = np.zeros((100, 5), dtype=np.float32)
    smaller = layers_of_digits(80)[0]
    alone = dict(exact_gpu.measure([two], [7], replace(QUICK, device=device)))[0]
    company = dict(exact_gpu.measure([dead, one, smaller, two], [7] * 4, replace(QUICK, device=device)))
    assert company[0].kl is None
    assert np.array_equal(company[3].points, alone.points)
    assert company[3].kl == alone.kl


def test_short_memory_halves_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []
    whole = exact_gpu.descend

    def short(joint: torch.Tensor, *others: object) -> object:
        tried.append(len(joint))
        if len(joint) > 1:
            raise torch.OutOfMemoryError
        return whole(joint, *others)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(exact_gpu, "descend", short)
    brief = replace(QUICK, descent=exact.Descent(phases=(exact.Phase(60, 1.0, 0.5, 0.8),)))
    assert sorted(measured("cpu", layers_of_digits() * 2, brief)) == [0, 1, 2, 3]
    assert tried == [4, 2, 1, 1, 1, 1]


IN_THE_INTERPRETER = """
import numpy as np, torch
from embcx_tui.compute import exact, exact_torch, exact_triton
generator = torch.Generator().manual_seed(0)
n, m = 70, 3
joint = torch.rand(2, n, n, generator=generator, dtype=torch.float64)
joint = joint + joint.transpose(1, 2)
for p in joint:
    p.fill_diagonal_(0.0)
joint /= joint.sum(dim=(1, 2), keepdim=True)
which = torch.tensor([1, 0, 1])
start = torch.randn(m, 2, n, generator=generator)
phase = exact.Phase(5, 2.0, 0.5, 0.8)
results = []
for passes in (exact_torch, exact_triton):
    state = [start.clone(), torch.zeros(m, 2, n), torch.ones(m, 2, n), torch.full((m,), n * 20.0)]
    passes.descend(*state, joint.float(), which, 5, phase, 0.5)
    results.append([*state, passes.cross_entropy(state[0], joint, which)])
for plain, kernel in zip(*results):
    torch.testing.assert_close(kernel, plain, rtol=1e-4, atol=1e-4)
torch.testing.assert_close(results[1][4], exact_torch.cross_entropy(results[1][0], joint, which), rtol=1e-12, atol=0.0)
print("same")
"""


def test_the_triton_kernels_equal_plain_torch() -> None:
    """In Triton's interpreter, on CPU tensors: what the kernels compute, not that they compile for a GPU."""
    pytest.importorskip("triton")
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    command = [sys.executable, "-c", IN_THE_INTERPRETER]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "same", done.stderr[-2000:]
