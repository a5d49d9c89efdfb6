"""Reduced layers against float64 distances of the rows themselves, and the metrics against those of the raw rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

from embcx_tui.compute import reduction
from embcx_tui.compute.metrics.class_metrics import dual_outputs, one_hot, primal_outputs, stratified_folds
from embcx_tui.compute.metrics.layer_metrics import centred, layer_metrics
from embcx_tui.compute.reduction import is_wide, reduce_layer, reduce_rows, reduction_bytes
from embcx_tui.compute.tsne.affinities import affinities

BUDGET = 1 << 30
Rows = NDArray[np.generic]


def gaussian(n: int = 60, units: int = 5000, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((n, units), dtype=np.float32)


def distances(rows: Rows) -> NDArray[np.float64]:
    """Pairwise distances from differences, in float64: nothing cancels."""
    return np.asarray(pdist(np.asarray(rows, dtype=np.float64)))


def offset(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """An offset of each unit 10⁵ times as large as the spread of the rows."""
    shift = np.random.default_rng(5).standard_normal(rows.shape[1]) * 1e5
    return (rows + shift).astype(np.float32)


def rank_three(rows: NDArray[np.float32]) -> Rows:
    random = np.random.default_rng(6)
    return random.standard_normal((len(rows), 3)) @ random.standard_normal((3, rows.shape[1]))


def with_outlier(rows: NDArray[np.float32]) -> Rows:
    rows = rows.copy()
    rows[7] *= 1e6
    return rows


def with_near_twins(rows: NDArray[np.float32]) -> Rows:
    """Rows that differ by one rounding of one unit: 10⁻⁹ of their length."""
    rows = rows.copy()
    rows[1] = rows[0]
    rows[1, 100] = np.nextafter(rows[0, 100], np.float32(9))
    return rows


def along_one_line(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """One direction 10⁴ times as large as the others."""
    line: NDArray[np.float32] = rows + np.float32(1e4) * rows[:, :1] * rows[3]
    return line


CASES: dict[str, NDArray[Any]] = {
    "plain": gaussian(),
    "float16": gaussian().astype(np.float16),
    "whole numbers": (gaussian() * 100).astype(np.int32),
    "offset": offset(gaussian()),
    "constant units": np.where(np.arange(5000) % 3 == 0, np.float32(1e4), gaussian()),
    "rank three": rank_three(gaussian()),
    "outlier": with_outlier(gaussian()),
    "near twins": with_near_twins(gaussian()),
    "one line": along_one_line(gaussian()),
    "tiny": gaussian().astype(np.float64) * 1e-200,
    "huge": gaussian().astype(np.float64) * 1e200,
    "units of many scales": gaussian() * np.logspace(-20, 15, 5000, dtype=np.float32),
    "as many units as rows": gaussian(60, 60),
    "fewer units than rows": gaussian(60, 10),
    "two rows": gaussian(2, 5000),
}


@pytest.mark.parametrize("name", CASES)
def test_distances_are_those_of_the_rows(name: str) -> None:
    rows = CASES[name]
    reduced = reduce_rows(rows, budget_bytes=BUDGET)
    n = len(rows)
    assert reduced.shape[0] == n
    assert reduced.shape[1] <= min(n, rows.shape[1] + 1)
    assert (reduced[:, -1] == reduced[0, -1]).all()
    if name in ("tiny", "huge"):  # whose squares are beyond float64
        factor = 2.0**660 if name == "tiny" else 2.0**-660
        rows, reduced = rows * factor, reduced * factor
    np.testing.assert_allclose(distances(reduced), distances(rows), rtol=1e-6)


def test_near_twins_need_the_orthogonal_way(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = CASES["near twins"]
    assert distances(rows).min() < 1e-7
    monkeypatch.setattr(reduction, "GRAM_NEAREST", -1.0)
    by_gram = distances(reduce_rows(rows, budget_bytes=BUDGET))
    assert not np.allclose(by_gram, distances(rows), rtol=1e-6, atol=0.0)


def test_both_ways_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = CASES["plain"]
    by_gram = reduce_rows(rows, budget_bytes=BUDGET)
    monkeypatch.setattr(reduction, "GRAM_NEAREST", np.inf)
    np.testing.assert_allclose(reduce_rows(rows, budget_bytes=BUDGET), by_gram, rtol=1e-9, atol=1e-9)


def test_equal_rows_stay_equal_and_others_do_not() -> None:
    rows = gaussian()
    rows[[5, 17, 40]] = rows[3]
    rows[8, 0], rows[3, 0] = 0.0, -0.0
    rows[[5, 17, 40], 0] = 0.0
    reduced = reduce_rows(rows, budget_bytes=BUDGET)
    assert len(np.unique(reduced, axis=0)) == 57
    assert (reduced[[5, 17, 40]] == reduced[3]).all()
    np.testing.assert_allclose(distances(reduced), distances(rows), rtol=1e-6, atol=0.0)


def test_equal_rows_alone_have_no_extent_but_their_length() -> None:
    rows = np.repeat(gaussian(1), 30, axis=0)
    reduced = reduce_rows(rows, budget_bytes=BUDGET)
    assert reduced.shape == (30, 1)
    assert reduced[0, 0] == pytest.approx(np.linalg.norm(rows[0].astype(np.float64)), rel=1e-12)


def test_axes_are_principal_and_have_one_sign() -> None:
    rows = gaussian()
    reduced = reduce_rows(rows, budget_bytes=BUDGET)
    exact = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    scores = exact @ np.linalg.svd(exact, full_matrices=False)[2][:5].T
    scores *= np.where(scores[np.abs(scores).argmax(axis=0), range(5)] < 0.0, -1.0, 1.0)
    np.testing.assert_allclose(reduced[:, :5], scores, rtol=1e-8, atol=1e-8)
    assert (np.diff(reduced[:, :-1].std(axis=0)) <= 1e-12).all()


@pytest.mark.parametrize("name", ["plain", "near twins"])
def test_threads_and_memory_change_no_bit(name: str) -> None:
    rows = np.concatenate([CASES[name], gaussian(300, 5000, seed=9)])
    alone = reduce_layer(rows, budget_bytes=BUDGET, threads=1).rows
    for threads in (2, 4):
        assert (reduce_layer(rows, budget_bytes=16 * reduction_bytes(*rows.shape), threads=threads).rows == alone).all()


def test_a_memory_map_gives_the_same_bits(tmp_path: Path) -> None:
    rows = gaussian()
    np.save(tmp_path / "layer.npy", rows)
    mapped = np.load(tmp_path / "layer.npy", mmap_mode="r")
    assert (reduce_rows(mapped, budget_bytes=BUDGET) == reduce_rows(rows, budget_bytes=BUDGET)).all()
    assert (reduce_rows(np.asfortranarray(rows), budget_bytes=BUDGET) == reduce_rows(rows, budget_bytes=BUDGET)).all()


def test_what_cannot_be_reduced_is_refused_in_one_line() -> None:
    rows = gaussian().astype(np.float16)
    rows[4, 7], rows[9, 0], rows[9, 1] = np.inf, np.nan, np.nan
    with pytest.raises(ValueError, match=r"^2 of 60 rows are not finite \(float16 ends at 65,504\)$"):
        reduce_rows(rows, budget_bytes=BUDGET)
    with pytest.raises(ValueError, match=r"^reducing 60 rows of 5000 units needs 0\.0 GB of memory, 0\.0 are allowed"):
        reduce_rows(gaussian(), budget_bytes=1000)
    for wrong in (gaussian()[0], gaussian()[:0], gaussian()[:, :0], gaussian().astype(complex)):
        with pytest.raises(ValueError, match=r"^activations must be"):
            reduce_rows(wrong, budget_bytes=BUDGET)


def test_only_layers_above_4096_units_and_above_the_rows_are_reduced() -> None:
    assert [is_wide(1000, units) for units in (100, 1000, 4096, 4097)] == [False, False, False, True]
    assert [is_wide(5000, units) for units in (4097, 5000, 5001)] == [False, False, True]


def test_metrics_of_a_reduced_layer_are_those_of_its_rows() -> None:
    random = np.random.default_rng(3)
    labels = np.repeat(np.arange(4), 40)
    rows = (random.standard_normal((4, 6000))[labels] * 0.06 + random.standard_normal((160, 6000))).astype(np.float32)
    rows[:, ::5] = 0.25  # units that are the same in all rows, as those of dead ReLUs
    raw = layer_metrics(rows, labels, seed=1)
    layer = reduce_layer(rows, budget_bytes=BUDGET)
    assert layer.varying == 4800
    reduced = layer_metrics(layer.rows, labels, seed=1, reduced_from=layer.varying)
    assert reduced["gdv"] is None and raw["gdv"] is not None
    assert reduced["knn"] == raw["knn"] and reduced["probe"] == raw["probe"]
    for name in ("separation", "twonn", "rank"):
        assert reduced[name] == pytest.approx(raw[name], rel=1e-6)
    # A probe that gets everything right would show nothing; its outputs show more than its accuracy.
    assert 0.3 < (raw["probe"] or 0.0) < 0.9
    targets, fold = one_hot(labels), stratified_folds(labels, 1)
    of_rows = dual_outputs(centred(rows), targets, fold)
    of_coordinates = centred(layer.rows)
    np.testing.assert_allclose(primal_outputs(of_coordinates, targets, fold, layer.varying), of_rows, atol=1e-8)
    assert np.abs(primal_outputs(of_coordinates, targets, fold) - of_rows).max() > 0.01


def test_a_layer_far_from_the_origin_is_near_identical_reduced_too() -> None:
    rows = gaussian(100, 5000) * np.float32(1e-5) + np.float32(10.0)
    assert affinities(rows, 10.0).near_identical
    assert affinities(reduce_rows(rows, budget_bytes=BUDGET), 10.0).near_identical
    assert not affinities(reduce_rows(gaussian(100, 5000), budget_bytes=BUDGET), 10.0).near_identical
