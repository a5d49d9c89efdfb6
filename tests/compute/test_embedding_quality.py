"""Trustworthiness and continuity against scikit-learn's, and what they are where the answer is known."""

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray
from sklearn.datasets import load_digits
from sklearn.manifold import trustworthiness
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from embcx_tui.compute.metrics.embedding_quality import QUALITIES, embedding_quality


def quality_of(rows: ArrayLike, points: ArrayLike, labels: ArrayLike) -> dict[str, float | None]:
    return embedding_quality(rows, points, labels)[0]


def rows_and_labels(n: int = 250) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Pixels, moved a little so that no two distances are equal."""
    data = load_digits()
    return data.data[:n] + 1e-3 * np.random.default_rng(0).standard_normal((n, 64)), data.target[:n]


@pytest.mark.parametrize("axes", [(10, 20), (3, 60), (27, 28)])
def test_trustworthiness_equals_scikit_learns_and_continuity_that_of_the_exchange(axes: tuple[int, int]) -> None:
    rows, labels = rows_and_labels()
    points = rows[:, axes]
    quality = quality_of(rows, points, labels)
    assert quality["trustworthiness"] == pytest.approx(trustworthiness(rows, points, n_neighbors=10), abs=1e-12)
    assert quality["continuity"] == pytest.approx(trustworthiness(points, rows, n_neighbors=10), abs=1e-12)
    model = KNeighborsClassifier(10, weights=lambda d: 1.0 + 2.0 ** -np.arange(1.0, 11.0) + 0.0 * d)
    predicted = model.fit(points, labels).predict(None)
    assert quality["knn_2d"] == pytest.approx(np.mean(predicted == labels), abs=1e-12)


def test_a_plane_that_keeps_all_distances_is_perfect() -> None:
    random = np.random.default_rng(1)
    plane = random.standard_normal((100, 2))
    frame = np.linalg.qr(random.standard_normal((30, 2)))[0]
    quality = quality_of((plane @ frame.T) * 7.0, plane, np.arange(100) % 3)
    assert quality["trustworthiness"] == 1.0
    assert quality["continuity"] == 1.0


def test_equal_rows_shown_as_they_are_lose_nothing() -> None:
    random = np.random.default_rng(2)
    plane = np.repeat(random.standard_normal((20, 2)), 5, axis=0)
    quality = quality_of(plane, plane, np.arange(100) // 5 % 4)
    assert quality["trustworthiness"] == 1.0
    assert quality["continuity"] == 1.0


def test_tearing_and_folding_are_told_apart() -> None:
    """A folded line puts strangers side by side and tears nothing: less trustworthy than continuous; a cut one not."""
    line = np.linspace(-1.0, 1.0, 201)[:, None]
    labels = np.arange(201) % 2
    folded = np.hstack([np.abs(line), 1e-6 * line])
    ring = np.hstack([np.cos(np.pi * line), np.sin(np.pi * line)])[:-1]
    fold = quality_of(line, folded, labels)
    cut = quality_of(ring, np.hstack([line, 0.0 * line])[:-1], labels[:-1])
    assert fold["trustworthiness"] is not None and fold["continuity"] is not None
    assert cut["trustworthiness"] is not None and cut["continuity"] is not None
    assert fold["trustworthiness"] < 0.9 < fold["continuity"]
    assert cut["continuity"] < cut["trustworthiness"]


def test_what_is_undefined() -> None:
    random = np.random.default_rng(3)
    rows, points, labels = random.standard_normal((60, 5)), random.standard_normal((60, 2)), np.arange(60) % 3
    assert quality_of(rows, np.ones((60, 2)), labels) == dict.fromkeys(QUALITIES)
    dead = quality_of(np.ones((60, 5)), points, labels)
    assert dead["trustworthiness"] is None and dead["continuity"] is None and dead["knn_2d"] is not None
    few = quality_of(rows[:20], points[:20], labels[:20])
    assert few["trustworthiness"] is None and few["knn_2d"] is not None
    assert quality_of(rows[:10], points[:10], labels[:10]) == dict.fromkeys(QUALITIES)
    assert quality_of(rows, points, np.zeros(60, dtype=int))["knn_2d"] is None
    for n in range(1, 24):
        for value in quality_of(rows[:n], points[:n], labels[:n]).values():
            assert value is None or 0.0 <= value <= 1.0
    with pytest.raises(ValueError, match="60 rows of activations need as many points"):
        quality_of(rows, points[1:], labels)


def test_neighbours_in_the_layer_are_scikit_learns_nearest_first() -> None:
    rows, labels = rows_and_labels()
    quality, neighbours = embedding_quality(rows.astype(np.float32), rows[:, :2], labels)
    theirs = NearestNeighbors(n_neighbors=10).fit(rows.astype(np.float32)).kneighbors(return_distance=False)
    assert neighbours is not None and neighbours.dtype == np.uint16 and np.array_equal(neighbours, theirs)
    assert quality == quality_of(rows.astype(np.float32), rows[:, :2], labels)


def test_of_equal_rows_no_neighbour_is_the_row_itself_and_the_nearest_are_the_equal_ones() -> None:
    rows = np.repeat(np.random.default_rng(2).standard_normal((10, 4)), 12, axis=0)
    _, neighbours = embedding_quality(rows, rows[:, :2], np.zeros(120, dtype=int))
    assert neighbours is not None
    for row, near in enumerate(neighbours.tolist()):
        assert row not in near and len(set(near)) == 10 and {one // 12 for one in near} == {row // 12}


def test_too_few_or_equal_rows_have_no_neighbours() -> None:
    rows, labels = rows_and_labels(60)
    assert embedding_quality(rows[:20], rows[:20, :2], labels[:20])[1] is None
    assert embedding_quality(np.ones((60, 5)), rows[:, :2], labels)[1] is None
    assert embedding_quality(rows, np.ones((60, 2)), labels)[1] is None
