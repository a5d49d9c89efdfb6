"""From activations to complexity, by the functions that the worker calls."""

import gzip
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from openTSNE.kl_divergence import kl_divergence_exact
from sklearn.datasets import load_digits

from embcx_tui.compute.tsne import descent_cpu
from embcx_tui.compute.tsne.complexity import measure
from embcx_tui.compute.tsne.initialization import initial_points, principal_start
from embcx_tui.compute.tsne.kl_divergence import entropy, exact_kl, kl_to_uniform
from embcx_tui.compute.tsne.result import Complexity, Measurement
from embcx_tui.compute.tsne.schedule import (
    DEFAULT_SCHEDULE,
    PLAIN_SCHEDULE,
    THOROUGH_SCHEDULE,
    Schedule,
    Search,
)
from tests.compute.affinity_reference import joint_probabilities

QUICK = Measurement(perplexity=15.0, schedule=Schedule(tolerance=1e-3))


def layers_of_digits(n: int = 160) -> list[NDArray[np.float32]]:
    """Three layers of different widths: digits, and two random relu layers on them."""
    rows = load_digits().data[:n].astype(np.float32) / 16.0
    rng = np.random.default_rng(0)
    first = np.maximum(rows @ rng.standard_normal((64, 30), dtype=np.float32), 0.0)
    second = np.maximum(first @ rng.standard_normal((30, 50), dtype=np.float32), 0.0)
    return [rows, first, second]


def measured(layers: Sequence[NDArray[np.float32]], measurement: Measurement = QUICK) -> list[Complexity]:
    """The layers' complexities in their own order, seeds 0, 1, 2 …"""
    by_index = dict(measure(layers, range(len(layers)), measurement))
    return [by_index[index] for index in range(len(layers))]


def test_every_layer_is_measured_and_scored_exactly() -> None:
    layers = layers_of_digits()
    for layer, complexity in zip(layers, measured(layers), strict=True):
        joint = joint_probabilities(layer, 15.0)
        wanted = kl_divergence_exact(joint, complexity.points.astype(np.float64))
        assert complexity.kl == pytest.approx(wanted, rel=1e-6)
        assert exact_kl(joint, complexity.points) == pytest.approx(wanted, rel=1e-10)
        uniform_kl = kl_to_uniform(160, entropy(joint))
        uniform = np.full((160, 160), 1.0 / (160 * 159))
        ratio = np.divide(joint, uniform, out=np.ones_like(joint), where=joint > 0.0)
        assert uniform_kl == pytest.approx((joint * np.log(ratio)).sum(), rel=1e-10)
        assert complexity.explained == pytest.approx(1.0 - wanted / uniform_kl, rel=1e-6)
        plane = complexity.points.astype(np.float64)
        near = 1.0 / (1.0 + ((plane[:, None] - plane[None]) ** 2).sum(axis=2))
        np.fill_diagonal(near, 0.0)
        q = near / near.sum()
        logs = np.log(np.divide(joint, q, out=np.ones_like(joint), where=joint > 0.0))
        assert complexity.point_kls == pytest.approx((joint * logs).sum(axis=1), rel=1e-9, abs=1e-14)
        assert complexity.point_kls is not None and complexity.point_kls.sum() == pytest.approx(wanted, rel=1e-10)
        assert complexity.converged
        assert not complexity.degenerate
        assert complexity.points.shape == (160, 2)
        assert complexity.points.dtype == np.float32
        assert complexity.points.mean(axis=0) == pytest.approx([0.0, 0.0], abs=1e-4)


def test_a_layers_result_does_not_depend_on_the_batch_composition() -> None:
    """Bit for bit: by itself, among others, with degenerate ones, in another order, with other numbers of threads."""
    layers = layers_of_digits()
    dead = np.zeros((160, 10), dtype=np.float32)
    doubled = np.repeat(layers[1][:80], 2, axis=0)
    wanted = [next(iter(measure([layer], [7], QUICK)))[1] for layer in layers]
    batch = [dead, layers[2], doubled, layers[0], dead, layers[1]]
    for threads in (1, 2, 3):
        results = dict(measure(batch, [7] * 6, Measurement(perplexity=15.0, schedule=QUICK.schedule, threads=threads)))
        for position, layer in ((3, 0), (5, 1), (1, 2)):
            assert np.array_equal(results[position].points, wanted[layer].points)
            assert results[position].kl == wanted[layer].kl


def test_degenerate_layers_are_marked_and_never_easy() -> None:
    layers = layers_of_digits()
    dead = np.zeros((160, 10), dtype=np.float32)
    half_dead = layers[0].copy()
    half_dead[:80] = half_dead[0]
    doubled = np.repeat(layers[1][:80], 2, axis=0)
    none, also_none, counted = measured([dead, half_dead, doubled])
    for complexity in (none, also_none):
        assert (complexity.kl, complexity.explained, complexity.degenerate) == (None, None, True)
        assert complexity.points.shape == (160, 2)
    assert (none.duplicates, also_none.duplicates, counted.duplicates) == (160, 80, 160)
    assert counted.degenerate
    assert counted.kl is not None
    assert np.isfinite(counted.points).all()


@pytest.mark.parametrize("plan", [Search(), Search(groups=3, agreement=0.002), Search(groups=3, agreement=0.0)])
def test_the_search_keeps_the_lowest_start_and_says_what_it_tried(plan: Search) -> None:
    layer = layers_of_digits()[0]
    joint = joint_probabilities(layer, 15.0)
    (complexity,) = measured([layer], replace(QUICK, schedule=replace(DEFAULT_SCHEDULE, search=plan)))
    assert complexity.kl is not None
    groups = complexity.starts // plan.starts
    assert complexity.starts == groups * plan.starts and len(complexity.start_kls) == groups * plan.kept
    # It went on until the best was found twice, or all groups were used up, and not a group longer.
    assert groups == plan.groups or plan.agreed(complexity.start_kls)
    assert all(not plan.agreed(complexity.start_kls[: plan.kept * fewer]) for fewer in range(1, groups))
    assert complexity.kl == pytest.approx(exact_kl(joint, complexity.points), rel=1e-6)
    assert complexity.kl < min(complexity.start_kls)
    # Each start by itself, without a search, ends no lower than the search does, to the tolerance of convergence.
    alone = [
        descent_cpu.descend(joint, initial_points(layer, 0, index), replace(DEFAULT_SCHEDULE, search=None)).kl
        for index in range(complexity.starts)
    ]
    assert complexity.kl <= sorted(alone)[len(alone) // 2] and complexity.kl <= min(alone) * 1.02


@pytest.mark.parametrize("inputs", [(), (0,)])
def test_what_changes_no_distance_moves_a_score_by_no_more_than_its_noise(inputs: tuple[int, ...]) -> None:
    """Permuted units, a rotation, another order of rows: the score is found anew, by other roundings."""
    rng = np.random.default_rng(11)
    layer = layers_of_digits()[0].astype(np.float64)
    turned = np.linalg.qr(rng.standard_normal((layer.shape[1], layer.shape[1])))[0]
    same = [layer, layer[:, rng.permutation(layer.shape[1])], layer @ turned, layer[rng.permutation(len(layer))]]

    def score(rows: NDArray[np.floating], seed: int) -> float:
        asked = Measurement(perplexity=15.0, input_schedule=THOROUGH_SCHEDULE)
        kl = next(iter(measure([rows], [seed], asked, inputs=inputs)))[1].kl
        assert kl is not None
        return kl

    scores = [score(rows, 7) for rows in same]
    noise = np.ptp([score(layer, seed) for seed in range(6)])
    assert np.ptp(scores) <= max(noise, 0.002 * scores[0])


def test_a_plain_schedule_tries_one_start() -> None:
    layer = layers_of_digits()[0]
    (plain,) = measured([layer], Measurement(perplexity=15.0, schedule=PLAIN_SCHEDULE))
    result = descent_cpu.descend(joint_probabilities(layer, 15.0), principal_start(layer), PLAIN_SCHEDULE)
    assert (plain.kl, plain.starts, plain.start_kls, plain.iterations) == (result.kl, 1, (), result.iterations)


def test_restarts_keep_the_best_and_report_the_spread() -> None:
    layer = layers_of_digits()[0]
    (complexity,) = measured([layer], Measurement(perplexity=15.0, restarts=3, schedule=QUICK.schedule))
    (once,) = measured([layer])
    assert len(complexity.restart_kls) == 3
    assert complexity.kl == min(complexity.restart_kls)
    assert complexity.restart_kls[0] == once.kl
    assert len(set(complexity.restart_kls)) == 3


def test_no_two_restarts_share_a_start() -> None:
    annealed = Measurement(restarts=3).start_indices()
    assert [list(indices) for indices in annealed] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    plain = Measurement(restarts=3, schedule=PLAIN_SCHEDULE).start_indices()
    assert [list(indices) for indices in plain] == [[0], [1], [2]]


def test_opentsne_is_scored_by_the_same_exact_kl() -> None:
    layer = layers_of_digits()[0]
    (complexity,) = measured([layer], Measurement(perplexity=15.0, engine="opentsne"))
    (ours,) = measured([layer])
    assert complexity.engine == "opentsne"
    assert complexity.kl == pytest.approx(exact_kl(joint_probabilities(layer, 15.0), complexity.points), rel=1e-6)
    assert complexity.iterations == 750
    assert complexity.kl is not None
    assert ours.kl is not None
    assert ours.kl < complexity.kl * 1.02


def test_opentsne_starts_on_degenerate_rows_too() -> None:
    doubled = np.repeat(layers_of_digits()[1][:80], 2, axis=0)
    (complexity,) = measured([doubled], Measurement(perplexity=15.0, engine="opentsne"))
    assert complexity.degenerate
    assert np.isfinite(complexity.points).all()


def test_what_cannot_be_measured_is_refused_before_work_begins() -> None:
    good = layers_of_digits()[0]
    bad = good.copy()
    bad[3, 3] = np.nan
    with pytest.raises(ValueError, match=r"layer 1: .*not finite"):
        measure([good, bad], [0, 0], QUICK)
    with pytest.raises(ValueError, match=r"layer 0: perplexity 60"):
        measure([good], [0], Measurement(perplexity=60.0))
    with pytest.raises(ValueError, match="too many for the exact engine"):
        measure([np.zeros((10_001, 2), dtype=np.float32)], [0])
    with pytest.raises(ValueError, match="seeds"):
        measure([good], [])
    with pytest.raises(ValueError, match="restarts"):
        measure([good], [0], Measurement(restarts=0))


def test_stopping_ends_the_results_without_an_error() -> None:
    layers = layers_of_digits() * 4
    results = measure(layers, range(12), QUICK, should_stop=lambda: stopped)
    stopped = False
    first = next(results)
    stopped = True
    assert first[0] in range(12)
    assert len(list(results)) < 11
    left_early = measure(layers, range(12), QUICK)
    next(left_early)
    left_early.close()


def mnist_rows(folder: Path) -> NDArray[np.float32]:
    """100 MNIST images a class [1000, 784], standardised by one mean and deviation."""
    arrays = []
    for name, offset in (("train-images-idx3-ubyte", 16), ("train-labels-idx1-ubyte", 8)):
        plain, packed = folder / "MNIST" / "raw" / name, folder / "MNIST" / "raw" / f"{name}.gz"
        content = plain.read_bytes() if plain.exists() else gzip.decompress(packed.read_bytes())
        arrays.append(np.frombuffer(content, dtype=np.uint8, offset=offset))
    images, labels = arrays[0].reshape(-1, 784), arrays[1]
    rows = images[np.concatenate([np.flatnonzero(labels == digit)[:100] for digit in range(10)])]
    standardised: NDArray[np.float32] = ((rows - images.mean()) / images.std()).astype(np.float32)
    return standardised


def test_on_mnist_the_exact_engine_is_no_worse_than_opentsne(mnist: Path) -> None:
    """Raw input, and an untrained relu layer, where nothing is clustered."""
    rows = mnist_rows(mnist)
    weights = np.random.default_rng(0).standard_normal((784, 100), dtype=np.float32) / 28.0
    layers = [rows, np.maximum(rows @ weights, 0.0)]
    for ours, theirs in zip(
        measured(layers, Measurement()), measured(layers, Measurement(engine="opentsne")), strict=True
    ):
        assert ours.kl is not None
        assert theirs.kl is not None
        assert ours.kl <= theirs.kl
