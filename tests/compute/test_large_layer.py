"""Large layers: P in blocks and packed, the descent on it, its exact score, threads and memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from embcx_tui.compute.tsne import descent_cpu
from embcx_tui.compute.tsne.affinities import affinities
from embcx_tui.compute.tsne.affinities_blocks import BLOCK, row_affinities
from embcx_tui.compute.tsne.complexity import measure
from embcx_tui.compute.tsne.descent_packed import PackedLayer, exact_kl_in_blocks
from embcx_tui.compute.tsne.kl_divergence import entropy, exact_kl
from embcx_tui.compute.tsne.large_layer import measure_layer
from embcx_tui.compute.tsne.packed_affinities import LANES, PackedAffinities, pack
from embcx_tui.compute.tsne.result import Complexity, Measurement
from embcx_tui.compute.tsne.schedule import DEFAULT_SCHEDULE, Phase, Schedule, never
from embcx_tui.compute.tsne.team import Team
from tests.compute.affinity_reference import joint_probabilities

SHORT = Schedule((Phase(20, 2.0, 0.5, 0.8), Phase(100, 1.0, 0.5, 0.8)), search=None)
# Not a multiple of any block, band or vector.
N = 333


@pytest.fixture(scope="module")
def team() -> Iterator[Team]:
    with Team(2) as two:
        yield two


def clusters(n: int, units: int = 20, seed: int = 0) -> NDArray[np.float32]:
    """Return rows [n, units] in ten clusters of unequal width."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((10, units)) * 2.0
    own = np.arange(n) % 10
    return (centres[own] + rng.standard_normal((n, units)) * (0.5 + 0.1 * own[:, None])).astype(np.float32)


def numpy_kl(joint: NDArray[np.float64], points: NDArray[np.floating]) -> float:
    """Return KL(P‖Q) in nats from its definition, in numpy."""
    y = np.asarray(points, dtype=np.float64)
    w = 1.0 / (1.0 + ((y[:, None] - y[None]) ** 2).sum(-1))
    np.fill_diagonal(w, 0.0)
    q = w / w.sum()
    held = joint > 0.0
    return float((joint[held] * np.log(joint[held] / q[held])).sum())


def entries(packed: PackedAffinities) -> NDArray[np.float32]:
    """Return the entries above the diagonal of a packed P as a matrix, by the layout that its docstring gives."""
    whole = np.zeros((packed.padded, packed.padded), np.float32)
    for band, (start, end) in enumerate(zip(packed.starts[:-1], packed.starts[1:], strict=True)):
        first = band * 4 // LANES * LANES
        vectors = packed.words[start:end].reshape(-1, 2, LANES)
        for pair in range(2):
            words = np.ascontiguousarray(vectors[:, pair]).ravel()
            whole[band * 4 + 2 * pair, first:] = (words << np.uint32(16)).view(np.float32)
            whole[band * 4 + 2 * pair + 1, first:] = words.view(np.float32)
    return np.triu(whole[: packed.n, : packed.n], 1)


@pytest.mark.parametrize("units", [3, 20, 130])
def test_p_in_blocks_is_p_whole(team: Team, units: int) -> None:
    rows = clusters(N, units)
    rows[7] = rows[11]
    whole = affinities(rows, 15.0)
    assert whole.joint is not None
    found = row_affinities(rows, 15.0, team)
    assert found.info.duplicates == whole.duplicates == 2 and found.info.degenerate == whole.degenerate
    for first in range(0, N, BLOCK):
        block = found.block(first, BLOCK)
        expected = np.triu(whole.joint[first : first + BLOCK], first + 1)[:, first:]
        assert np.allclose(block, expected, rtol=1e-9, atol=1e-300)


def test_rows_without_a_bandwidth_have_no_p_in_blocks_either(team: Team) -> None:
    rows = clusters(N)
    rows[:200] = rows[0]
    assert not row_affinities(rows, 15.0, team).info.reached
    complexity = measure_layer(rows, 0, Measurement(perplexity=15.0), 2, never)
    assert complexity.kl is None and complexity.degenerate and complexity.points.shape == (N, 2)


@pytest.mark.parametrize("n", [N, 1_000])
def test_packed_entries_are_within_a_256th_and_the_entropy_is_that_of_p(team: Team, n: int) -> None:
    rows = clusters(n)
    joint = joint_probabilities(rows, 15.0)
    packed = pack(row_affinities(rows, 15.0, team), team)
    expected = np.triu(joint, 1)
    held = expected > 1e-28
    assert np.abs(entries(packed)[held] / expected[held] - 1.0).max() < 1 / 256
    assert packed.mass == pytest.approx(0.5, abs=1e-4)
    assert packed.entropy == pytest.approx(entropy(joint), abs=1e-12)


def test_the_packed_gradient_and_score_are_those_of_the_entries(team: Team) -> None:
    rows = clusters(1_000)
    p = row_affinities(rows, 15.0, team)
    packed = pack(p, team)
    points = (np.random.default_rng(1).standard_normal((1_000, 2)) * 10.0).astype(np.float32)
    descent = PackedLayer(p, packed, team, SHORT, never).begin(points)
    upper = entries(packed).astype(np.float64)
    read = upper + upper.T
    _, norm = descent._final()
    assert norm == pytest.approx(descent_cpu.gradient_norm(read, points.T), rel=1e-4)
    joint = joint_probabilities(rows, 15.0)
    descent.score()
    assert descent.kl == pytest.approx(exact_kl(read / read.sum(), points, entropy(joint)), abs=1e-9)
    exact = exact_kl_in_blocks(p, points, team)
    assert exact == pytest.approx(numpy_kl(joint, points), abs=1e-9)
    assert descent.kl == pytest.approx(exact, abs=1e-4)


def test_any_number_of_threads_gives_the_same_bits() -> None:
    rows = clusters(700)
    measurement = Measurement(perplexity=15.0, schedule=SHORT)
    found: list[Complexity] = [measure_layer(rows, 3, measurement, threads, never) for threads in (1, 2, 5)]
    assert len({one.points.tobytes() for one in found}) == 1
    assert len({(one.kl, one.gradient_norm, one.iterations) for one in found}) == 1


def test_the_search_goes_on_from_the_best_start_and_the_score_is_exact() -> None:
    rows = clusters(600)
    schedule = replace(DEFAULT_SCHEDULE, phases=(*DEFAULT_SCHEDULE.phases[:-1], Phase(200, 1.0, 0.5, 0.93)))
    complexity = measure_layer(rows, 0, Measurement(perplexity=15.0, schedule=schedule), 2, never)
    assert complexity.starts == 4 and len(complexity.start_kls) == 2
    assert complexity.engine == "exact-packed"
    assert complexity.kl is not None and complexity.kl <= min(complexity.start_kls)
    # The points of the result are rotated, in float32.
    assert complexity.kl == pytest.approx(numpy_kl(joint_probabilities(rows, 15.0), complexity.points), abs=1e-6)


def test_which_layers_are_packed() -> None:
    new, old = Measurement(), Measurement(large="whole")
    assert [new.is_packed(n) for n in (1_000, 2_000, 2_001, 10_000)] == [False, False, True, True]
    assert not old.is_packed(2_001)
    gpu = Measurement(device="cuda")
    assert [gpu.is_packed(n) for n in (2_001, 5_000, 5_001)] == [False, False, True]
    assert Measurement(engine="opentsne", device="cuda").is_packed(2_001)
    with pytest.raises(ValueError, match=r"5001 rows are too many for the exact engine \(at most 5000\)"):
        measure([np.zeros((5_001, 2), np.float32)], [0], old)


def test_a_large_layer_scores_as_openTSNE_or_better_and_openTSNE_by_the_same_sum() -> None:
    rows = clusters(2_001)
    one_start = replace(DEFAULT_SCHEDULE, search=None)
    ((_, ours),) = measure([rows], [0], Measurement(schedule=one_start))
    ((_, theirs),) = measure([rows], [0], Measurement(engine="opentsne", threads=1))
    assert (ours.engine, theirs.engine) == ("exact-packed", "opentsne")
    assert ours.kl is not None and theirs.kl is not None and ours.kl <= theirs.kl
    joint = joint_probabilities(rows, 30.0)
    for one in (ours, theirs):
        assert one.kl == pytest.approx(exact_kl(joint, one.points), abs=1e-6)


_PEAK = """
import resource, sys
import numpy as np
from dataclasses import replace
from embcx_tui.compute.tsne.complexity import measure
from embcx_tui.compute.tsne.schedule import Phase, Schedule
from embcx_tui.compute.tsne.result import Measurement
measurement = Measurement(schedule=Schedule((Phase(2, 2.0, 0.5, 0.8), Phase(2, 1.0, 0.5, 0.8)), search=None), threads=2)
rng = np.random.default_rng(0)
peaks = []
for n in (2_001, 5_000):
    layers = [rng.standard_normal((n, 5)).astype(np.float32) for _ in range(2)]
    list(measure(layers, [0, 0], measurement))
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
print(peaks[1] - peaks[0])
"""


def test_two_large_layers_at_once_take_less_than_10_bytes_per_pair() -> None:
    done = subprocess.run([sys.executable, "-P", "-c", _PEAK], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 10 * (5_000**2 - 2_001**2)
