"""Alignment and nearness in the plane, against scipy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import procrustes
from sklearn.neighbors import KNeighborsClassifier

from embcx_tui.figures.alignment import align, between, standard
from embcx_tui.figures.cells import nearest_cell, next_in_direction
from embcx_tui.tui.layers.embeddings import nearest_to, neighbour_accuracy


def cloud(seed: int, n: int = 200) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.random.default_rng(seed).normal(0, 1, (n, 2)) * [3.0, 1.0]


@pytest.mark.parametrize("seed", range(5))
def test_alignment_is_scipys_procrustes_in_standard_size(seed: int) -> None:
    onto, points = cloud(seed), cloud(seed) + cloud(seed + 100)
    ours = align(points, onto).astype(np.float64)
    _, theirs, _ = procrustes(onto, points)
    assert np.allclose(ours / np.linalg.norm(ours), theirs / np.linalg.norm(theirs), atol=1e-6)


def test_a_turned_mirrored_moved_and_grown_cloud_comes_back() -> None:
    onto = cloud(3)
    turn = np.array([[np.cos(2.0), -np.sin(2.0)], [np.sin(2.0), np.cos(2.0)]]) @ np.diag([1.0, -1.0])
    assert np.allclose(align(7.5 * onto @ turn + [40.0, -3.0], onto), standard(onto), atol=1e-5)


def test_what_cannot_be_aligned_is_left_as_it_is() -> None:
    points = cloud(1)
    assert np.array_equal(align(points, cloud(2, 50)), standard(points))
    assert np.array_equal(align(np.ones((4, 2)), cloud(2, 4)), np.zeros((4, 2), dtype=np.float32))
    holed = points.copy()
    holed[5] = np.nan
    aligned = align(holed, points)
    assert np.isnan(aligned[5]).all() and np.isfinite(np.delete(aligned, 5, axis=0)).all()
    huge = align(points * 1e300, points)
    assert np.allclose(huge, standard(points), atol=1e-5)
    assert align(np.empty((0, 2)), np.empty((0, 2))).shape == (0, 2)


def test_between_starts_at_one_and_ends_at_the_other() -> None:
    one, other = standard(cloud(1)), standard(cloud(2))
    assert np.array_equal(between(one, other, 0.0), one)
    assert np.allclose(between(one, other, 1.0), other, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_the_vote_of_the_neighbours_is_scikit_learns(seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 4, 200)
    points = cloud(seed) + labels[:, None]
    right = []
    for row in range(200):
        others = np.delete(np.arange(200), row)
        # Ties go to the nearest voter here and to the lowest class there: counted only where there is no tie.
        vote = KNeighborsClassifier(10).fit(points[others], labels[others])
        shares = np.sort(vote.predict_proba(points[row : row + 1])[0])
        right.append(None if shares[-1] == shares[-2] else vote.predict(points[row : row + 1])[0] == labels[row])
    ours = neighbour_accuracy(points, labels)
    sure = sum(bool(one) for one in right)
    assert ours is not None and sure <= round(ours * 200) <= sure + right.count(None)


def test_no_vote_without_neighbours_or_classes() -> None:
    assert neighbour_accuracy(cloud(1, 10), np.arange(10)) is None
    assert neighbour_accuracy(cloud(1, 50), np.zeros(50, dtype=np.int64)) is None


def test_nearest_rows_stand_nearest_first_without_the_row_itself() -> None:
    rows = np.array([[0, 0], [5, 0], [1, 0], [250, 0]], dtype=np.uint8)
    assert nearest_to(rows, 0, 2) == (2, 1)
    assert nearest_to(rows, 0, 9) == (2, 1, 3)


def test_the_next_point_in_a_direction_is_the_nearest_that_lies_there() -> None:
    #      1
    #   0     2
    #      3        4 (not shown: 5)
    cells = np.array([[10, 10], [14, 5], [18, 10], [14, 15], [30, 14], [-1, -1]])
    assert next_in_direction(cells, 0, 1, 0) == 2
    assert next_in_direction(cells, 2, -1, 0) == 0
    assert next_in_direction(cells, 0, 0, -1) == 1
    assert next_in_direction(cells, 0, 0, 1) == 3
    assert next_in_direction(cells, 0, -1, 0) is None
    assert nearest_cell(cells, 19, 10, 3) == 2
    assert nearest_cell(cells, 24, 10, 3) is None
