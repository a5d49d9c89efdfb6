"""The descent on a CPU: its gradient, the exact KL divergence, and convergence."""

from dataclasses import replace
from typing import Any

import numba
import numpy as np
import pytest
from numpy.typing import NDArray
from openTSNE.kl_divergence import kl_divergence_exact
from sklearn.datasets import load_digits

from embcx_tui.compute.tsne import descent_cpu, start_search_cpu
from embcx_tui.compute.tsne.initialization import principal_start, random_start
from embcx_tui.compute.tsne.kl_divergence import entropy, exact_kl
from embcx_tui.compute.tsne.schedule import (
    DEFAULT_SCHEDULE,
    DescentResult,
    Phase,
    Schedule,
    Search,
    Stopped,
)
from tests.compute.affinity_reference import joint_probabilities
from tests.compute.descent_reference import plain_descent


def joint_of_digits(n: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    rows = load_digits().data[:n].astype(np.float32)
    return rows, joint_probabilities(rows, 20.0)


@pytest.mark.parametrize("avx512", [True, False])
@pytest.mark.parametrize("n", [96, 97, 98, 99, 103, 104, 111])
def test_forces_are_the_gradient_of_the_kl_divergence(n: int, avx512: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Central differences in float64, with no padding, one point and fifteen; vectors of 16 and of 8."""
    asked: list[bool] = []

    def has_avx512() -> bool:
        asked.append(avx512)
        return avx512

    monkeypatch.setattr(descent_cpu, "has_avx512", has_avx512)
    kernel: Any = descent_cpu.forces
    compiling: Any = numba.njit
    forces = compiling(kernel.py_func)
    _, joint = joint_of_digits(n)
    points = np.random.default_rng(0).standard_normal((n, 2)) * 3.0
    joint_entropy = entropy(joint)
    wanted = np.zeros((n, 2))
    for i in range(n):
        for c in range(2):
            step = np.zeros((n, 2))
            step[i, c] = 1e-5
            wanted[i, c] = (
                exact_kl(joint, points + step, joint_entropy) - exact_kl(joint, points - step, joint_entropy)
            ) / 2e-5
    padded, joint32 = descent_cpu.pad_points(points.T), descent_cpu.pad_matrix(joint)
    assert padded.shape[1] % 16 == 0 and padded.shape[1] - n < 16
    gradient = np.full_like(padded, np.nan)
    z = forces(padded, joint32, np.float32(1.0), gradient)
    forces(padded, joint32, np.float32(z), gradient)
    assert asked, "compiled for this width"
    squared = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    assert z == pytest.approx((1.0 / (1.0 + squared)).sum() - n, rel=1e-5)
    assert (4.0 / z * gradient[:, :n].T) == pytest.approx(wanted, abs=2e-6)
    assert descent_cpu.gradient_norm(joint, points.T) == pytest.approx(np.linalg.norm(wanted), rel=1e-4)


@pytest.mark.parametrize("spread", [1e-4, 1.0, 1e3])
def test_the_exact_kl_equals_opentsnes(spread: float) -> None:
    _, joint = joint_of_digits(203)
    points = np.random.default_rng(1).standard_normal((203, 2)) * spread
    wanted = kl_divergence_exact(joint, points)
    assert exact_kl(joint, points) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize(
    "phases",
    [
        (Phase(12, 1.0, 0.5, 0.8),),
        (Phase(12, 4.0, 0.5, 0.8),),
        (Phase(8, 3.0, 0.5, 0.5), Phase(6, 1.0, 0.25, 0.9)),
    ],
)
def test_iterations_are_those_of_a_plain_descent(phases: tuple[Phase, ...]) -> None:
    """Gains, momentum, exaggeration and steps, until float32's roundings have grown to some 1e-4."""
    _, joint = joint_of_digits(90)
    start = (np.random.default_rng(2).standard_normal((90, 2)) * 2.0).astype(np.float32)
    found = descent_cpu.descend(joint, start, Schedule(phases, search=None, tolerance=0.0))
    wanted = plain_descent(joint, start, phases, Schedule().min_gain)
    moved = np.abs(wanted - start).max()
    assert moved > 1.0 and np.abs(found.points - wanted).max() < 1e-3 * moved
    assert found.kl == pytest.approx(kl_divergence_exact(joint, wanted), rel=1e-3)


def test_the_relative_change_is_that_of_the_last_window() -> None:
    rows, joint = joint_of_digits(150)
    early = DEFAULT_SCHEDULE.phases[:-1]
    kls = []
    for iterations in (200, 250):
        schedule = Schedule((*early, Phase(iterations, 1.0, 0.5, 0.93)), search=None, tolerance=0.0)
        found = descent_cpu.descend(joint, principal_start(rows), schedule)
        kls.append(kl_divergence_exact(joint, found.points.astype(np.float64)))
    assert found.iterations == schedule.max_iterations
    assert found.relative_change == pytest.approx((kls[0] - kls[1]) / kls[1], rel=1e-6)
    # Half of that change in nats, or twice as much: what is compared with the tolerance is the share.
    for share, converged in ((1.01, True), (0.99, False)):
        tolerance = share * found.relative_change
        last = descent_cpu.descend(joint, principal_start(rows), replace(schedule, tolerance=tolerance))
        assert (last.iterations <= found.iterations and last.converged) == converged


@pytest.mark.parametrize("seed", range(4))
def test_of_several_starts_the_best_go_on_and_the_best_of_those_wins(seed: int) -> None:
    """Whatever their order; and the winner goes the way that it goes alone, bit for bit."""
    _, joint = joint_of_digits(130)
    schedule = Schedule(search=Search(agreement=0.0), tolerance=1e-3)
    starts = [random_start(130, 10 * seed + number) for number in range(4)]
    found = start_search_cpu.search(joint, iter(starts), schedule)
    turned = start_search_cpu.search(joint, iter(starts[::-1]), schedule)
    assert (turned.kl, turned.start_kls) == (found.kl, found.start_kls)
    window = Schedule((*schedule.phases[:-1], replace(schedule.phases[-1], iterations=50)), search=None)
    early = [descent_cpu.descend(joint, start, window).kl for start in starts]
    assert set(found.start_kls) <= set(early) and len(set(found.start_kls)) == 2
    best = early.index(min(found.start_kls))
    alone = descent_cpu.descend(joint, starts[best], replace(schedule, search=None))
    assert found.kl == alone.kl and np.array_equal(found.points, alone.points)
    assert found.iterations == alone.iterations and found.starts == 4
    assert found.spent == alone.iterations + schedule.group_iterations - schedule.search_iterations


def test_a_start_that_is_overtaken_does_not_win(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up descents, whose KL after screening and one window after the exaggeration are their start's numbers."""

    class Told:
        def __init__(self, layer: object, start: NDArray[np.float32]) -> None:
            self._kls, self.kl = start[0].tolist(), np.inf
            self.settled = start

        def advance(self, phase: Phase, iterations: int) -> None:
            pass

        def score(self) -> None:
            self.kl = self._kls.pop(0)

        def settle(self) -> DescentResult:
            return DescentResult(self.settled, self.kl, 1, 0.0, 0.0, True)

    monkeypatch.setattr(descent_cpu, "WholeDescent", Told)
    starts = [np.array([kls], dtype=np.float32) for kls in ((3.0, 0.5), (1.0, 1.875), (2.0, 1.5), (4.0, 0.25))]
    found = start_search_cpu.search(np.zeros((16, 16)), iter(starts), Schedule(search=Search(agreement=0.0)))
    # The second and the third go on; of them the third is lower in the end, whatever the others would have become.
    assert found.start_kls == (1.875, 1.5) and found.kl == 1.5 and found.points is starts[2]
    assert found.starts == 4


def test_a_descent_converges_near_a_minimum() -> None:
    rows, joint = joint_of_digits(300)
    loose = descent_cpu.descend(joint, principal_start(rows), Schedule(tolerance=1e-3))
    assert loose.converged
    assert loose.relative_change < 1e-3
    assert loose.kl == pytest.approx(kl_divergence_exact(joint, loose.points.astype(np.float64)), rel=1e-10)
    tight = descent_cpu.descend(joint, principal_start(rows), Schedule(tolerance=0.0))
    assert not tight.converged
    assert tight.iterations == DEFAULT_SCHEDULE.max_iterations == 5_000
    assert tight.kl < loose.kl
    assert tight.gradient_norm < loose.gradient_norm


def test_a_descent_can_be_stopped() -> None:
    rows, joint = joint_of_digits(200)
    asked = 0

    def third_time() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    with pytest.raises(Stopped):
        descent_cpu.descend(joint, principal_start(rows), should_stop=third_time)
